"""What any store must do, run against SQLite and against PostgreSQL."""

from __future__ import annotations

import math
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC
from datetime import datetime
from datetime import timedelta
from datetime import timezone
from typing import Any

import pytest
from sqlalchemy import update

from search.errors import LeaseLost
from search.errors import SweepBusy
from search.errors import TrialFinished
from search.store import Accuracies
from search.store import AttemptState
from search.store import EpochRecord
from search.store import Phase
from search.store import Progress
from search.store import Store
from search.store import SweepRecord
from search.store import SweepState
from search.store import TrackingRecord
from search.store import TrialRecord
from search.store import TrialState
from search.store.models import Sweep
from trainers.errors import EmphasisError
from trainers.errors import InvalidInput

ACCURACIES = Accuracies(epoch=20, test=0.91, corrupted_train=0.58, intact_train=0.95)


def add_sweep(store: Store, id: str = "digits-r40-a1b2", **changes: Any) -> SweepRecord:
    given: dict[str, Any] = {
        "spec": {"dataset": "digits", "space": {"kind": "kappa", "lam": [0, 3]}, "message": "β·λ"},
        "dataset": "digits",
        "noise_rate": 0.4,
        "backbone": "mlp",
        "supervision": "gr",
        "data_hash": "d" * 64,
        "versions": {"emphasis": "0.1.0", "torch": "2.11"},
    }
    return store.create_sweep(id=id, **{**given, **changes})


def add_trial(store: Store, sweep_id: str = "digits-r40-a1b2", **changes: Any) -> TrialRecord:
    given: dict[str, Any] = {
        "phase": Phase.SEARCH,
        "configuration": 0,
        "repeat": 0,
        "supervision": "gr",
        "hyperparameters": {"beta": 12.000000000000002, "lam": 0.5},
        "params": {"kappa": 4.6, "lam": 0.5},
        "noise_rate": 0.4,
        "seed": 2**62 + 1,
        "noise_seed": 7,
    }
    return store.add_trial(sweep_id, **{**given, **changes})


def epoch_of(trial: TrialRecord, number: int, **changes: Any) -> EpochRecord:
    record = EpochRecord(
        trial_id=trial.id,
        epoch=number,
        iteration=12 * number,
        train_loss=1 / number,
        learning_rate=0.01,
        test_accuracy=0.9,
        corrupted_train_accuracy=0.55,
        intact_train_accuracy=0.92,
        seconds=0.25 * number,
    )
    return replace(record, **changes)


def alive(_owner: str, _heartbeat_at: datetime) -> bool:
    return True


def dead(_owner: str, _heartbeat_at: datetime) -> bool:
    return False


# What is written is what is read


def test_everything_written_is_read_back_equal_from_a_reopened_store(store: Store, store_url: str) -> None:
    sweep = add_sweep(store)
    trial = add_trial(store)
    attempt = store.start_attempt(trial.id, "machine", 4_000_000)
    epochs = [epoch_of(trial, number) for number in (1, 2, 3)]
    store.record_epochs(trial.id, epochs)
    finished = store.finish_trial(
        trial.id,
        TrialState.DONE,
        objective=0.95,
        final=ACCURACIES,
        best=replace(ACCURACIES, epoch=12, test=0.93),
        train_seconds=3.5,
        noise_hash="e" * 64,
        realised_noise_rate=0.399,
        computed_by={"host": "node-1", "engine": "fused", "device": "NVIDIA H100", "precision": "bf16"},
    )
    store.tracking.save(sweep.id, TrackingRecord(trial.id, "run-1", 3, True))
    store.close()

    with Store.open(store_url) as reopened:
        assert reopened.sweep(sweep.id) == sweep
        assert reopened.trial(trial.id) == finished
        assert reopened.trials(sweep.id) == [finished]
        assert reopened.epochs(trial.id) == epochs
        assert reopened.attempts(trial.id) == [
            replace(attempt, state=AttemptState.DONE, finished_at=finished.finished_at)
        ]
        assert reopened.tracking.cursor(trial.id) == TrackingRecord(trial.id, "run-1", 3, True)
    assert finished.final == ACCURACIES
    assert finished.best == replace(ACCURACIES, epoch=12, test=0.93)
    assert finished.hyperparameters == {"beta": 12.000000000000002, "lam": 0.5}
    assert finished.seed == 2**62 + 1
    assert finished.computed_by is not None
    assert finished.computed_by["engine"] == "fused"


