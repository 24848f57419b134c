"""Data sets by name: those that come along, ``.npz`` files by path, and those of installed packages."""

from __future__ import annotations

import threading
from pathlib import Path

from trainers.datasets.arrays import ArrayFile
from trainers.datasets.cifar import CIFAR10
from trainers.datasets.cifar import CIFAR100
from trainers.datasets.dataset import Dataset
from trainers.datasets.dataset import DatasetSource
from trainers.datasets.digits import Digits
from trainers.errors import FieldError
from trainers.errors import InvalidInput
from trainers.plugins import load_plugin
from trainers.plugins import plugin_names
from trainers.plugins import unknown_name

ENTRY_POINT_GROUP = "emphasis.datasets"

_BUILT_IN: dict[str, DatasetSource] = {"digits": Digits(), "cifar10": CIFAR10, "cifar100": CIFAR100}

# By name and folder: which version of the file was read (empty for other sources), and what it held.
_loaded: dict[tuple[str, Path | None], tuple[tuple[object, ...], Dataset]] = {}
_loading = threading.Lock()


def dataset_names() -> list[str]:
    """Names that :func:`load_dataset` knows, installed plugins included; no plugin is imported."""
    return [*_BUILT_IN, *(name for name in plugin_names(ENTRY_POINT_GROUP) if name not in _BUILT_IN)]


def dataset_source(name: str) -> DatasetSource:
    """The source behind a name.

    Args:
        name: One of :func:`dataset_names`, or the path of a ``.npz`` file.

    Raises:
        InvalidInput: No such data set (with the nearest names), or a plugin that does not load.
    """
    if name in _BUILT_IN:
        return _BUILT_IN[name]
    if name.endswith(".npz"):
        return ArrayFile(Path(name).expanduser())
    if name not in plugin_names(ENTRY_POINT_GROUP):
        raise unknown_name("dataset", name, dataset_names(), "Or give the path of a .npz file.")
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
    dataset_source(name).check(_folder(data_dir), download)


def load_dataset(name: str, data_dir: Path | str | None = None, download: bool = False) -> Dataset:
    """A data set in memory; the same object on every call in one process while its file is unchanged.

    Args:
        name: ``digits``, ``cifar10``, ``cifar100``, the path of a ``.npz`` file, or an installed plugin's
            name.
        data_dir: Folder of the data, where the data set needs one.
        download: Whether missing files may be fetched.

    Raises:
        InvalidInput: As :func:`check_dataset`.
    """
    source = dataset_source(name)
    folder = _folder(data_dir)
    version = source.version() if isinstance(source, ArrayFile) else ()
    key = (name, folder and folder.absolute())
    with _loading:
        known = _loaded.get(key)
        if known is None or known[0] != version:
            known = (version, source.load(folder, download))
            _loaded[key] = known
        return known[1]


def _folder(data_dir: Path | str | None) -> Path | None:
    return None if data_dir is None else Path(data_dir).expanduser()
