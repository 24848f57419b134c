"""What a sweep trains: samples of its space, as configurations and as supervisions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from search.hyperparameters import supervision_with
from spaces import Configuration
from spaces import ContinuousSpace

if TYPE_CHECKING:
    from search.spec import SweepSpec
    from trainers.supervision import Supervision


def searched_configurations(spec: SweepSpec) -> list[Configuration]:
    """Of the searched supervision: each cell of a grid, the middle of ranges."""
    space = spec.searched_space
    configurations = [space.centre()] if isinstance(space, ContinuousSpace) else space.grid() or []
    return [each for each in configurations if each.supervision == spec.supervision]


def searched_supervisions(spec: SweepSpec) -> list[Supervision]:
    """The same, as what they are trained with."""
    return [
        supervision_with(each.supervision, {**spec.fixed, **each.as_dict()}) for each in searched_configurations(spec)
    ]
