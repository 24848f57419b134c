"""The queue in the store: what may be asked of a sweep, who may run it, and what it tells; on both backends."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import update

from search.errors import IllegalMove
from search.errors import LeaseLost
from search.errors import RequestKeyUsed
from search.errors import SweepBusy
from search.store import AttemptState
from search.store import EpochRecord
from search.store import Phase
from search.store import ProcessKind
from search.store import Role
from search.store import Store
from search.store import SweepRecord
from search.store import SweepState
from search.store import TrackingRecord
from search.store import TrialRecord
from search.store import TrialState
from search.store import Verb
from search.store import utc_now
from search.store.models import Process
from search.store.models import Sweep
from search.store.sweep_moves import MOST_DEATHS
from trainers.errors import InvalidInput

WORKER, OTHER = "here:1:100", "there:2:200"


def alive(_owner: str, _heartbeat_at: datetime) -> bool:
    return True


def dead(_owner: str, _heartbeat_at: datetime) -> bool:
    return False


def add_sweep(store: Store, id: str = "sweep", **changes: Any) -> SweepRecord:
    given: dict[str, Any] = {
        "spec": {"dataset": "digits", "noise_rate": 0.4},
        "dataset": "digits",
        "noise_rate": 0.4,
        "backbone": "mlp",
        "supervision": "gr",
        "data_hash": "d" * 64,
        "versions": {},
    }
    return store.create_sweep(id=id, **{**given, **changes})


def claim(store: Store, id: str = "sweep", owner: str = WORKER, seconds: float = 60.0) -> SweepRecord:
    return store.claim_sweep(id, owner, is_alive=alive, lease_seconds=seconds)


def add_trial(store: Store, number: int = 0, sweep_id: str = "sweep") -> TrialRecord:
    return store.add_trial(
        sweep_id,
        phase=Phase.SEARCH,
        configuration=number,
        repeat=0,
        supervision="gr",
        hyperparameters={"beta": 8.0},
        params={},
        noise_rate=0.4,
        seed=1,
        noise_seed=2,
    )


def let_lease_run_out(store: Store, id: str = "sweep") -> None:
    with store._writing() as session:
        past = utc_now() - timedelta(seconds=1)
        session.execute(update(Sweep).where(Sweep.id == id).values(lease_expires_at=past))


def brought_to(state: SweepState, store: Store) -> SweepRecord:
    """A sweep in that state, brought there by legal moves."""
    add_sweep(store)
    if state is SweepState.QUEUED:
        return store.sweep("sweep")
    if state in (SweepState.PAUSED, SweepState.CANCELLED):
        return store.ask("sweep", Verb.PAUSE if state is SweepState.PAUSED else Verb.CANCEL)
    claim(store)
    if state.ended:
        return store.finish_sweep("sweep", state)
    asked = {SweepState.PAUSING: Verb.PAUSE, SweepState.CANCELLING: Verb.CANCEL}
    return store.ask("sweep", asked[state]) if state in asked else store.sweep("sweep")


# What may be asked

LEGAL = {
    (SweepState.QUEUED, Verb.PAUSE): SweepState.PAUSED,
    (SweepState.QUEUED, Verb.CANCEL): SweepState.CANCELLED,
    (SweepState.QUEUED, Verb.RESUME): SweepState.QUEUED,
    (SweepState.RUNNING, Verb.PAUSE): SweepState.PAUSING,
    (SweepState.RUNNING, Verb.CANCEL): SweepState.CANCELLING,
    (SweepState.RUNNING, Verb.RESUME): SweepState.RUNNING,
    (SweepState.PAUSING, Verb.PAUSE): SweepState.PAUSING,
    (SweepState.PAUSING, Verb.CANCEL): SweepState.CANCELLING,
    (SweepState.PAUSING, Verb.RESUME): SweepState.QUEUED,
    (SweepState.PAUSED, Verb.PAUSE): SweepState.PAUSED,
    (SweepState.PAUSED, Verb.CANCEL): SweepState.CANCELLED,
    (SweepState.PAUSED, Verb.RESUME): SweepState.QUEUED,
    (SweepState.CANCELLING, Verb.CANCEL): SweepState.CANCELLING,
    (SweepState.CANCELLED, Verb.CANCEL): SweepState.CANCELLED,
    (SweepState.FAILED, Verb.RESUME): SweepState.QUEUED,
    (SweepState.DONE, Verb.RESUME): SweepState.DONE,
}


@pytest.mark.parametrize("verb", Verb)
@pytest.mark.parametrize("state", SweepState)
def test_every_verb_in_every_state_moves_once_or_is_refused_with_the_reason(
    store: Store, state: SweepState, verb: Verb
) -> None:
    before = brought_to(state, store)
    assert before.state is state
    if (state, verb) in LEGAL:
        first = store.ask("sweep", verb, by="ann")
        assert first.state is LEGAL[state, verb]
        told = len(store.events("sweep"))
        assert store.ask("sweep", verb, by="ann") == first
        assert len(store.events("sweep")) == told  # to ask again changes nothing and says nothing
    else:
        with pytest.raises(IllegalMove, match=f"is {state}: it cannot be asked to {verb}"):
            store.ask("sweep", verb)
        assert store.sweep("sweep") == before


def test_a_sweep_resumed_while_it_still_stops_waits_for_its_process_to_let_go(store: Store) -> None:
    brought_to(SweepState.PAUSING, store)
    lease = store.sweep("sweep").lease
    store.ask("sweep", Verb.RESUME)

    assert store.queue.next() is None
    with pytest.raises(SweepBusy):
        claim(store, owner=OTHER)
    assert store.renew(lease, 60.0) is SweepState.QUEUED  # so its process learns that it is to stop
    assert store.ask("sweep", Verb.PAUSE).state is SweepState.PAUSING
    store.ask("sweep", Verb.RESUME)
    store.fenced(lease).release_sweep("sweep", "paused")

    waiting = store.queue.next()
    assert waiting is not None
    assert (waiting.id, waiting.state) == ("sweep", SweepState.QUEUED)


@pytest.mark.parametrize(
    ("asked", "attended", "becomes"),
    [
        (None, False, SweepState.QUEUED),
        (None, True, SweepState.PAUSED),
        (Verb.PAUSE, False, SweepState.PAUSED),
        (Verb.CANCEL, False, SweepState.CANCELLED),
        (Verb.CANCEL, True, SweepState.CANCELLED),
    ],
)
def test_what_becomes_of_a_sweep_whose_process_stops(
    store: Store, asked: Verb | None, attended: bool, becomes: SweepState
) -> None:
    add_sweep(store)
    lease = store.claim_sweep("sweep", WORKER, is_alive=alive, lease_seconds=None if attended else 60.0).lease
    trial = add_trial(store)
    store.start_attempt(trial.id, "here", 1)
    if asked is not None:
        store.ask("sweep", asked)

    stopped = store.fenced(lease).release_sweep("sweep", "stopped")

    assert (stopped.state, stopped.owner, stopped.lease_expires_at) == (becomes, None, None)
    assert store.trial(trial.id).state is TrialState.WAITING
    assert [attempt.state for attempt in store.attempts(trial.id)] == [AttemptState.LOST]


def test_a_sweep_that_is_done_before_it_could_be_cancelled_is_done(store: Store) -> None:
    brought_to(SweepState.CANCELLING, store)
    assert store.fenced(store.sweep("sweep").lease).finish_sweep("sweep", SweepState.DONE).state is SweepState.DONE


# Whose turn it is


def test_the_queue_gives_the_highest_priority_and_of_these_the_first_that_came(store: Store) -> None:
    for id, priority in (("a", 0), ("b", 5), ("c", 0), ("d", 5), ("e", -1)):
        add_sweep(store, id, priority=priority)
    add_sweep(store, "mine", priority=9, attended=True)

    order = []
    while (found := store.queue.next()) is not None:
        order.append(found.id)
        claim(store, found.id)
    assert order == ["b", "d", "a", "c", "e"]


def test_a_worker_passes_over_what_it_cannot_run(store: Store) -> None:
    add_sweep(store, "needs-a-gpu", priority=1)
    add_sweep(store, "sweep")
    found = store.queue.next(passing_over=["needs-a-gpu"])
    assert found is not None
    assert found.id == "sweep"


def test_a_worker_may_only_claim_what_is_queued_for_workers(store: Store) -> None:
    add_sweep(store, "mine", attended=True)
    with pytest.raises(IllegalMove):
        claim(store, "mine")
    brought_to(SweepState.PAUSED, store)
    with pytest.raises(IllegalMove, match="paused"):
        claim(store)


def test_of_many_workers_that_claim_at_once_one_gets_each_sweep(store: Store) -> None:
    ids = [add_sweep(store, f"sweep-{number}").id for number in range(10)]
    together = threading.Barrier(6)

    def claim_each(number: int) -> list[str]:
        won = []
        for id in ids:
            together.wait(timeout=60)
            try:
                claim(store, id, f"host{number}:1:1")
                won.append(id)
            except (SweepBusy, IllegalMove):
                pass
        return won

    with ThreadPoolExecutor(6) as pool:
        won = [id for each in pool.map(claim_each, range(6)) for id in each]
    assert sorted(won) == sorted(ids)


# Leases


def writes(store: Store, trial: TrialRecord) -> dict[str, Callable[[], object]]:
    epoch = EpochRecord(trial.id, 1, 10, 0.5, 0.1, None, None, None, 1.0)
    return {
        "add_trial": lambda: add_trial(store, 7),
        "start_attempt": lambda: store.start_attempt(trial.id, "here", 1),
        "record_epochs": lambda: store.record_epochs(trial.id, [epoch]),
        "finish_trial": lambda: store.finish_trial(trial.id, TrialState.DONE, objective=0.9),
        "release_trial": lambda: store.release_trial(trial.id, "gone"),
        "release_running": lambda: store.release_running("sweep", "gone"),
        "release_sweep": lambda: store.release_sweep("sweep", "gone"),
        "finish_sweep": lambda: store.finish_sweep("sweep", SweepState.DONE),
        "settle": lambda: store.settle("sweep", spec={}, noise_rate=0.1, facts={}),
        "add_versions": lambda: store.add_versions("sweep", {"torch": "9"}),
        "add_event": lambda: store.add_event("sweep", "hello"),
        "adopt_run": lambda: store.tracking.adopt_run("sweep", "sweep", "run-9"),
        "save": lambda: store.tracking.save("sweep", TrackingRecord("sweep", "run-9")),
        "forget": lambda: store.tracking.forget("sweep"),
    }


@pytest.mark.parametrize("loss", ["ran out", "has it now", "was released", "was deleted"])
def test_who_lost_the_lease_can_write_nothing_at_all(store: Store, loss: str) -> None:
    add_sweep(store)
    lease = claim(store).lease
    trial = add_trial(store)
    store.start_attempt(trial.id, "here", 1)
    if loss == "ran out":
        let_lease_run_out(store)
    elif loss == "has it now":
        let_lease_run_out(store)
        store.release_lost(alive)
        claim(store, owner=OTHER)
    else:
        store.release_sweep("sweep", "stopped")
        if loss == "was deleted":
            store.delete_sweep("sweep")

    def everything() -> object:
        there = store.sweeps()
        told = [(store.trials(sweep.id), store.events(sweep.id)) for sweep in there]
        return there, told, store.tracking.cursors(["sweep", trial.id])

    before = everything()
    for name, write in writes(store.fenced(lease), trial).items():
        with pytest.raises(LeaseLost, match=loss):
            write()
        assert everything() == before, name
    with pytest.raises(LeaseLost, match=loss):
        store.renew(lease, 60.0)


def test_a_lease_that_is_renewed_goes_on(store: Store) -> None:
    add_sweep(store)
    claimed = claim(store, seconds=60.0)
    assert store.renew(claimed.lease, 600.0) is SweepState.RUNNING
    renewed = store.sweep("sweep")
    assert claimed.lease_expires_at is not None
    assert renewed.lease_expires_at is not None
    assert renewed.lease_expires_at > claimed.lease_expires_at + timedelta(seconds=500)
    assert renewed.lease == claimed.lease
    add_trial(store.fenced(claimed.lease))


def test_the_same_process_claiming_again_has_a_new_lease_and_the_old_one_is_void(store: Store) -> None:
    add_sweep(store)
    first = claim(store).lease
    store.fenced(first).release_sweep("sweep", "stopped")
    second = claim(store).lease
    assert second.fence > first.fence
    with pytest.raises(LeaseLost):
        add_trial(store.fenced(first))
    add_trial(store.fenced(second))


def test_a_lease_that_ran_out_or_whose_process_died_is_released_and_others_are_not(store: Store) -> None:
    for id in ("expired", "dead", "living", "attended"):
        add_sweep(store, id)
    claim(store, "expired")
    let_lease_run_out(store, "expired")
    claim(store, "dead", OTHER)
    claim(store, "living")
    store.claim_sweep("attended", WORKER, is_alive=alive)

    released = store.release_lost(lambda owner, heartbeat_at: owner != OTHER)

    assert {sweep.id: (sweep.state, sweep.deaths) for sweep in released} == {
        "expired": (SweepState.QUEUED, 0),
        "dead": (SweepState.QUEUED, 1),
    }
    assert store.sweep("living").owner == store.sweep("attended").owner == WORKER


def test_what_a_person_runs_on_a_machine_that_may_be_asleep_is_kept_until_it_is_asked_for(store: Store) -> None:
    for id in ("asleep", "resumed", "cancelled", "leased"):
        add_sweep(store, id)
        if id != "leased":
            store.claim_sweep(id, OTHER, is_alive=alive)
    claim(store, "leased", OTHER)
    store.ask("cancelled", Verb.CANCEL)

    def heard_lately(_owner: str, heartbeat_at: datetime) -> bool:
        return heartbeat_at > later

    later = utc_now()
    assert [sweep.id for sweep in store.release_lost(heard_lately, sweep_id="resumed")] == ["resumed"]
    assert store.sweep("resumed").message == "the process that ran it has long been silent"
    released = store.release_lost(heard_lately, may_sleep=lambda owner: owner == OTHER)
    assert [(sweep.id, sweep.state) for sweep in released] == [("cancelled", SweepState.CANCELLED)]
    assert store.sweep("asleep").owner == OTHER


def test_a_sweep_that_kills_its_process_again_and_again_fails_with_the_reason(store: Store) -> None:
    add_sweep(store)
    for _ in range(MOST_DEATHS - 1):
        claim(store)
        store.release_lost(dead)
        assert store.sweep("sweep").state is SweepState.QUEUED
    claim(store)
    store.release_lost(dead)
    failed = store.sweep("sweep")
    assert failed.state is SweepState.FAILED
    assert f"{MOST_DEATHS} times in a row" in str(failed.message)
    # Whoever resumes it gives it as many tries again.
    assert store.ask("sweep", Verb.RESUME).deaths == 0


def test_a_machine_that_was_suspended_often_has_killed_nothing(store: Store) -> None:
    # As it wakes, its process meets the lost lease and ends as it should, before anybody looks.
    add_sweep(store)
    for _ in range(2 * MOST_DEATHS):
        claim(store)
        let_lease_run_out(store)
        (released,) = store.release_lost(dead)
        assert (released.state, released.deaths) == (SweepState.QUEUED, 0)
    claim(store)
    (killed,) = store.release_lost(dead)
    assert (killed.state, killed.deaths) == (SweepState.QUEUED, 1)


def test_a_trial_that_finishes_ends_the_row_of_deaths(store: Store) -> None:
    add_sweep(store)
    for number in range(2 * MOST_DEATHS):
        lease = claim(store).lease
        trial = add_trial(store.fenced(lease), number)
        store.fenced(lease).finish_trial(trial.id, TrialState.DONE, objective=0.5)
        store.release_lost(dead)
    assert store.sweep("sweep").state is SweepState.QUEUED


# Request keys


def test_the_same_request_key_gives_the_same_sweep(store: Store) -> None:
    first = add_sweep(store, "first", submitter="ann", request_key="k")
    assert add_sweep(store, "second", submitter="ann", request_key="k") == first
    assert [sweep.id for sweep in store.sweeps()] == ["first"]


def test_a_request_key_with_other_fields_is_refused(store: Store) -> None:
    add_sweep(store, "first", submitter="ann", request_key="k")
    with pytest.raises(RequestKeyUsed, match="sweep first was submitted under it"):
        add_sweep(store, "second", submitter="ann", request_key="k", spec={"dataset": "cifar10"})
    with pytest.raises(RequestKeyUsed):
        add_sweep(store, "second", submitter="ann", request_key="k", priority=3)
    assert len(store.sweeps()) == 1


def test_a_request_key_is_the_submitters_own_and_most_sweeps_have_none(store: Store) -> None:
    add_sweep(store, "anns", submitter="ann", request_key="k")
    add_sweep(store, "bobs", submitter="bob", request_key="k")
    add_sweep(store, "third", submitter="ann")
    add_sweep(store, "fourth", submitter="ann")
    assert len(store.sweeps()) == 4
    assert {sweep.id for sweep in store.sweeps(submitter="bob")} == {"bobs"}


def test_many_that_submit_under_one_key_at_once_get_one_sweep(store: Store) -> None:
    together = threading.Barrier(8)

    def submit(number: int) -> str:
        together.wait(timeout=60)
        return add_sweep(store, f"sweep-{number}", submitter="ann", request_key="k").id

    with ThreadPoolExecutor(8) as pool:
        answers = set(pool.map(submit, range(8)))
    assert len(answers) == 1
    assert {sweep.id for sweep in store.sweeps()} == answers


# An unknown noise rate


def test_an_unknown_noise_rate_is_settled_once(store: Store) -> None:
    unknown = add_sweep(store, noise_rate=math.nan, facts={"classes": 10})
    assert math.isnan(unknown.noise_rate)
    assert math.isnan(store.sweep("sweep").noise_rate)
    assert store.sweeps(noise_rate=0.0) == []

    settled = store.settle("sweep", spec={"noise_rate": 0.31}, noise_rate=0.31, facts={"noise_rate": "estimated"})
    assert (settled.noise_rate, settled.spec) == (0.31, {"noise_rate": 0.31})
    assert settled.facts == {"classes": 10, "noise_rate": "estimated"}
    assert store.settle("sweep", spec={"noise_rate": 0.2}, noise_rate=0.2, facts={}) == settled


# The log


def test_the_log_tells_what_happened_in_order_and_can_be_read_on(store: Store) -> None:
    add_sweep(store, submitter="ann")
    lease = claim(store).lease
    fenced = store.fenced(lease)
    trial = add_trial(fenced)
    fenced.start_attempt(trial.id, "here", 1)
    fenced.finish_trial(trial.id, TrialState.FAILED, reason="the loss was nan")
    store.ask("sweep", Verb.PAUSE, by="bob")
    fenced.release_sweep("sweep", "paused")

    events = store.events("sweep")
    assert [event.number for event in events] == list(range(1, len(events) + 1))
    assert [event.kind for event in events] == [
        "submitted",
        "started",
        "trial_started",
        "trial_finished",
        "state",
        "state",
    ]
    assert "ann" in events[0].message
    assert (events[3].trial_id, events[3].level) == (trial.id, "warning")
    assert "the loss was nan" in events[3].message
    assert "bob" in events[4].message
    assert events[5].data == {"state": "paused"}
    assert store.events("sweep", after=4) == events[4:]
    assert store.events("sweep", after=1, limit=2) == events[1:3]
    with pytest.raises(InvalidInput):
        store.events("nobody")


def test_a_log_written_from_many_threads_has_every_number_once(store: Store) -> None:
    add_sweep(store)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: store.add_event("sweep", str(number)), range(40)))
    events = store.events("sweep")
    assert [event.number for event in events] == list(range(1, 42))
    assert {event.message for event in events[1:]} == {str(number) for number in range(40)}


# Deleting


@pytest.mark.parametrize("state", [SweepState.RUNNING, SweepState.PAUSING, SweepState.CANCELLING])
def test_what_runs_or_still_stops_cannot_be_deleted(store: Store, state: SweepState) -> None:
    brought_to(state, store)
    with pytest.raises(IllegalMove, match="emphasis cancel sweep"):
        store.delete_sweep("sweep")
    assert store.sweep("sweep").state is state


def test_what_is_queued_again_while_its_process_still_stops_cannot_be_deleted(store: Store) -> None:
    add_sweep(store)
    claim(store)
    store.ask("sweep", Verb.PAUSE)
    resumed = store.ask("sweep", Verb.RESUME)
    assert (resumed.state, resumed.owner) == (SweepState.QUEUED, WORKER)

    with pytest.raises(IllegalMove, match="emphasis cancel sweep"):
        store.delete_sweep("sweep")
    assert store.sweep("sweep") == resumed


def test_a_deleted_sweep_is_gone_with_all_that_was_its_and_mlflow_is_to_follow(store: Store) -> None:
    add_sweep(store, "other")
    add_sweep(store)
    lease = claim(store).lease
    trial = add_trial(store.fenced(lease))
    store.start_attempt(trial.id, "here", 1)
    store.record_epochs(trial.id, [EpochRecord(trial.id, 1, 10, 0.5, 0.1, None, None, None, 1.0)])
    store.tracking.save("sweep", TrackingRecord("sweep", "run-1", closed=True))
    store.tracking.save("sweep", TrackingRecord(trial.id, "run-2", closed=True))
    store.tracking.save("other", TrackingRecord("other", "run-3", closed=True))
    store.finish_sweep("sweep", SweepState.DONE)

    store.delete_sweep("sweep")

    assert [sweep.id for sweep in store.sweeps()] == ["other"]
    assert store.epochs(trial.id) == []
    assert store.tracking.cursor(trial.id) is None
    assert store.tracking.cursor("sweep") == TrackingRecord("sweep", "run-1", deleted=True)
    assert store.tracking.behind() == ["sweep"]
    store.tracking.forget("sweep")
    store.tracking.forget("other")  # it was not deleted
    assert store.tracking.cursor("sweep") is None
    assert store.tracking.cursor("other") is not None
    with pytest.raises(InvalidInput):
        store.delete_sweep("sweep")


def test_recorder_that_was_in_the_middle_of_a_deleted_sweep_cannot_keep_its_runs(store: Store) -> None:
    add_sweep(store)
    trial = add_trial(store)
    store.tracking.save("sweep", TrackingRecord("sweep", "run-1"))
    store.delete_sweep("sweep")
    store.tracking.save("sweep", TrackingRecord(trial.id, "run-2"))
    store.tracking.save("sweep", TrackingRecord("sweep", "run-1", closed=True))

    assert store.tracking.cursor(trial.id) is None
    assert store.tracking.cursor("sweep") == TrackingRecord("sweep", "run-1", deleted=True)
    assert store.tracking.behind() == ["sweep"]


# What MLflow lacks


def test_mlflow_is_behind_whenever_a_sweep_that_nobody_runs_has_moved(store: Store) -> None:
    add_sweep(store)
    assert store.tracking.behind() == ["sweep"]
    assert store.tracking.behind(quiet_seconds=3600) == []  # something has just happened to it
    store.tracking.save("sweep", TrackingRecord("sweep", "run", closed=True))
    assert store.tracking.behind() == []
    claim(store)
    assert store.tracking.behind() == []  # who runs it records it
    store.finish_sweep("sweep", SweepState.DONE)
    assert store.tracking.behind() == ["sweep"]


# Pages of lists


def test_sweeps_are_read_page_by_page_each_once(store: Store) -> None:
    for number in range(7):
        add_sweep(store, f"sweep-{number}")
    whole = store.sweeps()
    pages, last = [], None
    while page := store.sweeps(limit=3, before=last):
        pages.append(page)
        last = page[-1].created_at, page[-1].id
        add_sweep(store, f"newer-{len(pages)}")  # what comes in meanwhile moves nothing
    assert [len(page) for page in pages] == [3, 3, 1]
    assert [sweep for page in pages for sweep in page] == whole


def test_trials_are_read_page_by_page(store: Store) -> None:
    add_sweep(store)
    for number in range(5):
        add_trial(store, number)
    first = store.trials("sweep", limit=3)
    assert [trial.number for trial in first] == [0, 1, 2]
    assert [trial.number for trial in store.trials("sweep", after=2, limit=3)] == [3, 4]
    assert store.trials("sweep", after=4) == []


def test_sweeps_are_counted_by_state(store: Store) -> None:
    add_sweep(store, "a")
    add_sweep(store, "b")
    claim(store, "b")
    counts = store.sweep_counts()
    assert set(counts) == set(SweepState)
    assert {state: count for state, count in counts.items() if count} == {SweepState.QUEUED: 1, SweepState.RUNNING: 1}


# Tokens and processes


def test_a_token_is_found_by_its_hash_until_it_is_revoked(store: Store) -> None:
    assert not store.tokens.exist()
    assert not store.tokens.were_made()
    ann = store.tokens.add("ann", Role.SUBMITTER, "a" * 64)
    store.tokens.add("bob", Role.READER, "b" * 64)
    assert store.tokens.find("a" * 64) == ann
    assert store.tokens.find("c" * 64) is None

    revoked = store.tokens.revoke("ann")
    assert revoked.revoked_at is not None
    assert store.tokens.revoke("ann") == revoked
    assert store.tokens.find("a" * 64) is None
    assert store.tokens.exist()
    store.tokens.revoke("bob")
    assert not store.tokens.exist()
    assert store.tokens.were_made()  # so the service does not open itself to everybody
    assert [token.name for token in store.tokens.all()] == ["ann", "bob"]
    with pytest.raises(InvalidInput, match="had this name"):
        store.tokens.add("ann", Role.READER, "d" * 64)
    with pytest.raises(InvalidInput, match="no such token"):
        store.tokens.revoke("carl")


def test_processes_that_have_said_that_they_live_are_listed_until_they_fall_silent(store: Store) -> None:
    store.processes.say("host:1:1", ProcessKind.WORKER, {"resources": {"CPU": 2}})
    store.processes.say("host:2:2", ProcessKind.SERVER, {"url": "http://localhost"})
    first = store.processes.heard_from()[0]
    store.processes.say("host:1:1", ProcessKind.WORKER, {"resources": {"CPU": 4}})

    (worker,) = store.processes.heard_from(ProcessKind.WORKER)
    assert (worker.facts, worker.started_at) == ({"resources": {"CPU": 4}}, first.started_at)
    assert len(store.processes.heard_from()) == 2
    store.processes.forget("host:2:2")
    with store._writing() as session:
        session.execute(update(Process).values(heartbeat_at=utc_now() - timedelta(minutes=2)))
    assert store.processes.heard_from() == []
