"""The queries for trials: one to be written, all with their attempts, and what those of many sweeps come to."""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from statistics import fmean
from typing import Any

from sqlalchemy import Select
from sqlalchemy import bindparam
from sqlalchemy import exists
from sqlalchemy import func
from sqlalchemy import select
from sqlalchemy.orm import Session
from sqlalchemy.orm import aliased

from search.store.models import Attempt
from search.store.models import Sweep
from search.store.models import Trial
from search.store.records import Phase
from search.store.records import Progress
from search.store.records import TrialState
from trainers.errors import FieldError
from trainers.errors import InvalidInput

#: SQLite takes at most 32,766 values in one statement, PostgreSQL 65,535.
_IDS_PER_QUERY = 10_000


def no_trial(trial_id: str) -> InvalidInput:
    """What to raise where there is no trial of this id."""
    return InvalidInput(
        FieldError("trial", trial_id, "there is no such trial", "See a sweep's trials with `emphasis show`.")
    )


def locked_trial(session: Session, trial_id: str) -> Trial:
    """The trial, locked until the end of the transaction.

    Raises:
        InvalidInput: There is no such trial.
    """
    row = session.scalars(
        select(Trial).where(Trial.id == trial_id).with_for_update(key_share=True)
    ).one_or_none()
    if row is None:
        raise no_trial(trial_id)
    return row


def existing_trial(
    session: Session, sweep_id: str, phase: Phase, configuration: int, repeat: int, given: Mapping[str, Any]
) -> Trial | None:
    """The trial that was added to a sweep under this phase, configuration and repeat, if one was.

    Raises:
        InvalidInput: It differs from what is given now; the message names in what.
    """
    existing = session.scalars(
        select(Trial).where(
            Trial.sweep_id == sweep_id,
            Trial.phase == phase,
            Trial.configuration == configuration,
            Trial.repeat == repeat,
        )
    ).one_or_none()
    if existing is None:
        return None
    different = {name: value for name, value in given.items() if getattr(existing, name) != value}
    if different:
        raise InvalidInput(
            *(
                FieldError(
                    name,
                    value,
                    f"trial {existing.id} of this phase, configuration and repeat has {getattr(existing, name)!r}",
                    "Use another configuration or repeat number.",
                )
                for name, value in different.items()
            )
        )
    return existing


def next_number(session: Session, sweep_id: str) -> int:
    """The number of the next trial that is added to a sweep."""
    last = session.scalar(select(func.max(Trial.number)).where(Trial.sweep_id == sweep_id))
    return 0 if last is None else last + 1


def attempt_count(session: Session, trial_id: str) -> int:
    """How often a trial was started."""
    return session.scalar(select(func.count()).select_from(Attempt).where(Attempt.trial_id == trial_id)) or 0


def trials_with_attempts() -> Select[Trial, int]:
    """Every trial, with how often it was started."""
    attempts = select(func.count()).select_from(Attempt).where(Attempt.trial_id == Trial.id).scalar_subquery()
    return select(Trial, attempts)


_Seed = aliased(Trial)
# Built once: a list of sweeps asks it of each.
BEST_TRIAL = (
    trials_with_attempts()
    .where(
        Trial.sweep_id == bindparam("sweep_id"),
        Trial.state == TrialState.DONE,
        Trial.phase == Phase.SEARCH,
        # A grid may hold cells of other supervisions, CCE for one: beside the search, not of it.
        Trial.supervision == select(Sweep.supervision).where(Sweep.id == bindparam("sweep_id")).scalar_subquery(),
        Trial.objective.is_not(None),
        # Of what was given up no seed counts, however well it did.
        ~exists().where(
            _Seed.sweep_id == Trial.sweep_id,
            _Seed.phase == Trial.phase,
            _Seed.configuration == Trial.configuration,
            _Seed.state == TrialState.PRUNED,
        ),
    )
    .order_by(Trial.objective.desc(), Trial.number)
    .limit(1)
)
"""What `search.store.Store.best_trial` is of the sweep ``sweep_id``, with how often it was started."""


def baseline_means(session: Session, sweep_ids: Sequence[str]) -> dict[str, float]:
    """Mean objective of CCE beside each of these sweeps; those without one are left out."""
    reached: dict[str, list[float]] = {}
    for some in in_turn(sweep_ids):
        query = (
            select(Trial.sweep_id, Trial.objective)
            .where(Trial.sweep_id.in_(some), Trial.phase == Phase.BASELINE, Trial.supervision == "cce")
            .order_by(Trial.sweep_id, Trial.number)
        )
        for sweep_id, objective in session.execute(query):
            if objective is not None:
                reached.setdefault(sweep_id, []).append(objective)
    return {sweep_id: fmean(objectives) for sweep_id, objectives in reached.items()}


def progress_by_sweep(session: Session, sweep_ids: Sequence[str]) -> dict[str, Progress]:
    """How many trials of each of these sweeps are in each state."""
    counts: dict[str, dict[str, int]] = {sweep_id: {} for sweep_id in sweep_ids}
    for some in in_turn(sweep_ids):
        query = (
            select(Trial.sweep_id, Trial.state, func.count())
            .where(Trial.sweep_id.in_(some))
            .group_by(Trial.sweep_id, Trial.state)
        )
        for sweep_id, state, count in session.execute(query):
            counts[sweep_id][state.value] = count
    return {sweep_id: Progress(**by_state) for sweep_id, by_state in counts.items()}


def in_turn(ids: Sequence[str]) -> Iterator[Sequence[str]]:
    """As many at a time as one query may name."""
    for start in range(0, len(ids), _IDS_PER_QUERY):
        yield ids[start : start + _IDS_PER_QUERY]
