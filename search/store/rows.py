"""From what users give to rows of the store, and from rows to records."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import asdict
from dataclasses import fields
from typing import Any

from search.store.models import Attempt
from search.store.models import Epoch
from search.store.models import Event
from search.store.models import Sweep
from search.store.models import Tracking
from search.store.models import Trial
from search.store.records import Accuracies
from search.store.records import AttemptRecord
from search.store.records import EpochRecord
from search.store.records import EventRecord
from search.store.records import SweepRecord
from search.store.records import TrackingRecord
from search.store.records import TrialRecord
from trainers.errors import FieldError
from trainers.errors import InvalidInput

UNKNOWN_NOISE_RATE = -1.0
"""What the column holds while a noise rate is not known; neither backend's filters match it."""

_FOUND = ("final", "best")
_OF_A_TRIAL = [field.name for field in fields(TrialRecord) if field.name not in (*_FOUND, "attempts")]
_OF_AN_EPOCH = [field.name for field in fields(EpochRecord)]


def finite(value: float | None) -> float | None:
    """A number as both databases can hold it: None in place of what is not finite."""
    # SQLite turns NaN into NULL and PostgreSQL keeps it; None is what both can say.
    return float(value) if value is not None and math.isfinite(value) else None


def or_nan(value: float | None) -> float:
    """What `finite` was given, as far as it is known."""
    return math.nan if value is None else value


def storable_text(value: str | None) -> str | None:
    """A text as both databases can hold it."""
    # A reason quotes whatever a crashed process said; PostgreSQL takes neither NUL nor lone surrogates.
    if value is None:
        return None
    return value.encode("utf-8", "backslashreplace").decode("utf-8").replace("\x00", "\\x00")


def plain_json(field: str, value: Mapping[str, Any]) -> dict[str, Any]:
    """A mapping as plain JSON.

    Raises:
        InvalidInput: It is none; ``field`` names it.
    """
    try:
        plain: dict[str, Any] = json.loads(json.dumps(dict(value), allow_nan=False))
    except (TypeError, ValueError) as error:
        raise InvalidInput(
            FieldError(
                field, value, f"is not plain JSON ({error})", "Use finite numbers, texts, lists and dicts."
            )
        ) from None
    return plain


def accuracy_columns(prefix: str, accuracies: Accuracies | None) -> dict[str, int | float | None]:
    """Accuracies as columns of a trial."""
    if accuracies is None:
        return {f"{prefix}_{field.name}": None for field in fields(Accuracies)}
    return {
        f"{prefix}_epoch": accuracies.epoch,
        f"{prefix}_test": finite(accuracies.test),
        f"{prefix}_corrupted_train": finite(accuracies.corrupted_train),
        f"{prefix}_intact_train": finite(accuracies.intact_train),
        f"{prefix}_validation": finite(accuracies.validation),
    }


def accuracies(row: Trial, prefix: str) -> Accuracies | None:
    """The inverse of `accuracy_columns`."""
    values = {field.name: getattr(row, f"{prefix}_{field.name}") for field in fields(Accuracies)}
    epoch = values.pop("epoch")
    return None if epoch is None else Accuracies(epoch, **{name: or_nan(value) for name, value in values.items()})


def epoch_rows(trial_id: str, epochs: Sequence[EpochRecord]) -> list[dict[str, Any]]:
    """Epochs of a trial as rows, one for each epoch.

    Raises:
        InvalidInput: An epoch belongs to another trial.
    """
    for epoch in epochs:
        if epoch.trial_id != trial_id:
            raise InvalidInput(
                FieldError(
                    "trial_id",
                    epoch.trial_id,
                    f"this epoch was given for trial {trial_id}",
                    "Record it for its own trial.",
                )
            )
    # The last report of an epoch wins, also inside one call: SQL refuses to replace a row twice at once.
    rows = {
        epoch.epoch: {
            name: finite(value) if isinstance(value, float) else value for name, value in asdict(epoch).items()
        }
        for epoch in epochs
    }
    return list(rows.values())


def sweep_record(row: Sweep) -> SweepRecord:
    """A sweep."""
    values = {field.name: getattr(row, field.name) for field in fields(SweepRecord)}
    noise_rate = math.nan if row.noise_rate == UNKNOWN_NOISE_RATE else row.noise_rate
    return SweepRecord(**{**values, "facts": row.facts or {}, "noise_rate": noise_rate})


def trial_record(row: Trial, attempts: int) -> TrialRecord:
    """A trial, with how often it was started."""
    found: dict[str, Any] = {name: accuracies(row, name) for name in _FOUND}
    return TrialRecord(**{name: getattr(row, name) for name in _OF_A_TRIAL}, **found, attempts=attempts)


def epoch_record(row: Epoch) -> EpochRecord:
    """An epoch of a trial."""
    known: dict[str, Any] = {name: or_nan(getattr(row, name)) for name in ("learning_rate", "seconds")}
    return EpochRecord(**{name: getattr(row, name) for name in _OF_AN_EPOCH if name not in known}, **known)


def attempt_record(row: Attempt) -> AttemptRecord:
    """One start of a trial."""
    return AttemptRecord(**{field.name: getattr(row, field.name) for field in fields(AttemptRecord)})


def event_record(row: Event) -> EventRecord:
    """A line of a log."""
    values = {field.name: getattr(row, field.name) for field in fields(EventRecord)}
    return EventRecord(**{**values, "data": row.data or {}})


def tracking_record(row: Tracking) -> TrackingRecord:
    """Where MLflow's record of a sweep or trial stands."""
    return TrackingRecord(row.subject_id, row.run_id, row.epochs_recorded, row.closed, row.deleted)
