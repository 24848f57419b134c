"""Whole sweeps with the real Ray, Optuna, MLflow and store, run to their end by a real `emphasis` process.

They join a Ray that runs already, as on a shared installation.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pytest
from brake import BRAKED
from brake import Brake
from driver_process import DriverProcess
from driver_process import RayProcess
from driver_process import joining
from sweep_record import SMALL
from sweep_record import TRIALS
from sweep_record import Record
from sweep_record import assert_complete
from sweep_record import assert_kept
from sweep_record import assert_nothing_runs

from search.home import Home
from search.orchestrator import resume_sweep
from search.store import Phase
from search.store import SweepState
from search.store import TrialState


@dataclass
class Whole:
    """A sweep that nothing happened to."""

    record: Record
    output: str


@pytest.fixture(scope="module")
def whole(cluster: RayProcess, tmp_path_factory: pytest.TempPathFactory) -> Whole:
    home = tmp_path_factory.mktemp("home")
    arguments = ("run", *SMALL, "--epochs", "3", "--concurrency", "2")
    with DriverProcess(home, *arguments, environment=joining(cluster)) as driver:
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
    sweep = whole.record.sweep
    for text in ("starting Ray", f"8/{TRIALS} trials", "Recommended: beta = ", "CCE beside it"):
        assert text in whole.output
    assert f"figures  {whole.record.home.figures(sweep.id)}" in whole.output
    assert "MLflow   emphasis ui" in whole.output
    table = whole.output[whole.output.index("digits, noise rate 0.4") :]
    assert [word in table for word in ("intact accuracy", "★ 1", "cce", "2 fresh")] == [True] * 4
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
    # The same as what was written for it, in its folder and in MLflow.
    (parent,) = [run for run in whole.record.mlflow_runs() if "emphasis.trial_id" not in run.data.tags]
    artifacts = Path(parent.info.artifact_uri.removeprefix("file://"))
    for folder in (whole.record.home.figures(whole.record.sweep.id), artifacts):
        assert json.loads((folder / "recommendation.json").read_text()) == [found]


def test_resuming_a_sweep_that_is_done_runs_nothing_and_gives_what_it_found(whole: Whole) -> None:
    before = whole.record.finished

    outcome = resume_sweep(whole.record.sweep.id, home=whole.record.home)

    record = Record(whole.record.home)
    assert_kept(before, record)
    assert_complete(record)
    assert outcome.sweep.finished_at == whole.record.sweep.finished_at
    assert outcome.recommendation is not None
    assert (outcome.figures / "leaderboard.md").is_file()


@pytest.mark.long
def test_a_killed_trial_is_tried_again_and_one_that_is_killed_too_often_fails_alone(
    tmp_path: Path, cluster: RayProcess, brake: Brake
) -> None:
    arguments = ("--dataset", "digits", "--noise-rate", "0.4", "--trials", "3", "--confirm-seeds", "0", *BRAKED)
    arguments = (*arguments, "--epochs", "2", "--concurrency", "1", "--max-retries", "1")
    with DriverProcess(tmp_path, "run", *arguments, environment=joining(cluster)) as driver:
        kill_trial(brake)
        brake.let(1)
        driver.wait_for("| 1/3 trials")
        kill_trial(brake)
        kill_trial(brake)
        brake.open()
        assert driver.wait() == 0, driver.output
    record = Record(Home(tmp_path))

    assert_complete(record, failed=1)
    first, second, third = record.trials
    assert [trial.attempts for trial in record.trials] == [2, 2, 1]
    assert [trial.state for trial in record.trials] == [TrialState.DONE, TrialState.FAILED, TrialState.DONE]
    assert second.reason == "its process died 2 times (killed, or out of memory)"
    assert [attempt.reason for attempt in record.attempts[first.id]] == ["its process died", None]
    assert first.objective is not None
    assert third.objective is not None


@pytest.mark.long
def test_a_killed_pack_is_trained_again_but_for_what_had_ended_in_it(
    tmp_path: Path, cluster: RayProcess, brake: Brake
) -> None:
    arguments = ("--dataset", "digits", "--noise-rate", "0.4", "--trials", "5", "--confirm-seeds", "0", *BRAKED)
    arguments = (*arguments, "--epochs", "2", "--concurrency", "3", "--lanes", "3")
    with DriverProcess(tmp_path, "run", *arguments, environment=joining(cluster)) as driver:
        brake.wait_until_held()
        brake.let(1)
        driver.wait_for("| 1/5 trials")
        kill_trial(brake)
        brake.open()
        assert driver.wait() == 0, driver.output
    record = Record(Home(tmp_path))

    assert_complete(record)
    assert [trial.attempts for trial in record.trials] == [1, 2, 2, 2, 1]


def kill_trial(brake: Brake) -> None:
    """SIGKILL the process of the trial that is held."""
    (process,) = brake.wait_until_held()
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


@pytest.mark.parametrize("lanes", ["1", pytest.param("3", marks=pytest.mark.long)])
def test_a_hopeless_trial_is_stopped_early_and_the_best_is_of_the_whole_budget(
    tmp_path: Path, cluster: RayProcess, lanes: str
) -> None:
    # The paper's good setting first, and CCE's weights after it: they cannot pass it at half of the budget.
    space = "[{beta: 16, lam: 1}, {beta: 0, lam: 0}, {beta: 20, lam: 1}, {beta: 0, lam: 1}]"
    options = ("--space", space, "--epochs", "12", "--early-stopping", "asha", "--learning-rate", "0.05")
    arguments = ("run", *SMALL, *options, "--lanes", lanes, "--concurrency", lanes)
    with DriverProcess(tmp_path, *arguments, environment=joining(cluster)) as driver:
        assert driver.wait() == 0, driver.output
        output = driver.output

    record = Record(Home(tmp_path))
    assert_nothing_runs(record)
    assert record.sweep.state is SweepState.DONE
    stopped = [trial for trial in record.trials if trial.state is TrialState.PRUNED]
    assert stopped
    assert f"{len(stopped)} trials stopped early by asha" in output
    runs = {run.data.tags.get("emphasis.trial_id"): run for run in record.mlflow_runs()}
    for trial in stopped:
        assert trial.phase is Phase.SEARCH
        assert trial.objective is None
        assert trial.reason == f"stopped early by asha after epoch {record.epochs[trial.id]}"
        assert trial.final is not None
        assert trial.final.epoch == record.epochs[trial.id] < 12
        assert trial.noise_hash == record.trials[0].noise_hash
        assert runs[trial.id].info.status == "KILLED"
    others = [trial for trial in record.trials if trial.state is TrialState.DONE]
    assert len(others) + len(stopped) == TRIALS
    assert {record.epochs[trial.id] for trial in others} == {12}
    (confirmed,) = {trial.configuration for trial in others if trial.phase is Phase.CONFIRM}
    assert confirmed not in {trial.configuration for trial in stopped}


def test_a_sweep_of_packs_is_recorded_on_postgresql_and_done_even_where_no_figures_can_be_written(
    tmp_path: Path, cluster: RayProcess, postgresql_url: str
) -> None:
    (tmp_path / "figures").touch()  # in the way of their folder
    environment = joining(cluster, EMPHASIS_STORE_URL=postgresql_url)
    arguments = ("run", *SMALL, "--epochs", "3", "--lanes", "3", "--concurrency", "3")
    with DriverProcess(tmp_path, *arguments, environment=environment) as driver:
        assert driver.wait() == 0, driver.output
        output = driver.output

    record = Record(Home(tmp_path, postgresql_url))
    assert_complete(record)
    assert len(record.trials) == TRIALS
    starts, ends = zip(*((trial.started_at, trial.finished_at) for trial in record.trials), strict=True)
    # Each but the last is followed by one that begins before the others of its pack have ended.
    assert [sum(start < end for start in starts) for end in ends] == [3, 4, 5, 6, 7, 8, 8, 8]
    assert "Recommended: beta = " in output
    assert "Warning: no figures" in output
    assert f"emphasis resume {record.sweep.id}` writes them" in (record.sweep.message or "")
    assert not (tmp_path / "emphasis.db").exists()

    (tmp_path / "figures").unlink()
    done = resume_sweep(record.sweep.id, home=record.home)
    assert (done.figures / "objective_map.png").is_file()
    assert done.sweep.message is None
    assert done.sweep.finished_at == record.sweep.finished_at
