"""The MLflow record against real MLflow: a SQLite database, and a server process that is killed."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Callable
from collections.abc import Container
from collections.abc import Iterator
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC
from datetime import datetime
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from mlflow_tables import give_tables
from recorded_sweeps import RecordSweep

from search.store import Accuracies
from search.store import EpochRecord
from search.store import Phase
from search.store import Store
from search.store import SweepState
from search.store import TrackingRecord
from search.store import TrialState
from search.store import Verb
from search.tracking import ParentSummary
from search.tracking import Projection
from search.tracking import Recorder
from search.tracking import run_content
from search.tracking import ui_command
from search.tracking.run_content import LONGEST_TAG
from search.tracking.run_content import sweep_tags
from search.tracking.runs import MlflowRuns
from search.tracking.runs import RecordedRun
from trainers.errors import InvalidInput

EPOCHS = 4
PATIENCE = 180.0  # seconds; a server takes 5 to start, and more when every core is busy
ACCURACIES = ("test_accuracy", "corrupted_train_accuracy", "intact_train_accuracy")
EPOCH_METRICS = (*ACCURACIES, "train_loss", "learning_rate")
MORNING = datetime(2026, 1, 1, 8, tzinfo=UTC)
SUMMARY = ParentSummary(
    "gr", {"beta": 12.0, "lam": 0.5}, {"transform": "exp"}, 0.94, 0.9,
    "| β | λ |\n|---|---|\n| 12 | 0.5 |\n\nRecommended: β = 12, λ = 0.5",
)  # fmt: skip


class Sweep:
    """A sweep in a real store that is filled by hand, as a driver would."""

    def __init__(
        self, store: Store, sweep_id: str, dataset: str = "digits", training: Mapping[str, int] | None = None
    ) -> None:
        self.store, self.id = store, sweep_id
        budget = {"budget": {"epochs": EPOCHS}, **({"training": training} if training else {})}
        store.create_sweep(
            id=sweep_id,
            spec={"sampler": "tpe", "trials": 3, **budget, "noise_model": "symmetric"},
            dataset=dataset,
            noise_rate=0.4,
            backbone="mlp",
            supervision="gr",
            data_hash="d" * 64,
            versions={"torch": "2.11.0", "git_commit": "c0ffee"},
        )
        store.claim_sweep(sweep_id, "here:1:100", is_alive=lambda owner, heartbeat: True)

    def start(self, index: int, phase: Phase = Phase.SEARCH, repeat: int = 0) -> str:
        """Begin a trial and return its id."""
        trial = self.store.add_trial(
            self.id,
            phase=phase,
            configuration=index,
            repeat=repeat,
            supervision="gr",
            hyperparameters={"beta": 12.0 + index, "lam": 0.5},
            params={"lam": 0.5, "kappa": 4.0},
            noise_rate=0.4,
            seed=3,
            noise_seed=7,
        )
        self.store.start_attempt(trial.id, "here", 1)
        return trial.id

    def train(
        self,
        trial_id: str,
        first: int = 1,
        last: int = EPOCHS,
        moment: datetime = MORNING,
        evaluated: Container[int] | None = None,
    ) -> None:
        """Record epochs, all of them evaluated or those that are given."""
        epochs = [
            EpochRecord(
                trial_id=trial_id,
                epoch=epoch,
                iteration=epoch * 12,
                train_loss=1 / epoch,
                learning_rate=0.1,
                test_accuracy=0.1 * epoch / 3 if evaluated is None or epoch in evaluated else None,
                corrupted_train_accuracy=0.1 * epoch / 7,
                intact_train_accuracy=0.1 * epoch,
                seconds=float(epoch),
                recorded_at=moment + timedelta(seconds=epoch),
            )
            for epoch in range(first, last + 1)
        ]
        self.store.record_epochs(trial_id, epochs)

    def finish(self, trial_id: str, objective: float = 0.4) -> None:
        """Give a trial its final result."""
        final = Accuracies(EPOCHS, objective - 0.05, 0.5, objective)
        self.store.finish_trial(
            trial_id,
            TrialState.DONE,
            objective=objective,
            final=final,
            best=final,
            train_seconds=4.0,
            noise_hash="n" * 64,
            computed_by={"host": "node-1", "engine": "fused", "device": "NVIDIA H100", "precision": "bf16"},
            realised_noise_rate=0.39,
        )

    def run(self, index: int, objective: float = 0.4) -> str:
        """Run one trial from beginning to end."""
        trial_id = self.start(index)
        self.train(trial_id)
        self.finish(trial_id, objective)
        return trial_id


class Record:
    """What MLflow shows, read with MLflow's own client."""

    def __init__(self, tracking_uri: str) -> None:
        from mlflow.tracking import MlflowClient

        self.client: Any = MlflowClient(tracking_uri=tracking_uri)

    def runs(self, sweep_id: str, dataset: str = "digits") -> list[Any]:
        experiment = self.client.get_experiment_by_name(f"emphasis/{dataset}")
        wanted = f"tags.`emphasis.sweep_id` = '{sweep_id}'"
        return list(self.client.search_runs([experiment.experiment_id], wanted))

    def parent(self, sweep_id: str) -> Any:
        (parent,) = (run for run in self.runs(sweep_id) if run.data.tags["emphasis.kind"] == "sweep")
        return parent

    def children(self, sweep_id: str) -> dict[str, Any]:
        children = [run for run in self.runs(sweep_id) if run.data.tags["emphasis.kind"] == "trial"]
        counted = Counter(run.data.tags["emphasis.trial_id"] for run in children)
        assert not [trial for trial, count in counted.items() if count > 1], "a trial is there twice"
        return {run.data.tags["emphasis.trial_id"]: run for run in children}

    def steps(self, run: Any, metric: str) -> list[int]:
        return [point.step for point in self.client.get_metric_history(run.info.run_id, metric)]

    def assert_each_epoch_once(self, run: Any, epochs: int = EPOCHS) -> None:
        for metric in EPOCH_METRICS:
            assert self.steps(run, metric) == list(range(1, epochs + 1)), metric

    def statuses(self, sweep_id: str) -> set[str]:
        return {run.info.status for run in self.runs(sweep_id)}


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(f"sqlite:///{tmp_path / 'store.db'}") as store:
        yield store


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> str:
    """One MLflow database for the module: making it takes seconds. Every test has its own sweep id."""
    return f"sqlite:///{tmp_path_factory.mktemp('mlflow') / 'mlflow.db'}"


