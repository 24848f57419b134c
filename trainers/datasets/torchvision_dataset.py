"""torchvision:NAME: any of torchvision's data sets whose examples are an image and a class number."""

from __future__ import annotations

import inspect
import numbers
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from typing import NoReturn

import numpy as np
import numpy.typing as npt
import torch

from trainers.datasets.dataset import Dataset
from trainers.datasets.dataset import FileSource
from trainers.datasets.dataset import OnProgress
from trainers.datasets.labelled_images import RESIDENT_BYTES
from trainers.datasets.labelled_images import LabelledFiles
from trainers.datasets.labelled_images import held_out_test
from trainers.datasets.labelled_images import image_dataset
from trainers.datasets.labels import class_problems
from trainers.datasets.labels import label_problems
from trainers.datasets.pixels import pixels_of
from trainers.datasets.pixels import stored_shape
from trainers.errors import FieldError
from trainers.errors import InvalidInput
from trainers.plugins import unknown_name

PREFIX = "torchvision:"
# What torchvision's classes call the parts, the first that a class knows being taken.
_SPLITS = {
    "train": ("train", "trainval", "train-standard"),
    "test": ("test", "val", "valid"),
    "validation": ("val", "valid"),
}
_TOLD_EVERY = 1024

Parts = dict[str, Any]
Pixels = npt.NDArray[np.uint8]
Labels = npt.NDArray[np.int64]


