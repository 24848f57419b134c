"""Whether a dataset that somebody asks for by its name is a file or folder, as the record has it."""

from __future__ import annotations

import os


def dataset_file(dataset: str) -> str | None:
    """The absolute path that stands for a dataset in its sweeps' specs; None where it is known by its name.

    A name such as ``images.npz`` may also be that of a dataset whose file is no longer here.

    Args:
        dataset: As users write it.
    """
    if os.sep not in dataset and "/" not in dataset and not os.path.exists(dataset):
        return None
    # Imported here since the data sets need torch.
    from trainers.datasets import dataset_path

    path = dataset_path(dataset)
    return None if path is None else str(path.absolute())
