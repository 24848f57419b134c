"""How a running sweep is stopped from outside, and that it notices when what it stands on is gone."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
from recorded_sweeps import RecordSweep
from typer.testing import CliRunner

from search import cluster
from search import compare
from search import interruption
from search import sweep_session
from search.cli import app
from search.cluster import Cluster
from search.errors import LeaseLost
from search.errors import StoreUnavailable
from search.home import Home
from search.interruption import Interruption
from search.interruption import Lookout
from search.orchestrator import resume_sweep
from search.owner import is_alive
from search.owner import this_process
from search.settled_rate import SettledRate
from search.spec import SweepSpec
from search.status import SweepStatus
from search.store import Phase
from search.store import Store
from search.store import SweepState
from search.store import TrialState
from search.tracking import Recorder
from trainers.errors import InvalidInput

LONGEST = 30.0


@pytest.fixture(autouse=True)
def _in_a_hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("_SECONDS_BETWEEN_LOOKS", "_SECONDS_BETWEEN_HEARTBEATS", "_LONGEST_REACTION"):
        monkeypatch.setattr(interruption, name, 0.01)


@pytest.fixture(autouse=True)
def _ctrl_c_is_heard() -> Iterator[None]:
    # Tests that run in a script's background have inherited that it is ignored.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def child() -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    yield process
    process.kill()
    process.communicate()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_raises_where_the_sweep_runs_and_is_remembered(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    with Interruption() as asked:
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(number)
        assert asked.reason == "interrupted"
        # Raised inside one of Ray's callbacks it would be lost; the sweep asks again.
        with pytest.raises(KeyboardInterrupt):
            asked.raise_if_requested()
    assert signal.getsignal(number) is before


def test_the_first_reason_is_the_one_that_is_kept() -> None:
    with Interruption() as asked:
        for reason in ("Ray ended", "something else"):
            with pytest.raises(KeyboardInterrupt):
                asked.request(reason)
    assert asked.reason == "Ray ended"


def test_once_a_sweep_is_being_stopped_another_ctrl_c_does_not_cut_that_off() -> None:
    with Interruption() as asked:
        asked.settle()
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGTERM)
    assert asked.reason == "interrupted"


def test_a_process_that_ignores_ctrl_c_goes_on_ignoring_it() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with Interruption() as asked:
            signal.raise_signal(signal.SIGINT)
            assert asked.reason is None
            with pytest.raises(KeyboardInterrupt):
                asked.request("Ray ended")
    finally:
        signal.signal(signal.SIGINT, before)


def test_signals_are_taken_back_from_who_took_them_meanwhile() -> None:
    taken = []
    before = signal.getsignal(signal.SIGTERM)
    with Interruption() as asked:
        signal.signal(signal.SIGTERM, lambda number, frame: taken.append(number))
        asked.listen()
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGTERM)
    assert not taken
    assert signal.getsignal(signal.SIGTERM) is before


def test_away_from_the_main_thread_a_request_is_seen_when_it_is_asked_for() -> None:
    seen: list[str | None] = []

    def sweep() -> None:
        with Interruption() as asked:
            asked.request("Ray ended")
            try:
                asked.raise_if_requested()
            except KeyboardInterrupt:
                seen.append(asked.reason)

    thread = threading.Thread(target=sweep)
    thread.start()
    thread.join(LONGEST)
    assert seen == ["Ray ended"]


def interrupted_by(lookout: Callable[[Interruption], Lookout]) -> str | None:
    """Why a sweep that would wait for ever was interrupted."""
    with Interruption() as asked:
        try:
            with lookout(asked):
                threading.Event().wait(LONGEST)
        except KeyboardInterrupt:
            return asked.reason
    return "was not interrupted"


def test_a_sweep_that_is_asked_to_stop_is_interrupted() -> None:
    beats = iter([None, None, "paused"])

    def lookout(asked: Interruption) -> Lookout:
        return Lookout(asked, lambda: next(beats), lambda reason: None)

    assert interrupted_by(lookout) == "paused"


def test_a_store_that_does_not_take_a_heartbeat_does_not_end_the_sweep() -> None:
    beats = []

    def beat() -> None:
        beats.append(None)
        if len(beats) < 3:
            raise (StoreUnavailable if len(beats) == 1 else RuntimeError)("the disk is full")
        raise LeaseLost("sweep", "another has it now")

    assert interrupted_by(lambda asked: Lookout(asked, beat, lambda reason: None)) == "another has it now"
    assert len(beats) == 3


def test_a_sweep_whose_ray_has_died_is_interrupted(child: subprocess.Popen[bytes]) -> None:
    ray = Cluster(servers=[psutil.Process(child.pid)])

    def lookout(asked: Interruption) -> Lookout:
        looking = Lookout(asked, lambda: None, lambda reason: None)
        looking.find_loss = ray.loss
        return looking

    assert ray.loss() is None
    child.kill()
    reason = interrupted_by(lookout)

    assert reason is not None
    assert reason.startswith("Ray ended: its process python")
    assert str(child.pid) in reason


def test_a_sweep_that_does_not_react_is_stopped_in_the_store_all_the_same() -> None:
    stopped = threading.Event()
    reasons: list[str] = []

    def last_resort(reason: str) -> None:
        reasons.append(reason)
        stopped.set()

    # Never entered, so that the request reaches nobody.
    looking = Lookout(Interruption(), lambda: None, last_resort)
    looking.find_loss = lambda: "Ray ended"
    with looking:
        assert stopped.wait(LONGEST)
    assert reasons == ["Ray ended"]


def test_a_cluster_that_has_not_answered_for_long_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        ray = Cluster(address=address)
        monkeypatch.setattr(cluster, "_PATIENCE_WITH_A_CLUSTER", 0.0)
        assert ray.loss() is None
    monkeypatch.setattr(cluster, "_PATIENCE_WITH_A_CLUSTER", 1000.0)
    assert ray.loss() is None  # its head may be started anew
    monkeypatch.setattr(cluster, "_PATIENCE_WITH_A_CLUSTER", 0.0)

    loss = ray.loss()
    assert loss is not None
    assert f"the Ray cluster at {address} has not answered" in loss


@pytest.fixture
def done_sweep(record_sweep: RecordSweep, monkeypatch: pytest.MonkeyPatch) -> str:
    """A sweep that is done, of which one of three candidates was left to confirm; MLflow is not asked anything."""
    sweep = record_sweep("done", spec={"dataset": "digits", "noise_rate": 0.4, "supervision": "gr", "trials": 3})
    for beta, objective in ((8, 0.9), (12, None), (16, None)):
        sweep.searched((beta, 0.5), objective)
    sweep.baseline(0.8, 0.81, 0.82)
    sweep.confirmed((8, 0.5), 0.9, 0.91, 0.92)
    sweep.done()
    monkeypatch.setattr(Recorder, "notify", lambda recorder, sweep_id: None)
    return sweep.id


def test_ctrl_c_while_mlflow_does_not_answer_shows_what_was_found_and_waits_for_nothing_more(
    done_sweep: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []
    monkeypatch.setattr(Recorder, "flush", lambda *given: signal.raise_signal(signal.SIGINT))
    monkeypatch.setattr(Recorder, "close", lambda recorder, timeout: waits.append(timeout))

    stopped = CliRunner().invoke(app, ["resume", done_sweep, "--here", "--home", str(tmp_path)])

    assert "Recommended: beta = 8" in stopped.stdout
    assert "MLflow does not have all of it (interrupted). The sweep is whole in the store" in stopped.stderr
    assert f"`emphasis --home {tmp_path} resume done`" in stopped.stderr
    assert (stopped.stderr.splitlines()[-1], stopped.exit_code) == ("Interrupted.", 1)
    assert waits == [0.0]


def test_ctrl_c_while_ray_is_left_shows_what_was_found_and_begins_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    @contextmanager
    def left_with_ctrl_c(*given: Any) -> Iterator[Cluster]:
        with ray_cluster(*given) as found:
            yield found
        signal.raise_signal(signal.SIGINT)

    ray_cluster = sweep_session.ray_cluster
    monkeypatch.setattr(sweep_session, "ray_cluster", left_with_ctrl_c)
    options = ["--trials", "1", "--epochs", "1", "--confirm-seeds", "1", "--noise-rate", "0.2", "--noise-rate", "0.4"]

    stopped = CliRunner().invoke(app, ["--home", str(tmp_path), "run", "--dataset", "digits", *options])

    assert "Recommended: beta" in stopped.stdout
    assert stopped.stderr.splitlines()[-2:] == ["Not started: noise rate 0.4.", "Interrupted."]
    assert stopped.exit_code == 1
    with Store.open(Home(tmp_path).store_url) as store:
        assert [sweep.state for sweep in store.sweeps()] == [SweepState.DONE]


def test_a_comparison_goes_no_further_once_ctrl_c_has_cut_short_what_records_a_sweep(
    done_sweep: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Recorder, "flush", lambda *given: signal.raise_signal(signal.SIGINT))
    outcome = resume_sweep(done_sweep, home=Home(tmp_path))
    spec = SweepSpec(dataset="digits", noise_rate=0.4)
    planned = compare.Plan(spec, None, SettledRate(0.4))
    monkeypatch.setattr(compare, "plan", lambda *given: [planned, planned])
    runs: list[SweepSpec] = []
    monkeypatch.setattr(compare, "run_sweep", lambda spec, **given: runs.append(spec) or outcome)

    with pytest.raises(KeyboardInterrupt):
        compare.compare([spec, spec], home=Home(tmp_path))
    assert len(runs) == 1


def test_what_mlflow_lacks_of_a_finished_sweep_is_said_with_what_completes_it(
    done_sweep: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Recorder, "flush", lambda *given: False)
    monkeypatch.setattr(Recorder, "error_of", lambda *given: "MlflowException from MLflow at http://there: no route")

    outcome = resume_sweep(done_sweep, home=Home(tmp_path))

    assert not outcome.interrupted
    assert outcome.tracking_behind == (
        "MLflow does not have all of it (MlflowException from MLflow at http://there: no route). The sweep is whole in "
        "the store: the next `emphasis run`, or `emphasis resume done`, records it."
    )


def test_a_sweep_that_is_done_has_as_many_trials_as_it_has_run(done_sweep: str, tmp_path: Path) -> None:
    told: list[SweepStatus] = []

    resume_sweep(done_sweep, home=Home(tmp_path), on_status=told.append)

    assert {(status.progress.finished, status.planned) for status in told} == {(9, 9)}


def test_only_resume_takes_a_sweep_from_a_machine_that_is_asleep(
    store: Store, record_sweep: RecordSweep, tmp_path: Path
) -> None:
    for sweep_id in ("asked", "other"):
        record_sweep(sweep_id, spec={"dataset": "digits", "noise_rate": 0.4, "supervision": "gr"}).fell_asleep()
    with pytest.raises(InvalidInput, match="is not the one that the finished trials"):
        resume_sweep("asked", home=Home(tmp_path))
    assert {sweep.id: (sweep.state, sweep.owner) for sweep in store.sweeps()} == {
        "asked": (SweepState.PAUSED, None),
        "other": (SweepState.RUNNING, "laptop:1:1.0"),
    }


def test_sweeps_of_dead_processes_are_released_and_those_of_living_ones_left_alone(
    store: Store, record_sweep: RecordSweep, child: subprocess.Popen[bytes]
) -> None:
    created = psutil.Process(child.pid).create_time()
    dead = f"{socket.gethostname()}:{child.pid}:{created - 1000:.2f}"  # its pid was given to another since
    owners = {
        "dead": dead,
        "alive": f"{socket.gethostname()}:{child.pid}:{created:.2f}",
        "mine": this_process(),
    }
    for sweep_id, owner in owners.items():
        sweep = record_sweep(sweep_id)
        sweep.searched((8, 0.5), 0.9)
        store.claim_sweep(sweep_id, owner, is_alive=lambda owner, heartbeat: False)
        trial = store.add_trial(
            sweep_id,
            phase=Phase.SEARCH,
            configuration=5,
            repeat=0,
            supervision="gr",
            hyperparameters={},
            params={},
            noise_rate=0.4,
            seed=1,
            noise_seed=1,
        )
        store.start_attempt(trial.id, "here", os.getpid())

    store.release_lost(is_alive)

    found = {sweep.id: (sweep.state, sweep.owner) for sweep in store.sweeps()}
    assert found["dead"] == (SweepState.PAUSED, None)
    assert found["alive"] == (SweepState.RUNNING, owners["alive"])
    assert found["mine"] == (SweepState.RUNNING, owners["mine"])
    assert [trial.state for trial in store.trials("dead")] == [TrialState.DONE, TrialState.WAITING]
    assert [trial.state for trial in store.trials("alive")] == [TrialState.DONE, TrialState.RUNNING]
