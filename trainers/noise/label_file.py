"""Labels of the training set from a file: .npy, .csv, CorruptedLabels' own .npz, or CIFAR-N's .pt."""

from __future__ import annotations

import csv
import pickle
import threading
from collections.abc import Callable
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from trainers.errors import FieldError
from trainers.errors import InvalidInput
from trainers.noise.corrupted_labels import CorruptedLabels
from trainers.noise.noise_model import Classes
from trainers.noise.noise_model import NoiseModel
from trainers.unpacked_size import check_unpacked_size

_WITH_COLUMNS = (".csv", ".pt")
_SUFFIXES = (".npy", ".npz", *_WITH_COLUMNS)
_REMEDY = (
    "Give one integer label for each training example, in the data set's order: .npy, .csv with the columns "
    "index and label, .npz of CorruptedLabels.save, or .pt with a dict of columns."
)
# torch keeps its list of allowed globals for the whole process; one reader must not clear another's.
_ALLOWING = threading.Lock()


@dataclass(frozen=True)
class LabelFile(NoiseModel):
    """Labels of the training set from a file, one for each example in the data set's order.

    * ``.npy``: one integer vector.
    * ``.csv``: columns with a header; the rows may stand in any order where there is a column ``index``, which
      counts the examples from 0. A file without a header has one label a line.
    * ``.npz``: what `CorruptedLabels.save` wrote.
    * ``.pt``: a dict of columns, as CIFAR-N has it (Wei et al., arXiv 2110.12088). No pickled code is run.

    Args:
        path: The file.
        column: Column of a ``.csv`` (default ``label``, or the only one there is) or of a ``.pt``.

    Raises:
        InvalidInput: There is no such file, its suffix is another, or it has no columns to choose from.
    """

    path: Path
    column: str | None = None

    name = "file"
    description = "labels from a file: .npy, .csv, an exported .npz, or a column of CIFAR-N's .pt"
    labels_count_as_intact = False

    def __post_init__(self) -> None:
        problems = []
        if self.path.suffix not in _SUFFIXES:
            problems.append(self._problem(f"its suffix is none of {', '.join(_SUFFIXES)}"))
        elif self.column is not None and self.path.suffix not in _WITH_COLUMNS:
            problem = f"a {self.path.suffix} has no columns"
            problems.append(FieldError("noise_column", self.column, problem, "Leave it out."))
        if not self.path.is_file():
            problems.append(self._problem("no such file"))
        if problems:
            raise InvalidInput(*problems)

    @property
    def noise_rate(self) -> None:
        """Unknown."""
        return None

    def transition_matrix(self, num_classes: int) -> None:
        """Unknown."""
        return None

    def _given(self, labels: Classes, num_classes: int, generator: np.random.Generator) -> Classes:
        return self._read(num_classes, len(labels)).copy()

    def _problems(self, num_classes: int, num_examples: int) -> list[FieldError]:
        problems = super()._problems(num_classes, num_examples)
        if num_examples and not problems:
            try:
                self._read(num_classes, num_examples)
            except InvalidInput as error:
                problems += error.errors
        return problems

    def _read(self, num_classes: int, num_examples: int) -> Classes:
        """The labels, known to fit, not to be written to."""
        try:
            status = self.path.stat()
        except OSError as error:
            raise InvalidInput(self._problem(f"cannot be read ({error})")) from error
        return _last_read(self, num_classes, num_examples, status.st_mtime_ns, status.st_size)

    def _read_anew(self, num_classes: int, num_examples: int) -> Classes:
        readers = {".npy": self._read_npy, ".npz": self._read_npz, ".csv": self._read_csv, ".pt": self._read_pt}
        try:
            check_unpacked_size(self.path)
            array = readers[self.path.suffix]()
        except InvalidInput:
            raise
        except Exception as error:  # a broken or hostile file makes numpy, torch and zipfile raise nearly anything
            what = str(error).split("\n")[0] or type(error).__name__
            if isinstance(error, pickle.UnpicklingError):
                # torch's own words tell how to run it.
                what = "it holds pickled code or objects, which are never run or built"
            raise InvalidInput(self._problem(f"cannot be read ({what})")) from error
        # Before anything is done with the values: a few bytes can pose as an array of any size.
        if array.dtype.kind not in "iu" or array.shape != (num_examples,):
            found = f"has {array.dtype} {array.shape}"
            raise InvalidInput(self._problem(f"{found}, not one integer for each of {num_examples} examples"))
        outside = (array < 0) | (array >= num_classes)
        if outside.any():
            index = int(outside.argmax())
            problem = f"example {index} (from 0) has the label {array[index]}, not in 0...{num_classes - 1}"
            raise InvalidInput(self._problem(problem))
        labels = np.array(array, dtype=np.int64)
        labels.flags.writeable = False
        return labels

    def _problem(self, problem: str) -> FieldError:
        return FieldError("noise_file", str(self.path), problem, _REMEDY)

    def _read_npy(self) -> npt.NDArray[Any]:
        # Mapped, so that the shape is known before memory is taken; arrays of Python objects cannot be.
        array = np.load(self.path, mmap_mode="r", allow_pickle=False)
        if not isinstance(array, np.ndarray):
            raise ValueError("not one array")
        return array

    def _read_npz(self) -> npt.NDArray[Any]:
        return CorruptedLabels.load(self.path).labels.numpy()

    def _read_csv(self) -> npt.NDArray[Any]:
        rows = []
        with self.path.open(encoding="utf-8-sig", newline="") as stream:
            lines = csv.reader(stream, strict=True)
            for cells in lines:
                if cells:
                    rows.append((lines.line_num, [cell.strip() for cell in cells]))
        if not rows:
            raise ValueError("empty")
        header: list[str] = []
        if not any(_is_integer(cell) for cell in rows[0][1]):
            _, header = rows.pop(0)
        column = self._column_of(header, len(rows[0][1]) if rows else 0)
        labels = np.empty(len(rows), dtype=np.int64)
        filled = np.zeros(len(rows), dtype=bool)
        for position, (number, cells) in enumerate(rows):
            if len(cells) != max(len(header), 1):
                raise ValueError(f"line {number} has {len(cells)} columns, not {max(len(header), 1)}")
            label = _integer(cells[column], number)
            index = _integer(cells[header.index("index")], number) if "index" in header else position
            if not 0 <= index < len(rows) or filled[index]:
                problem = "is given twice" if 0 <= index < len(rows) else f"is not in 0...{len(rows) - 1}"
                raise ValueError(f"line {number}: index {index} {problem}")
            labels[index], filled[index] = label, True
        return labels

    def _column_of(self, header: list[str], width: int) -> int:
        """Position of the column of labels."""
        if not header:
            if self.column is not None:
                problem = "the .csv has no header to name its columns"
                raise InvalidInput(FieldError("noise_column", self.column, problem, "Leave it out."))
            if width != 1:
                raise ValueError(f"line 1 has {width} columns and no header names them")
            return 0
        named = [name for name in header if name != "index"]
        if self.column is None and "label" not in named and len(named) == 1:
            return header.index(named[0])
        if self.column is None and "label" in named:
            return header.index("label")
        return header.index(self._known_column(named))

    def _known_column(self, names: list[str]) -> str:
        """The column asked for, which must be one of the file's."""
        if self.column in names:
            return self.column
        problem = "missing" if self.column is None else f"no such column in {self.path.name}"
        there_are = f"Give one of its columns: {', '.join(names) or 'it has none'}."
        raise InvalidInput(FieldError("noise_column", self.column, problem, there_are))

    def _read_pt(self) -> npt.NDArray[Any]:
        with _ALLOWING, torch.serialization.safe_globals(_CIFAR_N_GLOBALS):
            columns = torch.load(self.path, map_location="cpu", weights_only=True)
        if not isinstance(columns, Mapping):
            raise ValueError(f"holds a {type(columns).__name__}, not a dict of columns")
        labels = columns[self._known_column([name for name in columns if isinstance(name, str)])]
        if isinstance(labels, Tensor):
            labels = labels.detach().numpy()
        elif isinstance(labels, list):  # as CIFAR-100N has its superclasses
            labels = np.asarray(labels)
        if not isinstance(labels, np.ndarray):
            raise ValueError(f"column {self.column} is a {type(labels).__name__}, not an array")
        return labels