def test_moments_are_aware_utc_whatever_zone_they_were_given_in(store: Store) -> None:
    add_sweep(store)
    trial = add_trial(store)
    tokyo = datetime(2026, 7, 1, 8, 30, 0, 123456, tzinfo=timezone(timedelta(hours=9)))
    store.record_epochs(trial.id, [epoch_of(trial, 1, recorded_at=tokyo)])

    recorded_at = store.epochs(trial.id)[0].recorded_at

    assert recorded_at == tokyo
    assert recorded_at.tzinfo is UTC
    assert store.sweeps()[0].created_at.tzinfo is UTC


def test_values_that_are_not_finite_become_none_or_nan_and_break_nothing(store: Store) -> None:
    add_sweep(store)
    trial = add_trial(store)
    diverged = epoch_of(trial, 1, train_loss=math.nan, learning_rate=math.inf, test_accuracy=math.nan)
    store.record_epochs(trial.id, [diverged, epoch_of(trial, 2, train_loss=-math.inf, seconds=math.nan)])
    result: dict[str, Any] = {
        "objective": math.nan,
        "final": replace(ACCURACIES, intact_train=math.nan),
        "reason": "non-finite loss in epoch 1",
        "train_seconds": math.inf,
    }
    store.finish_trial(trial.id, TrialState.FAILED, **result)

    first, second = store.epochs(trial.id)
    finished = store.trial(trial.id)

    assert (first.train_loss, first.test_accuracy, second.train_loss) == (None, None, None)
    assert math.isnan(first.learning_rate)
    assert math.isnan(second.seconds)
    assert (finished.objective, finished.train_seconds) == (None, None)
    assert finished.final is not None
    assert math.isnan(finished.final.intact_train)
    assert finished.final.test == ACCURACIES.test
    # The same result again is the same result, though NaN differs from NaN.
    assert store.finish_trial(trial.id, TrialState.FAILED, **result).reason == finished.reason


def test_json_that_others_could_not_read_is_refused_with_its_field(store: Store) -> None:
    add_sweep(store)
    with pytest.raises(InvalidInput, match="hyperparameters"):
        add_trial(store, hyperparameters={"beta": math.nan})
    with pytest.raises(InvalidInput, match="spec"):
        add_sweep(store, "other", spec={"started": datetime.now(UTC)})
    assert store.trials("digits-r40-a1b2") == []


def test_a_reason_may_hold_whatever_a_crashed_process_said(store: Store) -> None:
    add_sweep(store)
    trial = add_trial(store)
    said = "cannot read \x00\udcff — λ"
    store.finish_trial(trial.id, TrialState.FAILED, reason=said)
    assert store.trial(trial.id).reason == "cannot read \\x00\\udcff — λ"
    store.finish_trial(trial.id, TrialState.FAILED, reason=said)


@pytest.mark.parametrize("seed", [-1, 2**63])
def test_a_seed_that_no_backend_can_hold_is_refused(store: Store, seed: int) -> None:
    add_sweep(store)
    with pytest.raises(InvalidInput, match="noise_seed"):
        add_trial(store, noise_seed=seed)


# Sweeps


def test_a_sweep_is_found_by_a_prefix_that_only_it_has(store: Store) -> None:
    add_sweep(store, "digits-r40-a1")
    add_sweep(store, "digits-r40-a1-more")
    add_sweep(store, "digits-r60-b2")

    assert store.sweep("digits-r6").id == "digits-r60-b2"
    # A whole id wins, also where another begins with it.
    assert store.sweep("digits-r40-a1").id == "digits-r40-a1"
    with pytest.raises(InvalidInput, match=r"2 sweeps begin with it.*digits-r40-a1-more"):
        store.sweep("digits-r40")


