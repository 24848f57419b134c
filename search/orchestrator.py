"""Run one sweep from its spec to its recommendation, or take it up where an earlier process left it."""

from __future__ import annotations

import importlib
import math
import os
import secrets
import shutil
import sys
import threading
import time
import warnings
from collections import Counter
from collections.abc import Callable
from collections.abc import Mapping
from contextlib import ExitStack
from contextlib import suppress
from dataclasses import asdict
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
from search.errors import LeaseLost
from search.errors import NotInstalledHere
from search.errors import RayUnavailable
from search.errors import StoreUnavailable
from search.errors import SweepBusy
from search.errors import SweepCancelled
from search.errors import SweepFailed
from search.errors import SweepInterrupted
from search.errors import SweepWarning
from search.home import Home
from search.interruption import Interruption
from search.interruption import Lookout
from search.leaderboard import LeaderboardRow
from search.leaderboard import best_so_far
from search.leaderboard import leaderboard
from search.machine import free_memory_bytes
from search.machine import this_machine
from search.naming import equations
from search.naming import noise
from search.naming import with_fixed
from search.objective import SearchObjective
from search.owner import is_alive
from search.owner import is_elsewhere
from search.owner import this_process
from search.packing import Packing
from search.packing import lanes_fused
from search.packing import packing
from search.plan import Pause
from search.plan import SweepPlan
from search.preflight import check
from search.recommendation import Recommendation
from search.recommendation import choose
from search.recommendation import noise_model_of
from search.reports.tables import leaderboard_markdown
from search.settled_rate import SettledRate
from search.settled_rate import settle_noise_rate
from search.spec import UNKNOWN
from search.spec import SweepSpec
from search.spec_reading import parse_specs
from search.standings import is_baseline
from search.status import SweepStatus
from search.store import Accuracies
from search.store import EpochRecord
from search.store import Lease
from search.store import Phase
from search.store import Progress
from search.store import Store
from search.store import SweepRecord
from search.store import SweepState
from search.store import TrialState
from search.store import utc_now
from search.submission import record_sweep
from search.submission import settle_sweep
from search.task import PreparedTask
from search.task import TaskSettings
from search.task import file_hashes
from search.tracking import ParentSummary
from search.tracking import Recorder
from search.versions import versions
from search.waiting import Waiting
from trainers.datasets import dataset_source
from trainers.engines.checkpoint import checkpoint_path
from trainers.errors import EmphasisError
from trainers.errors import FieldError
from trainers.errors import InvalidInput
from trainers.models import find_backbone

OnClaimed = Callable[[Store], None]
OnStatus = Callable[[SweepStatus], None]
OnStuck = Callable[[EmphasisError], None]
OnMessage = Callable[[str], None]
Prepare = Callable[["_SweepRun"], tuple[SweepSpec, PreparedTask]]

_LONGEST_WAIT_FOR_MLFLOW = 60.0
_LAST_WAIT_FOR_MLFLOW = 10.0
_FIGURES = "search.reports.figures"
# Nodes come and go, and that is no fault of a trial; unless it takes each down that it is put on.
_MOST_LOST_NODES = 10


