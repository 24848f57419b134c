"""What an MLflow run says about a sweep or a trial: names, parameters, tags, metrics and status.

Pure functions of the store's records; nothing here knows how it gets to MLflow.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from search.hyperparameters import SPEC_FIELDS
from search.naming import symbols
from search.naming import written_name
from search.objective import SearchObjective
from search.store.records import EpochRecord
from search.store.records import Phase
from search.store.records import SweepRecord
from search.store.records import SweepState
from search.store.records import TrialRecord
from search.store.records import TrialState
from spaces import Value

SWEEP_TAG = "emphasis.sweep_id"
TRIAL_TAG = "emphasis.trial_id"
KIND_TAG = "emphasis.kind"
PARENT_TAG = "mlflow.parentRunId"
NOTE_TAG = "mlflow.note.content"
ARTIFACTS_TAG = "emphasis.artifacts"
REASON_TAG = "emphasis.reason"

RUNNING, FINISHED, FAILED, KILLED, SCHEDULED = "RUNNING", "FINISHED", "FAILED", "KILLED", "SCHEDULED"

LONGEST_PARAM = 6000  # what MLflow's SQL store takes (mlflow.utils.validation.MAX_PARAM_VAL_LENGTH)
LONGEST_TAG = 8000  # likewise MAX_TAG_VAL_LENGTH; the description of a run is a tag too

RUNNING_NOTE = "It runs: what it has found is written here once it stops; until then the best is in the tags `best.…`."

# The metric that every epoch has; an epoch's metrics are written together, so it tells what MLflow has.
EPOCH_METRIC = "learning_rate"

# Of a curve, about: MLflow's pages draw 320 points of one, and each costs its database as much as a short epoch takes.
MOST_POINTS = 1000


@dataclass(frozen=True, slots=True)
class ParentSummary:
    """What a sweep has found, as its parent run shows it.

    Args:
        supervision: Name of the supervision that was searched.
        found: Its recommended values that were searched, by name.
        fixed: Its other values, by name.
        objective: Its mean objective.
        test_accuracy: Its mean test accuracy, in [0, 1]; reported, never used to choose.
        note_markdown: Description of the run: top configurations, CCE baseline, what is recommended.
        artifacts: Folder of figures and exported files to upload, if there is one.
        metric: Name of the objective, see `search.objective`.
        intact_accuracy: Its mean intact-training-set accuracy where another objective guides and it is known.
    """

    supervision: str
    found: Mapping[str, Value]
    fixed: Mapping[str, Value]
    objective: float | None
    test_accuracy: float | None
    note_markdown: str
    artifacts: Path | None = None
    metric: str = "intact_train_accuracy"
    intact_accuracy: float | None = None


@dataclass(frozen=True, slots=True)
class Point:
    """One value of one metric.

    Args:
        key: Name of the metric.
        value: The value, finite.
        step: Epoch, 1-based.
        timestamp: Milliseconds since 1970, UTC.
    """

    key: str
    value: float
    step: int
    timestamp: int


def milliseconds(moment: datetime) -> int:
    """Return an aware moment as MLflow writes it: milliseconds since 1970, UTC."""
    return round(moment.timestamp() * 1000)


def number_text(value: float) -> str:
    """Return a number as short as it can be read back exactly: ``12``, ``0.5``."""
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    return str(value)


def parameter_texts(values: Mapping[str, object], prefix: str = "") -> dict[str, str]:
    """Flatten nested settings to MLflow parameters: ``{"budget": {"epochs": 60}}`` to ``budget.epochs = 60``.

    Settings that are not given (None) are left out, lists are written as JSON, and a text longer than MLflow
    takes is cut with an ellipsis.
    """
    texts: dict[str, str] = {}
    for name, value in values.items():
        key = f"{prefix}{written_name(name)}"
        if value is None:
            continue
        if isinstance(value, Mapping):
            texts.update(parameter_texts(value, prefix=f"{key}."))
        elif isinstance(value, bool):
            texts[key] = str(value).lower()
        elif isinstance(value, int | float):
            texts[key] = number_text(value)
        elif isinstance(value, str):
            texts[key] = shortened(value, LONGEST_PARAM)
        else:
            texts[key] = shortened(json.dumps(value, ensure_ascii=False, default=str), LONGEST_PARAM)
    return texts


def shortened(text: str, longest: int) -> str:
    """Cut a text to at most ``longest`` characters, at the end of a line where there is one, and say so."""
    if len(text) <= longest:
        return text
    kept = text[: longest - 2]
    if "\n" in kept:
        kept = kept[: kept.rindex("\n") + 1]
    return kept + "…"


def sweep_run_name(sweep: SweepRecord) -> str:
    """Return the name of a parent run, e.g. ``digits r=0.4 s-20260101-ab12``."""
    return f"{sweep.dataset} r={number_text(sweep.noise_rate)} {sweep.id}"


def found_run_name(sweep: SweepRecord, summary: ParentSummary) -> str:
    """Return the name of a done sweep's parent run, e.g. ``β=24.3 λ=1.368 (0.954) digits r=0.4``.

    MLflow's list of runs shows the first 17 letters or so of a name, and parameters only where a user has asked for
    their columns; so what was found comes first.
    """
    found = _run_values(summary.supervision, summary.found)
    accuracy = f" ({summary.objective:.3f})" if summary.objective is not None else ""
    return f"{found}{accuracy} {sweep.dataset} r={number_text(sweep.noise_rate)}"


def trial_run_name(trial: TrialRecord) -> str:
    """Return the name of a child run, e.g. ``λ=0.5 β=12 seed 3`` or ``gce q=0.7 seed 3``."""
    phase = "" if trial.phase is Phase.SEARCH else f" ({trial.phase.value})"
    return f"{_run_values(trial.supervision, trial.hyperparameters)} seed {trial.seed}{phase}"


def _run_values(supervision: str, values: Mapping[str, Value]) -> str:
    texts = symbols(supervision, values)
    # β and λ are GR's: a list of runs has little room.
    return texts if supervision == "gr" and texts else f"{supervision} {texts}".strip()


def sweep_params(sweep: SweepRecord) -> dict[str, str]:
    """Return the parameters of a parent run: the sweep's resolved specification."""
    fields = {
        "dataset": sweep.dataset,
        "noise_rate": sweep.noise_rate,
        "backbone": sweep.backbone,
        "supervision": sweep.supervision,
    }
    return parameter_texts({**fields, **sweep.spec})


