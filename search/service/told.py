"""Sweeps and trials that a service told, as records again: what reads the store's records then reads a server's too."""

from __future__ import annotations

import math
from collections.abc import Iterator
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from search.naming import python_name
from search.service.interface import Service
from search.service.views import AccuraciesView
from search.service.views import SweepDetail
from search.service.views import TrialView
from search.store import Accuracies
from search.store import SweepRecord
from search.store import TrialRecord


def all_trials(service: Service, sweep_id: str) -> list[TrialRecord]:
    """Every trial of a sweep as a record, by number, read page by page.

    Args:
        service: Where it is.
        sweep_id: Full id of the sweep.
    """
    return [trial_told(sweep_id, trial) for trial in _pages(service, sweep_id)]


def sweep_told(detail: SweepDetail) -> SweepRecord:
    """A sweep as a record."""
    told: dict[str, Any] = {field.name: getattr(detail, field.name) for field in fields(SweepRecord)}
    return SweepRecord(**{**told, "noise_rate": math.nan if detail.noise_rate is None else detail.noise_rate})


def trial_told(sweep_id: str, trial: TrialView) -> TrialRecord:
    """A trial as a record."""
    told: dict[str, Any] = {
        "sweep_id": sweep_id,
        "hyperparameters": by_python_name(trial.hyperparameters),
        "final": _accuracies(trial.final),
        "best": _accuracies(trial.best),
    }
    own = (field.name for field in fields(TrialRecord) if field.name not in told)
    return TrialRecord(**told, **{name: getattr(trial, name) for name in own})


def by_python_name(hyperparameters: Mapping[str, Any]) -> dict[str, Any]:
    """Values as the store names them, ``lam``, where the service writes ``lambda``."""
    return {python_name(name): value for name, value in hyperparameters.items()}


def _pages(service: Service, sweep_id: str) -> Iterator[TrialView]:
    after: int | None = -1
    while after is not None:
        page = service.trials(sweep_id, after=after)
        yield from page.items
        after = page.next


def _accuracies(reached: AccuraciesView | None) -> Accuracies | None:
    if reached is None:
        return None
    return Accuracies(
        epoch=reached.epoch,
        test=_or_nan(reached.test),
        corrupted_train=_or_nan(reached.corrupted_train),
        intact_train=_or_nan(reached.intact_train),
        validation=_or_nan(reached.validation),
    )


def _or_nan(value: float | None) -> float:
    return math.nan if value is None else value
