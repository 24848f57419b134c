"""Accuracy on the test set and on the training set against its corrupted and its intact labels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Accuracies in [0, 1] of one network, in eval mode, without augmentation.

    Attributes:
        epoch: The epoch after which it was taken, from 1.
        test: On the test set.
        corrupted_train: On the training set against the labels that training sees ("fitting").
        intact_train: On the training set against the original labels ("validation", the objective of a
            search).
    """

    epoch: int
    test: float
    corrupted_train: float
    intact_train: float


def predictions(forward: Callable[[Tensor], Tensor], inputs: Tensor, batch_size: int = 512) -> Tensor:
    """The predicted class of every example, shape (N,), int64, on the inputs' device.

    Args:
        forward: Maps a batch of raw inputs to logits (B, C); puts the network in eval mode itself.
        inputs: All examples, first dimension N.
        batch_size: Examples at a time.
    """
    return outputs(lambda batch: forward(batch).argmax(dim=1), inputs, batch_size)


def outputs(forward: Callable[[Tensor], Tensor], inputs: Tensor, batch_size: int = 512) -> Tensor:
    """What ``forward`` gives for every example, concatenated; nothing of it can be differentiated.

    Args:
        forward: Maps a batch of raw inputs to one row an example.
        inputs: All examples, first dimension N.
        batch_size: Examples at a time.
    """
    with torch.no_grad():
        starts = range(0, len(inputs), batch_size)
        return torch.cat([forward(inputs[start : start + batch_size]) for start in starts])


def accuracy(predicted: Tensor, labels: Tensor) -> float:
    """The share of predictions that equal the labels, both of shape (N,)."""
    return float((predicted == labels).double().mean())