def trial_params(trial: TrialRecord, sweep: SweepRecord) -> dict[str, str]:
    """Return the parameters of a child run."""
    fields: dict[str, object] = {
        "noise_rate": trial.noise_rate,
        "seed": trial.seed,
        "noise_seed": trial.noise_seed,
        "supervision": trial.supervision,
        "backbone": sweep.backbone,
        "phase": trial.phase.value,
        "repeat": trial.repeat,
    }
    return parameter_texts({**fields, **trial.hyperparameters})


def _provenance_tags(sweep: SweepRecord) -> dict[str, str]:
    tags = {SWEEP_TAG: sweep.id, "emphasis.data_hash": sweep.data_hash or ""}
    for name, version in sweep.versions.items():
        if name == "resumed_with":
            each = (", ".join(f"{package} {value}" for package, value in sorted(found.items())) for found in version)
            tags["emphasis.resumed_with"] = shortened("; ".join(each), LONGEST_TAG)
        elif name == "git_commit":
            tags["emphasis.git_commit"] = str(version)
            tags["mlflow.source.git.commit"] = str(version)  # the key that MLflow's run page shows
        else:
            tags[f"emphasis.version.{name}"] = str(version)
    return {name: value for name, value in tags.items() if value and value != "None"}


def sweep_tags(sweep: SweepRecord) -> dict[str, str]:
    """Return the tags of a parent run, less those about what it found."""
    tags = {**_provenance_tags(sweep), KIND_TAG: "sweep", "emphasis.state": sweep.state.value}
    if sweep.message:
        tags[REASON_TAG] = shortened(sweep.message, LONGEST_TAG)
    return tags


def nothing_found_note(sweep: SweepRecord) -> str:
    """Return the description of a sweep that stopped with nothing found."""
    reason = f": {sweep.message}" if sweep.message else "."
    return shortened(f"Stopped ({sweep.state}) with nothing to recommend{reason}", LONGEST_TAG)


def trial_tags(trial: TrialRecord, sweep: SweepRecord) -> dict[str, str]:
    """Return the tags of a child run, less the parent's run id."""
    tags = {
        **_provenance_tags(sweep),
        TRIAL_TAG: trial.id,
        KIND_TAG: "trial",
        "emphasis.phase": trial.phase.value,
        "emphasis.state": trial.state.value,
    }
    if trial.noise_hash:
        tags["emphasis.noise_hash"] = trial.noise_hash
    tags.update({f"emphasis.{name}": text for name, text in (trial.computed_by or {}).items()})
    if trial.reason:
        tags[REASON_TAG] = shortened(trial.reason, LONGEST_TAG)
    return tags


def sweep_status(sweep: SweepRecord) -> str:
    """Return MLflow's status for a sweep."""
    return {
        SweepState.DONE: FINISHED,
        SweepState.FAILED: FAILED,
        SweepState.PAUSED: KILLED,
        SweepState.CANCELLED: KILLED,
        SweepState.QUEUED: SCHEDULED,
    }.get(sweep.state, RUNNING)


