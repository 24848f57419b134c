"""Requests to a server: how long they may take, when they are made again, and what is raised instead of an answer."""

from __future__ import annotations

import email.utils
import os
import random
import time
import warnings
from collections.abc import Iterator
from collections.abc import Mapping
from contextlib import contextmanager
from datetime import UTC
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx

from search.errors import AnswerLost
from search.errors import ServerUnavailable
from search.errors import UnencryptedToken
from search.errors import UnexpectedAnswer
from search.service.allowed_hosts import is_loopback
from search.service.refusals import refusal
from search.service.web_address import web_address
from trainers.errors import FieldError
from trainers.errors import InvalidInput

SERVER = "EMPHASIS_SERVER"
TOKEN = "EMPHASIS_TOKEN"
TOKEN_FILE = "EMPHASIS_TOKEN_FILE"

_CONNECT_SECONDS = 5.0
_ANSWER_SECONDS = 30.0
# A following server says at least every few seconds that it is there.
_SILENT_SECONDS = 60.0
_FIRST_PAUSE, _LONGEST_PAUSE = 0.2, 5.0

# Not now: too many requests, or a server (or the proxy before one) that is being restarted.
_LATER = (429, 502, 503, 504)


class Transport:
    """Makes requests, and makes them again while the server is away; so each must do no harm when made twice.

    Args:
        url: The server's address; None is EMPHASIS_SERVER.
        token: None is EMPHASIS_TOKEN, else what the file holds that EMPHASIS_TOKEN_FILE names, else none.
        patience_seconds: How long a request is made again before ServerUnavailable is raised.

    Raises:
        InvalidInput: The address or the token cannot be used.
    """

    def __init__(self, url: str | None, token: str | None, patience_seconds: float) -> None:
        self.url = _address(url or os.environ.get(SERVER))
        self._patience = patience_seconds
        token = _token(token)
        address = httpx.URL(self.url)
        if token and address.scheme == "http" and not is_loopback(address.host):
            remedy = "Give an https:// address, or reach the server through a tunnel to its own machine."
            problem = f"the token is sent to {self.url} unencrypted: whoever carries it can read and use it"
            warnings.warn(f"{problem}. {remedy}", UnencryptedToken, stacklevel=3)
        self._http = httpx.Client(
            # No proxy of the environment leads to this machine's own addresses.
            trust_env=not is_loopback(address.host),
            base_url=f"{self.url}/api/v1",
            headers={"Authorization": f"Bearer {token}"} if token else {},
            timeout=httpx.Timeout(_ANSWER_SECONDS, connect=_CONNECT_SECONDS),
        )

    def close(self) -> None:
        """Close every connection."""
        self._http.close()

    def call(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, Any] | None = None,
        content: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        answer_seconds: float = _ANSWER_SECONDS,
    ) -> Any:
        """Make a request until it is answered, and return the JSON of the answer; None where it has none.

        Args:
            method: HTTP method.
            path: Below ``/api/v1``.
            params: Of the query; None values are left out.
            content: Body, as JSON.
            headers: Further headers.
            answer_seconds: How long the server may take.

        Raises:
            ServerUnavailable: It could not be reached, or failed.
            AnswerLost: As that, and what was asked may have been done.
            UnexpectedAnswer: It does not answer as the service does.
            NotAllowed: The token is missing, unknown or may not.
            EmphasisError: What the service refuses, as the store beside us does.
        """
        request = self._http.build_request(
            method,
            path,
            params=_given(params),
            content=content,
            headers={**({} if content is None else {"Content-Type": "application/json"}), **(headers or {})},
            timeout=httpx.Timeout(answer_seconds, connect=_CONNECT_SECONDS),
        )
        patience = Patience(self._patience)
        lost: AnswerLost | None = None
        while True:
            try:
                response = self._http.send(request)
            except httpx.TransportError as error:
                away = self._unreachable(error)
                lost = away if isinstance(away, AnswerLost) else lost
                patience.wait_or_raise(lost or away)
                continue
            if response.status_code in _LATER:
                patience.wait_or_raise(lost or refusal(response, self.url), _retry_after(response))
                continue
            return self._body(response)

    @contextmanager
    def stream(self, path: str, params: Mapping[str, Any], headers: Mapping[str, str]) -> Iterator[httpx.Response]:
        """An answer that is read as it comes; asked for once, since who reads knows where to go on.

        Args:
            path: Below ``/api/v1``.
            params: As for `call`.
            headers: Further headers.

        Raises:
            ServerUnavailable: It could not be reached, or the connection was lost.
            EmphasisError: As for `call`.
        """
        timeout = httpx.Timeout(_SILENT_SECONDS, connect=_CONNECT_SECONDS)
        try:
            with self._http.stream(
                "GET", path, params=_given(params), headers=dict(headers), timeout=timeout
            ) as response:
                if not response.is_success:
                    response.read()
                    raise refusal(response, self.url)
                yield response
        except httpx.TransportError as error:
            raise self._unreachable(error) from error

    def _body(self, response: httpx.Response) -> Any:
        if not response.is_success:
            raise refusal(response, self.url)
        if not response.content:
            return None
        try:
            return response.json()
        except ValueError:
            raise self.misunderstood() from None

    def _unreachable(self, error: httpx.TransportError) -> ServerUnavailable:
        reason = f" ({error})" if str(error) else ""
        remedy = "Check the address, and that `emphasis serve` runs there."
        if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout):
            return ServerUnavailable(self.url, f"cannot be reached{reason}", remedy)
        return AnswerLost(self.url, f"did not answer{reason}", remedy)

    def misunderstood(self) -> UnexpectedAnswer:
        """The error for an answer that is not the service's."""
        return UnexpectedAnswer(self.url, "what it answered is not what the service answers")


