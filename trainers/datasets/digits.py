"""digits: the 1,797 8x8 images of handwritten digits that scikit-learn brings along."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from trainers.datasets.dataset import Dataset
from trainers.errors import FieldError
from trainers.errors import InvalidInput

NUM_TRAIN = 1437
# The split is part of the data set: results on digits compare only under the same one.
_SPLIT_SEED = 0


class Digits:
    """scikit-learn's bundled digits: 1,437 training and 360 test images (1, 8, 8) of ten classes."""

    description = "handwritten digits, 8x8 grey, 10 classes, 1,437 + 360 images; bundled, nothing to download"

    def check(self, data_dir: Path | None = None, download: bool = False) -> None:
        """Find out whether scikit-learn is installed.

        Raises:
            InvalidInput: It is not.
        """
        if find_spec("sklearn") is None:
            raise InvalidInput(
                FieldError("dataset", "digits", "needs scikit-learn", "Install it: pip install scikit-learn.")
            )

    def load(self, data_dir: Path | None = None, download: bool = False) -> Dataset:
        """Read the images; both arguments are ignored.

        Raises:
            InvalidInput: scikit-learn is not installed.
        """
        self.check()
        images, labels = _published()
        pixels = np.rint(images * (255 / 16)).astype(np.uint8).reshape(-1, 1, 8, 8)  # published as 0...16
        order = np.random.Generator(np.random.PCG64(_SPLIT_SEED)).permutation(len(labels))
        train, test = order[:NUM_TRAIN], order[NUM_TRAIN:]
        intact = labels.astype(np.int64)
        return Dataset.from_tensors(
            "digits",
            torch.from_numpy(pixels[train]),
            torch.from_numpy(intact[train]),
            torch.from_numpy(pixels[test]),
            torch.from_numpy(intact[test]),
            num_classes=10,
            recipe="digits",
        )


def _published() -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """What scikit-learn's ``load_digits`` gives: pixels (1797, 64) from 0 to 16, and labels (1797,)."""
    spec = find_spec("sklearn")
    folders = spec.submodule_search_locations if spec is not None else None
    for folder in folders or ():
        table = Path(folder) / "datasets" / "data" / "digits.csv.gz"
        if table.is_file():
            # Importing scikit-learn takes more CPU time than a training on digits, in every process of a sweep.
            rows = np.loadtxt(table, delimiter=",")
            return rows[:, :-1], rows[:, -1]
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    return images, labels
