"""Whole sweeps with the real Ray, Optuna, MLflow and store, and what becomes of them when parts are killed.

Every sweep is a real `emphasis` process. Those whose Ray is killed with them start their own; the others join
one that runs already.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest
from driver_process import DriverProcess
from driver_process import RayProcess
from driver_process import eventually

from search.errors import SweepBusy
from search.home import Home
from search.orchestrator import resume_sweep
from search.store import AttemptState
from search.store import Phase
from search.store import Store
from search.store import SweepState
from search.store import TrialRecord
from search.store import TrialState

# 4 of the search, 2 of CCE, 2 that confirm the best.
SMALL = ("--dataset", "digits", "--noise-rate", "0.4", "--trials", "4", "--confirm-top", "1")
SMALL = (*SMALL, "--confirm-seeds", "2")
TRIALS = 8
# About a second of training on a quiet machine: time to be killed in.
LONG = ("--epochs", "40")


@dataclass
class Record:
    """What a home folder has of its one sweep, read as a user's tools read it."""

    home: Home

    def __post_init__(self) -> None:
        with Store.open(self.home.store_url) as store:
            (self.sweep,) = store.sweeps()
            self.trials = store.trials(self.sweep.id)
            self.attempts = {trial.id: store.attempts(trial.id) for trial in self.trials}
            self.epochs = {trial.id: len(store.epochs(trial.id)) for trial in self.trials}

    @property
    def finished(self) -> dict[str, TrialRecord]:
        return {trial.id: trial for trial in self.trials if trial.state.finished}

    def mlflow_runs(self) -> list[Any]:
        from mlflow.tracking import MlflowClient

        client: Any = MlflowClient(tracking_uri=self.home.tracking_uri)
        experiment = client.get_experiment_by_name(f"emphasis/{self.sweep.dataset}")
        wanted = f"tags.`emphasis.sweep_id` = '{self.sweep.id}'"
        return list(client.search_runs([experiment.experiment_id], wanted, max_results=1000))


def assert_nothing_runs(record: Record) -> None:
    assert record.sweep.owner is None
    assert TrialState.RUNNING not in {trial.state for trial in record.trials}
    attempts = [attempt for each in record.attempts.values() for attempt in each]
    assert AttemptState.RUNNING not in {attempt.state for attempt in attempts}
    assert "RUNNING" not in {run.info.status for run in record.mlflow_runs()}


def assert_complete(record: Record, failed: int = 0) -> None:
    """Every trial has one result, in the store and in MLflow, and nothing runs."""
    assert record.sweep.state is SweepState.DONE
    states = Counter(trial.state for trial in record.trials)
    assert states == Counter({TrialState.DONE: len(record.trials) - failed, TrialState.FAILED: failed})
    for trial in record.trials:
        *lost, last = record.attempts[trial.id]
        assert {attempt.state for attempt in lost} <= {AttemptState.LOST}
        assert last.state in (AttemptState.DONE, AttemptState.FAILED)
    runs = record.mlflow_runs()
    children = Counter(run.data.tags.get("emphasis.trial_id") for run in runs)
    assert children == Counter([None, *(trial.id for trial in record.trials)])
    assert Counter(run.info.status for run in runs) == Counter(
        {"FINISHED": len(runs) - failed, **({"FAILED": failed} if failed else {})}
    )
    assert_nothing_runs(record)


def assert_kept(before: dict[str, TrialRecord], record: Record) -> None:
    """What was finished before has not been run again: same result, same moment, same attempts."""
    assert before
    after = record.finished
    assert {trial_id: after[trial_id] for trial_id in before} == before


@pytest.fixture(scope="module")
def cluster() -> Iterator[RayProcess]:
    ray = RayProcess()
    yield ray
    ray.stop()


