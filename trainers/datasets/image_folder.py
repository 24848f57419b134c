"""A folder of images, one folder a class: ``train/<class>/*.jpg``."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from trainers.datasets.dataset import Dataset
from trainers.datasets.dataset import FileSource
from trainers.datasets.dataset import OnProgress
from trainers.datasets.labelled_images import RESIDENT_BYTES
from trainers.datasets.labelled_images import LabelledFiles
from trainers.datasets.labelled_images import files_version
from trainers.datasets.labelled_images import image_dataset
from trainers.datasets.labels import first
from trainers.datasets.labels import printable
from trainers.errors import FieldError
from trainers.errors import InvalidInput

# What Pillow reads wherever it is installed; of several frames the first.
EXTENSIONS = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".gif", ".bmp", ".webp", ".tif", ".tiff"),
    *(".ppm", ".pgm", ".pbm", ".pnm"),
)
_VALIDATION_FOLDERS = ("val", "valid", "validation")
_PART_FOLDERS = ("train", "test", *_VALIDATION_FOLDERS)
# What others call a part, in any case: to pass over one, where none is read in its place, would change what guides and
# judges a search.
_ALSO_CALLED = {
    "test": ("test", "testing", "eval"),
    "val": (*_VALIDATION_FOLDERS, "dev"),
}
_REMEDY = "Arrange the images as train/<class>/*.jpg, and test/<class>/*.jpg where there is a test set."


@dataclass(frozen=True)
class ImageFolder(FileSource):
    """Images in ``train/<class>/``, ``test/<class>/`` and ``val/<class>/``, the latter two optional.

    ``valid`` and ``validation`` are other names of ``val``; parts of other names (``Test``, ``testing``, ``dev``) are
    refused where none is read in their place, and further folders are ignored.

    Classes are the folders of ``train``, sorted by name; an image may lie in a folder within its class's. Image
    files are known by their extension; other files are passed over with a warning, and whatever begins with a
    dot without one. Without ``test`` a fifth of every class's training images, always the same ones, is the test set.

    Args:
        path: The folder.
        resident_bytes: As for `image_dataset`, like ``workers``.
        workers: Processes that decode.
    """

    path: Path
    resident_bytes: int = RESIDENT_BYTES
    workers: int | None = None

    @property
    def description(self) -> str:
        """One line for a list of data sets."""
        return f"images of the folder {self.path}, one folder a class"

    def version(self, data_dir: Path | None = None) -> tuple[object, ...]:
        """Place, time and size of every image."""
        found = (name for part in self._part_folders() for name in _files(self.path, part))
        return files_version(self.path / name for name in sorted(found) if _is_image(name))

    def check(self, data_dir: Path | None = None, download: bool = False) -> None:
        """Find out whether there are images in folders of classes; both arguments are ignored.

        Raises:
            InvalidInput: Everything that is wrong with the folder, at once.
        """
        self._parts()

    def load(
        self, data_dir: Path | None = None, download: bool = False, on_progress: OnProgress | None = None
    ) -> Dataset:
        """The images as a data set named after the folder; the first two arguments are ignored.

        Raises:
            InvalidInput: As :meth:`check`, or too many files are no images.
        """
        classes, parts, passed_over = self._parts()
        warnings = _passed_over_warning(passed_over)
        train, validation = parts["train"], parts.get("val")
        if "test" in parts:
            test = parts["test"]
        else:
            train, test = train.split_test(len(classes))
            warnings += (f"there is no folder test: {len(test.paths)} images of train, a fifth, are the test set",)
        return image_dataset(
            self.path.absolute().name,
            self.path,
            train,
            test,
            validation,
            num_classes=len(classes),
            class_names=tuple(map(printable, classes)),
            resident_bytes=self.resident_bytes,
            workers=self.workers,
            on_progress=on_progress,
            warnings=warnings,
        )

    def _part_folders(self) -> list[str]:
        return [name for name in _PART_FOLDERS if (self.path / name).is_dir()]

    def _unread_parts(self, folders: list[str]) -> list[str]:
        """Folders of images that are named like a part that is not there; not those that are one, whatever its case."""
        read = {"val" if folder in _VALIDATION_FOLDERS else folder for folder in folders}
        names = {name for part, called in _ALSO_CALLED.items() if part not in read for name in called}
        named = (entry for entry in self.path.iterdir() if entry.name.lower() in names and entry.is_dir())
        return sorted(
            entry.name
            for entry in named
            if not any(entry.samefile(self.path / folder) for folder in folders)
            and any(_is_image(name) and name.count("/") >= 2 for name in _files(self.path, entry.name))
        )

    def _parts(self) -> tuple[list[str], dict[str, LabelledFiles], list[str]]:
        """The classes, the parts by the names train, test and val, known to be usable; and files passed over."""
        problems = []
        if not self.path.is_dir():
            self._refuse([("no such folder", "Give the path of an existing folder of images.")])
        folders = self._part_folders()
        if "train" not in folders:
            self._refuse([("has no folder train", _REMEDY)])
        validation = [name for name in _VALIDATION_FOLDERS if name in folders]
        if len(validation) > 1:
            problems.append((f"has {' and '.join(validation)}", "Keep one validation split."))
        if unread := self._unread_parts(folders):
            problems.append((f"{first(unread)} would not be read", "Call it train, test or val, or move it away."))
        classes = sorted(
            entry.name
            for entry in os.scandir(self.path / "train")
            if entry.is_dir() and not entry.name.startswith(".")
        )
        if len(classes) < 2:
            why = f"train has {len(classes)} folders of classes"
            problems.append((f"{why}, and classification needs two", _REMEDY))
        parts = {}
        passed_over: list[str] = []
        for folder in folders:
            found = _files(self.path, folder)
            others = [name for name in found if not _is_image(name)]
            passed_over += others
            beside = f"; other files: {_by_extension(others)}" if others else ""
            names = [name for name in found if _is_image(name)]
            stray = [name for name in names if name.count("/") < 2]
            if stray:
                problems.append((f"{len(stray)} images lie in no class's folder: {first(stray)}", _REMEDY))
            names = sorted(name for name in names if name.count("/") >= 2)
            of = [name.split("/", 2)[1] for name in names]
            present = set(of)
            without = [name for name in classes if name not in present] if folder == "train" else []
            without += sorted(present - set(classes))
            if without:
                why = f"{len(without)} classes without training images: {first(without)}{beside}"
                problems.append((why, "Give each class images in train, or remove its folders."))
            elif not names:
                problems.append((f"{folder} has no images ({', '.join(EXTENSIONS)}){beside}", _REMEDY))
            else:
                index = {name: label for label, name in enumerate(classes)}
                labels = np.array([index[name] for name in of], dtype=np.int64)
                parts["val" if folder in _VALIDATION_FOLDERS else folder] = LabelledFiles(names, labels)
        if problems:
            self._refuse(problems)
        if "test" not in parts:
            parts["train"].split_test(len(classes))
        return classes, parts, passed_over

    def _refuse(self, problems: list[tuple[str, str]]) -> None:
        raise InvalidInput(*(FieldError("dataset", str(self.path), *problem) for problem in problems))


def _is_image(name: str) -> bool:
    return name.lower().endswith(EXTENSIONS)


def _passed_over_warning(names: list[str]) -> tuple[str, ...]:
    if not names:
        return ()
    return (f"{len(names)} files are passed over, by their names no images: {_by_extension(names)}",)


def _by_extension(names: Iterable[str]) -> str:
    counts = Counter(os.path.splitext(name)[1].lower() or "no extension" for name in names)
    return first([f"{extension} ({count})" for extension, count in counts.most_common()])


def _files(root: Path, part: str) -> list[str]:
    """Files below ``root / part`` that are not hidden, relative to ``root`` with "/" between folders."""
    found: list[str] = []
    seen = set()
    for folder, inner, files in os.walk(root / part, followlinks=True):
        # A link to a folder above would lead round in circles.
        place = os.path.realpath(folder)
        if place in seen:
            inner.clear()
            continue
        seen.add(place)
        inner[:] = sorted(name for name in inner if not name.startswith("."))
        base = Path(folder).relative_to(root).as_posix()
        found += [f"{base}/{name}" for name in files if not name.startswith(".")]
    return found
