"""What the store remembers, as frozen values that stay true after the database is closed."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from dataclasses import field
from datetime import UTC
from datetime import datetime
from enum import StrEnum
from typing import Any


def utc_now() -> datetime:
    """The present moment as an aware UTC datetime, the only kind the store keeps."""
    return datetime.now(UTC)


class SweepState(StrEnum):
    """Where a sweep stands; which moves there are: `search.store.states`."""

    QUEUED = "queued"
    RUNNING = "running"
    PAUSING = "pausing"
    PAUSED = "paused"
    CANCELLING = "cancelling"
    CANCELLED = "cancelled"
    DONE = "done"
    FAILED = "failed"

    @property
    def ended(self) -> bool:
        """Whether nothing of the sweep will run unless somebody asks for it again."""
        return self in (SweepState.DONE, SweepState.FAILED, SweepState.CANCELLED)

    @property
    def stopped(self) -> bool:
        """Whether nothing of the sweep runs and none is waited for."""
        return self.ended or self is SweepState.PAUSED


class TrialState(StrEnum):
    """Where a trial stands; done, pruned and failed are final."""

    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    PRUNED = "pruned"
    FAILED = "failed"

    @property
    def finished(self) -> bool:
        """Whether the trial has its final result and will never change."""
        return self in (TrialState.DONE, TrialState.PRUNED, TrialState.FAILED)


class AttemptState(StrEnum):
    """How one execution of a trial went; lost means that its process ended without a result."""

    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    LOST = "lost"


class Phase(StrEnum):
    """Why a trial was run: to search, to confirm the best with fresh seeds, or CCE with the same seeds."""

    SEARCH = "search"
    CONFIRM = "confirm"
    BASELINE = "baseline"


class Role(StrEnum):
    """What a token allows: to read, or to submit, change and delete as well."""

    READER = "reader"
    SUBMITTER = "submitter"


class ProcessKind(StrEnum):
    """What a process of the service does."""

    WORKER = "worker"
    SERVER = "server"


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to run one sweep, until it runs out or another takes it.

    Args:
        sweep_id: The sweep.
        owner: Who has it, ``host:pid:createtime:machine``.
        fence: Its number: higher for every claim of the sweep, so that an older holder is told from the present one.
    """

    sweep_id: str
    owner: str
    fence: int


@dataclass(frozen=True, slots=True)
class Accuracies:
    """One evaluation: eval mode, un-augmented; NaN where a label set does not exist.

    Args:
        epoch: Epoch after which it was taken, from 1.
        test: Accuracy on the test set, in [0, 1].
        corrupted_train: Accuracy on the training set against the labels that were trained on, in [0, 1].
        intact_train: Accuracy on the training set against the intact labels, in [0, 1].
        validation: Accuracy on the validation set against its labels, which may be noisy, in [0, 1].
    """

    epoch: int
    test: float
    corrupted_train: float
    intact_train: float
    validation: float = math.nan


