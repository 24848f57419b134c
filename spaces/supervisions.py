"""Where each supervision is searched unless told otherwise, and the spaces of the paper's Table 6.

The ranges are those in which a hyper-parameter is defined or stays itself: where two supervisions meet at an end
(GCE at q = 0 is CCE, bootstrapping at beta = 1 is CCE), the end says so. The values of the original papers lie inside.
"""

from __future__ import annotations

from collections.abc import Container
from collections.abc import Mapping
from typing import Any

from spaces.configuration import Value
from spaces.space import GridSpace
from spaces.space import KappaSpace
from spaces.space import RangesSpace
from spaces.space import SearchSpace

_EXPONENT_OF_GCE = [0.05, 1]
"""q: CCE in the limit 0, half of MAE at 1; Zhang and Sabuncu, NeurIPS 2018, use 0.7."""


def _ranges(supervision: str, **dimensions: Any) -> RangesSpace:
    return RangesSpace.model_validate({"supervision": supervision, "dimensions": dimensions})


def _matrices(supervision: str) -> GridSpace:
    # The transition matrix as the noise model says it, and as a first network estimates it; Patrini et al., CVPR 2017.
    return GridSpace(supervision=supervision, points=({"matrix": "true"}, {"matrix": "estimated"}))


def one_cell(supervision: str) -> GridSpace:
    """The space of one configuration: the supervision with its defaults."""
    return GridSpace(supervision=supervision, points=({},))


def narrowed(space: SearchSpace, fixed: Container[str], impossible: Container[tuple[str, Value]] = ()) -> SearchSpace:
    """A default space less what is fixed, and less the cells that cannot be had.

    Args:
        space: A grid of points, or ranges; another is returned as it is.
        fixed: Names of values that are not searched.
        impossible: (name, value) pairs whose cells are left out.
    """
    if isinstance(space, RangesSpace):
        left = {name: each for name, each in space.dimensions.items() if name not in fixed}
        return space.model_copy(update={"dimensions": left}) if left else one_cell(space.supervision)
    if isinstance(space, GridSpace) and space.points is not None:
        possible = [point for point in space.points if not any(pair in impossible for pair in point.items())]
        points = [{name: value for name, value in point.items() if name not in fixed} for point in possible]
        distinct = tuple(point for number, point in enumerate(points) if point not in points[:number])
        return space.model_copy(update={"points": distinct or ({},)})
    return space


SPACES: Mapping[str, SearchSpace] = {
    "gr": KappaSpace(),
    "cce": one_cell("cce"),
    "mae": one_cell("mae"),
    "gce": _ranges("gce", q=_EXPONENT_OF_GCE),
    # k is a relevance score; near 1 nearly every example would be left out.
    "gce_truncated": _ranges("gce_truncated", q=_EXPONENT_OF_GCE, k=[0.05, 0.9]),
    "forward": _matrices("forward"),
    "backward": _matrices("backward"),
    # The share of the given label in the target; Reed et al., ICLR 2015 workshop, use 0.95 (soft) and 0.8 (hard).
    "bootstrap_soft": _ranges("bootstrap_soft", beta=[0, 1]),
    "bootstrap_hard": _ranges("bootstrap_hard", beta=[0, 1]),
    # A share of the budget: how long the first network is trained with CCE.
    "s_adaptation": _ranges("s_adaptation", pretraining=[0.1, 1]),
    # A share of the budget: before it no turning point is looked for.
    "d2l": _ranges("d2l", warm_up=[0.02, 0.5]),
    # A share of the budget, after which a first network estimates the matrix, and the rate of generator and critic,
    # which Han et al., NeurIPS 2018, give 150,000 steps at 1e-5.
    "masking": _ranges("masking", first_stage=[0.05, 1], rate={"low": 1e-6, "high": 1e-2, "log": True}),
    # Tanaka et al., CVPR 2018, use (1.2, 0.8) and (0.8, 0.4) from 0.35 on; their learning rates are relative to the
    # task's here.
    "label_optimisation": _ranges(
        "label_optimisation",
        alpha=[0, 2],
        beta=[0, 2],
        start=[0.02, 0.5],
        first_rate={"low": 0.3, "high": 10, "log": True},
    ),
}
"""The default space of each supervision, by its name; see `spaces.named.default_space`."""

# Wang et al., arXiv 1905.11233, Table 6: CCE with L2 regularisation (1e-4 there) and with dropout (0.2 there).
L2 = _ranges("cce", weight_decay={"low": 1e-5, "high": 1e-2, "log": True})
DROPOUT = _ranges("cce", dropout=[0, 0.8])
