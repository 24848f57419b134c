"""Dataset: one classification data set in memory, with the statistics that normalise it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Protocol
from typing import runtime_checkable

import numpy as np
import torch
from torch import Tensor

from trainers.errors import FieldError
from trainers.errors import InvalidInput

_COUNTED_AT_ONCE = 4096


@dataclass(frozen=True, eq=False)
class Dataset:
    """Training and test examples with intact labels, as whole tensors. Make one with :meth:`from_tensors`.

    Args:
        name: Name of the data set, as recorded with a sweep.
        x_train: Images (N, C, H, W) or flat examples (N, F); uint8, or float32.
        y_train: Intact labels, int64 (N,), in 0...num_classes - 1.
        x_test: Test examples, of the dtype and example shape of ``x_train``.
        y_test: Test labels, int64.
        num_classes: Number of classes.
        mean: float32 (C,), per channel over ``x_train``, of uint8 pixels scaled to [0, 1] and of floats as
            they are; (1,), over everything, for flat examples.
        std: float32, as ``mean``. 1 where a channel is constant, so that dividing by it is safe.
        recipe: Name of the recipe of `trainers.recipes` that was made for this data, or None: then the shape
            of the examples decides. ``name`` cannot say it: a user's own digits.npz is called digits too.
    """

    name: str
    x_train: Tensor
    y_train: Tensor
    x_test: Tensor
    y_test: Tensor
    num_classes: int
    mean: Tensor
    std: Tensor
    recipe: str | None = None

    def __post_init__(self) -> None:
        problems = self._problems()
        if problems:
            raise InvalidInput(
                *(
                    FieldError("dataset", self.name, problem, "Repair the data, or the plugin that reads it.")
                    for problem in problems
                )
            )

    def _problems(self) -> list[str]:
        problems = []
        for part, images, labels in (
            ("train", self.x_train, self.y_train),
            ("test", self.x_test, self.y_test),
        ):
            if images.dtype not in (torch.uint8, torch.float32):
                problems.append(f"x_{part} is {images.dtype}, not uint8 or float32")
            if images.ndim not in (2, 4):
                problems.append(f"x_{part} has shape {tuple(images.shape)}, not (N, C, H, W) or (N, F)")
            if labels.dtype != torch.int64 or labels.ndim != 1:
                problems.append(f"y_{part} is {labels.dtype} {tuple(labels.shape)}, not int64 (N,)")
            elif len(labels) != len(images) or not len(labels):
                problems.append(f"x_{part} has {len(images)} examples and y_{part} {len(labels)} labels")
            elif int(labels.min()) < 0 or int(labels.max()) >= self.num_classes:
                problems.append(f"y_{part} has labels outside 0...{self.num_classes - 1}")
        if self.x_train.shape[1:] != self.x_test.shape[1:] or self.x_train.dtype != self.x_test.dtype:
            problems.append("x_train and x_test differ in example shape or dtype")
        if not bool(torch.isfinite(self.mean).all() and torch.isfinite(self.std).all()):
            problems.append("x_train has values that are NaN or infinite")
        return problems

    @classmethod
    def from_tensors(
        cls,
        name: str,
        x_train: Tensor,
        y_train: Tensor,
        x_test: Tensor,
        y_test: Tensor,
        num_classes: int,
        recipe: str | None = None,
    ) -> Dataset:
        """A data set with its statistics computed from ``x_train``.

        Args:
            name: Name of the data set.
            x_train: Images (N, C, H, W) or flat examples (N, F); uint8, or float32.
            y_train: Intact labels, int64 (N,).
            x_test: As ``x_train``.
            y_test: As ``y_train``.
            num_classes: Number of classes.
            recipe: Name of the recipe that was made for this data, if one was.

        Raises:
            InvalidInput: Shapes, dtypes or label ranges do not fit.
        """
        mean, std = _statistics(x_train)
        return cls(name, x_train, y_train, x_test, y_test, num_classes, mean, std, recipe)

    @property
    def example_shape(self) -> tuple[int, ...]:
        """Shape of one example: (C, H, W), or (F,) of a flat one."""
        return tuple(self.x_train.shape[1:])

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 (hex) over the four arrays with their dtypes and shapes, and the number of classes."""
        digest = hashlib.sha256(f"{self.num_classes}".encode())
        for array in (self.x_train, self.y_train, self.x_test, self.y_test):
            digest.update(f"|{array.dtype}{tuple(array.shape)}|".encode())
            digest.update(array.contiguous().numpy().ravel().view(np.uint8).data)
        return digest.hexdigest()

    def limit_train(self, n: int, seed: int = 0) -> Dataset:
        """The same data set with ``n`` training examples, every class in the proportion of the whole.

        Statistics are those of the subset: what was left out is not used at all. Test examples stay.

        Args:
            n: Training examples to keep; all when there are no more than that. At least one a class.
            seed: Which subset; the same seed gives the same subset on every machine.

        Raises:
            InvalidInput: ``n`` is smaller than the number of classes.
        """
        if n < self.num_classes:
            raise InvalidInput(
                FieldError(
                    "limit_train",
                    n,
                    f"fewer than one training example for each of {self.num_classes} classes",
                    f"Give at least {self.num_classes}.",
                )
            )
        if n >= len(self.y_train):
            return self
        kept = torch.from_numpy(_stratified(self.y_train.numpy(), n, self.num_classes, seed))
        examples, labels = self.x_train[kept], self.y_train[kept]
        return Dataset.from_tensors(
            self.name, examples, labels, self.x_test, self.y_test, self.num_classes, self.recipe
        )