@dataclass(frozen=True, slots=True)
class SweepRecord:
    """One sweep: one dataset at one noise rate.

    Args:
        id: Unique name of the sweep.
        spec: The resolved SweepSpec as JSON.
        dataset: Name of the dataset.
        noise_rate: Nominal noise rate, in [0, 1); NaN until one that was not known has been estimated.
        backbone: Name of the network.
        supervision: Name of the supervision that is searched.
        state: Where it stands.
        message: Why it is in that state, where there is something to say.
        data_hash: Fingerprint of the dataset's arrays.
        versions: Versions of what ran it (emphasis, torch, git commit, ...).
        facts: What is known of its data: numbers of classes and examples, where the noise rate comes from; empty
            for sweeps of releases that did not note it.
        created_at: When it was submitted (UTC).
        started_at: When it was first claimed (UTC).
        finished_at: When it became done, failed or cancelled (UTC).
        owner: ``host:pid:createtime:machine`` of the process that runs it, None while nobody does.
        heartbeat_at: When the owner last said that it lives (UTC).
        priority: Higher is run first; 0 by default.
        submitter: Name of the token it was submitted with; ``local`` without one.
        request_key: The submitter's own key for it, under which it cannot be submitted twice.
        attended: Whether a person runs it in their own process; workers leave it alone.
        lease_expires_at: When the owner's lease runs out (UTC); None for a person's process, which has it as long as
            it lives.
        fence: Number of the last lease.
        deaths: How often in a row the process that ran it died before it finished a trial.
    """

    id: str
    spec: dict[str, Any]
    dataset: str
    noise_rate: float
    backbone: str
    supervision: str
    state: SweepState
    message: str | None
    data_hash: str
    versions: dict[str, Any]
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    owner: str | None
    heartbeat_at: datetime | None
    facts: dict[str, Any] = field(default_factory=dict)
    priority: int = 0
    submitter: str = "local"
    request_key: str | None = None
    attended: bool = True
    lease_expires_at: datetime | None = None
    fence: int = 0
    deaths: int = 0

    @property
    def lease(self) -> Lease:
        """The owner's lease, as `search.store.Store.claim_sweep` gave it.

        Raises:
            ValueError: Nobody owns the sweep.
        """
        if self.owner is None:
            raise ValueError(f"sweep {self.id} has no owner")
        return Lease(self.id, self.owner, self.fence)


@dataclass(frozen=True, slots=True)
class TrialRecord:
    """One configuration trained with one seed.

    Args:
        id: Unique name, made from the sweep's id and the number.
        sweep_id: The sweep it belongs to.
        number: 0, 1, 2, ... in the order in which the sweep's trials were added.
        phase: Why it was run.
        configuration: Index of the configuration inside the sweep; repeats share it.
        repeat: 0, 1, ...: which repetition of that configuration in that phase.
        supervision: Name of the supervision.
        hyperparameters: The supervision's values, e.g. beta and lam.
        params: Where the sampler placed it, in the search space's own coordinates.
        noise_rate: Nominal noise rate, in [0, 1).
        seed: Seed of initialisation, order and augmentation.
        noise_seed: Seed of the label noise.
        state: Where it stands.
        reason: Why it failed or was pruned.
        objective: What its sweep maximises (`search.objective`), at the end; None without a finite value.
        final: The last evaluation.
        best: The evaluation with the highest test accuracy.
        noise_hash: Fingerprint of the corrupted labels.
        realised_noise_rate: Fraction of labels that were really changed.
        train_seconds: Time spent training.
        started_at: When its first attempt started (UTC).
        finished_at: When its result was recorded (UTC).
        attempts: How many times it was started.
        computed_by: What computed its last epoch: ``host``, and `trainers.training.Computation`'s ``engine``,
            ``device`` and ``precision``. None in records of earlier releases, and before its result.
    """

    id: str
    sweep_id: str
    number: int
    phase: Phase
    configuration: int
    repeat: int
    supervision: str
    hyperparameters: dict[str, Any]
    params: dict[str, Any]
    noise_rate: float
    seed: int
    noise_seed: int
    state: TrialState
    reason: str | None
    objective: float | None
    final: Accuracies | None
    best: Accuracies | None
    noise_hash: str | None
    realised_noise_rate: float | None
    train_seconds: float | None
    started_at: datetime | None
    finished_at: datetime | None
    attempts: int
    computed_by: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class EpochRecord:
    """What one epoch of one trial reported.

    Args:
        trial_id: The trial.
        epoch: From 1.
        iteration: Optimiser steps so far.
        train_loss: Mean loss of the epoch; None where it was not finite.
        learning_rate: Learning rate at the end of the epoch; NaN where it was not finite.
        test_accuracy: In [0, 1]; None where the epoch was not evaluated.
        corrupted_train_accuracy: In [0, 1]; None where the epoch was not evaluated.
        intact_train_accuracy: In [0, 1]; None where the epoch was not evaluated.
        seconds: Training seconds so far; NaN where unknown.
        recorded_at: When it was reported (UTC).
        validation_accuracy: In [0, 1]; None where the epoch was not evaluated, or there is no validation set.
        running_corrupted_train_accuracy: Of the epoch's own batches, in train mode, augmented
            (`trainers.evaluation.RunningAccuracy`), in [0, 1]; None in records of earlier releases.
        running_intact_train_accuracy: As it, against the intact labels; None also where they are not known.
    """

    trial_id: str
    epoch: int
    iteration: int
    train_loss: float | None
    learning_rate: float
    test_accuracy: float | None
    corrupted_train_accuracy: float | None
    intact_train_accuracy: float | None
    seconds: float
    recorded_at: datetime = field(default_factory=utc_now)
    validation_accuracy: float | None = None
    running_corrupted_train_accuracy: float | None = None
    running_intact_train_accuracy: float | None = None


