"""Records of the store as the service tells them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING
from typing import Any

from search.naming import written_name
from search.objective import SearchObjective
from search.owner import living
from search.owner import state_now
from search.service.views import AccuraciesView
from search.service.views import BestView
from search.service.views import EpochView
from search.service.views import EstimateView
from search.service.views import EventView
from search.service.views import ObjectiveView
from search.service.views import ProcessView
from search.service.views import ProgressView
from search.service.views import StandingView
from search.service.views import SweepDetail
from search.service.views import SweepView
from search.service.views import TrialView
from search.store import Accuracies
from search.store import EpochRecord
from search.store import EventRecord
from search.store import ProcessKind
from search.store import ProcessRecord
from search.store import Progress
from search.store import Store
from search.store import SweepRecord
from search.store import SweepState
from search.store import TrialRecord
from trainers.errors import InvalidInput

if TYPE_CHECKING:
    from search.leaderboard import LeaderboardRow

NO_WORKER = "No worker is running: start one with `emphasis worker`."

_REMEMBERED = 4096


@dataclass(frozen=True, slots=True)
class _Outcome:
    """What a sweep has found: its best configuration, what CCE reaches, and what has to be said against the former."""

    best: BestView | None
    baseline_objective: float | None
    caveats: tuple[str, ...] = ()


class SweepViews:
    """Tells sweeps; what can never change again is worked out once.

    Args:
        store: Where they are recorded.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        # Bounded, and by the sweep's id, which is never given twice.
        self._final_outcome = lru_cache(_REMEMBERED)(self._recommended)
        self._planned = lru_cache(_REMEMBERED)(self._planned_trials)

    def sweeps(self, sweeps: Sequence[SweepRecord], mlflow_url: str | None = None) -> list[SweepView]:
        """Sweeps as a list has them.

        Args:
            sweeps: The sweeps.
            mlflow_url: Where MLflow's pages are; None where nobody knows.
        """
        return [SweepView(**values) for values in self._told(sweeps, mlflow_url)]

    def sweep(self, sweep: SweepRecord, notes: Sequence[str] = (), mlflow_url: str | None = None) -> SweepDetail:
        """One sweep with everything.

        Args:
            sweep: The sweep.
            notes: What else is worth knowing of it.
            mlflow_url: As for `sweeps`.
        """
        (values,) = self._told([sweep], mlflow_url)
        values["notes"] = [*notes, *values["notes"]]
        values |= {
            "spec": sweep.spec,
            "versions": sweep.versions,
            "facts": sweep.facts,
            "data_hash": sweep.data_hash,
            "heartbeat_at": sweep.heartbeat_at,
            "lease_expires_at": sweep.lease_expires_at,
            "fence": sweep.fence,
            "deaths": sweep.deaths,
            "last_event": self._store.last_event_number(sweep.id),
        }
        return SweepDetail(**values)

    def _told(self, sweeps: Sequence[SweepRecord], mlflow_url: str | None) -> list[dict[str, Any]]:
        # Imported here since the package around it needs Optuna, which takes seconds.
        from search.tracking.interface import direct_run_url

        ids = [sweep.id for sweep in sweeps]
        done = {sweep.id for sweep in sweeps if sweep.state is SweepState.DONE}
        progress = self._store.progress_of(ids)
        outcomes = self._outcomes(sweeps, progress)
        runs = self._store.tracking.cursors(ids) if mlflow_url else {}
        states = {sweep.id: state_now(sweep) for sweep in sweeps}
        idle = SweepState.QUEUED in states.values() and not living(self._store.processes, ProcessKind.WORKER)
        return [
            {
                "id": sweep.id,
                "state": states[sweep.id],
                "message": sweep.message,
                "dataset": sweep.dataset,
                "noise_rate": None if math.isnan(sweep.noise_rate) else sweep.noise_rate,
                "noise_model": sweep.spec.get("noise_model", "symmetric"),
                "backbone": sweep.backbone,
                "supervision": sweep.supervision,
                "submitter": sweep.submitter,
                "priority": sweep.priority,
                "request_key": sweep.request_key,
                "attended": sweep.attended,
                "owner": sweep.owner,
                "created_at": sweep.created_at,
                "started_at": sweep.started_at,
                "finished_at": sweep.finished_at,
                # Of one that is done nothing more will be: fewer than were asked for may have been left to confirm.
                "progress": _progress(progress[sweep.id], 0 if sweep.id in done else self._planned(sweep.id)),
                "best": outcomes[sweep.id].best,
                "baseline_objective": outcomes[sweep.id].baseline_objective,
                "notes": _notes(outcomes[sweep.id], without_worker=idle and states[sweep.id] is SweepState.QUEUED),
                "mlflow_url": direct_run_url(mlflow_url, runs[sweep.id].run_id)
                if mlflow_url and sweep.id in runs
                else None,
            }
            for sweep in sweeps
        ]

    def _outcomes(self, sweeps: Sequence[SweepRecord], progress: dict[str, Progress]) -> dict[str, _Outcome]:
        done = {sweep.id for sweep in sweeps if sweep.state is SweepState.DONE}
        under_way = [sweep.id for sweep in sweeps if sweep.id not in done and progress[sweep.id].done]
        leading, baselines = self._store.best_trial_of(under_way), self._store.baselines_of(under_way)
        return {
            sweep.id: self._final(sweep.id)
            if sweep.id in done
            else _so_far(sweep, leading.get(sweep.id), baselines.get(sweep.id))
            for sweep in sweeps
        }

    def _final(self, sweep_id: str) -> _Outcome:
        try:
            return self._final_outcome(sweep_id)
        except InvalidInput:  # it was deleted meanwhile
            return _Outcome(None, None)

    def _recommended(self, sweep_id: str) -> _Outcome:
        # Imported here since it needs scipy and Optuna, which take seconds.
        from search.recommendation import choose

        sweep = self._store.sweep(sweep_id)
        found = choose(sweep, self._store.trials(sweep_id))
        if found is None:
            return _Outcome(None, None)
        best = BestView(
            supervision=found.recommended.supervision,
            hyperparameters=_written(found.recommended.found),
            objective=found.objective.mean,
            objective_name=found.objective.name,
            test_accuracy=found.test_accuracy.mean if found.test_accuracy else None,
            seeds=found.objective.n,
            confirmed=found.provenance.confirmed,
        )
        return _Outcome(best, found.baseline.objective.mean if found.baseline else None, found.caveats_of_the_confirmed)

    def _planned_trials(self, sweep_id: str) -> int:
        # Imported here since reading a spec needs torch.
        from search.spec import SweepSpec

        try:
            return SweepSpec.recorded(self._store.sweep(sweep_id).spec).number_of_trials().total
        except (ValueError, InvalidInput):  # a spec of another version, or deleted meanwhile: what was added is known
            return 0


