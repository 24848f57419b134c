"""What the parts of the benchmark run on."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from tests.benchmarks.gpu.timing import REPEATS


@dataclass(frozen=True, slots=True)
class Setting:
    """What a part runs on.

    Args:
        device: Where.
        dry_run: Whether numbers do not matter, only that everything runs.
        depth: Of the ResNet.
        side: Height and width of the images.
        batch_size: Of a lane.
        examples: Of the data set, resident on the device.
        lanes: K of the sides that have one K.
        lane_counts: Every K of the fused sides.
        steps: Steps of a turn.
        workers: Processes of the plain loop's DataLoader.
        repeats: Counted turns of every side.
    """

    device: torch.device
    dry_run: bool
    depth: int = 56
    side: int = 32
    batch_size: int = 128
    examples: int = 50_000
    lanes: int = 8
    lane_counts: tuple[int, ...] = (1, 4, 8, 16)
    steps: int = 20
    workers: int = 4
    repeats: int = REPEATS
