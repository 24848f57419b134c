"""Dataset: one classification data set, with the statistics that normalise it."""

from __future__ import annotations

import hashlib
from abc import ABC
from abc import abstractmethod
from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal
from typing import Protocol
from typing import runtime_checkable

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from trainers.datasets.examples import Examples
from trainers.datasets.examples import batches
from trainers.datasets.image_files import ImageFiles
from trainers.errors import FieldError
from trainers.errors import InvalidInput

# Values, of one channel; and how many image files say what the mean and the deviation of all are: 65 million
# pixels a channel at 256x256.
_COUNTED_AT_ONCE = 2**22
_COUNTED_FILES = 1024
_FILES_AT_ONCE = 64
# Channels that deviate by less are not divided by it.
_LEAST_DEVIATION = 1e-6
_CONSTANT = "all training examples are one and the same, so nothing can be learnt from them"
_HARDLY_ANY = "the training examples deviate by less than 1e-6, and are not divided by that: give them in another unit"

OnProgress = Callable[[int, int], None]
"""Told how many images have been decoded, and of how many, while a data set is read."""


@dataclass(frozen=True, eq=False)
class Dataset:
    """Training and test examples with their labels. Make one with :meth:`from_tensors`.

    Examples are whole tensors, or `ImageFiles` that are decoded a batch at a time.

    Args:
        name: Name of the data set, as recorded with a sweep.
        x_train: Images (N, C, H, W) or flat examples (N, F); uint8, or float32.
        y_train: Labels as given, int64 (N,), in 0...num_classes - 1; some may be wrong.
        x_test: Test examples, of the dtype and example shape of ``x_train``.
        y_test: Test labels, int64.
        num_classes: Number of classes.
        mean: float32 (C,), per channel over ``x_train``, of uint8 pixels scaled to [0, 1] and of floats as
            they are; (1,), over everything, for flat examples.
        std: float32, as ``mean``. 1 where a channel is constant, so that dividing by it is safe.
        recipe: Name of the recipe of `trainers.recipes` that was made for this data, or None: then the shape
            of the examples decides. ``name`` cannot say it: a user's own digits.npz is called digits too.
        intact_train: Intact labels of the training set, int64 (N,); None where they are unknown.
        x_validation: Validation examples, as ``x_test``, where the data set has some.
        y_validation: Their labels, int64.
        class_names: One a class, where they are known.
        warnings: What a user should know of how the data was read, a sentence each.
    """

    name: str
    x_train: Examples
    y_train: Tensor
    x_test: Examples
    y_test: Tensor
    num_classes: int
    mean: Tensor
    std: Tensor
    recipe: str | None = None
    intact_train: Tensor | None = None
    x_validation: Examples | None = None
    y_validation: Tensor | None = None
    class_names: tuple[str, ...] | None = None
    warnings: tuple[str, ...] = ()

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
        parts: list[tuple[str, Examples, Tensor]] = [
            ("train", self.x_train, self.y_train),
            ("test", self.x_test, self.y_test),
        ]
        if self.x_validation is not None and self.y_validation is not None:
            parts.append(("validation", self.x_validation, self.y_validation))
        elif self.x_validation is not None or self.y_validation is not None:
            problems.append("of x_validation and y_validation one is missing")
        for part, images, labels in parts:
            if images.dtype not in (torch.uint8, torch.float32):
                problems.append(f"x_{part} is {images.dtype}, not uint8 or float32")
            if images.dim() not in (2, 4):
                problems.append(f"x_{part} has shape {tuple(images.shape)}, not (N, C, H, W) or (N, F)")
            problems += self._label_problems(f"y_{part}", labels, f"x_{part}", len(images))
            if images.shape[1:] != self.x_train.shape[1:] or images.dtype != self.x_train.dtype:
                problems.append(f"x_train and x_{part} differ in example shape or dtype")
        if self.intact_train is not None:
            problems += self._label_problems("intact_train", self.intact_train, "x_train", len(self.x_train))
        if self.class_names is not None and len(self.class_names) != self.num_classes:
            problems.append(f"{len(self.class_names)} class names for {self.num_classes} classes")
        if not bool(torch.isfinite(self.mean).all() and torch.isfinite(self.std).all()):
            problems.append("x_train has values that are NaN or infinite")
        return problems

    def _label_problems(self, name: str, labels: Tensor, of: str, examples: int) -> list[str]:
        if labels.dtype != torch.int64 or labels.ndim != 1:
            return [f"{name} is {labels.dtype} {tuple(labels.shape)}, not int64 (N,)"]
        if len(labels) != examples or not examples:
            return [f"{of} has {examples} examples and {name} {len(labels)} labels"]
        if int(labels.min()) < 0 or int(labels.max()) >= self.num_classes:
            return [f"{name} has labels outside 0...{self.num_classes - 1}"]
        return []

    @classmethod
    def from_tensors(
        cls,
        name: str,
        x_train: Examples,
        y_train: Tensor,
        x_test: Examples,
        y_test: Tensor,
        num_classes: int,
        recipe: str | None = None,
        *,
        intact: Tensor | Literal["given"] | None = "given",
        x_validation: Examples | None = None,
        y_validation: Tensor | None = None,
        class_names: tuple[str, ...] | None = None,
        on_progress: OnProgress | None = None,
        warnings: tuple[str, ...] = (),
    ) -> Dataset:
        """A data set with its statistics computed from ``x_train``.

        Those of `ImageFiles` are taken from 1,024 of them, evenly spaced.

        Args:
            name: Name of the data set.
            x_train: Images (N, C, H, W) or flat examples (N, F); uint8, or float32.
            y_train: Labels as given, int64 (N,).
            x_test: As ``x_train``.
            y_test: As ``y_train``.
            num_classes: Number of classes.
            recipe: Name of the recipe that was made for this data, if one was.
            intact: Intact training labels, int64 (N,): "given" where ``y_train`` are intact, None where the
                intact labels are unknown.
            x_validation: As ``x_test``; a clean validation split, if there is one.
            y_validation: Its labels.
            class_names: One a class.
            on_progress: Told of the `ImageFiles` that are decoded for their statistics.
            warnings: What a user should know of how the data was read, a sentence each.

        Raises:
            InvalidInput: Shapes, dtypes or label ranges do not fit, or too many image files are undecodable.
        """
        mean, std = _statistics(x_train, on_progress)
        if bool((std <= _LEAST_DEVIATION).all()):
            text = _HARDLY_ANY if bool(std.any()) else _CONSTANT
            warnings = (*warnings, *({text} - set(warnings)))
        std = torch.where(std > _LEAST_DEVIATION, std, torch.ones_like(std))
        intact_train = y_train if isinstance(intact, str) else intact
        return cls(
            name,
            x_train,
            y_train,
            x_test,
            y_test,
            num_classes,
            mean,
            std,
            recipe,
            intact_train,
            x_validation,
            y_validation,
            class_names,
            warnings,
        )

    @property
    def example_shape(self) -> tuple[int, ...]:
        """Shape of one example: (C, H, W), or (F,) of a flat one."""
        return tuple(self.x_train.shape[1:])

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 (hex) over the four arrays with their dtypes and shapes, and the number of classes.

        Over the intact labels where they are not those given, and over the validation split where there is
        one. Of `ImageFiles` their own fingerprint stands for the pixels.
        """
        digest = hashlib.sha256(f"{self.num_classes}".encode())
        for array in (self.x_train, self.y_train, self.x_test, self.y_test):
            _digest(array, digest)
        if self.intact_train is None:
            digest.update(b"|intact unknown|")
        elif self.intact_train is not self.y_train and not torch.equal(self.intact_train, self.y_train):
            digest.update(b"|intact|")
            _digest(self.intact_train, digest)
        if self.x_validation is not None and self.y_validation is not None:
            digest.update(b"|validation|")
            _digest(self.x_validation, digest)
            _digest(self.y_validation, digest)
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
        return self._of(torch.from_numpy(stratified(self.y_train.numpy(), n, self.num_classes, seed)))

    def hold_out(self, fraction: float, seed: int) -> HeldOut:
        """Set a part of the training examples aside for validation, with the labels that they were given.

        Every class, by the labels as given, in the proportion of the whole; one of its examples at least
        stays. Statistics are those of what stays.

        Args:
            fraction: Share of the training examples, in (0, 1); rounded to whole examples, one at least.
            seed: Which examples; the same seed gives the same ones on every machine.

        Returns:
            Which examples, and the data set without them, they being its validation split: one that it had
            is replaced.

        Raises:
            InvalidInput: The fraction is out of range, or leaves fewer examples than classes.
        """
        examples = len(self.y_train)
        held = max(1, round(fraction * examples)) if 0 < fraction < 1 else examples
        if examples - held < self.num_classes:
            problem = f"leaves fewer than one of {examples} examples for each of {self.num_classes} classes"
            problem = problem if 0 < fraction < 1 else "not in (0, 1)"
            remedy = "Give the share of the training examples that is held out."
            raise InvalidInput(FieldError("fraction", fraction, problem, remedy))
        kept = stratified(self.y_train.numpy(), examples - held, self.num_classes, seed)
        validation = torch.from_numpy(np.setdiff1d(np.arange(examples), kept, assume_unique=True))
        train = torch.from_numpy(kept)
        part = self._of(train, self.x_train[validation], self.y_train[validation])
        return HeldOut(train, validation, part)

    def _of(
        self, kept: Tensor, x_validation: Examples | None = None, y_validation: Tensor | None = None
    ) -> Dataset:
        """The training examples at ``kept``, with their own statistics; validation as given, or as it is."""
        labels = self.y_train[kept]
        intact: Tensor | Literal["given"] | None = "given"
        if self.intact_train is not self.y_train:
            intact = None if self.intact_train is None else self.intact_train[kept]
        return Dataset.from_tensors(
            self.name,
            self.x_train[kept],
            labels,
            self.x_test,
            self.y_test,
            self.num_classes,
            self.recipe,
            intact=intact,
            x_validation=self.x_validation if x_validation is None else x_validation,
            y_validation=self.y_validation if y_validation is None else y_validation,
            class_names=self.class_names,
            warnings=self.warnings,
        )


@dataclass(frozen=True, eq=False)
class HeldOut:
    """A data set of which a part of the training examples is set aside for validation.

    Attributes:
        train: Indices in the whole training set of the examples that stay, int64, ascending.
        validation: Of those set aside, int64, ascending.
        dataset: Trains on the former; the latter, with their given labels, are its validation split.
    """

    train: Tensor
    validation: Tensor
    dataset: Dataset


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
        """Read the data set, into memory or as `ImageFiles`.

        Args:
            data_dir: Folder of the data, where the source needs one.
            download: Whether missing files may be fetched.

        Raises:
            InvalidInput: As :meth:`check`.
        """


class FileSource(ABC):
    """A `DatasetSource` whose files may change, or take long to read."""

    @property
    @abstractmethod
    def description(self) -> str:
        """As of `DatasetSource`."""

    @abstractmethod
    def version(self, data_dir: Path | None) -> tuple[object, ...]:
        """What changes when the files change."""

    @abstractmethod
    def check(self, data_dir: Path | None, download: bool) -> None:
        """As of `DatasetSource`."""

    @abstractmethod
    def load(
        self, data_dir: Path | None, download: bool, on_progress: OnProgress | None = None
    ) -> Dataset:
        """As of `DatasetSource`.

        Args:
            data_dir: Folder of the data, where the source needs one.
            download: Whether missing files may be fetched.
            on_progress: Told of every batch of images that is decoded.
        """


def _digest(array: Examples, digest: hashlib._Hash) -> None:
    if isinstance(array, ImageFiles):
        digest.update(f"|{array.fingerprint}|".encode())
        return
    digest.update(f"|{array.dtype}{tuple(array.shape)}|".encode())
    digest.update(array.contiguous().numpy().ravel().view(np.uint8).data)


def _statistics(x_train: Examples, on_progress: OnProgress | None) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation (population), per channel of images, over everything for flat examples."""
    if x_train.dtype == torch.uint8:
        mean, std = _counted_statistics(_pieces(x_train, on_progress))
    else:
        assert isinstance(x_train, Tensor)
        mean, std = _summed_statistics(x_train)
    return mean.float(), std.float()