@dataclass(frozen=True)
class TorchvisionDataset(FileSource):
    """A classification data set of ``torchvision.datasets``, by the name of its class.

    Its parts are those that the class knows by ``train=`` or ``split=``; where it knows none, a fifth of every
    class's examples, always the same ones, is the test set. Images are brought to one size as those of a folder
    are. What does not fit in memory is decoded batch by batch, where torchvision keeps one file an image.

    Args:
        class_name: E.g. ``FashionMNIST``.
        resident_bytes: As for `image_dataset`.
    """

    class_name: str
    resident_bytes: int = RESIDENT_BYTES

    @property
    def name(self) -> str:
        """As the user writes it: ``torchvision:FashionMNIST``."""
        return PREFIX + self.class_name

    @property
    def description(self) -> str:
        """One line for a list of data sets."""
        return f"torchvision's {self.class_name}; needs --data-dir"

    def version(self, data_dir: Path | None = None) -> tuple[object, ...]:
        """Nothing: torchvision's files are official ones."""
        return ()

    def check(self, data_dir: Path | None, download: bool = False) -> None:
        """Find out whether there is such a class and its files are there, or may be downloaded.

        Args:
            data_dir: torchvision's ``root``.
            download: Whether missing files may be fetched when the data set is loaded.

        Raises:
            InvalidInput: The name is unknown, the class is none for classification, or files are missing.
        """
        arguments = self._arguments(data_dir)
        if not (download and "download" in arguments):
            self._check_examples(self._parts(data_dir, download=False))

    def load(
        self, data_dir: Path | None, download: bool = False, on_progress: OnProgress | None = None
    ) -> Dataset:
        """Read the data set through torchvision.

        Args:
            data_dir: torchvision's ``root``.
            download: Let torchvision fetch what is missing.
            on_progress: Told of the images that are decoded.

        Raises:
            InvalidInput: As :meth:`check`, the download failed, or the images neither fit in memory nor are
                files that can be read one by one.
        """
        parts = self._parts(data_dir, download)
        self._check_examples(parts)
        root = data_dir or Path()
        found = {part: files for part in parts if (files := _files(parts[part], root)) is not None}
        if len(found) == len(parts):
            num_classes, names = self._classes(parts, {part: files.labels for part, files in found.items()})
            if "test" not in found:
                found["train"], found["test"] = found["train"].split_test(num_classes)
            return image_dataset(
                self.name,
                root,
                found["train"],
                found["test"],
                found.get("validation"),
                num_classes=num_classes,
                class_names=names,
                resident_bytes=self.resident_bytes,
                on_progress=on_progress,
            )
        pixels, labels = self._in_memory(parts, on_progress)
        num_classes, names = self._classes(parts, labels)
        if "test" not in parts:
            kept, held = held_out_test(labels["train"], num_classes)
            pixels["train"], pixels["test"] = pixels["train"][kept], pixels["train"][held]
            labels["train"], labels["test"] = labels["train"][kept], labels["train"][held]
        return Dataset.from_tensors(
            self.name,
            torch.from_numpy(pixels["train"]),
            torch.from_numpy(labels["train"]),
            torch.from_numpy(pixels["test"]),
            torch.from_numpy(labels["test"]),
            num_classes,
            x_validation=torch.from_numpy(pixels["validation"]) if "validation" in parts else None,
            y_validation=torch.from_numpy(labels["validation"]) if "validation" in parts else None,
            class_names=names,
        )

    def _class(self) -> Any:
        # Imported here: torchvision is slow to import, and `import trainers` must work without it.
        try:
            from torchvision import datasets
        except ImportError as error:
            self._refuse("needs torchvision", "Install it: pip install torchvision.", error)
        if self.class_name not in datasets.__all__:
            near = unknown_name("dataset", self.class_name, datasets.__all__).errors[0].remedy
            self._refuse("torchvision has no such data set", near)
        return getattr(datasets, self.class_name)

    def _arguments(self, data_dir: Path | None) -> frozenset[str]:
        """The arguments that the class takes, known to be such that it can be made."""
        parameters = dict(list(inspect.signature(self._class().__init__).parameters.items())[1:])
        required = [
            name
            for name, parameter in parameters.items()
            if parameter.default is parameter.empty and parameter.kind is parameter.POSITIONAL_OR_KEYWORD
        ]
        further = [name for name in required if name != "root"]
        if further:
            remedy = "Write its images as a folder, train/<class>/*.png, and give the folder."
            self._refuse(f"torchvision's class needs more than a folder: {', '.join(further)}", remedy)
        if "root" in required and data_dir is None:
            problem = f"{self.name} is read from files and no folder was given"
            remedy = "Give torchvision's root folder as --data-dir; with --download it is filled."
            raise InvalidInput(FieldError("data_dir", None, problem, remedy))
        return frozenset(parameters)

    def _parts(self, data_dir: Path | None, download: bool) -> Parts:
        """torchvision's objects by the names train, test and validation, where there are such parts."""
        arguments = self._arguments(data_dir)
        given: dict[str, Any] = {"root": str(data_dir)} if "root" in arguments else {}
        if "download" in arguments:
            given["download"] = download
        if "train" in arguments:
            return {
                part: self._made({**given, "train": part == "train"}, data_dir) for part in ("train", "test")
            }
        if "split" not in arguments:
            return {"train": self._made(given, data_dir)}
        parts: Parts = {}
        used: list[str] = []
        for part, names in _SPLITS.items():
            for name in names:
                made = self._made({**given, "split": name}, data_dir) if name not in used else None
                if made is not None:
                    parts[part] = made
                    used.append(name)
                    break
        if "train" not in parts:
            self._refuse("torchvision's class has no training split", "Choose another data set.")
        return parts

    def _made(self, arguments: dict[str, Any], data_dir: Path | None) -> Any:
        """torchvision's object; None where the class has no split of that name."""
        try:
            return self._class()(**arguments)
        except Exception as error:  # damaged files make torchvision's readers raise nearly anything
            if "split" in arguments and _of_unknown_split(error):
                return None
            if not isinstance(error, RuntimeError | OSError | ImportError):
                self._refuse_damaged(error)
            if arguments.get("download"):
                remedy = f"Check the network and the free space, or copy the files into {data_dir} by hand."
                problem = f"{self.name} could not be downloaded into {data_dir}: {error}"
                raise InvalidInput(FieldError("download", True, problem, remedy)) from error
            said = str(error).split(". You can use download")[0]
            fetch = ", or fetch the files with --download" if "download" in arguments else ""
            problem = f"torchvision cannot read {self.class_name} there ({type(error).__name__}: {said})"
            remedy = f"Give torchvision's root folder as --data-dir{fetch}."
            raise InvalidInput(FieldError("data_dir", str(data_dir), problem, remedy)) from error

    def _refuse_damaged(self, error: Exception) -> NoReturn:
        if isinstance(error, MemoryError):
            raise error
        problem = f"torchvision cannot read its files ({type(error).__name__}: {error})"
        missing = isinstance(error, FileNotFoundError | IsADirectoryError | NotADirectoryError)
        if isinstance(error, OSError) and error.errno is not None and not missing:  # of the system, not of the files
            self._refuse(problem, "Let this user read them, as many at once as are opened.", error)
        self._refuse(problem, "They seem damaged: delete them, and copy or fetch them again.", error)

    def _check_examples(self, parts: Parts) -> None:
        from PIL import Image

        for part, found in parts.items():
            if not len(found):
                self._refuse(f"its {part} part is empty", "Choose another data set.")
            try:
                example = found[0]
            except Exception as error:  # as above
                self._refuse_damaged(error)
            fits = isinstance(example, tuple) and len(example) == 2
            if not (fits and isinstance(example[0], Image.Image) and _is_class(example[1])):
                items = example if isinstance(example, tuple) else (example,)
                problem = f"its examples are ({', '.join(type(item).__name__ for item in items)})"
                self._refuse(f"{problem}, not an image and a class number", "Choose one for classification.")

    def _classes(self, parts: Parts, labels: dict[str, Labels]) -> tuple[int, tuple[str, ...] | None]:
        """The number of classes, and their names where torchvision has them."""
        problems = [problem for part in labels for problem in label_problems(f"{part} part", labels[part])]
        problems = problems or class_problems(labels["train"], *labels.values())
        if problems:
            raise InvalidInput(*(FieldError("dataset", self.name, *problem) for problem in problems))
        num_classes = int(labels["train"].max()) + 1
        names = getattr(parts["train"], "classes", None)
        if not isinstance(names, list | tuple) or len(names) != num_classes:
            return num_classes, None
        return num_classes, tuple(str(name) for name in names)

    def _in_memory(
        self, parts: Parts, on_progress: OnProgress | None
    ) -> tuple[dict[str, Pixels], dict[str, Labels]]:
        """The pixels and labels of every part."""
        total = sum(len(part) for part in parts.values())
        kept = {name: arrays for name, part in parts.items() if (arrays := _arrays(part)) is not None}
        if len(kept) == len(parts) and len({pixels.shape[1:] for pixels, _ in kept.values()}) == 1:
            if on_progress is not None:
                on_progress(total, total)
            return {name: kept[name][0] for name in kept}, {name: kept[name][1] for name in kept}
        try:
            shape = stored_shape((image.mode, image.size) for part in parts.values() for image, _ in _items(part))
        except Exception as error:  # as above
            self._refuse_damaged(error)
        needed = total * int(np.prod(shape))
        if needed > self.resident_bytes:
            problem = f"its {total:,} images take {needed / 2**30:,.1f} GiB in memory, and are no files"
            self._refuse(problem, "Write them as a folder, train/<class>/*.png, and give the folder.")
        done = 0
        pixels: dict[str, Pixels] = {}
        labels: dict[str, Labels] = {}
        for name, part in parts.items():
            pixels[name] = np.empty((len(part), *shape), dtype=np.uint8)
            labels[name] = np.empty(len(part), dtype=np.int64)
            for index in range(len(part)):
                try:
                    image, label = part[index]
                    pixels[name][index], labels[name][index] = pixels_of(image, shape), label
                except Exception as error:  # as above
                    self._refuse_damaged(error)
                done += 1
                if on_progress is not None and (done % _TOLD_EVERY == 0 or done == total):
                    on_progress(done, total)
        return pixels, labels

    def _refuse(self, problem: str, remedy: str, cause: Exception | None = None) -> NoReturn:
        raise InvalidInput(FieldError("dataset", self.name, problem, remedy)) from cause


