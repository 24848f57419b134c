"""The body of a request as plain data: JSON and nothing else, neither large nor deep."""

from __future__ import annotations

import json
from typing import Any
from typing import NoReturn

from starlette.requests import Request

from search.service.problems import Problem
from search.service.problems import Refused

MOST_BYTES = 2**20
DEEPEST = 32
"""Levels of lists and objects; a sweep's spec has four."""
MOST_FIELDS = 1_000
"""Of one object."""
MOST_VALUES = 60_000
"""Values and names in all; the largest grid has 10,000 cells."""


async def json_object(request: Request) -> dict[str, Any]:
    """Read the JSON object in a request's body.

    Raises:
        Refused: With 400, 413 or 415, and the reason.
    """
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != "application/json":
        detail = "Send the fields as JSON, with `Content-Type: application/json`."
        raise Refused(Problem("/problems/not-json", "Not JSON", 415, detail))
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > MOST_BYTES:
            detail = f"The body is longer than {MOST_BYTES:,} bytes. Name files instead of sending what is in them."
            raise Refused(Problem("/problems/too-large", "Body too large", 413, detail))
    return parse_object(bytes(body))


def parse_object(body: bytes) -> dict[str, Any]:
    """Read a JSON object of UTF-8 text that any database can hold.

    Raises:
        Refused: With 400, and the reason.
    """
    try:
        value = json.loads(body.decode("utf-8"), object_pairs_hook=_each_once, parse_constant=_no_number)
    except RecursionError:
        _refuse(f"It is nested more than {DEEPEST} levels deep.")
    except UnicodeDecodeError:
        _refuse("It is not UTF-8.")
    except ValueError as error:
        _refuse(f"It is no JSON: {error}.")
    if not isinstance(value, dict):
        _refuse("It is no object. Send fields by name, e.g. {\"dataset\": \"digits\", \"noise_rate\": 0.4}.")
    _check_content(value)
    return value


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(pairs) > MOST_FIELDS:
        raise ValueError(f"an object has {len(pairs):,} fields")
    if len(fields) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"{twice!r} is given twice")
    return fields


def _no_number(text: str) -> NoReturn:
    raise ValueError(f"{text} is no number")


def _check_content(value: Any) -> None:
    """Refuse what is too deep, and characters that no database holds."""
    layer, depth, count = [value], 0, 0
    while layer:
        depth += 1
        count += len(layer)
        if count > MOST_VALUES:
            _refuse(f"It holds more than {MOST_VALUES:,} values.")
        if depth > DEEPEST + 1:
            _refuse(f"It is nested more than {DEEPEST} levels deep.")
        for each in layer:
            if isinstance(each, str) and ("\x00" in each or not _is_text(each)):
                _refuse("A text in it holds a NUL or half of a surrogate pair.")
        layer = [inner for each in layer for inner in _inside(each)]


def _inside(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return [*value.keys(), *value.values()]
    return value if isinstance(value, list) else []


def _is_text(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _refuse(reason: str) -> NoReturn:
    raise Refused(Problem("/problems/invalid-body", "The body cannot be read", 400, reason))