@pytest.fixture
def sweep(store: Store, request: pytest.FixtureRequest) -> Sweep:
    return Sweep(store, f"s-{abs(hash(request.node.nodeid)):x}")


@pytest.fixture
def projection(store: Store, database: str, tmp_path: Path) -> Projection:
    return Projection(store, database, tmp_path / "artifacts", lambda sweep_id: SUMMARY)


def test_what_resumed_a_sweep_is_a_tag_beside_what_began_it(record_sweep: RecordSweep) -> None:
    sweep = record_sweep()
    sweep.store.add_versions(sweep.id, {"torch": "2.12.0", "git_commit": "beef"})
    sweep.store.add_versions(sweep.id, {"torch": "2.13.0"})
    tags = sweep_tags(sweep.record)
    assert tags["emphasis.version.torch"] == "2.11.0"
    assert tags["emphasis.resumed_with"] == "git_commit beef, torch 2.12.0; torch 2.13.0"


def test_parent_says_what_was_searched_and_what_was_found(
    sweep: Sweep, projection: Projection, database: str
) -> None:
    sweep.run(0, 0.7)
    sweep.store.finish_sweep(sweep.id, SweepState.DONE)
    projection.sync_sweep(sweep.id)

    parent = Record(database).parent(sweep.id)
    assert parent.info.run_name == f"β=12 λ=0.5 ({SUMMARY.objective:.3f}) digits r=0.4"
    assert parent.info.status == "FINISHED"
    params = parent.data.params
    assert params["dataset"] == "digits"
    assert params["noise_rate"] == "0.4"
    assert params["noise_model"] == "symmetric"
    assert params["backbone"] == "mlp"
    assert params["supervision"] == "gr"
    assert params["sampler"] == "tpe"
    assert params["trials"] == "3"
    assert params["budget.epochs"] == "4"
    assert params["best.beta"] == "12"
    assert params["best.lambda"] == "0.5"
    assert parent.data.metrics == {"best.intact_train_accuracy": 0.94, "best.test_accuracy": 0.9}
    tags = parent.data.tags
    assert tags["best.beta"] == "12"
    assert tags["best.lambda"] == "0.5"
    assert tags["best.intact_train_accuracy"] == "0.9400"
    assert tags["best.test_accuracy"] == "0.9000"
    assert tags["mlflow.note.content"] == SUMMARY.note_markdown
    assert tags["emphasis.git_commit"] == "c0ffee"
    assert tags["emphasis.version.torch"] == "2.11.0"
    finished = sweep.store.sweep(sweep.id).finished_at
    assert finished is not None
    assert parent.info.end_time == round(finished.timestamp() * 1000)


def test_child_says_what_was_trained_and_how_it_went(
    sweep: Sweep, projection: Projection, database: str
) -> None:
    trial_id = sweep.run(0, 0.7)
    projection.sync_sweep(sweep.id)

    record = Record(database)
    child = record.children(sweep.id)[trial_id]
    assert child.info.run_name == "β=12 λ=0.5 seed 3"
    assert child.info.status == "FINISHED"
    assert child.data.params == {
        "beta": "12",
        "lambda": "0.5",
        "noise_rate": "0.4",
        "seed": "3",
        "noise_seed": "7",
        "supervision": "gr",
        "backbone": "mlp",
        "phase": "search",
        "repeat": "0",
    }
    tags = child.data.tags
    assert tags["mlflow.parentRunId"] == record.parent(sweep.id).info.run_id
    assert tags["emphasis.phase"] == "search"
    assert tags["emphasis.data_hash"] == "d" * 64
    assert tags["emphasis.noise_hash"] == "n" * 64
    computed_by = [tags[f"emphasis.{name}"] for name in ("host", "engine", "device", "precision")]
    assert computed_by == ["node-1", "fused", "NVIDIA H100", "bf16"]
    assert tags["emphasis.git_commit"] == "c0ffee"
    assert tags["emphasis.version.torch"] == "2.11.0"
    assert child.data.metrics["objective"] == 0.7
    record.assert_each_epoch_once(child)
    second = record.client.get_metric_history(child.info.run_id, "intact_train_accuracy")[1]
    assert (second.step, second.value) == (2, 0.2)
    assert second.timestamp == round((MORNING + timedelta(seconds=2)).timestamp() * 1000)


