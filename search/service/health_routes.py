"""The routes that ask how the service is: for whoever keeps it running."""

from __future__ import annotations

from fastapi import APIRouter
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.requests import Request
from starlette.responses import Response

from search.service import examples
from search.service.answers import declared
from search.service.asking import Reading
from search.service.metrics import Metrics
from search.service.views import HealthView
from search.service.views import StatusView
from search.store import Store

LIVE = "/api/v1/health/live"
READY = "/api/v1/health/ready"
OPEN_REQUESTS = tuple((method, path) for path in (LIVE, READY) for method in ("GET", "HEAD"))
"""Method and path of what needs no token: it tells nothing but whether the service works."""

router = APIRouter(tags=["health"])


@router.head(LIVE, include_in_schema=False)
@router.get(
    LIVE,
    operation_id="live",
    summary="Whether the service runs",
    response_description="It does.",
    responses={**declared(), 200: examples.of({"status": "live"})},
)
async def live() -> HealthView:
    """Answer without looking at anything; a service that does not should be started again."""
    return HealthView(status="live")


@router.head(READY, include_in_schema=False)
@router.get(
    READY,
    operation_id="ready",
    summary="Whether the service can do its work",
    response_description="The store answers.",
    responses={**declared(), 200: examples.of({"status": "ready"})},
)
def ready(request: Request) -> HealthView:
    """Ask the store; one that does not answer makes it 503."""
    store: Store = request.app.state.service.store
    store.tokens.exist()
    return HealthView(status="ready")


@router.get(
    "/api/v1/status",
    operation_id="read_status",
    summary="Read who works, what runs and what waits",
    response_description="The service at this moment.",
    responses={**declared(), 200: examples.of(examples.STATUS)},
)
def status(asked: Reading) -> StatusView:
    """Read which workers and servers live, how many sweeps are in each state, what runs and what runs next."""
    return asked.status()


@router.get(
    "/metrics",
    operation_id="metrics",
    summary="Metrics for Prometheus",
    response_class=Response,
    response_model=None,
    responses={
        **declared(),
        200: {
            "description": "Sweeps and trials by state, workers, the queue's age, requests and their times.",
            "content": {CONTENT_TYPE_LATEST: {"schema": {"type": "string"}}},
        },
    },
)
def metrics(request: Request) -> Response:
    """Read the metrics, in Prometheus's text format."""
    counted: Metrics = request.app.state.metrics
    return Response(counted.text(), media_type=CONTENT_TYPE_LATEST)
