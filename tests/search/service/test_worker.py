"""Workers as real processes on one store: what runs where, and what becomes of it when a worker is stopped or killed.

Their sweeps join a Ray that runs already.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sqlite3
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import psutil
import pytest
from brake import Brake
from driver_process import DriverProcess
from driver_process import RayProcess
from driver_process import eventually
from driver_process import joining
from recorded_sweeps import RecordSweep
from sweep_record import Record
from sweep_record import assert_complete
from sweep_record import assert_kept
from sweep_record import assert_nothing_runs

from search.errors import LeaseLost
from search.errors import NotInstalledHere
from search.errors import SweepFailed
from search.errors import SweepInterrupted
from search.home import Home
from search.orchestrator import run_queued_sweep
from search.service import cluster_probe
from search.service.cluster_probe import ClusterProbe
from search.service.local import LocalService
from search.store import AttemptState
from search.store import ProcessKind
from search.store import Store
from search.store import SweepRecord
from search.store import SweepState
from search.store import TrialState
from search.store import Verb

PLAIN = {"dataset": "digits", "noise_rate": 0.4, "supervision": "gr"}


@dataclass
class Installation:
    """A home folder, its store, and workers that share it."""

    home: Home
    store: Store
    cluster: RayProcess

    def submit(
        self, submitter: str = "local", *, priority: int = 0, trials: int = 2, rate: float = 0.4, braked: bool = False
    ) -> str:
        """Queue a sweep of so many trials, of which none is repeated; its id."""
        service = LocalService(self.store, self.home, submitter=submitter)
        fields = {
            "dataset": "digits",
            "noise_rate": rate,
            "trials": trials,
            "starting_points": 0,
            "confirm": {"seeds": 0},
            "training": {"epochs": 2},
            **({"supervision": "braked"} if braked else {}),
        }
        return service.submit(fields, priority=priority).id

    def worker(self, *arguments: str) -> DriverProcess:
        """Start a worker, which runs one trial at a time."""
        command = ("worker", "--trials", "1", "--poll", "0.2", "--log-format", "json", *arguments)
        return DriverProcess(self.home.path, *command, environment=joining(self.cluster))

    def record(self, sweep_id: str) -> Record:
        return Record(self.home, sweep_id)

    def owner(self, sweep_id: str, other_than: str | None = None) -> str:
        """Wait until a process has the sweep; its name."""

        def look() -> str | None:
            owner = self.store.sweep(sweep_id).owner
            return None if owner == other_than else owner

        return eventually(look)

    def wait_for(self, sweep_id: str, *states: SweepState) -> SweepRecord:
        def look() -> SweepRecord | None:
            sweep = self.store.sweep(sweep_id)
            assert sweep.state is not SweepState.FAILED, sweep.message
            return sweep if sweep.state in states else None

        return eventually(look)

    def wait_for_finished_trial(self, sweep_id: str, count: int = 1) -> None:
        eventually(lambda: self.store.progress(sweep_id).finished >= count)

    def started_by(self, sweep_id: str) -> list[str]:
        """Who took the sweep up, in order."""
        return [each.message.split()[-1] for each in self.store.events(sweep_id) if each.kind == "started"]


def pid_of(owner: str) -> int:
    return int(owner.split(":")[1])


def assert_complete_once(record: Record) -> None:
    """As `assert_complete`; and no two attempts at a trial ran at the same time."""
    assert_complete(record)
    for attempts in record.attempts.values():
        for before, after in pairwise(attempts):
            assert before.finished_at is not None
            assert before.finished_at <= after.started_at


@pytest.fixture(scope="module")
def installation(cluster: RayProcess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    home = Home(tmp_path_factory.mktemp("home"))
    with Store.open(home.store_url) as store:
        yield Installation(home, store, cluster)


@pytest.fixture(scope="module")
def workers(installation: Installation) -> Iterator[list[DriverProcess]]:
    """Two workers with short leases."""
    with installation.worker("--lease", "10") as one, installation.worker("--lease", "10") as other:
        yield [one, other]


@pytest.fixture
def alone(cluster: RayProcess, tmp_path: Path) -> Iterator[Installation]:
    """An installation without any worker yet."""
    home = Home(tmp_path)
    with Store.open(home.store_url) as store:
        yield Installation(home, store, cluster)


def test_three_sweeps_of_three_submitters_on_two_workers_finish_with_the_right_owners(
    installation: Installation, request: pytest.FixtureRequest
) -> None:
    store = installation.store
    ada, ben = installation.submit("ada", rate=0.2), installation.submit("ben", rate=0.4)
    cleo = installation.submit("cleo", rate=0.6, priority=5)
    workers: list[DriverProcess] = request.getfixturevalue("workers")
    expected = {ada: ("ada", 0.2), ben: ("ben", 0.4), cleo: ("cleo", 0.6)}

    for sweep_id, (name, rate) in expected.items():
        installation.wait_for(sweep_id, SweepState.DONE)
        eventually(lambda sweep_id=sweep_id: sweep_id not in store.tracking.behind())  # type: ignore[misc]
        record = installation.record(sweep_id)
        assert (record.sweep.submitter, record.sweep.noise_rate) == (name, rate)
        assert {trial.noise_rate for trial in record.trials} == {rate}
        assert len(record.trials) == 2
        assert_complete_once(record)
        # The log has a line for each trial's start and end, with its sweep and itself.
        said = [json.loads(line) for worker in workers for line in worker.output.splitlines() if sweep_id in line]
        for trial in record.trials:
            lines = [line["message"] for line in said if (line["sweep"], line.get("trial")) == (sweep_id, trial.id)]
            assert lines == ["started", "done"]
    # Each worker runs one at a time: the one of high priority and the one that came first, and the last after them.
    first, second, third = sorted(expected, key=lambda sweep_id: str(store.sweep(sweep_id).started_at))
    assert ({first, second}, third) == ({cleo, ada}, ben)
    ended = [store.sweep(sweep_id).finished_at for sweep_id in (cleo, ada)]
    begun = store.sweep(ben).started_at
    assert begun is not None
    assert any(end is not None and end <= begun for end in ended)
    assert len({owner for sweep_id in expected for owner in installation.started_by(sweep_id)}) == 3
    assert len(store.processes.heard_from(ProcessKind.WORKER)) == 2


def test_running_sweep_is_paused_resumed_and_cancelled_and_mlflow_follows(
    installation: Installation, workers: list[DriverProcess], brake: Brake
) -> None:
    store = installation.store
    never_run = installation.submit()
    store.ask(never_run, Verb.PAUSE)
    sweep_id = installation.submit(trials=4, braked=True)
    brake.let(1)
    installation.wait_for_finished_trial(sweep_id)
    store.ask(sweep_id, Verb.PAUSE)
    installation.wait_for(sweep_id, SweepState.PAUSED)
    paused = installation.record(sweep_id)
    assert paused.sweep.owner is None
    assert TrialState.RUNNING not in {trial.state for trial in paused.trials}

    eventually(lambda: not brake.held())  # a trial that outlives its sweep for a moment would take the pass
    store.ask(sweep_id, Verb.RESUME)
    brake.let(1)
    installation.wait_for_finished_trial(sweep_id, len(paused.finished) + 1)
    store.ask(sweep_id, Verb.CANCEL)
    installation.wait_for(sweep_id, SweepState.CANCELLED)
    # The process that ran it, or a worker: whoever is there brings MLflow up to the store.
    eventually(lambda: not store.tracking.behind())
    cancelled = installation.record(sweep_id)
    assert_kept(paused.finished, cancelled)
    assert_nothing_runs(cancelled)
    assert len(cancelled.finished) == len(paused.finished) + 1

    record = installation.record(never_run)
    (run,) = record.mlflow_runs()
    assert run.data.tags["emphasis.state"] == "paused"
    store.delete_sweep(never_run)
    eventually(lambda: not record.mlflow_runs())


@pytest.mark.long
def test_process_that_comes_back_from_a_long_pause_writes_nothing_any_more(
    installation: Installation, workers: list[DriverProcess], brake: Brake
) -> None:
    sweep_id = installation.submit(trials=3, braked=True)
    brake.let(1)
    installation.wait_for_finished_trial(sweep_id)
    brake.wait_until_held()
    sleeper = installation.owner(sweep_id)
    stop_between_transactions(pid_of(sleeper), installation.home)
    brake.open()
    try:
        successor = installation.owner(sweep_id, other_than=sleeper)
        before = installation.record(sweep_id).finished
    finally:
        os.kill(pid_of(sleeper), signal.SIGCONT)
    # It sees that the sweep is another's, and ends.
    psutil.wait_procs([psutil.Process(pid_of(sleeper))] if psutil.pid_exists(pid_of(sleeper)) else [], timeout=240)
    installation.wait_for(sweep_id, SweepState.DONE)

    eventually(lambda: sweep_id not in installation.store.tracking.behind())
    record = installation.record(sweep_id)
    assert not psutil.pid_exists(pid_of(sleeper))
    assert sleeper != successor
    assert installation.started_by(sweep_id)[:2] == [sleeper, successor]
    assert "let its lease run out" in " ".join(event.message for event in installation.store.events(sweep_id))
    assert_kept(before, record)
    assert_complete_once(record)


def stop_between_transactions(pid: int, home: Home) -> None:
    """SIGSTOP a process that holds no lock of SQLite, which nobody else could write to until it goes on."""
    with sqlite3.connect(home.path / "emphasis.db", timeout=0, isolation_level=None) as database:

        def stopped() -> bool:
            os.kill(pid, signal.SIGSTOP)
            try:
                database.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError:
                os.kill(pid, signal.SIGCONT)
                return False
            database.execute("ROLLBACK")
            return True

        eventually(stopped)


@pytest.mark.long
def test_sweep_goes_on_after_its_worker_was_stopped_and_after_the_next_was_killed(
    alone: Installation, brake: Brake
) -> None:
    sweep_id = alone.submit(trials=6, braked=True)
    brake.let(1)
    with alone.worker() as worker:
        alone.wait_for_finished_trial(sweep_id)
        worker.terminate()
        assert worker.wait() == 0, worker.output
    stopped = alone.record(sweep_id)
    assert (stopped.sweep.state, stopped.sweep.message) == (SweepState.QUEUED, "its worker was stopped")
    assert_nothing_runs(stopped)
    assert alone.store.processes.heard_from() == []
    assert stopped.sweep.deaths == 0

    eventually(lambda: not brake.held())  # a trial that outlives its sweep for a moment would take the pass
    brake.let(1)
    with alone.worker() as worker:
        alone.wait_for_finished_trial(sweep_id, len(stopped.finished) + 1)
        left = worker.kill()
        assert not psutil.wait_procs(left, timeout=240)[1]
    killed = alone.record(sweep_id)
    assert_kept(stopped.finished, killed)
    assert killed.sweep.state is SweepState.RUNNING

    brake.open()
    with alone.worker():
        alone.wait_for(sweep_id, SweepState.DONE)
        eventually(lambda: not alone.store.tracking.behind())
    finished = alone.record(sweep_id)
    assert_kept(killed.finished, finished)
    assert_complete_once(finished)
    assert len(finished.trials) == 6
    lost = {
        each.reason for tries in finished.attempts.values() for each in tries if each.state is AttemptState.LOST
    }
    assert lost <= {"its worker was stopped", "the process that ran it was killed"}


@pytest.fixture
def no_cluster() -> str:
    """The address of a Ray cluster that is not there."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return f"127.0.0.1:{server.getsockname()[1]}"