def test_tags_follow_the_best_trial_while_the_sweep_runs(
    sweep: Sweep, projection: Projection, database: str
) -> None:
    sweep.run(0, 0.7)
    projection.sync_sweep(sweep.id)
    first = Record(database).parent(sweep.id)
    sweep.run(1, 0.8)
    projection.sync_sweep(sweep.id)
    second = Record(database).parent(sweep.id)

    assert first.info.status == second.info.status == "RUNNING"
    assert (first.data.tags["best.beta"], first.data.tags["best.intact_train_accuracy"]) == ("12", "0.7000")
    assert (second.data.tags["best.beta"], second.data.tags["best.intact_train_accuracy"]) == ("13", "0.8000")
    # A parameter can never be corrected, so none is written before the recommendation is final.
    assert not [name for name in second.data.params if name.startswith("best.")]


def test_tags_of_a_best_configuration_that_is_given_up_are_blanked(
    sweep: Sweep, projection: Projection, database: str
) -> None:
    sweep.run(0, 0.7)
    projection.sync_sweep(sweep.id)
    assert Record(database).parent(sweep.id).data.tags["best.beta"] == "12"
    second_seed = sweep.start(0, repeat=1)
    sweep.store.finish_trial(second_seed, TrialState.PRUNED, reason="stopped early by wilcoxon")
    projection.sync_sweep(sweep.id)

    tags = Record(database).parent(sweep.id).data.tags
    assert {tags[name] for name in tags if name.startswith("best.")} == {""}


def test_failed_and_pruned_trials_show_why(sweep: Sweep, projection: Projection, database: str) -> None:
    failed, pruned = sweep.start(0), sweep.start(1)
    sweep.store.finish_trial(failed, TrialState.FAILED, reason="the loss was not finite at iteration 7")
    sweep.store.finish_trial(pruned, TrialState.PRUNED, reason="worse than the median")
    projection.sync_sweep(sweep.id)

    children = Record(database).children(sweep.id)
    assert children[failed].info.status == "FAILED"
    assert children[failed].data.tags["emphasis.reason"] == "the loss was not finite at iteration 7"
    assert children[pruned].info.status == "KILLED"


def test_lost_cursor_makes_no_duplicates(
    sweep: Sweep, store: Store, projection: Projection, database: str, tmp_path: Path
) -> None:
    done, running = sweep.run(0), sweep.start(1)
    sweep.train(running, last=2)
    projection.sync_sweep(sweep.id)
    for subject in (sweep.id, done, running):
        store.tracking.save(sweep.id, TrackingRecord(subject, "unknown", 0, False))
    # A second attempt trains epoch 2 again, at another time: MLflow alone would take it for a new point.
    sweep.train(running, first=2, moment=MORNING + timedelta(hours=1))
    Projection(store, database, tmp_path / "artifacts").sync_sweep(sweep.id)

    record = Record(database)
    children = record.children(sweep.id)
    assert set(children) == {done, running}
    record.assert_each_epoch_once(children[done])
    record.assert_each_epoch_once(children[running])


def test_record_lost_in_mlflow_is_rebuilt_from_the_store(
    sweep: Sweep, store: Store, projection: Projection, tmp_path: Path
) -> None:
    trial_id = sweep.run(0)
    sweep.store.finish_sweep(sweep.id, SweepState.DONE)
    projection.sync_sweep(sweep.id)
    other = f"sqlite:///{tmp_path / 'other.db'}"
    Projection(store, other, tmp_path / "artifacts", lambda sweep_id: SUMMARY).sync_sweep(sweep.id)

    record = Record(other)
    record.assert_each_epoch_once(record.children(sweep.id)[trial_id])
    assert record.parent(sweep.id).data.params["best.beta"] == "12"


def test_process_killed_while_it_makes_mlflows_database_leaves_none_that_cannot_be_used(tmp_path: Path) -> None:
    database = tmp_path / "home" / "mlflow.db"
    script = "import sys; from search.tracking.runs import MlflowRuns; MlflowRuns(sys.argv[1])"
    maker = subprocess.Popen([sys.executable, "-c", script, f"sqlite:///{database}"], stderr=subprocess.DEVNULL)
    begun = threading.Event()
    deadline = time.monotonic() + PATIENCE
    while not [file for file in tmp_path.rglob("mlflow.db") if file.stat().st_size]:
        assert maker.poll() is None
        assert time.monotonic() < deadline
        begun.wait(0.01)
    maker.kill()
    maker.wait()
    assert not database.exists()

    runs = MlflowRuns(f"sqlite:///{database}")
    assert runs.of_sweep(runs.experiment("emphasis/digits"), "s1") == []
    assert [file.name for file in database.parent.iterdir()] == ["mlflow.db"]


