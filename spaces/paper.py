"""The paper's search grids and tables as spaces, by name.

Source: Wang et al., arXiv 1905.11233 (first version): Figures 6 to 9, Tables 2, 3 and 7.
"""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Sequence
from difflib import get_close_matches
from typing import Any

from pydantic import TypeAdapter

from spaces.configuration import Configuration
from spaces.refusal import refusal
from spaces.space import AnySpace
from spaces.space import BoxSpace
from spaces.space import Extra
from spaces.space import GridSpace
from spaces.space import KappaSpace
from spaces.space import SearchSpace

CCE = Extra(supervision="cce")
# At beta = 0 every weight is 1 whatever lam is; the paper leaves lam blank there.
EQUAL_WEIGHTS = Extra(supervision="gr", hyperparameters={"beta": 0.0, "lam": 0.0})

FIGURES_6_TO_9 = GridSpace(
    name="paper-figures-6-9",
    beta_by_lambda={
        0.0: (0.5, 1.0, 2.0, 4.0),
        0.5: (4.0, 8.0, 12.0, 16.0),
        1.0: (8.0, 12.0, 16.0, 20.0),
        2.0: (12.0, 16.0, 20.0, 24.0),
    },
    extra=(CCE, EQUAL_WEIGHTS),
)
"""CIFAR-10, ResNet-56: 16 cells of (beta, lam), CCE and GR with equal weights."""

TABLE_3_BY_NOISE_RATE: dict[float, tuple[tuple[float, float], ...]] = {
    0.2: ((2.0, 0.0), (12.0, 0.5), (16.0, 1.0), (24.0, 2.0)),
    0.4: ((1.0, 0.0), (12.0, 0.5), (16.0, 1.0), (20.0, 2.0)),
    0.6: ((0.5, 0.0), (12.0, 0.5), (12.0, 1.0), (12.0, 2.0)),
    0.8: ((0.5, 0.0), (8.0, 0.5), (8.0, 1.0), (12.0, 2.0)),
}
"""CIFAR-10, ResNet-56: (beta, lam) of each row by noise rate, the best beta of each lam."""

TABLE_7 = GridSpace(name="paper-table-7", lam=(0.1, 0.2, 0.3, 0.4, 0.5, 0.6), beta=(2.0, 4.0, 6.0, 8.0, 10.0))
"""CIFAR-100, ResNet-44: the 30 cells that the table reports the best beta of, for each lam."""

TABLE_2 = GridSpace(name="paper-table-2", points=({"beta": 2.0, "lam": 0.0},), extra=(CCE, EQUAL_WEIGHTS))
"""Clean labels: CCE, GR at lam = 0, and equal weights."""


def table_3(noise_rate: float | None = None) -> GridSpace:
    """Return Table 3's cells at one noise rate, or those of all its noise rates where it has no such rate."""
    rows = TABLE_3_BY_NOISE_RATE.get(round(noise_rate, 6)) if noise_rate is not None else None
    pairs = rows or dict.fromkeys(pair for rate in TABLE_3_BY_NOISE_RATE.values() for pair in rate)
    points = tuple({"beta": beta, "lam": lam} for beta, lam in pairs)
    return GridSpace(name="paper-table-3", points=points, extra=(CCE, EQUAL_WEIGHTS))


_NAMES = ("kappa", "box", "paper-figures-6-9", "paper-table-2", "paper-table-3", "paper-table-7")


def space_names() -> list[str]:
    """Return the names that :func:`space_by_name` knows."""
    return list(_NAMES)


def space_by_name(name: str, noise_rate: float | None = None) -> SearchSpace:
    """Return a space by its name.

    Args:
        name: One of :func:`space_names`.
        noise_rate: The sweep's; ``paper-table-3`` has other cells for each.

    Raises:
        ValueError: there is no such space.
    """
    match name:
        case "kappa":
            return KappaSpace()
        case "box":
            return BoxSpace()
        case "paper-figures-6-9":
            return FIGURES_6_TO_9
        case "paper-table-2":
            return TABLE_2
        case "paper-table-3":
            return table_3(noise_rate)
        case "paper-table-7":
            return TABLE_7
    nearest = get_close_matches(name, _NAMES, n=1)
    hint = f"Did you mean {nearest[0]!r}? " if nearest else ""
    raise refusal("space", name, "no such space", f"{hint}There are: {', '.join(_NAMES)}.")


_SPACES: TypeAdapter[SearchSpace] = TypeAdapter(AnySpace)


def parse_space(value: Any, noise_rate: float | None = None) -> SearchSpace:
    """Read a space as users write it.

    Args:
        value: A name; a mapping with ``kind``; a list of ``{beta, lam}`` cells, or of ``[beta, lam]`` pairs;
            or a space, returned as it is.
        noise_rate: See :func:`space_by_name`.

    Raises:
        ValueError: it cannot be read (a pydantic ``ValidationError`` where fields are wrong).
    """
    if isinstance(value, SearchSpace):
        return value
    return _SPACES.validate_python(as_fields(value, noise_rate))


def as_fields(value: Any, noise_rate: float | None = None) -> Any:
    """Turn the short ways of writing a space into a space or the mapping of its fields, which is not checked.

    Raises:
        ValueError: an unknown name, or something that is no name, mapping or list.
    """
    if isinstance(value, str):
        return space_by_name(value, noise_rate)
    if isinstance(value, SearchSpace | Mapping):
        return value
    if isinstance(value, Sequence):
        return {"kind": "grid", "points": [_as_point(each) for each in value]}
    raise refusal(
        "space",
        value,
        "is no search space",
        f"Give a name ({', '.join(_NAMES)}), a mapping with kind: kappa, box or grid, or a list of cells.",
    )


def _as_point(value: Any) -> Any:
    if isinstance(value, Configuration):
        return value.as_dict()
    if isinstance(value, Sequence) and not isinstance(value, str) and len(value) == 2:
        return {"beta": value[0], "lam": value[1]}
    return value
