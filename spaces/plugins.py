"""Spaces that installed packages add, by entry point; one that fails to import harms nobody else."""

from __future__ import annotations

from importlib.metadata import entry_points

from spaces.refusal import refusal
from spaces.space import BoxSpace
from spaces.space import GridSpace
from spaces.space import KappaSpace
from spaces.space import RangesSpace
from spaces.space import SearchSpace

ENTRY_POINT_GROUP = "emphasis.spaces"

_KINDS = (KappaSpace, BoxSpace, RangesSpace, GridSpace)


def plugin_names() -> list[str]:
    """Names of the spaces that installed packages declare; nothing is imported."""
    return sorted({entry_point.name for entry_point in entry_points(group=ENTRY_POINT_GROUP)})


def plugin_space(name: str) -> SearchSpace:
    """The space that an installed package declares.

    Args:
        name: One of :func:`plugin_names`.

    Raises:
        ValueError: the plugin does not load, or gives something else. A space is recorded as data, so it is of one of
            the kinds that this package reads back.
    """
    entry_point = next(iter(entry_points(group=ENTRY_POINT_GROUP, name=name)))
    package = entry_point.dist.name if entry_point.dist is not None else entry_point.value
    try:
        space: object = entry_point.load()
    except Exception as error:  # foreign code: whatever it raises is about this name only
        problem = f"the plugin {package} ({entry_point.value}) does not load: {type(error).__name__}: {error}"
        remedy = f"Repair or reinstall {package}, or choose another space."
        raise refusal("space", name, problem, remedy) from error
    if type(space) not in _KINDS:
        problem = f"the plugin {package} gives a {type(space).__name__}, which is no space"
        kinds = ", ".join(kind.__name__ for kind in _KINDS)
        raise refusal("space", name, problem, f"Let {entry_point.value} be one of spaces.{{{kinds}}}.")
    assert isinstance(space, SearchSpace)
    return space
