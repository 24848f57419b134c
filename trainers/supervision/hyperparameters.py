"""What several supervisions ask of a hyper-parameter."""

from __future__ import annotations

import math
import numbers

from trainers.errors import FieldError


def interval_error(field: str, value: object, interval: str, remedy: str) -> list[FieldError]:
    """What is wrong with a number that has to lie in an interval; nothing where it does.

    Args:
        field: Name of the hyper-parameter.
        value: What was given for it, possibly no number at all.
        interval: As it is written, e.g. ``(0, 1]``; ``inf`` for an end that is open to any finite number.
        remedy: What to give instead.
    """
    low, high = (float(end) for end in interval[1:-1].split(","))
    if isinstance(value, numbers.Real) and not isinstance(value, bool) and math.isfinite(value):
        number = float(value)
        above = number >= low if interval[0] == "[" else number > low
        below = number <= high if interval[-1] == "]" else number < high
        if above and below:
            return []
    return [FieldError(field, value, f"not a number in {interval}", remedy)]


def count_error(field: str, value: object, lowest: int, remedy: str) -> list[FieldError]:
    """What is wrong with a number that has to be whole and at least ``lowest``; nothing where it is.

    Args:
        field: Name of the hyper-parameter.
        value: What was given for it, possibly no number at all.
        lowest: Smallest count.
        remedy: What to give instead.
    """
    if isinstance(value, numbers.Real) and not isinstance(value, bool) and math.isfinite(value):
        number = float(value)
        if number.is_integer() and number >= lowest:
            return []
    return [FieldError(field, value, f"not a whole number >= {lowest}", remedy)]
