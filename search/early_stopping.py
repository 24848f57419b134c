"""Which configurations are given up before their budget is spent: Optuna's pruners over their learning curves."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from collections.abc import Iterable
from functools import partial
from statistics import fmean
from typing import Literal

import optuna
from optuna.pruners import BasePruner
from optuna.pruners import HyperbandPruner
from optuna.pruners import MedianPruner
from optuna.pruners import SuccessiveHalvingPruner
from optuna.pruners import WilcoxonPruner
from optuna.trial import TrialState

EarlyStoppingRule = Literal["none", "median", "asha", "hyperband", "wilcoxon"]

# All chosen by replaying recorded learning curves (tests/benchmarks/early_stopping.py). Before half of the budget the
# ranking is not yet the final one: rules that judge at an eighth of it lose points of accuracy. Halving may begin at a
# quarter, since Hyperband lets part of the trials begin later.
_GRACE = 0.5
_MEDIAN_STARTUP_TRIALS = 5
_ASHA_REDUCTION_FACTOR = 3
_HYPERBAND_LEAST_SHARE, _HYPERBAND_REDUCTION_FACTOR = 0.25, 2
_WILCOXON_P = 0.2
# Of n pairs of which each is worse a signed-rank test says 2^-n; one seed more is the first that can be saved.
LEAST_SEEDS_OF_WILCOXON = math.floor(math.log2(1 / _WILCOXON_P)) + 2


class EarlyStopping:
    """Looks at trials as they are trained and says which configurations are not worth more.

    "median" compares a trial's objective after an epoch with that of the other configurations with the same seeds;
    "asha" and "hyperband" do so with the first of a configuration's seeds alone, since they let a share of what they
    see go on: a share of a share for each seed would soon be nothing. "wilcoxon" compares a configuration's finished
    seeds with those of the best one, pair by pair. A configuration is given up as a whole: without all of its seeds it
    cannot be recommended.

    The studies live in memory: the store is what survives, and a plan that is made from it tells them again what has
    been trained and what was given up.

    Args:
        rule: "median", "asha", "hyperband" or "wilcoxon"; "none" stops nothing.
        epochs: Of the budget.
        repeats: Seeds of a configuration.
        pruner: Makes the pruner of the configurations that share a seed; by default that of `pruner_of`.

    Source: Optuna's MedianPruner, SuccessiveHalvingPruner (ASHA, Li et al., MLSys 2020), HyperbandPruner (Li et al.,
    JMLR 2018), WilcoxonPruner.
    """

    def __init__(
        self, rule: EarlyStoppingRule, epochs: int, repeats: int, pruner: Callable[[], BasePruner] | None = None
    ) -> None:
        self._rule, self._epochs, self._repeats = rule, epochs, repeats
        self._pruner = pruner or partial(pruner_of, rule, epochs)
        self._studies: dict[int, optuna.Study] = {}
        self._trials: dict[tuple[int, int], optuna.Trial] = {}
        self._seen: dict[tuple[int, int], set[int]] = {}
        self._ended: dict[int, list[float]] = {}
        self._stopped: dict[int, tuple[int | None, str]] = {}

    @property
    def judges_epochs(self) -> bool:
        """Whether an epoch can end a trial: each is then to be reported, and its answer to be waited for."""
        return self._rule in ("median", "asha", "hyperband")

    def _judges(self, repeat: int) -> bool:
        """Whether a configuration can be given up for what an epoch of this repeat has reached."""
        return self.judges_epochs and (repeat == 0 or self._rule == "median")

    def reason(self, configuration: int, repeat: int) -> str | None:
        """Why a trial of a configuration is not to go on; None while the configuration was not given up."""
        if configuration not in self._stopped:
            return None
        seed, reason = self._stopped[configuration]
        return reason if seed in (repeat, None) else f"its configuration was {reason} of another seed"

    def see_epoch(self, configuration: int, repeat: int, epoch: int, objective: float) -> None:
        """Take in a trial's objective after an epoch, counted from 1; one that was seen before is left out."""
        if not self._judges(repeat) or configuration in self._stopped:
            return
        if self._is_hopeless(repeat, configuration, epoch, objective) and epoch < self._epochs:
            self.give_up(configuration, repeat, f"stopped early by {self._rule} after epoch {epoch}")

    def see_end(self, configuration: int, repeat: int, objective: float | None) -> None:
        """Take in the final objective of a trial; None if it failed."""
        if configuration in self._stopped or not self._see_end(configuration, repeat, objective):
            return
        seeds = f"{len(self._ended[configuration])} of {self._repeats} seeds"
        self.give_up(configuration, None, f"stopped early by {self._rule} after {seeds}")

    def restore_epochs(self, configuration: int, repeat: int, epochs: Iterable[tuple[int, float]]) -> None:
        """Take in (epoch, objective) that an earlier process has judged: what was let pass is not judged anew."""
        if self._judges(repeat):
            for epoch, reached in epochs:
                self._is_hopeless(repeat, configuration, epoch, reached)  # asked, since ASHA keeps its rungs by that

    def restore_end(self, configuration: int, repeat: int, objective: float | None) -> None:
        """Take in the final objective of a trial that an earlier process finished; None if it failed or was stopped."""
        self._see_end(configuration, repeat, objective)

    def give_up(self, configuration: int, repeat: int | None, reason: str) -> None:
        """Train nothing more of a configuration, for a reason that one of its seeds gave or, None, several did."""
        self._stopped.setdefault(configuration, (repeat, reason))
        for study, other in list(self._trials):
            if other == configuration:
                self._tell(study, configuration, TrialState.PRUNED)

    def _see_end(self, configuration: int, repeat: int, objective: float | None) -> bool:
        """Whether the seeds that a configuration has finished rule it out."""
        if self.judges_epochs:
            self._tell(repeat, configuration, TrialState.FAIL if objective is None else TrialState.COMPLETE, objective)
        elif self._rule == "wilcoxon" and objective is not None:
            ended = self._ended.setdefault(configuration, [])
            ended.append(objective)
            hopeless = self._is_hopeless(0, configuration, repeat, objective)
            if len(ended) < self._repeats:
                return hopeless
            self._tell(0, configuration, TrialState.COMPLETE, fmean(ended))
        return False

    def _is_hopeless(self, study: int, configuration: int, step: int, objective: float) -> bool:
        if study not in self._studies:
            # Hyperband deals trials out by the name of their study.
            self._studies[study] = optuna.create_study(
                direction="maximize", pruner=self._pruner(), study_name=f"seed {study}"
            )
        trial = self._trials.get((study, configuration))
        if trial is None:
            trial = self._trials[study, configuration] = self._studies[study].ask()
            self._seen[study, configuration] = set()
        if step in self._seen[study, configuration]:
            return False
        self._seen[study, configuration].add(step)
        trial.report(objective, step)
        return trial.should_prune()

    def _tell(self, study: int, configuration: int, state: TrialState, objective: float | None = None) -> None:
        trial = self._trials.pop((study, configuration), None)
        if trial is not None:
            self._studies[study].tell(trial, objective, state=state)


