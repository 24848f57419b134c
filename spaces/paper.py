"""The paper's search grids and tables as spaces.

Source: Wang et al., arXiv 1905.11233 (first version): Figures 6 to 9, Tables 2, 3 and 7.
"""

from __future__ import annotations

from spaces.configuration import Value
from spaces.space import Extra
from spaces.space import GridSpace

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
    points: tuple[dict[str, Value], ...] = tuple({"beta": beta, "lam": lam} for beta, lam in pairs)
    return GridSpace(name="paper-table-3", points=points, extra=(CCE, EQUAL_WEIGHTS))
