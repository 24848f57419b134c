"""What makes labels unusable, whatever file they come from."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

NAMED_AT_MOST = 5
# Far above any number of classes: one stray label must not have 2**62 absent classes counted.
_LARGEST_LABEL = 2**20

Labels = npt.NDArray[np.generic]


def label_problems(name: str, labels: Labels) -> list[tuple[str, str]]:
    """(Problem, remedy) of one array of class numbers.

    Args:
        name: What the user calls it.
        labels: Any array.
    """
    problems = []
    if labels.ndim != 1:
        problems.append((f"{name} has shape {labels.shape}, not (N,)", "Give one class number an example."))
    if labels.dtype.kind not in "iu":
        problems.append((f"{name} is {labels.dtype}, not integer", "Number the classes 0...C - 1 as integers."))
    elif labels.size == 0:
        problems.append((f"{name} is empty", "Give at least one label."))
    elif int(labels.min()) < 0:
        problems.append((f"{name} has the negative label {labels.min()}", "Number the classes 0...C - 1."))
    elif int(labels.max()) > _LARGEST_LABEL:
        problems.append((f"{name} has the label {labels.max()}", "Number the classes 0...C - 1 without gaps."))
    return problems


def class_problems(train: Labels, *others: Labels) -> list[tuple[str, str]]:
    """(Problem, remedy) of classes that there is nothing to train on.

    Args:
        train: Training labels, integers from 0.
        others: Other labels of the data set, as ``train``.
    """
    classes = int(max(labels.max() for labels in (train, *others))) + 1
    if classes < 2:
        return [("all labels are 0: one class only", "Classification needs at least two classes.")]
    absent = np.setdiff1d(np.arange(classes), train.astype(np.int64))
    if not len(absent):
        return []
    return [
        (
            f"{len(absent)} of the classes 0...{classes - 1} have no training examples: {first(absent)}",
            "Number the classes that exist 0...C - 1 without gaps.",
        )
    ]


def first(items: npt.NDArray[np.generic] | list[str]) -> str:
    """The first five, and dots where there are more."""
    named = ", ".join(printable(str(item)) for item in items[:NAMED_AT_MOST])
    return named + (", ..." if len(items) > NAMED_AT_MOST else "")


def printable(name: str) -> str:
    r"""A name of the file system as text that can be written anywhere: bytes that are no UTF-8 become ``\xe9``."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
