"""The queue: sweeps that wait for a worker, in the order in which they are run."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from sqlalchemy import Select
from sqlalchemy import func
from sqlalchemy import select

from search.store.database import Database
from search.store.models import Sweep
from search.store.records import SweepRecord
from search.store.records import SweepState
from search.store.rows import sweep_record


class Queue:
    """The queue of one store; what is in it is claimed by `search.store.Store.claim_sweep`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def next(self, passing_over: Collection[str] = ()) -> SweepRecord | None:
        """The sweep that a worker should run next: of the highest priority, the first that came.

        Args:
            passing_over: Ids of sweeps that this worker cannot run.
        """
        query = _in_order().limit(1)
        if passing_over:
            query = query.where(Sweep.id.not_in(list(passing_over)))
        with self._database.reading() as session:
            row = session.scalars(query).one_or_none()
            return None if row is None else sweep_record(row)

    def first(self, limit: int) -> list[SweepRecord]:
        """The sweeps that workers run next, the first of them first; at most so many."""
        with self._database.reading() as session:
            return [sweep_record(row) for row in session.scalars(_in_order().limit(limit))]

    def length(self) -> int:
        """How many sweeps wait for a worker."""
        with self._database.reading() as session:
            return session.scalar(select(func.count()).select_from(_in_order().order_by(None).subquery())) or 0

    def oldest(self) -> datetime | None:
        """When the sweep was submitted that has waited longest for a worker; None where none waits."""
        oldest = select(func.min(Sweep.created_at)).where(Sweep.state == SweepState.QUEUED, Sweep.attended.is_(False))
        with self._database.reading() as session:
            return session.scalar(oldest)


def is_ready(row: Sweep) -> bool:
    """Whether a worker may claim a sweep, as far as its state goes."""
    return row.state is SweepState.QUEUED and not row.attended


def _in_order() -> Select[Sweep]:
    ready = select(Sweep).where(Sweep.state == SweepState.QUEUED, Sweep.owner.is_(None), Sweep.attended.is_(False))
    return ready.order_by(Sweep.priority.desc(), Sweep.created_at, Sweep.id)