@pytest.mark.parametrize("wanted", ["digits-r60-b3", "DIGITS", "%", "digits_r60", ""])
def test_an_unknown_sweep_is_answered_with_those_there_are(store: Store, wanted: str) -> None:
    add_sweep(store, "digits-r60-b2")
    with pytest.raises(InvalidInput, match=r"no such sweep.*digits-r60-b2"):
        store.sweep(wanted)


def test_an_empty_store_says_how_to_begin(store: Store) -> None:
    with pytest.raises(InvalidInput, match="emphasis run"):
        store.sweep("a")
    assert store.sweeps() == []


def test_sweeps_are_listed_newest_first_and_filtered(store: Store) -> None:
    add_sweep(store, "first", noise_rate=0.1 + 0.2)
    add_sweep(store, "second", noise_rate=0.6)
    add_sweep(store, "third", dataset="cifar10", noise_rate=0.6)
    store.finish_sweep("second", SweepState.DONE)

    assert [sweep.id for sweep in store.sweeps()] == ["third", "second", "first"]
    assert [sweep.id for sweep in store.sweeps(dataset="digits")] == ["second", "first"]
    assert [sweep.id for sweep in store.sweeps(noise_rate=0.6)] == ["third", "second"]
    assert [sweep.id for sweep in store.sweeps(noise_rate=0.3)] == ["first"]
    assert [sweep.id for sweep in store.sweeps("digits", 0.6, SweepState.DONE)] == ["second"]
    assert store.sweeps("digits", 0.6, SweepState.QUEUED) == []


def test_sweeps_are_found_by_the_file_that_their_specs_name(store: Store) -> None:
    for id, file in [("mine", "/data/mine/x.npz"), ("other", "/data/other/x.npz")]:
        add_sweep(store, id, dataset="x", spec={"dataset": file})
    add_sweep(store, "named", dataset="x", spec={})

    assert [sweep.id for sweep in store.sweeps(source="/data/mine/x.npz")] == ["mine"]
    assert store.sweeps(source="x") == []
    assert [sweep.id for sweep in store.sweeps(dataset="x")] == ["named", "other", "mine"]


def test_a_second_sweep_of_the_same_id_is_refused_and_the_first_kept(store: Store) -> None:
    first = add_sweep(store)
    with pytest.raises(InvalidInput, match="exists"):
        add_sweep(store, dataset="cifar10")
    assert store.sweeps() == [first]


def test_what_resumes_a_sweep_is_noted_beside_what_began_it(store: Store) -> None:
    begun = add_sweep(store, versions={"torch": "2.15.0", "ray": "2.60.0"})
    store.add_versions(begun.id, begun.versions)
    assert store.sweep(begun.id).versions == begun.versions

    for torch in ("2.16.0", "2.16.0", "2.17.0"):
        store.add_versions(begun.id, {"torch": torch, "ray": "2.60.0"})
    resumed_with = [{"torch": "2.16.0"}, {"torch": "2.17.0"}]
    assert store.sweep(begun.id).versions == {**begun.versions, "resumed_with": resumed_with}


def test_a_sweep_of_a_living_owner_cannot_be_claimed_and_a_dead_owners_can(store: Store) -> None:
    sweep = add_sweep(store)
    claimed = store.claim_sweep(sweep.id, "here:1:100", is_alive=alive)
    assert (claimed.state, claimed.owner) == (SweepState.RUNNING, "here:1:100")
    assert claimed.heartbeat_at is not None

    with pytest.raises(SweepBusy, match="here:1:100"):
        store.claim_sweep(sweep.id, "here:2:200", is_alive=alive)
    assert store.sweep(sweep.id) == claimed
    assert store.claim_sweep(sweep.id, "here:1:100", is_alive=alive).owner == "here:1:100"

    asked: list[tuple[str, datetime]] = []

    def asks(owner: str, heartbeat_at: datetime) -> bool:
        asked.append((owner, heartbeat_at))
        return False

    before = store.sweep(sweep.id)
    taken = store.claim_sweep(sweep.id, "here:2:200", is_alive=asks)
    assert asked == [("here:1:100", before.heartbeat_at)]
    assert taken.owner == "here:2:200"
    assert taken.started_at == claimed.started_at


