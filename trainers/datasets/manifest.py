"""A table of image files and labels: a CSV or Parquet file with the columns path and label."""

from __future__ import annotations

import csv
import posixpath
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import numpy as np
import numpy.typing as npt

from trainers.datasets.dataset import Dataset
from trainers.datasets.dataset import FileSource
from trainers.datasets.dataset import OnProgress
from trainers.datasets.labelled_images import RESIDENT_BYTES
from trainers.datasets.labelled_images import LabelledFiles
from trainers.datasets.labelled_images import files_version
from trainers.datasets.labelled_images import image_dataset
from trainers.datasets.labelled_images import missing_files
from trainers.datasets.labelled_images import unsafe_paths
from trainers.datasets.labels import class_problems
from trainers.datasets.labels import first
from trainers.datasets.labels import label_problems
from trainers.errors import FieldError
from trainers.errors import InvalidInput

EXTENSIONS = (".csv", ".parquet")
_COLUMNS = ("path", "label", "intact_label", "split")
_SPLITS = ("train", "test", "validation")
_REMEDY = "Give a table with the columns path and label, and intact_label and split where they are known."

Columns = dict[str, list[str]]
Problems = list[tuple[str, str]]


@dataclass(frozen=True)
class Manifest(FileSource):
    """Images that a table lists: ``path``, ``label``, and where they are known ``intact_label`` and ``split``.

    Paths are relative to ``data_dir``, or to the table's folder. Labels are names of classes, or, where all
    are whole numbers, class numbers from 0 to C - 1. With intact labels, test and validation examples are
    judged by those. A split is ``train``, ``test`` or ``validation``; where none is ``test``, a fifth of every
    class's training examples, always the same ones, is the test set, and each file has one row.

    Args:
        path: The table.
        resident_bytes: As for `image_dataset`, like ``workers``.
        workers: Processes that decode.
    """

    path: Path
    resident_bytes: int = RESIDENT_BYTES
    workers: int | None = None

    @property
    def description(self) -> str:
        """One line for a list of data sets."""
        return f"images with labels, as listed in {self.path}"

    def version(self, data_dir: Path | None = None) -> tuple[object, ...]:
        """Place, time and size of the table and of every image."""
        try:
            names = self._columns()["path"]
        except InvalidInput:
            names = []
        root = self._root(data_dir)
        return files_version([self.path, *(root / name for name in names if "\0" not in name)])

    def check(self, data_dir: Path | None = None, download: bool = False) -> None:
        """Read the table, and look whether its files are there.

        Args:
            data_dir: Folder that the paths are relative to; by default the table's.
            download: Ignored.

        Raises:
            InvalidInput: Everything that is wrong with the table, at once.
        """
        self._parts(self._root(data_dir))

    def load(
        self, data_dir: Path | None = None, download: bool = False, on_progress: OnProgress | None = None
    ) -> Dataset:
        """The images as a data set named after the table.

        Args:
            data_dir: Folder that the paths are relative to; by default the table's.
            download: Ignored.
            on_progress: Told of every batch of images that is decoded.

        Raises:
            InvalidInput: As :meth:`check`, or too many files are no images.
        """
        root = self._root(data_dir)
        names, num_classes, parts = self._parts(root)
        return image_dataset(
            self.path.name,
            root,
            parts["train"],
            parts["test"],
            parts.get("validation"),
            num_classes=num_classes,
            class_names=names,
            resident_bytes=self.resident_bytes,
            workers=self.workers,
            on_progress=on_progress,
            warnings=(*_repeated_warning(parts["train"]), *_stray_label_warning(names or ())),
        )

    def _root(self, data_dir: Path | None) -> Path:
        return self.path.parent if data_dir is None else data_dir

    def _parts(self, root: Path) -> tuple[tuple[str, ...] | None, int, dict[str, LabelledFiles]]:
        """Names of the classes, where they are not numbers, their number, and the parts, known to be usable."""
        columns = self._columns()
        paths = columns["path"]
        splits = [split or "train" for split in columns.get("split", [""] * len(paths))]
        problems = _path_problems(paths, splits, root) + _cell_problems(columns, splits)
        if problems:
            self._refuse(problems)
        of = {name: np.flatnonzero([split == name for split in splits]) for name in _SPLITS}
        if not len(of["train"]):
            self._refuse([("has no training examples", "Give some the split train.")])
        names, numbers, problems = _class_numbers(columns, of["train"])
        if problems:
            self._refuse(problems)
        labels, intact = numbers["label"], numbers.get("intact_label")
        listed = LabelledFiles(paths, labels, intact)
        parts = {name: listed.take(rows) for name, rows in of.items() if len(rows)}
        num_classes = int(parts["train"].labels.max()) + 1
        if "test" not in parts:
            parts["train"], parts["test"] = parts["train"].split_test(num_classes)
        return names, num_classes, parts

    def _columns(self) -> Columns:
        """The columns that are known, as text; an absent value is empty."""
        if not self.path.is_file():
            problem = "is a folder" if self.path.is_dir() else "no such file"
            self._refuse([(problem, "Give the path of an existing .csv or .parquet file.")])
        present, columns = self._parquet() if self.path.suffix.lower() == ".parquet" else self._csv()
        absent = [name for name in ("path", "label") if name not in columns]
        if absent:
            self._refuse([_lacking(absent, present)])
        if not columns["path"]:
            self._refuse([("has no rows", _REMEDY)])
        return columns

    def _csv(self) -> tuple[list[str], Columns]:
        """The names of all columns, and the columns that are known."""
        try:
            with self.path.open(encoding="utf-8-sig", newline="") as file:
                rows = list(csv.reader(file, strict=True))
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            self._refuse([(f"cannot be read as CSV ({error})", "Save it as CSV, in UTF-8, with commas.")])
        rows = [row for row in rows if row]
        header = [name.strip() for name in rows[0]] if rows else []
        uneven = [str(number) for number, row in enumerate(rows, 1) if len(row) != len(header)]
        if uneven:
            problem = f"{len(uneven)} rows have not the {len(header)} values of the first: {first(uneven)}"
            self._refuse([(problem, "Quote the values that hold commas.")])
        return header, {
            name: [row[header.index(name)].strip() for row in rows[1:]] for name in _COLUMNS if name in header
        }

    def _parquet(self) -> tuple[list[str], Columns]:
        try:
            from pyarrow import parquet
        except ImportError:
            remedy = "Install it: pip install pyarrow; or save the table as CSV."
            self._refuse([("reading Parquet needs pyarrow", remedy)])
        try:
            present = parquet.read_schema(self.path).names
            table = parquet.read_table(self.path, columns=[name for name in _COLUMNS if name in present])
            columns = {name: table.column(name).to_pylist() for name in table.column_names}
        except Exception as error:  # a broken file makes pyarrow raise many kinds
            self._refuse([(f"cannot be read as Parquet ({error})", "Write it again.")])
        return present, {
            name: ["" if value is None else str(value) for value in values] for name, values in columns.items()
        }

    def _refuse(self, problems: Problems) -> NoReturn:
        raise InvalidInput(*(FieldError("dataset", str(self.path), *problem) for problem in problems))


