"""The routes of the API under ``/api/v1/sweeps``."""

from __future__ import annotations

import re
from typing import Annotated
from typing import Any
from urllib.parse import quote

from fastapi import APIRouter
from fastapi import Depends
from fastapi import Header
from fastapi import Path
from fastapi import Query
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import FileResponse
from starlette.responses import RedirectResponse
from starlette.responses import Response
from starlette.responses import StreamingResponse

from search.service import examples
from search.service.answers import declared
from search.service.asking import Checking
from search.service.asking import Reading
from search.service.asking import Submitting
from search.service.bounds import LONGEST_KEY
from search.service.bounds import MOST_ITEMS
from search.service.bounds import MOST_PRIORITY
from search.service.followed_log import MEDIA_TYPE
from search.service.followed_log import followed_log
from search.service.json_body import json_object
from search.service.views import Curve
from search.service.views import EventPage
from search.service.views import StandingView
from search.service.views import SweepDetail
from search.service.views import SweepPage
from search.service.views import TrialPage
from search.store import SweepState
from search.store import Verb
from trainers.errors import InvalidInput

router = APIRouter(prefix="/api/v1/sweeps", tags=["sweeps"])

# What a column of a database holds.
_LARGEST = 2**31 - 1
# No database takes a NUL.
_TEXT = r"^[^\x00]*$"

SweepId = Annotated[
    str,
    Path(
        alias="sweep",
        max_length=300,
        pattern=r"^[^\x00]+$",
        description="Its id, or how that begins where no other does.",
        examples=[examples.SWEEP["id"]],
    ),
]
Text = Annotated[str | None, Query(max_length=300, pattern=_TEXT)]
Limit = Annotated[int, Query(ge=1, le=MOST_ITEMS, description="At most so many.")]
Priority = Annotated[
    int, Query(ge=-MOST_PRIORITY, le=MOST_PRIORITY, description="Higher is run first; first come, first served.")
]
RequestKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=LONGEST_KEY,
        pattern=r"^[\x20-\x7e]+$",
        description="A name of your own for this submission, e.g. a UUID. However often you send it, there is one "
        "sweep; with another body or priority the answer is 409.",
    ),
]
_SENT_EVENT = {
    "type": "object",
    "description": "Each event of the stream.",
    "required": ["event", "data"],
    "properties": {
        "id": {"type": "string", "description": "The event's number; the last event has none."},
        "event": {"type": "string", "description": "The event's kind, or end."},
        "data": {"type": "string", "contentMediaType": "application/json", "description": "The event."},
    },
}
_LOCATION = {"Location": {"description": "Where the sweep is read.", "schema": {"type": "string"}}}


@router.post(
    "",
    operation_id="submit_sweep",
    summary="Submit a sweep",
    status_code=201,
    response_description="The sweep, queued.",
    responses={
        **declared(400, 409, 413, 415, 422),
        201: {"headers": _LOCATION, **examples.of(examples.SWEEP)},
        200: {
            "model": SweepDetail,
            "description": "The sweep that was submitted before under the request key.",
            "headers": _LOCATION,
            **examples.of(examples.SWEEP),
        },
    },
)
async def submit(
    asked: Submitting,
    threads: Checking,
    fields: Annotated[dict[str, Any], Depends(json_object)],
    response: Response,
    priority: Priority = 0,
    request_key: RequestKey = None,
) -> SweepDetail:
    """Check a sweep's fields, its data and its resources, and queue it.

    The body is a SweepSpec with one noise rate, as `emphasis run` takes it in a file.
    """
    found = await threads.run(lambda: asked.submission(fields, priority=priority, request_key=request_key))
    response.status_code = 201 if found.created else 200
    response.headers["Location"] = f"{router.prefix}/{quote(found.sweep.id)}"
    return found.sweep


@router.get(
    "",
    operation_id="list_sweeps",
    summary="List sweeps",
    response_description="Some of the sweeps, newest first.",
    responses={**declared(422), 200: examples.of({"items": [examples.LISTED], "next": None})},
)
def sweeps(
    asked: Reading,
    state: Annotated[
        list[SweepState], Query(default_factory=list, description="Only in this state; repeat it for several.")
    ],
    dataset: Text = None,
    noise_rate: Annotated[float | None, Query(ge=0, lt=1)] = None,
    submitter: Text = None,
    limit: Limit = 50,
    cursor: Annotated[str | None, Query(max_length=600, description="The `next` of the page before.")] = None,
) -> SweepPage:
    """Read sweeps, newest first, page by page."""
    return asked.sweeps(
        states=state, dataset=dataset, noise_rate=noise_rate, submitter=submitter, limit=limit, cursor=cursor
    )


