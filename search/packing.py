"""How many trials of a sweep run at once, and how many of them share a process: the lanes of a pack."""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from search.cluster_resources import ClusterResources
from search.hyperparameters import TASK_FIELDS

if TYPE_CHECKING:
    from search.spec import SweepSpec
    from trainers.training import TrainingTask

# Every process at once may bring a node that somebody pays for, and a sampler learns nothing from trials that still
# run.
_MOST_BY_GROWTH = 16


@dataclass(frozen=True, slots=True)
class Packing:
    """How the trials of a sweep share processes.

    Args:
        trials: At once, over all processes.
        lanes: Of them in one process, at most.
    """

    trials: int
    lanes: int = 1


def packing(spec: SweepSpec, resources: ClusterResources, fused: int = 1, max_trials: int | None = None) -> Packing:
    """As many trials at once as are asked for, or as there is room for; at least one, and no more than the sweep has.

    Lanes that are asked for are kept to. Where none are, what there is to run is first spread over the processes that
    there is room for: four trials on two GPUs are two packs of two, on four GPUs four packs of one.

    Args:
        spec: The sweep.
        resources: Of the Ray that runs it.
        fused: Lanes that one process trains best at once (`lanes_fused`); 1 where the task is not known.
        max_trials: Trials at once, at most, whatever the spec says.
    """
    asked = spec.resources.cpus, spec.resources.gpus
    room = max(1, resources.room(*asked), min(resources.room_when_grown(*asked), _MOST_BY_GROWTH))
    lanes = spec.lanes or fused
    trials = spec.concurrency or room * lanes
    trials = min(trials, spec.number_of_trials().total, max_trials or sys.maxsize)
    if spec.lanes is None:
        lanes = min(lanes, math.ceil(trials / room))
    return Packing(trials, min(lanes, trials))


def lanes_fused(spec: SweepSpec, task: TrainingTask) -> int:
    """How many lanes of a sweep's task one process trains best at once; 1 where its trials differ in the task."""
    # torch, which takes seconds to import, is needed from here on.
    from search.searched import searched_configurations
    from search.searched import searched_supervisions
    from trainers.training import lanes_at_once

    names = {name for each in searched_configurations(spec) for name in each.as_dict()}
    if not names.isdisjoint(TASK_FIELDS):
        return 1
    # They are of one class; a grid may have none but other supervisions' cells.
    return max((lanes_at_once(task, each) for each in searched_supervisions(spec)[:1]), default=1)
