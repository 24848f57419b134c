"""cifar10 and cifar100: the official python files, read and MD5-checked through torchvision."""

from __future__ import annotations

import os
import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from trainers.datasets.dataset import Dataset
from trainers.errors import FieldError
from trainers.errors import InvalidInput


@dataclass(frozen=True)
class Cifar:
    """CIFAR-10 or CIFAR-100: 50,000 training and 10,000 test images (3, 32, 32).

    Args:
        name: ``cifar10`` or ``cifar100``.
        num_classes: 10 or 100.
    """

    name: str
    num_classes: int

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
        base = self._torchvision_class().base_folder
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
        source = self._torchvision_class()
        try:
            parts = [source(root=str(folder), train=train, download=download) for train in (True, False)]
        except (OSError, RuntimeError, pickle.UnpicklingError) as error:
            if not download:
                # torchvision only says "not found or corrupted"; this says which files and what to do.
                self.check(data_dir)
                raise
            raise InvalidInput(
                FieldError(
                    "download",
                    True,
                    f"{self.name} could not be downloaded into {folder}: {error}",
                    f"Check the network and the free space, or copy {source.base_folder} there by hand.",
                )
            ) from error
        (x_train, y_train), (x_test, y_test) = (_tensors(part) for part in parts)
        return Dataset.from_tensors(
            self.name, x_train, y_train, x_test, y_test, self.num_classes, recipe=self.name
        )

    def _folder(self, data_dir: Path | None) -> Path:
        if data_dir is None:
            base = self._torchvision_class().base_folder
            raise InvalidInput(
                FieldError(
                    "data_dir",
                    None,
                    f"{self.name} is read from files and no folder was given",
                    f"Give the folder that holds {base} as --data-dir; with --download it is filled.",
                )
            )
        return Path(data_dir).expanduser()

    def _defects(self, folder: Path) -> tuple[list[str], list[str]]:
        """File names that are missing, and those that cannot be read or whose MD5 is not the official one."""
        from torchvision.datasets.utils import check_md5

        source = self._torchvision_class()
        official = [*source.train_list, *source.test_list, [source.meta["filename"], source.meta["md5"]]]
        missing, corrupt = [], []
        for file_name, md5 in official:
            path = folder / source.base_folder / file_name
            try:
                if not path.is_file():
                    missing.append(file_name)
                elif not check_md5(str(path), md5):
                    corrupt.append(file_name)
            except OSError:
                corrupt.append(file_name)
        return missing, corrupt

    def _torchvision_class(self) -> Any:
        # Imported here: torchvision is slow to import, and `import trainers` must work without it.
        try:
            from torchvision import datasets
        except ImportError as error:
            raise InvalidInput(
                FieldError("dataset", self.name, "needs torchvision", "Install it: pip install torchvision.")
            ) from error
        return datasets.CIFAR10 if self.num_classes == 10 else datasets.CIFAR100


CIFAR10 = Cifar("cifar10", 10)
CIFAR100 = Cifar("cifar100", 100)


def _tensors(part: Any) -> tuple[Tensor, Tensor]:
    """Images (N, 3, 32, 32) and labels of one torchvision part, which keeps its images as NHWC."""
    images = np.ascontiguousarray(part.data.transpose(0, 3, 1, 2))
    return torch.from_numpy(images), torch.tensor(part.targets, dtype=torch.int64)


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
