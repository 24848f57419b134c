"""The transition matrix read off a network that was trained on the noisy labels."""

from __future__ import annotations

import math

import torch
from torch import Tensor

# Numpy's percentile with method "higher", as the released code calls it.
_PERCENTILE = 0.97


def estimate_transition(probabilities: Tensor) -> Tensor:
    """The estimated transition matrix: row i is what the network says of the example that is most surely of class i.

    Of a class that the network gives to more than 3 % of the examples, those from the 97th percentile of p_i upwards
    are passed over as outliers. Of a rarer one that would pass over the class itself, and another's examples would
    speak for it. (The released code filters all classes alike, but none of CIFAR-100. It also zeroes what it passed
    over in the matrix that later rows are read from; here each row is read from the network's own outputs.)

    Args:
        probabilities: Softmax outputs for the training set, shape (N, C).

    Returns:
        Float64 (C, C) on the CPU, with rows that sum to 1.

    Source: Patrini et al., CVPR 2017, Eq. 12 and 13, and the authors' code (NoiseEstimator).
    """
    examples, classes = probabilities.shape
    rank = math.ceil(_PERCENTILE * (examples - 1))
    threshold = probabilities.sort(dim=0).values[rank]
    share = torch.bincount(probabilities.argmax(dim=1), minlength=classes) / examples
    # Where all are equal none is left, and the first of them is as good as any.
    filtered = torch.where(probabilities < threshold, probabilities, -1)
    candidates = torch.where(share > 1 - _PERCENTILE, filtered, probabilities)
    rows = probabilities[candidates.argmax(dim=0)].cpu().double()
    return rows / rows.sum(dim=1, keepdim=True)