def _pieces(examples: Examples, on_progress: OnProgress | None) -> Iterator[Tensor]:
    """The examples (n, C, H, W) or flat (n, F) whose values are counted or summed, a piece at a time."""
    if isinstance(examples, ImageFiles):
        sample = torch.arange(0, len(examples), -(-len(examples) // _COUNTED_FILES) or 1)
        done = decoded = 0
        for images, _ in batches(examples, sample, _FILES_AT_ONCE):
            decoded += len(images)
            done = min(done + _FILES_AT_ONCE, len(sample))
            if on_progress is not None:
                on_progress(done, len(sample))
            if len(images):
                yield images
        if not decoded:
            examples.refuse(f"cannot be decoded, which is every one of {len(sample)} that were tried")
        return
    # In pieces, because bincount works on a copy as int64, and sums as float64.
    values = max(1, examples[:1].numel() // (examples.shape[1] if examples.dim() == 4 else 1))
    size = max(1, _COUNTED_AT_ONCE // values)
    yield from (examples[start : start + size] for start in range(0, max(1, len(examples)), size))


def _counted_statistics(pieces: Iterable[Tensor]) -> tuple[Tensor, Tensor]:
    """From counts of the 256 values: exact, and without a float copy eight times the size; float64 (C,)."""
    counts: list[npt.NDArray[np.int64]] = []
    for piece in pieces:
        found = [_counts(channel.numpy().ravel()) for channel in _channels_first(piece)]
        counts = [before + now for before, now in zip(counts, found, strict=True)] if counts else found
    values = torch.arange(256, dtype=torch.float64) / 255
    shares = torch.from_numpy(np.stack(counts) / np.sum(counts, axis=1, keepdims=True))
    means = [(share * values).sum() for share in shares]
    deviations = [(share * (values - mean).square()).sum() for share, mean in zip(shares, means, strict=True)]
    return torch.stack(means), torch.stack(deviations).sqrt()


def _summed_statistics(examples: Tensor) -> tuple[Tensor, Tensor]:
    """Of floats, in two passes; a piece at a time, since sums as float64 work on a copy twice the size."""
    whole = _channels_first(examples)
    others = tuple(range(1, whole.dim()))
    count = examples.numel() / len(whole)
    total, squares = torch.zeros(len(whole), dtype=torch.float64), torch.zeros(len(whole), dtype=torch.float64)
    for piece in _pieces(examples, None):
        total += _channels_first(piece).double().sum(others)
    mean = total / count
    for piece in _pieces(examples, None):
        squares += (_channels_first(piece).double() - mean.reshape(-1, *(1 for _ in others))).square().sum(others)
    return mean, (squares / count).sqrt()


def _channels_first(examples: Tensor) -> Tensor:
    """A view (C, n, H, W) of images, and (1, n, F) of flat examples: they have one."""
    return examples.transpose(0, 1) if examples.dim() == 4 else examples.unsqueeze(0)


def _counts(values: npt.NDArray[np.uint8]) -> npt.NDArray[np.int64]:
    """How often each of the 256 values is there; two are counted at once, which takes half the time."""
    paired = len(values) // 2 * 2
    pairs = np.bincount(values[:paired].view(np.uint16), minlength=2**16).reshape(256, 256)
    counts: npt.NDArray[np.int64] = pairs.sum(axis=0) + pairs.sum(axis=1)
    return counts + np.bincount(values[paired:], minlength=256)


def stratified(
    labels: npt.NDArray[np.int64], n: int, num_classes: int, seed: int
) -> npt.NDArray[np.int64]:
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
