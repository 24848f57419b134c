"""Whether the memory of this machine holds a sweep's data as often as there are processes that train on it."""

from __future__ import annotations

import math

from torch import Tensor

from search.cluster_resources import ClusterResources
from search.packing import packing
from search.spec import SweepSpec
from trainers.datasets import Dataset

_GIB = 2**30


def memory_warning(
    spec: SweepSpec, dataset: Dataset, resources: ClusterResources, free_bytes: int
) -> str | None:
    """What to say where it does not, with the concurrency that fits; a lower bound, since networks need memory too.

    Args:
        spec: The sweep.
        dataset: Its data, which this process has in memory already.
        resources: Of the Ray that runs it, all on this machine.
        free_bytes: Memory that more processes can have without others being swapped out.
    """
    each = bytes_in_memory(dataset)
    packed = packing(spec, resources)
    processes = math.ceil(packed.trials / packed.lanes)
    if each * processes <= free_bytes:
        return None
    fit = free_bytes // each * packed.lanes
    remedy = f"Give --concurrency {fit}" if fit else "Not even one fits: give fewer examples or smaller ones"
    return (
        f"{dataset.name} takes {each / _GIB:,.1f} GiB of memory in each of {processes} processes at once, "
        f"and {free_bytes / _GIB:,.1f} GiB are free. {remedy}."
    )


def bytes_in_memory(dataset: Dataset) -> int:
    """What the examples of a data set take, less those that stay on disk."""
    parts = (dataset.x_train, dataset.x_test, dataset.x_validation)
    return sum(part.numel() * part.element_size() for part in parts if isinstance(part, Tensor))
