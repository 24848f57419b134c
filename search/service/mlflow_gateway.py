"""The one way to MLflow: a streaming proxy that lets pass what a caller's role allows.

Bodies are passed on as they come and never held in memory, with two exceptions that are looked into (see
:mod:`search.service.mlflow_access`) and may have 1 MiB. Files may have up to 2 GiB, and everything else 16 MiB, because
MLflow itself reads such bodies whole; what is longer is cut off with 413.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from collections.abc import Mapping
from contextlib import asynccontextmanager

import httpx
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect
from starlette.requests import Request
from starlette.responses import Response
from starlette.responses import StreamingResponse
from starlette.routing import Mount
from starlette.types import ASGIApp
from starlette.types import Message
from starlette.types import Receive
from starlette.types import Scope
from starlette.types import Send

from search.errors import StoreUnavailable
from search.service.guard import Guard
from search.service.guarded import STORE_UNAVAILABLE
from search.service.guarded import Guarded
from search.service.login import LOGIN_PATH
from search.service.login import OPEN_REQUESTS
from search.service.login import login_routes
from search.service.mlflow_access import check_path
from search.service.mlflow_access import checked_body
from search.service.mlflow_access import is_file
from search.service.mlflow_access import is_inspected
from search.service.problems import Problem
from search.service.problems import Refused
from search.service.problems import response
from search.service.request_target import request_target

LARGEST_FILE = 2 * 1024**3
LARGEST_BODY = 16 * 1024**2
LARGEST_INSPECTED = 1024**2

_HOP_BY_HOP = frozenset(
    [
        b"connection",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    ]
)
# Ours alone (credentials), about this side alone (host, origin), or believed by MLflow from any neighbour.
_NOT_PASSED_ON = _HOP_BY_HOP | frozenset(
    [b"authorization", b"cookie", b"host", b"origin", b"referer", b"expect", b"forwarded", b"x-real-ip"]
)
_NOT_PASSED_BACK = _HOP_BY_HOP | frozenset([b"date", b"server"])  # our own server adds these two

# By status, so that MLflow's clients and pages say the reason instead of "internal error".
_MLFLOW_CODES = {
    400: "INVALID_PARAMETER_VALUE",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    413: "INVALID_PARAMETER_VALUE",
    429: "REQUEST_LIMIT_EXCEEDED",
}


def gateway(upstream: str, guard: Guard, token: str | None = None, tls: bool = False) -> ASGIApp:
    """Return the application that stands before an MLflow server.

    It serves the log-in page on its own address, because a browser's cookie belongs to the name it was opened under.

    Args:
        upstream: Address of the MLflow server, ``http://HOST:PORT`` or ``unix:PATH`` of its socket.
        guard: Decides who a request is from.
        token: The bearer token that the MLflow server asks for, if it asks for one.
        tls: As for `login_routes`.
    """
    proxy = _Proxy(upstream, token)

    @asynccontextmanager
    async def open_while_serving(app: Starlette) -> AsyncIterator[None]:
        yield
        await proxy.close()

    async def store_is_away(request: Request, error: Exception) -> Response:
        return _answer(STORE_UNAVAILABLE, {"Retry-After": "5"})

    app = Starlette(
        routes=[*login_routes(guard, tls), Mount("/", proxy)],
        exception_handlers={StoreUnavailable: store_is_away},
        lifespan=open_while_serving,
    )
    return Guarded(app, guard, OPEN_REQUESTS, LOGIN_PATH, _answer)


class _Proxy:
    def __init__(self, upstream: str, token: str | None) -> None:
        self._token = token
        socket = upstream.removeprefix("unix:") if upstream.startswith("unix:") else None
        self._upstream = httpx.URL("http://localhost" if socket is not None else upstream)
        # Below MLflow's own 5 s, so that no request meets a connection that is being closed.
        limits = httpx.Limits(max_connections=200, max_keepalive_connections=20, keepalive_expiry=2)
        self._client = httpx.AsyncClient(
            transport=httpx.AsyncHTTPTransport(uds=socket, limits=limits, trust_env=False),
            # A search over many runs takes long; a server that is not there is known at once.
            timeout=httpx.Timeout(300, connect=5),
            trust_env=False,
        )

    async def close(self) -> None:
        await self._client.aclose()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = False

        async def sent(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        request = Request(scope, receive)
        try:
            check_path(request.state.identity, request.method, scope["path"])
            await self._pass_on(await self._outgoing(request), scope, receive, sent)
        except ClientDisconnect:
            return
        except Refused as refused:
            await _answer(refused.problem, refused.headers)(scope, receive, send)
        except httpx.TransportError as error:
            if started:  # too late for an answer: breaking off is what tells the caller
                raise
            problem = _LATE if isinstance(error, httpx.TimeoutException) else _DOWN
            await _answer(problem, {"Retry-After": "5"})(scope, receive, send)

    async def _outgoing(self, request: Request) -> httpx.Request:
        path = request.scope["path"]
        inspected = is_inspected(path)
        limit = LARGEST_FILE if is_file(path) else LARGEST_INSPECTED if inspected else LARGEST_BODY
        if int(request.headers.get("content-length", "0")) > limit:
            raise Refused(_too_large(limit))
        headers = _passed_on(request)
        if self._token:
            headers.append((b"authorization", f"Bearer {self._token}".encode()))
        content: bytes | AsyncIterator[bytes] | None = None
        if "content-length" in request.headers or "transfer-encoding" in request.headers:
            content = _limited(request, limit)
            if inspected:
                content = checked_body(path, b"".join([chunk async for chunk in content]))
                headers = [(name, value) for name, value in headers if name != b"content-length"]
        url = self._upstream.copy_with(raw_path=request_target(request.scope))
        # Made here and not by the client, which would add headers of its own.
        return httpx.Request(request.method, url, headers=headers, content=content)

    async def _pass_on(self, outgoing: httpx.Request, scope: Scope, receive: Receive, send: Send) -> None:
        incoming = await self._client.send(outgoing, stream=True)
        try:
            answer = StreamingResponse(incoming.aiter_raw(), incoming.status_code)
            answer.raw_headers = [
                (name.lower(), self._here(value) if name.lower() == b"location" else value)
                for name, value in incoming.headers.raw
                if name.lower() not in _NOT_PASSED_BACK
            ]
            await answer(scope, receive, send)
        finally:
            await incoming.aclose()

    def _here(self, location: bytes) -> bytes:
        """A redirection's target as it is reached through the gateway."""
        return location.removeprefix(str(self._upstream).rstrip("/").encode())


