"""A user's own arrays: one ``.npz`` file with x_train, y_train, x_test and y_test, and more if there is more."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from trainers.datasets.dataset import Dataset
from trainers.datasets.dataset import FileSource
from trainers.datasets.dataset import OnProgress
from trainers.datasets.labelled_images import files_version
from trainers.datasets.labels import class_problems
from trainers.datasets.labels import label_problems
from trainers.errors import FieldError
from trainers.errors import InvalidInput

KEYS = ("x_train", "y_train", "x_test", "y_test")
OPTIONAL_KEYS = ("intact_train", "x_validation", "y_validation")
# What others call a validation split: to pass over one that is there would change what guides a search.
_ALSO_CALLED = {
    f"{kind}_{name}": f"{kind}_validation" for kind in ("x", "y") for name in ("val", "valid", "dev", "eval")
}
# Largest values that differ by this much are hardly of one scale.
_OTHER_SCALE = 10
# Images of more channels than red, green, blue and alpha are rare.
_USUAL_CHANNELS = 4

Array = npt.NDArray[np.generic]


@dataclass(frozen=True)
class ArrayFile(FileSource):
    """Arrays in one ``.npz`` file, as ``numpy.savez`` writes it.

    ``x_train`` and ``x_test`` are images (N, H, W, C) or flat examples (N, F), both uint8, or both floats
    (kept as float32; other floats are converted). ``y_train`` and ``y_test`` are integer labels (N,) from 0
    to C - 1, and every class has training examples. ``intact_train`` are the intact labels where ``y_train``
    has wrong ones, and ``x_validation`` with ``y_validation`` a validation split, where the file has them.
    Further arrays are ignored, but for a validation split of another name, which is refused. Object arrays are
    refused: no pickle is ever read.

    Args:
        path: The file.
    """

    path: Path

    @property
    def description(self) -> str:
        """One line for a list of data sets."""
        return f"arrays x_train, y_train, x_test, y_test of {self.path}"

    def version(self, data_dir: Path | None = None) -> tuple[object, ...]:
        """What changes when the file changes: its place, time and size; empty where there is no file."""
        return files_version([self.path])

    def check(self, data_dir: Path | None = None, download: bool = False) -> None:
        """Read the file and look at all of it; both arguments are ignored.

        Raises:
            InvalidInput: Everything that is wrong with it, at once.
        """
        self._read()

    def load(
        self, data_dir: Path | None = None, download: bool = False, on_progress: OnProgress | None = None
    ) -> Dataset:
        """The arrays as a data set named after the file; all arguments are ignored.

        Raises:
            InvalidInput: Everything that is wrong with the file, at once.
        """
        arrays = self._read()
        examples = {key: _examples(array) for key, array in arrays.items() if key.startswith("x")}
        labels = {
            key: torch.from_numpy(array.astype(np.int64))
            for key, array in arrays.items()
            if not key.startswith("x")
        }
        return Dataset.from_tensors(
            self.path.name,
            examples["x_train"],
            labels["y_train"],
            examples["x_test"],
            labels["y_test"],
            num_classes=int(labels["y_train"].max()) + 1,
            intact=labels.get("intact_train", "given"),
            x_validation=examples.get("x_validation"),
            y_validation=labels.get("y_validation"),
            warnings=_scale_warnings(examples),
        )

    def _read(self) -> dict[str, Array]:
        """The arrays, known to be usable."""
        arrays, problems = self._open()
        sound = {}
        for key, array in arrays.items():
            found = _example_problems(key, array) if key.startswith("x") else label_problems(key, array)
            if not found:
                sound[key] = array
            problems += found
        problems += _joint_problems(sound)
        for given, lacking in (("x_validation", "y_validation"), ("y_validation", "x_validation")):
            if given in arrays and lacking not in arrays:
                problems.append((f"{given} is there and {lacking} is not", "Give both or neither."))
        if problems:
            raise InvalidInput(*(FieldError("dataset", str(self.path), *problem) for problem in problems))
        return arrays

    def _open(self) -> tuple[dict[str, Array], list[tuple[str, str]]]:
        """The arrays that can be read, and (problem, remedy) of those that cannot."""
        remedy = "Write the file with numpy.savez(path, x_train=..., y_train=..., x_test=..., y_test=...)."
        if not self.path.is_file():
            problem = "is a folder" if self.path.is_dir() else "no such file"
            return {}, [(problem, "Give the path of an existing .npz file.")]
        arrays: dict[str, Array] = {}
        problems = []
        # A broken or hostile file makes numpy, zipfile and zlib raise nearly anything; all of it means
        # "unreadable".
        try:
            saved = np.load(self.path, allow_pickle=False)
        except Exception as error:
            # Of what is no zip numpy takes for granted that it is a pickle.
            known = isinstance(error, OSError) or zipfile.is_zipfile(self.path)
            reason = error if known else "it is cut off, or no .npz at all"
            return {}, [(f"cannot be read as .npz ({reason})", remedy)]
        if not isinstance(saved, np.lib.npyio.NpzFile):
            return {}, [("holds one bare array, not the arrays of a .npz", remedy)]
        with saved:
            for key, name in _ALSO_CALLED.items():
                if key in saved.files:
                    problems.append((f"{key} would not be read", f"Call it {name}, or leave it out."))
            optional = [key for key in OPTIONAL_KEYS if key in saved.files]
            for key in (*KEYS, *optional):
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
    elif array.ndim == 4 and _channels_come_first(array.shape):
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


def _channels_come_first(shape: tuple[int, ...]) -> bool:
    _, first, height, width = shape
    return width > _USUAL_CHANNELS and (first in (1, 3) or first < height == width)


def _joint_problems(arrays: dict[str, Array]) -> list[tuple[str, str]]:
    """What is wrong between those of the arrays that are each in order."""
    problems = []
    pairs = [("x_train", "y_train"), ("x_test", "y_test"), ("x_validation", "y_validation")]
    for examples, labels in [*pairs, ("x_train", "intact_train")]:
        if {examples, labels} <= arrays.keys() and len(arrays[examples]) != len(arrays[labels]):
            counts = f"{examples} has {len(arrays[examples])} examples, {labels} {len(arrays[labels])} labels"
            problems.append((counts, "Give one label an example."))
    for part in ("test", "validation"):
        if {"x_train", f"x_{part}"} <= arrays.keys():
            problems += _example_mismatches(arrays["x_train"], f"x_{part}", arrays[f"x_{part}"])
    if "y_train" in arrays:
        others = [key for key in arrays if not key.startswith("x") and key != "y_train"]
        problems += class_problems(arrays["y_train"], *(arrays[key] for key in others))
    return problems


def _example_mismatches(train: Array, name: str, other: Array) -> list[tuple[str, str]]:
    problems = []
    if train.shape[1:] != other.shape[1:]:
        shapes = f"an example of x_train is {train.shape[1:]}, of {name} {other.shape[1:]}"
        problems.append((shapes, "Bring both to one shape."))
    if train.dtype.kind != other.dtype.kind:
        dtypes = f"x_train is {train.dtype} and {name} {other.dtype}"
        problems.append((dtypes, "Bring both to one dtype and scale."))
    return problems


def _scale_warnings(examples: dict[str, Tensor]) -> tuple[str, ...]:
    """Of floats that are hardly of the scale of those trained on."""
    if examples["x_train"].dtype == torch.uint8:
        return ()
    reach = {key: float(max(-part.min(), part.max())) for key, part in examples.items()}
    train = reach.pop("x_train")
    return tuple(
        f"x_train reaches {train:g} and {key} {other:g}, which is hardly one scale"
        for key, other in reach.items()
        if max(train, other) >= _OTHER_SCALE * min(train, other) and max(train, other) > 0
    )


def _examples(array: Array) -> Tensor:
    """Images as (N, C, H, W), flat examples as they are; uint8 or float32."""
    if array.dtype != np.uint8:
        array = array.astype(np.float32, copy=False)
    if array.ndim == 4:
        array = array.transpose(0, 3, 1, 2)
    return torch.from_numpy(np.ascontiguousarray(array))
