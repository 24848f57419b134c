"""A matrix with a row and a column for each class, read from a file."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from trainers.unpacked_size import check_unpacked_size

SUFFIXES = (".npy", ".csv", ".txt")
"""Of the files that are read."""
FORMATS = "Give a .npy, .csv or .txt file of numbers alone (commas or blanks between them), one row an intact class."
"""What to say where a file is none of them."""

# Rows of float32 and of numbers printed with five decimals pass.
_ROW_SUM_TOLERANCE = 1e-5


def read_class_matrix(path: Path) -> npt.NDArray[Any]:
    """What is in a file: an array of numbers, with no claim on its shape.

    Args:
        path: ``.npy``, or text (``.csv``, ``.txt``) with a row a line, its numbers separated by commas or white space;
            what follows a ``#`` is a comment.

    Raises:
        Exception: The file cannot be read, of one of the many kinds that numpy raises for a broken one.
    """
    if not path.is_file():
        raise ValueError("no such file")
    check_unpacked_size(path)
    if path.suffix == ".npy":
        array = np.load(path, mmap_mode="r", allow_pickle=False)
        if not isinstance(array, np.ndarray):
            raise ValueError("not one array")
        return array
    if path.suffix not in SUFFIXES:
        raise ValueError(f"unknown suffix {path.suffix!r}")
    rows: list[list[float]] = []
    for number, text in enumerate(path.read_text(encoding="utf-8-sig").splitlines(), 1):
        line = text.partition("#")[0]  # numpy writes a header as a comment
        if not line.strip():
            continue
        try:
            rows.append([float(cell) for cell in re.split(r"\s*,\s*|\s+", line.strip())])
        except ValueError as error:
            raise ValueError(f"line {number}: {error}") from None
        if len(rows[-1]) != len(rows[0]):
            raise ValueError(f"line {number} has {len(rows[-1])} numbers, the first {len(rows[0])}")
    return np.array(rows, dtype=np.float64)


def transition_problem(matrix: npt.NDArray[Any]) -> str | None:
    """What keeps an array from being a transition matrix: square, entries in [0, 1], rows with the sum 1.

    Args:
        matrix: Any array.
    """
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1] or len(matrix) < 2 or matrix.dtype.kind not in "fiub":
        return f"{matrix.dtype} {matrix.shape}: not a square matrix of numbers for at least 2 classes"
    outside = ~((matrix >= 0) & (matrix <= 1))  # true for NaN
    if outside.any():
        i, j = (int(index) for index in np.argwhere(outside)[0])
        return f"row {i}, column {j} (from 0) is {matrix[i, j]}: not in [0, 1]"
    sums = matrix.sum(1, dtype=np.float64)
    row = int(np.abs(sums - 1).argmax())
    if abs(sums[row] - 1) > _ROW_SUM_TOLERANCE:
        return f"row {row} (from 0) has the sum {sums[row]:.8g}, not 1"
    return None
