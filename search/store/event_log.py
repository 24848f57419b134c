"""The log of a sweep: what has happened to it, numbered without a gap."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Select
from sqlalchemy import func
from sqlalchemy import select
from sqlalchemy.orm import Session

from search.store.models import Event
from search.store.records import utc_now
from search.store.rows import plain_json
from search.store.rows import storable_text


def last_number(sweep_id: str) -> Select[int | None]:
    """The query for the number of the newest event."""
    return select(func.max(Event.number)).where(Event.sweep_id == sweep_id)


def add(
    session: Session,
    sweep_id: str,
    kind: str,
    message: str,
    trial_id: str | None = None,
    level: str = "info",
    data: Mapping[str, Any] | None = None,
) -> Event:
    """Add a line to a sweep's log; to be called with the sweep locked."""
    # So numbers have no gap, and a reader that has seen one has seen those before it.
    last = session.scalar(last_number(sweep_id)) or 0
    row = Event(
        sweep_id=sweep_id,
        number=last + 1,
        at=utc_now(),
        level=level,
        kind=kind,
        message=storable_text(message) or "",
        trial_id=trial_id,
        data=plain_json("data", data or {}),
    )
    session.add(row)
    session.flush()
    return row
