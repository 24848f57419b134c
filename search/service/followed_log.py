"""A sweep's log as server-sent events (WHATWG HTML, 9.2), for as long as something may be added to it."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator

from starlette.concurrency import run_in_threadpool

from search.errors import StoreUnavailable
from search.service.local import LocalService
from search.service.views import EventPage
from search.service.views import EventView
from trainers.errors import InvalidInput

MEDIA_TYPE = "text/event-stream"

END = "end"
"""Name of the last event of a stream: nothing more will come unless somebody resumes the sweep."""

_POLL_SECONDS = 0.5
_HEARTBEAT_SECONDS = 15.0
# Who listens then asks again: a token that was revoked meanwhile is noticed.
_LONGEST_SECONDS = 300.0


async def followed_log(service: LocalService, sweep_id: str, first: EventPage, follow: bool) -> AsyncIterator[str]:
    """A sweep's log as the text of server-sent events.

    Args:
        service: Where the log is.
        sweep_id: The sweep.
        first: The page to begin with.
        follow: Whether to wait for what comes later.
    """
    page = first
    began = heard = time.monotonic()
    while time.monotonic() - began < _LONGEST_SECONDS:
        for event in page.items:
            yield f"id: {event.number}\nevent: {event.kind}\ndata: {_one_line(event)}\n\n"
        if page.ended or not (follow or page.items):
            yield f"event: {END}\ndata: {json.dumps({'ended': page.ended})}\n\n"
            return
        if page.items:
            heard = time.monotonic()
        else:
            if time.monotonic() - heard >= _HEARTBEAT_SECONDS:
                heard = time.monotonic()
                yield ": still here\n\n"
            await asyncio.sleep(_POLL_SECONDS)
        try:
            page = await run_in_threadpool(service.log, sweep_id, after=page.next)
        except (StoreUnavailable, InvalidInput):
            # Who listens asks again, after the last event they have, and is then told what is wrong.
            return


def _one_line(event: EventView) -> str:
    """An event as JSON that every reader takes for one line: some end one where only a text has a paragraph."""
    return event.model_dump_json().translate({ord(end): f"\\u{ord(end):04x}" for end in "\x85\u2028\u2029"})
