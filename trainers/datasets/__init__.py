"""Data sets: sources, one a file, and the registry that finds them by name."""

from trainers.datasets.dataset import Dataset
from trainers.datasets.dataset import DatasetSource
from trainers.datasets.dataset import HeldOut
from trainers.datasets.dataset import OnProgress
from trainers.datasets.examples import Examples
from trainers.datasets.image_files import ImageFiles
from trainers.datasets.registry import check_dataset
from trainers.datasets.registry import dataset_names
from trainers.datasets.registry import dataset_path
from trainers.datasets.registry import dataset_source
from trainers.datasets.registry import load_dataset

__all__ = [
    "Dataset",
    "DatasetSource",
    "Examples",
    "HeldOut",
    "ImageFiles",
    "OnProgress",
    "check_dataset",
    "dataset_names",
    "dataset_path",
    "dataset_source",
    "load_dataset",
]
