"""What a sweep may name: data sets, noise models, networks, supervisions, spaces; installed packages' among them."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import field
from typing import Any

PATHS = {
    "torchvision:NAME": "any classification dataset of torchvision, e.g. torchvision:FashionMNIST; needs --data-dir",
    "FOLDER": "images in train/CLASS/; test/CLASS/, or a fifth held out; val/CLASS/ if there is one",
    "FILE.csv": "a manifest, or .parquet: columns path, label and, if known, intact_label and split",
    "FILE.npz": "arrays x_train, y_train, x_test, y_test and, if known, intact_train, x_validation, y_validation",
}
"""The kinds of path and the prefix that stand for a data set, with what they hold."""

TORCHVISION_BACKBONES = {
    "torchvision:NAME": "any classification network of torchvision, e.g. torchvision:resnet50; weights by --weights"
}
"""The prefix that stands for a network beside those that have a name of their own."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing with a name.

    Args:
        name: Its name.
        description: What it is, in one line; None where it cannot be used.
        problem: Why it cannot be used, of a plugin that does not load.
        hyperparameters: Of a supervision: its defaults by name; None for one that has to be given.
    """

    name: str
    description: str | None
    problem: str | None = None
    hyperparameters: Mapping[str, Any] = field(default_factory=dict)


def datasets() -> list[Entry]:
    """The data sets that have a name."""
    from trainers.datasets.registry import dataset_names
    from trainers.datasets.registry import dataset_source

    return _entries(dataset_names(), lambda name: Entry(name, dataset_source(name).description))


def noise_models() -> list[Entry]:
    """The noise models."""
    from trainers.noise import noise_model_descriptions

    return [Entry(name, description) for name, description in noise_model_descriptions().items()]


def backbones() -> list[Entry]:
    """The networks that have a name of their own."""
    from trainers.models import backbone_names
    from trainers.models import find_backbone

    return _entries(backbone_names(), lambda name: Entry(name, find_backbone(name).description))


def supervisions() -> list[Entry]:
    """The supervisions."""
    from search.hyperparameters import Hyperparameters
    from trainers.supervision import describe_supervision
    from trainers.supervision import supervision_names

    return _entries(
        supervision_names(),
        lambda name: Entry(name, describe_supervision(name), None, Hyperparameters.of(name).defaults),
    )


def spaces() -> list[Entry]:
    """The search spaces that have a name; that of a supervision is where it is searched by default."""
    from spaces import space_by_name
    from spaces import space_names

    return _entries(space_names(), lambda name: Entry(name, space_by_name(name).description))


def _entries(names: Sequence[str], entry: Callable[[str], Entry]) -> list[Entry]:
    found = []
    for name in names:
        try:
            found.append(entry(name))
        except Exception as error:  # foreign code: whatever it raises is about this name only
            found.append(Entry(name, None, _reason(error)))
    return found


def _reason(error: Exception) -> str:
    from pydantic_core import PydanticCustomError

    from trainers.errors import InvalidInput

    if isinstance(error, InvalidInput):
        return "; ".join(each.problem for each in error.errors)
    if isinstance(error, PydanticCustomError):
        return str((error.context or {}).get("problem", error))
    return f"{type(error).__name__}: {error}"
