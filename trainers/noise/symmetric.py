"""Symmetric noise: every class becomes every other with one probability."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from trainers.noise.corrupted_labels import CorruptedLabels
from trainers.noise.corrupted_labels import Labels
from trainers.noise.noise_model import Classes
from trainers.noise.noise_model import RatedNoise


class Symmetric(RatedNoise):
    """Change each label with probability r into one of the other C - 1 classes, uniformly.

    T_ii = 1 - r and T_ij = r / (C - 1): the realised rate is r.

    Source: method.md "Label noise"; independent Bernoulli draws as in the released code of arXiv 1905.11233.
    """

    name = "symmetric"
    description = "with probability r a label becomes one of the other classes, uniformly"

    def transition_matrix(self, num_classes: int) -> Tensor:
        """T, float64 (C, C)."""
        matrix = torch.full((num_classes, num_classes), self.rate / (num_classes - 1), dtype=torch.float64)
        return matrix.fill_diagonal_(1 - self.rate)

    def _given(self, labels: Classes, num_classes: int, generator: np.random.Generator) -> Classes:
        changed = generator.random(len(labels)) < self.rate
        # Drawn for every example, changed or not, so that what one label becomes does not depend on the others.
        shifts = generator.integers(1, num_classes, size=len(labels), dtype=np.int64)
        return np.where(changed, (labels + shifts) % num_classes, labels)


class SymmetricInclusive(RatedNoise):
    """Draw each label with probability r anew from all C classes, its own among them.

    T_ii = 1 - r + r / C and T_ij = r / C: the realised rate is r (C - 1) / C, below the nominal one.
    """

    name = "symmetric_inclusive"
    description = "with probability r a label is drawn anew from all C classes; r(C-1)/C of them are then wrong"

    def transition_matrix(self, num_classes: int) -> Tensor:
        """T, float64 (C, C)."""
        matrix = torch.full((num_classes, num_classes), self.rate / num_classes, dtype=torch.float64)
        return matrix.fill_diagonal_(1 - self.rate + self.rate / num_classes)

    def _given(self, labels: Classes, num_classes: int, generator: np.random.Generator) -> Classes:
        redrawn = generator.random(len(labels)) < self.rate
        return np.where(redrawn, generator.integers(0, num_classes, size=len(labels), dtype=np.int64), labels)


def symmetric_noise(labels: Labels, noise_rate: float, num_classes: int, seed: int) -> CorruptedLabels:
    """``Symmetric(noise_rate).draw(labels, num_classes, seed)``, for one's own training loop.

    Args:
        labels: Intact labels, integers (N,) in 0...C - 1. Not modified.
        noise_rate: Probability that a label is changed, in [0, 1).
        num_classes: Number of classes C, at least 2.
        seed: Noise seed, in [0, 2**63).

    Raises:
        InvalidInput: Anything of the above is violated; all violations are reported at once.
    """
    return Symmetric(noise_rate).draw(labels, num_classes, seed)
