"""A line in the log and a count in the metrics for every request that was answered."""

from __future__ import annotations

import logging
import time

from starlette.routing import Match
from starlette.types import ASGIApp
from starlette.types import Message
from starlette.types import Receive
from starlette.types import Scope
from starlette.types import Send

from search.service.metrics import Metrics

_LOGGER = logging.getLogger("emphasis.api")

UNMATCHED = "-"
"""In place of a route, where a request leads to none."""

_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")


class AccessLog:
    """An application whose requests are logged and counted.

    Nothing that a caller chose is written but the method and the name of the token: the route is the API's own
    template of the path, and neither query nor headers appear.

    Args:
        app: The application.
        metrics: Where they are counted.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app, self._metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request, and say that it was."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.perf_counter()
        answered = False

        async def say(message: Message) -> None:
            nonlocal answered
            if message["type"] == "http.response.start":
                answered = True
                # A followed log is answered for hours: what counts is when its answer began.
                self._say(scope, message["status"], time.perf_counter() - began)
            await send(message)

        try:
            await self._app(scope, receive, say)
        except Exception:
            if not answered:
                self._say(scope, 500, time.perf_counter() - began)
            raise

    def _say(self, scope: Scope, status: int, seconds: float) -> None:
        route = _route(scope)
        # A method that a caller made up would grow the metrics without bound.
        method = scope["method"] if scope["method"] in _METHODS else "OTHER"
        identity = scope.get("state", {}).get("identity")
        token = identity.name if identity is not None else None
        self._metrics.count(method, route, status, seconds)
        _LOGGER.info(
            "%s %s %d",
            method,
            route,
            status,
            extra={
                "method": method,
                "route": route,
                "status": status,
                "ms": round(1000 * seconds, 1),
                "token": token,
            },
        )


def _route(scope: Scope) -> str:
    # Looked for here, since a request that was refused has not been led anywhere.
    routes = scope["app"].router.routes
    return next((str(each.path) for each in routes if each.matches(scope)[0] is not Match.NONE), UNMATCHED)