@dataclass(frozen=True, slots=True)
class SweepOutcome:
    """A finished sweep.

    Attributes:
        sweep: As the store has it.
        recommendation: What it recommends; None where nothing could be confirmed.
        rows: The top configurations and the CCE baseline.
        stopped_early: How many of its trials were given up by its early-stopping rule.
        figures: Folder of its figures and tables.
        tracking_behind: Why MLflow does not have all of it yet, and what completes its record; None when it has.
        interrupted: Whether Ctrl-C cut that recording short: it has finished, but nothing else is to be begun.
    """

    sweep: SweepRecord
    recommendation: Recommendation | None
    rows: list[LeaderboardRow]
    stopped_early: int
    figures: Path
    tracking_behind: str | None
    interrupted: bool = False


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
        SweepInterrupted: By Ctrl-C, SIGTERM or `emphasis pause`; `resume_sweep` goes on from there.
        SweepCancelled: By `emphasis cancel`.
    """
    with _Session(home, ray_address, on_stuck, may_grow_to) as session:
        prepared = session.check(spec)
        rate = noise_rate or settle_noise_rate(spec, prepared, on_message)
        sweep = record_sweep(session.store, spec, prepared, rate, attended=True)
        return session.execute(sweep, lambda run: (spec_of(sweep), prepared), on_status)


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
        session.store.release_lost(is_alive, sweep_id=sweep.id)  # its user asks for it, wherever it ran
        sweep = session.store.sweep(sweep.id)
        spec = spec_of(sweep, **({} if max_failure_rate is None else {"max_failure_rate": max_failure_rate}))
        if sweep.owner is not None:
            raise SweepBusy(sweep.id, sweep.owner)
        if sweep.state is SweepState.DONE:
            return session.complete(sweep, on_status)
        prepared = session.check(spec)
        check_unchanged(sweep, spec, prepared)
        session.store.add_versions(sweep.id, versions())

        def settled(run: _SweepRun) -> tuple[SweepSpec, PreparedTask]:
            return session.settled(sweep, spec, prepared, run), prepared

        return session.execute(sweep, settled, on_status)


def run_queued_sweep(
    sweep_id: str,
    *,
    lease_seconds: float,
    max_trials: int | None = None,
    home: Home | str | Path | None = None,
    ray_address: str | None = None,
    may_grow_to: Nodes | None = None,
    on_claimed: OnClaimed | None = None,
    on_status: OnStatus | None = None,
    on_stuck: OnStuck | None = None,
) -> SweepOutcome:
    """Claim a queued sweep and run what is missing of it, as a worker's process does.

    Args:
        sweep_id: Full id of the sweep.
        lease_seconds: How long this process may be silent before another takes the sweep over.
        max_trials: Trials at once, at most, whatever the sweep asks for.
        home: As for `run_sweep`.
        ray_address: As for `run_sweep`.
        may_grow_to: As for `run_sweep`.
        on_claimed: Called with the store that refuses every write once this process has lost the sweep.
        on_status: As for `run_sweep`.
        on_stuck: As for `run_sweep`.

    Raises:
        NotInstalledHere: Its spec cannot be read here; it was not claimed.
        SweepBusy: Another process has claimed it.
        IllegalMove: It is no longer queued.
        SweepFailed: It cannot give a result; a spec that this machine cannot run is such a failure.
        SweepInterrupted: It was paused, or this process is to stop, has lost the lease, Ray or the store.
        SweepCancelled: It was cancelled.
    """
    with _Session(home, ray_address, on_stuck, may_grow_to, alone=False) as session:
        sweep = session.store.sweep(sweep_id)
        spec = _spec_read_here(sweep)

        def prepare(run: _SweepRun) -> tuple[SweepSpec, PreparedTask]:
            if on_claimed is not None:
                on_claimed(run.store)
            run.tell("reading the data")
            prepared = session.check(spec)
            check_unchanged(sweep, spec, prepared)
            run.store.add_versions(sweep.id, versions())
            return session.settled(sweep, spec, prepared, run), prepared

        return session.execute(sweep, prepare, on_status, lease_seconds, max_trials)


def spec_of(sweep: SweepRecord, **given: Any) -> SweepSpec:
    """A recorded sweep's spec, with other values of some fields where given."""
    (spec,) = parse_specs({**sweep.spec, **given})
    return spec


def _spec_read_here(sweep: SweepRecord) -> SweepSpec:
    """A queued sweep's spec, where all that it names is installed."""
    try:
        spec = spec_of(sweep)
        dataset_source(spec.dataset)
        if spec.backbone is not None:
            find_backbone(spec.backbone)
    except InvalidInput as error:
        raise NotInstalledHere(*error.errors) from error
    return spec