def test_an_owner_that_lost_its_sweep_is_told_and_cannot_write(store: Store) -> None:
    sweep = add_sweep(store)
    claimed = store.claim_sweep(sweep.id, "here:1:100", is_alive=alive)
    first_beat = claimed.heartbeat_at
    assert store.renew(claimed.lease) is SweepState.RUNNING
    beat = store.sweep(sweep.id).heartbeat_at
    assert first_beat is not None
    assert beat is not None
    assert beat > first_beat

    store.claim_sweep(sweep.id, "there:2:200", is_alive=dead)

    with pytest.raises(LeaseLost, match="there:2:200 has it now"):
        store.renew(claimed.lease)
    with pytest.raises(LeaseLost, match="there:2:200 has it now"):
        store.fenced(claimed.lease).finish_sweep(sweep.id, SweepState.DONE)
    assert store.sweep(sweep.id).state is SweepState.RUNNING


def test_a_sweep_that_is_finished_again_keeps_the_moment_at_which_it_ended(store: Store) -> None:
    sweep = add_sweep(store)
    store.claim_sweep(sweep.id, "here:1:100", is_alive=alive)
    ended = datetime(2026, 1, 2, 3, 4, 5, 678901, UTC)

    assert store.finish_sweep(sweep.id, SweepState.DONE, "no figures", ended).finished_at == ended
    again = store.finish_sweep(sweep.id, SweepState.DONE)

    assert (again.finished_at, again.message) == (ended, None)
    assert store.finish_sweep(sweep.id, SweepState.DONE, None, datetime.now(UTC)).finished_at == ended


@pytest.mark.parametrize("state", [SweepState.DONE, SweepState.FAILED, SweepState.PAUSED])
def test_a_sweep_that_stops_running_has_no_owner(store: Store, state: SweepState) -> None:
    sweep = add_sweep(store)
    fenced = store.fenced(store.claim_sweep(sweep.id, "here:1:100", is_alive=alive).lease)

    if state is SweepState.PAUSED:
        stopped = fenced.release_sweep(sweep.id, "because")
    else:
        stopped = fenced.finish_sweep(sweep.id, state, "because")

    assert stopped == store.sweep(sweep.id)
    assert (stopped.state, stopped.message) == (state, "because")
    assert (stopped.owner, stopped.heartbeat_at) == (None, None)
    assert (stopped.finished_at is not None) == (state is not SweepState.PAUSED)
    if state is not SweepState.DONE:
        resumed = store.claim_sweep(sweep.id, "here:2:200", is_alive=alive)
        assert (resumed.message, resumed.finished_at) == (None, None)


def test_of_many_that_claim_one_sweep_at_once_one_gets_it(store: Store) -> None:
    sweeps = [add_sweep(store, f"sweep-{number}").id for number in range(10)]
    everybody_ready = threading.Barrier(6)

    def claim_each(number: int) -> list[str]:
        won = []
        for sweep_id in sweeps:
            everybody_ready.wait(timeout=60)
            try:
                store.claim_sweep(sweep_id, f"here:{number}:0", is_alive=alive)
                won.append(sweep_id)
            except SweepBusy:
                pass
        return won

    with ThreadPoolExecutor(6) as pool:
        won = list(pool.map(claim_each, range(6)))

    assert sorted(sweep_id for of_one in won for sweep_id in of_one) == sorted(sweeps)
    owners = {sweep_id: f"here:{number}:0" for number, of_one in enumerate(won) for sweep_id in of_one}
    assert {sweep.id: sweep.owner for sweep in store.sweeps()} == owners


# Trials


def test_trials_are_numbered_in_the_order_in_which_they_come(store: Store) -> None:
    add_sweep(store)
    add_sweep(store, "other")
    first = add_trial(store, configuration=5)
    elsewhere = add_trial(store, "other")
    second = add_trial(store, configuration=3, repeat=2, phase=Phase.CONFIRM)

    assert [first.number, second.number, elsewhere.number] == [0, 1, 0]
    assert store.trials("digits-r40-a1b2") == [first, second]
    assert len({first.id, second.id, elsewhere.id}) == 3
    assert (first.state, first.attempts, first.started_at) == (TrialState.WAITING, 0, None)


