"""What was announced as committed survives SIGKILL, and of much of it no more is read than is asked for."""

from __future__ import annotations

import re
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerContext
from typing import Any

import pytest
from sqlalchemy import event
from sqlalchemy import text

from search.store import Accuracies
from search.store import EpochRecord
from search.store import Phase
from search.store import Store
from search.store import SweepState
from search.store import TrialState


def make_sweep(store: Store, id: str) -> None:
    store.create_sweep(
        id=id, spec={}, dataset="digits", noise_rate=0.4, backbone="mlp", supervision="gr", data_hash="h", versions={}
    )


def write_trials(url: str, announce: Connection) -> None:
    """Write as fast as it can, and say after each call, and only then, what the call has recorded."""
    store = Store.open(url)
    make_sweep(store, "s")
    for number in range(100_000):
        trial = store.add_trial(
            "s",
            phase=Phase.SEARCH,
            configuration=number,
            repeat=0,
            supervision="gr",
            hyperparameters={"beta": number},
            params={},
            noise_rate=0.4,
            seed=1,
            noise_seed=1,
        )
        store.start_attempt(trial.id, "here", 1)
        for epoch in range(1, 4):
            report = EpochRecord(trial.id, epoch, 12 * epoch, 0.5, 0.1, None, None, None, 1.0)
            store.record_epochs(trial.id, [report])
            announce.send(("epoch", trial.id, epoch))
        objective = number / 100_000
        accuracies = Accuracies(3, 0.9, 0.5, objective)
        store.finish_trial(trial.id, TrialState.DONE, objective=objective, final=accuracies, best=accuracies)
        announce.send(("done", trial.id, objective))


@pytest.mark.parametrize("announcements_before_the_kill", [1, 29, 82])
def test_what_a_killed_process_announced_is_there_and_the_rest_can_go_on(
    store_url: str, processes: ForkServerContext, announcements_before_the_kill: int
) -> None:
    heard, announce = processes.Pipe(duplex=False)
    writer = processes.Process(target=write_trials, args=(store_url, announce))
    writer.start()
    announce.close()
    announced = [heard.recv() for _ in range(announcements_before_the_kill)]
    writer.kill()
    # What it said between the last one heard and the kill counts as well.
    try:
        while True:
            announced.append(heard.recv())
    except (EOFError, OSError):
        writer.join()
    assert writer.exitcode == -signal.SIGKILL

    with Store.open(store_url) as store:
        for kind, trial_id, value in announced:
            if kind == "epoch":
                assert value in [epoch.epoch for epoch in store.epochs(trial_id)]
            else:
                trial = store.trial(trial_id)
                assert (trial.state, trial.objective) == (TrialState.DONE, value)
                assert trial.final is not None
                assert trial.final.intact_train == value
                assert [attempt.state.value for attempt in store.attempts(trial_id)] == ["done"]

        # At most the one trial in hand is unfinished, and the store can be written at once.
        assert len(store.release_running("s", "driver killed")) <= 1
        assert store.progress("s").running == 0
        done = sum(kind == "done" for kind, _, _ in announced)
        assert store.progress("s").done in (done, done + 1)


@contextmanager
def plans(store: Store) -> Iterator[list[str]]:
    """How SQLite comes by what is asked for in the block: a line a table that is read."""
    engine, steps = store._database.engine, list[str]()

    def explain(connection: Any, cursor: Any, statement: str, given: Any, *_: object) -> None:
        if statement.startswith("SELECT"):
            steps.extend(step[-1] for step in cursor.execute(f"EXPLAIN QUERY PLAN {statement}", given).fetchall())

    event.listen(engine, "before_cursor_execute", explain)
    yield steps
    event.remove(engine, "before_cursor_execute", explain)


@contextmanager
def statements(store: Store) -> Iterator[list[str]]:
    """What the database is told in the block while a transaction writes."""
    engine, told = store._database._writing_engine, list[str]()

    def listen(connection: Any, cursor: Any, statement: str, *_: object) -> None:
        told.append(statement)

    event.listen(engine, "before_cursor_execute", listen)
    yield told
    event.remove(engine, "before_cursor_execute", listen)


def test_what_is_told_of_a_trial_reads_nothing_large_of_its_sweep(store: Store) -> None:
    make_sweep(store, "s")
    lease = store.claim_sweep("s", "here:1:100", is_alive=lambda owner, at: True).lease
    fenced = store.fenced(lease)
    with statements(store) as told:
        trial = fenced.add_trial(
            "s",
            phase=Phase.SEARCH,
            configuration=0,
            repeat=0,
            supervision="gr",
            hyperparameters={},
            params={},
            noise_rate=0.4,
            seed=1,
            noise_seed=1,
        )
        fenced.start_attempt(trial.id, "here", 1)
        fenced.record_epochs(trial.id, [EpochRecord(trial.id, 1, 12, 1.0, 0.1, 0.9, 0.5, 0.9, 0.1)])
        fenced.finish_trial(trial.id, TrialState.DONE, objective=0.9)
        fenced.add_event("s", "in words")
        store.renew(lease)

    assert any("sweeps.fence" in statement for statement in told)
    for statement in told:
        assert not re.search(r"sweeps\.(spec|facts|versions)", statement), statement
    # Who asks for it gets it all the same.
    assert store.finish_sweep("s", SweepState.DONE) == store.sweep("s")


def test_progress_and_best_are_read_from_the_index_of_trials_alone(sqlite_url: str) -> None:
    with Store.open(sqlite_url) as store:
        make_sweep(store, "s")
        for ask in (store.progress, store.best_trial, lambda id: store.progress_of([id, "other"])):
            with plans(store) as steps:
                ask("s")
            of_trials = [step for step in steps if "trials" in step]
            assert of_trials
            for step in of_trials:
                assert re.match(r"SEARCH trials(_\d)? USING (COVERING )?INDEX \w+ \(sweep_id=\?", step), step
            assert any("INDEX ix_trials_standing" in step for step in of_trials)


def test_progress_and_best_are_right_with_a_hundred_thousand_trials(store: Store) -> None:
    for sweep_id in ("big", *(f"small-{number:03d}" for number in range(200))):
        make_sweep(store, sweep_id)
    with store._writing() as session:
        session.execute(
            text(
                "WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 99999) "
                "INSERT INTO trials (id, sweep_id, number, phase, configuration, repeat, supervision, "
                "hyperparameters, params, noise_rate, seed, noise_seed, state, objective) "
                "SELECT 'big-' || i, 'big', i, 'search', i, 0, 'gr', '{}', '{}', 0.4, 1, 1, "
                "CASE WHEN i % 10 = 0 THEN 'failed' ELSE 'done' END, i / 100000.0 FROM n"
            )
        )

    progress = store.progress("big")
    best = store.best_trial("big")

    assert (progress.done, progress.failed) == (90_000, 10_000)
    assert best is not None
    assert best.number == 99_999
    everything = [sweep.id for sweep in store.sweeps()]
    assert sum(each.total for each in store.progress_of(everything).values()) == 100_000
