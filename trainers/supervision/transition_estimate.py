"""The transition matrix read off a network that was trained on the noisy labels."""

from __future__ import annotations

import math

import torch
from torch import Tensor

# Numpy's percentile with method "higher", as the released code calls it.
_PERCENTILE = 0.97


def estimate_transition(probabilities: Tensor) -> Tensor:
    """The estimated transition matrix: row i is what the network says of the example that is most surely of class i.

    With up to 33 classes the examples from the 97th percentile of p_i upwards are passed over as outliers, but never
    more than half of those that the network gives to class i: of a rare class that would pass over the class itself,
    and another's examples would speak for it. (The released code has no such bound, and passes over whatever equals
    an outlier. It filters no CIFAR-100, where whole classes would go. It also zeroes what it passed over in the matrix
    that later rows are read from; here each row is read from the network's own outputs.)

    Args:
        probabilities: Softmax outputs for the training set, shape (N, C).

    Returns:
        Float64 (C, C) on the CPU, with rows that sum to 1.

    Source: Patrini et al., CVPR 2017, Eq. 12 and 13, and the authors' code (NoiseEstimator).
    """
    examples, classes = probabilities.shape
    passed_over = torch.bincount(probabilities.argmax(dim=1), minlength=classes) // 2
    passed_over.clamp_(max=examples - math.ceil(_PERCENTILE * (examples - 1)) if classes * (1 - _PERCENTILE) < 1 else 0)
    # By rank: of outputs that are all 1.0 in float32, or of an image that is there twice, no value tells how many go.
    surest_first = probabilities.argsort(dim=0, descending=True, stable=True)
    rows = probabilities[surest_first.gather(0, passed_over.unsqueeze(0)).squeeze(0)].cpu().double()
    return rows / rows.sum(dim=1, keepdim=True)