def test_trials_added_from_many_threads_and_connections_have_each_number_once(
    store: Store, store_url: str
) -> None:
    add_sweep(store)
    with Store.open(store_url) as other, ThreadPoolExecutor(6) as pool:
        stores = [store, other]
        added = list(pool.map(lambda i: add_trial(stores[i % 2], configuration=i).number, range(40)))
    assert sorted(added) == list(range(40))


def test_adding_the_same_trial_again_gives_the_recorded_one(store: Store) -> None:
    add_sweep(store)
    first = add_trial(store)
    store.start_attempt(first.id, "machine", 1)
    again = add_trial(store)
    assert again == store.trial(first.id)
    assert again.attempts == 1
    assert len(store.trials("digits-r40-a1b2")) == 1


def test_another_trial_in_the_same_place_is_refused(store: Store) -> None:
    add_sweep(store)
    first = add_trial(store)
    with pytest.raises(InvalidInput, match=r"seed = 3.*configuration or repeat"):
        add_trial(store, seed=3)
    assert store.trials("digits-r40-a1b2") == [first]


def test_what_belongs_to_nothing_is_refused(store: Store) -> None:
    add_sweep(store)
    trial = add_trial(store)
    stranger = replace(trial, id="nobody-0000")
    for attempt_to_use in (
        lambda: add_trial(store, "nobody"),
        lambda: store.trials("nobody"),
        lambda: store.finish_sweep("nobody", SweepState.DONE),
        lambda: store.claim_sweep("nobody", "here:1:1", is_alive=dead),
        lambda: store.trial(stranger.id),
        lambda: store.start_attempt(stranger.id, "machine", 1),
        lambda: store.record_epochs(stranger.id, [epoch_of(stranger, 1)]),
        lambda: store.finish_trial(stranger.id, TrialState.DONE),
        lambda: store.record_epochs(trial.id, [epoch_of(stranger, 1)]),
    ):
        with pytest.raises(InvalidInput, match="nobody"):
            attempt_to_use()
    assert store.epochs(trial.id) == []


def test_an_epoch_recorded_again_replaces_the_earlier_one(store: Store) -> None:
    add_sweep(store)
    trial = add_trial(store)
    store.record_epochs(trial.id, [epoch_of(trial, 2), epoch_of(trial, 1)])
    again = epoch_of(trial, 2, train_loss=0.125, intact_train_accuracy=None)
    twice_at_once = [epoch_of(trial, 3), epoch_of(trial, 3, train_loss=9.0)]
    store.record_epochs(trial.id, [again, *twice_at_once])
    store.record_epochs(trial.id, [])

    assert [epoch.epoch for epoch in store.epochs(trial.id)] == [1, 2, 3]
    assert store.epochs(trial.id)[1:] == [again, twice_at_once[1]]
    assert [epoch.epoch for epoch in store.epochs(trial.id, after=1)] == [2, 3]


def test_a_write_that_fails_midway_leaves_nothing(store: Store) -> None:
    add_sweep(store)
    trial = add_trial(store)
    without_zone = epoch_of(trial, 2, recorded_at=datetime(2026, 1, 1))
    with pytest.raises(Exception, match="no time zone"):
        store.record_epochs(trial.id, [epoch_of(trial, 1), without_zone])
    assert store.epochs(trial.id) == []


