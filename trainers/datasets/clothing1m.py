"""clothing1m: a million photographs of clothes with the labels of the shops, in the official layout."""

from __future__ import annotations

from pathlib import Path
from typing import NoReturn

import numpy as np

from trainers.datasets.dataset import Dataset
from trainers.datasets.dataset import FileSource
from trainers.datasets.dataset import OnProgress
from trainers.datasets.labelled_images import RESIDENT_BYTES
from trainers.datasets.labelled_images import LabelledFiles
from trainers.datasets.labelled_images import files_version
from trainers.datasets.labelled_images import image_dataset
from trainers.datasets.labelled_images import missing_files
from trainers.datasets.labelled_images import unsafe_paths
from trainers.datasets.labels import first
from trainers.errors import FieldError
from trainers.errors import InvalidInput

NUM_CLASSES = 14
# Part, the list of its images, and the file of their labels.
_PARTS = (
    ("train", "noisy_train_key_list.txt", "noisy_label_kv.txt"),
    ("test", "clean_test_key_list.txt", "clean_label_kv.txt"),
    ("validation", "clean_val_key_list.txt", "clean_label_kv.txt"),
)
_NAMES = "category_names_eng.txt"
_FILES = (*sorted({name for _, *names in _PARTS for name in names}), _NAMES)

Problems = list[tuple[str, str]]


class Clothing1M(FileSource):
    """Clothing1M (Xiao et al., CVPR 2015): train on ``noisy_train``, validate on ``clean_val``, test on ``clean_test``.

    The training labels are those of the shops; which of them are wrong is unknown. The lists and label files
    lie in ``data_dir`` or in its folder ``annotations``, the images in ``data_dir/images``. The images are
    decoded batch by batch.
    """

    description = "Clothing1M, photographs of clothes, 14 classes, a million images, noisy; needs --data-dir"

    def version(self, data_dir: Path | None) -> tuple[object, ...]:
        """Place, time and size of the lists and label files."""
        if data_dir is None:
            return ()
        return files_version(_lists(data_dir) / name for name in _FILES)

    def check(self, data_dir: Path | None, download: bool = False) -> None:
        """Read the lists and labels, and look whether all images are there.

        Args:
            data_dir: Folder of the official layout.
            download: Ignored: the data set is given out by its authors on request.

        Raises:
            InvalidInput: Everything that is wrong, at once.
        """
        self._parts(data_dir)

    def load(
        self, data_dir: Path | None, download: bool = False, on_progress: OnProgress | None = None
    ) -> Dataset:
        """The data set.

        Args:
            data_dir: Folder of the official layout.
            download: Ignored.
            on_progress: Told of the images that are decoded for the statistics.

        Raises:
            InvalidInput: As :meth:`check`, or too many files are no images.
        """
        folder, class_names, parts = self._parts(data_dir)
        return image_dataset(
            "clothing1m",
            folder,
            parts["train"],
            parts["test"],
            parts["validation"],
            num_classes=NUM_CLASSES,
            class_names=class_names,
            labels_are_intact=False,
            resident_bytes=RESIDENT_BYTES,
            on_progress=on_progress,
        )

    def _parts(self, data_dir: Path | None) -> tuple[Path, tuple[str, ...], dict[str, LabelledFiles]]:
        """The folder, the names of the classes and the three parts, known to be usable."""
        if data_dir is None:
            remedy = "Give the folder of the official layout as --data-dir; its authors give it out on request."
            problem = "clothing1m is read from files and no folder was given"
            raise InvalidInput(FieldError("data_dir", None, problem, remedy))
        lists = _lists(data_dir)
        absent = [name for name in _FILES if not (lists / name).is_file()]
        if absent:
            remedy = "Give the folder that holds the lists, and the folder images, of the official layout."
            _refuse(data_dir, [(f"missing: {', '.join(absent)}", remedy)])
        problems: Problems = []
        class_names = tuple(_lines(data_dir, lists / _NAMES))
        if len(class_names) != NUM_CLASSES:
            problem = f"{_NAMES} has {len(class_names)} names, not {NUM_CLASSES}"
            problems.append((problem, "Copy the official file again."))
        parts = {}
        known: dict[str, dict[str, str]] = {}
        for part, key_list, label_file in _PARTS:
            if label_file not in known:
                pairs = (line.rsplit(None, 1) for line in _lines(data_dir, lists / label_file))
                known[label_file] = {pair[0]: pair[-1] for pair in pairs}
            keys = _lines(data_dir, lists / key_list)
            found = _key_problems(data_dir, key_list, keys, label_file, known[label_file])
            problems += found
            if not found:
                labels = np.array([int(known[label_file][key]) for key in keys], dtype=np.int64)
                parts[part] = LabelledFiles(keys, labels)
        if "train" in parts:
            lacking = np.setdiff1d(np.arange(NUM_CLASSES), parts["train"].labels)
            if len(lacking):
                problem = f"{len(lacking)} of the classes 0...{NUM_CLASSES - 1} have no training examples"
                problems.append((f"{problem}: {first(lacking)}", "Copy the official files again."))
        if problems:
            _refuse(data_dir, problems)
        return data_dir, class_names, parts


def _lists(data_dir: Path) -> Path:
    inner = data_dir / "annotations"
    return inner if (inner / _FILES[0]).is_file() else data_dir


def _lines(data_dir: Path, path: Path) -> list[str]:
    try:
        return [line for line in map(str.strip, path.read_text(encoding="utf-8").splitlines()) if line]
    except (OSError, UnicodeDecodeError) as error:
        _refuse(data_dir, [(f"{path.name} cannot be read ({error})", "Copy the official file again.")])


def _key_problems(
    root: Path, key_list: str, keys: list[str], label_file: str, labels: dict[str, str]
) -> Problems:
    if not keys:
        return [(f"{key_list} is empty", "Copy the official file again.")]
    unsafe = unsafe_paths(keys)
    if unsafe:
        problem = f"{len(unsafe)} paths of {key_list} lead out of the folder: {first(unsafe)}"
        return [(problem, "Copy the official file again.")]
    problems = []
    classes = {str(label) for label in range(NUM_CLASSES)}
    bad = [key for key in keys if labels.get(key) not in classes]
    if bad:
        problem = f"{len(bad)} images of {key_list} have no label from 0 to {NUM_CLASSES - 1} in {label_file}"
        problems.append((f"{problem}: {first(bad)}", "Copy the official files again."))
    missing = missing_files(root, keys)
    if missing:
        problem = f"{len(missing)} of {len(keys)} images of {key_list} are missing: {first(missing)}"
        problems.append((problem, "Unpack all archives of images into the folder images."))
    return problems


def _refuse(data_dir: Path, problems: Problems) -> NoReturn:
    raise InvalidInput(*(FieldError("data_dir", str(data_dir), *problem) for problem in problems))
