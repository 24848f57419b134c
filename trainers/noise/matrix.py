"""Noise from a transition matrix that the user gives."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from trainers.class_matrix import read_class_matrix
from trainers.class_matrix import transition_problem
from trainers.errors import FieldError
from trainers.errors import InvalidInput
from trainers.noise.noise_model import Classes
from trainers.noise.noise_model import NoiseModel

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
        problem = transition_problem(self.matrix.numpy())
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
            matrix = read_class_matrix(path)
        except Exception as error:  # numpy raises many kinds for a broken file
            raise InvalidInput(
                FieldError("noise_file", str(path), f"cannot be read as a matrix ({error})", _REMEDY)
            ) from error
        problem = transition_problem(matrix)
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


def _shape(matrix: npt.NDArray[Any]) -> str:
    return f"{matrix.dtype} {matrix.shape}"
