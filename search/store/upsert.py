"""Rows that are added, or replace those of the same key."""

from __future__ import annotations

from typing import Any

from sqlalchemy.dialects import postgresql
from sqlalchemy.dialects import sqlite
from sqlalchemy.orm import Session

from search.store.models import Epoch
from search.store.models import Tracking


def insert_or_replace(session: Session, model: type[Epoch | Tracking], rows: list[dict[str, Any]]) -> None:
    """Add rows to a table; of a row whose key is there already, the new one stays."""
    if not rows:
        return
    keys = [column.name for column in model.__table__.primary_key]
    # The two dialects spell it alike but have a class each.
    insert: Any = postgresql.insert if session.get_bind().dialect.name == "postgresql" else sqlite.insert
    statement = insert(model)
    values = {
        column.name: statement.excluded[column.name]
        for column in model.__table__.columns
        if column.name not in keys
    }
    session.execute(statement.on_conflict_do_update(index_elements=keys, set_=values), rows)
