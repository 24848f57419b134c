"""Who a request is from, and whether it is heard at all: the one rule before the API and before MLflow."""

from __future__ import annotations

import base64
import binascii
import math
from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Mapping
from dataclasses import dataclass

from search.service.allowed_hosts import AllowedHosts
from search.service.allowed_hosts import host_name
from search.service.allowed_hosts import is_loopback
from search.service.identity import LOCAL
from search.service.identity import Identity
from search.service.problems import Problem
from search.service.problems import Refused
from search.service.problems import forbidden
from search.service.rate_limit import RateLimit
from search.service.tokens import hash_token
from search.service.tokens import looks_like_token
from search.store.tokens import Tokens

COOKIE = "emphasis_token"
"""Name of the cookie that the log-in page sets."""

SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
_CHALLENGE = {"WWW-Authenticate": 'Bearer realm="emphasis"'}


@dataclass(frozen=True, slots=True)
class Call:
    """What the guard looks at of a request.

    Args:
        method: HTTP method, in capitals.
        headers: Headers by name in small letters.
        client: Address that the request comes from.
    """

    method: str
    headers: Mapping[str, str]
    client: str


@dataclass(frozen=True, slots=True)
class _Credential:
    """A token that a request brought; ``kind`` is how: bearer, basic or cookie."""

    text: str
    kind: str


class Guard:
    """Decides who a request is from, and refuses those that nobody may make.

    Args:
        find: Identity of the token that has a hash (:func:`search.service.tokens.hash_token`); None of one that
            is unknown or revoked. It is asked at every request, so that a revoked token is refused at once.
        required: Whether a token is needed; true unless the service is open to this machine alone.
        hosts: Names that the service is asked under.
        limit: How often one caller may ask; each token and, without a token, each address is one caller.
    """

    def __init__(
        self,
        find: Callable[[str], Identity | None],
        required: Callable[[], bool],
        hosts: AllowedHosts,
        limit: RateLimit | None = None,
    ) -> None:
        self._find = find
        self.required = required
        self._hosts = hosts
        self._limit = limit or RateLimit(rate=50, burst=300)

    @classmethod
    def of_service(
        cls, tokens: Tokens, address: str, allowed_hosts: Iterable[str] = (), limit: RateLimit | None = None
    ) -> Guard:
        """Return the guard of a service.

        Args:
            tokens: Those of the store.
            address: That the service listens on; beyond this machine's own, a token is always needed.
            allowed_hosts: Further names that the service is asked under.
            limit: How often one caller may ask.
        """

        def find(hash: str) -> Identity | None:
            record = tokens.find(hash)
            return None if record is None else Identity(record.name, record.role)

        def required() -> bool:
            return not is_loopback(address) or tokens.were_made()

        return cls(find, required, AllowedHosts(address, allowed_hosts), limit)

    def recognise(self, token: str) -> Identity | None:
        """Return whose token it is; None where it is unknown or revoked."""
        return self._find(hash_token(token)) if looks_like_token(token) else None

    def identify(self, call: Call) -> Identity:
        """Return who a request is from.

        Raises:
            Refused: With 401, 403, 421 or 429, and the reason.
        """
        self._check_host(call)
        credential = _credential(call.headers)
        identity = self.recognise(credential.text) if credential else None
        named = identity is not None
        # A cookie may be left from a service that listened on another port of this host; it was not given to
        # this one on purpose, and must not lock out of one that is open.
        if identity is None and (credential is None or credential.kind == "cookie") and not self.required():
            identity = LOCAL
        self._check_rate(f"token {identity.name}" if identity and named else f"address {call.client}")
        _check_origin(call, credential)
        if identity is None:
            raise Refused(_unauthenticated(credential), _CHALLENGE)
        return identity

    def hear(self, call: Call) -> None:
        """Let pass a request that needs no token, e.g. one for the log-in page; the store is not asked.

        Raises:
            Refused: With 403, 421 or 429, and the reason.
        """
        self._check_host(call)
        self._check_rate(f"address {call.client}")
        _check_origin(call, _credential(call.headers))

    def _check_host(self, call: Call) -> None:
        host = call.headers.get("host", "")
        if not self._hosts.allows(host):
            raise Refused(_wrong_host(host))

    def _check_rate(self, caller: str) -> None:
        wait = self._limit.wait(caller)
        if wait > 0:
            raise Refused(_too_many(wait), {"Retry-After": str(math.ceil(wait))})


def _credential(headers: Mapping[str, str]) -> _Credential | None:
    authorization = headers.get("authorization")
    if authorization is not None:
        scheme, _, text = authorization.strip().partition(" ")
        if scheme.lower() == "basic":
            return _Credential(_basic_password(text.strip()), "basic")
        return _Credential(text.strip() if scheme.lower() == "bearer" else "", "bearer")
    for pair in headers.get("cookie", "").split(";"):
        name, _, text = pair.strip().partition("=")
        if name == COOKIE:
            return _Credential(text, "cookie")
    return None


def _basic_password(text: str) -> str:
    try:
        return base64.b64decode(text, validate=True).decode().partition(":")[2]
    except (binascii.Error, UnicodeDecodeError):
        return ""


def _check_origin(call: Call, credential: _Credential | None) -> None:
    # A browser adds a cookie, a remembered password or nothing at all to what another site made it send; only a
    # bearer token was put there by whoever makes the request.
    if call.method in SAFE_METHODS or (credential is not None and credential.kind == "bearer"):
        return
    origin, host = call.headers.get("origin"), call.headers.get("host", "")
    # Programs other than browsers send none.
    if origin is not None and origin.partition("://")[2].lower() != host.strip().lower():
        raise Refused(
            forbidden(
                "A page of another site made this request. Behind a proxy, let it pass on the Host header that "
                "the browser sends."
            )
        )


# The messages below are constant but for a host's name: nothing of a credential can get into a log through them.


def _unauthenticated(credential: _Credential | None) -> Problem:
    if credential is None:
        detail = "This service needs a token. Send it as `Authorization: Bearer`, or log in with a browser."
    else:
        detail = "The token is unknown or was revoked. Ask for a new one: `emphasis token create`."
    return Problem("/problems/unauthenticated", "Not logged in", 401, detail)


def _wrong_host(host: str) -> Problem:
    return Problem(
        "/problems/wrong-host",
        "Not this service's name",
        421,
        f"The service is not known as {host_name(host)!r}. If that is its name, start it with --allowed-host or "
        "EMPHASIS_ALLOWED_HOST.",
    )


def _too_many(wait: float) -> Problem:
    return Problem(
        "/problems/too-many-requests",
        "Too many requests",
        429,
        f"Ask again in {math.ceil(wait)} s; several requests at once are fine after a rest.",
    )
