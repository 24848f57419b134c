"""What a supervision's hyper-parameters may be, so that each refuses the same values in the same words."""

from __future__ import annotations

import math
import numbers
from collections.abc import Iterator
from dataclasses import dataclass

from trainers.errors import FieldError


@dataclass(frozen=True, slots=True)
class Interval:
    """The numbers that a hyper-parameter may be.

    Args:
        lowest: Smallest value.
        highest: Largest value; infinity itself is never allowed.
        open_ends: Whether lowest and highest are excluded.
        whole: Whether only whole numbers are allowed.
    """

    lowest: float
    highest: float = math.inf
    open_ends: bool = False
    whole: bool = False

    def problems(self, field: str, value: object, example: str) -> Iterator[FieldError]:
        """The FieldError of a value that is outside; the example ends its remedy."""
        if not self._contains(value):
            kind = "whole number" if self.whole else "number"
            yield FieldError(field, value, f"not a {kind} {self}", f"Give a {kind} {self}, e.g. {example}.")

    def _contains(self, value: object) -> bool:
        if isinstance(value, bool) or not isinstance(value, numbers.Real) or not math.isfinite(value):
            return False
        number = float(value)
        if self.whole and not number.is_integer():
            return False
        if self.open_ends:
            return self.lowest < number < self.highest
        return self.lowest <= number <= self.highest

    def __str__(self) -> str:
        if self.highest == math.inf:
            return f"{'>' if self.open_ends else '>='} {self.lowest:g}"
        left, right = "()" if self.open_ends else "[]"
        return f"in {left}{self.lowest:g}, {self.highest:g}{right}"