@router.get(
    "/{sweep}",
    operation_id="read_sweep",
    summary="Read a sweep",
    response_description="The sweep.",
    responses={**declared(404, 422), 200: examples.of(examples.SWEEP)},
)
def sweep(asked: Reading, sweep_id: SweepId) -> SweepDetail:
    """Read one sweep: its state, progress and best configuration, and everything that was asked for."""
    return asked.sweep(sweep_id)


@router.delete(
    "/{sweep}",
    operation_id="delete_sweep",
    summary="Delete a sweep",
    status_code=204,
    response_description="It is gone.",
    responses=declared(404, 409, 422),
)
def delete(asked: Submitting, sweep_id: SweepId) -> None:
    """Delete a sweep that does not run, with its trials, log and figures; its MLflow runs are deleted soon."""
    asked.delete(sweep_id)


def _add_verb(verb: Verb, summary: str, description: str) -> None:
    def ask(asked: Submitting, sweep_id: SweepId) -> SweepDetail:
        return asked.ask(sweep_id, verb)

    router.post(
        f"/{{sweep}}/{verb}",
        operation_id=f"{verb}_sweep",
        summary=summary,
        description=f"{description} To ask again changes nothing.",
        response_description="The sweep, as it is now.",
        responses={**declared(404, 409, 422), 200: examples.of(examples.SWEEP)},
    )(ask)


_add_verb(Verb.CANCEL, "Cancel a sweep", "Stop a sweep for good; what it recorded is kept.")
_add_verb(Verb.PAUSE, "Pause a sweep", "Stop a sweep until it is resumed.")
_add_verb(Verb.RESUME, "Resume a sweep", "Queue a paused or failed sweep; only what is missing is run.")


@router.get(
    "/{sweep}/trials",
    operation_id="list_trials",
    summary="List a sweep's trials",
    response_description="Some of its trials, by number.",
    responses={**declared(404, 422), 200: examples.of({"items": [examples.TRIAL], "next": None})},
)
def trials(
    asked: Reading,
    sweep_id: SweepId,
    after: Annotated[int, Query(ge=-1, le=_LARGEST, description="The `next` of the page before.")] = -1,
    limit: Limit = MOST_ITEMS,
) -> TrialPage:
    """Read a sweep's trials by number, page by page."""
    return asked.trials(sweep_id, after=after, limit=limit)


@router.get(
    "/{sweep}/trials/{trial}/epochs",
    operation_id="read_curve",
    summary="Read a trial's learning curve",
    response_description="What each epoch reported.",
    responses={**declared(404, 422), 200: examples.of(examples.CURVE)},
)
def curve(
    asked: Reading,
    sweep_id: SweepId,
    number: Annotated[int, Path(alias="trial", ge=0, le=_LARGEST, description="The trial's number in its sweep.")],
) -> Curve:
    """Read what each epoch of a trial reported, so far or for good."""
    return asked.curve(sweep_id, number)


@router.get(
    "/{sweep}/leaderboard",
    operation_id="read_leaderboard",
    summary="Read a sweep's leader board",
    response_description="The best configurations, then the supervision's defaults and the CCE baseline.",
    responses={**declared(404, 422), 200: examples.of([examples.STANDING])},
)
def leaderboard(
    asked: Reading,
    sweep_id: SweepId,
    top: Annotated[int, Query(ge=1, le=MOST_ITEMS, description="How many configurations.")] = 10,
) -> list[StandingView]:
    """Read a sweep's best configurations so far, or for good; those confirmed on fresh seeds first."""
    return asked.leaderboard(sweep_id, top=top)


@router.get(
    "/{sweep}/recommendation",
    operation_id="read_recommendation",
    summary="Read what a sweep recommends",
    response_description="An object as `emphasis export --format json` has it, of this very sweep.",
    responses={**declared(404, 422), 200: examples.of(examples.RECOMMENDATION)},
)
def recommendation(asked: Reading, sweep_id: SweepId) -> dict[str, Any]:
    """Read the best configuration of a sweep, so far or for good, with its numbers and where they are from."""
    return asked.recommendation(sweep_id)


