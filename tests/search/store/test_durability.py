"""What was announced as committed survives SIGKILL, and much of it stays quick to read."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerContext

import pytest
from sqlalchemy import text

from search.store import Accuracies
from search.store import EpochRecord
from search.store import Phase
from search.store import Store
from search.store import TrialState


def write_trials(url: str, announce: Connection) -> None:
    """Write as fast as it can, and say after each call, and only then, what the call has recorded."""
    store = Store.open(url)
    store.create_sweep(
        id="s",
        spec={},
        dataset="digits",
        noise_rate=0.4,
        backbone="mlp",
        supervision="gr",
        data_hash="h",
        versions={},
    )
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


def quickest(of: Callable[[], object], tries: int = 3) -> float:
    """The least of a few wall times in seconds: other work on the machine can only add to it."""
    times = []
    for _ in range(tries):
        started = time.perf_counter()
        of()
        times.append(time.perf_counter() - started)
    return min(times)


def test_progress_and_best_stay_quick_with_a_hundred_thousand_trials(store: Store) -> None:
    for sweep_id in ("big", *(f"small-{number:03d}" for number in range(200))):
        store.create_sweep(
            id=sweep_id,
            spec={},
            dataset="digits",
            noise_rate=0.4,
            backbone="mlp",
            supervision="gr",
            data_hash="h",
            versions={},
        )
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
    best = store.best_so_far("big")

    assert (progress.done, progress.failed) == (90_000, 10_000)
    assert best is not None
    assert best.number == 99_999
    # About ten times what a 2-core machine takes, which is far below what a scan of all columns would.
    assert quickest(lambda: store.progress("big")) < 0.5
    assert quickest(lambda: store.best_so_far("big")) < 0.1
    everything = [sweep.id for sweep in store.sweeps()]
    assert quickest(lambda: store.progress_of(everything)) < 0.5
