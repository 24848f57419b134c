"""One call that runs a sweep: it is claimed, run, stopped and recorded, and what it found is said."""

from __future__ import annotations

import importlib
import os
import secrets
import shutil
import sys
import warnings
from collections.abc import Callable
from contextlib import ExitStack
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path

from search.cluster import ray_cluster
from search.cluster_resources import Nodes
from search.errors import LeaseLost
from search.errors import StoreUnavailable
from search.errors import SweepCancelled
from search.errors import SweepFailed
from search.errors import SweepInterrupted
from search.errors import SweepWarning
from search.home import Home
from search.interruption import Interruption
from search.interruption import Lookout
from search.leaderboard import LeaderboardRow
from search.leaderboard import leaderboard
from search.machine import free_memory_bytes
from search.machine import this_machine
from search.owner import is_alive
from search.owner import is_elsewhere
from search.owner import this_process
from search.packing import lanes_fused
from search.packing import packing
from search.parent_summary import summarise
from search.preflight import check
from search.recommendation import Recommendation
from search.recommendation import choose
from search.settled_rate import settle_noise_rate
from search.spec import UNKNOWN
from search.spec import SweepSpec
from search.status import OnStatus
from search.store import Lease
from search.store import Progress
from search.store import Store
from search.store import SweepRecord
from search.store import SweepState
from search.store import utc_now
from search.submission import settle_sweep
from search.sweep_run import SweepRun
from search.task import PreparedTask
from search.task import TaskSettings
from search.tracking import Recorder
from search.waiting import Waiting
from trainers.errors import EmphasisError
from trainers.errors import InvalidInput

OnStuck = Callable[[EmphasisError], None]
Prepare = Callable[[SweepRun], tuple[SweepSpec, PreparedTask]]

_LONGEST_WAIT_FOR_MLFLOW = 60.0
_LAST_WAIT_FOR_MLFLOW = 10.0


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
        interrupted: Whether Ctrl-C came once it was finished, or cut that recording short: nothing else is to be begun.
    """

    sweep: SweepRecord
    recommendation: Recommendation | None
    rows: list[LeaderboardRow]
    stopped_early: int
    figures: Path
    tracking_behind: str | None
    interrupted: bool = False


class SweepSession:
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

    def __enter__(self) -> SweepSession:
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

    def settled(self, sweep: SweepRecord, spec: SweepSpec, prepared: PreparedTask, run: SweepRun) -> SweepSpec:
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
        run = SweepRun(self.store.fenced(lease), claimed, self.home, self.recorder, on_status, interruption)
        lookout = Lookout(
            interruption,
            heartbeat=partial(_heartbeat, self.store, lease, lease_seconds),
            last_resort=partial(self._abandon, run),
        )
        # Ray is left last, since leaving a Ray that has died may take long or fail: the store knows by then. Not while
        # figures are drawn: Ray resets SIGTERM as it goes, and a process that is asked to stop would die of it.
        with ExitStack() as ray:
            with interruption, lookout:
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
            # What was found is on record, and is shown, whatever is asked for from here on.
            interrupted = interruption.reason == interruption.by_signal
            try:
                ray.close()
            except KeyboardInterrupt:
                interrupted = True
        shutil.rmtree(self.home.checkpoints(sweep.id), ignore_errors=True)
        return self._outcome(run, interrupted)

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
        run = SweepRun(self.store, sweep, self.home, self.recorder, on_status, Interruption())
        run.tell("writing figures", SweepState.DONE)
        self.store.finish_sweep(sweep.id, SweepState.DONE, self._write_figures(sweep.id))
        return self._outcome(run)

    def _outcome(self, run: SweepRun, interrupted: bool = False) -> SweepOutcome:
        sweep = self.store.sweep(run.sweep.id)
        self.recorder.notify(sweep.id)
        run.tell("recording in MLflow", SweepState.DONE)
        behind, cut_short = self._record(sweep.id)
        trials = self.store.trials(sweep.id)
        run.tell("done", SweepState.DONE)
        return SweepOutcome(
            sweep=sweep,
            recommendation=choose(sweep, trials),
            rows=leaderboard(sweep, trials),
            stopped_early=Progress.of(trials).pruned,
            figures=self.home.figures(sweep.id),
            tracking_behind=behind,
            interrupted=interrupted or cut_short,
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

    def _tune(self, run: SweepRun) -> None:
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

    def _stopped(self, run: SweepRun, error: BaseException) -> BaseException:
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

    def _abandon(self, run: SweepRun, reason: str) -> None:
        """End the process, whose main thread a dead Ray holds where no exception reaches it."""
        stopped = self._release(run, reason)
        self.recorder.flush(run.sweep.id, _LAST_WAIT_FOR_MLFLOW)
        try:
            self._on_stuck(stopped)
        finally:
            os._exit(1)

    def _release(self, run: SweepRun, reason: str, died: bool = False) -> SweepInterrupted | SweepCancelled:
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


def _import_slow_ones() -> None:
    # Ray Tune, and MLflow, which Tune would import to count its callbacks. What the recorder does with it can wait
    # until trials run: it would delay the servers of Ray.
    for module in ("search.tuning", "mlflow"):
        importlib.import_module(module)
