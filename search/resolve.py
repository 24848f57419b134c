"""A sweep's spec with every default filled in, as it is recorded: a later release's defaults cannot change it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from search.hyperparameters import SPEC_FIELDS
from search.hyperparameters import Hyperparameters
from search.spec import NoiseRate
from search.spec import SweepSpec
from search.task import PreparedTask
from spaces import ContinuousSpace
from spaces import Value
from trainers.datasets import dataset_path
from trainers.models.weights import is_weights_file


def resolved(spec: SweepSpec, prepared: PreparedTask, noise_rate: NoiseRate) -> SweepSpec:
    """The same sweep with all that it left to defaults written out, from its noise rate to its training.

    Args:
        spec: What was asked for.
        prepared: What that comes to on its dataset.
        noise_rate: What the spec's noise rate comes to.
    """
    task = prepared.task
    # The same budget in the same words, however it was given: recommendations are of one.
    in_epochs = task.iterations == task.epochs * task.steps_per_epoch
    training: dict[str, Any] = {"epochs": task.epochs} if in_epochs else {"iterations": task.iterations}
    training |= {
        "batch_size": task.batch_size,
        "learning_rate": task.learning_rate,
        "momentum": task.momentum,
        "weight_decay": task.weight_decay,
        "dropout": task.dropout,
        # None left is a rate that stays, which None would not say: it stands for the recipe's drops.
        "milestones": sorted(drop for drop in task.milestones if drop < task.iterations),
        "milestone_unit": "iterations",
        "decay_factor": task.decay_factor,
        "augmentation": task.augmentation,
        "precision": task.precision,
        "evaluate_every": task.evaluate_every,
        # Without a word the recipe's own weights would come back.
        "weights": "none" if task.weights is None else _anchored_file(task.weights),
    }
    return SweepSpec.model_validate(
        {
            **spec.to_json_dict(),
            # Resumed from another folder, the sweep finds its data all the same.
            "dataset": anchored_dataset(spec.dataset),
            "data_dir": _anchored(spec.data_dir) if spec.data_dir is not None else None,
            "noise_file": _anchored(spec.noise_file) if spec.noise_file is not None else None,
            "noise_rate": noise_rate,
            "objective": prepared.objective.value,
            "backbone": task.backbone,
            "hyperparameters": _fixed(spec),
            "space": spec.searched_space.model_dump(mode="json"),
            "sampler": spec.resolved_sampler,
            "trials": spec.number_of_configurations,
            "early_stopping": spec.resolved_early_stopping(prepared.objective.value),
            "training": training,
        }
    )


def _fixed(spec: SweepSpec) -> dict[str, Value]:
    """What the space leaves to the supervision's defaults, and what was given in their place."""
    space = spec.searched_space
    configurations = space.corners() if isinstance(space, ContinuousSpace) else space.grid() or []
    searched = [each.as_dict() for each in configurations if each.supervision == spec.supervision]
    defaults = {
        name: default
        for name, default in Hyperparameters.of(spec.supervision).defaults.items()
        if isinstance(default, float | int | str) and name not in SPEC_FIELDS
        # Some cells of a grid may leave to its default what others search.
        and not all(name in values for values in searched)
    }
    given = {**defaults, **spec.hyperparameters}
    return {name: _anchored_file_name(value) for name, value in given.items()}


def _anchored_file_name(value: Value) -> Value:
    # A matrix, say: trials may run in another folder.
    return _anchored(value) if isinstance(value, str) and Path(value).expanduser().is_file() else value


def anchored_dataset(name: str) -> str:
    """A dataset's name as it is, its path made absolute."""
    path = dataset_path(name)
    return name if path is None else _anchored(path)


def _anchored_file(weights: str) -> str:
    return _anchored(weights) if is_weights_file(weights) else weights


def _anchored(path: str | Path) -> str:
    return str(Path(path).expanduser().absolute())
