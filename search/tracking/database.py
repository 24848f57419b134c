"""MLflow's database in a file of ours: made whole, or not at all."""

from __future__ import annotations

import fcntl
import logging
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from contextlib import suppress
from pathlib import Path

from sqlalchemy import create_engine

_SQLITE = "sqlite:///"


def ensure_database(tracking_uri: str) -> None:
    """Make the SQLite database that a tracking URI names, if it names one that is not there yet.

    MLflow itself makes it in place, in dozens of steps: killed meanwhile, it leaves one that nothing can use any more.

    Args:
        tracking_uri: As MLflow takes it.
    """
    if not tracking_uri.startswith(_SQLITE):
        return
    path = Path(tracking_uri.removeprefix(_SQLITE))
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists():
        return
    with _alone(path.parent):
        if path.exists():
            return
        part = path.parent / f".{path.name}.new"
        shutil.rmtree(part, ignore_errors=True)  # of one that was killed
        part.mkdir()
        _make_tables(part / path.name)
        os.replace(part / path.name, path)
        part.rmdir()


def _make_tables(path: Path) -> None:
    from mlflow.store.db import utils

    engine = create_engine(f"{_SQLITE}{path}")
    # It would write about it between the lines that say how a sweep stands.
    logger = logging.getLogger(utils.__name__)
    level = logger.level
    logger.setLevel(logging.WARNING)
    try:
        utils._initialize_tables(engine)
    finally:
        logger.setLevel(level)
        engine.dispose()


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Let one process at a time do this in a folder; one that is killed lets the next."""
    opened = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):  # some file systems know no locks: the last to make it wins, and both are whole
            fcntl.flock(opened, fcntl.LOCK_EX)
        yield
    finally:
        os.close(opened)