def test_making_mlflows_database_says_nothing_on_the_terminal_of_a_sweep(tmp_path: Path) -> None:
    script = f"from search.tracking.database import ensure_database; ensure_database('sqlite:///{tmp_path}/mlflow.db')"
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    assert (tmp_path / "mlflow.db").exists()
    assert done.stdout + done.stderr == ""


def test_run_made_twice_by_a_late_answer_is_kept_once(
    sweep: Sweep, store: Store, projection: Projection, database: str, tmp_path: Path
) -> None:
    trial_id = sweep.run(0)
    projection.sync_sweep(sweep.id)
    record = Record(database)
    first = record.children(sweep.id)[trial_id]
    tags = dict(first.data.tags)
    record.client.create_run(first.info.experiment_id, start_time=first.info.start_time, tags=tags)
    assert len(record.runs(sweep.id)) == 3
    Projection(store, database, tmp_path / "artifacts").sync_sweep(sweep.id)

    assert record.children(sweep.id)[trial_id].info.run_id == first.info.run_id


class _Slow(MlflowRuns):
    """MLflow, with something that happens just before it makes a run."""

    def __init__(self, database: str, artifacts: Path, meanwhile: Callable[[], object]) -> None:
        super().__init__(database, artifacts)
        self._meanwhile: list[Callable[[], object]] = [meanwhile]

    def create(self, *given: Any, **named: Any) -> RecordedRun:
        while self._meanwhile:
            self._meanwhile.pop()()
        return super().create(*given, **named)


def test_two_processes_that_record_one_sweep_at_once_make_each_run_once(
    sweep: Sweep, store: Store, database: str, tmp_path: Path
) -> None:
    trial_id = sweep.run(0)
    artifacts = tmp_path / "artifacts"
    one, other = (Projection(store, database, artifacts) for _ in range(2))
    # The other finds nothing in MLflow, and before it has made the sweep's run this one has made all of them.
    other._runs = _Slow(database, artifacts, lambda: one.sync_sweep(sweep.id))
    other.sync_sweep(sweep.id)

    record = Record(database)
    assert set(record.children(sweep.id)) == {trial_id}
    assert len(record.runs(sweep.id)) == 2
    record.assert_each_epoch_once(record.children(sweep.id)[trial_id])


def test_last_record_of_a_sweep_removes_what_was_made_twice(
    sweep: Sweep, store: Store, projection: Projection, database: str
) -> None:
    trial_id = sweep.run(0)
    projection.sync_sweep(sweep.id)
    record = Record(database)
    first = record.children(sweep.id)[trial_id]
    # By a process that was killed before it could say so.
    record.client.create_run(first.info.experiment_id, tags=dict(first.data.tags))
    store.finish_sweep(sweep.id, SweepState.DONE)
    projection.sync_sweep(sweep.id)

    assert record.children(sweep.id)[trial_id].info.run_id == first.info.run_id
    assert len(record.runs(sweep.id)) == 2


def test_sweep_that_is_paused_while_its_waiting_is_recorded_is_recorded_as_paused(
    store: Store, database: str, tmp_path: Path
) -> None:
    Sweep(store, "paused")
    store.release_sweep("paused", "stopped")
    store.ask("paused", Verb.RESUME)
    artifacts = tmp_path / "artifacts"
    projection = Projection(store, database, artifacts)
    projection._runs = _Slow(database, artifacts, lambda: store.ask("paused", Verb.PAUSE))
    projection.sync_sweep("paused")

    assert Record(database).parent("paused").data.tags["emphasis.state"] == "paused"
    assert store.tracking.behind() == []


def test_sweep_that_is_deleted_while_it_is_recorded_leaves_nothing(
    store: Store, database: str, tmp_path: Path
) -> None:
    Sweep(store, "deleted")
    store.release_sweep("deleted", "stopped")
    artifacts = tmp_path / "artifacts"
    recorder = Recorder(store, database, artifact_root=artifacts, interval=0.01, first_retry=0.01)
    recorder.projection._runs = _Slow(database, artifacts, lambda: store.delete_sweep("deleted"))
    recorder.catch_up()

    assert recorder.close(PATIENCE)
    assert Record(database).runs("deleted") == []


def test_sweep_that_is_deleted_while_what_it_found_is_summed_up_leaves_nothing(
    store: Store, database: str, tmp_path: Path
) -> None:
    sweep = Sweep(store, "deleted-at-the-end")
    sweep.run(0)
    store.finish_sweep(sweep.id, SweepState.DONE)

    def summarise(sweep_id: str) -> ParentSummary:
        store.delete_sweep(sweep_id)
        return SUMMARY

    projection = Projection(store, database, tmp_path / "artifacts", summarise)
    with pytest.raises(InvalidInput, match="no such sweep"):
        projection.sync_sweep(sweep.id)
    assert store.tracking.behind() == [sweep.id]
    projection.sync_sweep(sweep.id)

    assert Record(database).runs(sweep.id) == []
    assert store.tracking.behind() == []


