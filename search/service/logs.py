"""Structured logs: a line for each thing that happens, as JSON or to read, saying which sweep and trial it is about."""

from __future__ import annotations

import json
import logging
import logging.handlers
import math
import os
import queue
import sys
import threading
import traceback
from collections.abc import Iterator
from collections.abc import Mapping
from contextlib import contextmanager
from datetime import UTC
from datetime import datetime
from enum import StrEnum
from types import TracebackType
from typing import TYPE_CHECKING
from typing import Any

from search.naming import written_name

if TYPE_CHECKING:
    from search.store import EventRecord
    from search.store import Store

#: Of the log of a sweep in the store; a process that is in trouble repeats itself.
_MOST_COPIED = 200

# Set by the logging of Python, uvicorn and Ray; everything else on a record was given by who logged it.
_NOT_FIELDS = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "color_message"}
_COPIED_FROM = "logger"
_EVENTS = "search.sweep"
_OURS = ("search", "emphasis")
_TAKEN_OVER = ("uvicorn", "uvicorn.error", "uvicorn.access", "mlflow", "ray")


class LogFormat(StrEnum):
    """How lines are written."""

    JSON = "json"
    TEXT = "text"


def text_line(at: datetime, level: str, about: str | None, message: str, fields: Mapping[str, Any]) -> str:
    """A line to read: ``2026-01-31 12:00:00  info     digits-r40-...-0003  started  beta=12 lambda=0.5``.

    Args:
        at: When it happened.
        level: info, warning, error or critical.
        about: The trial or sweep that it is about, if it is about one.
        message: In words.
        fields: What else there is to say, by name; what is None is left out.
    """
    told = " ".join(f"{written_name(name)}={_shown(value)}" for name, value in fields.items() if value is not None)
    # On one line, whatever is quoted in it: no text can pass for a line of its own.
    parts = [f"{at.astimezone():%Y-%m-%d %H:%M:%S}", f"{level:<7}", about, " ".join(message.split()), told]
    return "  ".join(part for part in parts if part)


def log_event(event: EventRecord) -> None:
    """Log an event of this process's sweep, unless it was copied from this log."""
    if _COPIED_FROM not in event.data:
        level = logging.getLevelNamesMapping().get(event.level.upper(), logging.INFO)
        # Python's logging refuses fields that are called as its own are.
        data = {name: value for name, value in event.data.items() if name not in _NOT_FIELDS}
        about = {"sweep": event.sweep_id, "trial": event.trial_id, "event": event.number}
        logging.getLogger(f"{_EVENTS}.{event.kind}").log(level, "%s", event.message, extra={**data, **about})


def set_up_logging(format: LogFormat, *, sweep: str | None = None) -> None:
    """Write what this process logs to the standard error, one line a record, ours from INFO and others' from WARNING.

    Warnings, and errors that nobody catches, are such records too.

    Args:
        format: How lines are written.
        sweep: The sweep that this process runs, if it is there for one.
    """
    # MLflow would set up lines of its own as soon as it is imported.
    os.environ.setdefault("MLFLOW_CONFIGURE_LOGGING", "false")
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Formatter(format, {} if sweep is None else {"sweep": sweep}))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    for name in _OURS:
        logging.getLogger(name).setLevel(logging.INFO)
    take_over(*_TAKEN_OVER)
    logging.captureWarnings(True)
    sys.excepthook = _log_uncaught
    threading.excepthook = lambda failed: _log_uncaught(
        failed.exc_type, failed.exc_value or failed.exc_type(), failed.exc_traceback
    )


def take_over(*names: str) -> None:
    """Write the lines of libraries that set up their own as ours; to be called once they are imported."""
    for name in names:
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True


@contextmanager
def copied_to_sweep(store: Store, sweep_id: str) -> Iterator[SweepLog]:
    """Have what this process warns of in the log of its sweep too, for the time of the block.

    Args:
        store: Where the sweep is recorded.
        sweep_id: Full id of the sweep.
    """
    lines: queue.Queue[logging.LogRecord] = queue.Queue()
    # From a thread of its own: whoever warns may be in the middle of writing to the store.
    log = SweepLog(store, sweep_id)
    listener = logging.handlers.QueueListener(lines, log)
    handler = logging.handlers.QueueHandler(lines)
    handler.setLevel(logging.WARNING)
    handler.addFilter(lambda record: not record.name.startswith(_EVENTS))  # they come from there
    logging.getLogger().addHandler(handler)
    listener.start()
    try:
        yield log
    finally:
        logging.getLogger().removeHandler(handler)
        listener.stop()


class SweepLog(logging.Handler):
    """Adds records to a sweep's events, each text once.

    Args:
        store: Where the sweep is recorded.
        sweep_id: Full id of the sweep.
    """

    def __init__(self, store: Store, sweep_id: str) -> None:
        super().__init__()
        self._store, self._sweep_id = store, sweep_id
        self._said: set[str] = set()

    def write_to(self, store: Store) -> None:
        """Write to another store from now on: the fenced one, once the sweep is claimed."""
        self._store = store

    def emit(self, record: logging.LogRecord) -> None:
        """Add a record."""
        message = record.getMessage()
        if message in self._said or len(self._said) >= _MOST_COPIED:
            return
        self._said.add(message)
        try:
            self._store.add_event(
                self._sweep_id,
                message,
                level="error" if record.levelno >= logging.ERROR else "warning",
                trial_id=getattr(record, "trial", None),
                data={_COPIED_FROM: record.name},
            )
        except Exception:  # a store that does not answer is told of elsewhere, and a log must not end its process
            return


class _Formatter(logging.Formatter):
    def __init__(self, format: LogFormat, fields: Mapping[str, Any]) -> None:
        super().__init__()
        self._format, self._fields = format, fields

    def format(self, record: logging.LogRecord) -> str:
        given = {
            name: value
            for name, value in vars(record).items()
            if name not in _NOT_FIELDS and not name.startswith("_") and value is not None
        }
        fields = {**self._fields, **given}
        at, level, message = datetime.fromtimestamp(record.created, UTC), record.levelname.lower(), record.getMessage()
        exception = ""
        if record.exc_info and record.exc_info[0] is not None:
            exception = "".join(traceback.format_exception(*record.exc_info)).rstrip()
        if self._format is LogFormat.JSON:
            ts = at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
            head = {"ts": ts, "level": level, "logger": record.name, "message": message}
            head |= {"exception": exception} if exception else {}
            # What was given cannot pass for what the line is.
            plain = {name: _plain(value) for name, value in fields.items() if name not in head}
            return json.dumps({**head, **plain}, ensure_ascii=False, default=str)
        sweep, trial = fields.pop("sweep", None), fields.pop("trial", None)
        if not record.name.startswith(_OURS):
            message = f"{record.name}: {message}"
        line = text_line(at, level, trial or sweep, message, fields)
        return "\n    ".join([line, *exception.splitlines()])


def _plain(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None  # JSON has no NaN
    return value


def _shown(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    text = str(value)
    return text if text.isprintable() and not any(letter in text for letter in ' "') else json.dumps(text)


def _log_uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt):
        return
    logging.getLogger("search").critical("ended by an error", exc_info=(kind, error, trace))
