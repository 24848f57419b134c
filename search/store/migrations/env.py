"""Alembic's entry: runs inside the transaction that Store.open holds, never with a connection of its own."""

from __future__ import annotations

from alembic import context

from search.store.migrations import VERSION_TABLE
from search.store.models import Base

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    version_table=VERSION_TABLE,
    # SQLite can roll DDL back as well, since Store issues BEGIN itself.
    transactional_ddl=True,
    # SQLite changes most things about a table only by making it anew.
    render_as_batch=True,
)
context.run_migrations()