@router.get(
    "/{sweep}/events",
    operation_id="read_events",
    summary="Read or follow a sweep's log",
    response_model=None,
    responses={
        **declared(404, 422),
        200: {
            "model": EventPage,
            "description": "The log: a stream, or one page of it where application/json is accepted.",
            "content": {
                MEDIA_TYPE: {"schema": _SENT_EVENT, "example": examples.EVENT_STREAM},
                "application/json": {"example": examples.EVENTS},
            },
        },
        204: {"description": "Of a stream: there is nothing more, and none will come. Browsers then stop asking."},
    },
)
async def events(
    request: Request,
    asked: Reading,
    sweep_id: SweepId,
    after: Annotated[int, Query(ge=0, le=_LARGEST, description="Only what came after the event of this number.")] = 0,
    limit: Annotated[int, Query(ge=1, le=MOST_ITEMS, description="Of a page: at most so many.")] = MOST_ITEMS,
    follow: Annotated[bool, Query(description="Of a stream: whether to wait for what comes later.")] = True,
    last_event_id: Annotated[
        str | None, Header(description="As browsers send it when they reconnect; goes before `after`.")
    ] = None,
) -> Response:
    """Read a sweep's log, oldest first.

    By default as server-sent events: `id` is the event's number, `event` its kind, `data` the event as JSON. The
    stream goes on until nothing of the sweep will run any more, and then says `event: end`. Where application/json
    is accepted and text/event-stream is not, the answer is one page.
    """
    # An id that is not ours says nothing.
    if last_event_id is not None and re.fullmatch("[0-9]{1,10}", last_event_id) and int(last_event_id) <= _LARGEST:
        after = int(last_event_id)
    accepts = request.headers.get("accept", "")
    as_page = "application/json" in accepts and MEDIA_TYPE not in accepts
    page = await run_in_threadpool(asked.log, sweep_id, after=after, limit=limit if as_page else MOST_ITEMS)
    if as_page:
        return Response(page.model_dump_json(), media_type="application/json")
    if page.ended and not page.items:
        return Response(status_code=204)
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingResponse(followed_log(asked, sweep_id, page, follow), media_type=MEDIA_TYPE, headers=headers)


@router.get(
    "/{sweep}/figures",
    operation_id="list_figures",
    summary="List a sweep's figures and tables",
    response_description="Names of files.",
    responses={**declared(404, 422), 200: examples.of(["leaderboard.md", "objective_map.png"])},
)
def figures(asked: Reading, sweep_id: SweepId) -> list[str]:
    """Read which figures and tables there are; they are drawn when the sweep has ended."""
    return asked.figures(sweep_id)


@router.get(
    "/{sweep}/figures/{figure}",
    operation_id="read_figure",
    summary="Read a figure or table",
    response_class=FileResponse,
    response_model=None,
    responses={
        **declared(404, 422),
        200: {
            "description": "The file.",
            "content": {
                "image/png": {"schema": {"type": "string", "format": "binary"}},
                "application/json": {"schema": {}},
                "text/markdown": {"schema": {"type": "string"}},
                "application/octet-stream": {"schema": {"type": "string", "format": "binary"}},
            },
        },
    },
)
def figure(
    asked: Reading,
    sweep_id: SweepId,
    name: Annotated[str, Path(alias="figure", max_length=300, description="As the list of figures has it.")],
) -> FileResponse:
    """Read one of a sweep's figures or tables."""
    file = asked.figure(sweep_id, name)
    known = {".png": "image/png", ".json": "application/json", ".md": "text/markdown"}
    # Opened by itself, nothing in it may run in the name of this service.
    headers = {"Content-Security-Policy": "sandbox; default-src 'none'", "X-Content-Type-Options": "nosniff"}
    return FileResponse(file, media_type=known.get(file.suffix, "application/octet-stream"), headers=headers)


@router.get(
    "/{sweep}/mlflow",
    operation_id="open_in_mlflow",
    summary="Go to a sweep's page in MLflow",
    status_code=302,
    response_class=RedirectResponse,
    response_model=None,
    response_description="Its page.",
    responses={**declared(404, 422), 302: {"headers": _LOCATION}},
)
def mlflow(asked: Reading, sweep_id: SweepId, request: Request) -> RedirectResponse:
    """Lead to the sweep's page in MLflow, once MLflow has it; a browser until then to the sweep's page here."""
    try:
        return RedirectResponse(asked.mlflow_page(sweep_id), status_code=302)
    except InvalidInput:
        if "text/html" not in request.headers.get("accept", ""):
            raise
    return RedirectResponse(f"../../../../#/sweeps/{quote(sweep_id, safe='')}", status_code=302)
