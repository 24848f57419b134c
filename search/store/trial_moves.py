"""What is written when a trial begins, ends or loses its process; whoever calls this has locked the trial."""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy import update
from sqlalchemy.orm import Session

from search.errors import TrialFinished
from search.store import event_log
from search.store.models import Attempt
from search.store.models import Trial
from search.store.records import AttemptState
from search.store.records import TrialState
from search.store.records import utc_now
from search.store.rows import storable_text
from search.store.sweep_lock import locked_sweep
from search.store.trial_queries import attempt_count
from search.store.trial_queries import in_turn


def start(session: Session, row: Trial, host: str, pid: int) -> Attempt:
    """Add a running attempt to a trial: `search.store.Store.start_attempt`."""
    locked_sweep(session, row.sweep_id)
    if row.state.finished:
        raise TrialFinished(row.id, f"it cannot be started again, it is {row.state}")
    now = utc_now()
    number = attempt_count(session, row.id) + 1
    _end_running_attempts(session, [row.id], AttemptState.LOST, f"attempt {number} took its place", now)
    row.state = TrialState.RUNNING
    row.started_at = row.started_at or now
    attempt = Attempt(
        trial_id=row.id,
        number=number,
        host=host,
        pid=pid,
        state=AttemptState.RUNNING,
        started_at=now,
    )
    session.add(attempt)
    session.flush()
    told = "started" if number == 1 else f"started again (attempt {number})"
    event_log.add(session, row.sweep_id, "trial_started", told, row.id, data=row.hyperparameters)
    return attempt


def finish(session: Session, row: Trial, result: Mapping[str, Any]) -> None:
    """Set the columns of a trial's result, unless it has them already: `search.store.Store.finish_trial`."""
    if row.state.finished:
        for name, value in result.items():
            if getattr(row, name) != value:
                raise TrialFinished(row.id, f"{name} is {getattr(row, name)!r} and cannot become {value!r}")
        return
    now = utc_now()
    for name, value in result.items():
        setattr(row, name, value)
    row.finished_at = now
    failed = row.state is TrialState.FAILED
    outcome = AttemptState.FAILED if failed else AttemptState.DONE
    _end_running_attempts(session, [row.id], outcome, row.reason, now)
    sweep = locked_sweep(session, row.sweep_id)
    sweep.deaths = 0
    session.flush()
    event_log.add(
        session,
        row.sweep_id,
        "trial_finished",
        f"{row.state}" + (f": {row.reason}" if row.reason else ""),
        row.id,
        level="warning" if failed else "info",
        data={"state": str(row.state), "objective": row.objective, "train_seconds": row.train_seconds},
    )


def release(session: Session, row: Trial, reason: str) -> None:
    """Have a running trial wait again, its attempt lost: `search.store.Store.release_trial`."""
    _end_running_attempts(session, [row.id], AttemptState.LOST, storable_text(reason), utc_now())
    row.state = TrialState.WAITING
    locked_sweep(session, row.sweep_id)
    session.flush()
    event_log.add(session, row.sweep_id, "trial_released", reason, row.id, level="warning")


def release_running(session: Session, sweep_id: str, reason: str) -> Sequence[Trial]:
    """Lock a sweep's running trials and have them wait again; whoever calls this has locked the sweep.

    Returns:
        The trials that were released, by number.
    """
    rows = session.scalars(
        select(Trial)
        .where(Trial.sweep_id == sweep_id, Trial.state == TrialState.RUNNING)
        .order_by(Trial.number)
        .with_for_update(key_share=True)
    ).all()
    _end_running_attempts(session, [row.id for row in rows], AttemptState.LOST, storable_text(reason), utc_now())
    for row in rows:
        row.state = TrialState.WAITING
        event_log.add(session, sweep_id, "trial_released", reason, row.id)
    session.flush()
    return rows


def _end_running_attempts(
    session: Session, trial_ids: Sequence[str], state: AttemptState, reason: str | None, moment: datetime
) -> None:
    for some in in_turn(trial_ids):
        session.execute(
            update(Attempt)
            .where(
                Attempt.trial_id.in_(some),
                Attempt.state == AttemptState.RUNNING,
            )
            .values(state=state, reason=reason, finished_at=moment)
        )
