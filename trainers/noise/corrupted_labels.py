"""CorruptedLabels: the labels that training sees, and which of them are known to be wrong; saved and reloaded."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from dataclasses import replace
from functools import cached_property
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from trainers.errors import FieldError
from trainers.errors import InvalidInput
from trainers.unpacked_size import check_unpacked_size
from trainers.whole_files import replaced_whole

Labels = Tensor | npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class CorruptedLabels:
    """The labels that training sees, and which of them are wrong.

    Args:
        labels: Given labels, int64 (N,).
        mask: bool (N,), True where the given label is not the intact one; None where nobody knows.
        noise_model: Name of the noise model that drew or read them, e.g. ``symmetric``.
        noise_rate: Nominal noise rate, as `NoiseModel.noise_rate`; None where unknown.
        num_classes: Number of classes C.
        seed: Noise seed of the draw.
        transition_matrix: T of the noise model, T[i, j] = P(given j | intact i), float64 (C, C); None where the
            labels were not drawn from one.
    """

    labels: Tensor
    mask: Tensor | None
    noise_model: str
    noise_rate: float | None
    num_classes: int
    seed: int
    transition_matrix: Tensor | None = None

    @property
    def realised_rate(self) -> float | None:
        """Fraction of the labels that are in fact wrong, in [0, 1]; None where nobody knows."""
        return None if self.mask is None else int(self.mask.sum()) / len(self.mask)

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 (hex) of the labels, and of the mask where there is one; the same on every machine."""
        digest = hashlib.sha256(self.labels.cpu().numpy().astype("<i8").tobytes())
        if self.mask is not None:
            digest.update(np.packbits(self.mask.cpu().numpy()).tobytes())
        return digest.hexdigest()

    def take(self, indices: Tensor) -> CorruptedLabels:
        """The labels of some examples, e.g. of a held-out part; the nominal rate stays that of the draw.

        Args:
            indices: Integers (M,) with M >= 1, each in 0...N - 1, in any order.

        Raises:
            InvalidInput: The indices are not as above.
        """
        integer = indices.ndim == 1 and indices.dtype in (torch.int64, torch.int32) and indices.numel() > 0
        if not integer or int(indices.min()) < 0 or int(indices.max()) >= len(self.labels):
            raise InvalidInput(
                FieldError(
                    "indices",
                    f"{indices.dtype} {tuple(indices.shape)}",
                    f"not a non-empty vector of indices of {len(self.labels)} labels",
                    f"Give int64 indices in 0...{len(self.labels) - 1}.",
                )
            )
        mask = None if self.mask is None else self.mask[indices]
        return replace(self, labels=self.labels[indices], mask=mask)

    def confusion_matrix(self, intact: Labels) -> Tensor:
        """Counts of (intact, given) pairs: int64 (C, C), a row an intact class, a column a given one.

        Args:
            intact: Intact labels, integers (N,) in 0...C - 1.

        Raises:
            InvalidInput: The intact labels do not fit.
        """
        classes = self.num_classes
        array, problems = integer_labels(intact, classes, "intact")
        if not problems and len(array) != len(self.labels):
            problems = [wrong_length("intact", len(array), len(self.labels))]
        if problems:
            raise InvalidInput(*problems)
        pairs = torch.from_numpy(array) * classes + self.labels.cpu()
        return torch.bincount(pairs, minlength=classes * classes).reshape(classes, classes)

    def save(self, path: Path | str) -> None:
        """Write one ``.npz`` that :meth:`load` reads; an interrupted write leaves nothing of it.

        Args:
            path: File to write; its folder is created, an existing file is replaced.
        """
        known: dict[str, Any] = {} if self.mask is None else {"mask": self.mask.cpu().numpy()}
        if self.noise_rate is not None:
            known["noise_rate"] = np.array(self.noise_rate, dtype=np.float64)
        if self.transition_matrix is not None:
            known["transition_matrix"] = self.transition_matrix.numpy()
        with replaced_whole(Path(path)) as stream:
            np.savez_compressed(
                stream,
                labels=self.labels.cpu().numpy(),
                noise_model=np.array(self.noise_model),
                num_classes=np.array(self.num_classes, dtype=np.int64),
                seed=np.array(self.seed, dtype=np.int64),
                **known,
            )

    @classmethod
    def load(cls, path: Path | str) -> CorruptedLabels:
        """Read what :meth:`save` wrote. No pickle is ever read.

        Args:
            path: File to read.

        Raises:
            InvalidInput: The file is missing, unreadable, or not one that :meth:`save` wrote.
        """
        try:
            check_unpacked_size(Path(path))
            with np.load(path, allow_pickle=False) as saved:
                fields = {name: saved[name] for name in saved.files}
            labels, mask = fields["labels"], fields.get("mask")
            num_classes = int(fields["num_classes"])
            if labels.dtype != np.int64 or labels.ndim != 1:
                raise ValueError("labels are not one int64 vector")
            if mask is not None and (mask.dtype != np.bool_ or mask.shape != labels.shape):
                raise ValueError("mask is not a bool array of the labels' length")
            if len(labels) == 0 or labels.min() < 0 or labels.max() >= num_classes:
                raise ValueError(f"labels are not all in 0...{num_classes - 1}")
            matrix = fields.get("transition_matrix")
            if matrix is not None and (matrix.dtype != np.float64 or matrix.shape != (num_classes, num_classes)):
                raise ValueError("transition_matrix is not a float64 array with a row and a column a class")
            return cls(
                labels=torch.from_numpy(labels),
                mask=None if mask is None else torch.from_numpy(mask),
                noise_model=str(fields["noise_model"]),
                noise_rate=float(fields["noise_rate"]) if "noise_rate" in fields else None,
                num_classes=num_classes,
                seed=int(fields["seed"]),
                transition_matrix=None if matrix is None else torch.from_numpy(matrix),
            )
        except Exception as error:  # numpy and zipfile raise many kinds for a broken file
            reason = f"it has no {error}" if isinstance(error, KeyError) else str(error)
            raise InvalidInput(
                FieldError(
                    "noise_file",
                    str(path),
                    f"not a file of corrupted labels ({reason})",
                    "Give one that `emphasis labels` or CorruptedLabels.save wrote, or a .csv or .npy of labels.",
                )
            ) from error

    def write_labels(self, path: Path | str, intact: Labels | None = None) -> None:
        """Export the given labels for other programs; the noise model ``file`` reads them back.

        Args:
            path: File to write: ``.npy`` is one int64 vector, ``.csv`` has the columns index, label and, where
                ``intact`` is given, intact_label. Its folder is created, an existing file is replaced as a whole.
            intact: Intact labels, integers (N,); ``.csv`` only.

        Raises:
            InvalidInput: Another suffix, or intact labels that do not fit.
        """
        target = Path(path)
        if target.suffix not in (".npy", ".csv"):
            raise InvalidInput(
                FieldError("path", str(path), "neither .npy nor .csv", "End the file's name in .npy or .csv.")
            )
        labels = self.labels.cpu().numpy()
        if target.suffix == ".npy":
            if intact is not None:
                raise InvalidInput(FieldError("intact", str(path), "a .npy holds one column", "Write a .csv instead."))
            with replaced_whole(target) as stream:
                np.save(stream, labels)
            return
        columns = {"index": np.arange(len(labels)), "label": labels}
        if intact is not None:
            self.confusion_matrix(intact)  # refuses what does not fit
            columns["intact_label"], _ = integer_labels(intact, self.num_classes, "intact")
        text = StringIO()
        np.savetxt(text, np.stack(list(columns.values()), 1), "%d", ",", header=",".join(columns), comments="")
        with replaced_whole(target) as stream:
            stream.write(text.getvalue().encode())


