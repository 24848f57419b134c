"""Run one sweep from its spec to its recommendation, or take it up where an earlier process left it."""

from __future__ import annotations

import importlib
import os
import secrets
import shutil
import sys
import time
import warnings
from collections import Counter
from collections.abc import Callable
from collections.abc import Mapping
from contextlib import ExitStack
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC
from datetime import datetime
from functools import partial
from pathlib import Path
from statistics import fmean
from statistics import median
from typing import Any

from search.cluster import Cluster
from search.cluster import ray_cluster
from search.cluster_resources import Nodes
from search.errors import StoreUnavailable
from search.errors import SweepBusy
from search.errors import SweepFailed
from search.errors import SweepInterrupted
from search.errors import SweepWarning
from search.home import Home
from search.interruption import Interruption
from search.interruption import Lookout
from search.leaderboard import LeaderboardRow
from search.leaderboard import best_so_far
from search.leaderboard import leaderboard
from search.machine import this_machine
from search.machine import trials_at_once
from search.naming import equations
from search.objective import SearchObjective
from search.owner import is_alive
from search.owner import state_now
from search.owner import this_process
from search.plan import Pause
from search.plan import SweepPlan
from search.preflight import check
from search.recommend import Recommendation
from search.recommend import choose
from search.recommend import is_baseline
from search.reports.tables import leaderboard_markdown
from search.resolve import resolved
from search.settled_rate import SettledRate
from search.settled_rate import settle_noise_rate
from search.spec import SweepSpec
from search.spec import parse_specs
from search.status import SweepStatus
from search.store import Accuracies
from search.store import EpochRecord
from search.store import Phase
from search.store import Progress
from search.store import Store
from search.store import SweepRecord
from search.store import SweepState
from search.store import TrialRecord
from search.store import TrialState
from search.task import PreparedTask
from search.task import TaskSettings
from search.task import file_hashes
from search.tracking import ParentSummary
from search.tracking import Recorder
from search.versions import versions
from search.waiting import Waiting
from trainers.engines.checkpoint import checkpoint_path
from trainers.errors import EmphasisError
from trainers.errors import FieldError
from trainers.errors import InvalidInput

OnStatus = Callable[[SweepStatus], None]
OnStuck = Callable[[SweepInterrupted], None]
OnMessage = Callable[[str], None]

_LONGEST_WAIT_FOR_MLFLOW = 60.0
_LAST_WAIT_FOR_MLFLOW = 10.0
# Nodes come and go, and that is no fault of a trial; unless it takes each down that it is put on.
_MOST_LOST_NODES = 10


@dataclass(frozen=True, slots=True)
class SweepOutcome:
    """A finished sweep.

    Attributes:
        sweep: As the store has it.
        recommendation: What it recommends; None where nothing could be confirmed.
        rows: The top configurations and the CCE baseline.
        figures: Folder of its figures and tables.
        tracking_behind: Why MLflow does not have all of it yet; None when it has.
    """

    sweep: SweepRecord
    recommendation: Recommendation | None
    rows: list[LeaderboardRow]
    figures: Path
    tracking_behind: str | None