@runtime_checkable
class DatasetSource(Protocol):
    """Where a data set comes from; installed packages add theirs by the entry point ``emphasis.datasets``."""

    @property
    def description(self) -> str:
        """One line for a list of data sets."""

    def check(self, data_dir: Path | None, download: bool) -> None:
        """Find out, before anything heavy starts, whether :meth:`load` would succeed.

        Args:
            data_dir: Folder of the data, where the source needs one.
            download: Whether missing files may be fetched.

        Raises:
            InvalidInput: It would not; all problems at once, each with its remedy.
        """

    def load(self, data_dir: Path | None, download: bool) -> Dataset:
        """Read the whole data set into memory.

        Args:
            data_dir: Folder of the data, where the source needs one.
            download: Whether missing files may be fetched.

        Raises:
            InvalidInput: As :meth:`check`.
        """


def _statistics(x_train: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation (population), per channel of images, over everything for flat examples."""
    channels = x_train.transpose(0, 1) if x_train.ndim == 4 else x_train.unsqueeze(0)
    means, stds = [], []
    for channel in channels:
        if x_train.dtype == torch.uint8:
            # From counts of the 256 values: exact, and without a float copy eight times the size.
            values = torch.arange(256, dtype=torch.float64) / 255
            # In pieces, because bincount works on a copy as int64.
            pieces = channel.split(_COUNTED_AT_ONCE)
            counts = sum(np.bincount(piece.numpy().ravel(), minlength=256) for piece in pieces)
            share = torch.from_numpy(counts / np.sum(counts))
            mean = (share * values).sum()
            std = (share * (values - mean).square()).sum().sqrt()
        else:
            mean = channel.mean(dtype=torch.float64)
            std = (channel.double() - mean).square().mean().sqrt()
        means.append(mean)
        stds.append(std)
    mean, std = torch.stack(means).float(), torch.stack(stds).float()
    return mean, torch.where(std > 1e-6, std, torch.ones_like(std))


def _stratified(labels: np.ndarray, n: int, num_classes: int, seed: int) -> np.ndarray:
    """Ascending indices of ``n`` examples, each class within one example of its share and never empty."""
    counts = np.bincount(labels, minlength=num_classes)
    shares = counts * (n / len(labels))
    sizes = np.minimum(np.maximum(np.floor(shares).astype(int), 1), counts)
    while sizes.sum() != n:
        step = 1 if sizes.sum() < n else -1
        movable = (sizes < counts) if step > 0 else (sizes > 1)
        lack = np.where(movable, step * (shares - sizes), -np.inf)
        sizes[int(np.argmax(lack))] += step
    generator = np.random.Generator(np.random.PCG64(seed))
    order = generator.permutation(len(labels))
    chosen = [order[labels[order] == label][:size] for label, size in enumerate(sizes)]
    return np.sort(np.concatenate(chosen))