@pytest.fixture(autouse=True)
def _no_shared_installation(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("EMPHASIS_STORE_URL", "MLFLOW_TRACKING_URI", "RAY_ADDRESS"):
        monkeypatch.delenv(name, raising=False)


def joining(cluster: RayProcess, **others: str) -> dict[str, str]:
    # Ray started by `ray.init` asks for the token that it has left in the user's home.
    return {"RAY_ADDRESS": cluster.address, "RAY_AUTH_MODE": "token", **others}


@dataclass
class Whole:
    """A sweep that nothing happened to."""

    record: Record
    output: str


@pytest.fixture(scope="module")
def whole(cluster: RayProcess, tmp_path_factory: pytest.TempPathFactory) -> Whole:
    home = tmp_path_factory.mktemp("home")
    with DriverProcess(home, "run", *SMALL, "--epochs", "3", environment=joining(cluster)) as driver:
        assert driver.wait() == 0, driver.output
        return Whole(Record(Home(home)), driver.output)


def test_a_sweep_searches_measures_cce_and_confirms_the_best(whole: Whole) -> None:
    record = whole.record

    assert_complete(record)
    assert Counter(trial.phase for trial in record.trials) == {
        Phase.SEARCH: 4,
        Phase.BASELINE: 2,
        Phase.CONFIRM: 2,
    }
    searched = [trial for trial in record.trials if trial.phase is Phase.SEARCH]
    best = max(searched, key=lambda trial: trial.objective or 0.0)
    confirmed = [trial for trial in record.trials if trial.phase is Phase.CONFIRM]
    assert {trial.configuration for trial in confirmed} == {best.configuration}
    for trial in record.trials:
        assert trial.final is not None
        assert trial.objective == trial.final.intact_train
        assert trial.final.epoch == record.epochs[trial.id] == 3
        assert trial.realised_noise_rate == pytest.approx(0.4, abs=0.05)
    # The same noise for all of a phase's configurations, so that they can be compared.
    assert len({trial.noise_hash for trial in searched}) == 1
    assert len({trial.noise_hash for trial in record.trials}) == 3


def test_a_sweep_says_how_it_stands_and_what_it_recommends(whole: Whole) -> None:
    for text in ("starting Ray", f"8/{TRIALS} trials", "Recommended: beta = ", "CCE beside it", "emphasis"):
        assert text in whole.output
    assert "Traceback" not in whole.output
    assert "Warning" not in whole.output


def test_mlflow_has_the_best_on_the_parent_and_every_epoch_on_the_children(whole: Whole) -> None:
    runs = whole.record.mlflow_runs()
    parents = [run for run in runs if "emphasis.trial_id" not in run.data.tags]
    children = [run for run in runs if "emphasis.trial_id" in run.data.tags]

    (parent,) = parents
    confirmed = [trial for trial in whole.record.trials if trial.phase is Phase.CONFIRM]
    beta = confirmed[0].hyperparameters["beta"]
    assert float(parent.data.params["best.beta"]) == pytest.approx(beta, rel=1e-3)
    assert float(parent.data.tags["best.beta"]) == pytest.approx(beta, rel=1e-3)
    mean = sum(trial.objective or 0.0 for trial in confirmed) / len(confirmed)
    assert parent.data.metrics["best.intact_train_accuracy"] == pytest.approx(mean)
    assert parent.data.tags["mlflow.note.content"].count("|") > 10
    for child in children:
        assert child.data.tags["mlflow.parentRunId"] == parent.info.run_id
        assert {"intact_train_accuracy", "corrupted_train_accuracy", "test_accuracy", "train_loss"} <= set(
            child.data.metrics
        )
        assert {"noise_rate", "seed", "supervision", "backbone"} <= set(child.data.params)


def test_what_a_sweep_found_can_be_exported(whole: Whole) -> None:
    from typer.testing import CliRunner

    from search.cli import app

    home = str(whole.record.home.path)
    arguments = ["export", "--home", home, "--dataset", "digits", "--noise-rate", "0.4", "--format", "json"]
    exported = CliRunner().invoke(app, arguments)

    (found,) = json.loads(exported.stdout)
    confirmed = [trial for trial in whole.record.trials if trial.phase is Phase.CONFIRM]
    assert found["recommended"]["beta"] == pytest.approx(confirmed[0].hyperparameters["beta"])
    assert found["objective"]["n"] == 2
    assert found["provenance"]["sweep_id"] == whole.record.sweep.id


def test_resuming_a_sweep_that_is_done_runs_nothing_and_gives_what_it_found(whole: Whole) -> None:
    before = whole.record.finished

    outcome = resume_sweep(whole.record.sweep.id, home=whole.record.home)

    record = Record(whole.record.home)
    assert_kept(before, record)
    assert_complete(record)
    assert outcome.sweep.finished_at == whole.record.sweep.finished_at
    assert outcome.recommendation is not None
    assert (outcome.figures / "leaderboard.md").is_file()


def resume(home: Path, record: Record, cluster: RayProcess) -> Record:
    """Resume a sweep from the beginning of its id; its record afterwards."""
    with DriverProcess(home, "resume", record.sweep.id[:-1], environment=joining(cluster)) as driver:
        assert driver.wait() == 0, driver.output
    return Record(Home(home))


def test_ctrl_c_ends_a_sweep_cleanly_and_resume_runs_only_what_is_missing(tmp_path: Path, cluster: RayProcess) -> None:
    with DriverProcess(tmp_path, "run", *SMALL, *LONG) as driver:
        driver.wait_for(f"| 2/{TRIALS} trials")
        with Store.open(Home(tmp_path).store_url) as store:
            sweep_id = store.sweeps()[0].id
        with pytest.raises(SweepBusy, match="is being run by"):
            resume_sweep(sweep_id, home=tmp_path)
        servers = driver.processes()
        driver.interrupt()
        status = driver.wait()
        output = driver.output
    stopped = Record(Home(tmp_path))

    assert status == 1
    assert f"emphasis resume {sweep_id}" in output
    assert "Traceback" not in output
    assert (stopped.sweep.state, stopped.sweep.message) == (SweepState.INTERRUPTED, "interrupted")
    assert 2 <= len(stopped.finished) < TRIALS
    assert_nothing_runs(stopped)
    assert not psutil.wait_procs(servers, timeout=120)[1]

    resumed = resume(tmp_path, stopped, cluster)
    assert_kept(stopped.finished, resumed)
    assert_complete(resumed)
    assert len(resumed.trials) == TRIALS


def test_sigterm_ends_a_sweep_as_ctrl_c_does(tmp_path: Path, cluster: RayProcess) -> None:
    with DriverProcess(tmp_path, "run", *SMALL, *LONG, environment=joining(cluster)) as driver:
        driver.wait_for(f"| 1/{TRIALS} trials")
        driver.terminate()
        status = driver.wait()
        output = driver.output
    stopped = Record(Home(tmp_path))

    assert status == 1
    assert output.splitlines()[-1].startswith(f"Sweep {stopped.sweep.id} stopped: interrupted.")
    assert "SIGTERM" not in output
    assert stopped.sweep.state is SweepState.INTERRUPTED
    assert_nothing_runs(stopped)


def test_killed_driver_leaves_no_process_and_its_sweep_resumes_without_repeating_finished_trials(
    tmp_path: Path, cluster: RayProcess
) -> None:
    with DriverProcess(tmp_path, "run", *SMALL, *LONG) as driver:
        driver.wait_for(f"| 3/{TRIALS} trials")
        left = driver.kill()
    killed = Record(Home(tmp_path))

    assert killed.sweep.state is SweepState.RUNNING  # it could not say a word
    assert 3 <= len(killed.finished) < TRIALS
    # Ray's agents look for their raylet, and take a minute or so to believe that it is gone.
    assert not psutil.wait_procs(left, timeout=240)[1]

    resumed = resume(tmp_path, killed, cluster)
    assert_kept(killed.finished, resumed)
    assert_complete(resumed)
    assert len(resumed.trials) == TRIALS
    lost = [
        attempt.reason
        for attempts in resumed.attempts.values()
        for attempt in attempts
        if attempt.state is AttemptState.LOST
    ]
    assert lost
    assert set(lost) == {"the process that ran it was killed"}


@pytest.mark.parametrize("killed", ["raylet", "all"])
def test_when_ray_is_killed_the_driver_says_how_to_resume_and_resume_completes(
    tmp_path: Path, cluster: RayProcess, killed: str
) -> None:
    with DriverProcess(tmp_path, "run", *SMALL, *LONG) as driver:
        driver.wait_for(f"| 2/{TRIALS} trials")
        for process in driver.processes():
            if killed in ("all", process.name()):
                process.kill()
        status = driver.wait()
        output = driver.output
    stopped = Record(Home(tmp_path))

    assert status == 1
    assert "Ray ended: its process" in output
    assert f"emphasis resume {stopped.sweep.id}" in output
    assert stopped.sweep.state is SweepState.INTERRUPTED
    assert not [trial for trial in stopped.trials if trial.state is TrialState.FAILED]
    assert_nothing_runs(stopped)

    resumed = resume(tmp_path, stopped, cluster)
    assert_kept(stopped.finished, resumed)
    assert_complete(resumed)
    assert len(resumed.trials) == TRIALS


def test_a_killed_trial_is_tried_again_and_one_that_is_killed_too_often_fails_alone(
    tmp_path: Path, cluster: RayProcess
) -> None:
    home = Home(tmp_path)
    arguments = ("--dataset", "digits", "--noise-rate", "0.4", "--trials", "3", "--confirm-seeds", "0")
    arguments = (*arguments, "--epochs", "120", "--concurrency", "1", "--max-retries", "1")
    with DriverProcess(tmp_path, "run", *arguments, environment=joining(cluster)) as driver:
        driver.wait_for("| searching |")
        kill_trial(home, cluster, number=0, attempt=1)
        driver.wait_for("| 1/3 trials")
        kill_trial(home, cluster, number=1, attempt=1)
        kill_trial(home, cluster, number=1, attempt=2)
        assert driver.wait() == 0, driver.output
    record = Record(home)

    assert_complete(record, failed=1)
    first, second, third = record.trials
    assert [trial.attempts for trial in record.trials] == [2, 2, 1]
    assert [trial.state for trial in record.trials] == [TrialState.DONE, TrialState.FAILED, TrialState.DONE]
    assert second.reason == "its process died 2 times (killed, or out of memory)"
    assert [attempt.reason for attempt in record.attempts[first.id]] == ["its process died", None]
    assert first.objective is not None
    assert third.objective is not None


def kill_trial(home: Home, cluster: RayProcess, number: int, attempt: int) -> None:
    """SIGKILL the process that trains a trial, once it reports epochs of that attempt."""

    def running() -> psutil.Process | None:
        with Store.open(home.store_url) as store:
            (sweep,) = store.sweeps()
            trials = store.trials(sweep.id)
            if len(trials) <= number or trials[number].attempts != attempt:
                return None
            last = store.attempts(trials[number].id)[-1]
            fresh = [e for e in store.epochs(trials[number].id) if e.recorded_at > last.started_at]
        training = cluster.training()
        return training[0] if fresh and training else None

    process = eventually(running)
    process.kill()
    process.wait(60)


def test_a_sweep_of_which_every_trial_diverges_stops_with_the_reasons(tmp_path: Path, cluster: RayProcess) -> None:
    arguments = ("run", *SMALL, "--epochs", "3", "--learning-rate", "1e30")
    with DriverProcess(tmp_path, *arguments, environment=joining(cluster)) as driver:
        status = driver.wait()
        output = driver.output
    record = Record(Home(tmp_path))

    assert status == 1
    assert record.sweep.state is SweepState.FAILED
    assert "Traceback" not in output
    for text in (output, record.sweep.message or ""):
        assert "finite" in text
        assert "learning_rate" in text
    assert_nothing_runs(record)


def test_a_sweep_is_recorded_on_postgresql(tmp_path: Path, cluster: RayProcess, postgresql_url: str) -> None:
    environment = joining(cluster, EMPHASIS_STORE_URL=postgresql_url)
    with DriverProcess(tmp_path, "run", *SMALL, "--epochs", "3", environment=environment) as driver:
        assert driver.wait() == 0, driver.output
        output = driver.output

    record = Record(Home(tmp_path, postgresql_url))
    assert_complete(record)
    assert len(record.trials) == TRIALS
    assert "Recommended: beta = " in output
    assert not (tmp_path / "emphasis.db").exists()
