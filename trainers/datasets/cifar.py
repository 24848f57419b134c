"""cifar10 and cifar100: the official python files, MD5-checked and read; torchvision fetches them.

They are read here because torchvision takes three seconds and 170 MB in every process that imports it.
"""

from __future__ import annotations

import hashlib
import os
import pickle
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import Enum
from enum import auto
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from trainers.datasets.dataset import Dataset
from trainers.errors import FieldError
from trainers.errors import InvalidInput
from trainers.user_path import user_path

_SUMMED_AT_ONCE = 4


@dataclass(frozen=True)
class Cifar:
    """CIFAR-10 or CIFAR-100: 50,000 training and 10,000 test images (3, 32, 32).

    Args:
        name: ``cifar10`` or ``cifar100``.
        num_classes: 10 or 100.
        folder: That the official archive holds.
        train: MD5 of each file of training images, by its name.
        test: Likewise of test images.
        meta: Likewise of the names of classes.
    """

    name: str
    num_classes: int
    folder: str
    train: Mapping[str, str]
    test: Mapping[str, str]
    meta: Mapping[str, str]

    @property
    def description(self) -> str:
        """One line for a list of data sets."""
        return (
            f"CIFAR-{self.num_classes}, 32x32 colour, {self.num_classes} classes, 50,000 + 10,000 images; "
            "needs --data-dir, or --download"
        )

    def check(self, data_dir: Path | None, download: bool = False) -> None:
        """Find out whether every official file is there with its MD5, or may be downloaded.

        Args:
            data_dir: Folder that holds ``cifar-10-batches-py`` or ``cifar-100-python``.
            download: Whether missing or corrupt files may be fetched when the data set is loaded.

        Raises:
            InvalidInput: Files are missing or corrupt and are not to be downloaded, or the folder cannot be
                used.
        """
        folder = self._folder(data_dir)
        missing, corrupt = self._defects(folder)
        if not missing and not corrupt:
            return
        if download:
            _check_writable(folder)
            return
        base = self.folder
        problems = [
            f"{what} in {folder / base}: {', '.join(names)}"
            for what, names in (("missing", missing), ("corrupt (MD5 differs) or unreadable", corrupt))
            if names
        ]
        if folder.name == base:
            remedy = f"Give the folder above it: --data-dir {folder.parent}."
        elif corrupt:
            remedy = f"Delete the corrupt files and copy {base} again, or fetch it with --download."
        else:
            remedy = f"Give the folder that holds {base} as --data-dir, or fetch the files with --download."
        raise InvalidInput(FieldError("data_dir", str(folder), "; ".join(problems), remedy))

    def load(self, data_dir: Path | None, download: bool = False) -> Dataset:
        """Read all images into memory as uint8.

        Args:
            data_dir: Folder that holds, or shall hold, torchvision's layout.
            download: Fetch missing or corrupt files with torchvision.

        Raises:
            InvalidInput: As :meth:`check`, or the download failed.
        """
        folder = self._folder(data_dir)
        if download and any(self._defects(folder)):
            self._fetch(folder)
        # Says which files are missing or corrupt, and what to do.
        self.check(data_dir)
        (x_train, y_train), (x_test, y_test) = (self._read(folder, part) for part in (self.train, self.test))
        return Dataset.from_tensors(
            self.name, x_train, y_train, x_test, y_test, self.num_classes, recipe=self.name
        )

    def _fetch(self, folder: Path) -> None:
        # Imported here: torchvision is slow to import, and `import trainers` must work without it.
        try:
            from torchvision import datasets
        except ImportError as error:
            remedy = f"Install it: pip install torchvision. Or copy {self.folder} into {folder} by hand."
            raise InvalidInput(FieldError("download", True, "needs torchvision", remedy)) from error
        source = datasets.CIFAR10 if self.num_classes == 10 else datasets.CIFAR100
        try:
            source(root=str(folder), download=True)
        except (OSError, RuntimeError, pickle.UnpicklingError) as error:
            raise InvalidInput(
                FieldError(
                    "download",
                    True,
                    f"{self.name} could not be downloaded into {folder}: {error}",
                    f"Check the network and the free space, or copy {self.folder} there by hand.",
                )
            ) from error

    def _folder(self, data_dir: Path | None) -> Path:
        if data_dir is None:
            base = self.folder
            raise InvalidInput(
                FieldError(
                    "data_dir",
                    None,
                    f"{self.name} is read from files and no folder was given",
                    f"Give the folder that holds {base} as --data-dir; with --download it is filled.",
                )
            )
        return user_path(data_dir, "data_dir")

    def _defects(self, folder: Path) -> tuple[list[str], list[str]]:
        """File names that are missing, and those that cannot be read or whose MD5 is not the official one."""
        md5s = {**self.train, **self.test, **self.meta}
        missing: list[str] = []
        corrupt: list[str] = []
        # Beside each other: summing leaves Python to the others.
        with ThreadPoolExecutor(_SUMMED_AT_ONCE) as threads:
            found = list(threads.map(lambda name: _state(folder / self.folder / name, md5s[name]), md5s))
        for file_name, state in zip(md5s, found, strict=True):
            if state is not _State.WHOLE:
                (missing if state is _State.MISSING else corrupt).append(file_name)
        return missing, corrupt

    def _read(self, folder: Path, part: Mapping[str, str]) -> tuple[Tensor, Tensor]:
        """Images (N, 3, 32, 32), uint8, and labels (N,) of files whose MD5 was checked."""
        images, labels = [], []
        for file_name in part:
            with (folder / self.folder / file_name).open("rb") as stream:
                content = pickle.load(stream, encoding="latin1")
            images.append(content["data"])
            labels += content["labels" if self.num_classes == 10 else "fine_labels"]
        return torch.from_numpy(np.concatenate(images).reshape(-1, 3, 32, 32)), torch.tensor(labels)


CIFAR10 = Cifar(
    "cifar10",
    10,
    "cifar-10-batches-py",
    train={
        "data_batch_1": "c99cafc152244af753f735de768cd75f",
        "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
        "data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
        "data_batch_4": "634d18415352ddfa80567beed471001a",
        "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
    },
    test={"test_batch": "40351d587109b95175f43aff81a1287e"},
    meta={"batches.meta": "5ff9c542aee3614f3951f8cda6e48888"},
)
CIFAR100 = Cifar(
    "cifar100",
    100,
    "cifar-100-python",
    train={"train": "16019d7e3df5f24257cddd939b257f8d"},
    test={"test": "f0ef6b0ae62326f3e7ffdfab6717acfc"},
    meta={"meta": "7973b15100ade9c7d40fb424638fde48"},
)


class _State(Enum):
    WHOLE = auto()
    MISSING = auto()
    CORRUPT = auto()


def _state(path: Path, md5: str) -> _State:
    try:
        return _State.WHOLE if _md5(path, _version(path.stat())) == md5 else _State.CORRUPT
    except (FileNotFoundError, NotADirectoryError):
        return _State.MISSING
    except OSError:
        return _State.CORRUPT


@lru_cache(maxsize=64)
def _md5(path: Path, version: tuple[int, ...]) -> str:
    """MD5 (hex) of a file, read once while it stays as it is: a sweep is checked several times before it begins."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def _version(status: os.stat_result) -> tuple[int, ...]:
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def _check_writable(folder: Path) -> None:
    existing = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not existing.is_dir() or not os.access(existing, os.W_OK | os.X_OK):
        raise InvalidInput(
            FieldError(
                "data_dir",
                str(folder),
                f"cannot be written to: {existing} is no writable folder",
                "Give a folder that may be written to, or drop --download.",
            )
        )
