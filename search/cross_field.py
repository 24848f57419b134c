"""Checks across fields: what is wrong between them, and how pydantic is told all of it at once."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import ValidationError
from pydantic_core import InitErrorDetails
from pydantic_core import PydanticCustomError

from spaces.refusal import refusal
from trainers.errors import FieldError


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong between fields, and which fields were read to find it."""

    field: str
    value: object
    problem: str
    remedy: str
    reads: tuple[str, ...]


def raise_all(section: str, problems: list[Problem]) -> None:
    """Raise every problem at once; pydantic keeps them apart."""
    prefix = f"{section}." if section else ""
    lines: list[InitErrorDetails] = []
    for each in problems:
        reads = tuple(prefix + name for name in each.reads)
        top, _, inside = each.field.partition(".")
        error = refusal(inside or prefix + top, each.value, each.problem, each.remedy, reads=reads)
        assert isinstance(error, PydanticCustomError)
        # Of a space, the whole is what is wrong: its cells and ranges are judged together.
        path = (top, inside) if inside and top != "space" else (top,)
        lines.append(InitErrorDetails(type=error, loc=path, input=each.value))
    if lines:
        raise ValidationError.from_exception_data(section or "SweepSpec", lines)


def said(error: FieldError) -> tuple[object, str, str]:
    """Value, problem and remedy of an error that knows its field by another name."""
    return error.value, error.problem, error.remedy
