"""A user's own arrays: one ``.npz`` file with x_train, y_train, x_test and y_test."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from trainers.datasets.dataset import Dataset
from trainers.errors import FieldError
from trainers.errors import InvalidInput

KEYS = ("x_train", "y_train", "x_test", "y_test")
_NAMED_AT_MOST = 5
# Far above any number of classes: one stray label must not have 2**62 absent classes counted.
_LARGEST_LABEL = 2**20

Array = npt.NDArray[np.generic]


@dataclass(frozen=True)
class ArrayFile:
    """Arrays in one ``.npz`` file, as ``numpy.savez`` writes it.

    ``x_train`` and ``x_test`` are images (N, H, W, C) or flat examples (N, F), both uint8, or both floats
    (kept as float32; other floats are converted). ``y_train`` and ``y_test`` are integer labels (N,) from 0
    to C - 1, and every class has training examples. Further arrays are ignored. Object arrays are refused: no
    pickle is ever read.

    Args:
        path: The file.
    """

    path: Path

    @property
    def description(self) -> str:
        """One line for a list of data sets."""
        return f"arrays x_train, y_train, x_test, y_test of {self.path}"

    def version(self) -> tuple[object, ...]:
        """What changes when the file changes: its place, time and size; empty where there is no file."""
        try:
            status = self.path.stat()
        except OSError:
            return ()
        return (str(self.path.absolute()), status.st_mtime_ns, status.st_size)

    def check(self, data_dir: Path | None = None, download: bool = False) -> None:
        """Read the file and look at all of it; both arguments are ignored.

        Raises:
            InvalidInput: Everything that is wrong with it, at once.
        """
        self._read()

    def load(self, data_dir: Path | None = None, download: bool = False) -> Dataset:
        """The arrays as a data set named after the file; both arguments are ignored.

        Raises:
            InvalidInput: Everything that is wrong with the file, at once.
        """
        arrays = self._read()
        labels = {key: torch.from_numpy(arrays[key].astype(np.int64)) for key in ("y_train", "y_test")}
        return Dataset.from_tensors(
            self.path.name,
            _examples(arrays["x_train"]),
            labels["y_train"],
            _examples(arrays["x_test"]),
            labels["y_test"],
            num_classes=int(labels["y_train"].max()) + 1,
        )

    def _read(self) -> dict[str, Array]:
        """The four arrays, known to be usable."""
        arrays, problems = self._open()
        sound = {}
        for key, array in arrays.items():
            found = _label_problems(key, array) if key.startswith("y") else _example_problems(key, array)
            if not found:
                sound[key] = array
            problems += found
        problems += _joint_problems(sound)
        if problems:
            raise InvalidInput(*(FieldError("dataset", str(self.path), *problem) for problem in problems))
        return arrays

    def _open(self) -> tuple[dict[str, Array], list[tuple[str, str]]]:
        """The arrays that can be read, and (problem, remedy) of those that cannot."""
        remedy = "Write the file with numpy.savez(path, x_train=..., y_train=..., x_test=..., y_test=...)."
        if not self.path.is_file():
            return {}, [("no such file", "Give the path of an existing .npz file.")]
        arrays: dict[str, Array] = {}
        problems = []
        # A broken or hostile file makes numpy, zipfile and zlib raise nearly anything; all of it means
        # "unreadable".
        try:
            saved = np.load(self.path, allow_pickle=False)
        except Exception as error:
            return {}, [(f"cannot be read as .npz ({error})", remedy)]
        if not isinstance(saved, np.lib.npyio.NpzFile):
            return {}, [("holds one bare array, not the arrays of a .npz", remedy)]
        with saved:
            for key in KEYS:
                if key not in saved.files:
                    present = ", ".join(saved.files) or "nothing"
                    problems.append((f"{key} is missing; the file has {present}", remedy))
                    continue
                try:
                    array = saved[key]
                    if not isinstance(array, np.ndarray):  # numpy hands other members out as bytes
                        raise ValueError("not in numpy's format")
                    arrays[key] = array
                except Exception as error:
                    if "Object arrays" in str(error):
                        problems.append(
                            (
                                f"{key} is an array of Python objects, which is never unpickled",
                                "Save a numeric array; images of several sizes must be brought to one.",
                            )
                        )
                    else:
                        problems.append((f"{key} cannot be read ({type(error).__name__}: {error})", remedy))
        return arrays, problems


def _example_problems(key: str, array: Array) -> list[tuple[str, str]]:
    problems = []
    if array.ndim not in (2, 4):
        remedy = "Add the channel axis: x[..., None]." if array.ndim == 3 else "Reshape it."
        problems.append((f"{key} has shape {array.shape}, not (N, H, W, C) or (N, F)", remedy))
    elif 0 in array.shape:
        problems.append((f"{key} is empty: shape {array.shape}", "Give at least one example."))
    elif array.ndim == 4 and array.shape[1] in (1, 3) and array.shape[3] > 4:
        # Read as it stands, such a file would train on 3-pixel-high images of 32 channels without a word.
        problems.append(
            (
                f"{key} has shape {array.shape}: channels come first",
                "Images are (N, H, W, C): x.transpose(0, 2, 3, 1).",
            )
        )
    if array.dtype.kind == "f":
        with np.errstate(over="ignore"):
            bad = int(np.count_nonzero(~np.isfinite(array.astype(np.float32, copy=False))))
        if bad:
            problems.append((f"{key} has {bad} values that are NaN or infinite", "Remove or replace them."))
    elif array.dtype != np.uint8:
        problems.append((f"{key} is {array.dtype}, not uint8 or a float", "Convert it to uint8 or float32."))
    return problems


def _label_problems(key: str, array: Array) -> list[tuple[str, str]]:
    problems = []
    if array.ndim != 1:
        problems.append((f"{key} has shape {array.shape}, not (N,)", "Give one class number an example."))
    if array.dtype.kind not in "iu":
        problems.append((f"{key} is {array.dtype}, not integer", "Number the classes 0...C - 1 as integers."))
    elif array.size == 0:
        problems.append((f"{key} is empty", "Give at least one label."))
    elif int(array.min()) < 0:
        problems.append((f"{key} has the negative label {array.min()}", "Number the classes 0...C - 1."))
    elif int(array.max()) > _LARGEST_LABEL:
        problems.append((f"{key} has the label {array.max()}", "Number the classes 0...C - 1 without gaps."))
    return problems


def _joint_problems(arrays: dict[str, Array]) -> list[tuple[str, str]]:
    """What is wrong between those of the arrays that are each in order."""
    problems = []
    for part in ("train", "test"):
        if {f"x_{part}", f"y_{part}"} <= arrays.keys():
            images, labels = len(arrays[f"x_{part}"]), len(arrays[f"y_{part}"])
            if images != labels:
                problems.append(
                    (
                        f"x_{part} has {images} examples, y_{part} {labels} labels",
                        "Give one label an example.",
                    )
                )
    if {"x_train", "x_test"} <= arrays.keys():
        problems += _example_mismatches(arrays["x_train"], arrays["x_test"])
    if "y_train" in arrays:
        problems += _class_problems(arrays["y_train"], arrays.get("y_test", arrays["y_train"]))
    return problems


def _example_mismatches(train: Array, test: Array) -> list[tuple[str, str]]:
    problems = []
    if train.shape[1:] != test.shape[1:]:
        shapes = f"an example of x_train is {train.shape[1:]}, of x_test {test.shape[1:]}"
        problems.append((shapes, "Bring both to one shape."))
    if train.dtype.kind != test.dtype.kind:
        dtypes = f"x_train is {train.dtype} and x_test {test.dtype}"
        problems.append((dtypes, "Bring both to one dtype and scale."))
    return problems


def _class_problems(train: Array, test: Array) -> list[tuple[str, str]]:
    classes = int(max(train.max(), test.max())) + 1
    if classes < 2:
        return [("all labels are 0: one class only", "Classification needs at least two classes.")]
    absent = np.setdiff1d(np.arange(classes), train.astype(np.int64))
    if not len(absent):
        return []
    named = ", ".join(str(label) for label in absent[:_NAMED_AT_MOST])
    more = ", ..." if len(absent) > _NAMED_AT_MOST else ""
    return [
        (
            f"{len(absent)} of the classes 0...{classes - 1} have no training examples: {named}{more}",
            "Number the classes that exist 0...C - 1 without gaps.",
        )
    ]


def _examples(array: Array) -> Tensor:
    """Images as (N, C, H, W), flat examples as they are; uint8 or float32."""
    if array.dtype != np.uint8:
        array = array.astype(np.float32, copy=False)
    if array.ndim == 4:
        array = array.transpose(0, 3, 1, 2)
    return torch.from_numpy(np.ascontiguousarray(array))
