"""The guard in front of an ASGI application."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Collection
from urllib.parse import quote

from anyio import CapacityLimiter
from anyio import to_thread
from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp
from starlette.types import Receive
from starlette.types import Scope
from starlette.types import Send

from search.errors import StoreUnavailable
from search.service.guard import Call
from search.service.guard import Guard
from search.service.problems import Problem
from search.service.problems import Refused
from search.service.problems import response
from search.service.request_target import request_target

_AT_ONCE = 8


class Guarded:
    """An application that hears nothing but what a guard lets pass.

    It finds who a request is from as ``request.state.identity``.

    Args:
        app: The application.
        guard: The guard.
        open_requests: Method and path of what needs no token, e.g. the log-in page. It has no identity.
        login_path: Where a browser without a token is sent to; None answers it with 401 as everybody else.
        answer: Makes the answer out of a problem and the headers it needs.
    """

    def __init__(
        self,
        app: ASGIApp,
        guard: Guard,
        open_requests: Collection[tuple[str, str]] = (),
        login_path: str | None = None,
        answer: Callable[[Problem, dict[str, str]], Response] = response,
    ) -> None:
        self._app, self._guard = app, guard
        self._open_requests, self._login_path = frozenset(open_requests), login_path
        self._answer = answer
        # Threads of its own: who is let in must not wait for what those inside do.
        self._threads = CapacityLimiter(_AT_ONCE)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request pass, or answer why not."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        elif scope["type"] == "http":
            refusal = await self._refusal(scope)
            await (refusal or self._app)(scope, receive, send)
        else:  # a web socket: nothing here speaks it
            await send({"type": "websocket.close", "code": 1008})

    async def _refusal(self, scope: Scope) -> Response | None:
        client = scope.get("client")
        call = Call(scope["method"], Headers(scope=scope), client[0] if client else "")
        try:
            if (call.method, scope["path"]) in self._open_requests:
                self._guard.hear(call)
            else:
                # The store is asked, which may be a database elsewhere.
                identity = await to_thread.run_sync(self._guard.identify, call, limiter=self._threads)
                scope.setdefault("state", {})["identity"] = identity
        except Refused as refused:
            wants_page = call.method in ("GET", "HEAD") and "text/html" in call.headers.get("accept", "")
            if refused.problem.status == 401 and self._login_path is not None and wants_page:
                return _to_login(self._login_path, scope)
            return self._answer(refused.problem, refused.headers)
        except StoreUnavailable:
            return self._answer(STORE_UNAVAILABLE, {"Retry-After": "5"})
        return None


STORE_UNAVAILABLE = Problem(
    "/problems/store-unavailable",
    "The store does not answer",
    503,
    "Tokens cannot be looked up while the store does not answer. Try again in a moment.",
)


def _to_login(login_path: str, scope: Scope) -> Response:
    location = f"{login_path}?next={quote(request_target(scope), safe='')}"
    return Response(status_code=303, headers={"Location": location, "Cache-Control": "no-store"})