def test_a_finished_trial_accepts_its_result_again_and_no_other(store: Store) -> None:
    add_sweep(store)
    trial = add_trial(store)
    store.start_attempt(trial.id, "machine", 1)
    result: dict[str, Any] = {"objective": 0.95, "final": ACCURACIES, "best": ACCURACIES, "train_seconds": 2}
    finished = store.finish_trial(trial.id, TrialState.DONE, **result)

    assert store.finish_trial(trial.id, TrialState.DONE, **result) == finished
    for change in (
        lambda: store.finish_trial(trial.id, TrialState.FAILED, **result),
        lambda: store.finish_trial(trial.id, TrialState.DONE, **{**result, "objective": 0.96}),
        lambda: store.finish_trial(trial.id, TrialState.DONE, **{**result, "best": None}),
        lambda: store.start_attempt(trial.id, "machine", 2),
        lambda: store.record_epochs(trial.id, [epoch_of(trial, 21)]),
    ):
        with pytest.raises(TrialFinished, match="final"):
            change()
    assert store.release_trial(trial.id, "late") == finished
    assert store.release_running("digits-r40-a1b2", "late") == []
    assert store.trial(trial.id) == finished
    assert store.epochs(trial.id) == []


@pytest.mark.parametrize("state", [TrialState.WAITING, TrialState.RUNNING])
def test_a_trial_cannot_finish_in_a_state_that_is_not_final(store: Store, state: TrialState) -> None:
    add_sweep(store)
    trial = add_trial(store)
    with pytest.raises(InvalidInput, match="not final"):
        store.finish_trial(trial.id, state)


@pytest.mark.parametrize(
    ("state", "outcome"),
    [
        (TrialState.DONE, AttemptState.DONE),
        (TrialState.PRUNED, AttemptState.DONE),
        (TrialState.FAILED, AttemptState.FAILED),
    ],
)
def test_finishing_a_trial_ends_its_attempt(store: Store, state: TrialState, outcome: AttemptState) -> None:
    add_sweep(store)
    trial = add_trial(store)
    store.start_attempt(trial.id, "machine", 1)
    finished = store.finish_trial(trial.id, state, reason="stated")
    (attempt,) = store.attempts(trial.id)
    assert (attempt.state, attempt.reason, attempt.finished_at) == (outcome, "stated", finished.finished_at)


def test_a_trial_has_one_running_attempt_at_most(store: Store) -> None:
    add_sweep(store)
    trial = add_trial(store)
    first = store.start_attempt(trial.id, "machine", 1)
    second = store.start_attempt(trial.id, "machine", 2)

    assert (first.number, second.number) == (1, 2)
    states = [attempt.state for attempt in store.attempts(trial.id)]
    assert states == [AttemptState.LOST, AttemptState.RUNNING]
    assert store.trial(trial.id).attempts == 2


def test_a_trial_that_is_started_again_began_when_it_was_first_started(store: Store) -> None:
    add_sweep(store)
    trial = add_trial(store)
    first = store.start_attempt(trial.id, "here", 1)
    store.release_trial(trial.id, "its node was lost")
    again = store.start_attempt(trial.id, "there", 2)

    assert again.started_at > first.started_at
    assert store.trial(trial.id).started_at == first.started_at


def test_releasing_a_dead_drivers_trials_leaves_none_running_and_finished_ones_alone(store: Store) -> None:
    add_sweep(store)
    add_sweep(store, "other")
    trials = [add_trial(store, configuration=number) for number in range(4)]
    elsewhere = add_trial(store, "other")
    for trial in (*trials[:3], elsewhere):
        store.start_attempt(trial.id, "machine", 1)
    done = store.finish_trial(trials[0].id, TrialState.DONE, objective=0.9)

    released = store.release_running("digits-r40-a1b2", "driver killed")

    assert [trial.id for trial in released] == [trials[1].id, trials[2].id]
    assert {trial.state for trial in released} == {TrialState.WAITING}
    assert store.trials("digits-r40-a1b2", state=TrialState.RUNNING) == []
    assert store.trial(done.id) == done
    assert store.trial(elsewhere.id).state is TrialState.RUNNING
    (lost,) = store.attempts(trials[1].id)
    assert (lost.state, lost.reason) == (AttemptState.LOST, "driver killed")
    assert lost.finished_at is not None
    assert store.release_running("digits-r40-a1b2", "again") == []
    assert store.start_attempt(trials[1].id, "machine", 2).number == 2


