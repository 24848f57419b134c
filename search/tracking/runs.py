"""The few things that are asked of MLflow, by explicit run ids and in as few calls as can be.

The one module that imports MLflow, and only when it is first used.
"""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from search.tracking.best_view import view_tags
from search.tracking.database import ensure_database
from search.tracking.environment import prepare_environment
from search.tracking.interface import is_server
from search.tracking.run_content import EPOCH_METRIC
from search.tracking.run_content import RUNNING
from search.tracking.run_content import SCHEDULED
from search.tracking.run_content import SWEEP_TAG
from search.tracking.run_content import Point
from trainers.errors import EmphasisError

# MLflow refuses more than 1000 entities a call, of which at most 100 parameters and 100 tags.
_METRICS_A_CALL = 800
_PARAMS_A_CALL = 100
_TAGS_A_CALL = 100
_RUNS_A_PAGE = 1000


_RUN_NAME_TAG = "mlflow.runName"
# MLflow's pages otherwise ask which kind of experiment this is, and guess a chat bot's.
_EXPERIMENT_TAGS = {"mlflow.experimentKind": "custom_model_development", **view_tags()}


class TrackingError(EmphasisError):
    """MLflow cannot take the record as it stands; the message says what to do."""


@dataclass(slots=True)
class RecordedRun:
    """A run as MLflow has it, kept up to date by what we write to it.

    Args:
        run_id: MLflow's id.
        status: MLflow's status, e.g. ``RUNNING``.
        tags: Tags that it has.
        params: Names of the parameters that it has; MLflow never lets one change.
        deleted: Whether somebody deleted it in MLflow; it is then left alone.
        last_epoch: Highest epoch recorded; None while nobody has looked.
    """

    run_id: str
    status: str
    tags: dict[str, str]
    params: set[str]
    deleted: bool = False
    last_epoch: int | None = None