def run_sweep(
    spec: SweepSpec,
    *,
    home: Home | str | Path | None = None,
    ray_address: str | None = None,
    may_grow_to: Nodes | None = None,
    on_status: OnStatus | None = None,
    on_stuck: OnStuck | None = None,
    on_message: OnMessage | None = None,
    noise_rate: SettledRate | None = None,
) -> SweepOutcome:
    """Search the best configuration of a supervision for a dataset and noise rate.

    Args:
        spec: What to search.
        home: Where it is recorded; see `Home.resolve`.
        ray_address: Of a Ray cluster to run on; by default Ray is started here.
        may_grow_to: What all nodes of that cluster may come to have together; None for what its autoscaler is known
            to bring.
        on_status: Called whenever something has changed, from this thread.
        on_stuck: Called from another thread where Ray has died and holds this one in a call that never returns, so
            that nothing can be raised. The sweep is recorded as interrupted by then, and the process ends with status
            1 as soon as the call returns; left alone, Ray would end it a minute later without a word. By default the
            error is written to the standard error.
        on_message: Called with a line on what is done before the sweep is recorded, where that takes long: estimating
            the noise rate.
        noise_rate: What the spec's noise rate was found to come to; it is found here by default.

    Returns:
        The finished sweep with its recommendation.

    Raises:
        InvalidInput: Something is wrong with the spec or the world; nothing was started.
        SweepFailed: Too many trials failed, or Ray ended.
        SweepInterrupted: By Ctrl-C or SIGTERM; `resume_sweep` goes on from there.
    """
    with _Session(home, ray_address, on_stuck, may_grow_to) as session:
        prepared = session.check(spec)
        task = prepared.task
        rate = noise_rate or settle_noise_rate(spec, prepared, on_message)
        spec = resolved(spec, prepared, rate.value)
        sweep = session.store.create_sweep(
            id=_new_id(task.dataset.name, rate.value),
            spec=spec.to_json_dict(),
            dataset=task.dataset.name,
            noise_rate=rate.value,
            backbone=task.backbone,
            supervision=spec.supervision,
            data_hash=task.dataset.fingerprint,
            versions=versions(),
            facts={**prepared.facts(), **rate.facts, "files": file_hashes(spec)},
        )
        return session.execute(sweep, spec, prepared, on_status)


def resume_sweep(
    sweep_id: str,
    *,
    max_failure_rate: float | None = None,
    home: Home | str | Path | None = None,
    ray_address: str | None = None,
    may_grow_to: Nodes | None = None,
    on_status: OnStatus | None = None,
    on_stuck: OnStuck | None = None,
) -> SweepOutcome:
    """Take up a sweep that was interrupted, killed or stopped: only what is missing is run.

    A sweep that is done is returned as it is, its figures and MLflow record made whole.

    Args:
        sweep_id: Of the sweep, or a unique beginning of it.
        max_failure_rate: In place of the spec's, from here on: for a sweep that was stopped since too many of its
            trials failed.
        home: Where it is recorded.
        ray_address: As for `run_sweep`.
        may_grow_to: As for `run_sweep`.
        on_status: As for `run_sweep`.
        on_stuck: As for `run_sweep`.

    Raises:
        InvalidInput: There is no such sweep, or its data has changed or gone.
        SweepBusy: Another process is running it.
        SweepFailed: As for `run_sweep`.
        SweepInterrupted: As for `run_sweep`.
    """
    with _Session(home, ray_address, on_stuck, may_grow_to) as session:
        sweep = session.store.sweep(sweep_id)
        given = {} if max_failure_rate is None else {"max_failure_rate": max_failure_rate}
        (spec,) = parse_specs({**sweep.spec, **given})
        if sweep.owner is not None and is_alive(sweep.owner, sweep.heartbeat_at or sweep.created_at):
            raise SweepBusy(sweep.id, sweep.owner)
        if sweep.state is SweepState.DONE:
            return session.complete(sweep, spec, on_status)
        prepared = session.check(spec)
        task = prepared.task
        if task.dataset.fingerprint != sweep.data_hash:
            raise InvalidInput(
                FieldError(
                    "dataset",
                    spec.dataset,
                    f"is not the one that the finished trials of {sweep.id} were trained on (fingerprint "
                    f"{task.dataset.fingerprint[:12]}, recorded {sweep.data_hash[:12]})",
                    "Restore the data, or start a new sweep.",
                )
            )
        recorded = sweep.facts.get("files", {})
        changed = [field for field, found in file_hashes(spec).items() if recorded.get(field, found) != found]
        if changed:
            raise InvalidInput(
                FieldError(
                    changed[0],
                    spec.noise_file if changed[0] == "noise_file" else changed[0],
                    f"the file is not the one that the finished trials of {sweep.id} were trained with",
                    "Restore the file, or start a new sweep.",
                )
            )
        session.store.add_versions(sweep.id, versions())
        return session.execute(session.store.sweep(sweep.id), spec, prepared, on_status)


