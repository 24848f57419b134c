"""A sweep's spec with every default filled in, as it is recorded: a later release's defaults cannot change it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from search.hyperparameters import SPEC_FIELDS
from search.hyperparameters import Hyperparameters
from search.spec import SweepSpec
from spaces import ContinuousSpace
from spaces import Value
from trainers.training import TrainingTask


def resolved(spec: SweepSpec, task: TrainingTask) -> SweepSpec:
    """The same sweep with its backbone, space, fixed values, sampler, trials and training settings written out.

    Args:
        spec: What was asked for.
        task: What that comes to on its dataset.
    """
    whole_epochs = task.iterations == task.epochs * task.steps_per_epoch
    in_epochs = spec.training.iterations is None and whole_epochs
    training: dict[str, Any] = {"epochs": task.epochs} if in_epochs else {"iterations": task.iterations}
    training |= {
        "batch_size": task.batch_size,
        "learning_rate": task.learning_rate,
        "momentum": task.momentum,
        "weight_decay": task.weight_decay,
        "dropout": task.dropout,
        "milestones": sorted({drop for drop in task.milestones if 0 < drop < task.iterations}) or None,
        "milestone_unit": "iterations",
        "decay_factor": task.decay_factor,
        "augmentation": task.augmentation,
        "precision": task.precision,
        "evaluate_every": task.evaluate_every,
    }
    return SweepSpec.model_validate(
        {
            **spec.to_json_dict(),
            # Resumed from another folder, the sweep finds its data all the same.
            "dataset": _anchored(spec.dataset) if spec.dataset.endswith(".npz") else spec.dataset,
            "data_dir": _anchored(spec.data_dir) if spec.data_dir is not None else None,
            "backbone": task.backbone,
            "hyperparameters": _fixed(spec),
            "space": spec.searched_space.model_dump(mode="json"),
            "sampler": spec.resolved_sampler,
            "trials": spec.number_of_configurations,
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
    return {**defaults, **spec.hyperparameters}


def _anchored(path: str | Path) -> str:
    return str(Path(path).expanduser().absolute())
