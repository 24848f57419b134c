"""What this machine has, and how many trials fit onto what there is."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from search.cluster_resources import ClusterResources
from search.cluster_resources import Nodes

if TYPE_CHECKING:
    from search.spec import SweepSpec

# Every trial at once may bring a node that somebody pays for, and a sampler learns nothing from those that still run.
_MOST_BY_GROWTH = 16


def cores() -> int:
    """How many processors this process may use."""
    # macOS has no affinities.
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def this_machine() -> ClusterResources:
    """What a Ray started here would have."""
    import torch

    return ClusterResources((Nodes(float(cores()), float(torch.cuda.device_count())),))


def trials_at_once(spec: SweepSpec, resources: ClusterResources) -> int:
    """How many trials of a sweep run at once: as asked, or as many as fit; at least one.

    Args:
        spec: The sweep.
        resources: Of the Ray that runs it.
    """
    if spec.concurrency is not None:
        return spec.concurrency
    asked = spec.resources.cpus, spec.resources.gpus
    return max(1, resources.room(*asked), min(resources.room_when_grown(*asked), _MOST_BY_GROWTH))
