"""The database under the store: opening it safely, and transactions whose errors explain themselves."""

from __future__ import annotations

import functools
import json
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from sqlalchemy import URL
from sqlalchemy import Connection
from sqlalchemy import Engine
from sqlalchemy import create_engine
from sqlalchemy import event
from sqlalchemy import inspect
from sqlalchemy import make_url
from sqlalchemy import text
from sqlalchemy.exc import ArgumentError
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.orm import Session

from search.errors import StoreUnavailable
from search.store import migrations
from search.store.models import Base
from search.store.records import utc_now
from trainers.errors import FieldError
from trainers.errors import InvalidInput

#: How long a writer waits for another one before it gives up.
BUSY_SECONDS = 30.0

# Enough for every thread of a server; who finds none free within this time is told.
_POOL = {"pool_size": 20, "max_overflow": 30, "pool_timeout": 20.0}
# A server that has gone without a word is noticed well within a lease, in seconds and (the last) milliseconds.
_PATIENCE = {
    "connect_timeout": 10,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 25_000,
}

#: Name of the PostgreSQL advisory lock under which a database is migrated: "EMPHASIS" in ASCII.
_MIGRATION_LOCK = int.from_bytes(b"EMPHASIS", "big")


class Database:
    """Connections to one database that has Emphasis's tables; made by `open`.

    May be used from several threads at once. Do not carry it over a fork.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        # The same pool of connections; on SQLite their transactions begin with the write lock.
        self._writing_engine = engine.execution_options(emphasis_writes=True)

    @classmethod
    def open(cls, url: str) -> Database:
        """Open the database, creating or migrating the tables where needed; see `search.store.Store.open`."""
        database = cls(_engine(_checked_url(url)))
        try:
            with database._explained(opening=True):
                _bring_up_to_date(database.engine, database._writing_engine)
        except BaseException:
            database.close()
            raise
        return database

    def close(self) -> None:
        """Close every connection."""
        self.engine.dispose()

    @property
    def location(self) -> str:
        """The URL with its password hidden, fit for messages."""
        return _shown(self.engine.url)

    @property
    def is_sqlite(self) -> bool:
        """Whether it is a file of this machine."""
        return self.engine.dialect.name == "sqlite"

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """A transaction that only reads."""
        with self._explained(), Session(self.engine) as session, session.begin():
            yield session

    @contextmanager
    def writing(self) -> Iterator[Session]:
        """A transaction that writes: committed at the end of the block, undone by an error."""
        with self._explained(), Session(self._writing_engine) as session, session.begin():
            yield session

    def moment(self, session: Session) -> datetime:
        """The present moment by the one clock that all who share the database have (UTC)."""
        if self.is_sqlite:
            return utc_now()
        now: datetime = session.execute(text("SELECT clock_timestamp()")).scalar_one()
        return now

    @contextmanager
    def _explained(self, opening: bool = False) -> Iterator[None]:
        try:
            yield
        except PoolTimeout as error:
            remedy = "Too many ask at once, or the database hangs: try again in a moment."
            raise StoreUnavailable(f"The store {self.location} had no free connection: {error}. {remedy}") from None
        except DBAPIError as error:
            # Once open, a violated constraint or a wrong value is a mistake in the code: shown as it is.
            if not (opening or isinstance(error, OperationalError) or error.connection_invalidated):
                raise
            said = str(error.orig).strip()
            for secret in _secrets(self.engine.url):
                said = said.replace(secret, "***")
            if self.is_sqlite and ("not a database" in said or "malformed" in said):
                remedy = "It is another file, or damaged: give another home folder, or `emphasis restore` a backup."
            elif self.is_sqlite:
                remedy = (
                    "Check that the path can be written and is a local disk with space left, "
                    "and that no other program holds the file."
                )
            else:
                remedy = "Check that the server runs and that host, database, user and password are right."
            # Without the original, whose text may carry the connection string.
            raise StoreUnavailable(f"The store {self.location} did not answer: {said}. {remedy}") from None


def _secrets(url: URL) -> list[str]:
    # libpq takes passwords among the options as well, where SQLAlchemy does not hide them.
    options = [str(value) for name, value in url.query.items() if "password" in name]
    return [secret for secret in (str(url.password or ""), *options) if secret]


def _shown(url: URL) -> str:
    hidden = url.set(
        query={name: "***" if "password" in name else value for name, value in url.query.items()}
    )
    return hidden.render_as_string(hide_password=True)


def _checked_url(url: str) -> URL:
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        # The text that could not be read may hold a password, so it is not repeated.
        raise InvalidInput(
            FieldError(
                "store",
                "...",
                "is no database URL",
                "Correct EMPHASIS_STORE_URL, or unset it: sqlite:////absolute/path.db or postgresql://user:password@host/name.",
            )
        ) from None
    shown = _shown(parsed)
    if parsed.get_backend_name() in ("postgresql", "postgres"):
        try:
            import psycopg  # noqa: F401 - asked for here so that its absence is explained
        except ImportError:
            raise InvalidInput(
                FieldError(
                    "store",
                    shown,
                    "needs the PostgreSQL driver",
                    "Install it with `pip install 'emphasis[postgresql]'`.",
                )
            ) from None
        return parsed.set(drivername="postgresql+psycopg")
    if parsed.get_backend_name() != "sqlite":
        raise InvalidInput(
            FieldError(
                "store",
                shown,
                "is neither SQLite nor PostgreSQL",
                "Use sqlite:////path.db or postgresql://...",
            )
        )
    if parsed.database in (None, "", ":memory:") or parsed.query:
        raise InvalidInput(
            FieldError(
                "store",
                shown,
                "a store must be a plain file: one in memory is lost with the process and cannot be shared",
                "Name a file and no options: sqlite:////absolute/path.db.",
            )
        )
    return parsed


def _engine(url: URL) -> Engine:
    # NaN is no JSON: PostgreSQL refuses it, SQLite would keep something that others cannot read.
    dumps = functools.partial(json.dumps, allow_nan=False)
    if url.get_backend_name() == "postgresql":
        # A connection that a restarted server has forgotten is replaced instead of failing a trial.
        patience = {name: value for name, value in _PATIENCE.items() if name not in url.query}
        return create_engine(url, json_serializer=dumps, pool_pre_ping=True, connect_args=patience, **_POOL)
    path = Path(str(url.database))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreUnavailable(
            f"The folder of the store cannot be made: {error}. Use a folder that can be written."
        ) from None
    engine = create_engine(url, json_serializer=dumps, connect_args={"timeout": BUSY_SECONDS}, **_POOL)

    @event.listens_for(engine, "connect")
    def configure(connection: sqlite3.Connection, _record: object) -> None:
        # The driver must not begin transactions on its own: it would begin them without the write lock.
        connection.isolation_level = None
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA synchronous = FULL")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        # A reader that turns writer fails at once when another wrote meanwhile, whatever the timeout;
        # a writer therefore takes the lock first.
        writes = connection.get_execution_options().get("emphasis_writes", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


def _bring_up_to_date(engine: Engine, writing_engine: Engine) -> None:
    with engine.begin() as connection:
        # Looked at without a lock: a store in use opens at once, and one that is not ours is not touched.
        up_to_date = _is_up_to_date(connection)
    if engine.dialect.name == "sqlite":
        _write_ahead(engine)
    if up_to_date:
        return
    with writing_engine.begin() as connection:
        if engine.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _MIGRATION_LOCK})
        # Another process may have migrated while this one waited for the lock.
        if not _is_up_to_date(connection):
            migrations.upgrade(connection)


def _is_up_to_date(connection: Connection) -> bool:
    shown = _shown(connection.engine.url)
    # In this order: a migration that another process commits between the two looks brings the tables and the
    # revision at once, and the other way round its tables would be seen without their revision.
    tables = set(inspect(connection).get_table_names())
    revision = migrations.current_revision(connection)
    if revision is None:
        foreign = sorted(tables & set(Base.metadata.tables))
        if foreign:
            raise StoreUnavailable(
                f"The database {shown} has tables of another program ({', '.join(foreign)}). "
                "Nothing was changed. Give Emphasis a database of its own."
            )
        return False
    if revision not in migrations.known_revisions():
        raise StoreUnavailable(
            f"The store {shown} was written by a newer Emphasis (schema {revision}; this version knows "
            f"up to {migrations.head()}). Nothing was changed. "
            "Upgrade with `pip install --upgrade emphasis`, or use another --home."
        )
    return revision == migrations.head()


def _write_ahead(engine: Engine) -> None:
    deadline = time.monotonic() + BUSY_SECONDS
    pause = 0.005
    while True:
        connection = engine.raw_connection()
        try:
            connection.cursor().execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            # Two processes that switch a new file at once are told "locked" without waiting for the timeout.
            if "locked" not in str(error) or time.monotonic() > deadline:
                raise StoreUnavailable(
                    f"The store {_shown(engine.url)} could not be switched to "
                    f"write-ahead logging: {error}. Close what holds the file, and keep it on a local disk."
                ) from None
        finally:
            connection.close()
        time.sleep(pause)
        pause = min(2 * pause, 0.2)
