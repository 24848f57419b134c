"""What every noise model is: labels for training as a function of (labels, classes, seed) alone."""

from __future__ import annotations

import numbers
from abc import ABC
from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from trainers.errors import FieldError
from trainers.errors import InvalidInput
from trainers.noise.corrupted_labels import CorruptedLabels
from trainers.noise.corrupted_labels import Labels
from trainers.noise.corrupted_labels import integer_labels
from trainers.noise.corrupted_labels import wrong_length

Classes = npt.NDArray[np.int64]


class NoiseModel(ABC):
    """How the labels that training sees come from a data set's labels.

    A draw depends on its arguments alone: on no global random state, device or number of threads. All examples
    are drawn at once from their labels as they were; no example sees another's change, and none changes twice.
    """

    name: ClassVar[str]
    """The name by which a sweep asks for the model."""
    description: ClassVar[str]
    """One line for a list of noise models."""
    labels_count_as_intact: ClassVar[bool] = True
    """Whether the labels that :meth:`draw` is given are the intact ones unless it is told others."""

    @property
    @abstractmethod
    def noise_rate(self) -> float | None:
        """The nominal noise rate, in [0, 1); None where the model knows none."""

    @abstractmethod
    def transition_matrix(self, num_classes: int) -> Tensor | None:
        """The nominal T_ij = P(given j | intact i), float64 (C, C); None where the labels are not drawn.

        Args:
            num_classes: Number of classes C, one that :meth:`check` accepts.
        """

    @abstractmethod
    def _given(self, labels: Classes, num_classes: int, generator: np.random.Generator) -> Classes:
        """The labels that training sees, a new array; input is trusted."""

    def _problems(self, num_classes: int, num_examples: int) -> list[FieldError]:
        """What keeps the model from this number of classes and examples (0: not known)."""
        if num_classes >= 2:
            return []
        return [FieldError("num_classes", num_classes, "fewer than 2 classes", "Noise needs another class.")]

    def check(self, num_classes: int, num_examples: int) -> None:
        """Find out, before anything heavy starts, whether the model can serve a data set.

        Args:
            num_classes: Number of classes C.
            num_examples: Number of training examples N.

        Raises:
            InvalidInput: It cannot; all problems at once.
        """
        problems = self._problems(num_classes, num_examples)
        if problems:
            raise InvalidInput(*problems)

    def draw(self, labels: Labels, num_classes: int, seed: int, intact: Labels | None = None) -> CorruptedLabels:
        """The labels that training sees.

        Args:
            labels: The data set's labels, integers (N,) in 0...C - 1. Not modified.
            num_classes: Number of classes C, at least 2.
            seed: Noise seed, in [0, 2**63).
            intact: Intact labels (N,), where they are known apart from ``labels``; the mask compares with them.
                Without them it compares with ``labels`` where those count as intact, and is None where not.

        Raises:
            InvalidInput: Anything of the above is violated, or the model cannot serve these labels; everything
                that is wrong at once.
        """
        array, label_problems = integer_labels(labels, num_classes)
        problems = self._problems(num_classes, len(array))
        if not 0 <= seed < 2**63:
            problems.append(FieldError("seed", seed, "not in [0, 2**63)", "Give a non-negative integer seed."))
        problems += label_problems
        truth = array if self.labels_count_as_intact else None
        if intact is not None:
            truth, intact_problems = integer_labels(intact, num_classes, "intact")
            if not intact_problems and len(truth) != len(array):
                intact_problems = [wrong_length("intact", len(truth), len(array))]
            problems += intact_problems
        if problems:
            raise InvalidInput(*problems)
        given = self._given(array, num_classes, np.random.Generator(np.random.PCG64(seed)))
        return CorruptedLabels(
            labels=torch.from_numpy(given),
            mask=None if truth is None else torch.from_numpy(given != truth),
            noise_model=self.name,
            noise_rate=self.noise_rate,
            num_classes=num_classes,
            seed=seed,
            transition_matrix=self.transition_matrix(num_classes),
        )


@dataclass(frozen=True)
class RatedNoise(NoiseModel):
    """A noise model with one parameter.

    Args:
        rate: The nominal noise rate r, in [0, 1); each model says of what it is the probability. Under one seed
            the labels that a lower rate changes are also changed, and in the same way, by a higher one.
    """

    rate: float

    @property
    def noise_rate(self) -> float:
        """The nominal noise rate r."""
        return float(self.rate)

    def _problems(self, num_classes: int, num_examples: int) -> list[FieldError]:
        return [*rate_problems(self.rate), *super()._problems(num_classes, num_examples)]


def rate_problems(rate: object) -> list[FieldError]:
    """What is wrong with a noise rate."""
    if isinstance(rate, numbers.Real) and 0 <= float(rate) < 1:  # False for NaN as well
        return []
    return [FieldError("noise_rate", rate, "not in [0, 1)", "Give the probability that a label is changed.")]
