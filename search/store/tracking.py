"""MLflow's cursors: how far its record of each sweep and trial has come."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import asdict
from datetime import timedelta

from sqlalchemy import delete
from sqlalchemy import func
from sqlalchemy import or_
from sqlalchemy import select
from sqlalchemy import update
from sqlalchemy.orm import Session

from search.store.database import Database
from search.store.models import Event
from search.store.models import Sweep
from search.store.models import Tracking
from search.store.models import Trial
from search.store.records import Lease
from search.store.records import TrackingRecord
from search.store.rows import tracking_record
from search.store.sweep_lock import leased_writing
from search.store.sweep_lock import locking
from search.store.upsert import insert_or_replace


class TrackingCursors:
    """The cursors of one store; of one that is fenced by a lease, every write is."""

    def __init__(self, database: Database, lease: Lease | None) -> None:
        self._database = database
        self._lease = lease

    def cursor(self, subject_id: str) -> TrackingRecord | None:
        """How far MLflow's projection of a sweep or trial has come; None before it began."""
        with self._database.reading() as session:
            row = session.get(Tracking, subject_id)
            if row is None:
                return None
            return tracking_record(row)

    def cursors(self, subject_ids: Collection[str]) -> dict[str, TrackingRecord]:
        """`cursor` of several sweeps or trials, for lists; those of which MLflow has nothing are left out."""
        query = select(Tracking).where(Tracking.subject_id.in_(list(subject_ids)))
        with self._database.reading() as session:
            return {row.subject_id: tracking_record(row) for row in session.scalars(query)}

    def forget(self, sweep_id: str) -> None:
        """Say that MLflow has nothing of a deleted sweep any more."""
        with leased_writing(self._database, self._lease) as session:
            session.execute(delete(Tracking).where(Tracking.subject_id == sweep_id, Tracking.deleted))

    def adopt_run(self, sweep_id: str, subject_id: str, run_id: str) -> str | None:
        """Make an MLflow run the one of a sweep or trial, unless there is one: of several recorders the first wins.

        Args:
            sweep_id: Full id of the sweep.
            subject_id: Of the sweep, or of a trial of it.
            run_id: A run that was made for it.

        Returns:
            Its run: ``run_id``, or the one that another made; None where the sweep has been deleted.
        """
        with leased_writing(self._database, self._lease) as session:
            if session.scalars(locking(sweep_id)).one_or_none() is None:
                return None
            row = session.get(Tracking, subject_id)
            if row is not None:
                return row.run_id
            session.add(Tracking(**asdict(TrackingRecord(subject_id, run_id))))
            return run_id

    def save(self, sweep_id: str, record: TrackingRecord) -> None:
        """Remember how far MLflow's projection has come; of a deleted sweep nothing but that it was deleted.

        Args:
            sweep_id: Full id of the sweep.
            record: Of the sweep, or of a trial of it.
        """
        with leased_writing(self._database, self._lease) as session:
            if session.scalars(locking(sweep_id)).one_or_none() is not None:
                insert_or_replace(session, Tracking, [asdict(record)])

    def behind(self, quiet_seconds: float = 0.0) -> list[str]:
        """Ids of the sweeps that nobody runs and whose present state MLflow does not have; deleted ones too.

        Args:
            quiet_seconds: Only those to which nothing has happened for so long: the process that ran a sweep goes on
                recording it for a while after it has let go of it.
        """
        behind = (
            select(Sweep.id)
            .outerjoin(Tracking, Tracking.subject_id == Sweep.id)
            .where(Sweep.owner.is_(None), or_(Tracking.closed.is_(None), Tracking.closed.is_(False)))
            .order_by(Sweep.created_at, Sweep.id)
        )
        last = select(func.max(Event.at)).where(Event.sweep_id == Sweep.id).scalar_subquery()
        with self._database.reading() as session:
            if quiet_seconds:
                since = self._database.moment(session) - timedelta(seconds=quiet_seconds)
                behind = behind.where(or_(last.is_(None), last <= since))
            deleted = select(Tracking.subject_id).where(Tracking.deleted)
            return [*session.scalars(behind), *session.scalars(deleted)]


def reopen(session: Session, sweep_id: str) -> None:
    """Take back that MLflow has the last word on a sweep, in the transaction that moves it."""
    session.execute(update(Tracking).where(Tracking.subject_id == sweep_id).values(closed=False))


def mark_deleted(session: Session, sweep_id: str) -> None:
    """Have MLflow's runs of a sweep deleted later, in the transaction that deletes it."""
    trials = select(Trial.id).where(Trial.sweep_id == sweep_id)
    session.execute(delete(Tracking).where(Tracking.subject_id.in_(trials)))
    # By its run the recorder finds the others.
    parent = update(Tracking).where(Tracking.subject_id == sweep_id)
    session.execute(parent.values(deleted=True, closed=False))