def first_judged_epoch(rule: EarlyStoppingRule, epochs: int) -> int | None:
    """The epoch of a budget from which on a rule may stop a trial; None where it does not look at epochs."""
    shares = {"median": _GRACE, "asha": _GRACE, "hyperband": _HYPERBAND_LEAST_SHARE}
    return max(1, round(shares[rule] * epochs)) if rule in shares else None


def judged_epochs(rule: EarlyStoppingRule, epochs: int, evaluate_every: int) -> list[int]:
    """The epochs after which a rule may stop a trial: of those that are evaluated, the last of all excluded."""
    first = first_judged_epoch(rule, epochs)
    if first is None:
        return []
    evaluated = [epoch for epoch in range(first, epochs) if epoch % evaluate_every == 0]
    if rule != "asha":
        return evaluated
    # Once at each rung: what it has let pass goes on to the next.
    rungs = [first]
    while rungs[-1] * _ASHA_REDUCTION_FACTOR < epochs:
        rungs.append(rungs[-1] * _ASHA_REDUCTION_FACTOR)
    reached = (next((epoch for epoch in evaluated if epoch >= rung), None) for rung in rungs)
    return sorted({epoch for epoch in reached if epoch is not None})


def pruner_of(rule: EarlyStoppingRule, epochs: int) -> BasePruner:
    """Optuna's pruner of a rule, for trials of a number of epochs."""
    first = first_judged_epoch(rule, epochs) or epochs
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        if rule == "median":
            return MedianPruner(n_startup_trials=_MEDIAN_STARTUP_TRIALS, n_warmup_steps=first)
        if rule == "asha":
            return SuccessiveHalvingPruner(min_resource=first, reduction_factor=_ASHA_REDUCTION_FACTOR)
        if rule == "hyperband":
            return HyperbandPruner(first, epochs, _HYPERBAND_REDUCTION_FACTOR)
        return WilcoxonPruner(p_threshold=_WILCOXON_P)