def interrupt_abandoned(store: Store) -> None:
    """Record every sweep whose process died without a word as interrupted."""
    me = this_process()
    for sweep in store.sweeps(state=SweepState.RUNNING):
        if state_now(sweep) is SweepState.INTERRUPTED:
            # Whoever resumes one of them at this moment is the one to claim it, or finds it claimed and waits.
            with suppress(SweepBusy):
                store.claim_sweep(sweep.id, me, is_alive=is_alive)
                reason = "the process that ran it was killed"
                store.release_running(sweep.id, reason)
                store.set_sweep_state(sweep.id, SweepState.INTERRUPTED, reason, owner=me)


class _Session:
    """The open store, the running Ray and the recorder of one call."""

    def __init__(
        self,
        home: Home | str | Path | None,
        ray_address: str | None,
        on_stuck: OnStuck | None = None,
        may_grow_to: Nodes | None = None,
    ) -> None:
        self.home = home if isinstance(home, Home) else Home.resolve(home)
        self._ray_address, self._may_grow_to = ray_address, may_grow_to
        self._on_stuck = on_stuck or (lambda error: print(error, file=sys.stderr, flush=True))

    def __enter__(self) -> _Session:
        self.store = Store.open(self.home.store_url)
        self.recorder = Recorder(
            self.store,
            self.home.tracking_uri,
            artifact_root=self.home.artifact_root,
            summarise=partial(summarise, self.store, self.home),
        )
        # Other sweeps whose process was killed: nothing of them is to be left running, in MLflow neither.
        interrupt_abandoned(self.store)
        self.recorder.catch_up()
        return self

    def __exit__(self, *exception: object) -> None:
        self.recorder.close(_LONGEST_WAIT_FOR_MLFLOW if exception[0] is None else _LAST_WAIT_FOR_MLFLOW)
        self.store.close()

    def check(self, spec: SweepSpec) -> PreparedTask:
        """The task of a spec that this machine or cluster can run."""
        free = shutil.disk_usage(self.home.path).free
        address = self._ray_address or os.environ.get("RAY_ADDRESS")
        if address:
            with ray_cluster(address, may_grow_to=self._may_grow_to) as cluster:
                found = check(spec, clusters=[cluster.resources()], free_disk_bytes=free)
        else:
            # A Ray that is yet to be started has what this machine has, so nothing need be started to refuse a spec.
            found = check(spec, clusters=[this_machine()], free_disk_bytes=free)
        for text in found.warnings:
            warnings.warn(text, SweepWarning, stacklevel=3)
        return TaskSettings.of(spec, self.home.path).load(spec.download)

    def execute(
        self, sweep: SweepRecord, spec: SweepSpec, prepared: PreparedTask, on_status: OnStatus | None
    ) -> SweepOutcome:
        """Run what is missing of a sweep and say what it found."""
        owner = this_process()
        self.store.claim_sweep(sweep.id, owner, is_alive=is_alive)
        interruption = Interruption()
        run = _SweepRun(self, sweep, spec, on_status or (lambda status: None), interruption)
        lookout = Lookout(
            interruption,
            heartbeat=partial(self.store.heartbeat, sweep.id, owner),
            last_resort=partial(self._abandon, sweep.id, owner),
        )
        # Ray is left last, since leaving a Ray that has died may take long or fail: the store knows by then.
        with ExitStack() as ray, interruption, lookout:
            try:
                self.store.release_running(sweep.id, "the process that ran the sweep ended")
                # While Ray's servers start, the recorder can import MLflow and open the sweep's run.
                self.recorder.notify(sweep.id)
                run.tell("starting Ray")
                cluster = ray.enter_context(ray_cluster(self._ray_address, _import_slow_ones, self._may_grow_to))
                run.cluster, run.waiting = cluster, Waiting(spec.resources, cluster.resources)
                interruption.listen()
                lookout.find_loss = cluster.loss
                resources = cluster.resources()
                check(spec, clusters=[resources])
                run.concurrency = trials_at_once(spec, resources)
                run.plan = SweepPlan(self.store, sweep.id, spec, prepared.task.dataset.num_classes, run.concurrency)
                run.tell("searching")
                self._tune(run, sweep, spec)
                run.raise_if_failed()
                lookout.find_loss = lambda: None  # all that is left can do without Ray
                run.tell("writing figures")
                problem = self._write_figures(sweep.id, prepared)
                interruption.settle()
                self.store.set_sweep_state(sweep.id, SweepState.DONE, problem, owner=owner)
            except BaseException as error:
                interruption.settle()
                raise self._stopped(run, owner, error) from error
        shutil.rmtree(self.home.checkpoints(sweep.id), ignore_errors=True)
        return self._outcome(run)

    def _write_figures(self, sweep_id: str, prepared: PreparedTask | None = None) -> str | None:
        """Write what a sweep has found as pictures; why that failed, which does not undo what was found."""
        try:
            from search.reports.figures import write_figures
            from search.reports.label_noise import write_label_noise

            folder = self.home.figures(sweep_id)
            write_figures(self.store, sweep_id, folder)
            if prepared is not None:
                write_label_noise(self.store, sweep_id, prepared, folder)
        except Exception as error:
            return f"no figures ({type(error).__name__}: {error}); `emphasis resume {sweep_id}` writes them"
        return None

    def complete(self, sweep: SweepRecord, spec: SweepSpec, on_status: OnStatus | None) -> SweepOutcome:
        """Make the figures and the MLflow record of a sweep that is done whole, and say what it found."""
        run = _SweepRun(self, sweep, spec, on_status or (lambda status: None), Interruption())
        run.tell("writing figures", SweepState.DONE)
        self.store.set_sweep_state(sweep.id, SweepState.DONE, self._write_figures(sweep.id))
        return self._outcome(run)

    def _outcome(self, run: _SweepRun) -> SweepOutcome:
        sweep = self.store.sweep(run.sweep.id)
        self.recorder.notify(sweep.id)
        run.tell("recording in MLflow", SweepState.DONE)
        recorded = self.recorder.flush(_LONGEST_WAIT_FOR_MLFLOW)
        trials = self.store.trials(sweep.id)
        run.tell("done", SweepState.DONE)
        return SweepOutcome(
            sweep=sweep,
            recommendation=choose(sweep, trials),
            rows=leaderboard(sweep, trials),
            figures=self.home.figures(sweep.id),
            tracking_behind=None if recorded else self.recorder.last_error or "it did not answer in time",
        )

    def _tune(self, run: _SweepRun, sweep: SweepRecord, spec: SweepSpec) -> None:
        if run.plan.is_complete():
            return
        # Imported here since Ray Tune takes seconds to import.
        from search.tuning import tune_trials

        self.home.ray.mkdir(parents=True, exist_ok=True)
        resources = {"CPU": spec.resources.cpus}
        if spec.resources.gpus:
            resources["GPU"] = spec.resources.gpus
        tune_trials(
            run,
            TaskSettings.of(spec, self.home.checkpoints(sweep.id)),
            concurrency=run.concurrency,
            resources=resources,
            notes=self.home.ray / f"{sweep.id}-{secrets.token_hex(3)}",
        )

    def _stopped(self, run: _SweepRun, owner: str, error: BaseException) -> BaseException:
        """Record why a sweep has stopped; the error that says so."""
        interrupted = run.interrupted_by(error)
        if interrupted is not None:
            self._stop(run.sweep.id, owner, SweepState.INTERRUPTED, interrupted)
            return SweepInterrupted(run.sweep.id, interrupted)
        reason = error.reason if isinstance(error, SweepFailed) else f"{type(error).__name__}: {error}"
        self._stop(run.sweep.id, owner, SweepState.FAILED, reason)
        if isinstance(error, EmphasisError) or not isinstance(error, Exception):
            return error
        return SweepFailed(run.sweep.id, reason)

    def _abandon(self, sweep_id: str, owner: str, reason: str) -> None:
        """End the process, whose main thread a dead Ray holds where no exception reaches it."""
        self._stop(sweep_id, owner, SweepState.INTERRUPTED, reason)
        self.recorder.flush(_LAST_WAIT_FOR_MLFLOW)
        try:
            self._on_stuck(SweepInterrupted(sweep_id, reason))
        finally:
            os._exit(1)

    def _stop(self, sweep_id: str, owner: str, state: SweepState, reason: str) -> None:
        """Leave nothing running in the store; MLflow follows from there."""
        # What cannot be written now is seen later: an owner that is dead has stopped.
        with suppress(StoreUnavailable):
            if self.store.sweep(sweep_id).owner == owner:
                self.store.release_running(sweep_id, reason)
                self.store.set_sweep_state(sweep_id, state, reason, owner=owner)
        self.recorder.notify(sweep_id)


