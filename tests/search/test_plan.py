"""What a plan hands out, and in which order, from a real store."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Sequence
from datetime import UTC
from datetime import datetime
from typing import Any

import optuna
import pytest

from search import sampler
from search.errors import SweepFailed
from search.plan import Pause
from search.plan import SweepPlan
from search.plan import trial_seeds
from search.recommendation import choose
from search.spec import SweepSpec
from search.store import Accuracies
from search.store import EpochRecord
from search.store import Phase
from search.store import Store
from search.store import TrialRecord
from search.store import TrialState
from spaces import kappa_of

Objective = Callable[[TrialRecord], float | None]

EPOCHS = 8
GRID = {"kind": "grid", "beta": [4, 8], "lam": [0.5, 1]}


def epoch_record(trial: TrialRecord, number: int, objective: float) -> EpochRecord:
    return EpochRecord(
        trial_id=trial.id,
        epoch=number,
        iteration=number,
        train_loss=1.0,
        learning_rate=0.1,
        test_accuracy=objective,
        corrupted_train_accuracy=0.5,
        intact_train_accuracy=objective,
        validation_accuracy=None,
        seconds=float(number),
        recorded_at=datetime.now(UTC),
    )


class PlannedSweep:
    """A sweep whose trials the test runs itself, as the orchestrator would."""

    def __init__(self, store: Store, **fields: Any) -> None:
        self.store = store
        self.spec = SweepSpec.model_validate({"dataset": "digits", "noise_rate": 0.4, **fields})
        store.create_sweep(
            id="sweep",
            spec=self.spec.to_json_dict(),
            dataset="digits",
            noise_rate=0.4,
            backbone="mlp",
            supervision=self.spec.supervision,
            data_hash="data",
            versions={},
        )
        self.restart()

    def restart(self) -> None:
        """As after a crash: a new process that knows nothing but the store."""
        self.store.release_running("sweep", "the driver died")
        self.plan = SweepPlan(
            self.store,
            "sweep",
            self.spec,
            num_classes=10,
            epochs=EPOCHS,
            evaluate_every=1,
            objective_of=lambda epoch: epoch.intact_train_accuracy,
        )

    def start(self) -> TrialRecord:
        trial = self.plan.next()
        assert isinstance(trial, TrialRecord), trial
        self.store.start_attempt(trial.id, "here", 1)
        self.plan.update(self.store.trial(trial.id))
        return trial

    def train(self, trial: TrialRecord, curve: Sequence[float]) -> str | None:
        """Report epochs one by one, as far as the plan lets it; why it was stopped."""
        for number, objective in enumerate(curve, start=1):
            epoch = epoch_record(trial, number, objective)
            self.store.record_epochs(trial.id, [epoch])
            reason = self.plan.see_epochs(trial, [epoch])
            if reason is not None:
                self.plan.update(self.store.finish_trial(trial.id, TrialState.PRUNED, reason=reason))
                return reason
        self.finish(trial, curve[-1])
        return None

    def finish(self, trial: TrialRecord, objective: float | None, reason: str = "the loss is NaN") -> None:
        if objective is None:
            finished = self.store.finish_trial(trial.id, TrialState.FAILED, reason=reason)
        else:
            final = Accuracies(epoch=1, test=1 - objective, corrupted_train=0.5, intact_train=objective)
            finished = self.store.finish_trial(trial.id, TrialState.DONE, objective=objective, final=final)
        self.plan.update(finished)


@pytest.fixture
def planned(store: Store) -> Callable[..., PlannedSweep]:
    return lambda **fields: PlannedSweep(store, **fields)


def constant(trial: TrialRecord) -> float:
    return 0.5


def by_beta(trial: TrialRecord) -> float:
    """Large beta is best; CCE is the worst."""
    return trial.hyperparameters.get("beta", 0.0) / 100


def everything(sweep: PlannedSweep, objective: Objective = constant) -> list[TrialRecord]:
    """Run trials one at a time until none is left."""
    started = []
    while not sweep.plan.is_complete():
        started.append(sweep.start())
        sweep.finish(started[-1], objective(started[-1]))
    return started


def some(sweep: PlannedSweep, count: int, objective: Objective = constant) -> list[TrialRecord]:
    """Run that many trials one at a time."""
    started = []
    for _ in range(count):
        started.append(sweep.start())
        sweep.finish(started[-1], objective(started[-1]))
    return started


def phases(trials: Iterable[TrialRecord]) -> list[Phase]:
    return [trial.phase for trial in trials]


def test_search_then_baseline_then_the_best_confirmed(planned: Callable[..., PlannedSweep]) -> None:
    trials = everything(planned(trials=5, confirm={"top": 2, "seeds": 3}))

    assert phases(trials) == [Phase.SEARCH] * 5 + [Phase.BASELINE] * 3 + [Phase.CONFIRM] * 6
    assert {trial.supervision for trial in trials if trial.phase is Phase.BASELINE} == {"cce"}
    # Seed by seed, so that what an interrupted sweep has confirmed can be compared.
    assert [trial.repeat for trial in trials if trial.phase is Phase.CONFIRM] == [0, 0, 1, 1, 2, 2]


@pytest.mark.parametrize("fields", [{"trials": 4, "repeats": 2}, {"supervision": "gce"}, {"supervision": "mae"}])
@pytest.mark.parametrize("defaults", [False, True])
def test_a_sweep_runs_as_many_trials_as_its_spec_counts(
    planned: Callable[..., PlannedSweep], fields: dict[str, Any], defaults: bool
) -> None:
    sweep = planned(**fields, confirm={"top": 3, "seeds": 2, "defaults": defaults})

    counts = Counter(phases(everything(sweep)))

    expected = sweep.spec.number_of_trials()
    assert (counts[Phase.SEARCH], counts[Phase.CONFIRM], counts[Phase.BASELINE]) == (
        expected.search,
        expected.confirm,
        expected.baseline + expected.defaults,
    )


def test_configurations_are_compared_on_the_same_seeds_and_confirmed_on_fresh_ones(
    planned: Callable[..., PlannedSweep],
) -> None:
    trials = everything(planned(trials=3, repeats=2, confirm={"top": 2, "seeds": 2}))
    seeds = {
        phase: {
            (trial.configuration, trial.repeat): (trial.seed, trial.noise_seed)
            for trial in trials
            if trial.phase is phase
        }
        for phase in Phase
    }

    def of_repeat(phase: Phase, repeat: int) -> set[tuple[int, int]]:
        return {pair for (_, each), pair in seeds[phase].items() if each == repeat}

    for repeat in range(2):
        assert len(of_repeat(Phase.SEARCH, repeat)) == 1
        assert of_repeat(Phase.CONFIRM, repeat) == of_repeat(Phase.BASELINE, repeat)
    assert len(set(seeds[Phase.SEARCH].values())) == 2
    searched = {seed for pair in seeds[Phase.SEARCH].values() for seed in pair}
    confirmed = {seed for pair in seeds[Phase.CONFIRM].values() for seed in pair}
    assert not searched & confirmed


def test_another_sweep_seed_draws_other_noise_and_the_same_seed_the_same() -> None:
    assert trial_seeds(0, Phase.SEARCH, 1) == trial_seeds(0, Phase.SEARCH, 1)
    drawn = [trial_seeds(seed, phase, repeat) for seed in (0, 1) for phase in Phase for repeat in range(3)]
    # Baseline and confirm share theirs.
    assert len(set(drawn)) == 12


def test_a_grid_is_searched_cell_by_cell_and_its_extras_are_never_confirmed(
    planned: Callable[..., PlannedSweep],
) -> None:
    space = {**GRID, "extra": [{"supervision": "mae"}, {"supervision": "gce", "hyperparameters": {"q": 0.7}}]}

    def extras_are_best(trial: TrialRecord) -> float:
        return by_beta(trial) if trial.supervision == "gr" else 0.9

    sweep = planned(space=space, confirm={"top": 3, "seeds": 1})
    trials = everything(sweep, extras_are_best)

    searched = [trial for trial in trials if trial.phase is Phase.SEARCH]
    assert [(trial.supervision, trial.hyperparameters) for trial in searched] == [
        (cell.supervision, cell.as_dict()) for cell in sweep.spec.space.grid() or ()
    ]
    assert {trial.supervision for trial in trials if trial.phase is Phase.CONFIRM} == {"gr"}


def test_a_cell_of_another_supervision_that_ends_first_does_not_end_the_search(
    planned: Callable[..., PlannedSweep],
) -> None:
    sweep = planned(space="paper-table-2", confirm={"top": 3, "seeds": 1})
    running = []
    while isinstance(trial := sweep.plan.next(), TrialRecord):
        running.append(trial)
        sweep.store.start_attempt(trial.id, "here", 1)
    (other,) = [trial for trial in running if trial.supervision == "cce" and trial.phase is Phase.SEARCH]
    sweep.finish(other, 0.6)
    assert not isinstance(sweep.plan.next(), TrialRecord)
    for trial in running:
        if trial is not other:
            sweep.finish(trial, 0.9)
    trials = everything(sweep, by_beta)
    assert {trial.supervision for trial in trials if trial.phase is Phase.CONFIRM} == {"gr"}


def test_another_supervision_is_searched_without_the_starting_points_of_gr(store: Store) -> None:
    sweep = PlannedSweep(store, supervision="gce", trials=3, confirm={"top": 1, "seeds": 1})
    trials = everything(sweep, lambda trial: 0.5 + 0.1 * trial.hyperparameters.get("q", 0.0))

    searched = [trial for trial in trials if trial.phase is Phase.SEARCH]
    assert {trial.supervision for trial in searched} == {"gce"}
    best = max(searched, key=lambda trial: trial.hyperparameters["q"])
    (confirmed,) = [trial for trial in trials if trial.phase is Phase.CONFIRM]
    assert confirmed.hyperparameters == best.hyperparameters
    (baseline,) = [trial for trial in trials if trial.phase is Phase.BASELINE]
    assert (baseline.supervision, baseline.hyperparameters) == ("cce", {})


def test_where_cce_is_searched_it_is_a_candidate_and_the_baseline_all_the_same(store: Store) -> None:
    sweep = PlannedSweep(store, supervision="cce", space="l2", trials=3, confirm={"top": 3, "seeds": 1})
    trials = everything(sweep)
    assert Counter(phases(trials)) == {Phase.SEARCH: 3, Phase.BASELINE: 1, Phase.CONFIRM: 3}
    assert all((trial.hyperparameters == {}) == (trial.phase is Phase.BASELINE) for trial in trials)


def test_what_was_searched_twice_is_confirmed_once_and_that_is_a_whole_confirmation(
    planned: Callable[..., PlannedSweep],
) -> None:
    sweep = planned(trials=3, confirm={"top": 3, "seeds": 2})
    noise_seed, seed = trial_seeds(0, Phase.SEARCH, 0)
    for index, lam in enumerate((0.5, 1.0, 0.5)):
        sweep.store.add_trial(
            "sweep",
            phase=Phase.SEARCH,
            configuration=index,
            repeat=0,
            supervision="gr",
            hyperparameters={"beta": 8.0, "lam": lam},
            params={"kappa": kappa_of(8.0, lam), "lam": lam},
            noise_rate=0.4,
            seed=seed,
            noise_seed=noise_seed,
        )
    sweep.restart()
    trials = everything(sweep)

    assert [trial.configuration for trial in trials if trial.phase is Phase.CONFIRM] == [0, 1, 0, 1]
    found = choose(sweep.store.sweep("sweep"), sweep.store.trials("sweep"))
    assert found is not None
    assert (found.provenance.confirmed, found.provenance.candidates, found.objective.n) == (True, 2, 2)


def test_the_best_means_of_the_search_are_confirmed_whatever_the_test_accuracy(
    planned: Callable[..., PlannedSweep],
) -> None:
    # (8, 0.5) has the best single trial, (8, 1) the best mean; `finish` makes test accuracy the reverse.
    means = {(4.0, 0.5): (0.1, 0.1), (8.0, 0.5): (0.95, 0.1), (4.0, 1.0): (0.6, 0.6), (8.0, 1.0): (0.7, 0.8)}

    def objective(trial: TrialRecord) -> float:
        if trial.phase is not Phase.SEARCH:
            return 0.2
        point = (trial.hyperparameters["beta"], trial.hyperparameters["lam"])
        return means[point][trial.repeat]

    trials = everything(planned(space=GRID, repeats=2, confirm={"top": 2, "seeds": 1}), objective)

    confirmed = [trial.hyperparameters for trial in trials if trial.phase is Phase.CONFIRM]
    assert confirmed == [{"beta": 8.0, "lam": 1.0}, {"beta": 4.0, "lam": 1.0}]


def test_a_configuration_with_a_failed_or_stopped_repeat_is_not_confirmed(
    planned: Callable[..., PlannedSweep],
) -> None:
    sweep = planned(space=GRID, repeats=2, confirm={"top": 2, "seeds": 1})
    for _ in range(8):
        trial = sweep.start()
        if trial.configuration == 3 and trial.repeat == 1:
            sweep.finish(trial, None)
        elif trial.configuration == 2 and trial.repeat == 0:
            sweep.plan.update(sweep.store.finish_trial(trial.id, TrialState.PRUNED, reason="stopped early"))
        else:
            sweep.finish(trial, 0.5 + 0.1 * trial.configuration)
    rest = everything(sweep)

    confirmed = [trial.configuration for trial in rest if trial.phase is Phase.CONFIRM]
    assert confirmed == [1, 0]


def test_confirming_waits_for_the_last_of_the_search_but_the_baseline_does_not(
    planned: Callable[..., PlannedSweep],
) -> None:
    sweep = planned(trials=2, confirm={"top": 1, "seeds": 1})
    first, second = sweep.start(), sweep.start()
    baseline = sweep.start()
    assert baseline.phase is Phase.BASELINE
    assert sweep.plan.next() is Pause.WAIT

    sweep.finish(baseline, 0.3)
    sweep.finish(first, 0.4)
    assert sweep.plan.next() is Pause.WAIT
    assert not sweep.plan.is_complete()
    sweep.finish(second, 0.6)

    confirmed = sweep.start()
    assert (confirmed.phase, confirmed.configuration) == (Phase.CONFIRM, 1)
    assert sweep.plan.next() is Pause.WAIT
    sweep.finish(confirmed, 0.5)
    assert sweep.plan.next() is Pause.COMPLETE
    assert sweep.plan.is_complete()


def test_what_will_be_confirmed_however_the_search_ends_does_not_wait_for_its_end(
    planned: Callable[..., PlannedSweep],
) -> None:
    # Of the best two one is certain while one configuration is still trained, and none while two are.
    sweep = planned(space=GRID, confirm={"top": 2, "seeds": 2})
    trials = [sweep.start() for _ in range(4)]
    for trial in (sweep.start(), sweep.start()):
        assert trial.phase is Phase.BASELINE
        sweep.finish(trial, 0.1)
    sweep.finish(trials[0], 0.5)
    sweep.finish(trials[1], 0.7)
    assert sweep.plan.next() is Pause.WAIT
    sweep.finish(trials[2], 0.6)

    early = [sweep.start(), sweep.start()]
    assert [(trial.phase, trial.configuration, trial.repeat) for trial in early] == [
        (Phase.CONFIRM, 1, 0),
        (Phase.CONFIRM, 1, 1),
    ]
    assert sweep.plan.next() is Pause.WAIT
    sweep.restart()  # what ran is handed out again
    for _ in range(3):
        trial = sweep.start()
        sweep.finish(trial, 0.9 if trial.phase is Phase.SEARCH else 0.5)

    rest = everything(sweep)
    assert [(trial.phase, trial.configuration, trial.repeat) for trial in rest] == [
        (Phase.CONFIRM, 3, 0),
        (Phase.CONFIRM, 3, 1),
    ]


def test_a_configuration_that_has_failed_pushes_nothing_out_of_what_is_confirmed(
    planned: Callable[..., PlannedSweep],
) -> None:
    sweep = planned(space=GRID, repeats=2, confirm={"top": 1, "seeds": 1})
    trials = [sweep.start() for _ in range(8)]
    sweep.finish(sweep.start(), 0.1)
    for trial in trials[:6]:
        sweep.finish(trial, 0.5)
    sweep.finish(trials[6], None)

    early = sweep.start()
    assert (early.phase, early.configuration) == (Phase.CONFIRM, 0)


def test_what_is_ready_to_run_counts_the_baseline_until_it_is_there(planned: Callable[..., PlannedSweep]) -> None:
    sweep = planned(trials=2, repeats=2, confirm={"top": 1, "seeds": 3, "defaults": True})
    left = []
    for _ in range(10):
        left.append(sweep.plan.ready())
        sweep.start()

    assert left == list(range(10, 0, -1))
    assert (sweep.plan.ready(), sweep.plan.next()) == (0, Pause.WAIT)


def test_without_confirming_seeds_the_search_is_all(planned: Callable[..., PlannedSweep]) -> None:
    assert phases(everything(planned(trials=3, confirm={"seeds": 0}))) == [Phase.SEARCH] * 3


def test_what_was_waiting_when_a_driver_died_is_run_first_and_what_is_finished_never_again(
    planned: Callable[..., PlannedSweep],
) -> None:
    sweep = planned(trials=6, confirm={"top": 1, "seeds": 2})
    done = some(sweep, 2)
    left = [sweep.start(), sweep.start()]

    sweep.restart()
    later = everything(sweep)

    assert [trial.id for trial in later[:2]] == [trial.id for trial in left]
    assert not {trial.id for trial in done} & {trial.id for trial in later}
    trials = sweep.store.trials("sweep")
    assert len(trials) == sweep.spec.number_of_trials().total
    assert {trial.state for trial in trials} == {TrialState.DONE}
    assert [trial.attempts for trial in trials] == [1, 1, 2, 2] + [1] * (len(trials) - 4)
    assert len({str(trial.hyperparameters) for trial in trials if trial.phase is Phase.SEARCH}) == 6


@pytest.mark.parametrize("finished_before", range(13))
def test_killed_after_any_trial_a_sweep_ends_with_the_same_trials(
    planned: Callable[..., PlannedSweep], finished_before: int
) -> None:
    sweep = planned(space=GRID, repeats=2, confirm={"top": 2, "seeds": 2})
    some(sweep, finished_before, by_beta)
    if not sweep.plan.is_complete():
        sweep.start()
    sweep.restart()
    everything(sweep, by_beta)

    trials = sweep.store.trials("sweep")
    assert Counter(phases(trials)) == {Phase.SEARCH: 8, Phase.BASELINE: 2, Phase.CONFIRM: 4}
    assert {trial.configuration for trial in trials if trial.phase is Phase.CONFIRM} == {1, 3}
    assert {trial.state for trial in trials} == {TrialState.DONE}


def test_taking_up_a_long_search_asks_its_model_for_nothing_and_forgets_as_seldom_as_running_it(
    planned: Callable[..., PlannedSweep], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, count in (("_FORGETS_BEYOND", 10), ("_BEST_KEPT", 2), ("_LATEST_KEPT", 3)):
        monkeypatch.setattr(sampler, name, count)
    sweep = planned(trials=40, confirm={"seeds": 0})
    some(sweep, 30, by_beta)
    running = sweep.start()
    asked, studies = [], []
    ask, new_study = optuna.Study.ask, sampler._new_study
    monkeypatch.setattr(optuna.Study, "ask", lambda *given, **named: asked.append(1) or ask(*given, **named))
    monkeypatch.setattr(sampler, "_new_study", lambda given: studies.append(1) or new_study(given))

    sweep.restart()

    assert not asked
    assert len(studies) == 1 + 4  # after the eleventh result, and after every sixth from there on
    assert sweep.start().id == running.id
    sweep.finish(running, 0.5)
    assert len(everything(sweep)) == 9
    assert len({str(trial.hyperparameters) for trial in sweep.store.trials("sweep")}) == 40


def test_a_random_search_that_is_taken_up_does_not_draw_its_first_points_again(
    planned: Callable[..., PlannedSweep],
) -> None:
    sweep = planned(trials=12, sampler="random", starting_points=False, confirm={"seeds": 0})
    some(sweep, 6)
    sweep.restart()
    everything(sweep)

    # A point that was drawn before is told as failed, and another drawn in its place.
    drawn = sweep.plan._sampler._study.get_trials()
    assert {trial.state for trial in drawn} == {optuna.trial.TrialState.COMPLETE}
    assert len(drawn) == 12


def test_repeats_that_a_crash_kept_from_being_added_are_added(store: Store) -> None:
    sweep = PlannedSweep(store, trials=2, repeats=3, confirm={"seeds": 0})
    # As a driver leaves it that is killed between the first repeat and the second.
    noise_seed, seed = trial_seeds(0, Phase.SEARCH, 0)
    store.add_trial(
        "sweep",
        phase=Phase.SEARCH,
        configuration=0,
        repeat=0,
        supervision="gr",
        hyperparameters={"beta": 12.0, "lam": 0.5},
        params={"kappa": 4.618802, "lam": 0.5},
        noise_rate=0.4,
        seed=seed,
        noise_seed=noise_seed,
    )
    sweep.restart()
    trials = everything(sweep)

    assert [(trial.configuration, trial.repeat) for trial in trials] == [
        (configuration, repeat) for configuration in range(2) for repeat in range(3)
    ]
    assert {str(trial.hyperparameters) for trial in trials[:3]} == {"{'beta': 12.0, 'lam': 0.5}"}


def test_confirming_that_a_crash_cut_off_half_added_is_completed(
    planned: Callable[..., PlannedSweep],
) -> None:
    sweep = planned(space=GRID, confirm={"top": 2, "seeds": 2})
    some(sweep, 6, by_beta)
    noise_seed, seed = trial_seeds(0, Phase.CONFIRM, 0)
    sweep.store.add_trial(
        "sweep",
        phase=Phase.CONFIRM,
        configuration=1,
        repeat=0,
        supervision="gr",
        hyperparameters={"beta": 8.0, "lam": 0.5},
        params={},
        noise_rate=0.4,
        seed=seed,
        noise_seed=noise_seed,
    )
    sweep.restart()
    rest = everything(sweep, by_beta)

    assert sorted((trial.configuration, trial.repeat) for trial in rest) == [(1, 0), (1, 1), (3, 0), (3, 1)]


def fails_for(*configurations: int) -> Objective:
    def objective(trial: TrialRecord) -> float | None:
        return None if trial.configuration in configurations and trial.phase is Phase.SEARCH else 0.5

    return objective


def test_a_trial_that_is_told_of_twice_has_failed_once(planned: Callable[..., PlannedSweep]) -> None:
    sweep = planned(space={"kind": "grid", "beta": [1, 2, 4, 8, 12, 16], "lam": [0.5]}, confirm={"seeds": 0})
    for objective in (None, None, None, 0.5, 0.5):
        trial = sweep.start()
        sweep.finish(trial, objective)
        sweep.plan.update(sweep.store.trial(trial.id))

    assert sweep.start().configuration == 5


def test_failures_up_to_the_stated_rate_do_not_end_a_sweep(planned: Callable[..., PlannedSweep]) -> None:
    sweep = planned(trials=8, confirm={"seeds": 0}, max_failure_rate=0.5)

    everything(sweep, fails_for(1, 3, 5, 7))

    assert sweep.store.progress("sweep").failed == 4


def test_failures_beyond_the_stated_rate_end_a_sweep_with_their_reasons(
    planned: Callable[..., PlannedSweep],
) -> None:
    sweep = planned(trials=20, max_failure_rate=0.2)
    for number, reason in enumerate(["out of memory", "the loss is NaN\ntraceback", "the loss is NaN"]):
        sweep.finish(sweep.start(), None, reason)
        assert number < 2 or sweep.store.progress("sweep").failed == 3
    some(sweep, 2)
    sweep.finish(sweep.start(), 0.5)

    with pytest.raises(SweepFailed) as caught:
        sweep.plan.next()
    assert "3 of 6 finished trials failed" in caught.value.reason
    assert "max_failure_rate = 0.2" in caught.value.reason
    assert "the loss is NaN (2×); out of memory (1×)" in caught.value.reason
    assert "traceback" not in caught.value.reason


def test_one_early_failure_does_not_end_a_sweep(planned: Callable[..., PlannedSweep]) -> None:
    sweep = planned(trials=20, max_failure_rate=0.2)

    trials = everything(sweep, fails_for(0))

    assert len(trials) == sweep.spec.number_of_trials().total


@pytest.mark.parametrize("confirm", [{"seeds": 0}, {"top": 1, "seeds": 1}])
@pytest.mark.parametrize("rate", [0.9, 1.0])
def test_a_short_search_of_which_nothing_is_left_fails_with_the_reasons(
    planned: Callable[..., PlannedSweep], confirm: dict[str, int], rate: float
) -> None:
    sweep = planned(trials=2, confirm=confirm, max_failure_rate=rate)

    with pytest.raises(SweepFailed, match="the loss is NaN"):
        everything(sweep, fails_for(0, 1))


def test_a_sweep_whose_best_all_fail_on_fresh_seeds_fails_with_the_reasons(
    planned: Callable[..., PlannedSweep],
) -> None:
    sweep = planned(trials=12, confirm={"top": 1, "seeds": 2}, max_failure_rate=0.5)

    with pytest.raises(SweepFailed, match=r"none could be trained on a fresh seed.*the loss is NaN \(2×\)"):
        everything(sweep, lambda trial: None if trial.phase is Phase.CONFIRM else 0.5)


def test_a_failed_sweep_fails_again_when_it_is_taken_up(planned: Callable[..., PlannedSweep]) -> None:
    sweep = planned(trials=2, confirm={"seeds": 0})
    with pytest.raises(SweepFailed):
        everything(sweep, fails_for(0, 1))
    sweep.restart()

    with pytest.raises(SweepFailed):
        sweep.plan.is_complete()


def test_a_sweep_that_failed_too_often_goes_on_under_a_higher_rate(planned: Callable[..., PlannedSweep]) -> None:
    sweep = planned(trials=12, confirm={"seeds": 0}, max_failure_rate=0.2)
    with pytest.raises(SweepFailed, match=r"emphasis resume sweep --max-failure-rate 1"):
        everything(sweep, fails_for(0, 1, 2, 3))
    done = [trial.id for trial in sweep.plan.trials() if trial.state.finished]
    sweep.spec = sweep.spec.model_copy(update={"max_failure_rate": 1.0})
    sweep.restart()

    left = everything(sweep)
    assert left
    assert not {trial.id for trial in left} & set(done)
    assert len(done) + len(left) == 12


def test_asking_whether_a_sweep_is_complete_takes_no_trial_away(
    planned: Callable[..., PlannedSweep],
) -> None:
    sweep = planned(trials=2, confirm={"seeds": 0})
    assert not sweep.plan.is_complete()
    assert not sweep.plan.is_complete()

    assert [trial.number for trial in everything(sweep)] == [0, 1]
    assert sweep.plan.is_complete()


def rising_to(final: float) -> list[float]:
    return [final * epoch / EPOCHS for epoch in range(1, EPOCHS + 1)]


FIVE_GOOD_ONES = [0.80, 0.82, 0.84, 0.86, 0.88]


def test_a_configuration_that_looks_hopeless_is_given_up_and_never_confirmed(
    planned: Callable[..., PlannedSweep],
) -> None:
    sweep = planned(trials=7, early_stopping="median", confirm={"top": 7, "seeds": 2})
    for final in FIVE_GOOD_ONES:
        assert sweep.train(sweep.start(), rising_to(final)) is None

    hopeless = sweep.start()
    assert sweep.train(hopeless, rising_to(0.3)) == "stopped early by median after epoch 4"
    assert sweep.train(sweep.start(), rising_to(0.9)) is None

    rest = everything(sweep)
    confirmed = {trial.configuration for trial in rest if trial.phase is Phase.CONFIRM}
    assert confirmed == set(range(7)) - {hopeless.configuration}


def test_baseline_and_confirming_trials_are_never_stopped(planned: Callable[..., PlannedSweep]) -> None:
    sweep = planned(trials=5, early_stopping="median", confirm={"top": 1, "seeds": 2})
    for final in FIVE_GOOD_ONES:
        sweep.train(sweep.start(), rising_to(final))

    reached = []
    while not sweep.plan.is_complete():
        trial = sweep.start()
        assert sweep.plan.judged_epochs(trial) == []
        reached.append(sweep.train(trial, rising_to(0.1)))

    assert reached == [None] * 4


def test_a_configuration_is_given_up_with_all_of_its_seeds(planned: Callable[..., PlannedSweep]) -> None:
    sweep = planned(trials=6, early_stopping="median", repeats=2, confirm={"seeds": 0})
    for final in FIVE_GOOD_ONES:
        for _ in range(2):
            sweep.train(sweep.start(), rising_to(final))

    assert sweep.train(sweep.start(), rising_to(0.3)) is not None

    ((other, reason),) = sweep.plan.given_up()
    assert (other.configuration, other.repeat) == (5, 1)
    sweep.plan.update(sweep.store.finish_trial(other.id, TrialState.PRUNED, reason=reason))
    assert sweep.plan.is_complete()


def test_seeds_of_a_configuration_that_is_worse_pair_by_pair_are_saved(planned: Callable[..., PlannedSweep]) -> None:
    sweep = planned(trials=2, early_stopping="wilcoxon", repeats=5, confirm={"seeds": 0})
    for objective in (0.80, 0.82, 0.84, 0.86, 0.88):
        sweep.finish(sweep.start(), objective)
    for objective in (0.70, 0.73, 0.72):
        assert sweep.plan.given_up() == []
        sweep.finish(sweep.start(), objective)

    given_up = sweep.plan.given_up()
    assert [(trial.configuration, trial.repeat) for trial, _ in given_up] == [(1, 3), (1, 4)]
    assert {reason for _, reason in given_up} == {"stopped early by wilcoxon after 3 of 5 seeds"}


def test_early_stopping_goes_on_after_a_crash_where_it_was(planned: Callable[..., PlannedSweep]) -> None:
    sweep = planned(trials=8, early_stopping="median", confirm={"seeds": 0})
    for final in FIVE_GOOD_ONES:
        sweep.train(sweep.start(), rising_to(final))
    sweep.train(sweep.start(), rising_to(0.3))
    running = sweep.start()
    sweep.plan.see_epochs(running, [epoch_record(running, 1, 0.1)])

    sweep.restart()

    again = sweep.start()
    assert again.id == running.id
    # Its first epochs come again, from its checkpoint.
    assert sweep.train(again, rising_to(0.2)) == "stopped early by median after epoch 4"
    assert sweep.train(sweep.start(), rising_to(0.9)) is None
    assert sweep.plan.is_complete()


def test_after_a_crash_early_stopping_knows_what_it_knew_in_the_order_in_which_it_came(
    planned: Callable[..., PlannedSweep],
) -> None:
    # Hyperband deals its brackets out by that order.
    sweep = planned(trials=8, early_stopping="hyperband", confirm={"seeds": 0})
    trials = [sweep.start() for _ in range(4)]
    for number in (2, 0, 1):
        assert sweep.train(trials[number], rising_to(0.5 + number / 10)) is None
    epoch = epoch_record(trials[3], 1, 0.1)
    sweep.store.record_epochs(trials[3].id, [epoch])
    sweep.plan.see_epochs(trials[3], [epoch])
    known = [curve(trial) for trial in sweep.plan._early_stopping._studies[0].trials]

    sweep.restart()

    assert [curve(trial) for trial in sweep.plan._early_stopping._studies[0].trials] == known
    assert [last for *_, last in known] == [0.7, 0.5, 0.6, 0.1]


def curve(trial: optuna.trial.FrozenTrial) -> list[float]:
    return list(trial.intermediate_values.values())


def test_what_an_earlier_process_let_pass_is_not_given_up_later(planned: Callable[..., PlannedSweep]) -> None:
    sweep = planned(trials=7, early_stopping="asha", confirm={"seeds": 0})
    # The first is promoted, since nothing better is known then.
    assert sweep.train(sweep.start(), rising_to(0.3)) is None
    for final in FIVE_GOOD_ONES:
        sweep.train(sweep.start(), rising_to(final))
    done = {trial.id for trial in sweep.store.trials("sweep") if trial.state is TrialState.DONE}

    sweep.restart()

    assert {trial.id for trial in sweep.plan.trials() if trial.state is TrialState.DONE} == done
    assert sweep.train(sweep.start(), rising_to(0.2)) == "stopped early by asha after epoch 4"


def test_a_trial_that_was_let_pass_goes_on_after_a_crash_though_others_are_better_now(
    planned: Callable[..., PlannedSweep],
) -> None:
    sweep = planned(trials=8, early_stopping="asha", confirm={"seeds": 0})
    first = sweep.start()
    for epoch in range(1, 6):  # past its rung, when nothing better was known
        sweep.store.record_epochs(first.id, [epoch_record(first, epoch, 0.3 * epoch / EPOCHS)])
        assert sweep.plan.see_epochs(first, [epoch_record(first, epoch, 0.3 * epoch / EPOCHS)]) is None
    for final in FIVE_GOOD_ONES:
        sweep.train(sweep.start(), rising_to(final))

    sweep.restart()

    again = sweep.start()
    assert again.id == first.id
    assert sweep.train(again, rising_to(0.3)) is None


def test_seeds_of_a_configuration_that_was_given_up_are_not_run_after_a_crash(
    planned: Callable[..., PlannedSweep],
) -> None:
    sweep = planned(trials=6, early_stopping="median", repeats=3, confirm={"seeds": 0})
    for final in FIVE_GOOD_ONES:
        for _ in range(3):
            sweep.train(sweep.start(), rising_to(final))
    sweep.train(sweep.start(), rising_to(0.3))

    sweep.restart()  # before anything was written of the other two

    given_up = sweep.plan.given_up()
    assert [(trial.configuration, trial.repeat) for trial, _ in given_up] == [(5, 1), (5, 2)]
    why = "its configuration was stopped early by median after epoch 4 of another seed"
    assert {reason for _, reason in given_up} == {why}
    for trial, reason in given_up:
        sweep.plan.update(sweep.store.finish_trial(trial.id, TrialState.PRUNED, reason=reason))
    assert sweep.plan.is_complete()


def test_a_running_seed_of_a_configuration_that_was_given_up_is_stopped_at_its_next_report(
    planned: Callable[..., PlannedSweep],
) -> None:
    sweep = planned(trials=2, early_stopping="wilcoxon", repeats=5, confirm={"seeds": 0})
    for objective in (0.80, 0.82, 0.84, 0.86, 0.88):
        sweep.finish(sweep.start(), objective)
    running = [sweep.start() for _ in range(5)]
    for trial, objective in zip(running, (0.70, 0.73, 0.72), strict=False):
        sweep.finish(trial, objective)

    assert sweep.plan.given_up() == []
    reason = sweep.plan.see_epochs(running[3], [epoch_record(running[3], 1, 0.9)])
    assert reason == "stopped early by wilcoxon after 3 of 5 seeds"


def test_what_was_never_run_says_nothing_of_how_often_trials_fail(planned: Callable[..., PlannedSweep]) -> None:
    sweep = planned(trials=10, early_stopping="wilcoxon", repeats=5, max_failure_rate=0.5, confirm={"seeds": 0})
    for objective in (0.80, 0.82, 0.84, 0.86, 0.88):
        sweep.finish(sweep.start(), objective)
    for _ in range(2):
        for objective in (0.70, 0.73, 0.72):
            sweep.finish(sweep.start(), objective)
        for trial, reason in sweep.plan.given_up():
            sweep.plan.update(sweep.store.finish_trial(trial.id, TrialState.PRUNED, reason=reason))
    # 11 trials were run by now, and 4 were not.
    for _ in range(12):
        sweep.finish(sweep.start(), None)
    with pytest.raises(SweepFailed, match="12 of 23 finished trials failed"):
        sweep.start()
