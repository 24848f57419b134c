"""What a sweep searched, as the axes of a figure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from search.naming import symbol
from search.standings import Standing
from search.standings import standings
from search.store import Phase
from search.store import SweepRecord
from search.store import TrialRecord
from search.store import TrialState
from spaces import Value


@dataclass(frozen=True, slots=True)
class Axis:
    """One hyper-parameter that was searched.

    Args:
        name: Its name.
        label: What is written beside it.
        log: Whether equal ratios are equally long.
        words: Its values, where they are words.
    """

    name: str
    label: str
    log: bool = False
    words: tuple[str, ...] = ()


def searched_axes(sweep: SweepRecord, trials: Sequence[TrialRecord]) -> list[Axis]:
    """The hyper-parameters that the trials of a sweep's own supervision differ in, sorted; of GR λ before β.

    Args:
        sweep: The sweep.
        trials: All its trials, any state.
    """
    own = [trial.hyperparameters for trial in trials if _is_own(sweep, trial)]
    names = sorted({name for values in own for name in values})
    if sweep.supervision == "gr":
        names = ["lam", "beta"] if not own else sorted(names, key=lambda name: (name != "lam", name))
    return [_axis(sweep, name, [values[name] for values in own if name in values]) for name in names]


def searched_standings(sweep: SweepRecord, trials: Sequence[TrialRecord]) -> list[Standing]:
    """The configurations of the sweep's supervision, best first, on the seeds that they share."""
    # Search trials share their seeds, so they compare; a confirmed mean is from other seeds.
    found = standings(sweep, trials, Phase.SEARCH) or standings(sweep, trials, Phase.CONFIRM)
    return [standing for standing in found if standing.supervision == sweep.supervision]


def cut_short(sweep: SweepRecord, trials: Sequence[TrialRecord]) -> list[TrialRecord]:
    """The trials of the sweep's supervision that failed or were stopped early."""
    ended = (TrialState.PRUNED, TrialState.FAILED)
    return [trial for trial in trials if _is_own(sweep, trial) and trial.state in ended]


def _is_own(sweep: SweepRecord, trial: TrialRecord) -> bool:
    return trial.supervision == sweep.supervision and trial.phase is not Phase.BASELINE


def _axis(sweep: SweepRecord, name: str, values: Sequence[Value]) -> Axis:
    explained = {"lam": "λ  (emphasis focus at p = λ / (1 + λ))", "beta": "β  (emphasis spread)"}
    label = symbol(sweep.supervision, name)
    if sweep.supervision == "gr":
        label = explained.get(name, label)
    if any(isinstance(value, str) for value in values):
        return Axis(name, label, words=tuple(sorted({str(value) for value in values})))
    space = sweep.spec.get("space")
    dimensions = space.get("dimensions", {}) if isinstance(space, dict) else {}
    log = bool(dimensions.get(name, {}).get("log")) and all(float(value) > 0 for value in values)
    return Axis(name, label, log)
