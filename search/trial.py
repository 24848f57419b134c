"""One trial, as it runs inside a Ray actor: train a lane and report it; knows nothing of stores or studies."""

from __future__ import annotations

import math
import time
import traceback
from collections.abc import Callable
from collections.abc import Mapping
from dataclasses import asdict
from dataclasses import dataclass
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from search.hyperparameters import split
from search.hyperparameters import supervision_with
from search.spec import SweepSpec
from trainers.datasets import Dataset
from trainers.datasets import load_dataset
from trainers.engines.checkpoint import checkpoint_path
from trainers.errors import EmphasisError
from trainers.errors import InvalidInput
from trainers.noise import make_noise_model
from trainers.recipes import training_task
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


@dataclass(frozen=True, slots=True)
class TaskSettings:
    """What all trials of a sweep share, light enough to travel.

    Args:
        dataset: Name or path.
        data_dir: Where its files lie.
        limit_train: Training examples to keep.
        backbone: Name of the network, or None for the recipe's.
        noise_model: How labels are corrupted.
        training: Overrides of the recipe, as `trainers.recipes.training_task` takes them.
        cpus: CPU threads of a trial.
        device: "cpu", or "cuda" where the trial was given a share of a GPU.
        checkpoints: Folder for the states of unfinished trials.
    """

    dataset: str
    data_dir: str | None
    limit_train: int | None
    backbone: str | None
    noise_model: str
    training: Mapping[str, Any]
    cpus: int
    device: str
    checkpoints: str

    @staticmethod
    def of(spec: SweepSpec, checkpoints: Path) -> TaskSettings:
        """The settings of a sweep's trials, which leave their states in ``checkpoints``."""
        return TaskSettings(
            dataset=spec.dataset,
            data_dir=str(spec.data_dir) if spec.data_dir is not None else None,
            limit_train=spec.limit_train,
            backbone=spec.backbone,
            noise_model=spec.noise_model,
            training=spec.training.model_dump(exclude_none=True),
            cpus=max(1, math.floor(spec.resources.cpus)),
            device="cuda" if spec.resources.gpus else "cpu",
            checkpoints=str(checkpoints),
        )

    def load(self, download: bool = False) -> TrainingTask:
        """The dataset in memory, and how to train on it.

        Raises:
            InvalidInput: The data or a setting cannot be used.
        """
        data = _limited(load_dataset(self.dataset, self.data_dir, download), self.limit_train)
        return training_task(data, backbone=self.backbone, device=self.device, **self.training)


def run_trial(
    settings: TaskSettings, order: Mapping[str, Any], report: Callable[[dict[str, Any]], None]
) -> None:
    """Train the ordered configuration and report it.

    Args:
        settings: What the trials of the sweep share.
        order: ``trial_id``, ``supervision``, ``hyperparameters`` (training fields among them take the place of the
            sweep's), ``noise_rate``, ``seed`` and ``noise_seed``.
        report: Takes plain dicts: ``{"epochs": [...]}`` while training, and with the last an ``"ending"``. Whatever
            goes wrong is reported as an ending too, since the next trial of this process may do better.
    """
    import torch

    torch.set_num_threads(settings.cpus)
    try:
        task = _task(settings)
        noise = make_noise_model(settings.noise_model, order["noise_rate"])
        labels = noise.draw(task.dataset.y_train, task.dataset.num_classes, order["noise_seed"])
        supervision = supervision_with(order["supervision"], order["hyperparameters"])
        _, searched_training = split(order["hyperparameters"])
        task = replace(task, **searched_training)
        lane = Lane(order["trial_id"], supervision, labels, order["seed"])
        pending = _PendingEpochs(report)
        result = _train(task, lane, pending, Path(settings.checkpoints))
        pending.flush(ending=_ending(result, labels.fingerprint, labels.realised_rate))
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

    def __init__(self, report: Callable[[dict[str, Any]], None]) -> None:
        self._report = report
        self._epochs: list[dict[str, Any]] = []
        self._reported_at = time.monotonic()

    def add(self, epoch: EpochReport) -> None:
        self._epochs.append({**asdict(epoch), "recorded_at": time.time()})
        if time.monotonic() - self._reported_at >= _SECONDS_BETWEEN_REPORTS:
            self.flush()

    def flush(self, ending: dict[str, Any] | None = None) -> None:
        self._report({"epochs": self._epochs, "ending": ending})
        self._epochs = []
        self._reported_at = time.monotonic()


def _ending(result: LaneResult, noise_hash: str, realised_noise_rate: float | None) -> dict[str, Any]:
    finite = result.final is not None and math.isfinite(result.final.intact_train)
    state = {Ending.COMPLETED: "done", Ending.STOPPED: "pruned", Ending.DIVERGED: "failed"}[result.ending]
    return {
        "state": state if finite or state == "failed" else "failed",
        "reason": result.reason or None,
        "final": asdict(result.final) if result.final else None,
        "best": asdict(result.best) if result.best else None,
        "seconds": result.seconds,
        "noise_hash": noise_hash,
        "realised_noise_rate": realised_noise_rate,
    }


@lru_cache(maxsize=1)
def _limited(dataset: Dataset, limit: int | None) -> Dataset:
    return dataset if limit is None else dataset.limit_train(limit)


_tasks: dict[str, TrainingTask] = {}


def _task(settings: TaskSettings) -> TrainingTask:
    """The task of this process: an actor trains many trials of one sweep on data that is loaded once."""
    key = repr(settings)
    if key not in _tasks:
        _tasks.clear()
        _tasks[key] = settings.load()
    return _tasks[key]