def _passed_on(request: Request) -> list[tuple[bytes, bytes]]:
    named = {name.strip().lower().encode("latin-1") for name in request.headers.get("connection", "").split(",")}
    headers = [
        (name, value)
        for name, value in request.headers.raw
        if name not in _NOT_PASSED_ON and name not in named and not name.startswith(b"x-forwarded-")
    ]
    if request.client is not None:
        # MLflow trusts its own machine more than others; this is not where the request comes from.
        headers.append((b"x-forwarded-for", request.client.host.encode("latin-1")))
    return headers


async def _limited(request: Request, limit: int) -> AsyncIterator[bytes]:
    length = 0
    async for chunk in request.stream():
        length += len(chunk)
        if length > limit:
            raise Refused(_too_large(limit))
        yield chunk


def _answer(problem: Problem, headers: Mapping[str, str]) -> Response:
    code = _MLFLOW_CODES.get(problem.status, "BAD_REQUEST" if problem.status < 500 else "TEMPORARILY_UNAVAILABLE")
    return response(problem, headers, {"error_code": code, "message": problem.detail})


_DOWN = Problem(
    "/problems/mlflow-down",
    "MLflow does not answer",
    502,
    "The MLflow server is starting or has stopped. Try again in a moment; sweeps go on without it, and their record "
    "is completed once it is back.",
)
_LATE = Problem(
    "/problems/mlflow-late",
    "MLflow takes too long",
    504,
    "The MLflow server did not answer in time. Try again in a moment, or ask for less at once.",
)


def _too_large(limit: int) -> Problem:
    return Problem("/problems/too-large", "Too large", 413, f"At most {limit} bytes are taken here.")