def trial_status(trial: TrialRecord, sweep: SweepRecord) -> str | None:
    """Return MLflow's status for a trial; None where the status that the run has should stay.

    A trial that waits to be run again keeps what it has. Nothing runs in a sweep that has stopped.
    """
    ended = {TrialState.DONE: FINISHED, TrialState.FAILED: FAILED, TrialState.PRUNED: KILLED}
    if trial.state in ended:
        return ended[trial.state]
    if sweep_status(sweep) != RUNNING:
        return KILLED
    return RUNNING if trial.state is TrialState.RUNNING else None


def shown_epochs(epochs: Sequence[EpochRecord], sweep: SweepRecord) -> list[EpochRecord]:
    """Of a trial's epochs those that MLflow is given; the store has them all.

    Up to 1,000 epochs a training, all. Of more every second, third, …, about a thousand, and all that were evaluated.
    """
    if not epochs:
        return []
    every = math.ceil(_planned_epochs(sweep, epochs[0]) / MOST_POINTS)
    return [epoch for epoch in epochs if epoch.epoch % every == 0 or epoch.test_accuracy is not None]


def _planned_epochs(sweep: SweepRecord, one: EpochRecord) -> float:
    training = sweep.spec.get("training") or {}
    if training.get("epochs"):
        return float(training["epochs"])
    if training.get("iterations"):
        return float(training["iterations"]) * one.epoch / one.iteration
    return 1.0  # an early release did not record it


def epoch_points(epoch: EpochRecord) -> list[Point]:
    """Return the metrics of one epoch: accuracies where it was evaluated, running ones of its training batches."""
    values = {
        "train_loss": epoch.train_loss,
        "learning_rate": epoch.learning_rate,
        "test_accuracy": epoch.test_accuracy,
        "corrupted_train_accuracy": epoch.corrupted_train_accuracy,
        "intact_train_accuracy": epoch.intact_train_accuracy,
        "validation_accuracy": epoch.validation_accuracy,
        "running_corrupted_train_accuracy": epoch.running_corrupted_train_accuracy,
        "running_intact_train_accuracy": epoch.running_intact_train_accuracy,
    }
    moment = milliseconds(epoch.recorded_at)
    return _points(values, epoch.epoch, moment)


def trial_points(trial: TrialRecord) -> list[Point]:
    """Return the metrics that a finished trial has as a whole."""
    if trial.finished_at is None:
        return []
    values = {
        "objective": trial.objective,
        "train_seconds": trial.train_seconds,
        "realised_noise_rate": trial.realised_noise_rate,
    }
    step = trial.final.epoch if trial.final else 0
    moment = milliseconds(trial.finished_at)
    return _points(values, step, moment)


def best_tags(best: TrialRecord | None, summary: ParentSummary | None, sweep: SweepRecord) -> dict[str, str]:
    """Return the ``best.*`` tags: of the recommendation, or of the best trial until there is one."""
    values: Mapping[str, Value]
    if summary is not None:
        values = _values(summary)
        objective, test_accuracy = summary.objective, summary.test_accuracy
    elif best is not None:
        values = best.hyperparameters
        objective, test_accuracy = best.objective, best.final.test if best.final else None
    else:
        return {}
    tags = {}
    for name, value in values.items():
        text = value if isinstance(value, str) else number_text(float(f"{value:.6g}"))
        tags[f"best.{written_name(name)}"] = text
    metric = SearchObjective.recorded(sweep.spec, sweep.noise_rate, sweep.facts).metric
    for measure, reached in ((metric, objective), ("test_accuracy", test_accuracy)):
        if reached is not None:
            tags[f"best.{measure}"] = f"{reached:.4f}"
    return tags


def best_params(summary: ParentSummary) -> dict[str, str]:
    """Return the recommended values as parameters, exactly."""
    return parameter_texts(_values(summary), prefix="best.")


def _values(summary: ParentSummary) -> dict[str, Value]:
    # GR's transform and normalise are parameters of the sweep by their own names.
    settings = SPEC_FIELDS if summary.supervision == "gr" else ()
    fixed = {name: value for name, value in summary.fixed.items() if name not in settings}
    return {**fixed, **summary.found}


def best_points(summary: ParentSummary, moment: datetime) -> list[Point]:
    """Return the recommendation's accuracies as metrics of the parent run."""
    values = {
        "best.intact_train_accuracy": summary.intact_accuracy,
        "best.test_accuracy": summary.test_accuracy,
        f"best.{summary.metric}": summary.objective,
    }
    return _points(values, 0, milliseconds(moment))


def _points(values: Mapping[str, float | None], step: int, timestamp: int) -> list[Point]:
    """Make points of the values that there are; MLflow's databases have no NaN to show."""
    return [
        Point(key, float(value), step, timestamp)
        for key, value in values.items()
        if value is not None and math.isfinite(value)
    ]