class MlflowRuns:
    """Runs in one MLflow tracking store.

    Args:
        tracking_uri: SQLAlchemy URL of a database, or ``http(s)://`` of an MLflow server.
        artifact_root: Folder for the files of new experiments; None lets the server choose.
    """

    def __init__(self, tracking_uri: str, artifact_root: Path | None = None) -> None:
        prepare_environment()
        ensure_database(tracking_uri)
        from mlflow.tracking import MlflowClient

        self.client: Any = MlflowClient(tracking_uri=tracking_uri)
        self._artifact_root = None if is_server(tracking_uri) else artifact_root

    def experiment(self, name: str) -> str:
        """Find or create an experiment and return its id.

        Raises:
            TrackingError: It was deleted in MLflow.
        """
        found = self.client.get_experiment_by_name(name)
        if found is None:
            location = None
            if self._artifact_root is not None:
                location = self._artifact_root.resolve().joinpath(*name.split("/")).as_uri()
            return str(self.client.create_experiment(name, artifact_location=location, tags=_EXPERIMENT_TAGS))
        if found.lifecycle_stage != "active":
            raise TrackingError(
                f"The MLflow experiment {name!r} was deleted. "
                f"Restore it: mlflow experiments restore --experiment-id {found.experiment_id}"
            )
        for tag, value in _EXPERIMENT_TAGS.items():
            if tag not in found.tags:  # of an earlier release; what somebody has changed is left alone
                self.client.set_experiment_tag(found.experiment_id, tag, value)
        return str(found.experiment_id)

    def of_sweep(self, experiment_id: str, sweep_id: str) -> list[RecordedRun]:
        """Return every run of a sweep, deleted ones too, oldest first."""
        from mlflow.entities import ViewType

        runs: list[RecordedRun] = []
        token = None
        while True:
            page = self.client.search_runs(
                [experiment_id],
                filter_string=f"tags.`{SWEEP_TAG}` = '{sweep_id}'",
                run_view_type=ViewType.ALL,
                max_results=_RUNS_A_PAGE,
                order_by=["attributes.start_time ASC"],
                page_token=token,
            )
            runs += [_recorded(run) for run in page]
            token = page.token
            if not token:
                return runs

    def deleted(self) -> Iterator[tuple[str, str]]:
        """Sweep's id and URI of the artifacts of every run of a sweep that was deleted in MLflow."""
        from mlflow.entities import ViewType

        experiments = self.client.search_experiments(view_type=ViewType.ALL, max_results=_RUNS_A_PAGE)
        token = None
        while True:
            page = self.client.search_runs(
                [experiment.experiment_id for experiment in experiments],
                filter_string=f"tags.`{SWEEP_TAG}` != ''",
                run_view_type=ViewType.DELETED_ONLY,
                max_results=_RUNS_A_PAGE,
                page_token=token,
            )
            yield from ((run.data.tags[SWEEP_TAG], run.info.artifact_uri) for run in page)
            token = page.token
            if not token:
                return

    def create(self, experiment_id: str, name: str, start_time: int, tags: Mapping[str, str]) -> RecordedRun:
        """Create a run that started at ``start_time`` (milliseconds since 1970, UTC)."""
        run = self.client.create_run(experiment_id, start_time=start_time, tags=dict(tags), run_name=name)
        return RecordedRun(run.info.run_id, RUNNING, dict(tags), set(), last_epoch=0)

    def delete(self, run: RecordedRun) -> None:
        """Delete a run (MLflow keeps it restorable)."""
        self.client.delete_run(run.run_id)
        run.deleted = True

    def delete_sweep(self, parent_run_id: str, sweep_id: str) -> None:
        """Delete a sweep's runs, as far as MLflow still has them (it keeps them restorable)."""
        found = self._get(parent_run_id)
        for run in self.of_sweep(found.info.experiment_id, sweep_id) if found is not None else ():
            if not run.deleted:
                self.delete(run)

    def find(self, run_id: str) -> RecordedRun | None:
        """One run by its id; None where MLflow has none such."""
        found = self._get(run_id)
        return None if found is None else _recorded(found)

    def _get(self, run_id: str) -> Any:
        from mlflow.exceptions import MlflowException
        from mlflow.protos.databricks_pb2 import RESOURCE_DOES_NOT_EXIST
        from mlflow.protos.databricks_pb2 import ErrorCode

        try:
            return self.client.get_run(run_id)
        except MlflowException as error:
            if error.error_code != ErrorCode.Name(RESOURCE_DOES_NOT_EXIST):
                raise
            return None

    def epochs_recorded(self, run: RecordedRun) -> int:
        """Return the highest epoch that MLflow has of a run; 0 without one."""
        history = self.client.get_metric_history(run.run_id, EPOCH_METRIC)
        return max((point.step for point in history), default=0)

    def log(
        self,
        run: RecordedRun,
        *,
        epochs: Sequence[Sequence[Point]] = (),
        params: Mapping[str, str] | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> None:
        """Write what the run does not have yet.

        Args:
            run: The run.
            epochs: Metrics, those of one epoch together; they are never split over two calls.
            params: Parameters; those that the run has are left as they are.
            tags: Tags; those that the run has with the same value are not sent.
        """
        from mlflow.entities import Metric
        from mlflow.entities import Param
        from mlflow.entities import RunTag

        new_params = [(k, v) for k, v in (params or {}).items() if k not in run.params]
        new_tags = [(k, v) for k, v in (tags or {}).items() if run.tags.get(k) != v]
        metric_calls = list(_packed(epochs, _METRICS_A_CALL))
        param_calls = [new_params[i : i + _PARAMS_A_CALL] for i in range(0, len(new_params), _PARAMS_A_CALL)]
        tag_calls = [new_tags[i : i + _TAGS_A_CALL] for i in range(0, len(new_tags), _TAGS_A_CALL)]
        for call in range(max(len(metric_calls), len(param_calls), len(tag_calls))):
            points = metric_calls[call] if call < len(metric_calls) else []
            self.client.log_batch(
                run.run_id,
                metrics=[Metric(point.key, point.value, point.timestamp, point.step) for point in points],
                params=[Param(k, v) for k, v in (param_calls[call] if call < len(param_calls) else [])],
                tags=[RunTag(k, v) for k, v in (tag_calls[call] if call < len(tag_calls) else [])],
                synchronous=True,
            )
        run.params.update(k for k, _ in new_params)
        run.tags.update(new_tags)

    def set_status(self, run: RecordedRun, status: str, end_time: int) -> None:
        """Give a run a status, with its end (milliseconds since 1970, UTC) where the status is an end."""
        if run.status == status:
            return
        if status in (RUNNING, SCHEDULED):
            self.client.update_run(run.run_id, status=status)
        else:
            self.client.set_terminated(run.run_id, status=status, end_time=end_time)
        run.status = status

    def rename(self, run: RecordedRun, name: str) -> None:
        """Give a run another name."""
        if run.tags.get(_RUN_NAME_TAG) != name:
            self.client.update_run(run.run_id, name=name)
            run.tags[_RUN_NAME_TAG] = name

    def upload(self, run: RecordedRun, folder: Path, files: Iterable[Path]) -> None:
        """Upload files of a folder to the run's artifacts, over what has the same name there."""
        for path in files:
            inside = path.parent.relative_to(folder)
            self.client.log_artifact(run.run_id, str(path), None if inside == Path() else str(inside))


def _recorded(run: Any) -> RecordedRun:
    return RecordedRun(
        run_id=run.info.run_id,
        status=run.info.status,
        tags=dict(run.data.tags),
        params=set(run.data.params),
        deleted=run.info.lifecycle_stage != "active",
    )


def _packed(groups: Sequence[Sequence[Point]], most: int) -> Iterator[list[Point]]:
    """Join groups to batches of at most ``most`` points without splitting a group."""
    batch: list[Point] = []
    for group in groups:
        if batch and len(batch) + len(group) > most:
            yield batch
            batch = []
        batch = [*batch, *group]
    if batch:
        yield batch