def check_unchanged(sweep: SweepRecord, spec: SweepSpec, prepared: PreparedTask) -> None:
    """Refuse to go on with a sweep on other data than its finished trials were trained on.

    Raises:
        InvalidInput: The data or a file differs from what was recorded.
    """
    fingerprint = prepared.task.dataset.fingerprint
    if fingerprint != sweep.data_hash:
        raise InvalidInput(
            FieldError(
                "dataset",
                spec.dataset,
                f"is not the one that the finished trials of {sweep.id} were trained on (fingerprint "
                f"{fingerprint[:12]}, recorded {sweep.data_hash[:12]})",
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


class _Session:
    """The open store, the running Ray and the recorder of one call; a worker's sees to its one sweep alone."""

    def __init__(
        self,
        home: Home | str | Path | None,
        ray_address: str | None,
        on_stuck: OnStuck | None = None,
        may_grow_to: Nodes | None = None,
        alone: bool = True,
    ) -> None:
        self._alone = alone
        self.home = home if isinstance(home, Home) else Home.resolve(home)
        self._ray_address, self._may_grow_to = ray_address, may_grow_to
        self._on_stuck = on_stuck or (lambda error: print(error, file=sys.stderr, flush=True))
        # A worker goes on recording what its sweeps could not.
        self._patience = _LONGEST_WAIT_FOR_MLFLOW if alone else _LAST_WAIT_FOR_MLFLOW

    def __enter__(self) -> _Session:
        self.store = Store.open(self.home.store_url)
        self.recorder = Recorder(
            self.store,
            self.home.tracking_uri,
            artifact_root=self.home.artifact_root,
            summarise=partial(summarise, self.store, self.home),
        )
        if self._alone:
            # Other sweeps whose process was killed: nothing of them is to be left running, in MLflow neither. Among
            # workers it is the worker who sees to that.
            self.store.release_lost(is_alive, may_sleep=is_elsewhere)
            self.recorder.catch_up()
        return self

    def __exit__(self, *exception: object) -> None:
        self.recorder.close(self._patience if exception[0] is None else _LAST_WAIT_FOR_MLFLOW)
        self.store.close()

    def check(self, spec: SweepSpec) -> PreparedTask:
        """The task of a spec that this machine or cluster can run."""
        free = shutil.disk_usage(self.home.path).free
        address = self._ray_address or os.environ.get("RAY_ADDRESS")
        if address and not self._alone:
            # It was accepted when it was submitted: a node that has gone since is waited for.
            found = check(spec, free_disk_bytes=free)
        elif address:
            with ray_cluster(address, may_grow_to=self._may_grow_to) as cluster:
                found = check(spec, clusters=[cluster.resources()], free_disk_bytes=free)
        else:
            # A Ray that is yet to be started has what this machine has, so nothing need be started to refuse a spec.
            found = check(spec, clusters=[this_machine()], free_disk_bytes=free, free_memory=free_memory_bytes)
        for text in found.warnings:
            warnings.warn(text, SweepWarning, stacklevel=3)
        return TaskSettings.of(spec, self.home.path).load(spec.download)

    def settled(self, sweep: SweepRecord, spec: SweepSpec, prepared: PreparedTask, run: _SweepRun) -> SweepSpec:
        """The spec with its noise rate, estimated and recorded where it was not known."""
        if spec.noise_rate != UNKNOWN:
            return spec
        rate = settle_noise_rate(spec, prepared, run.tell)
        return settle_sweep(run.store, sweep, spec, prepared, rate)

    def execute(
        self,
        sweep: SweepRecord,
        prepare: Prepare,
        on_status: OnStatus | None,
        lease_seconds: float | None = None,
        max_trials: int | None = None,
    ) -> SweepOutcome:
        """Claim a sweep, run what is missing of it and say what it found.

        Args:
            sweep: What to run.
            prepare: Gives its spec and data once it is claimed.
            on_status: As for `run_sweep`.
            lease_seconds: As for `Store.claim_sweep`.
            max_trials: Trials at once, at most.
        """
        claimed = self.store.claim_sweep(sweep.id, this_process(), is_alive=is_alive, lease_seconds=lease_seconds)
        lease = claimed.lease
        interruption = Interruption("interrupted" if self._alone else "its worker was stopped")
        run = _SweepRun(self, self.store.fenced(lease), claimed, on_status or (lambda status: None), interruption)
        lookout = Lookout(
            interruption,
            heartbeat=partial(_heartbeat, self.store, lease, lease_seconds),
            last_resort=partial(self._abandon, run),
        )
        # Ray is left last, since leaving a Ray that has died may take long or fail: the store knows by then. Not while
        # figures are drawn: Ray resets SIGTERM as it goes, and a process that is asked to stop would die of it.
        with ExitStack() as ray, interruption, lookout:
            try:
                run.store.release_running(sweep.id, "the process that ran the sweep ended")
                run.take_spec(*prepare(run))
                run.tell("starting Ray")
                cluster = ray.enter_context(ray_cluster(self._ray_address, _import_slow_ones, self._may_grow_to))
                run.cluster, run.waiting = cluster, Waiting(run.spec.resources, cluster.resources)
                interruption.listen()
                lookout.find_loss = cluster.loss
                resources = cluster.resources()
                if self._alone:
                    check(run.spec, clusters=[resources])
                fused = lanes_fused(run.spec, run.prepared.task)
                run.packing = packing(run.spec, resources, fused, max_trials)
                run.plan = run.planned()
                run.tell("searching")
                self._tune(run)
                run.raise_if_failed()
                lookout.find_loss = lambda: None  # all that is left can do without Ray
                run.tell("writing figures")
                finished_at = utc_now()
                problem = self._write_figures(sweep.id, run.prepared, finished_at)
                interruption.settle()
                run.store.finish_sweep(sweep.id, SweepState.DONE, problem, finished_at)
            except BaseException as error:
                interruption.settle()
                raise self._stopped(run, error) from error
        shutil.rmtree(self.home.checkpoints(sweep.id), ignore_errors=True)
        return self._outcome(run)

    def _write_figures(
        self, sweep_id: str, prepared: PreparedTask | None = None, finished_at: datetime | None = None
    ) -> str | None:
        """Write what a sweep has found as pictures; why that failed, which does not undo what was found."""
        try:
            from search.reports.figures import write_figures
            from search.reports.label_noise import write_label_noise

            folder = self.home.figures(sweep_id)
            write_figures(self.store, sweep_id, folder, finished_at=finished_at)
            if prepared is not None:
                write_label_noise(self.store, sweep_id, prepared, folder)
        except Exception as error:
            return f"no figures ({type(error).__name__}: {error}); `emphasis resume {sweep_id}` writes them"
        return None

    def complete(self, sweep: SweepRecord, on_status: OnStatus | None) -> SweepOutcome:
        """Make the figures and the MLflow record of a sweep that is done whole, and say what it found."""
        run = _SweepRun(self, self.store, sweep, on_status or (lambda status: None), Interruption())
        run.tell("writing figures", SweepState.DONE)
        self.store.finish_sweep(sweep.id, SweepState.DONE, self._write_figures(sweep.id))
        return self._outcome(run)

    def _outcome(self, run: _SweepRun) -> SweepOutcome:
        sweep = self.store.sweep(run.sweep.id)
        self.recorder.notify(sweep.id)
        run.tell("recording in MLflow", SweepState.DONE)
        behind, interrupted = self._record(sweep.id)
        trials = self.store.trials(sweep.id)
        run.tell("done", SweepState.DONE)
        return SweepOutcome(
            sweep=sweep,
            recommendation=choose(sweep, trials),
            rows=leaderboard(sweep, trials),
            stopped_early=Progress.of(trials).pruned,
            figures=self.home.figures(sweep.id),
            tracking_behind=behind,
            interrupted=interrupted,
        )

    def _record(self, sweep_id: str) -> tuple[str | None, bool]:
        """Have MLflow know a finished sweep; why it does not know all of it, and whether that is for Ctrl-C."""
        interrupted = False
        try:
            if self.recorder.flush(sweep_id, self._patience):
                return None, False
        except KeyboardInterrupt:
            interrupted, self._patience = True, 0.0
        why = self.recorder.error_of(sweep_id) or ("interrupted" if interrupted else "it did not answer in time")
        remedy = f"the next `emphasis run`, or `emphasis resume {sweep_id}`, records it."
        return f"MLflow does not have all of it ({why}). The sweep is whole in the store: {remedy}", interrupted

    def _tune(self, run: _SweepRun) -> None:
        if run.plan.is_complete():
            return
        # Imported here since Ray Tune takes seconds to import.
        from search.tuning import tune_trials

        self.home.ray.mkdir(parents=True, exist_ok=True)
        resources = {"CPU": run.spec.resources.cpus}
        if run.spec.resources.gpus:
            resources["GPU"] = run.spec.resources.gpus
        tune_trials(
            run,
            TaskSettings.of(run.spec, self.home.checkpoints(run.sweep.id)),
            concurrency=run.packing.trials,
            lanes=run.packing.lanes,
            resources=resources,
            notes=self.home.ray / f"{run.sweep.id}-{secrets.token_hex(3)}",
        )

    def _stopped(self, run: _SweepRun, error: BaseException) -> BaseException:
        """Record why a sweep has stopped; the error that says so."""
        reason = run.interrupted_by(error)
        if reason is not None:
            return self._release(run, reason)
        if not isinstance(error, EmphasisError) and not run.sweep.attended:
            # Nobody is there to look at what nobody foresaw: it is tried again, a few times.
            return self._release(run, f"{type(error).__name__}: {error}", died=True)
        reason = error.reason if isinstance(error, SweepFailed) else f"{type(error).__name__}: {error}"
        with suppress(StoreUnavailable, LeaseLost):
            run.store.release_running(run.sweep.id, reason)
            run.store.finish_sweep(run.sweep.id, SweepState.FAILED, reason)
        self.recorder.notify(run.sweep.id)
        if isinstance(error, InvalidInput) and not run.sweep.attended:
            return SweepFailed(run.sweep.id, str(error))
        if isinstance(error, EmphasisError) or not isinstance(error, Exception):
            return error
        return SweepFailed(run.sweep.id, reason)

    def _abandon(self, run: _SweepRun, reason: str) -> None:
        """End the process, whose main thread a dead Ray holds where no exception reaches it."""
        stopped = self._release(run, reason)
        self.recorder.flush(run.sweep.id, _LAST_WAIT_FOR_MLFLOW)
        try:
            self._on_stuck(stopped)
        finally:
            os._exit(1)

    def _release(self, run: _SweepRun, reason: str, died: bool = False) -> SweepInterrupted | SweepCancelled:
        """Leave nothing running in the store; MLflow follows from there."""
        state = None
        # What cannot be written now is seen later: an owner that is dead has stopped.
        with suppress(StoreUnavailable, LeaseLost):
            state = run.store.release_sweep(run.sweep.id, reason, died=died).state
        self.recorder.notify(run.sweep.id)
        if state is SweepState.CANCELLED:
            return SweepCancelled(run.sweep.id)
        return SweepInterrupted(run.sweep.id, reason)


def _heartbeat(store: Store, lease: Lease, lease_seconds: float | None) -> str | None:
    """Renew the lease; why the sweep is to stop, if it is."""
    match store.renew(lease, lease_seconds):
        case SweepState.RUNNING:
            return None
        case SweepState.CANCELLING:
            return "cancelled"
    return "paused"


class _SweepRun:
    """The trials of a sweep while they run: each event goes to the store first, then to the plan, then to MLflow."""

    cluster: Cluster | None = None
    waiting: Waiting
    plan: SweepPlan
    prepared: PreparedTask
    packing = Packing(trials=1)

    def __init__(
        self,
        session: _Session,
        store: Store,
        sweep: SweepRecord,
        on_status: OnStatus,
        interruption: Interruption,
    ) -> None:
        self._session, self.store = session, store
        self.sweep, self._on_status = sweep, on_status
        self.spec = spec_of(sweep)
        self._interruption = interruption
        self._started = time.monotonic()
        self._error: Exception | None = None
        self._message = ""
        self._best: LeaderboardRow | None = None
        self._best_is_known, self._best_is_due = True, 0.0
        self._began: dict[str, float] = {}
        self._durations: list[float] = []
        self._at_once = 1
        self._deaths: Counter[tuple[str, bool]] = Counter()
        self._figures_imported = False
        self._objective = SearchObjective.recorded(sweep.spec, sweep.noise_rate, sweep.facts)

    def take_spec(self, spec: SweepSpec, prepared: PreparedTask) -> None:
        """Take the spec and data that the sweep was found to have."""
        self.spec, self.prepared = spec, prepared
        self.sweep = self.store.sweep(self.sweep.id)
        self._objective = SearchObjective.recorded(self.sweep.spec, self.sweep.noise_rate, self.sweep.facts)

    def planned(self) -> SweepPlan:
        """The plan of what is missing."""
        task = self.prepared.task
        return SweepPlan(
            self.store,
            self.sweep.id,
            self.spec,
            task.dataset.num_classes,
            task.epochs,
            task.evaluate_every,
            self._objective_after,
        )

    def _objective_after(self, epoch: EpochRecord) -> float | None:
        accuracies = _accuracies(epoch)
        return self._objective.value(accuracies) if accuracies is not None else None

    @property
    def ended(self) -> bool:
        return self._error is not None or self._interruption.reason is not None

    def interrupted_by(self, error: BaseException) -> str | None:
        """Why the sweep was interrupted, if an error means that and not that the sweep failed."""
        # While Ray starts, SIGTERM meets a handler of Ray's own, which exits.
        if isinstance(error, KeyboardInterrupt | SystemExit):
            return self._interruption.reason or self._interruption.by_signal
        if isinstance(error, StoreUnavailable | LeaseLost | RayUnavailable):
            return str(error)  # what comes back finds the sweep as it was
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

    def ready(self) -> int:
        return int(self._guarded(self.plan.ready, 0))

    def put_back(self, trial_id: str) -> None:
        self.plan.put_back(self.plan.trial(trial_id))

    def take_start(self, trial_id: str) -> None:
        self._guarded(partial(self._start_attempt, trial_id), None)

    def take_report(self, trial_id: str, result: Mapping[str, Any]) -> bool:
        return bool(self._guarded(partial(self._take_report, trial_id, result), False))

    def take_death(self, trial_id: str, with_its_node: bool, alone: bool, said: str | None) -> None:
        self._guarded(partial(self._take_death, trial_id, with_its_node, alone, said), None)

    def look(self) -> None:
        self._guarded(self._look, None)

    def tell(self, message: str, state: SweepState = SweepState.RUNNING) -> None:
        """Show how the sweep stands."""
        if message != self._message:
            self._best_is_due = 0.0
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
        self._record_given_up()
        trial = self.plan.next()
        if trial is Pause.WAIT:
            self._import_figures()
            return None
        if isinstance(trial, Pause):
            return {}
        # The baseline is what it is, whatever the sweep fixes; so are a grid's cells of other supervisions.
        searched = trial.supervision == self.spec.supervision and trial.phase is not Phase.BASELINE
        fixed = self.spec.fixed if searched else {}
        return {
            "trial_id": trial.id,
            "supervision": trial.supervision,
            "hyperparameters": {**fixed, **trial.hyperparameters},
            "noise_rate": trial.noise_rate,
            "seed": trial.seed,
            "noise_seed": trial.noise_seed,
            "judged": self.plan.judged_epochs(trial),
            # Who it is that kills the process of a pack shows at the last try, which is nobody else's.
            "alone": self._deaths[trial.id, False] >= max(1, self.spec.max_retries),
        }

    def _import_figures(self) -> None:
        """Import what draws the figures, once, in another thread: it takes a while, and a core has nothing to do."""
        if not self._figures_imported:
            self._figures_imported = True
            threading.Thread(target=_import_quietly, args=(_FIGURES,)).start()

    def _start_attempt(self, trial_id: str) -> None:
        self.store.start_attempt(trial_id, os.uname().nodename, os.getpid())
        # By this process's clock: a trial that an earlier one left behind may have begun days ago.
        self._began[trial_id] = time.monotonic()
        trial = self.store.trial(trial_id)
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
            self._session.recorder.notify(self.sweep.id)  # no trial may have told MLflow of it yet
        elif not self._best_is_known and time.monotonic() >= self._best_is_due:
            self._show()

    def _take_death(self, trial_id: str, with_its_node: bool, alone: bool, said: str | None) -> None:
        if self._went_with_ray() or self.plan.trial(trial_id).state.finished:
            return
        self._deaths[trial_id, with_its_node] += 1
        deaths = self._deaths[trial_id, with_its_node]
        what = "node was lost" if with_its_node else "process died"
        # Of several it was perhaps another that killed their process: each has a try of its own.
        shared = not (alone or with_its_node)
        if shared or deaths <= (_MOST_LOST_NODES if with_its_node else self.spec.max_retries):
            self.store.release_trial(trial_id, f"its {what}" + (f": {said}" if said else ""))
            self.plan.put_back(self.store.trial(trial_id))
        else:
            times = "once" if deaths == 1 else f"{deaths} times"
            why = "" if with_its_node else " (killed, or out of memory)"
            why = f": {said}" if said else why
            self._finish(trial_id, {"state": "failed", "reason": f"its {what} {times}{why}"})
        self._session.recorder.notify(self.sweep.id)

    def _went_with_ray(self) -> bool:
        """Whether a trial's process died because all of Ray did, which is not the trial's doing."""
        loss = self.cluster.loss() if self.cluster is not None else None
        if loss is not None:
            self._interruption.request(loss)
        return loss is not None

    def _take_report(self, trial_id: str, result: Mapping[str, Any]) -> bool:
        """Record a report; whether the trial is to be stopped."""
        trial = self.plan.trial(trial_id)
        if trial.state.finished:
            return trial.state is TrialState.PRUNED
        epochs = [_epoch_record(trial_id, epoch) for epoch in result["epochs"]]
        if epochs:
            self.store.record_epochs(trial_id, epochs)
        reason = self.plan.see_epochs(trial, epochs)
        ending = result["ending"]
        if ending is None and reason is not None:
            ending = {"state": "pruned", "reason": reason, **self._reached(trial_id)}
        if ending is not None:
            self._finish(trial_id, {**result.get("facts", {}), **ending})
        self._session.recorder.notify(self.sweep.id)
        return reason is not None

    def _reached(self, trial_id: str) -> dict[str, Any]:
        """What a trial that is stopped has come to, as an ending says it."""
        epochs = self.store.epochs(trial_id)
        evaluated = [found for epoch in epochs if (found := _accuracies(epoch)) is not None]
        best = max(evaluated, key=lambda each: each.test, default=None)
        return {
            "final": asdict(evaluated[-1]) if evaluated else None,
            "best": asdict(best) if best else None,
            "seconds": epochs[-1].seconds if epochs else None,
        }

    def _finish(self, trial_id: str, ending: Mapping[str, Any]) -> None:
        final, best = (Accuracies(**ending[name]) if ending.get(name) else None for name in ("final", "best"))
        state = TrialState(ending["state"])
        objective = self._objective.value(final) if final is not None and state is TrialState.DONE else None
        if state is TrialState.DONE and objective is None:
            state, ending = TrialState.FAILED, {**ending, "reason": f"it has no {self._objective.metric}"}
        reason = "\n".join(text for text in (ending.get("reason"), ending.get("detail")) if text) or None
        trial = self.store.finish_trial(
            trial_id,
            state,
            objective=objective,
            final=final,
            best=best,
            reason=reason,
            train_seconds=ending.get("seconds"),
            noise_hash=ending.get("noise_hash"),
            realised_noise_rate=ending.get("realised_noise_rate"),
            computed_by=ending.get("computed_by"),
        )
        checkpoint_path(self._session.home.checkpoints(self.sweep.id), trial_id).unlink(missing_ok=True)
        # What was stopped early says nothing of those that are trained to the end.
        if trial_id in self._began and state is not TrialState.PRUNED:
            self._durations.append(time.monotonic() - self._began[trial_id])
        self.plan.update(trial)
        self._record_given_up()
        self._best_is_known = False
        self._show()

    def _record_given_up(self) -> None:
        for trial, reason in self.plan.given_up():
            self.plan.update(self.store.finish_trial(trial.id, TrialState.PRUNED, reason=reason))

    def _show(self, state: SweepState = SweepState.RUNNING) -> None:
        trials = list(self.plan.trials()) if hasattr(self, "plan") else self.store.trials(self.sweep.id)
        started = time.monotonic()
        if not self._best_is_known and started >= self._best_is_due:
            self._best, self._best_is_known = best_so_far(self.sweep, trials), True
            # It takes longer the more trials there are: two per cent of the time at most.
            self._best_is_due = started + 50 * (time.monotonic() - started)
        progress = Progress.of(trials)
        planned = progress.total
        if state is not SweepState.DONE:
            # Fewer than are asked for may be left to confirm.
            planned = max(self.spec.number_of_trials().total, planned)
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
    # Ray Tune, and MLflow, which Tune would import to count its callbacks. What the recorder does with it can wait
    # until trials run: it would delay the servers of Ray.
    for module in ("search.tuning", "mlflow"):
        importlib.import_module(module)


def _import_quietly(module: str) -> None:
    with suppress(Exception):  # what is wrong with it is said where it is used
        importlib.import_module(module)


def summarise(store: Store, home: Home, sweep_id: str) -> ParentSummary | None:
    """What a stopped sweep has found, for its MLflow parent run; None before there is anything."""
    sweep, trials = store.sweep(sweep_id), store.trials(sweep_id)
    recommendation = choose(sweep, trials)
    if recommendation is None:
        return None
    point, test = recommendation.recommended, recommendation.test_accuracy
    folder = home.figures(sweep_id)
    fixed = {name: value for name, value in point.hyperparameters.items() if name not in point.searched}
    found = equations(point.supervision, point.found, greek=True) + with_fixed(point.supervision, fixed, greek=True)
    headline = (
        f"**{recommendation.headline}: {found}** for {sweep.dataset} at "
        f"{noise(sweep.noise_rate, noise_model_of(sweep))} ({sweep.backbone}): {recommendation.objective.label} "
        f"{recommendation.objective}, final epoch, eval mode."
    )
    headline += "".join(f" **{caveat}**" for caveat in recommendation.caveats)
    return ParentSummary(
        supervision=point.supervision,
        found=point.found,
        fixed=fixed,
        objective=recommendation.objective.mean,
        test_accuracy=test.mean if test is not None else None,
        metric=recommendation.objective.name,
        intact_accuracy=recommendation.intact_accuracy.mean if recommendation.intact_accuracy else None,
        note_markdown=f"{headline}\n\n{leaderboard_markdown(leaderboard(sweep, trials))}",
        artifacts=folder if folder.is_dir() else None,
    )


def _accuracies(epoch: EpochRecord) -> Accuracies | None:
    """What an epoch was evaluated to; None where it was not."""
    if epoch.test_accuracy is None:
        return None
    measured = (
        epoch.test_accuracy,
        epoch.corrupted_train_accuracy,
        epoch.intact_train_accuracy,
        epoch.validation_accuracy,
    )
    return Accuracies(epoch.epoch, *(math.nan if accuracy is None else accuracy for accuracy in measured))


def _epoch_record(trial_id: str, epoch: Mapping[str, Any]) -> EpochRecord:
    evaluation, running = epoch["evaluation"] or {}, epoch["running"] or {}
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
        running_corrupted_train_accuracy=running.get("corrupted_train"),
        running_intact_train_accuracy=running.get("intact_train"),
        seconds=epoch["seconds"],
        recorded_at=datetime.fromtimestamp(epoch["recorded_at"], UTC),
    )
