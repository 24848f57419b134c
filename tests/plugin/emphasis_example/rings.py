"""Three noisy rings in the plane, one a class: data that no linear layer separates."""

from __future__ import annotations

import math
from pathlib import Path

import torch
from torch import Tensor

from trainers.datasets import Dataset

_CLASSES = 3


class Rings:
    """600 training and 300 test points, the same on every machine."""

    description = "three noisy rings in the plane, 600 + 300 points"

    def check(self, data_dir: Path | None, download: bool) -> None:
        """Nothing is read, so nothing can be missing."""

    def load(self, data_dir: Path | None, download: bool) -> Dataset:
        """Draw the points."""
        generator = torch.Generator().manual_seed(0)
        x_train, y_train = _points(600, generator)
        x_test, y_test = _points(300, generator)
        return Dataset.from_tensors("rings", x_train, y_train, x_test, y_test, num_classes=_CLASSES)


def _points(count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    labels = torch.arange(count) % _CLASSES
    angle = 2 * math.pi * torch.rand(count, generator=generator)
    radius = 1 + labels + 0.15 * torch.randn(count, generator=generator)
    return torch.stack([radius * angle.cos(), radius * angle.sin()], dim=1), labels
