"""Label noise: corrupted labels as a function of (labels, rate, classes, seed) alone, saved and reloaded."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from trainers.errors import FieldError
from trainers.errors import InvalidInput

_SAVED_FIELDS = ("labels", "mask", "noise_model", "noise_rate", "num_classes", "seed")


@dataclass(frozen=True, eq=False)
class CorruptedLabels:
    """The labels that training sees, and which of them were changed.

    Args:
        labels: Corrupted labels, int64 (N,).
        mask: bool (N,), True where a label was changed.
        noise_model: Name of the noise model that drew them, e.g. ``symmetric``.
        noise_rate: Nominal noise rate: the probability that a label is changed.
        num_classes: Number of classes C.
        seed: Noise seed of the draw.
        transition_matrix: T of the noise model that drew them, T[i, j] = P(label j | intact label i), float64
            (C, C); None where it is not known.
    """

    labels: Tensor
    mask: Tensor
    noise_model: str
    noise_rate: float
    num_classes: int
    seed: int
    transition_matrix: Tensor | None = None

    @property
    def realised_rate(self) -> float:
        """Fraction of the labels that were in fact changed, in [0, 1]."""
        return int(self.mask.sum()) / len(self.mask)

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 (hex) of the labels and the mask, the same on every machine."""
        digest = hashlib.sha256(self.labels.cpu().numpy().astype("<i8").tobytes())
        digest.update(np.packbits(self.mask.cpu().numpy()).tobytes())
        return digest.hexdigest()

    def save(self, path: Path | str) -> None:
        """Write one ``.npz`` that :meth:`load` reads; an interrupted write leaves nothing of it.

        Args:
            path: File to write; its folder is created, an existing file is replaced.
        """
        target = Path(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=target.name, suffix=".part")
        try:
            with os.fdopen(handle, "wb") as stream:
                np.savez_compressed(
                    stream,
                    labels=self.labels.cpu().numpy(),
                    mask=self.mask.cpu().numpy(),
                    noise_model=np.array(self.noise_model),
                    noise_rate=np.array(self.noise_rate, dtype=np.float64),
                    num_classes=np.array(self.num_classes, dtype=np.int64),
                    seed=np.array(self.seed, dtype=np.int64),
                )
                stream.flush()
                os.fsync(stream.fileno())
            os.replace(temporary, target)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise

    @classmethod
    def load(cls, path: Path | str) -> CorruptedLabels:
        """Read what :meth:`save` wrote. No pickle is ever read.

        Args:
            path: File to read.

        Raises:
            InvalidInput: The file is missing, unreadable, or not one that :meth:`save` wrote.
        """
        try:
            with np.load(path, allow_pickle=False) as saved:
                fields = {name: saved[name] for name in _SAVED_FIELDS}
            labels, mask = fields["labels"], fields["mask"]
            num_classes = int(fields["num_classes"])
            if (
                labels.dtype != np.int64
                or mask.dtype != np.bool_
                or labels.shape != mask.shape
                or labels.ndim != 1
            ):
                raise ValueError("labels and mask are not int64 and bool arrays of one length")
            if len(labels) == 0 or labels.min() < 0 or labels.max() >= num_classes:
                raise ValueError(f"labels are not all in 0...{num_classes - 1}")
            return cls(
                labels=torch.from_numpy(labels),
                mask=torch.from_numpy(mask),
                noise_model=str(fields["noise_model"]),
                noise_rate=float(fields["noise_rate"]),
                num_classes=num_classes,
                seed=int(fields["seed"]),
            )
        except Exception as error:  # numpy and zipfile raise many kinds for a broken file
            raise InvalidInput(
                FieldError(
                    "noise_file",
                    str(path),
                    f"not a file of corrupted labels ({error})",
                    "Give a file that CorruptedLabels.save wrote, or remove it and draw the labels again.",
                )
            ) from error