class _SweepRun:
    """The trials of a sweep while they run: each event goes to the store first, then to the plan, then to MLflow."""

    cluster: Cluster | None = None
    waiting: Waiting
    plan: SweepPlan
    concurrency: int = 1

    def __init__(
        self,
        session: _Session,
        sweep: SweepRecord,
        spec: SweepSpec,
        on_status: OnStatus,
        interruption: Interruption,
    ) -> None:
        self._session, self._store = session, session.store
        self.sweep, self._spec, self._on_status = sweep, spec, on_status
        self._interruption = interruption
        self._started = time.monotonic()
        self._error: Exception | None = None
        self._message = ""
        self._best: LeaderboardRow | None = None
        self._durations: list[float] = []
        self._at_once = 1
        self._deaths: Counter[tuple[str, bool]] = Counter()
        self._objective = SearchObjective.recorded(sweep.spec, sweep.noise_rate, sweep.facts)

    @property
    def ended(self) -> bool:
        return self._error is not None or self._interruption.reason is not None

    def interrupted_by(self, error: BaseException) -> str | None:
        """Why the sweep was interrupted, if an error means that and not that the sweep failed."""
        # While Ray starts, SIGTERM meets a handler of Ray's own, which exits.
        if isinstance(error, KeyboardInterrupt | SystemExit):
            return self._interruption.reason or "interrupted"
        if isinstance(error, EmphasisError):
            return None
        # Ray's own errors say in many ways that it has died.
        return self._interruption.reason or (self.cluster.loss() if self.cluster is not None else None)

    def raise_if_failed(self) -> None:
        """Raise what ended the sweep early, if anything did."""
        self._interruption.raise_if_requested()
        if self._error is not None:
            raise self._error
        if not self.plan.is_complete():
            raise SweepFailed(self.sweep.id, "Ray ended before all trials were run")

    def hand_out(self) -> Mapping[str, Any] | None:
        order: Mapping[str, Any] | None = self._guarded(self._hand_out, {})
        return order

    def take_start(self, trial_id: str) -> None:
        self._guarded(partial(self._start_attempt, trial_id), None)

    def take_report(self, trial_id: str, result: Mapping[str, Any]) -> None:
        self._guarded(partial(self._take_report, trial_id, result), None)

    def take_death(self, trial_id: str, with_its_node: bool) -> None:
        self._guarded(partial(self._take_death, trial_id, with_its_node), None)

    def look(self) -> None:
        self._guarded(self._look, None)

    def tell(self, message: str, state: SweepState = SweepState.RUNNING) -> None:
        """Show how the sweep stands."""
        self._message = message
        self._show(state)

    def _guarded(self, action: Callable[[], Any], otherwise: Any) -> Any:
        # Ray Tune would wrap an error of ours, or go on; the first ends the sweep and is raised once Tune is over.
        if self.ended:
            return otherwise
        try:
            return action()
        except Exception as error:
            self._error = error
            return otherwise

    def _hand_out(self) -> Mapping[str, Any] | None:
        trial = self.plan.next()
        if isinstance(trial, Pause):
            return None if trial is Pause.WAIT else {}
        # The baseline is what it is, whatever the sweep fixes; so are a grid's cells of other supervisions.
        searched = trial.supervision == self._spec.supervision and trial.phase is not Phase.BASELINE
        fixed = self._spec.fixed if searched else {}
        return {
            "trial_id": trial.id,
            "supervision": trial.supervision,
            "hyperparameters": {**fixed, **trial.hyperparameters},
            "noise_rate": trial.noise_rate,
            "seed": trial.seed,
            "noise_seed": trial.noise_seed,
        }

    def _start_attempt(self, trial_id: str) -> None:
        self._store.start_attempt(trial_id, os.uname().nodename, os.getpid())
        trial = self._store.trial(trial_id)
        self.plan.update(trial)
        self._session.recorder.notify(self.sweep.id)
        self._at_once = max(self._at_once, self._running())
        self.tell("confirming" if trial.phase is Phase.CONFIRM else "searching")

    def _running(self) -> int:
        return sum(trial.state is TrialState.RUNNING for trial in self.plan.trials())

    def _look(self) -> None:
        """Say what the sweep waits for, where none of its trials runs."""
        reason = self.waiting.reason(running=self._running() > 0)
        if reason is not None and reason != self._message:
            self.tell(reason)

    def _take_death(self, trial_id: str, with_its_node: bool) -> None:
        if self._went_with_ray() or self.plan.trial(trial_id).state.finished:
            return
        self._deaths[trial_id, with_its_node] += 1
        deaths = self._deaths[trial_id, with_its_node]
        what = "node was lost" if with_its_node else "process died"
        if deaths <= (_MOST_LOST_NODES if with_its_node else self._spec.max_retries):
            self._store.release_trial(trial_id, f"its {what}")
            self.plan.put_back(self._store.trial(trial_id))
        else:
            times = "once" if deaths == 1 else f"{deaths} times"
            why = "" if with_its_node else " (killed, or out of memory)"
            self._finish(trial_id, {"state": "failed", "reason": f"its {what} {times}{why}"})
        self._session.recorder.notify(self.sweep.id)

    def _went_with_ray(self) -> bool:
        """Whether a trial's process died because all of Ray did, which is not the trial's doing."""
        loss = self.cluster.loss() if self.cluster is not None else None
        if loss is not None:
            self._interruption.request(loss)
        return loss is not None

    def _take_report(self, trial_id: str, result: Mapping[str, Any]) -> None:
        if self.plan.trial(trial_id).state.finished:
            return
        epochs = [_epoch_record(trial_id, epoch) for epoch in result["epochs"]]
        if epochs:
            self._store.record_epochs(trial_id, epochs)
        if result["ending"] is not None:
            self._finish(trial_id, result["ending"])
        self._session.recorder.notify(self.sweep.id)

    def _finish(self, trial_id: str, ending: Mapping[str, Any]) -> None:
        final, best = (Accuracies(**ending[name]) if ending.get(name) else None for name in ("final", "best"))
        state = TrialState(ending["state"])
        objective = self._objective.value(final) if final is not None and state is TrialState.DONE else None
        if state is TrialState.DONE and objective is None:
            state, ending = TrialState.FAILED, {**ending, "reason": f"it has no {self._objective.metric}"}
        reason = "\n".join(text for text in (ending.get("reason"), ending.get("detail")) if text) or None
        trial = self._store.finish_trial(
            trial_id,
            state,
            objective=objective,
            final=final,
            best=best,
            reason=reason,
            train_seconds=ending.get("seconds"),
            noise_hash=ending.get("noise_hash"),
            realised_noise_rate=ending.get("realised_noise_rate"),
        )
        checkpoint_path(self._session.home.checkpoints(self.sweep.id), trial_id).unlink(missing_ok=True)
        if trial.started_at is not None and trial.finished_at is not None:
            self._durations.append((trial.finished_at - trial.started_at).total_seconds())
        self.plan.update(trial)
        self._best = best_so_far(self.sweep, list(self.plan.trials()))
        self._show()

    def _show(self, state: SweepState = SweepState.RUNNING) -> None:
        trials = list(self.plan.trials()) if hasattr(self, "plan") else []
        progress = progress_of(trials)
        planned = max(self._spec.number_of_trials().total, progress.total)
        left = planned - progress.finished
        # Trials of one sweep cost much the same, but the first of each process waits for its start.
        remaining = median(self._durations) * left / self._at_once if self._durations else None
        baselines = [
            trial.objective
            for trial in trials
            if trial.phase is Phase.BASELINE and is_baseline(trial) and trial.objective is not None
        ]
        self._on_status(
            SweepStatus(
                sweep_id=self.sweep.id,
                dataset=self.sweep.dataset,
                noise_rate=self.sweep.noise_rate,
                state=state,
                progress=progress,
                planned=planned,
                best=self._best,
                baseline_objective=fmean(baselines) if baselines else None,
                elapsed_seconds=time.monotonic() - self._started,
                remaining_seconds=remaining,
                message=self._message,
            )
        )


