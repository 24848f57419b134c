"""The one hierarchy of errors: what was wrong, with which value, and what to do about it."""

from __future__ import annotations

from dataclasses import dataclass


class EmphasisError(Exception):
    """Base of every error that Emphasis raises on purpose."""


@dataclass(frozen=True, slots=True)
class FieldError:
    """One thing that is wrong with what the user gave.

    Args:
        field: Name of the field as the user writes it, e.g. ``noise_rate``.
        value: The value that was given.
        problem: What is wrong with it.
        remedy: What to do instead.
    """

    field: str
    value: object
    problem: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.field} = {self.value!r}: {self.problem}. {self.remedy}"


class InvalidInput(EmphasisError, ValueError):
    """The input cannot be used; nothing was started and nothing recorded was changed.

    Args:
        errors: Everything that is wrong, one entry a field.
    """

    def __init__(self, *errors: FieldError) -> None:
        self.errors = errors
        super().__init__("\n".join(str(error) for error in errors))

    def __reduce__(self) -> tuple[type[InvalidInput], tuple[FieldError, ...]]:
        # Ray carries exceptions between processes by pickle; the default would rebuild from the joined text.
        return type(self), self.errors
