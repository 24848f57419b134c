"""What is written when a sweep changes its state or its owner; whoever calls this has locked the sweep."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from datetime import timedelta

from sqlalchemy.orm import Session

from search.errors import IllegalMove
from search.errors import SweepBusy
from search.store import event_log
from search.store import trial_moves
from search.store.models import Sweep
from search.store.queue import is_ready
from search.store.records import SweepState
from search.store.records import utc_now
from search.store.rows import storable_text
from search.store.states import once_stopped
from search.store.tracking import reopen

#: A sweep that kills its process so often in a row is not tried again.
MOST_DEATHS = 5

IsAlive = Callable[[str, datetime], bool]


def move(
    session: Session,
    row: Sweep,
    state: SweepState,
    message: str | None,
    *,
    kind: str = "state",
    level: str = "info",
    told: str | None = None,
    ended_at: datetime | None = None,
) -> None:
    """Set a sweep's state and say so in its log."""
    if not (row.state is state and state.ended):
        row.finished_at = (ended_at or utc_now()) if state.ended else None
    row.state = state
    row.message = storable_text(message)
    reopen(session, row.id)
    level = "error" if state is SweepState.FAILED else level
    told = told or (f"{state}: {message}" if message else str(state))
    event_log.add(session, row.id, kind, told, level=level, data={"state": str(state)})


def claim(
    session: Session, row: Sweep, owner: str, now: datetime, *, is_alive: IsAlive, lease_seconds: float | None
) -> None:
    """Give a sweep to ``owner`` and set it running: `search.store.Store.claim_sweep`."""
    if row.owner is not None and row.owner != owner and _is_held(row, now, is_alive):
        raise SweepBusy(row.id, row.owner)
    attended = lease_seconds is None
    ready = row.state not in (SweepState.DONE, SweepState.CANCELLED) if attended else is_ready(row)
    if not ready:
        raise IllegalMove(row.id, "run", row.state, f"See it with `emphasis show {row.id}`.")
    row.owner = owner
    row.fence += 1
    row.attended = attended
    row.started_at = row.started_at or now
    renew(row, now, lease_seconds)
    move(session, row, SweepState.RUNNING, None, kind="started", told=f"taken up by {owner}")


def renew(row: Sweep, now: datetime, lease_seconds: float | None) -> None:
    """Note that a sweep's owner lives, and how long its lease lasts from now, if it has one."""
    row.heartbeat_at = now
    row.lease_expires_at = None if lease_seconds is None else now + timedelta(seconds=lease_seconds)


def disown(row: Sweep) -> None:
    """Take a sweep from its owner."""
    row.owner = row.heartbeat_at = row.lease_expires_at = None


def release(session: Session, row: Sweep, reason: str, died: bool) -> None:
    """Record that a sweep's process has stopped: `search.store.Store.release_sweep`."""
    trial_moves.release_running(session, row.id, reason)
    disown(row)
    row.deaths += died
    state = once_stopped(row.state, row.attended)
    if state is SweepState.QUEUED and row.deaths >= MOST_DEATHS:
        state = SweepState.FAILED
        reason = f"{reason}, {row.deaths} times in a row before a trial could finish"
    move(session, row, state, reason, level="warning" if died else "info")


def release_if_lost(
    session: Session, row: Sweep, now: datetime, is_alive: IsAlive, may_sleep: Callable[[str], bool] | None
) -> bool:
    """Release a sweep whose owner is gone, and say whether it was: `search.store.Store.release_lost`."""
    if row.owner is None or _is_held(row, now, is_alive):
        return False
    if may_sleep is not None and row.attended and row.state is SweepState.RUNNING and may_sleep(row.owner):
        return False
    # Where it was only silent, the process may well have been asleep, and have ended since as it should.
    expired = row.lease_expires_at is not None and row.lease_expires_at < now
    died = not expired and not is_alive(row.owner, utc_now())
    silent = "has long been silent" if row.lease_expires_at is None else "let its lease run out"
    release(session, row, f"the process that ran it {'was killed' if died else silent}", died)
    return True


def _is_held(row: Sweep, now: datetime, is_alive: IsAlive) -> bool:
    if row.owner is None:
        return False
    if row.lease_expires_at is None:
        return is_alive(row.owner, row.heartbeat_at or now)
    # A lease that runs is as good as a fresh heartbeat; a process of this machine can be seen to be dead before.
    return row.lease_expires_at >= now and is_alive(row.owner, utc_now())
