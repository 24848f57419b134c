"""Hyper-parameters that count something: whole numbers, whether given as 20 or as 20.0."""

from __future__ import annotations

import math
import numbers

from trainers.errors import FieldError


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