def test_why_a_cluster_does_not_answer_is_logged_once(
    no_cluster: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(cluster_probe, "_SECONDS_UNTIL_NEXT_TRY", 0.0)
    probe = ClusterProbe(no_cluster, None)

    def look() -> None:
        tried_at = probe._next_at
        eventually(lambda: probe.look() or probe._next_at != tried_at)

    look()
    look()
    (said,) = caplog.messages
    assert said.startswith(f"no sweep is taken up while the Ray cluster at {no_cluster} does not answer: ray_address")
    assert "no Ray answers there" in said
    # What the process that asks says of an error that nobody foresaw, or where it dies, is another text.
    monkeypatch.setattr(cluster_probe, "_LONGEST_LOOK", 0.0)
    look()
    assert caplog.messages[1].endswith("ended with status -9")


@pytest.mark.parametrize("command", ["worker", "serve"])
def test_address_at_which_no_sweep_can_ever_run_is_refused_at_once(command: str, tmp_path: Path) -> None:
    with DriverProcess(tmp_path, command, "--ray-address", "ray://head:10001") as process:
        assert process.wait() == 2
        assert "is for Ray Client, which cannot run a sweep" in " ".join(process.output.split())


def test_worker_takes_up_nothing_while_its_cluster_does_not_answer(alone: Installation, no_cluster: str) -> None:
    sweep_id = alone.submit()
    with DriverProcess(alone.home.path, "worker", "--ray-address", no_cluster) as worker:
        worker.wait_for(f"no sweep is taken up while the Ray cluster at {no_cluster} does not answer")
        assert alone.store.sweep(sweep_id).fence == 0


def test_sweep_whose_cluster_goes_away_meanwhile_waits_for_it_in_the_queue(
    alone: Installation, no_cluster: str
) -> None:
    sweep_id = alone.submit()
    with pytest.raises(SweepInterrupted, match="no Ray answers there"):
        run_queued_sweep(sweep_id, lease_seconds=60, home=alone.home, ray_address=no_cluster)
    sweep = alone.store.sweep(sweep_id)
    assert (sweep.state, sweep.owner, sweep.deaths) == (SweepState.QUEUED, None, 0)


def test_worker_waits_for_a_store_that_does_not_answer(tmp_path: Path) -> None:
    in_the_way = tmp_path / "emphasis.db"
    in_the_way.mkdir()
    with DriverProcess(tmp_path, "worker") as worker:
        worker.wait_for("did not answer")
        in_the_way.rmdir()
        worker.wait_for("worker started on")
        worker.terminate()
        assert worker.wait() == 0
    assert worker.output.splitlines()[-1].endswith("worker stopped")


def test_sweep_that_is_not_for_this_worker_is_left_to_others(
    store: Store, record_sweep: RecordSweep, tmp_path: Path
) -> None:
    record_sweep("s1", supervision="of_a_plugin", spec=PLAIN | {"supervision": "of_a_plugin"}, attended=False)
    record_sweep("of_a_laptop").fell_asleep()
    with DriverProcess(tmp_path, "worker", "--log-format", "json") as worker:
        worker.wait_for('"left to others"')
        worker.terminate()
        assert worker.wait() == 0
    sweep = store.sweep("s1")
    assert (sweep.state, sweep.fence, sweep.deaths) == (SweepState.QUEUED, 0, 0)
    (said,) = [event for event in store.events("s1") if event.kind == "log"]
    assert "supervision = 'of_a_plugin': no such supervision" in said.message
    assert worker.output.count("taking up") == 1
    assert store.sweep("of_a_laptop").owner == "laptop:1:1.0"  # nobody but its user may wake it


@pytest.mark.parametrize("missing", [{"dataset": "of_a_plugin"}, {"backbone": "of_a_plugin"}, {"of_a_release": 1}])
def test_no_process_claims_a_sweep_whose_spec_it_cannot_read(
    store: Store, record_sweep: RecordSweep, tmp_path: Path, missing: dict[str, object]
) -> None:
    record_sweep("s1", spec=PLAIN | missing, attended=False)
    with pytest.raises(NotInstalledHere, match=next(iter(missing))):
        run_queued_sweep("s1", lease_seconds=60, home=Home(tmp_path))
    assert store.sweep("s1").fence == 0


def test_process_is_told_of_the_store_that_refuses_it_once_it_has_lost_the_sweep(
    store: Store, record_sweep: RecordSweep, tmp_path: Path
) -> None:
    record_sweep("s1", spec=PLAIN, attended=False)
    given: list[Store] = []
    with pytest.raises(SweepFailed, match="is not the one that the finished trials"):
        run_queued_sweep("s1", lease_seconds=60, home=Home(tmp_path), on_claimed=given.append)
    with pytest.raises(LeaseLost):
        given[0].add_event("s1", "too late")


def test_sweep_whose_process_is_only_starting_when_the_worker_stops_did_not_die(
    store: Store, record_sweep: RecordSweep, tmp_path: Path
) -> None:
    record_sweep("s1", spec=PLAIN, attended=False)
    with DriverProcess(tmp_path, "worker") as worker:
        worker.wait_for("taking up")
        worker.terminate()
        assert worker.wait() == 0
    assert "stopped while it was starting" in worker.output
    assert "its process died" not in worker.output
    assert (store.sweep("s1").fence, store.sweep("s1").deaths) == (0, 0)


def test_second_signal_kills_what_runs(alone: Installation, brake: Brake) -> None:
    sweep_id = alone.submit(braked=True)
    with alone.worker() as worker:
        owner = alone.owner(sweep_id)
        process = psutil.Process(pid_of(owner))
        process.suspend()  # it would not stop on the first
        worker.terminate()
        worker.wait_for("worker stops")
        worker.terminate()
        assert worker.wait() == 0
    assert not psutil.pid_exists(process.pid)
    with suppress(psutil.NoSuchProcess):
        process.kill()
    assert TrialState.FAILED not in {trial.state for trial in alone.store.trials(sweep_id)}
