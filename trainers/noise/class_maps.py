"""Noise along a map of the classes: pair flip, and the asymmetric noise of CIFAR-10 and CIFAR-100."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from trainers.errors import FieldError
from trainers.noise.noise_model import Classes
from trainers.noise.noise_model import RatedNoise

# Superclass of each fine class, in the official order of both (the classes' names are in alphabetical order).
CIFAR100_SUPERCLASSES = (
    4, 1, 14, 8, 0, 6, 7, 7, 18, 3, 3, 14, 9, 18, 7, 11, 3, 9, 7, 11,
    6, 11, 5, 10, 7, 6, 13, 15, 3, 15, 0, 11, 1, 10, 12, 14, 16, 9, 11, 5,
    5, 19, 8, 8, 15, 13, 14, 17, 18, 10, 16, 4, 17, 4, 2, 0, 17, 4, 18, 17,
    10, 3, 2, 12, 12, 16, 12, 1, 9, 19, 2, 10, 0, 1, 16, 12, 9, 13, 15, 13,
    16, 19, 2, 4, 6, 19, 5, 5, 8, 19, 18, 1, 2, 15, 6, 0, 17, 8, 14, 13,
)  # fmt: skip


class ClassMapNoise(RatedNoise):
    """Change each label i with probability r into the class m(i); where m(i) = i it stays."""

    @abstractmethod
    def class_map(self, num_classes: int) -> Classes:
        """m, int64 (C,)."""

    def transition_matrix(self, num_classes: int) -> Tensor:
        """T = (1 - r) I + r M, float64 (C, C), with M_i,m(i) = 1."""
        identity = torch.eye(num_classes, dtype=torch.float64)
        return (1 - self.rate) * identity + self.rate * identity[torch.from_numpy(self.class_map(num_classes))]

    def _given(self, labels: Classes, num_classes: int, generator: np.random.Generator) -> Classes:
        changed = generator.random(len(labels)) < self.rate
        return np.where(changed, self.class_map(num_classes)[labels], labels)


class PairFlip(ClassMapNoise):
    """Change each label with probability r into the next class, the last into the first.

    Source: Han et al., arXiv 1804.06872.
    """

    name = "pair_flip"
    description = "with probability r a label becomes the next class, the last class the first"

    def class_map(self, num_classes: int) -> Classes:
        """m(i) = (i + 1) mod C."""
        return (np.arange(num_classes, dtype=np.int64) + 1) % num_classes


class _OfOneDataset(ClassMapNoise):
    """A map that has meaning only for the classes of one data set."""

    dataset: ClassVar[str]
    classes: ClassVar[int]

    def _problems(self, num_classes: int, num_examples: int) -> list[FieldError]:
        problems = super()._problems(num_classes, num_examples)
        if num_classes != self.classes:
            problems.append(
                FieldError(
                    "noise_model",
                    self.name,
                    f"made for the {self.classes} classes of {self.dataset}; this data set has {num_classes}",
                    "Use pair_flip, or give your own matrix (noise_model matrix).",
                )
            )
        return problems


class AsymmetricCifar10(_OfOneDataset):
    """CIFAR-10: truck -> automobile, bird -> airplane, deer -> horse, cat <-> dog, each with probability r.

    Half of the classes are left alone, so that r / 2 of all labels are wrong.

    Source: Patrini et al., arXiv 1609.03683.
    """

    name = "asymmetric_cifar10"
    description = "CIFAR-10's truck→automobile, bird→airplane, deer→horse, cat↔dog, each with probability r"
    dataset = "CIFAR-10"
    classes = 10

    def class_map(self, num_classes: int) -> Classes:
        """m, in the official order of the classes."""
        airplane, automobile, bird, cat, deer, dog, _frog, horse, _ship, truck = range(10)
        successor = np.arange(10, dtype=np.int64)
        successor[[truck, bird, deer, cat, dog]] = automobile, airplane, horse, dog, cat
        return successor


class AsymmetricCifar100(_OfOneDataset):
    """CIFAR-100: to the next class within the superclass with probability r, the last of the five to the first.

    Source: Patrini et al., arXiv 1609.03683.
    """

    name = "asymmetric_cifar100"
    description = "CIFAR-100: with probability r a label becomes the next class of its superclass"
    dataset = "CIFAR-100"
    classes = 100

    def class_map(self, num_classes: int) -> Classes:
        """m, in the official order of the fine classes."""
        superclasses = np.array(CIFAR100_SUPERCLASSES)
        successor = np.empty(100, dtype=np.int64)
        for superclass in range(20):
            (members,) = np.nonzero(superclasses == superclass)
            successor[members] = np.roll(members, -1)
        return successor
