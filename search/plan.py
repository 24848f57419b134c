"""What a sweep runs next, derived from what the store says has been run."""

from __future__ import annotations

from collections import Counter
from collections import defaultdict
from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Sequence
from enum import Enum
from itertools import product
from statistics import fmean
from typing import NoReturn

import numpy as np

from search.early_stopping import EarlyStopping
from search.early_stopping import judged_epochs
from search.errors import SweepFailed
from search.hyperparameters import Hyperparameters
from search.sampler import ConfigurationSampler
from search.spec import SweepSpec
from search.store import EpochRecord
from search.store import Phase
from search.store import Store
from search.store import TrialRecord
from search.store import TrialState
from spaces import Configuration
from spaces import starting_points

# Fewer finished trials than this say nothing about the rate at which trials fail.
_LEAST_FINISHED_TO_JUDGE = 6
BASELINE = Configuration.of("cce")
_OF_BASELINE, _OF_DEFAULTS = range(2)


class Pause(Enum):
    """Why no trial can be handed out."""

    WAIT = "what is next depends on trials that still run"
    COMPLETE = "nothing is left to run"


class SweepPlan:
    """Hands out the trials of a sweep, in three phases, which overlap where that decides nothing.

    Search: the sampler's configurations, each with ``repeats`` seeds, the same for all. Baseline: CCE with
    fresh seeds, and the supervision's defaults where that is asked for. Confirm: the best configurations of the
    search with those same fresh seeds, so that they are compared pair by pair. Where the spec has a rule for it,
    configurations of the search are given up early.

    All is decided from the store's trials, so a plan made after a crash goes on where the last one was.

    Args:
        store: Where trials are added.
        sweep_id: The sweep.
        spec: What was asked for.
        num_classes: Of the dataset; it chooses the starting points.
        epochs: Of the budget.
        evaluate_every: Epochs from one evaluation to the next.
        objective_of: The objective after an epoch; None where it was not evaluated.
    """

    def __init__(
        self,
        store: Store,
        sweep_id: str,
        spec: SweepSpec,
        num_classes: int,
        epochs: int,
        evaluate_every: int,
        objective_of: Callable[[EpochRecord], float | None],
    ) -> None:
        self._store, self._sweep_id, self._spec = store, sweep_id, spec
        self._trials = {trial.id: trial for trial in store.trials(sweep_id)}
        self._waiting = [trial.id for trial in self._trials.values() if not trial.state.finished]
        # Counted as they end: a sweep of thousands would look through all of them for every new one.
        self._ended: Counter[TrialState] = Counter()
        for trial in self._trials.values():
            self._count_if_ended(trial)
        self._configurations: defaultdict[int, list[str]] = defaultdict(list)
        searched = [trial for trial in self._trials.values() if trial.phase is Phase.SEARCH]
        for trial in searched:
            self._configurations[trial.configuration].append(trial.id)
        self._defaults = default_configuration(spec, num_classes)
        self._sampler = ConfigurationSampler(
            spec.searched_space,
            spec.resolved_sampler,
            seed=spec.seed,
            starting_points=_starting_points(spec, num_classes),
            restored=len(self._configurations),
        )
        self._objective_of = objective_of
        rule = spec.early_stopping or "none"
        self._early_stopping = EarlyStopping(rule, epochs, spec.repeats)
        self._judged_epochs = judged_epochs(rule, epochs, evaluate_every)
        self._restore_early_stopping(searched)
        for index in sorted(self._configurations):
            self._sampler.restore(index, self._trials[self._configurations[index][0]].params)
            self._complete_repeats(index)
            self._tell_if_finished(index)

    def next(self) -> TrialRecord | Pause:
        """A trial to start now, or why there is none.

        Raises:
            SweepFailed: More of the finished trials have failed than the spec's ``max_failure_rate``, nothing is left
                of the search, or nothing of it could be confirmed.
        """
        self._refuse_too_many_failures(_LEAST_FINISHED_TO_JUDGE)
        if not self._waiting and len(self._configurations) < self._spec.number_of_configurations:
            self._propose()
        if not self._waiting and self._spec.confirm.seeds:
            self._add_baseline()
        if self._waiting:
            return self._trials[self._waiting.pop(0)]
        if self._unfinished(Phase.SEARCH):
            self._add_certain_confirmation()
            return self._trials[self._waiting.pop(0)] if self._waiting else Pause.WAIT
        self._add_confirmation()
        if self._waiting:
            return self._trials[self._waiting.pop(0)]
        if any(not trial.state.finished for trial in self._trials.values()):
            return Pause.WAIT
        self._refuse_too_many_failures(1)
        self._refuse_nothing_confirmed()
        return Pause.COMPLETE

    def ready(self) -> int:
        """How many trials `next` would give one after the other, whatever becomes of those that run."""
        planned = self._spec.number_of_trials()
        left = self._spec.number_of_configurations - len(self._configurations)
        new = max(left, 0) * self._spec.repeats
        beside = planned.baseline + planned.defaults
        if not self._of_phase(Phase.BASELINE, complete=beside):
            new += beside
        elif new == 0 and self._spec.confirm.seeds:
            new = len(self._certain_confirmations())
        return len(self._waiting) + new

    def put_back(self, trial: TrialRecord) -> None:
        """Hand a trial out again that was handed out and has come to nothing."""
        self._trials[trial.id] = trial
        self._waiting.insert(0, trial.id)

    def update(self, trial: TrialRecord) -> None:
        """Take in what the store now says of a trial."""
        if not self._trials[trial.id].state.finished:
            self._count_if_ended(trial)
        self._trials[trial.id] = trial
        if trial.phase is Phase.SEARCH:
            if trial.state.finished:
                self._early_stopping.see_end(trial.configuration, trial.repeat, trial.objective)
            self._tell_if_finished(trial.configuration)

    def judged_epochs(self, trial: TrialRecord) -> list[int]:
        """The epochs after which a trial may be stopped, so that each is to be reported at once."""
        return self._judged_epochs if trial.phase is Phase.SEARCH else []

    def see_epochs(self, trial: TrialRecord, epochs: Sequence[EpochRecord]) -> str | None:
        """Take in epochs of a running trial; why it is to be stopped, None where it may go on."""
        if trial.phase is not Phase.SEARCH:
            return None
        for epoch, objective in self._judged(epochs):
            self._early_stopping.see_epoch(trial.configuration, trial.repeat, epoch, objective)
        return self._given_up_for(trial)

    def given_up(self) -> list[tuple[TrialRecord, str]]:
        """Trials that nobody runs and nobody needs to, since their configuration was given up; and why."""
        found = []
        for trial_id in list(self._waiting):
            trial = self._trials[trial_id]
            reason = self._given_up_for(trial)
            if reason is not None:
                self._waiting.remove(trial_id)
                found.append((trial, reason))
        return found

    def trial(self, trial_id: str) -> TrialRecord:
        """One trial, as the store last said."""
        return self._trials[trial_id]

    def is_complete(self) -> bool:
        """Whether nothing is left to run; adds what is still to be run."""
        if any(not trial.state.finished for trial in self._trials.values()):
            return False
        trial = self.next()
        if isinstance(trial, Pause):
            return trial is Pause.COMPLETE
        self._waiting.insert(0, trial.id)
        return False

    def trials(self) -> Iterable[TrialRecord]:
        """All trials of the sweep that exist so far."""
        return self._trials.values()

    def _given_up_for(self, trial: TrialRecord) -> str | None:
        searched = trial.phase is Phase.SEARCH
        return self._early_stopping.reason(trial.configuration, trial.repeat) if searched else None

    def _judged(self, epochs: Iterable[EpochRecord]) -> Iterable[tuple[int, float]]:
        seen = ((epoch.epoch, self._objective_of(epoch)) for epoch in epochs)
        return [(epoch, objective) for epoch, objective in seen if objective is not None]

    def _restore_early_stopping(self, searched: Iterable[TrialRecord]) -> None:
        if self._spec.early_stopping in ("none", None):
            return
        trials = sorted(searched, key=lambda trial: (trial.finished_at is None, trial.finished_at or trial.number))
        for trial in trials:
            if self._early_stopping.judges_epochs:
                epochs = self._judged(self._store.epochs(trial.id))
                self._early_stopping.restore_epochs(trial.configuration, trial.repeat, epochs)
            if trial.state.finished:
                objective = trial.objective if trial.state is TrialState.DONE else None
                self._early_stopping.restore_end(trial.configuration, trial.repeat, objective)
            if trial.state is TrialState.PRUNED:
                reason = trial.reason or "stopped early"
                self._early_stopping.give_up(trial.configuration, trial.repeat, reason)

    def _propose(self) -> None:
        proposal = self._sampler.ask()
        for repeat in range(self._spec.repeats):
            self._add(Phase.SEARCH, proposal.index, repeat, proposal.configuration, dict(proposal.params))

    def _complete_repeats(self, index: int) -> None:
        """Add the repeats that a crash kept from being added."""
        present = [self._trials[trial_id] for trial_id in self._configurations[index]]
        first = present[0]
        configuration = _configuration_of(first)
        for repeat in sorted(set(range(self._spec.repeats)) - {trial.repeat for trial in present}):
            self._add(Phase.SEARCH, index, repeat, configuration, dict(first.params))

    def _add_baseline(self) -> None:
        planned = self._spec.number_of_trials()
        if self._of_phase(Phase.BASELINE, complete=planned.baseline + planned.defaults):
            return
        for repeat in range(planned.baseline):
            self._add(Phase.BASELINE, _OF_BASELINE, repeat, BASELINE, {})
        for repeat in range(planned.defaults):
            self._add(Phase.BASELINE, _OF_DEFAULTS, repeat, self._defaults, {})

    def _add_confirmation(self) -> None:
        chosen = self._best_configurations(self._spec.confirm.top)
        if not chosen:
            self._fail(
                f"no configuration of {self._spec.supervision} was trained to the end",
                "Narrow the space or lower training.learning_rate in a new sweep.",
            )
        if not self._of_phase(Phase.CONFIRM, complete=len(chosen) * self._spec.confirm.seeds):
            # Seed by seed, so that a sweep that is interrupted has compared all candidates equally.
            for repeat in range(self._spec.confirm.seeds):
                for index in chosen:
                    self._confirm(index, repeat)

    def _add_certain_confirmation(self) -> None:
        """Add one confirming trial that there will be, however what is left of the search turns out, if there is one.

        Each configuration that is still trained can push at most one of the best so far out of those that are
        confirmed; the others need not wait for it.
        """
        for index, repeat in self._certain_confirmations()[:1]:
            self._confirm(index, repeat)

    def _certain_confirmations(self) -> list[tuple[int, int]]:
        """(configuration, repeat) of each confirming trial that is certain and not there yet, in order."""
        left = sum(self._may_be_confirmed(index) for index in self._configurations)
        count = self._spec.confirm.top - left
        if count <= 0:
            return []
        there = {(trial.configuration, trial.repeat) for trial in self._trials.values() if trial.phase is Phase.CONFIRM}
        certain = self._best_configurations(count)
        wanted = ((index, repeat) for repeat, index in product(range(self._spec.confirm.seeds), certain))
        return [each for each in wanted if each not in there]

    def _may_be_confirmed(self, index: int) -> bool:
        """Whether a configuration's search has not ended, and might end well."""
        trials = [self._trials[trial_id] for trial_id in self._configurations[index]]
        states = {trial.state for trial in trials}
        lost = not states.isdisjoint((TrialState.FAILED, TrialState.PRUNED))
        return states != {TrialState.DONE} and not lost and trials[0].supervision == self._spec.supervision

    def _confirm(self, index: int, repeat: int) -> None:
        first = self._trials[self._configurations[index][0]]
        self._add(Phase.CONFIRM, index, repeat, _configuration_of(first), dict(first.params))

    def _best_configurations(self, count: int) -> list[int]:
        """Those of the searched supervision with the best mean objective in the search, best first; ties by number.

        Where a small space was searched twice, what is the same counts once.
        """
        means = {
            index: objective
            for index in self._configurations
            if (objective := self._objective(index)) is not None
            and self._trials[self._configurations[index][0]].supervision == self._spec.supervision
        }
        distinct: dict[Configuration, int] = {}
        for index in sorted(means, key=lambda index: (-means[index], index)):
            distinct.setdefault(_configuration_of(self._trials[self._configurations[index][0]]), index)
        return list(distinct.values())[:count]

    def _objective(self, index: int) -> float | None:
        """Mean objective of a configuration whose every repeat was trained to the full budget."""
        trials = [self._trials[trial_id] for trial_id in self._configurations[index]]
        if any(trial.state is not TrialState.DONE for trial in trials):
            return None
        return fmean(trial.objective for trial in trials if trial.objective is not None)

    def _tell_if_finished(self, index: int) -> None:
        trials = [self._trials[trial_id] for trial_id in self._configurations[index]]
        if all(trial.state.finished for trial in trials):
            pruned = any(trial.state is TrialState.PRUNED for trial in trials)
            self._sampler.tell(index, self._objective(index), pruned=pruned)

    def _of_phase(self, phase: Phase, complete: int) -> bool:
        """Whether all trials of a phase exist already."""
        return sum(trial.phase is phase for trial in self._trials.values()) >= complete

    def _unfinished(self, phase: Phase) -> bool:
        return any(trial.phase is phase and not trial.state.finished for trial in self._trials.values())

    def _add(
        self, phase: Phase, index: int, repeat: int, configuration: Configuration, params: dict[str, float]
    ) -> None:
        noise_seed, seed = trial_seeds(self._spec.seed, phase, repeat)
        trial = self._store.add_trial(
            self._sweep_id,
            phase=phase,
            configuration=index,
            repeat=repeat,
            supervision=configuration.supervision,
            hyperparameters=configuration.as_dict(),
            params=params,
            noise_rate=self._spec.settled_noise_rate,
            seed=seed,
            noise_seed=noise_seed,
        )
        if trial.id not in self._trials:
            self._trials[trial.id] = trial
            self._waiting.append(trial.id)
            if phase is Phase.SEARCH:
                self._configurations[index].append(trial.id)

    def _count_if_ended(self, trial: TrialRecord) -> None:
        if trial.state.finished and _was_run(trial):
            self._ended[trial.state] += 1

    def _refuse_too_many_failures(self, least_finished: int) -> None:
        finished, failed = self._ended.total(), self._ended[TrialState.FAILED]
        if finished >= least_finished and failed > self._spec.max_failure_rate * finished:
            rate = f"max_failure_rate = {self._spec.max_failure_rate:g}"
            self._fail(
                f"{failed} of {finished} finished trials failed, more than {rate}",
                "Narrow the space or lower training.learning_rate in a new sweep, or go on with this one: "
                f"`emphasis resume {self._sweep_id} --max-failure-rate 1`.",
            )

    def _refuse_nothing_confirmed(self) -> None:
        confirming = [trial for trial in self._trials.values() if trial.phase is Phase.CONFIRM]
        if confirming and all(trial.state is TrialState.FAILED for trial in confirming):
            self._fail(
                "of the best configurations none could be trained on a fresh seed",
                "In a new sweep narrow the space or lower training.learning_rate where they diverged, and give trials "
                "more memory or run fewer at once (concurrency) where their processes died.",
            )

    def _fail(self, problem: str, remedy: str) -> NoReturn:
        reasons = Counter(
            (trial.reason or "unknown").splitlines()[0]
            for trial in self._trials.values()
            if trial.state is TrialState.FAILED
        )
        said = "; ".join(f"{reason} ({count}×)" for reason, count in reasons.most_common(3))
        raise SweepFailed(self._sweep_id, f"{problem}: {said or 'all were stopped early'}. {remedy}")