class Patience:
    """How long something is tried again, with longer and longer pauses.

    Args:
        seconds: From the first failure.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._ends_at: float | None = None
        self.tries = 0

    def wait_or_raise(self, error: Exception, seconds: float | None = None) -> None:
        """Wait before the next try; raise the error where that would take longer than patience lasts.

        Args:
            error: Why this try failed.
            seconds: How long the server asks to wait.
        """
        now = time.monotonic()
        self._ends_at = self._ends_at or now + self._seconds
        pause = min(_FIRST_PAUSE * 2**self.tries, _LONGEST_PAUSE) * random.uniform(0.5, 1.0)
        pause = pause if seconds is None else seconds
        if now + pause > self._ends_at:
            raise error
        self.tries += 1
        time.sleep(pause)


def _given(params: Mapping[str, Any] | None) -> dict[str, Any]:
    return {name: value for name, value in (params or {}).items() if value is not None}


def _retry_after(response: httpx.Response) -> float | None:
    """The seconds that an answer asks to wait, which it says as a number or as a date."""
    text = response.headers.get("retry-after", "")
    if text.isdigit():
        return float(text)
    try:
        moment = email.utils.parsedate_to_datetime(text)
    except ValueError:
        return None
    return max(0.0, (moment - datetime.now(UTC)).total_seconds()) if moment.tzinfo else None


def _address(url: str | None) -> str:
    remedy = f"Give the address of `emphasis serve`, e.g. http://127.0.0.1:8080, or set {SERVER}."
    if not url:
        raise InvalidInput(FieldError("server", url, "no server is given", remedy))
    parsed = web_address(url)
    if parsed is None:
        shown = url.rpartition("@")[2]  # without the password that it may hold
        raise InvalidInput(FieldError("server", shown, "is no address that begins with http:// or https://", remedy))
    if parsed.userinfo:
        shown = str(parsed.copy_with(username=None, password=None))
        problem = "holds a user name or password"
        raise InvalidInput(FieldError("server", shown, problem, f"Give a token by {TOKEN} or {TOKEN_FILE} instead."))
    return str(parsed.copy_with(query=None, fragment=None)).rstrip("/")


def _token(given: str | None) -> str | None:
    token, where = given or os.environ.get(TOKEN), TOKEN
    if not token and (file := os.environ.get(TOKEN_FILE)):
        where = TOKEN_FILE
        try:
            token = Path(file).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "it is no text"
            remedy = "Give a file that holds the token and nothing else."
            raise InvalidInput(FieldError(TOKEN_FILE, file, f"cannot be read: {reason}", remedy)) from error
    if not token:
        return None
    if not (token.isascii() and token.isprintable() and " " not in token):
        remedy = "Give it as `emphasis token create` showed it."
        # Not shown: it may well be most of a real one.
        raise InvalidInput(FieldError(where, "...", "is no token: it has spaces or other characters", remedy))
    return token
