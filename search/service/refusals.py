"""What a server refuses, as the errors that the store beside us raises for the same."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import httpx

from search.errors import IllegalMove
from search.errors import NotAllowed
from search.errors import RequestKeyUsed
from search.errors import ServerUnavailable
from search.errors import UnexpectedAnswer
from trainers.errors import EmphasisError
from trainers.errors import FieldError
from trainers.errors import InvalidInput


def refusal(response: httpx.Response, url: str) -> EmphasisError:
    """The error that an answer other than success stands for.

    Args:
        response: The answer, read whole.
        url: The server's address, for messages.
    """
    problem = _problem(response)
    detail = str(problem.get("detail") or problem.get("title") or response.reason_phrase)
    if response.status_code == 401:
        return NotAllowed(f"{url}: {detail} Give a token by EMPHASIS_TOKEN or EMPHASIS_TOKEN_FILE.")
    if response.status_code == 403:
        return NotAllowed(f"{url}: {detail}")
    kind = str(problem.get("type", "")).rpartition("/")[2]
    try:
        if kind == "illegal-move":
            return IllegalMove(*(str(problem[name]) for name in ("sweep_id", "asked", "state", "remedy")))
        if kind == "request-key-used":
            return RequestKeyUsed(str(problem["key"]), str(problem["sweep_id"]))
        if problem.get("errors"):
            return InvalidInput(*(FieldError(**error) for error in problem["errors"]))
    except (KeyError, TypeError):  # another release says it otherwise; what it means is in the detail
        pass
    answered = f"answered {response.status_code}: {detail.rstrip('.')}"
    if response.status_code >= 500 or response.status_code == 429:
        remedy = "The server's log says more." if response.status_code == 500 else "Ask again later."
        return ServerUnavailable(url, answered, remedy)
    if response.is_redirect:
        answered += f", which leads to {response.headers.get('location')}"
    elif problem and response.status_code in (400, 413):
        # What is wrong with the body as a whole: it cannot be read, or is too large.
        return InvalidInput(FieldError("body", None, detail.rstrip("."), "Correct it and ask again."))
    return UnexpectedAnswer(url, answered)


def _problem(response: httpx.Response) -> Mapping[str, Any]:
    try:
        problem = response.json()
    except ValueError:
        return {}
    return problem if isinstance(problem, Mapping) else {}
