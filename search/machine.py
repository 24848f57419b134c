"""What this machine has."""

from __future__ import annotations

import os

import psutil

from search.cluster_resources import ClusterResources
from search.cluster_resources import Nodes


def cores() -> int:
    """How many processors this process may use."""
    # macOS has no affinities.
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def free_memory_bytes() -> int:
    """Memory that processes can have before anything is swapped out."""
    return int(psutil.virtual_memory().available)


def this_machine() -> ClusterResources:
    """What a Ray started here would have."""
    import torch

    return ClusterResources((Nodes(float(cores()), float(torch.cuda.device_count())),))