def test_releasing_one_trial_leaves_its_neighbours_running(store: Store) -> None:
    add_sweep(store)
    killed, neighbour = (add_trial(store, configuration=number) for number in range(2))
    for trial in (killed, neighbour):
        store.start_attempt(trial.id, "machine", 1)

    released = store.release_trial(killed.id, "its process was killed")

    assert (released.state, released.attempts) == (TrialState.WAITING, 1)
    assert store.trial(neighbour.id).state is TrialState.RUNNING
    assert [attempt.state for attempt in store.attempts(killed.id)] == [AttemptState.LOST]


# Looking on


def test_progress_counts_the_trials_of_each_state(store: Store) -> None:
    add_sweep(store)
    add_sweep(store, "empty")
    ends = [TrialState.DONE, TrialState.DONE, TrialState.FAILED, TrialState.PRUNED]
    for number in range(7):
        trial = add_trial(store, configuration=number)
        if number < 5:
            store.start_attempt(trial.id, "machine", number)
        if number < 4:
            store.finish_trial(trial.id, ends[number])

    progress = Progress(waiting=2, running=1, done=2, failed=1, pruned=1)
    assert store.progress("digits-r40-a1b2") == progress
    assert (progress.total, progress.finished) == (7, 4)
    assert store.progress_of(["empty", "digits-r40-a1b2"]) == {
        "empty": Progress(),
        "digits-r40-a1b2": progress,
    }
    assert store.progress_of([]) == {}


def test_baselines_are_the_means_that_cce_has_reached_beside_each_sweep(store: Store) -> None:
    add_sweep(store)
    add_sweep(store, "empty")
    for configuration, supervision, objective in ((0, "cce", 0.6), (1, "cce", 0.7), (2, "cce", None), (3, "gce", 0.9)):
        trial = add_trial(store, configuration=configuration, phase=Phase.BASELINE, supervision=supervision)
        store.start_attempt(trial.id, "machine", 1)
        if objective is not None:
            store.finish_trial(trial.id, TrialState.DONE, objective=objective)
    searched = add_trial(store, configuration=4, supervision="cce")
    store.start_attempt(searched.id, "machine", 1)
    store.finish_trial(searched.id, TrialState.DONE, objective=0.99)

    assert store.baselines_of(["empty", "digits-r40-a1b2"]) == {"digits-r40-a1b2": pytest.approx(0.65)}


def test_best_trial_is_the_earliest_search_trial_with_the_highest_finite_objective(store: Store) -> None:
    add_sweep(store)
    assert store.best_trial("digits-r40-a1b2") is None
    results: list[tuple[Phase, TrialState, float | None]] = [
        (Phase.SEARCH, TrialState.DONE, math.nan),
        (Phase.SEARCH, TrialState.DONE, 0.8),
        (Phase.SEARCH, TrialState.DONE, 0.9),
        (Phase.SEARCH, TrialState.DONE, 0.9),
        (Phase.SEARCH, TrialState.PRUNED, 0.95),
        (Phase.CONFIRM, TrialState.DONE, 0.97),
        (Phase.SEARCH, TrialState.FAILED, 0.99),
    ]
    for number, (phase, state, objective) in enumerate(results):
        trial = add_trial(store, configuration=number, phase=phase)
        store.start_attempt(trial.id, "machine", 1)
        store.finish_trial(trial.id, state, objective=objective)

    best = store.best_trial("digits-r40-a1b2")

    assert best is not None
    assert best == store.trial(best.id)
    assert (best.number, best.objective, best.attempts) == (2, 0.9, 1)


def test_best_trial_is_of_what_is_searched_though_another_cell_of_the_grid_is_better(store: Store) -> None:
    add_sweep(store)
    ours, cce = add_trial(store, configuration=0), add_trial(store, configuration=1, supervision="cce")
    for trial, objective in ((cce, 0.9), (ours, 0.5)):
        store.finish_trial(trial.id, TrialState.DONE, objective=objective)

    best = store.best_trial("digits-r40-a1b2")
    assert best is not None
    assert best.id == ours.id


