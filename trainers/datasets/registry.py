"""Data sets by name: those that come along, files and folders by path, and those of installed packages."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from weakref import WeakValueDictionary

from trainers.datasets.arrays import ArrayFile
from trainers.datasets.cifar import CIFAR10
from trainers.datasets.cifar import CIFAR100
from trainers.datasets.clothing1m import Clothing1M
from trainers.datasets.dataset import Dataset
from trainers.datasets.dataset import DatasetSource
from trainers.datasets.dataset import FileSource
from trainers.datasets.dataset import OnProgress
from trainers.datasets.digits import Digits
from trainers.datasets.image_folder import ImageFolder
from trainers.datasets.manifest import EXTENSIONS as MANIFEST_EXTENSIONS
from trainers.datasets.manifest import Manifest
from trainers.datasets.torchvision_dataset import PREFIX
from trainers.datasets.torchvision_dataset import TorchvisionDataset
from trainers.errors import FieldError
from trainers.errors import InvalidInput
from trainers.plugins import load_plugin
from trainers.plugins import plugin_call
from trainers.plugins import plugin_names
from trainers.plugins import unknown_name
from trainers.user_path import user_path

ENTRY_POINT_GROUP = "emphasis.datasets"

_BUILT_IN: dict[str, DatasetSource] = {
    "digits": Digits(),
    "cifar10": CIFAR10,
    "cifar100": CIFAR100,
    "clothing1m": Clothing1M(),
}
_FILE_EXTENSIONS = (".npz", *MANIFEST_EXTENSIONS)
_PATHS = "the path of a .npz file, of a .csv or .parquet table of images, or of a folder of images."

# By name and folder: which version of the file was read (empty for other sources), and what it held; the last asked
# for comes last. Only the last few are kept, since a service is asked for many.
_loaded: dict[tuple[str, Path | None], tuple[tuple[object, ...], Dataset]] = {}
_MOST_LOADED = 4
_bookkeeping = threading.Lock()
# Each data set is loaded once at a time, and none waits for another, which may take many minutes to decode.
_loading: WeakValueDictionary[tuple[str, Path | None], threading.Lock] = WeakValueDictionary()


def dataset_names() -> list[str]:
    """Names that :func:`load_dataset` knows, installed plugins included; no plugin is imported."""
    return [*_BUILT_IN, *(name for name in plugin_names(ENTRY_POINT_GROUP) if name not in _BUILT_IN)]


def dataset_path(name: str) -> Path | None:
    """The file or folder that a name stands for; None where it is a name and no path.

    Paths are what ends in ``.npz``, ``.csv`` or ``.parquet``, what has a slash, and files and folders that exist
    unless a data set has their name.

    Args:
        name: As for :func:`load_dataset`.
    """
    if name in _BUILT_IN or name.startswith(PREFIX):
        return None
    path = Path(os.path.expanduser(name))  # which leaves the home folder of nobody as it is
    if name.lower().endswith(_FILE_EXTENSIONS) or "/" in name or os.sep in name:
        return path
    # os.path answers no where a name is too long for a path, or what leads to it may not be read.
    return path if os.path.exists(path) and name not in plugin_names(ENTRY_POINT_GROUP) else None


def dataset_source(name: str) -> DatasetSource:
    """The source behind a name.

    Args:
        name: As for :func:`load_dataset`.

    Raises:
        InvalidInput: No such data set (with the nearest names), or a plugin that does not load.
    """
    if name in _BUILT_IN:
        return _BUILT_IN[name]
    if name.startswith(PREFIX):
        return TorchvisionDataset(name.removeprefix(PREFIX))
    path = dataset_path(name)
    if path is not None and path.suffix.lower() == ".npz":
        return ArrayFile(path)
    if path is not None and path.suffix.lower() in MANIFEST_EXTENSIONS:
        return Manifest(path)
    if path is not None and os.path.isfile(path):
        problem = f"is a file that is none of {', '.join(_FILE_EXTENSIONS)}"
        raise InvalidInput(FieldError("dataset", name, problem, f"Give {_PATHS}"))
    if path is not None:
        return ImageFolder(path)
    if name not in plugin_names(ENTRY_POINT_GROUP):
        raise unknown_name("dataset", name, dataset_names(), f"Or give {_PATHS}")
    plugin = load_plugin(ENTRY_POINT_GROUP, name, "dataset")
    if not isinstance(plugin, DatasetSource):
        raise InvalidInput(
            FieldError(
                "dataset",
                name,
                f"its plugin gives a {type(plugin).__name__}, which lacks description, check or load",
                "Let the entry point name a trainers.datasets.DatasetSource.",
            )
        )
    return plugin


def check_dataset(name: str, data_dir: Path | str | None = None, download: bool = False) -> None:
    """Find out, before anything heavy starts, whether a data set can be loaded.

    Args:
        name: As for :func:`load_dataset`.
        data_dir: Folder of the data, where the data set needs one.
        download: Whether missing files may be fetched.

    Raises:
        InvalidInput: It cannot: unknown name, missing or corrupt files, unusable arrays; each with its
            remedy.
    """
    source = dataset_source(name)
    with plugin_call(ENTRY_POINT_GROUP, name, "dataset", "check"):
        source.check(_folder(data_dir), download)


def load_dataset(
    name: str,
    data_dir: Path | str | None = None,
    download: bool = False,
    on_progress: OnProgress | None = None,
) -> Dataset:
    """A data set; the last few are the same object on every call in one process while their files are unchanged.

    Args:
        name: ``digits``, ``cifar10``, ``cifar100``, ``clothing1m``; ``torchvision:`` and the name of a class,
            e.g. ``torchvision:FashionMNIST``; the path of a ``.npz`` file (`ArrayFile`), of a ``.csv`` or
            ``.parquet`` table of images (`Manifest`), or of a folder of images (`ImageFolder`); or the name of
            an installed plugin.
        data_dir: Folder of the data, where the data set needs one.
        download: Whether missing files may be fetched.
        on_progress: Told how many images have been decoded and of how many, where some are: see `FileSource`.

    Raises:
        InvalidInput: As :func:`check_dataset`.
    """
    source = dataset_source(name)
    folder = _folder(data_dir)
    key = (name, folder and folder.absolute())
    with _bookkeeping:
        loading = _loading.setdefault(key, threading.Lock())
    with loading:
        with plugin_call(ENTRY_POINT_GROUP, name, "dataset", "version"):
            version = source.version(folder) if isinstance(source, FileSource) else ()
        with _bookkeeping:
            known = _loaded.pop(key, None)
        if known is None or known[0] != version:
            known = (version, _loaded_from(source, name, folder, download, on_progress))
        with _bookkeeping:
            _loaded[key] = known
            while len(_loaded) > _MOST_LOADED:
                del _loaded[next(iter(_loaded))]
        return known[1]


def _loaded_from(
    source: DatasetSource, name: str, folder: Path | None, download: bool, on_progress: OnProgress | None
) -> Dataset:
    found: object
    with plugin_call(ENTRY_POINT_GROUP, name, "dataset", "load"):
        if isinstance(source, FileSource):
            found = source.load(folder, download, on_progress)
        else:
            found = source.load(folder, download)
    if not isinstance(found, Dataset):
        problem = f"load of its plugin gives a {type(found).__name__}, not a Dataset"
        remedy = "Let it give trainers.datasets.Dataset.from_tensors(...)."
        raise InvalidInput(FieldError("dataset", name, problem, remedy))
    return found


def _folder(data_dir: Path | str | None) -> Path | None:
    return None if data_dir is None else user_path(data_dir, "data_dir")
