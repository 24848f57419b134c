"""The lock of a sweep, under which everything about it is written, and the lease of who runs it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

from sqlalchemy import Select
from sqlalchemy import select
from sqlalchemy.orm import Session
from sqlalchemy.orm import defer

from search.errors import LeaseLost
from search.store.database import Database
from search.store.models import Sweep
from search.store.records import Lease
from trainers.errors import FieldError
from trainers.errors import InvalidInput


@contextmanager
def leased_writing(database: Database, lease: Lease | None) -> Iterator[Session]:
    """A transaction that writes, refused once the lease is lost or has run out; without one, as any other.

    Raises:
        LeaseLost: The sweep is another's, or was deleted, or the lease had run out.
    """
    with database.writing() as session:
        if lease is not None:
            _check_lease(session, lease, database.moment(session))
        yield session


def no_sweep(sweep_id: str) -> InvalidInput:
    """What to raise where there is no sweep of this id."""
    return InvalidInput(
        FieldError("sweep", sweep_id, "there is no such sweep", "See them with `emphasis list`.")
    )


def locking(sweep_id: str) -> Select[Sweep]:
    """The query that locks a sweep until the end of the transaction."""
    # Epochs and attempts refer to keys only, so they need not wait for this lock. What may be megabytes, and is read by
    # few of those who write, is fetched where it is asked for.
    large = (defer(Sweep.spec), defer(Sweep.facts), defer(Sweep.versions))
    return select(Sweep).where(Sweep.id == sweep_id).options(*large).with_for_update(key_share=True)


def locked_sweep(session: Session, sweep_id: str) -> Sweep:
    """The sweep, locked until the end of the transaction.

    Raises:
        InvalidInput: There is no such sweep.
    """
    row = session.scalars(locking(sweep_id)).one_or_none()
    if row is None:
        raise no_sweep(sweep_id)
    return row


def _check_lease(session: Session, lease: Lease, now: datetime) -> None:
    row = session.scalars(locking(lease.sweep_id)).one_or_none()
    if row is None:
        raise LeaseLost(lease.sweep_id, "it was deleted")
    if (row.owner, row.fence) != (lease.owner, lease.fence):
        raise LeaseLost(lease.sweep_id, f"{row.owner} has it now" if row.owner else "it was released")
    if row.lease_expires_at is not None and row.lease_expires_at < now:
        raise LeaseLost(lease.sweep_id, "the lease ran out, since it was not renewed in time")