def test_best_trial_is_not_a_seed_of_a_configuration_that_was_given_up(store: Store) -> None:
    add_sweep(store)
    results: list[tuple[int, int, TrialState, float | None]] = [
        (0, 0, TrialState.DONE, 0.9),
        (0, 1, TrialState.PRUNED, None),
        (1, 0, TrialState.DONE, 0.8),
        (1, 1, TrialState.DONE, 0.7),
    ]
    for configuration, repeat, state, objective in results:
        trial = add_trial(store, configuration=configuration, repeat=repeat)
        store.start_attempt(trial.id, "machine", 1)
        store.finish_trial(trial.id, state, objective=objective)

    best = store.best_trial("digits-r40-a1b2")

    assert best is not None
    assert (best.configuration, best.objective) == (1, 0.8)


def test_readers_neither_wait_for_a_writer_nor_see_what_it_has_not_committed(
    store: Store, store_url: str
) -> None:
    sweep = add_sweep(store)
    with Store.open(store_url) as reader:
        # A writer in the middle of its transaction, as another process would be.
        with store._writing() as session:
            session.execute(update(Sweep).values(message="not yet"))
            session.flush()
            assert reader.sweeps() == [sweep]
            assert reader.progress(sweep.id) == Progress()
            Store.open(store_url).close()
        assert reader.sweep(sweep.id).message == "not yet"


def test_writers_of_several_threads_and_stores_wait_for_each_other_and_none_fails(
    store: Store, store_url: str
) -> None:
    sweep = add_sweep(store)
    trials = [add_trial(store, configuration=number) for number in range(8)]

    def run_trial(user: Store, trial: TrialRecord) -> None:
        user.start_attempt(trial.id, "machine", 1)
        for number in range(1, 11):
            user.record_epochs(trial.id, [epoch_of(trial, number)])
            assert len(user.epochs(trial.id)) == number
            user.tracking.save(sweep.id, TrackingRecord(sweep.id, "run", number))
        user.finish_trial(trial.id, TrialState.DONE, objective=0.5)

    with Store.open(store_url) as other, ThreadPoolExecutor(8) as pool:
        users = [store, other] * 4
        list(pool.map(run_trial, users, trials))

    assert store.progress(sweep.id) == Progress(done=8)
    assert [len(store.epochs(trial.id)) for trial in trials] == [10] * 8


# Of all sweeps


def test_all_trials_are_counted_by_state(store: Store) -> None:
    assert store.trial_counts() == dict.fromkeys(TrialState, 0)
    for sweep_id in ("one", "two"):
        add_sweep(store, sweep_id)
        add_trial(store, sweep_id)
    store.start_attempt("two-0000", "here", 1)
    assert store.trial_counts() == {**dict.fromkeys(TrialState, 0), TrialState.WAITING: 1, TrialState.RUNNING: 1}


def test_who_has_waited_longest_is_told_from_who_is_run_by_a_person(store: Store) -> None:
    assert store.queue.oldest() is None
    add_sweep(store, "attended", attended=True)
    first = add_sweep(store, "first")
    add_sweep(store, "second", priority=9)
    assert store.queue.oldest() == first.created_at


# MLflow's cursor


def test_tracking_is_unknown_until_saved_and_then_the_last_saved(store: Store) -> None:
    assert store.tracking.cursor("digits-r40-a1b2") is None
    id = add_sweep(store).id
    store.tracking.save(id, TrackingRecord(id, "run-1"))
    store.tracking.save(id, TrackingRecord(id, "run-1", epochs_recorded=4, closed=True))
    last = TrackingRecord(id, "run-1", 4, True)
    assert store.tracking.cursor(id) == last
    assert store.tracking.cursors([id, "another"]) == {id: last}


def test_every_refusal_is_one_of_ours(store: Store) -> None:
    add_sweep(store)
    trial = add_trial(store)
    store.finish_trial(trial.id, TrialState.DONE)
    for refused in (
        lambda: store.sweep("x"),
        lambda: store.trial("x"),
        lambda: store.start_attempt(trial.id, "machine", 1),
        lambda: add_sweep(store),
    ):
        with pytest.raises(EmphasisError):
            refused()
