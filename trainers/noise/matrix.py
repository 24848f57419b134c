"""Noise from a transition matrix that the user gives."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from trainers.errors import FieldError
from trainers.errors import InvalidInput
from trainers.noise.noise_model import Classes
from trainers.noise.noise_model import NoiseModel
from trainers.noise.whole_files import check_unpacked_size

# Rows of float32 and of numbers printed with five decimals pass.
_ROW_SUM_TOLERANCE = 1e-5
_REMEDY = "Give C rows of C probabilities P(given j | intact i), as .npy, .csv or .txt."


@dataclass(frozen=True, eq=False)
class MatrixNoise(NoiseModel):
    """Draw each label i from row i of a matrix T, T_ij = P(given j | intact i).

    Under one seed a matrix with a smaller T_ij for all i != j in a row than another changes a subset of the
    labels that the other changes.

    Args:
        matrix: T, (C, C): entries in [0, 1], each row with sum 1.

    Raises:
        InvalidInput: The matrix is not as above.
    """

    matrix: Tensor

    name = "matrix"
    description = "a label of class i becomes j with the probability T_ij of a matrix in a file (.npy, .csv, .txt)"

    def __post_init__(self) -> None:
        problem = _problem(self.matrix.numpy())
        if problem:
            raise InvalidInput(FieldError("matrix", _shape(self.matrix.numpy()), problem, _REMEDY))

    @classmethod
    def read(cls, path: Path | str) -> MatrixNoise:
        """The noise model of the matrix in a file.

        Args:
            path: ``.npy``, or text (``.csv``, ``.txt``) with a row a line, its numbers separated by commas or
                white space.

        Raises:
            InvalidInput: The file cannot be read, or what it holds is no such matrix.
        """
        path = Path(path)
        try:
            matrix = _read(path)
        except Exception as error:  # numpy raises many kinds for a broken file
            raise InvalidInput(
                FieldError("noise_file", str(path), f"cannot be read as a matrix ({error})", _REMEDY)
            ) from error
        problem = _problem(matrix)
        if problem:
            raise InvalidInput(FieldError("noise_file", str(path), problem, _REMEDY))
        return cls(torch.from_numpy(matrix.astype(np.float64)))

    @property
    def noise_rate(self) -> float:
        """1 - mean(T_ii): the rate where all classes are equally frequent."""
        return float(1 - self.transition_matrix(len(self.matrix)).diagonal().mean())

    def transition_matrix(self, num_classes: int) -> Tensor:
        """T, float64 (C, C), each row divided by its sum."""
        matrix = self.matrix.double()
        return matrix / matrix.sum(1, keepdim=True)

    def _problems(self, num_classes: int, num_examples: int) -> list[FieldError]:
        problems = super()._problems(num_classes, num_examples)
        if num_classes != len(self.matrix):
            what = f"made for {len(self.matrix)} classes; this data set has {num_classes}"
            problems.append(FieldError("noise_file", _shape(self.matrix.numpy()), what, _REMEDY))
        return problems

    def _given(self, labels: Classes, num_classes: int, generator: np.random.Generator) -> Classes:
        uniform = generator.random(len(labels))
        given = np.empty_like(labels)
        matrix = self.transition_matrix(num_classes).numpy()
        for intact, row in enumerate(matrix):
            # The own class comes last: a label changes where u < 1 - T_ii, as in the other noise models.
            order = np.append(np.delete(np.arange(num_classes), intact), intact)
            edges = np.cumsum(row[order])
            here = labels == intact
            # The division makes the last edge exactly 1, above every u; a class of probability 0 has no width.
            given[here] = order[np.searchsorted(edges / edges[-1], uniform[here], side="right")]
        return given


def _read(path: Path) -> npt.NDArray[Any]:
    if not path.is_file():
        raise ValueError("no such file")
    check_unpacked_size(path)
    if path.suffix == ".npy":
        array = np.load(path, mmap_mode="r", allow_pickle=False)
        if not isinstance(array, np.ndarray):
            raise ValueError("not one array")
        return array
    if path.suffix not in (".csv", ".txt"):
        raise ValueError(f"unknown suffix {path.suffix!r}")
    rows: list[list[float]] = []
    for number, line in enumerate(path.read_text(encoding="utf-8-sig").splitlines(), 1):
        if not line.strip():
            continue
        try:
            rows.append([float(cell) for cell in re.split(r"\s*,\s*|\s+", line.strip())])
        except ValueError as error:
            raise ValueError(f"line {number}: {error}") from None
        if len(rows[-1]) != len(rows[0]):
            raise ValueError(f"line {number} has {len(rows[-1])} numbers, the first {len(rows[0])}")
    return np.array(rows, dtype=np.float64)


def _problem(matrix: npt.NDArray[Any]) -> str | None:
    """What keeps an array from being a transition matrix."""
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1] or len(matrix) < 2 or matrix.dtype.kind not in "fiu":
        return f"{_shape(matrix)}: not a square matrix of numbers for at least 2 classes"
    outside = ~((matrix >= 0) & (matrix <= 1))  # true for NaN
    if outside.any():
        i, j = (int(index) for index in np.argwhere(outside)[0])
        return f"row {i}, column {j} (from 0) is {matrix[i, j]}: not in [0, 1]"
    sums = matrix.sum(1, dtype=np.float64)
    row = int(np.abs(sums - 1).argmax())
    if abs(sums[row] - 1) > _ROW_SUM_TOLERANCE:
        return f"row {row} (from 0) has the sum {sums[row]:.6g}, not 1"
    return None


def _shape(matrix: npt.NDArray[Any]) -> str:
    return f"{matrix.dtype} {matrix.shape}"
