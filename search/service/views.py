"""Sweeps, trials and events as the service tells them: the JSON of the HTTP API, and what Python and the CLI get."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from typing import Literal

from pydantic import BaseModel
from pydantic import ConfigDict
from pydantic import Field

from search.store import Phase
from search.store import ProcessKind
from search.store import Role
from search.store import SweepState
from search.store import TrialState


class View(BaseModel):
    """Base of what is told: never changed once it is made; floats are finite or null."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class ProgressView(View):
    """How far a sweep is."""

    waiting: int = Field(description="Trials that were planned and are not running yet.")
    running: int
    done: int
    failed: int
    pruned: int
    planned: int = Field(description="All trials that there will be.")


class BestView(View):
    """The best configuration: the recommendation of a sweep that is done, a mean over seeds.

    Until then it is the best trial of the search, which is of one seed: the highest of several single seeds is too good
    on average, and where configurations have several it need not be the one with the best mean.
    """

    supervision: str
    hyperparameters: dict[str, float | int | str] = Field(description="By name, e.g. beta and lambda.")
    objective: float = Field(description="Final, eval mode; by default intact training accuracy.")
    objective_name: str = Field(description="e.g. intact_train_accuracy.")
    test_accuracy: float | None = Field(description="Beside it; never used to choose.")
    seeds: int = Field(description="How many trials the means are over.")
    confirmed: bool = Field(description="Whether these were fresh seeds that the search did not use.")


class SweepView(View):
    """One sweep."""

    id: str
    state: SweepState
    message: str | None = Field(description="Why it is in that state, where there is something to say.")
    dataset: str
    noise_rate: float | None = Field(description="Nominal, in [0, 1); null until it has been estimated.")
    noise_model: str = Field(description="How the noise is drawn, e.g. symmetric; none where labels are as given.")
    backbone: str
    supervision: str
    submitter: str = Field(description="Name of the token it was submitted with; local without one.")
    priority: int
    request_key: str | None
    attended: bool = Field(description="Whether a person runs it in their own process; workers leave it alone.")
    owner: str | None = Field(description="Who runs it: host:pid:start.")
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    progress: ProgressView
    best: BestView | None
    baseline_objective: float | None = Field(description="Mean objective of the CCE trials with fresh seeds.")
    notes: list[str] = Field(default_factory=list, description="What is worth knowing, e.g. that no worker is there.")
    mlflow_url: str | None = Field(default=None, description="Its page in MLflow, once MLflow has it.")


class SweepDetail(SweepView):
    """One sweep with everything that was asked for and is known of it."""

    spec: dict[str, Any] = Field(description="The SweepSpec, every default written out.")
    versions: dict[str, Any]
    facts: dict[str, Any]
    data_hash: str
    heartbeat_at: datetime | None = Field(description="When who runs it last said that they live.")
    lease_expires_at: datetime | None = Field(description="When a worker's right to run it ends; null for a person.")
    fence: int = Field(description="Number of the last lease.")
    deaths: int = Field(description="How often in a row its process died before it finished a trial.")
    last_event: int = Field(default=0, description="Number of the newest event in its log.")


class SweepPage(View):
    """Some of the sweeps, newest first."""

    items: list[SweepView]
    next: str | None = Field(description="Give it as cursor to read on; null at the end.")


class AccuraciesView(View):
    """One evaluation: eval mode, un-augmented, in [0, 1]; null where a label set does not exist."""

    epoch: int = Field(description="Epoch after which it was taken, from 1.")
    test: float | None
    corrupted_train: float | None = Field(description="Against the labels that were trained on.")
    intact_train: float | None = Field(description="Against the intact labels.")
    validation: float | None


class TrialView(View):
    """One configuration trained with one seed."""

    id: str
    number: int
    phase: Phase
    configuration: int = Field(description="Index inside the sweep; repeats share it.")
    repeat: int
    supervision: str
    hyperparameters: dict[str, float | int | str]
    params: dict[str, Any] = Field(description="Where the sampler placed it, in the search space's own coordinates.")
    noise_rate: float = Field(description="Nominal, in [0, 1).")
    seed: int
    noise_seed: int
    state: TrialState
    reason: str | None
    objective: float | None
    test_accuracy: float | None = Field(description="Final, eval mode.")
    final: AccuraciesView | None = Field(description="The last evaluation.")
    best: AccuraciesView | None = Field(description="The evaluation with the highest test accuracy.")
    noise_hash: str | None = Field(description="Fingerprint of the corrupted labels.")
    realised_noise_rate: float | None = Field(description="Share of labels that were really changed.")
    train_seconds: float | None
    attempts: int
    started_at: datetime | None
    finished_at: datetime | None
    computed_by: dict[str, str] | None = Field(
        default=None, description="host, engine, device and precision of its last epoch."
    )