def _lacking(absent: list[str], present: list[str]) -> tuple[str, str]:
    """What to say of a table that lacks columns."""
    problem = f"has no column {' and no column '.join(absent)}"
    if present:
        problem += f", but {first(present)}"
    for sign, name in ((";", "semicolons"), ("\t", "tabs")):
        if len(present) == 1 and sign in present[0]:
            return f"{problem}: its values are separated by {name}", "Save it as CSV with commas."
    return problem, _REMEDY


def _path_problems(paths: list[str], splits: list[str], root: Path) -> Problems:
    problems = []
    unsafe = unsafe_paths(paths)
    if unsafe:
        problem = f"{len(unsafe)} paths are absolute or lead out of the folder: {first(unsafe)}"
        problems.append((problem, "Give paths relative to the table's folder, or to --data-dir."))
    missing = missing_files(root, sorted(set(paths) - set(unsafe)))
    if missing:
        problem = f"{len(missing)} of {len(paths)} files are missing in {root}: {first(missing)}"
        problems.append((problem, "Give the folder that the paths are relative to as --data-dir."))
    in_splits: dict[str, str] = {}
    names = [posixpath.normpath(path) for path in paths]
    twice = [path for path, split in zip(names, splits, strict=True) if in_splits.setdefault(path, split) != split]
    if twice:
        problem = f"{len(twice)} files are in more than one split: {first(twice)}"
        problems.append((problem, "Give each file one split."))
    # The test set is drawn from these.
    repeated = _repeated([path for path, split in zip(paths, splits, strict=True) if path and split == "train"])
    if repeated and not (twice or unsafe or "test" in splits):
        # Of several rows of a file one could be trained on and another tested on.
        problem = f"{len(repeated)} files have more than one row and there is no test split: {first(repeated)}"
        problems.append((problem, "Give each file one row, or some of the files the split test."))
    return problems


