"""How a database comes to the present schema: Alembic revisions, packaged with the code that needs them."""

from __future__ import annotations

import threading
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

#: Not Alembic's default name, so that a database shared with MLflow (which uses that one) stays in order.
VERSION_TABLE = "emphasis_schema"

# Alembic keeps the running migration in module globals, so two threads cannot migrate at once.
_alembic = threading.Lock()


def _config() -> Config:
    config = Config()
    # ConfigParser reads % as interpolation.
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config


def head() -> str:
    """The newest revision that this version of Emphasis knows."""
    revision = ScriptDirectory.from_config(_config()).get_current_head()
    if revision is None:
        raise RuntimeError("The migrations are missing from this installation. Install Emphasis again.")
    return revision


def known_revisions() -> frozenset[str]:
    """Every revision that this version of Emphasis knows."""
    return frozenset(script.revision for script in ScriptDirectory.from_config(_config()).walk_revisions())


def current_revision(connection: Connection) -> str | None:
    """The revision that the database is at; None where Emphasis has not been there yet."""
    context = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE})
    return context.get_current_revision()


def upgrade(connection: Connection) -> None:
    """Bring the database to the newest revision, inside the caller's transaction and lock."""
    config = _config()
    config.attributes["connection"] = connection
    with _alembic:
        command.upgrade(config, "head")