class TrialPage(View):
    """Some of a sweep's trials, by number."""

    items: list[TrialView]
    next: int | None = Field(description="Give it as after to read on; null at the end.")


class EventView(View):
    """One line of a sweep's log."""

    sweep_id: str
    number: int
    at: datetime
    level: str
    kind: str
    message: str
    trial_id: str | None
    data: dict[str, Any]


class EventPage(View):
    """Some of a sweep's log, oldest first."""

    items: list[EventView]
    next: int = Field(description="Give it as after to read on.")
    ended: bool = Field(description="Whether nothing more will come unless somebody resumes the sweep.")


class EpochView(View):
    """What one epoch of a trial reported; accuracies are null where it was not evaluated, but for running ones."""

    epoch: int
    iteration: int = Field(description="Optimiser steps so far.")
    train_loss: float | None
    learning_rate: float | None
    test_accuracy: float | None
    corrupted_train_accuracy: float | None = Field(description="Against the labels that were trained on.")
    intact_train_accuracy: float | None = Field(description="Against the intact labels.")
    validation_accuracy: float | None
    running_corrupted_train_accuracy: float | None = Field(
        description="Of the epoch's own batches, in train mode, augmented."
    )
    running_intact_train_accuracy: float | None = Field(description="As it, against the intact labels.")
    seconds: float | None = Field(description="Training seconds so far.")
    recorded_at: datetime


class Curve(View):
    """The learning curve of one trial, by epoch."""

    trial_id: str
    items: list[EpochView]


class EstimateView(View):
    """A mean over seeds."""

    mean: float = Field(description="An accuracy; in [0, 1] unless it is corrected for label noise.")
    sem: float | None = Field(description="Standard error of the mean; null for a single seed.")
    n: int = Field(description="Number of seeds.")


class ObjectiveView(EstimateView):
    """The mean that guides the search."""

    name: str = Field(description="e.g. intact_train_accuracy.")


class StandingView(View):
    """One row of a leader board."""

    rank: int | None = Field(description="1 for the best; null for what does not compete: baseline and defaults.")
    supervision: str
    hyperparameters: dict[str, float | int | str]
    objective: ObjectiveView
    test_accuracy: EstimateView | None
    confirmed: bool = Field(description="Whether the numbers are from fresh seeds.")
    mark: Literal["recommended", "tie", "baseline", "defaults", ""] = Field(
        description="What the row is; tie: it cannot be told apart from the recommended one."
    )


class Checked(View):
    """What a spec that can be submitted comes to."""

    dataset: str
    noise_rate: float | None = Field(description="Nominal; null where it is to be found out.")
    supervision: str
    trials: int = Field(description="All trials that there will be.")
    warnings: list[str]
    notes: list[str]


class ProcessView(View):
    """A worker or a server that lives."""

    name: str = Field(description="host:pid:start")
    kind: ProcessKind
    facts: dict[str, Any] = Field(description="Of a worker: its resources and bounds; of a server: its addresses.")
    started_at: datetime
    heartbeat_at: datetime


class StatusView(View):
    """The service at one moment."""

    workers: list[ProcessView]
    servers: list[ProcessView]
    sweeps: dict[SweepState, int] = Field(description="How many are in each state.")
    running: list[SweepView] = Field(description="What runs now, or is stopping; the newest, if there are many.")
    queue: list[SweepView] = Field(description="What workers run next, in this order; the first of them.")
    waiting: int = Field(description="How many wait for a worker.")


class HyperparameterView(View):
    """A hyper-parameter of a supervision."""

    name: str
    default: bool | float | int | str | None = Field(description="Null where it has to be given.")


class NamedView(View):
    """Something that a spec may name."""

    name: str
    description: str | None = Field(description="Null where it cannot be used.")
    problem: str | None = Field(description="Why it cannot be used, of a plugin that does not load.")


class SupervisionView(NamedView):
    """A supervision that a spec may name."""

    hyperparameters: list[HyperparameterView]


class IdentityView(View):
    """Who asks, and what they may do."""

    name: str
    role: Role
    logged_in: bool


class HealthView(View):
    """How the service is."""

    status: str
