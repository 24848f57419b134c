"""What goes wrong while a request is served, as problem details; and which of them an operation declares."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match
from starlette.routing import Route

from search.errors import IllegalMove
from search.errors import RequestKeyUsed
from search.errors import StoreUnavailable
from search.service.problems import MEDIA_TYPE
from search.service.problems import Problem
from search.service.problems import Refused
from search.service.problems import invalid_input
from search.service.problems import response
from trainers.errors import FieldError
from trainers.errors import InvalidInput

#: What a path leads to, as the errors of the service name it: where it is not there, the answer is 404.
_NAMED_BY_PATHS = {"sweep", "trial", "figure"}

_MEANINGS = {
    400: "The body is no JSON object.",
    401: "No token, or one that is unknown or was revoked.",
    403: "The token is a reader's, or a page of another site made the request.",
    404: "There is no such thing.",
    409: "The sweep cannot do that in its state, or the request key belongs to another submission.",
    413: "The body is too large.",
    415: "The body is not JSON.",
    421: "The Host header is not a name of this service.",
    422: "The input cannot be used; every field that is wrong is named.",
    429: "Too many requests; Retry-After says when to ask again.",
    503: "The store does not answer, or too many submissions are being checked; Retry-After says when to ask again.",
}
_ALWAYS = (401, 403, 421, 429, 503)

# Of one answer: nobody reads more, and a body of nothing but mistakes would be answered with megabytes.
_MOST_ERRORS = 100

PROBLEM_SCHEMA: dict[str, Any] = {
    "title": "Problem",
    "description": "Why a request was refused (RFC 9457).",
    "type": "object",
    "required": ["type", "title", "status", "detail"],
    "properties": {
        "type": {"type": "string", "description": "Which kind of problem; never changes."},
        "title": {"type": "string", "description": "The kind in words."},
        "status": {"type": "integer"},
        "detail": {"type": "string", "description": "What was wrong this time, and what to do about it."},
        "instance": {"type": "string"},
        "errors": {
            "type": "array",
            "description": "What is wrong with each field.",
            "items": {
                "type": "object",
                "required": ["field", "value", "problem", "remedy"],
                "properties": {
                    "field": {"type": "string"},
                    "value": {"description": "What was given."},
                    "problem": {"type": "string"},
                    "remedy": {"type": "string"},
                },
            },
        },
        "sweep_id": {"type": "string", "description": "Of illegal-move and request-key-used."},
        "asked": {"type": "string", "description": "Of illegal-move: what was asked."},
        "state": {"type": "string", "description": "Of illegal-move: the state the sweep is in."},
        "remedy": {"type": "string", "description": "Of illegal-move: what can be done instead."},
        "key": {"type": "string", "description": "Of request-key-used: the key."},
    },
    "example": {
        "type": "/problems/invalid-input",
        "title": "The input cannot be used",
        "status": 422,
        "detail": "noise_rate: must be below 1. Give the share of wrong labels, e.g. 0.4.",
        "errors": [
            {
                "field": "noise_rate",
                "value": 7,
                "problem": "must be below 1",
                "remedy": "Give the share of wrong labels, from 0 up to but not including 1, e.g. 0.4.",
            }
        ],
    },
}


def declared(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The problems that an operation may answer with, for its ``responses``: these, and those that any may."""
    schema = {"$ref": "#/components/schemas/Problem"}
    return {
        status: {"description": _MEANINGS[status], "content": {MEDIA_TYPE: {"schema": schema}}}
        for status in sorted({*statuses, *_ALWAYS})
    }


def not_found(error: InvalidInput) -> Problem:
    """Return the problem of something that is not there, with the fields that name it."""
    found = invalid_input(error, 404)
    return Problem("/problems/not-found", "Not there", 404, found.detail, errors=found.errors)


def answer_errors(app: FastAPI) -> None:
    """Have an application answer every error with problem details."""
    handlers: dict[Any, Callable[[Request, Any], Response]] = {
        Refused: lambda request, error: response(error.problem, error.headers),
        InvalidInput: _invalid_input,
        IllegalMove: _illegal_move,
        RequestKeyUsed: _request_key_used,
        StoreUnavailable: _store_unavailable,
        RequestValidationError: _unreadable,
        HTTPException: _http,
        Exception: _unexpected,
    }
    for kind, handler in handlers.items():
        app.add_exception_handler(kind, handler)


def _invalid_input(request: Request, error: InvalidInput) -> Response:
    if len(error.errors) > _MOST_ERRORS:
        error = InvalidInput(*error.errors[:_MOST_ERRORS])
    missing = all(each.field in _NAMED_BY_PATHS for each in error.errors)
    return response(not_found(error) if missing else invalid_input(error))


def _illegal_move(request: Request, error: IllegalMove) -> Response:
    problem = Problem("/problems/illegal-move", "Not in this state", 409, str(error))
    said = {"sweep_id": error.sweep_id, "asked": error.asked, "state": error.state, "remedy": error.remedy}
    return response(problem, extensions=said)


def _request_key_used(request: Request, error: RequestKeyUsed) -> Response:
    problem = Problem("/problems/request-key-used", "Request key used already", 409, str(error))
    return response(problem, extensions={"key": error.key, "sweep_id": error.sweep_id})


def _store_unavailable(request: Request, error: StoreUnavailable) -> Response:
    # The error itself names hosts and users: it is for the server's log.
    detail = "Nothing can be looked up or changed while the store does not answer. Try again in a moment."
    problem = Problem("/problems/store-unavailable", "The store does not answer", 503, detail)
    return response(problem, {"Retry-After": "5"})


def _unreadable(request: Request, error: RequestValidationError) -> Response:
    wrong = [
        FieldError(
            str(each["loc"][1]), each["input"], each["msg"][:1].lower() + each["msg"][1:], "See /api/v1/openapi.json."
        )
        for each in error.errors()
    ]
    in_path = any(each["loc"][0] == "path" for each in error.errors())
    found = InvalidInput(*wrong)
    return response(not_found(found) if in_path else invalid_input(found))


def _http(request: Request, error: HTTPException) -> Response:
    kinds = {404: ("/problems/not-found", "Not there"), 405: ("/problems/method-not-allowed", "Not that method")}
    kind, title = kinds.get(error.status_code, ("/problems/refused", "Refused"))
    detail = "See /api/v1/openapi.json for what there is."
    # Starlette names those of the first route that has the path; another route may have more.
    headers = {"Allow": ", ".join(_methods(request))} if error.status_code == 405 else error.headers
    return response(Problem(kind, title, error.status_code, detail), headers)


def _methods(request: Request) -> list[str]:
    """The methods that a request's path knows."""
    routes = [route for route in request.app.router.routes if isinstance(route, Route)]
    found = [route for route in routes if route.matches(request.scope)[0] is not Match.NONE]
    return sorted({method for route in found for method in route.methods or ()})


def _unexpected(request: Request, error: Exception) -> Response:
    detail = "This is a mistake in the service. Its log says more."
    return response(Problem("/problems/internal", "Internal error", 500, detail))