@dataclass(frozen=True, slots=True)
class AttemptRecord:
    """One execution of a trial by one process.

    Args:
        trial_id: The trial.
        number: From 1.
        host: Machine of the process that drove its sweep.
        pid: That process.
        state: How it went.
        reason: Why it failed or was lost.
        started_at: UTC.
        finished_at: UTC; None while it runs.
    """

    trial_id: str
    number: int
    host: str
    pid: int
    state: AttemptState
    reason: str | None
    started_at: datetime
    finished_at: datetime | None


@dataclass(frozen=True, slots=True)
class TrackingRecord:
    """How far MLflow's projection of one sweep or trial has come.

    Args:
        subject_id: Id of the sweep or trial.
        run_id: Its MLflow run.
        epochs_recorded: The last epoch that MLflow has.
        closed: Whether the run has its final state in MLflow.
        deleted: Whether the sweep was deleted and its run in MLflow is to follow.
    """

    subject_id: str
    run_id: str
    epochs_recorded: int = 0
    closed: bool = False
    deleted: bool = False


@dataclass(frozen=True, slots=True)
class EventRecord:
    """One thing that happened to a sweep, as its log shows it.

    Args:
        sweep_id: The sweep.
        number: 1, 2, ... within the sweep, without a gap, in the order in which they happened.
        at: When (UTC).
        level: ``info``, ``warning`` or ``error``.
        kind: ``submitted``, ``started``, ``state``, ``trial_started``, ``trial_finished``, ``trial_released`` or
            ``log``.
        message: In words.
        trial_id: The trial it is about; None for the sweep as a whole.
        data: Its numbers, e.g. a trial's objective.
    """

    sweep_id: str
    number: int
    at: datetime
    level: str
    kind: str
    message: str
    trial_id: str | None = None
    data: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TokenRecord:
    """A token without its text, which only its holder has.

    Args:
        name: Whose it is; sweeps submitted with it bear this name.
        role: What it allows.
        created_at: UTC.
        revoked_at: UTC; None while it is good.
    """

    name: str
    role: Role
    created_at: datetime
    revoked_at: datetime | None


@dataclass(frozen=True, slots=True)
class ProcessRecord:
    """A worker or a server, as it last described itself.

    Args:
        name: ``host:pid:createtime:machine``.
        kind: What it does.
        facts: Of a worker: its resources and bounds; of a server: its addresses.
        started_at: UTC.
        heartbeat_at: When it last said that it lives (UTC).
    """

    name: str
    kind: ProcessKind
    facts: dict[str, Any]
    started_at: datetime
    heartbeat_at: datetime


@dataclass(frozen=True, slots=True)
class Progress:
    """How many trials of a sweep are in each state."""

    waiting: int = 0
    running: int = 0
    done: int = 0
    failed: int = 0
    pruned: int = 0

    @classmethod
    def of(cls, trials: Iterable[TrialRecord]) -> Progress:
        """Count trials that are at hand; of those of a store, `search.store.Store.progress` does it there."""
        return cls(**Counter(trial.state.value for trial in trials))

    @property
    def total(self) -> int:
        """All trials that were added so far."""
        return self.waiting + self.running + self.finished

    @property
    def finished(self) -> int:
        """Trials with a final result, good or bad."""
        return self.done + self.failed + self.pruned