def _notes(outcome: _Outcome, without_worker: bool) -> list[str]:
    return [*([NO_WORKER] if without_worker else []), *outcome.caveats]


def _so_far(sweep: SweepRecord, leading: TrialRecord | None, baseline: float | None) -> _Outcome:
    if leading is None or leading.objective is None:
        return _Outcome(None, None)
    best = BestView(
        supervision=leading.supervision,
        hyperparameters=_written(leading.hyperparameters),
        objective=leading.objective,
        objective_name=SearchObjective.recorded(sweep.spec, sweep.noise_rate, sweep.facts).metric,
        test_accuracy=_finite(leading.final.test) if leading.final else None,
        seeds=1,
        confirmed=False,
    )
    return _Outcome(best, baseline)


def trial_view(trial: TrialRecord) -> TrialView:
    """A trial as the service tells it."""
    told: dict[str, Any] = {
        "hyperparameters": _written(trial.hyperparameters),
        "test_accuracy": _finite(trial.final.test) if trial.final else None,
        "final": _accuracies(trial.final),
        "best": _accuracies(trial.best),
    }
    return TrialView(**told, **{name: getattr(trial, name) for name in TrialView.model_fields if name not in told})


def epoch_view(epoch: EpochRecord) -> EpochView:
    """An epoch as the service tells it."""
    told: dict[str, Any] = {"learning_rate": _finite(epoch.learning_rate), "seconds": _finite(epoch.seconds)}
    return EpochView(**told, **{name: getattr(epoch, name) for name in EpochView.model_fields if name not in told})


def standing_view(row: LeaderboardRow) -> StandingView:
    """A row of a leader board as the service tells it."""
    return StandingView(
        rank=row.rank,
        supervision=row.supervision,
        hyperparameters=_written(dict(row.hyperparameters)),
        objective=ObjectiveView(**row.objective.as_dict()),
        test_accuracy=EstimateView(**row.test_accuracy.as_dict()) if row.test_accuracy else None,
        confirmed=row.confirmed,
        mark=row.mark.value,
    )


def event_view(event: EventRecord) -> EventView:
    """A line of a sweep's log as the service tells it."""
    return EventView(
        sweep_id=event.sweep_id,
        number=event.number,
        at=event.at,
        level=event.level,
        kind=event.kind,
        message=event.message,
        trial_id=event.trial_id,
        data=event.data,
    )


def process_view(process: ProcessRecord) -> ProcessView:
    """A worker or a server as the service tells it."""
    return ProcessView(
        name=process.name,
        kind=process.kind,
        facts=process.facts,
        started_at=process.started_at,
        heartbeat_at=process.heartbeat_at,
    )


def _progress(progress: Progress, planned: int) -> ProgressView:
    return ProgressView(
        waiting=progress.waiting,
        running=progress.running,
        done=progress.done,
        failed=progress.failed,
        pruned=progress.pruned,
        planned=max(planned, progress.total),
    )


def _written(hyperparameters: Any) -> dict[str, Any]:
    return {written_name(name): value for name, value in sorted(hyperparameters.items())}


def _accuracies(reached: Accuracies | None) -> AccuraciesView | None:
    if reached is None:
        return None
    return AccuraciesView(
        epoch=reached.epoch,
        test=_finite(reached.test),
        corrupted_train=_finite(reached.corrupted_train),
        intact_train=_finite(reached.intact_train),
        validation=_finite(reached.validation),
    )


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
