"""Accuracy on the test set and on the training set against its corrupted and its intact labels."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from trainers.datasets.examples import Examples
from trainers.datasets.examples import batches
from trainers.datasets.image_files import ImageFiles

# Values of a batch: 512 CIFAR images fit in, and 85 of 256x256, which take the network's memory of as many.
_MOST_VALUES = 2**24
# On a CPU what a layer leaves should still be in the cache for the next: 85 CIFAR images. ResNet-20 evaluates 512 in
# two thirds of the time that one batch of them takes.
_MOST_VALUES_ON_CPU, _LEAST_BATCH_ON_CPU = 2**18, 32
# Equal to no label: what is "predicted" of an image that cannot be decoded.
_NO_CLASS = -1


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Accuracies in [0, 1] of one network, in eval mode, without augmentation.

    Attributes:
        epoch: The epoch after which it was taken, from 1.
        test: On the test set.
        corrupted_train: On the training set against the labels that training sees ("fitting").
        intact_train: On the training set against the intact labels ("validation", the objective of a search);
            NaN where the data set does not know them.
        validation: On the validation set against its labels, which may be noisy; NaN where there is none.
    """

    epoch: int
    test: float
    corrupted_train: float
    intact_train: float
    validation: float = math.nan


@dataclass(frozen=True, slots=True)
class RunningAccuracy:
    """Accuracies in [0, 1] of an epoch's training batches as they were trained on: what training gives for nothing.

    In train mode, augmented, each batch seen by the network as it was before its step. Not an `Evaluation`: it lags
    behind one where training goes well, and nothing is chosen by it.

    Attributes:
        corrupted_train: Against the labels that training sees.
        intact_train: Against the intact labels; NaN where the data set does not know them.
    """

    corrupted_train: float
    intact_train: float


def predictions(
    forward: Callable[[Tensor], Tensor],
    inputs: Examples,
    batch_size: int = 512,
    device: torch.device | None = None,
) -> Tensor:
    """The predicted class of every example, shape (N,), int64, on the inputs' device (image files: the CPU).

    An image file that cannot be decoded has the prediction -1, which is wrong whatever its label.

    Args:
        forward: Maps a batch of raw inputs to logits (B, C); puts the network in eval mode itself.
        inputs: All examples, first dimension N.
        batch_size: Examples at a time, at most: fewer of large examples, and on a CPU.
        device: Where ``forward`` computes; by default where the inputs are.

    Raises:
        InvalidInput: More image files are undecodable than is tolerated.
    """
    predicted = outputs(lambda batch: forward(batch).argmax(dim=1), inputs, _NO_CLASS, batch_size, device)
    return predicted.to(inputs.device)


def outputs(
    forward: Callable[[Tensor], Tensor],
    inputs: Examples,
    missing: float,
    batch_size: int = 512,
    device: torch.device | None = None,
) -> Tensor:
    """What ``forward`` gives for every example, in order, on its own device; nothing of it can be differentiated.

    Args:
        forward: Maps a batch of raw inputs to one value or row an example.
        inputs: All examples, first dimension N.
        missing: What stands for an image file that cannot be decoded.
        batch_size: Examples at a time, at most: fewer of large examples, and on a CPU. Images in memory and the same
            in files are taken in the same batches, or their last bits would differ.
        device: Where ``forward`` computes; by default where the inputs are.

    Raises:
        InvalidInput: More image files are undecodable than is tolerated, or all are.
    """
    values = math.prod(inputs.shape[1:])
    size = max(1, min(batch_size, _MOST_VALUES // values))
    if (device or inputs.device).type == "cpu":
        size = min(size, max(_LEAST_BATCH_ON_CPU, _MOST_VALUES_ON_CPU // values))
    found: Tensor | None = None
    with torch.no_grad():
        for batch, chosen in batches(inputs, torch.arange(len(inputs), device=inputs.device), size):
            if len(chosen):
                given = forward(batch)
                if found is None:
                    found = given.new_full((len(inputs), *given.shape[1:]), missing)
                found[chosen.to(given.device)] = given
    if found is None:
        assert isinstance(inputs, ImageFiles)
        inputs.refuse("cannot be decoded, which is every one of them")
    return found


def accuracy(predicted: Tensor, labels: Tensor) -> float:
    """The share of predictions that equal the labels, both of shape (N,)."""
    return float((predicted == labels).double().mean())
