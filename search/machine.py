"""What this machine has, and how many trials fit onto what there is."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from search.spec import SweepSpec


def cores() -> int:
    """How many processors this process may use."""
    # macOS has no affinities.
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def this_machine() -> dict[str, float]:
    """What a Ray started here would have, as ``ray.cluster_resources()`` writes it: CPU and GPU."""
    import torch

    return {"CPU": float(cores()), "GPU": float(torch.cuda.device_count())}


def trials_at_once(spec: SweepSpec, resources: Mapping[str, float]) -> int:
    """How many trials of a sweep run at once: as asked, or as many as fit; at least one.

    Args:
        spec: The sweep.
        resources: As ``ray.cluster_resources()`` says it.
    """
    if spec.concurrency is not None:
        return spec.concurrency
    fits = [resources.get("CPU", 0.0) / spec.resources.cpus]
    if spec.resources.gpus:
        fits.append(resources.get("GPU", 0.0) / spec.resources.gpus)
    # 1/n of a GPU is not exact in binary: three thirds are a GPU.
    return max(1, math.floor(min(fits) + 1e-6))
