"""Examples: a tensor in memory or image files on disk, read in batches the same way."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from trainers.datasets.image_files import ImageFiles

Examples = Tensor | ImageFiles


def batches(
    examples: Examples, order: Tensor, batch_size: int, *, at_least: int = 0
) -> Iterator[tuple[Tensor, Tensor]]:
    """Examples in the given order, a batch at a time.

    Args:
        examples: Raw examples (N, ...).
        order: Indices of examples, int64 (M,); of a tensor on its device.
        batch_size: Examples at a time; the last batch may be smaller.
        at_least: Least number of examples of a batch that must be decodable.

    Yields:
        The raw examples (B, ...), of a tensor on its device and of image files on the CPU, and their indices,
        int64 (B,), on the device of ``order``. Image files that cannot be decoded are left out.

    Raises:
        InvalidInput: More image files are undecodable than is tolerated; see `ImageFiles.batches`.
    """
    if isinstance(examples, ImageFiles):
        yield from examples.batches(order, batch_size, at_least=at_least)
        return
    for start in range(0, len(order), batch_size):
        chosen = order[start : start + batch_size]
        # Rows of memory: advanced indexing takes three times as long.
        yield examples.index_select(0, chosen), chosen


def on_device(examples: Examples, device: torch.device) -> Examples:
    """A tensor moved to a device; image files as they are: their batches are moved one by one."""
    return examples if isinstance(examples, ImageFiles) else examples.to(device)
