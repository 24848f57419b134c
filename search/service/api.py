"""The HTTP API under ``/api/v1``: what `LocalService` does, by routes."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator
from collections.abc import Collection
from collections.abc import Sequence
from contextlib import asynccontextmanager

from fastapi import FastAPI
from starlette.routing import BaseRoute

from search.service import catalogue_routes
from search.service import health_routes
from search.service import identity_routes
from search.service import sweep_routes
from search.service.access_log import AccessLog
from search.service.answers import answer_errors
from search.service.asking import MlflowPages
from search.service.checking import CheckingThreads
from search.service.guard import Guard
from search.service.guarded import Guarded
from search.service.local import LocalService
from search.service.metrics import Metrics
from search.service.openapi import describe

OPENAPI = "/api/v1/openapi.json"


def create_app(
    service: LocalService,
    guard: Guard,
    *,
    mlflow: MlflowPages | None = None,
    pages: Sequence[BaseRoute] = (),
    open_requests: Collection[tuple[str, str]] = (),
    login_path: str | None = None,
) -> FastAPI:
    """The service as an ASGI application.

    Importing and making it needs neither torch nor Ray nor MLflow; torch is loaded in the background once it runs.

    Args:
        service: What is asked; sweeps bear the names of the tokens they are submitted with.
        guard: Decides who is heard.
        mlflow: Where MLflow's pages are, if there are any.
        pages: Routes beside the API, e.g. the page and the log-in; the API's come first.
        open_requests: Method and path of those of them that need no token.
        login_path: Where a browser without a token is sent to; None answers it with 401 as everybody else.
    """
    # Pages of documentation that come along with FastAPI are loaded from elsewhere; this works without internet.
    app = FastAPI(
        openapi_url=OPENAPI, docs_url=None, redoc_url=None, redirect_slashes=False, lifespan=_loading_torch
    )
    app.state.service, app.state.mlflow = service, mlflow or MlflowPages()
    app.state.checking = CheckingThreads()
    app.state.metrics = Metrics(service.store)
    for ours in (sweep_routes, catalogue_routes, identity_routes, health_routes):
        app.router.routes.extend(ours.router.routes)
    app.router.routes.extend(pages)
    answer_errors(app)
    describe(app)
    # The one added last is asked first: what the guard refuses is logged too.
    app.add_middleware(
        Guarded,
        guard=guard,
        open_requests=(*health_routes.OPEN_REQUESTS, *open_requests),
        login_path=login_path,
    )
    app.add_middleware(AccessLog, metrics=app.state.metrics)
    return app


@asynccontextmanager
async def _loading_torch(app: FastAPI) -> AsyncIterator[None]:
    # It takes seconds, which the first to submit or list would otherwise wait.
    threading.Thread(target=_load_torch, name="emphasis-loading", daemon=True).start()
    yield


def _load_torch() -> None:
    import search.preflight
    import search.submission  # noqa: F401