@lru_cache(maxsize=1)
def _last_read(file: LabelFile, num_classes: int, num_examples: int, modified: int, size: int) -> Classes:
    """The labels of a file at one time and size: CIFAR-100N takes a quarter of a second, each trial draws once."""
    return file._read_anew(num_classes, num_examples)


# What a pickled int64 array is made of, under numpy 1's name of the function and under numpy 2's; every other
# global that torch does not itself trust is refused before it is looked up.
_RECONSTRUCT: Any = np.empty(0).__reduce__()[0]
_CIFAR_N_GLOBALS: list[Callable[..., Any] | tuple[Callable[..., Any], str]] = [
    (_RECONSTRUCT, "numpy.core.multiarray._reconstruct"),
    (_RECONSTRUCT, "numpy._core.multiarray._reconstruct"),
    np.ndarray,
    np.dtype,
    np.dtypes.Int64DType,
]


def _is_integer(cell: str) -> bool:
    digits = cell.removeprefix("-")
    return digits.isascii() and digits.isdigit()


def _integer(cell: str, line: int) -> int:
    if not _is_integer(cell):
        raise ValueError(f"line {line}: {cell!r} is not an integer")
    value = int(cell)
    if abs(value) >= 2**63:
        raise ValueError(f"line {line}: {cell} is too large for a label")
    return value
