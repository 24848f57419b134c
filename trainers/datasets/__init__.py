"""Data sets in memory: sources, one a file, and the registry that finds them by name."""

from trainers.datasets.dataset import Dataset
from trainers.datasets.dataset import DatasetSource
from trainers.datasets.registry import check_dataset
from trainers.datasets.registry import dataset_names
from trainers.datasets.registry import dataset_source
from trainers.datasets.registry import load_dataset

__all__ = ["Dataset", "DatasetSource", "check_dataset", "dataset_names", "dataset_source", "load_dataset"]
