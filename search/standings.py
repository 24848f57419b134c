"""Configurations as their finished trials have them: means over seeds, and whether two can be told apart."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from statistics import stdev
from typing import Any
from typing import Self

from scipy.special import stdtr  # type: ignore[import-untyped, unused-ignore]

from search.objective import SearchObjective
from search.objective import objective_label
from search.store import Phase
from search.store import SweepRecord
from search.store import TrialRecord
from search.store import TrialState

SIGNIFICANCE = 0.05
# Accuracies are ratios of counts: differences below this are rounding, not a difference of one example.
_ROUNDING = 1e-12

JSON = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean over seeds.

    Args:
        mean: Sample mean, an accuracy in [0, 1].
        sem: Standard error of the mean (sample standard deviation / sqrt(n)); None for a single seed.
        n: Number of seeds, >= 1.
    """

    mean: float
    sem: float | None
    n: int

    @classmethod
    def of(cls, values: Sequence[float]) -> Estimate:
        """Estimate from one value a seed; raises ValueError when there is none."""
        if not values:
            raise ValueError("values is empty: an estimate needs at least one seed.")
        n = len(values)
        return cls(fmean(values), stdev(values) / math.sqrt(n) if n > 1 else None, n)

    def as_dict(self) -> JSON:
        """JSON-ready form, as exported."""
        return {"mean": self.mean, "sem": self.sem, "n": self.n}

    @classmethod
    def from_dict(cls, told: JSON) -> Self:
        """The inverse of `as_dict`."""
        return cls(**told)

    def __str__(self) -> str:
        spread = "" if self.sem is None else f" ± {self.sem:.3f}"
        return f"{self.mean:.3f}{spread} (n={self.n})"


@dataclass(frozen=True, slots=True)
class Objective(Estimate):
    """The estimate that guides the search, under its name."""

    name: str = "intact_train_accuracy"

    @property
    def label(self) -> str:
        """How a table calls it, e.g. ``intact accuracy``."""
        return objective_label(self.name)

    def as_dict(self) -> JSON:
        """JSON-ready form, as exported."""
        return {"name": self.name, "mean": self.mean, "sem": self.sem, "n": self.n}


@dataclass(frozen=True, slots=True)
class Standing:
    """One configuration with the finished trials of one phase: its accuracies over seeds.

    Args:
        supervision: Name of the supervision.
        hyperparameters: Its hyper-parameters, (name, value) sorted by name.
        trials: Finished trials in the order of their numbers, one a pair of seeds.
        objective: What guides the search, over the trials: their final intact-training-set accuracy, or what
            `search.objective` says.
        test_accuracy: Final test accuracy over the same trials; None where there is no test set.
        intact_accuracy: Final intact-training-set accuracy over them; None where nobody knows the intact labels.
    """

    supervision: str
    hyperparameters: tuple[tuple[str, Any], ...]
    trials: tuple[TrialRecord, ...]
    objective: Objective
    test_accuracy: Estimate | None
    intact_accuracy: Estimate | None = None

    @property
    def beta(self) -> float | None:
        """Emphasis spread of GR; None elsewhere, and where the sweep fixed it."""
        return self._of_gradient_rescaling("beta")

    @property
    def lam(self) -> float | None:
        """Emphasis focus of GR; None elsewhere, and where the sweep fixed it."""
        return self._of_gradient_rescaling("lam")

    def _of_gradient_rescaling(self, name: str) -> float | None:
        value = dict(self.hyperparameters).get(name) if self.supervision == "gr" else None
        return value if isinstance(value, int | float) else None

    @property
    def objective_by_seeds(self) -> dict[tuple[int, int], float]:
        """The objective by (initialisation seed, noise seed)."""
        return {(trial.seed, trial.noise_seed): _objective(trial) for trial in self.trials}