def test_run_that_the_user_deleted_stays_deleted(
    sweep: Sweep, store: Store, projection: Projection, database: str, tmp_path: Path
) -> None:
    unwanted, wanted = sweep.start(0), sweep.start(1)
    sweep.train(unwanted, last=2)
    projection.sync_sweep(sweep.id)
    record = Record(database)
    record.client.delete_run(record.children(sweep.id)[unwanted].info.run_id)
    for trial_id in (unwanted, wanted):
        sweep.train(trial_id)
        sweep.finish(trial_id)
    Projection(store, database, tmp_path / "artifacts").sync_sweep(sweep.id)

    children = record.children(sweep.id)
    assert set(children) == {wanted}
    record.assert_each_epoch_once(children[wanted])


def test_record_of_a_stopped_sweep_that_the_user_deleted_is_complete(
    sweep: Sweep, store: Store, projection: Projection, database: str
) -> None:
    sweep.run(0)
    projection.sync_sweep(sweep.id)
    record = Record(database)
    record.client.delete_run(record.parent(sweep.id).info.run_id)
    sweep.store.finish_sweep(sweep.id, SweepState.DONE)
    assert store.tracking.behind() == [sweep.id]
    projection.sync_sweep(sweep.id)
    assert store.tracking.behind() == []


def test_nothing_is_left_running_after_an_interruption_and_it_runs_again_when_resumed(
    sweep: Sweep, store: Store, projection: Projection, database: str, tmp_path: Path
) -> None:
    done, cut_off = sweep.run(0), sweep.start(1)
    sweep.train(cut_off, last=2)
    projection.sync_sweep(sweep.id)
    record = Record(database)
    assert record.children(sweep.id)[cut_off].info.status == "RUNNING"

    store.release_sweep(sweep.id, "Ctrl-C")
    projection.sync_sweep(sweep.id)
    assert record.statuses(sweep.id) == {"KILLED", "FINISHED"}
    assert record.parent(sweep.id).info.status == "KILLED"
    assert record.parent(sweep.id).data.tags["emphasis.reason"] == "Ctrl-C"

    resumed = Projection(store, database, tmp_path / "artifacts", lambda sweep_id: SUMMARY)
    store.claim_sweep(sweep.id, "here:2:100", is_alive=lambda owner, heartbeat: True)
    resumed.sync_sweep(sweep.id)
    assert record.parent(sweep.id).info.status == "RUNNING"
    assert record.children(sweep.id)[cut_off].info.status == "KILLED"  # it waits, and nobody trains it

    store.start_attempt(cut_off, "here", 2)
    resumed.sync_sweep(sweep.id)
    assert record.children(sweep.id)[cut_off].info.status == "RUNNING"

    sweep.train(cut_off, first=2, moment=MORNING + timedelta(hours=1))
    sweep.finish(cut_off)
    store.finish_sweep(sweep.id, SweepState.DONE)
    resumed.sync_sweep(sweep.id)
    assert record.statuses(sweep.id) == {"FINISHED"}
    assert record.parent(sweep.id).data.tags["emphasis.reason"] == ""
    children = record.children(sweep.id)
    assert set(children) == {done, cut_off}
    record.assert_each_epoch_once(children[cut_off])


def test_trial_that_never_began_has_no_run(sweep: Sweep, projection: Projection, database: str) -> None:
    sweep.store.add_trial(
        sweep.id,
        phase=Phase.SEARCH,
        configuration=0,
        repeat=0,
        supervision="gr",
        hyperparameters={"beta": 1.0, "lam": 1.0},
        params={},
        noise_rate=0.4,
        seed=0,
        noise_seed=0,
    )
    projection.sync_sweep(sweep.id)
    assert Record(database).children(sweep.id) == {}


