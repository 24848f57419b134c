"""Spaces by name, ours and those of installed packages, and every way in which users write one."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
from difflib import get_close_matches
from typing import Any

from pydantic import TypeAdapter

from spaces.configuration import Configuration
from spaces.paper import FIGURES_6_TO_9
from spaces.paper import TABLE_2
from spaces.paper import TABLE_7
from spaces.paper import table_3
from spaces.plugins import plugin_names
from spaces.plugins import plugin_space
from spaces.refusal import refusal
from spaces.space import AnySpace
from spaces.space import BoxSpace
from spaces.space import KappaSpace
from spaces.space import SearchSpace
from spaces.supervisions import DROPOUT
from spaces.supervisions import L2
from spaces.supervisions import SPACES
from spaces.supervisions import one_cell

_BUILT_IN: dict[str, Callable[[float | None], SearchSpace]] = {
    "kappa": lambda noise_rate: KappaSpace(),
    "box": lambda noise_rate: BoxSpace(),
    "paper-figures-6-9": lambda noise_rate: FIGURES_6_TO_9,
    "paper-table-2": lambda noise_rate: TABLE_2,
    "paper-table-3": table_3,
    "paper-table-7": lambda noise_rate: TABLE_7,
    "l2": lambda noise_rate: L2,
    "dropout": lambda noise_rate: DROPOUT,
}


def space_names() -> list[str]:
    """Return the names that :func:`space_by_name` knows, installed plugins included; no plugin is imported."""
    ours = [*_BUILT_IN, *SPACES]
    return [*ours, *(name for name in plugin_names() if name not in ours)]


def space_by_name(name: str, noise_rate: float | None = None) -> SearchSpace:
    """Return a space by its name.

    Args:
        name: One of :func:`space_names`; the name of a supervision is that of its default space.
        noise_rate: The sweep's; ``paper-table-3`` has other cells for each.

    Raises:
        ValueError: there is no such space, or a plugin that does not load.
    """
    if name in _BUILT_IN:
        return _BUILT_IN[name](noise_rate)
    if name in SPACES:
        return SPACES[name]
    if name in plugin_names():
        return plugin_space(name)
    names = space_names()
    nearest = get_close_matches(name, names, n=1)
    hint = f"Did you mean {nearest[0]!r}? " if nearest else ""
    raise refusal("space", name, "no such space", f"{hint}There are: {', '.join(names)}.")


def default_space(supervision: str) -> SearchSpace:
    """Return where a supervision is searched unless told otherwise.

    Args:
        supervision: Its name. One that we have no space for, an installed plugin's, is searched in the space that
            an installed package gives the same name, else in the one cell of its defaults.

    Raises:
        ValueError: a plugin that does not load.
    """
    if supervision in SPACES:
        return SPACES[supervision]
    return plugin_space(supervision) if supervision in plugin_names() else one_cell(supervision)


_SPACES: TypeAdapter[SearchSpace] = TypeAdapter(AnySpace)


def parse_space(value: Any, noise_rate: float | None = None, supervision: str | None = None) -> SearchSpace:
    """Read a space as users write it.

    Args:
        value: A name; a mapping with ``kind``; a list of cells by name, or of ``[beta, lam]`` pairs; or a space,
            returned as it is.
        noise_rate: See :func:`space_by_name`.
        supervision: See :func:`as_fields`.

    Raises:
        ValueError: it cannot be read (a pydantic ``ValidationError`` where fields are wrong).
    """
    if isinstance(value, SearchSpace):
        return value
    return _SPACES.validate_python(as_fields(value, noise_rate, supervision))


def as_fields(value: Any, noise_rate: float | None = None, supervision: str | None = None) -> Any:
    """Turn the short ways of writing a space into a space or the mapping of its fields, which is not checked.

    Args:
        value: See :func:`parse_space`.
        noise_rate: See :func:`space_by_name`.
        supervision: Whose ranges or cells they are where the mapping does not say.

    Raises:
        ValueError: an unknown name, or something that is no name, mapping or list.
    """
    if isinstance(value, str):
        return space_by_name(value, noise_rate)
    if isinstance(value, SearchSpace):
        return value
    if isinstance(value, Mapping):
        fields: Mapping[str, Any] = value
    elif isinstance(value, Sequence):
        fields = {"kind": "grid", "points": [_as_point(each) for each in value]}
    else:
        raise refusal(
            "space",
            value,
            "is no search space",
            "Give a name (see `emphasis spaces`), a mapping with kind: kappa, box, ranges or grid, or a list of cells.",
        )
    if supervision is not None and fields.get("kind") in ("ranges", "grid"):
        return {"supervision": supervision, **fields}
    return fields


def _as_point(value: Any) -> Any:
    if isinstance(value, Configuration):
        return value.as_dict()
    if isinstance(value, Sequence) and not isinstance(value, str) and len(value) == 2:
        return {"beta": value[0], "lam": value[1]}
    return value