def _repeated_warning(train: LabelledFiles) -> tuple[str, ...]:
    repeated = _repeated(list(train.paths))
    if not repeated:
        return ()
    problem = f"{len(repeated)} training files have more than one row: {first(repeated)}"
    return (f"{problem}; examples held out for noisy_validation may then be trained on too",)


def _stray_label_warning(names: tuple[str, ...]) -> tuple[str, ...]:
    """Of classes that would be numbers but for a few, as text for an absent value makes them."""
    strays = [name for name in names if not _is_whole(name)]
    if not 0 < len(strays) < len(names) / 2:
        return ()
    return (f"all labels are taken for names, {len(names)} of them, since not all are whole numbers: {first(strays)}",)


def _repeated(paths: list[str]) -> list[str]:
    """Files that are listed more than once."""
    return [path for path, count in Counter(map(posixpath.normpath, paths)).items() if count > 1]


def _cell_problems(columns: Columns, splits: list[str]) -> Problems:
    problems = []
    unknown = sorted(set(splits) - set(_SPLITS))
    if unknown:
        problems.append((f"unknown splits: {first(unknown)}", f"Use {', '.join(_SPLITS)}."))
    for name in ("label", "intact_label"):
        empty = columns.get(name, []).count("")
        if empty:
            remedy = "Give every row one" + (", or leave the column out." if name == "intact_label" else ".")
            problems.append((f"{empty} rows have no {name}", remedy))
    return problems


def _class_numbers(
    columns: Columns, train: npt.NDArray[np.int64]
) -> tuple[tuple[str, ...] | None, dict[str, npt.NDArray[np.int64]], Problems]:
    """Names of the classes, None where they are numbers; the class numbers by column; what is wrong."""
    texts = {name: column for name, column in columns.items() if name in ("label", "intact_label")}
    numbered = all(_is_whole(text) for text in _distinct(texts.values()))
    if numbered:
        numbers = {}
        problems = []
        for name, column in texts.items():
            # numpy would make text of numbers beyond 64 bits into objects.
            numbers[name] = np.array([min(int(text), 2**62) for text in column], dtype=np.int64)
            problems += label_problems(name, numbers[name])
        if not problems:
            problems = class_problems(numbers["label"][train], *numbers.values())
        return None, numbers, problems
    names = sorted(_distinct(texts.values()))
    index = {name: number for number, name in enumerate(names)}
    numbers = {
        name: np.array([index[text] for text in column], dtype=np.int64) for name, column in texts.items()
    }
    problems = []
    if len(names) < 2:
        problems.append((f"all labels are {names[0]!r}: one class only", "Classification needs two classes."))
    present = set(numbers["label"][train].tolist())
    absent = [name for name, number in index.items() if number not in present]
    if absent:
        problem = f"{len(absent)} of {len(names)} classes have no training examples: {first(absent)}"
        problems.append((problem, "Give each class training examples, or correct the names."))
    return tuple(names), numbers, problems


def _distinct(columns: Iterable[list[str]]) -> set[str]:
    return {text for column in columns for text in column}


def _is_whole(text: str) -> bool:
    return text.isascii() and text.removeprefix("-").isdigit()