def _of_unknown_split(error: Exception) -> bool:
    """Whether torchvision's check of an argument says so; other errors of that class are of what was read."""
    return isinstance(error, ValueError) and str(error).startswith("Unknown value") and "argument split" in str(error)


def _items(part: Any) -> Iterator[tuple[Any, Any]]:
    return (part[index] for index in range(len(part)))


def _is_class(label: object) -> bool:
    return isinstance(label, numbers.Integral) and not isinstance(label, bool)


def _arrays(part: Any) -> tuple[Pixels, Labels] | None:
    """The pixels (N, C, H, W) and labels that a part keeps as arrays, as those of MNIST and SVHN do, else None.

    A few examples are held against what the part itself gives: 70,000 made into images one by one take seconds.
    """
    data, targets = getattr(part, "data", None), getattr(part, "targets", getattr(part, "labels", None))
    if data is None or targets is None or len(data) != len(part) or len(targets) != len(part):
        return None
    array, labels = np.asarray(data), np.asarray(targets)
    if array.ndim == 3:
        array = array[:, None]
    elif array.ndim == 4 and array.shape[-1] in (1, 3):
        array = array.transpose(0, 3, 1, 2)
    if array.dtype != np.uint8 or array.ndim != 4 or labels.dtype.kind not in "iu" or labels.ndim != 1:
        return None
    for index in {0, len(part) // 2, len(part) - 1}:
        image, label = part[index]
        shape = stored_shape([(image.mode, image.size)])
        same = shape == array.shape[1:] and np.array_equal(pixels_of(image, shape), array[index])
        if not (same and label == labels[index]):
            return None
    return np.ascontiguousarray(array), labels.astype(np.int64)


def _files(part: Any, root: Path) -> LabelledFiles | None:
    """The image files of a part, in the lists under which torchvision's classes keep them; None if it has none."""
    pairs: Any = getattr(part, "samples", None) or getattr(part, "imgs", None) or getattr(part, "_samples", None)
    if pairs is None and hasattr(part, "_image_files") and hasattr(part, "_labels"):
        pairs = list(zip(part._image_files, part._labels, strict=True))
    if not isinstance(pairs, list) or len(pairs) != len(part):
        return None
    if not all(isinstance(path, str | os.PathLike) and _is_class(label) for path, label in pairs):
        return None
    paths = [Path(os.path.relpath(path, root)).as_posix() for path, _ in pairs]
    return LabelledFiles(paths, np.array([label for _, label in pairs], dtype=np.int64))