def default_configuration(spec: SweepSpec, num_classes: int) -> Configuration:
    """A supervision as its authors have it; GR, which has no defaults, as the paper has it at the nearest noise rate.

    Args:
        spec: Names the supervision; its noise rate is settled.
        num_classes: Of the dataset.
    """
    if spec.supervision == "gr":
        return starting_points(spec.settled_noise_rate, num_classes)[0]
    defaults = Hyperparameters.of(spec.supervision).defaults
    plain = {name: value for name, value in defaults.items() if isinstance(value, float | int | str)}
    if plain.get("matrix") == "true" and not spec.knows_transition_matrix:
        plain["matrix"] = "estimated"
    return Configuration(spec.supervision, tuple(plain.items()))


def trial_seeds(sweep_seed: int, phase: Phase, repeat: int) -> tuple[int, int]:
    """(noise seed, training seed) of a repeat: the same for every configuration, fresh ones for confirming.

    Args:
        sweep_seed: The spec's seed.
        phase: Confirm and baseline share seeds, since they are compared.
        repeat: Counted from 0.
    """
    fresh = 0 if phase is Phase.SEARCH else 1
    noise, training = np.random.SeedSequence([sweep_seed, fresh, repeat]).generate_state(2, np.uint32)
    return int(noise), int(training)


def _starting_points(spec: SweepSpec, num_classes: int) -> list[Configuration]:
    # The paper's tables are of GR.
    wanted = spec.starting_points and spec.supervision == "gr"
    return starting_points(spec.settled_noise_rate, num_classes) if wanted else []


def _was_run(trial: TrialRecord) -> bool:
    return trial.state is not TrialState.PRUNED or trial.started_at is not None


def _configuration_of(trial: TrialRecord) -> Configuration:
    return Configuration(trial.supervision, tuple(trial.hyperparameters.items()))
