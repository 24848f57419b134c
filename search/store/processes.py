"""Workers and servers that say in the store that they live, and what they are."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from sqlalchemy import delete
from sqlalchemy import select

from search.store.database import Database
from search.store.models import Process
from search.store.records import ProcessKind
from search.store.records import ProcessRecord

SILENT_SECONDS = 60.0
"""A process that has not said for this long that it lives is taken for dead."""


class Processes:
    """The workers and servers of one store."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def say(self, name: str, kind: ProcessKind, facts: Mapping[str, Any]) -> None:
        """Say that a process lives, and what it is now; to be repeated well within `SILENT_SECONDS`."""
        with self._database.writing() as session:
            now = self._database.moment(session)
            row = session.get(Process, name)
            if row is None:
                row = Process(name=name, kind=kind, facts=dict(facts), started_at=now, heartbeat_at=now)
                session.add(row)
            row.facts = dict(facts)
            row.heartbeat_at = now
            # Those that died long ago are of no use to anybody.
            session.execute(delete(Process).where(Process.heartbeat_at < now - timedelta(days=1)))

    def forget(self, name: str) -> None:
        """Say that a process has ended."""
        with self._database.writing() as session:
            session.execute(delete(Process).where(Process.name == name))

    def heard_from(self, kind: ProcessKind | None = None) -> list[ProcessRecord]:
        """Those that have lately said that they live, oldest first."""
        with self._database.reading() as session:
            since = self._database.moment(session) - timedelta(seconds=SILENT_SECONDS)
            query = select(Process).where(Process.heartbeat_at >= since).order_by(Process.started_at, Process.name)
            if kind is not None:
                query = query.where(Process.kind == kind)
            return [
                ProcessRecord(row.name, row.kind, row.facts, row.started_at, row.heartbeat_at)
                for row in session.scalars(query)
            ]
