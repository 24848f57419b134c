"""digits: the 1,797 8x8 images of handwritten digits that scikit-learn brings along."""

from __future__ import annotations

from pathlib import Path

import numpy as np
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
        try:
            import sklearn.datasets  # noqa: F401
        except ImportError as error:
            raise InvalidInput(
                FieldError("dataset", "digits", "needs scikit-learn", "Install it: pip install scikit-learn.")
            ) from error

    def load(self, data_dir: Path | None = None, download: bool = False) -> Dataset:
        """Read the images; both arguments are ignored.

        Raises:
            InvalidInput: scikit-learn is not installed.
        """
        self.check()
        from sklearn.datasets import load_digits

        images, labels = load_digits(return_X_y=True)
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
