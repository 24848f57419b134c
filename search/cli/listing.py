"""`emphasis supervisions`, `spaces` and `datasets`: what there is, installed packages' additions among it."""

from __future__ import annotations

from collections.abc import Sequence

from search import catalogue
from search.catalogue import Entry
from search.cli.streams import say


def supervisions() -> None:
    """List the supervisions with their hyper-parameters, defaults and a line on each.

    Example:

    \b
      emphasis supervisions
      emphasis run --dataset digits --noise-rate 0.4 --supervision gce
    """
    _list(catalogue.supervisions())


def spaces() -> None:
    """List the search spaces that have a name; that of a supervision is where it is searched by default.

    Example:

    \b
      emphasis spaces
      emphasis run --dataset digits --noise-rate 0.4 --space paper-figures-6-9
    """
    _list(catalogue.spaces())


def datasets() -> None:
    """List the data sets that have a name, and the kinds of path that stand for one.

    Example:

    \b
      emphasis datasets
      emphasis run --dataset digits --noise-rate 0.4
    """
    _list(catalogue.datasets())
    _list([Entry(name, description) for name, description in catalogue.PATHS.items()])


def _list(entries: Sequence[Entry]) -> None:
    """One line a name; a plugin that does not load says why in its place."""
    width = max(len(entry.name) for entry in entries)
    for entry in entries:
        text = entry.description or f"cannot be used: {entry.problem}"
        say(f"{entry.name:<{width}}  {' '.join(text.split())}{_values(entry)}")


def _values(entry: Entry) -> str:
    from search.naming import short
    from search.naming import written_name

    values = (
        f"{written_name(name)}{'' if default is None else f' = {short(default)}'}"
        for name, default in entry.hyperparameters.items()
    )
    return f"  [{', '.join(values)}]" if entry.hyperparameters else ""