def integer_labels(
    labels: Labels, num_classes: int, field: str = "labels"
) -> tuple[npt.NDArray[np.int64], list[FieldError]]:
    """The labels as a fresh int64 array, and what is wrong with them.

    Args:
        labels: Integers (N,) in 0...num_classes - 1, N >= 1.
        num_classes: Number of classes.
        field: Field to blame.
    """
    array = labels.detach().cpu().numpy() if isinstance(labels, Tensor) else np.asarray(labels)
    if array.ndim != 1 or array.dtype.kind not in "iu" or array.size == 0:
        given = f"{array.dtype} {array.shape}"
        remedy = "Give integer labels of shape (N,)."
        return np.zeros(0, np.int64), [FieldError(field, given, "not a non-empty vector of integers", remedy)]
    problems = []
    if array.min() < 0 or array.max() >= num_classes:
        problems.append(
            FieldError(
                field,
                f"{array.min()}...{array.max()}",
                f"out of range for {num_classes} classes",
                f"Labels must be in 0...{num_classes - 1}; renumber them or raise num_classes.",
            )
        )
    return array.astype(np.int64), problems


def wrong_length(field: str, found: int, expected: int) -> FieldError:
    """The error for a vector that has not one entry an example."""
    return FieldError(field, found, f"not one label for each of {expected} examples", f"Give {expected} labels.")