def standings(sweep: SweepRecord, trials: Iterable[TrialRecord], *phases: Phase) -> list[Standing]:
    """Group the trials of the given phases that trained to the full budget by configuration, best mean first.

    A configuration is its supervision and hyper-parameters. Two trials of one configuration on the same seeds
    are the same measurement, so only the first counts. Pruned and failed trials never appear, nor does what a
    configuration reached of which a seed was pruned.
    """
    groups: dict[tuple[str, tuple[tuple[str, Any], ...]], dict[tuple[int, int], TrialRecord]] = defaultdict(
        dict
    )
    given_up: set[tuple[str, tuple[tuple[str, Any], ...]]] = set()
    for trial in sorted(trials, key=lambda trial: trial.number):
        configuration = configuration_of(trial)
        if trial.phase in phases and is_complete(trial):
            groups[configuration].setdefault((trial.seed, trial.noise_seed), trial)
        elif trial.phase in phases and trial.state is TrialState.PRUNED:
            given_up.add(configuration)
    objective = SearchObjective.recorded(sweep.spec, sweep.noise_rate, sweep.facts)
    found = [
        _standing(objective, *configuration, tuple(group.values()))
        for configuration, group in groups.items()
        if configuration not in given_up
    ]
    return sorted(
        found, key=lambda standing: -standing.objective.mean
    )  # stable: of equals, the earlier trial


def paired_differences(one: Standing, other: Standing) -> list[float]:
    """The objective of one configuration less the other's, on each pair of seeds that both were trained on."""
    mine, theirs = one.objective_by_seeds, other.objective_by_seeds
    return [mine[seeds] - theirs[seeds] for seeds in sorted(mine.keys() & theirs.keys())]


def told_apart(one: Standing, other: Standing) -> bool | None:
    """Whether the objectives of two configurations differ beyond what their seeds explain.

    Two-sided paired t-test at the 5% level on the differences over the seeds that both were trained on,
    without correction for the number of comparisons. None with fewer than two common seeds: nothing can be told
    apart then.
    """
    differences = paired_differences(one, other)
    n = len(differences)
    if n < 2:
        return None
    if stdev(differences) < _ROUNDING:  # the t statistic would be x/0: every seed says the same
        # On a small training set two seeds agree by chance, since accuracies are whole examples.
        return n > 2 and abs(fmean(differences)) > _ROUNDING
    t = fmean(differences) / (stdev(differences) / math.sqrt(n))
    # The distribution function alone: scipy.stats, which has the whole test, takes a second to import.
    return bool(2 * stdtr(n - 1, -abs(t)) < SIGNIFICANCE)


def is_baseline(configuration: Standing | TrialRecord) -> bool:
    """Whether it is CCE trained as the sweep says, without a searched weight decay or dropout."""
    return configuration.supervision == "cce" and not configuration.hyperparameters


def is_complete(trial: TrialRecord) -> bool:
    """Whether a trial was trained to the full budget and came to something."""
    return (
        trial.state is TrialState.DONE
        and trial.final is not None
        and trial.objective is not None
        and math.isfinite(trial.objective)
    )


def configuration_of(trial: TrialRecord) -> tuple[str, tuple[tuple[str, Any], ...]]:
    """Its supervision and hyper-parameters, (name, value) sorted by name."""
    return trial.supervision, tuple(sorted(trial.hyperparameters.items()))


def _objective(trial: TrialRecord) -> float:
    assert trial.objective is not None  # by is_complete
    return trial.objective


def _standing(
    objective: SearchObjective,
    supervision: str,
    hyperparameters: tuple[tuple[str, Any], ...],
    trials: tuple[TrialRecord, ...],
) -> Standing:
    estimate = Estimate.of([_objective(trial) for trial in trials])
    sem = estimate.sem
    if sem is None and trials[0].final is not None:
        # Of one seed there is at least the error of counting validation examples.
        sem = objective.standard_error(trials[0].final)
    intact = [trial.final.intact_train for trial in trials if trial.final]
    tests = [trial.final.test for trial in trials if trial.final and math.isfinite(trial.final.test)]
    return Standing(
        supervision=supervision,
        hyperparameters=hyperparameters,
        trials=trials,
        objective=Objective(estimate.mean, sem, estimate.n, objective.metric),
        test_accuracy=Estimate.of(tests) if tests else None,
        intact_accuracy=Estimate.of(intact) if all(map(math.isfinite, intact)) else None,
    )
