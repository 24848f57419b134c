"""What a sweep would cost, before it is run: its trials times the seconds that one of them takes."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from statistics import median
from typing import Any

import torch

from search.early_stopping import EarlyStoppingRule
from search.early_stopping import judged_epochs
from search.hyperparameters import supervision_with
from search.machine import this_machine
from search.packing import Packing
from search.packing import lanes_fused
from search.packing import packing
from search.searched import searched_supervisions
from search.spec import SweepSpec
from search.spec import TrialCounts
from search.store import Store
from search.store import TrialState
from search.task import TaskSettings
from search.task import drawn_labels
from search.task import noise_of
from search.task import trained_here
from trainers.datasets import Dataset
from trainers.errors import InvalidInput
from trainers.recipes import training_task
from trainers.supervision import Supervision
from trainers.training import Lane
from trainers.training import TrainingTask
from trainers.training import train

# A timing: enough steps for about this long, on a part of the data that is evaluated in a moment.
_TIMED_SECONDS = 1.0
_MOST_TIMED_STEPS = 256
_TIMED_TRAIN_EXAMPLES = 1024
_TIMED_TEST_EXAMPLES = 256
# More sweeps than this would tell the same.
_RECORDED_SWEEPS = 20


@dataclass(frozen=True, slots=True)
class CostEstimate:
    """What a sweep would cost.

    Args:
        dataset: Name of the dataset.
        noise_rate: The noise rate, as a text.
        trials: How many it runs, by phase.
        packing: How many run at once, and how many of them in one process.
        seconds_per_trial: What one takes, beside the others of its process.
        stops_early: Whether trials are given up before their end, so that all take less than that.
        source: Where that number comes from, as a phrase.
    """

    dataset: str
    noise_rate: str
    trials: TrialCounts
    packing: Packing
    seconds_per_trial: float
    stops_early: bool
    source: str

    @property
    def seconds(self) -> float:
        """The whole sweep's wall time, without the start of Ray and the figures; at most, where it stops early."""
        at_once = self.packing.trials
        rounds = math.ceil(self.trials.search / at_once) + math.ceil(self.trials.fresh / at_once)
        return rounds * self.seconds_per_trial

    def lines(self) -> list[str]:
        """The estimate as a user reads it."""
        from search.display import duration

        trials, lanes = self.trials, self.packing.lanes
        together = f", {lanes} in a process" if lanes > 1 else ""
        most = "at most " if self.stops_early else ""
        defaults = f" + {trials.defaults} defaults" if trials.defaults else ""
        return [
            f"{self.dataset}, noise rate {self.noise_rate}",
            f"trials: {trials.total} = {trials.search} search + {trials.confirm} confirm "
            f"+ {trials.baseline} CCE baseline{defaults}",
            f"estimate: {most}{duration(self.seconds)}, {self.packing.trials} at once{together}, "
            f"{duration(self.seconds_per_trial)} a trial ({self.source})",
        ]


def estimate(spec: SweepSpec, store: Store) -> CostEstimate:
    """Estimate what a sweep costs on this machine.

    The seconds of a trial are the median of the store's finished trials on the same dataset, network and
    budget; without any, a few steps and an evaluation of the real task are timed.

    Args:
        spec: A sweep that passed its checks (`search.preflight`): its data is there.
        store: Where earlier sweeps are recorded.

    Raises:
        InvalidInput: The data or a setting cannot be used.
    """
    prepared = TaskSettings.of(spec, Path()).load(spec.download)
    task = prepared.task
    packed = packing(spec, this_machine(), lanes_fused(spec, task))
    recorded = _recorded_seconds(spec, task, store)
    if recorded:
        # A lane's seconds are its share of those of its process.
        seconds = packed.lanes * median(recorded)
        source = f"median of {len(recorded)} recorded trial{'' if len(recorded) == 1 else 's'} like these"
    else:
        here, where = trained_here(task)
        seconds, steps = _timed_seconds(here, spec, packed.lanes)
        source = f"from timing {steps} steps and an evaluation just now{where}"
    return CostEstimate(
        dataset=task.dataset.name,
        noise_rate=spec.shown_noise_rate,
        trials=spec.number_of_trials(),
        packing=packed,
        seconds_per_trial=seconds,
        stops_early=_stops_early(spec.resolved_early_stopping(prepared.objective.value), task),
        source=source,
    )


def _stops_early(rule: EarlyStoppingRule, task: TrainingTask) -> bool:
    return rule == "wilcoxon" or bool(judged_epochs(rule, task.epochs, task.evaluate_every))