def symmetric_noise(
    labels: Tensor | npt.NDArray[np.int64], noise_rate: float, num_classes: int, seed: int
) -> CorruptedLabels:
    """Change each label with probability ``noise_rate`` into one of the other C - 1 classes, uniformly.

    The draw depends on the arguments alone: on no global random state, device or number of threads. Under one
    seed the changed examples of a lower rate are a subset of those of a higher rate.

    Args:
        labels: Intact labels, integers (N,) in 0...C - 1. Not modified.
        noise_rate: Probability that a label is changed, in [0, 1).
        num_classes: Number of classes C, at least 2.
        seed: Noise seed, in [0, 2**63).

    Raises:
        InvalidInput: Anything of the above is violated; all violations are reported at once.

    Source: method.md "Label noise"; independent Bernoulli draws as in the released code of arXiv 1905.11233.
    """
    intact = _checked_labels(labels, noise_rate, num_classes, seed)
    generator = np.random.Generator(np.random.PCG64(seed))
    mask = generator.random(len(intact)) < noise_rate
    # Drawn for every example, changed or not, so that what one label becomes does not depend on the others.
    shifts = generator.integers(1, num_classes, size=len(intact), dtype=np.int64)
    corrupted = np.where(mask, (intact + shifts) % num_classes, intact)
    return CorruptedLabels(
        labels=torch.from_numpy(corrupted),
        mask=torch.from_numpy(mask),
        noise_model="symmetric",
        noise_rate=float(noise_rate),
        num_classes=num_classes,
        seed=seed,
    )


NoiseModel = Callable[[Tensor | npt.NDArray[np.int64], float, int, int], CorruptedLabels]

NOISE_MODELS: dict[str, NoiseModel] = {"symmetric": symmetric_noise}


def corrupt_labels(
    noise_model: str, labels: Tensor | npt.NDArray[np.int64], noise_rate: float, num_classes: int, seed: int
) -> CorruptedLabels:
    """Corrupt labels with the noise model of that name.

    Args:
        noise_model: A key of :data:`NOISE_MODELS`.
        labels: Intact labels, integers (N,).
        noise_rate: Probability that a label is changed, in [0, 1).
        num_classes: Number of classes C.
        seed: Noise seed.

    Raises:
        InvalidInput: Unknown noise model, or arguments that the model refuses.
    """
    try:
        draw = NOISE_MODELS[noise_model]
    except KeyError:
        known = ", ".join(sorted(NOISE_MODELS))
        raise InvalidInput(
            FieldError("noise_model", noise_model, "no such noise model", f"Use one of: {known}.")
        ) from None
    return draw(labels, noise_rate, num_classes, seed)


def _checked_labels(
    labels: Tensor | npt.NDArray[np.int64], noise_rate: float, num_classes: int, seed: int
) -> npt.NDArray[np.int64]:
    """The labels as a fresh int64 array; every violated requirement is reported in one InvalidInput."""
    array = labels.detach().cpu().numpy() if isinstance(labels, Tensor) else np.asarray(labels)
    errors = []
    if not 0 <= noise_rate < 1:  # False for NaN as well
        errors.append(
            FieldError(
                "noise_rate", noise_rate, "not in [0, 1)", "Give the probability that a label is changed."
            )
        )
    if num_classes < 2:
        errors.append(
            FieldError("num_classes", num_classes, "fewer than 2 classes", "Noise needs another class.")
        )
    if not 0 <= seed < 2**63:
        errors.append(FieldError("seed", seed, "not in [0, 2**63)", "Give a non-negative integer seed."))
    if array.ndim != 1 or array.dtype.kind not in "iu" or array.size == 0:
        errors.append(
            FieldError(
                "labels",
                f"{array.dtype} {array.shape}",
                "not a non-empty vector of integers",
                "Give integer labels of shape (N,).",
            )
        )
    elif array.min() < 0 or array.max() >= num_classes:
        errors.append(
            FieldError(
                "labels",
                f"{array.min()}...{array.max()}",
                f"out of range for {num_classes} classes",
                f"Labels must be in 0...{num_classes - 1}; renumber them or raise num_classes.",
            )
        )
    if errors:
        raise InvalidInput(*errors)
    return array.astype(np.int64)