def _import_slow_ones() -> None:
    # Ray Tune and matplotlib take seconds to import.
    for module in ("search.tuning", "search.reports.figures"):
        importlib.import_module(module)


def progress_of(trials: list[TrialRecord]) -> Progress:
    """Trials by state."""
    counts = {state.value: 0 for state in TrialState}
    for trial in trials:
        counts[trial.state.value] += 1
    return Progress(**counts)


def summarise(store: Store, home: Home, sweep_id: str) -> ParentSummary | None:
    """What a stopped sweep has found, for its MLflow parent run; None before there is anything."""
    sweep, trials = store.sweep(sweep_id), store.trials(sweep_id)
    recommendation = choose(sweep, trials)
    if recommendation is None:
        return None
    point, test = recommendation.recommended, recommendation.test_accuracy
    folder = home.figures(sweep_id)
    headline = (
        f"**Recommended: {equations(point.supervision, point.found, greek=True)}** for {sweep.dataset} at noise rate "
        f"{sweep.noise_rate:g} ({sweep.backbone}): {recommendation.objective.label} {recommendation.objective}, final "
        "epoch, eval mode."
    )
    return ParentSummary(
        supervision=point.supervision,
        found=point.found,
        fixed={name: value for name, value in point.hyperparameters.items() if name not in point.searched},
        objective=recommendation.objective.mean,
        test_accuracy=test.mean if test is not None else None,
        metric=recommendation.objective.name,
        intact_accuracy=recommendation.intact_accuracy.mean if recommendation.intact_accuracy else None,
        note_markdown=f"{headline}\n\n{leaderboard_markdown(leaderboard(sweep, trials))}",
        artifacts=folder if folder.is_dir() else None,
    )


def _new_id(dataset: str, noise_rate: float) -> str:
    moment = datetime.now(UTC).strftime("%y%m%d-%H%M%S")
    name = "".join(letter if letter.isalnum() else "-" for letter in dataset).strip("-").lower()
    return f"{name}-r{round(noise_rate * 100):02d}-{moment}-{secrets.token_hex(2)}"


def _epoch_record(trial_id: str, epoch: Mapping[str, Any]) -> EpochRecord:
    evaluation = epoch["evaluation"] or {}
    return EpochRecord(
        trial_id=trial_id,
        epoch=epoch["epoch"],
        iteration=epoch["iteration"],
        train_loss=epoch["train_loss"],
        learning_rate=epoch["learning_rate"],
        test_accuracy=evaluation.get("test"),
        corrupted_train_accuracy=evaluation.get("corrupted_train"),
        intact_train_accuracy=evaluation.get("intact_train"),
        validation_accuracy=evaluation.get("validation"),
        seconds=epoch["seconds"],
        recorded_at=datetime.fromtimestamp(epoch["recorded_at"], UTC),
    )
