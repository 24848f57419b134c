"""`emphasis supervisions`, `spaces` and `datasets`: what there is, installed packages' additions among it."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Sequence

from search.cli.streams import say

_BY_PATH = {
    "torchvision:NAME": "any classification dataset of torchvision, e.g. torchvision:FashionMNIST; needs --data-dir",
    "FOLDER": "images in train/CLASS/; test/CLASS/, or a fifth held out; val/CLASS/ if there is one",
    "FILE.csv": "a manifest, or .parquet: columns path, label and, if known, intact_label and split",
    "FILE.npz": "arrays x_train, y_train, x_test, y_test and, if known, intact_train, x_validation, y_validation",
}


def supervisions() -> None:
    """List the supervisions with their hyper-parameters, defaults and a line on each.

    Example:

    \b
      emphasis supervisions
      emphasis run --dataset digits --noise-rate 0.4 --supervision gce
    """
    from search.hyperparameters import Hyperparameters
    from search.naming import short
    from search.naming import written_name
    from trainers.supervision import describe_supervision
    from trainers.supervision import supervision_names

    def told(name: str) -> str:
        defaults = Hyperparameters.of(name).defaults
        values = (
            f"{written_name(each)}{'' if default is None else f' = {short(default)}'}"
            for each, default in defaults.items()
        )
        return f"{describe_supervision(name)}  [{', '.join(values)}]" if defaults else describe_supervision(name)

    _list(supervision_names(), told)


def spaces() -> None:
    """List the search spaces that have a name; that of a supervision is where it is searched by default.

    Example:

    \b
      emphasis spaces
      emphasis run --dataset digits --noise-rate 0.4 --space paper-figures-6-9
    """
    from spaces import space_by_name
    from spaces import space_names

    _list(space_names(), lambda name: space_by_name(name).description)


def datasets() -> None:
    """List the data sets that have a name, and the kinds of path that stand for one.

    Example:

    \b
      emphasis datasets
      emphasis run --dataset digits --noise-rate 0.4
    """
    from trainers.datasets.registry import dataset_names
    from trainers.datasets.registry import dataset_source

    _list(dataset_names(), lambda name: dataset_source(name).description)
    _list(list(_BY_PATH), _BY_PATH.__getitem__)


def _list(names: Sequence[str], told: Callable[[str], str]) -> None:
    """One line a name; a plugin that does not load says why in its place."""
    width = max(map(len, names))
    for name in names:
        try:
            text = told(name)
        except Exception as error:  # foreign code: whatever it raises is about this name only
            text = f"cannot be used: {_reason(error)}"
        say(f"{name:<{width}}  {' '.join(text.split())}")


def _reason(error: Exception) -> str:
    from pydantic_core import PydanticCustomError

    from trainers.errors import InvalidInput

    if isinstance(error, InvalidInput):
        return "; ".join(each.problem for each in error.errors)
    if isinstance(error, PydanticCustomError):
        return str((error.context or {}).get("problem", error))
    return f"{type(error).__name__}: {error}"
