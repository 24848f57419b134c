"""Run one sweep from its spec to its recommendation, or take it up where an earlier process left it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from search.cluster_resources import Nodes
from search.errors import NotInstalledHere
from search.errors import SweepBusy
from search.home import Home
from search.owner import is_alive
from search.settled_rate import SettledRate
from search.settled_rate import settle_noise_rate
from search.spec import SweepSpec
from search.status import OnStatus
from search.store import Store
from search.store import SweepRecord
from search.store import SweepState
from search.submission import record_sweep
from search.submission import spec_of
from search.sweep_run import SweepRun
from search.sweep_session import OnStuck
from search.sweep_session import SweepOutcome
from search.sweep_session import SweepSession
from search.task import PreparedTask
from search.task import file_hashes
from search.versions import versions
from trainers.datasets import dataset_source
from trainers.errors import FieldError
from trainers.errors import InvalidInput
from trainers.models import find_backbone

OnClaimed = Callable[[Store], None]
OnMessage = Callable[[str], None]


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
    with SweepSession(home, ray_address, on_stuck, may_grow_to) as session:
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
    with SweepSession(home, ray_address, on_stuck, may_grow_to) as session:
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

        def settled(run: SweepRun) -> tuple[SweepSpec, PreparedTask]:
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
    with SweepSession(home, ray_address, on_stuck, may_grow_to, alone=False) as session:
        sweep = session.store.sweep(sweep_id)
        spec = _spec_read_here(sweep)

        def prepare(run: SweepRun) -> tuple[SweepSpec, PreparedTask]:
            if on_claimed is not None:
                on_claimed(run.store)
            run.tell("reading the data")
            prepared = session.check(spec)
            check_unchanged(sweep, spec, prepared)
            run.store.add_versions(sweep.id, versions())
            return session.settled(sweep, spec, prepared, run), prepared

        return session.execute(sweep, prepare, on_status, lease_seconds, max_trials)


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
