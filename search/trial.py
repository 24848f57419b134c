"""One trial, as it runs inside a Ray actor: train a lane and report it; knows nothing of stores or studies."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable
from collections.abc import Mapping
from dataclasses import asdict
from dataclasses import replace
from pathlib import Path
from typing import Any

from search.hyperparameters import split
from search.hyperparameters import supervision_with
from search.task import PreparedTask
from search.task import TaskSettings
from trainers.engines.checkpoint import checkpoint_path
from trainers.errors import EmphasisError
from trainers.errors import InvalidInput
from trainers.training import Checkpoints
from trainers.training import Ending
from trainers.training import EpochReport
from trainers.training import Lane
from trainers.training import LaneResult
from trainers.training import TrainingTask
from trainers.training import train

# A report costs the driver about a millisecond of CPU time, an epoch of digits takes 20: reports carry all the epochs
# since the last, and a trial whose epochs are long reports each.
_SECONDS_BETWEEN_REPORTS = 1.0


def run_trial(
    settings: TaskSettings, order: Mapping[str, Any], report: Callable[[dict[str, Any]], None]
) -> None:
    """Train the ordered configuration and report it.

    Args:
        settings: What the trials of the sweep share.
        order: ``trial_id``, ``supervision``, ``hyperparameters`` (training fields among them take the place of the
            sweep's), ``noise_rate``, ``seed``, ``noise_seed``, and ``judged`` where it may be stopped after any epoch
            that is evaluated.
        report: Takes plain dicts: ``{"epochs": [...], "labels": {...}}`` while training, and with the last an
            ``"ending"``. It does not return where the trial is to be stopped. Whatever goes wrong is reported as an
            ending too, since the next trial of this process may do better.
    """
    import torch

    torch.set_num_threads(settings.cpus)
    try:
        prepared = _prepared(settings)
        labels, validation_labels = prepared.divided(prepared.labels(order["noise_rate"], order["noise_seed"]))
        supervision = supervision_with(order["supervision"], order["hyperparameters"])
        _, searched_training = split(order["hyperparameters"])
        task = replace(prepared.task, **searched_training)
        lane = Lane(order["trial_id"], supervision, labels, order["seed"], validation_labels)
        told = {"noise_hash": labels.fingerprint, "realised_noise_rate": labels.realised_rate}
        pending = _PendingEpochs(report, told, order["judged"])
        result = _train(task, lane, pending, Path(settings.checkpoints))
        ending = _ending(result)
        if not ending["reason"]:
            ending["reason"] = prepared.undecodable_note() or None
        pending.flush(ending=ending)
    except Exception as error:
        known = isinstance(error, EmphasisError)
        reason = str(error) if known else f"{type(error).__name__}: {error}"
        detail = "" if known else traceback.format_exc(limit=-8)
        report({"epochs": [], "ending": {"state": "failed", "reason": reason, "detail": detail}})


def _train(task: TrainingTask, lane: Lane, pending: _PendingEpochs, checkpoints: Path) -> LaneResult:
    """Train from the checkpoint that there is; from the start where it cannot be used."""
    try:
        return train(task, [lane], pending.add, Checkpoints(checkpoints))[0]
    except InvalidInput as error:
        if [problem.field for problem in error.errors] != ["checkpoint"]:
            raise
        # Cut off by a full disk, or written by another release: it saves time and decides nothing.
        checkpoint_path(checkpoints, lane.id).unlink(missing_ok=True)
        return train(task, [lane], pending.add, Checkpoints(checkpoints))[0]


class _PendingEpochs:
    """Epochs that were trained and not yet reported."""

    def __init__(self, report: Callable[[dict[str, Any]], None], labels: dict[str, Any], judged: bool) -> None:
        self._report, self._labels, self._judged = report, labels, judged
        self._epochs: list[dict[str, Any]] = []
        self._reported_at = time.monotonic()

    def add(self, epoch: EpochReport) -> None:
        self._epochs.append({**asdict(epoch), "recorded_at": time.time()})
        judged = self._judged and epoch.evaluation is not None
        if judged or time.monotonic() - self._reported_at >= _SECONDS_BETWEEN_REPORTS:
            self.flush()

    def flush(self, ending: dict[str, Any] | None = None) -> None:
        self._report({"epochs": self._epochs, "labels": self._labels, "ending": ending})
        self._epochs = []
        self._reported_at = time.monotonic()


def _ending(result: LaneResult) -> dict[str, Any]:
    state = {Ending.COMPLETED: "done", Ending.STOPPED: "pruned", Ending.DIVERGED: "failed"}[result.ending]
    return {
        "state": state if result.final is not None or state == "failed" else "failed",
        "reason": result.reason or None,
        "final": asdict(result.final) if result.final else None,
        "best": asdict(result.best) if result.best else None,
        "seconds": result.seconds,
    }


_prepared_tasks: dict[str, PreparedTask] = {}


def _prepared(settings: TaskSettings) -> PreparedTask:
    """The task of this process: an actor trains many trials of one sweep on data that is loaded once."""
    key = repr(settings)
    if key not in _prepared_tasks:
        _prepared_tasks.clear()
        _prepared_tasks[key] = settings.load()
    return _prepared_tasks[key]
