"""Small sweeps for tests to run, and what is recorded of one, read as a user's tools read it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

from search.home import Home
from search.store import AttemptState
from search.store import Store
from search.store import SweepState
from search.store import TrialRecord
from search.store import TrialState

# 4 of the search, 2 of CCE, 2 that confirm the best.
SMALL = ("--dataset", "digits", "--noise-rate", "0.4", "--trials", "4", "--confirm-top", "1")
SMALL = (*SMALL, "--confirm-seeds", "2", "--concurrency", "1")
TRIALS = 8


@dataclass
class Record:
    """What a home folder has of a sweep, by default its only one, read as a user's tools read it."""

    home: Home
    sweep_id: str | None = None

    def __post_init__(self) -> None:
        with Store.open(self.home.store_url) as store:
            (self.sweep,) = [each for each in store.sweeps() if self.sweep_id in (None, each.id)]
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