def _recorded_seconds(spec: SweepSpec, task: TrainingTask, store: Store) -> list[float]:
    """Training seconds of finished trials that did the same work on the same kind of device."""
    seconds: list[float] = []
    wanted = (task.backbone, spec.supervision)
    alike = [
        sweep
        for sweep in store.sweeps(dataset=task.dataset.name)
        if (sweep.backbone, sweep.supervision) == wanted
    ]
    for sweep in alike[:_RECORDED_SWEEPS]:
        if not _same_work(spec, task, sweep.spec):
            continue
        done = store.trials(sweep.id, state=TrialState.DONE)
        seconds += [
            trial.train_seconds
            for trial in done
            if trial.train_seconds is not None and trial.supervision == spec.supervision
        ]
    return seconds


def _same_work(spec: SweepSpec, task: TrainingTask, recorded: Mapping[str, Any]) -> bool:
    try:
        other = SweepSpec.recorded(recorded)
        given = other.training.model_dump(exclude_none=True)
        # On the data at hand: the recorded sweep's own may be gone, and need not be read to know its work.
        work = training_task(task.dataset, backbone=task.backbone, device=task.device, **given)
    except (InvalidInput, ValueError):  # written by another version
        return False
    resources = (spec.resources.cpus, spec.resources.gpus)
    return (
        other.limit_train == spec.limit_train
        and other.hyperparameters.items() >= spec.hyperparameters.items()
        and (other.resources.cpus, other.resources.gpus) == resources
        and other.lanes == spec.lanes
        and _work_of(work) == _work_of(task)
    )


def _work_of(task: TrainingTask) -> tuple[object, ...]:
    return task.iterations, task.batch_size, task.augmentation, task.precision, task.evaluate_every


def _timed_seconds(task: TrainingTask, spec: SweepSpec, lanes: int) -> tuple[float, int]:
    """Seconds of a whole trial beside the others of its process, and how many steps were timed for it."""
    part = _part_of(task)
    searched = searched_supervisions(spec)
    one, cce = searched[0], supervision_with("cce", {})
    threads = torch.get_num_threads()
    torch.set_num_threads(max(1, math.floor(spec.resources.cpus)))
    try:
        steps = 2
        _train(task, part, cce, steps, spec, lanes)  # the first steps of a process are slow
        plain = _train(task, part, cce, steps, spec, lanes)
        timed = min(_MOST_TIMED_STEPS, max(2 * steps, round(_TIMED_SECONDS * steps / max(plain, 1e-6))))
        few = _train(task, part, one, steps, spec, lanes)
        many = _train(task, part, one, timed, spec, lanes)
    finally:
        torch.set_num_threads(threads)
    a_step = max(many - few, 0.0) / (_steps(one, timed) - _steps(one, steps))
    an_evaluation = max(plain - steps * a_step, 0.0) * _examples(task.dataset) / _examples(part)
    # What some supervisions do once: estimate a matrix, train a generator.
    once = max(few - plain - (_steps(one, steps) - steps) * a_step, 0.0)
    # A step costs much the same whatever the configuration, but some train a second network.
    stretches = fmean(_steps(each, task.iterations) for each in searched) / task.iterations
    evaluations = math.ceil(stretches * task.epochs / task.evaluate_every)
    return once + stretches * task.iterations * a_step + evaluations * an_evaluation, timed


def _steps(supervision: Supervision, budget: int) -> int:
    """Optimiser steps of all stages of a supervision."""
    return sum(stage.iterations(budget) for stage in supervision.stages)


def _train(
    task: TrainingTask, part: Dataset, supervision: Supervision, steps: int, spec: SweepSpec, lanes: int
) -> float:
    """Seconds of some steps and one evaluation of each lane on a part of the data."""
    few = replace(task, dataset=part, iterations=steps, milestones=(), evaluate_every=steps)
    rate = spec.noise_rate if isinstance(spec.noise_rate, float) else None
    noise = noise_of(spec.noise_model, rate, spec.noise_file, spec.noise_column)
    labels = drawn_labels(noise, part, 0)
    started = time.perf_counter()
    results = train(few, [Lane(f"timing-{seed}", supervision, labels, seed) for seed in range(lanes)], at_once=lanes)
    took = time.perf_counter() - started
    return lanes * results[0].seconds or took  # without the set-up, unless it diverged


def _part_of(task: TrainingTask) -> Dataset:
    dataset = task.dataset
    size = max(_TIMED_TRAIN_EXAMPLES, 2 * dataset.num_classes, task.batch_size)
    part = dataset.limit_train(min(len(dataset.y_train), size))
    few = slice(_TIMED_TEST_EXAMPLES)
    part = replace(part, x_test=part.x_test[few], y_test=part.y_test[few])
    if part.x_validation is None or part.y_validation is None:
        return part
    return replace(part, x_validation=part.x_validation[few], y_validation=part.y_validation[few])


def _examples(dataset: Dataset) -> int:
    """How many an evaluation looks at."""
    validation = 0 if dataset.y_validation is None else len(dataset.y_validation)
    return len(dataset.y_train) + len(dataset.y_test) + validation
