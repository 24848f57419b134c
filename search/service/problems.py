"""What a request is refused with: problem details after RFC 9457, the same in every part of the service."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import field

from starlette.responses import Response

from trainers.errors import EmphasisError
from trainers.errors import FieldError
from trainers.errors import InvalidInput

MEDIA_TYPE = "application/problem+json"


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a request was refused.

    Args:
        type: Which kind of problem, as a relative URI that never changes, e.g. ``/problems/invalid-input``.
        title: The kind in words, the same for every problem of the type.
        status: HTTP status.
        detail: What was wrong this time, and what to do about it.
        instance: URI of this one occurrence; None where it has none.
        errors: What is wrong with each field, where the input was.
    """

    type: str
    title: str
    status: int
    detail: str
    instance: str | None = None
    errors: tuple[FieldError, ...] = field(default=())

    def as_json(self) -> dict[str, object]:
        """Return the members that have a value, ready for ``json.dumps``."""
        members: dict[str, object] = {
            "type": self.type,
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
        }
        if self.instance is not None:
            members["instance"] = self.instance
        if self.errors:
            members["errors"] = [
                {
                    "field": error.field,
                    "value": _shown(error.value),
                    "problem": error.problem,
                    "remedy": error.remedy,
                }
                for error in self.errors
            ]
        return members


class Refused(EmphasisError):
    """A request that is answered with a problem.

    Args:
        problem: What to answer.
        headers: Headers that the answer needs, e.g. ``Retry-After``.
    """

    def __init__(self, problem: Problem, headers: Mapping[str, str] | None = None) -> None:
        self.problem = problem
        self.headers = dict(headers or {})
        super().__init__(problem.detail)


def invalid_input(error: InvalidInput, status: int = 422) -> Problem:
    """Return the problem of an input that cannot be used, with every field that is wrong."""
    detail = " ".join(f"{each.field}: {each.problem}. {each.remedy}" for each in error.errors)
    return Problem("/problems/invalid-input", "The input cannot be used", status, detail, errors=error.errors)


def forbidden(detail: str) -> Problem:
    """Return the problem of a request that this caller may not make."""
    return Problem("/problems/forbidden", "Not allowed", 403, detail)


def response(
    problem: Problem,
    headers: Mapping[str, str] | None = None,
    extensions: Mapping[str, object] | None = None,
) -> Response:
    """Return the answer that tells a problem.

    Args:
        problem: The problem.
        headers: Headers to add.
        extensions: Members beyond those of RFC 9457.
    """
    # ASCII, because a value that the caller sent may hold half a surrogate pair, which UTF-8 cannot.
    body = json.dumps({**problem.as_json(), **(extensions or {})}, allow_nan=False)
    return Response(body, problem.status, {"Cache-Control": "no-store", **(headers or {})}, MEDIA_TYPE)


def _shown(value: object) -> object:
    """A value as JSON can hold it."""
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, Mapping):
        return {str(key): _shown(each) for key, each in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_shown(each) for each in value]
    return str(value)
