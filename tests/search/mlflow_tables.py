"""MLflow's tables, made once a machine: MLflow makes them in dozens of migrations, which is seconds of work."""

from __future__ import annotations

import fcntl
import getpass
import shutil
import tempfile
from functools import cache
from importlib.metadata import version
from pathlib import Path

from search.tracking.database import ensure_database


def give_tables(database: Path) -> None:
    """Put a database with MLflow's tables and nothing in them where there is none yet."""
    if not database.exists():
        database.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(_made(), database)


@cache
def _made() -> Path:
    folder = Path(tempfile.gettempdir()) / f"emphasis-tests-mlflow-{version('mlflow')}-{getpass.getuser()}"
    folder.mkdir(exist_ok=True)
    database = folder / "mlflow.db"
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        ensure_database(f"sqlite:///{database}")
    return database