class CountedClient:
    """A real MLflow client whose calls are counted."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self.calls: Counter[str] = Counter()
        self.metrics: list[list[int]] = []  # the steps of each call's metrics

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._client, name)

        def counted(*args: Any, **kwargs: Any) -> Any:
            self.calls[name] += 1
            if kwargs.get("metrics"):
                self.metrics.append([metric.step for metric in kwargs["metrics"]])
            return method(*args, **kwargs)

        return counted


def test_sixty_epochs_take_three_calls(sweep: Sweep, projection: Projection, database: str) -> None:
    projection.sync_sweep(sweep.id)
    trial_id = sweep.start(0)
    sweep.train(trial_id, last=60)
    sweep.finish(trial_id)
    counted = projection.runs.client = CountedClient(projection.runs.client)
    projection.sync_sweep(sweep.id)
    assert counted.calls["create_run"] == 1
    assert counted.calls["log_batch"] == 2  # the trial's one, and the parent's best-so-far tags
    assert counted.calls.total() == 4

    counted.calls.clear()
    projection.sync_sweep(sweep.id)
    assert counted.calls.total() == 0

    record = Record(database)
    record.assert_each_epoch_once(record.children(sweep.id)[trial_id], epochs=60)


def test_more_epochs_than_one_call_may_carry_are_split_between_epochs(
    sweep: Sweep, projection: Projection, database: str
) -> None:
    counted = projection.runs.client = CountedClient(projection.runs.client)
    trial_id = sweep.start(0)
    sweep.train(trial_id, last=401)  # 2005 metrics, of which MLflow takes 1000 a call
    projection.sync_sweep(sweep.id)

    assert max(len(steps) for steps in counted.metrics) <= 1000
    calls_by_epoch = Counter(epoch for steps in counted.metrics for epoch in set(steps))
    assert set(calls_by_epoch.values()) == {1}  # an epoch is in MLflow as a whole or not at all
    record = Record(database)
    record.assert_each_epoch_once(record.children(sweep.id)[trial_id], epochs=401)


@pytest.mark.parametrize("budget", [{"epochs": 2500}, {"iterations": 12 * 2500}])
def test_of_thousands_of_epochs_mlflow_has_every_third_and_the_evaluated_ones(
    budget: dict[str, int], store: Store, database: str
) -> None:
    sweep = Sweep(store, f"thousands-of-{next(iter(budget))}", training=budget)
    projection = Projection(store, database)
    trial_id = sweep.start(0)
    sweep.train(trial_id, last=1000, evaluated=[500, 1000])
    projection.sync_sweep(sweep.id)
    sweep.train(trial_id, first=1001, last=2500, evaluated=[1500, 2000, 2500])
    sweep.finish(trial_id)
    projection.sync_sweep(sweep.id)

    record = Record(database)
    run = record.children(sweep.id)[trial_id]
    evaluated = [500, 1000, 1500, 2000, 2500]
    assert record.steps(run, "test_accuracy") == evaluated
    assert record.steps(run, "train_loss") == sorted({*range(3, 2501, 3), *evaluated})
    assert len(store.epochs(trial_id)) == 2500
    # Anew, from what MLflow has: nothing is there twice.
    Projection(store, database).sync_sweep(sweep.id)
    assert record.steps(run, "train_loss") == sorted({*range(3, 2501, 3), *evaluated})


def test_a_run_of_another_supervision_has_its_own_values(store: Store) -> None:
    sweep = Sweep(store, "of-gce")
    record = store.sweep(sweep.id)
    trial = store.add_trial(
        sweep.id, phase=Phase.SEARCH, configuration=0, repeat=0, supervision="forward", noise_rate=0.4, seed=3,
        hyperparameters={"matrix": "estimated", "dropout": 0.25}, params={}, noise_seed=4,
    )  # fmt: skip
    assert run_content.trial_run_name(trial) == "forward dropout=0.25 matrix=estimated seed 3"
    assert run_content.trial_params(trial, record)["matrix"] == "estimated"
    summary = ParentSummary("forward", {"matrix": "estimated"}, {"pretraining": 0.5}, 0.94, None, "")
    assert run_content.found_run_name(record, summary) == "forward matrix=estimated (0.940) digits r=0.4"
    assert run_content.best_params(summary) == {"best.matrix": "estimated", "best.pretraining": "0.5"}
    assert run_content.best_tags(None, summary, record) == {
        "best.matrix": "estimated", "best.pretraining": "0.5", "best.intact_train_accuracy": "0.9400",
    }  # fmt: skip
    assert run_content.best_params(SUMMARY) == {"best.beta": "12", "best.lambda": "0.5"}


def test_description_of_a_sweep_that_stopped_with_nothing_found_says_so(
    sweep: Sweep, store: Store, database: str, tmp_path: Path
) -> None:
    projection = Projection(store, database, tmp_path / "artifacts")
    projection.sync_sweep(sweep.id)
    assert Record(database).parent(sweep.id).data.tags["mlflow.note.content"] == run_content.RUNNING_NOTE
    store.finish_sweep(sweep.id, SweepState.FAILED, "All trials failed.")
    projection.sync_sweep(sweep.id)
    said = "Stopped (failed) with nothing to recommend: All trials failed."
    assert Record(database).parent(sweep.id).data.tags["mlflow.note.content"] == said


def test_description_too_long_for_mlflow_is_cut_at_a_line(
    sweep: Sweep, store: Store, database: str, tmp_path: Path
) -> None:
    note = "\n".join(f"| {row} | β |" for row in range(2000))
    summary = ParentSummary("cce", {}, {}, None, None, note)
    sweep.store.finish_sweep(sweep.id, SweepState.DONE)
    Projection(store, database, tmp_path / "artifacts", lambda sweep_id: summary).sync_sweep(sweep.id)
    shown = Record(database).parent(sweep.id).data.tags["mlflow.note.content"]
    assert LONGEST_TAG - 20 < len(shown) <= LONGEST_TAG
    assert shown.endswith("|\n…")


def test_figures_are_uploaded_under_the_artifact_root_and_again_only_when_they_change(
    sweep: Sweep, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    figures = tmp_path / "figures"
    figures.mkdir()
    (figures / "dynamics.png").write_bytes(b"one")
    (figures / "apart").mkdir()
    (figures / "apart" / "table.md").write_text("| a |")
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    store.finish_sweep(sweep.id, SweepState.DONE)
    projection = Projection(store, uri, tmp_path / "artifacts", lambda sweep_id: replace(SUMMARY, artifacts=figures))
    projection.sync_sweep(sweep.id)
    counted = projection.runs.client = CountedClient(projection.runs.client)
    projection.sync_sweep(sweep.id)
    assert counted.calls["log_artifact"] == 0
    (figures / ".dynamics.png.0123abcd.part").write_bytes(b"tw")  # by a process that writes, or was killed
    projection.sync_sweep(sweep.id)
    assert counted.calls["log_artifact"] == 0
    (figures / "dynamics.png").write_bytes(b"two")
    projection.sync_sweep(sweep.id)
    assert counted.calls["log_artifact"] == 2

    found = {path.name: path for path in (tmp_path / "artifacts" / "emphasis" / "digits").rglob("*") if path.is_file()}
    assert found.keys() == {"dynamics.png", "table.md"}
    assert found["dynamics.png"].read_bytes() == b"two"
    assert found["table.md"].parent.name == "apart"
    assert list(elsewhere.iterdir()) == []  # nothing is written where the command happened to be started


def test_recorder_records_in_the_background_and_says_so(
    sweep: Sweep, store: Store, database: str, tmp_path: Path
) -> None:
    recorder = Recorder(store, database, artifact_root=tmp_path / "artifacts", interval=0)
    trial_id = sweep.run(0)
    recorder.notify(sweep.id)
    assert recorder.close(timeout=PATIENCE)
    assert recorder.behind == ()
    assert recorder.last_error is None
    record = Record(database)
    record.assert_each_epoch_once(record.children(sweep.id)[trial_id])


def until(true: Callable[[], bool], seconds: float = PATIENCE) -> None:
    """Return once something is true; fail when it does not become true in time."""
    pause = threading.Event()
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it did not come true in time"
        pause.wait(0.05)


def test_failing_report_does_not_keep_the_trials_from_being_recorded(
    sweep: Sweep, store: Store, database: str, tmp_path: Path
) -> None:
    def broken(sweep_id: str) -> ParentSummary:
        raise ValueError("no table today")

    recorder = Recorder(store, database, artifact_root=tmp_path, summarise=broken, interval=0)
    sweep.run(0)
    sweep.store.finish_sweep(sweep.id, SweepState.DONE)
    recorder.notify(sweep.id)
    until(lambda: "no table today" in (recorder.last_error or ""))
    assert not recorder.close(timeout=0)
    assert recorder.behind == (sweep.id,)
    assert Record(database).statuses(sweep.id) == {"FINISHED"}


def test_sweep_that_cannot_be_recorded_does_not_delay_another(
    sweep: Sweep, store: Store, database: str, tmp_path: Path
) -> None:
    def broken(sweep_id: str) -> ParentSummary | None:
        if sweep_id == sweep.id:
            raise ValueError("no table today")
        return None

    recorder = Recorder(
        store, database, artifact_root=tmp_path, summarise=broken, interval=3600, first_retry=3600, longest_retry=3600
    )
    store.finish_sweep(sweep.id, SweepState.DONE)
    recorder.notify(sweep.id)
    until(lambda: recorder.last_error is not None)
    another = Sweep(store, "another").id
    recorder.notify(another)
    # Whoever waits for the other one is neither held up, though what fails is tried again in an hour, nor told of it.
    assert recorder.flush(another, timeout=PATIENCE)
    assert recorder.error_of(another) is None
    assert recorder.behind == (sweep.id,)
    assert "no table today" in str(recorder.error_of(sweep.id))
    assert Record(database).statuses("another") == {"RUNNING"}
    assert not recorder.close(timeout=1e6)  # of which nothing passes: what fails is tried once more


def test_what_is_waited_for_is_recorded_before_what_came_earlier(
    sweep: Sweep, store: Store, database: str, tmp_path: Path
) -> None:
    gate = threading.Event()

    def summarise(sweep_id: str) -> None:
        if sweep_id == "earlier":
            gate.wait()

    recorder = Recorder(store, database, artifact_root=tmp_path, summarise=summarise, interval=3600)
    recorder.notify(sweep.id)
    until(lambda: recorder.behind == ())
    for id in ("earlier", "wanted"):  # neither is due for an hour unless somebody waits
        store.finish_sweep(Sweep(store, id).id, SweepState.DONE)
        recorder.notify(id)
    assert recorder.flush("wanted", timeout=PATIENCE)
    assert recorder.behind == ("earlier",)
    gate.set()
    assert recorder.close(timeout=PATIENCE)


def test_why_mlflow_does_not_answer_is_said_without_its_password(sweep: Sweep, store: Store) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    recorder = Recorder(store, f"http://bob:se%20cret@127.0.0.1:{port}", interval=0)
    recorder.notify(sweep.id)
    until(lambda: recorder.last_error is not None)
    recorder.close(timeout=0)
    assert f"http://bob:***@127.0.0.1:{port}/api" in str(recorder.last_error)
    assert "cret" not in str(recorder.last_error)


def test_catch_up_records_what_an_earlier_process_could_not(
    sweep: Sweep, store: Store, database: str, tmp_path: Path
) -> None:
    trial_id = sweep.run(0)
    sweep.store.finish_sweep(sweep.id, SweepState.DONE)
    recorder = Recorder(store, database, artifact_root=tmp_path / "artifacts", interval=0)
    recorder.catch_up()
    assert recorder.behind == (sweep.id,)
    assert recorder.close(timeout=PATIENCE)
    assert trial_id in Record(database).children(sweep.id)

    later = Recorder(store, database)
    later.catch_up()
    assert later.behind == ()


class MlflowServer:
    """A real MLflow server process on a loopback port, as ``emphasis ui`` starts it."""

    def __init__(self, folder: Path) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.uri = f"http://127.0.0.1:{self.port}"
        self.folder = folder
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        give_tables(self.folder / "mlflow.db")
        database = f"sqlite:///{self.folder / 'mlflow.db'}"
        command, environment = ui_command(database, self.folder / "artifacts", port=self.port)
        self.process = subprocess.Popen(
            command,
            env=environment,
            cwd=self.folder,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def wait(self) -> None:
        """Return once the server answers."""
        until(self._answers)

    def _answers(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, "the server ended by itself"
        try:
            return self.get("/health") == b"OK"
        except OSError:
            return False

    def get(self, path: str) -> bytes:
        """Return what the server has at a path."""
        with urllib.request.urlopen(self.uri + path, timeout=PATIENCE) as answer:
            return bytes(answer.read())

    def kill(self) -> None:
        if self.process is not None and self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MlflowServer]:
    server = MlflowServer(tmp_path_factory.mktemp("server"))
    server.start()
    server.wait()
    yield server
    server.kill()


def test_server_killed_in_the_middle_delays_the_record_and_nothing_more(
    sweep: Sweep, store: Store, server: MlflowServer, tmp_path: Path
) -> None:
    figures = tmp_path / "figures"
    summary = replace(SUMMARY, artifacts=figures)
    recorder = Recorder(store, server.uri, summarise=lambda sweep_id: summary, interval=0, first_retry=0.2)
    before, across = sweep.run(0), sweep.start(1)
    sweep.train(across, last=2)
    recorder.notify(sweep.id)
    assert recorder.flush(sweep.id, timeout=PATIENCE), recorder.last_error

    server.kill()
    sweep.train(across, first=3)
    sweep.finish(across, 0.9)
    after = sweep.run(2)
    recorder.notify(sweep.id)
    until(lambda: server.uri in (recorder.last_error or ""))
    assert not recorder.flush(sweep.id, timeout=0)
    assert recorder.behind == (sweep.id,)
    figures.mkdir()
    (figures / "weights.svg").write_text("<svg/>")
    store.finish_sweep(sweep.id, SweepState.DONE)
    recorder.notify(sweep.id)

    server.start()
    server.wait()
    assert recorder.close(timeout=PATIENCE), recorder.last_error
    assert recorder.behind == ()
    assert recorder.last_error is None

    record = Record(server.uri)
    assert record.statuses(sweep.id) == {"FINISHED"}
    children = record.children(sweep.id)
    assert set(children) == {before, across, after}
    for child in children.values():
        record.assert_each_epoch_once(child)
    parent = record.parent(sweep.id)
    assert parent.data.params["best.beta"] == "12"
    page = f"/get-artifact?path=weights.svg&run_uuid={parent.info.run_id}"
    assert server.get(page) == b"<svg/>"


def test_values_survive_http_to_the_last_bit(
    sweep: Sweep, store: Store, server: MlflowServer, tmp_path: Path
) -> None:
    trial_id = sweep.run(0)
    Projection(store, server.uri).sync_sweep(sweep.id)
    record = Record(server.uri)
    child = record.children(sweep.id)[trial_id]
    losses = [point.value for point in record.client.get_metric_history(child.info.run_id, "train_loss")]
    assert losses == [1 / epoch for epoch in range(1, EPOCHS + 1)]


def test_ui_needs_a_database_because_a_server_has_pages_of_its_own() -> None:
    with pytest.raises(InvalidInput, match="in a browser") as refused:
        ui_command("http://bob:se%20cret@tracking.example:5000")
    assert "cret" not in str(refused.value)


def test_ui_listens_on_this_machine_only_and_shows_no_password_in_the_list_of_processes() -> None:
    command, environment = ui_command("postgresql://me:secret@db/mlflow")
    assert command[command.index("--host") + 1] == "127.0.0.1"
    assert not [word for word in command if "secret" in word]
    assert environment["MLFLOW_BACKEND_STORE_URI"] == "postgresql://me:secret@db/mlflow"
    assert environment["MLFLOW_DISABLE_TELEMETRY"] == "true"
    assert environment["MLFLOW_SERVER_ENABLE_JOB_EXECUTION"] == "false"


def test_importing_the_recorder_does_not_import_mlflow() -> None:
    check = "import sys, search.tracking; sys.exit('mlflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", check], check=False).returncode == 0
