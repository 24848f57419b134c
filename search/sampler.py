"""Which configuration to try next: an Optuna study in memory, rebuilt from the store when a sweep begins."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import optuna
from optuna.distributions import BaseDistribution
from optuna.distributions import IntDistribution
from optuna.samplers import BaseSampler
from optuna.samplers import CmaEsSampler
from optuna.samplers import GPSampler
from optuna.samplers import RandomSampler
from optuna.samplers import TPESampler
from optuna.trial import TrialState
from optuna.trial import create_trial

from search.spec import Sampler
from spaces import Configuration
from spaces import SearchSpace

# Of a model, before it proposes: fewer results and TPE's densities are guesses. That many however many trials run at
# once: with sixteen, TPE that waits for more ends lower (tests/benchmarks/results/sample_efficiency_startup.json).
STARTUP_RESULTS = 10
# TPE splits off its 25 best and weighs the latest of the others most. What is older than these teaches it next to
# nothing, and would make each proposal slower than the last.
_BEST_KEPT, _LATEST_KEPT = 25, 225
_FORGETS_BEYOND = 320  # not at every result, since to forget takes as long as to propose
# How often a model may propose what was proposed before until a point is drawn instead.
_MOST_REPETITIONS = 10


@dataclass(frozen=True, slots=True)
class Proposal:
    """A configuration to try.

    Attributes:
        index: Number of the configuration inside the sweep, from 0.
        configuration: What to train.
        params: The point in the sampler's coordinates; empty for a grid.
    """

    index: int
    configuration: Configuration
    params: Mapping[str, float]


class ConfigurationSampler:
    """Proposes configurations, each once, and learns from their objectives.

    The sampler "grid" walks the cells in order; every other one is of Optuna, over the space's coordinates,
    and proposes the starting points first. The study lives in memory: the store is what survives, and
    `restore` replays it.

    Args:
        space: What may be proposed.
        sampler: "tpe", "random", "grid", "gp" or "cmaes".
        seed: Of the sampler. With one trial at a time the same seed proposes the same configurations.
        startup_results: How many results a model waits for, at most 225; until then proposals are drawn at random.
        starting_points: Tried first, in order; those outside the space are dropped.
        restored: How many configurations `restore` will replay. It enters the seed, or a resumed random
            search would propose its first points again.
    """

    def __init__(
        self,
        space: SearchSpace,
        sampler: Sampler,
        *,
        seed: int,
        startup_results: int = STARTUP_RESULTS,
        starting_points: Sequence[Configuration] = (),
        restored: int = 0,
    ) -> None:
        self._space = space
        self._grid = space.grid() if sampler == "grid" else None
        self._next_index = 0
        # The number inside the study of each proposal that runs.
        self._running: dict[int, int] = {}
        self._proposed: set[Configuration] = set()
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        stream, other_stream = map(int, np.random.SeedSequence([seed, restored]).generate_state(2))
        self._study = _new_study(_make_sampler(sampler, stream, startup_results))
        self._forgets = sampler == "tpe"
        self._draws = optuna.create_study(sampler=RandomSampler(seed=other_stream))
        points = [space.params(configuration) for configuration in starting_points]
        self._starting_points = [point for point in points if point is not None]

    @property
    def _distributions(self) -> dict[str, BaseDistribution]:
        return self._space.distributions()

    def ask(self) -> Proposal:
        """The next configuration; it counts as running until `tell`."""
        index = self._next_index
        self._next_index += 1
        if self._grid is not None:
            return Proposal(index, self._grid[index], {})
        if index < len(self._starting_points):
            self._study.enqueue_trial(self._starting_points[index])
        trial = self._ask_something_new()
        self._running[index] = trial.number
        configuration = self._space.configuration(trial.params)
        self._proposed.add(configuration)
        return Proposal(index, configuration, dict(trial.params))

    def _ask_something_new(self) -> optuna.Trial:
        # The same configuration with the same seeds has the same objective: a model that is sure of its
        # best point, or a draw from few cells, would spend the budget on what is known.
        for _ in range(_MOST_REPETITIONS):
            trial = self._study.ask(self._distributions)
            if self._space.configuration(trial.params) not in self._proposed:
                return trial
            self._study.tell(trial, state=TrialState.FAIL)
        self._study.enqueue_trial(self._draw_something_new())
        return self._study.ask(self._distributions)

    def _draw_something_new(self) -> dict[str, float]:
        left = [each for each in self._space.configurations() or () if each not in self._proposed]
        if left:
            drawn = self._draws.ask({"left": IntDistribution(0, len(left) - 1)}).params["left"]
            return self._space.params(left[drawn]) or {}
        return self._draws.ask(self._distributions).params

    def tell(self, index: int, objective: float | None, *, pruned: bool = False) -> None:
        """Report a proposal's objective.

        Args:
            index: Of the proposal.
            objective: Its mean objective; None if it failed, which teaches the model nothing.
            pruned: It was stopped early: its objective is not one of the full budget.
        """
        if self._grid is not None:
            return
        number = self._running.pop(index)
        if pruned:
            self._study.tell(number, state=TrialState.PRUNED)
        elif objective is None or not np.isfinite(objective):
            self._study.tell(number, state=TrialState.FAIL)
        else:
            self._study.tell(number, objective)
        # What runs does not count, since none of it could be forgotten.
        told = len(self._study.get_trials(deepcopy=False)) - len(self._running)
        if self._forgets and told > _FORGETS_BEYOND:
            self._forget()

    def _forget(self) -> None:
        """Go on with a study that knows the best and the latest of what it was told, and what runs."""
        told = self._study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED))
        complete = [trial for trial in told if trial.state is TrialState.COMPLETE]
        best = {trial.number for trial in sorted(complete, key=lambda trial: trial.values[0])[-_BEST_KEPT:]}
        latest = [trial.number for trial in told if trial.number not in best][-_LATEST_KEPT:]
        kept = best.union(latest)
        known = self._study.get_trials(deepcopy=False)
        self._study = _new_study(self._study.sampler)
        self._study.add_trials([trial for trial in told if trial.number in kept])
        for index, number in self._running.items():
            self._running[index] = self._add_running(known[number].params)

    def restore(self, index: int, params: Mapping[str, float]) -> None:
        """Make a proposal of an earlier run of the sweep running again; `tell` then finishes it."""
        self._next_index = max(self._next_index, index + 1)
        if self._grid is None:
            self._running[index] = self._add_running(params)
            self._proposed.add(self._space.configuration(params))

    def _add_running(self, params: Mapping[str, float]) -> int:
        """Make a point running without asking the sampler, which would go through all it knows; its number."""
        self._study.add_trial(
            create_trial(state=TrialState.RUNNING, params=dict(params), distributions=self._distributions)
        )
        return self._study.get_trials(deepcopy=False)[-1].number


def _new_study(sampler: BaseSampler) -> optuna.Study:
    return optuna.create_study(direction="maximize", sampler=sampler)


def _make_sampler(name: Sampler, seed: int, startup: int) -> BaseSampler:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        if name == "tpe":
            return TPESampler(seed=seed, multivariate=True, constant_liar=True, n_startup_trials=startup)
        if name == "gp":
            return GPSampler(seed=seed, n_startup_trials=startup)
        if name == "cmaes":
            return CmaEsSampler(seed=seed, n_startup_trials=startup)
        return RandomSampler(seed=seed)
