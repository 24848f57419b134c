"""What all trials of a sweep share: the data with its labels as given, what is held out, and how to train on it."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING
from typing import Any

import torch
from torch import Tensor

from search.objective import ObjectiveKind
from search.objective import objective_kind
from trainers.datasets import Dataset
from trainers.datasets import HeldOut
from trainers.datasets import ImageFiles
from trainers.datasets import load_dataset
from trainers.errors import FieldError
from trainers.errors import InvalidInput
from trainers.noise import CorruptedLabels
from trainers.noise import NoiseModel
from trainers.noise import make_noise_model
from trainers.noise import takes_rate
from trainers.recipes import training_task
from trainers.training import TrainingTask

if TYPE_CHECKING:
    # A trial's process needs no spec, and half a second to import pydantic and Optuna for it.
    from search.spec import SweepSpec

FROM_FILE = "file"
NOISY_ALREADY = "none"
_NAMED_FILES = 5


@dataclass(frozen=True, slots=True)
class TaskSettings:
    """What all trials of a sweep share, light enough to travel.

    Args:
        dataset: Name or path.
        data_dir: Where its files lie.
        limit_train: Training examples to keep.
        backbone: Name of the network, or None for the recipe's.
        noise_model: How labels are corrupted.
        noise_file: Of the noise models that read one.
        noise_column: Its column.
        objective: What guides the search; None for what the data allows.
        validation_fraction: Share of the training examples that is held out for a noisy validation set.
        training: Overrides of the recipe, as `trainers.recipes.training_task` takes them.
        seed: Of the sweep: which examples are held out.
        cpus: CPU threads of a trial.
        device: "cpu", or "cuda" where the trial was given a share of a GPU.
        checkpoints: Folder for the states of unfinished trials.
    """

    dataset: str
    data_dir: str | None
    limit_train: int | None
    backbone: str | None
    noise_model: str
    noise_file: str | None
    noise_column: str | None
    objective: str | None
    validation_fraction: float
    training: Mapping[str, Any]
    seed: int
    cpus: int
    device: str
    checkpoints: str

    @staticmethod
    def of(spec: SweepSpec, checkpoints: Path) -> TaskSettings:
        """The settings of a sweep's trials, which leave their states in ``checkpoints``."""
        return TaskSettings(
            dataset=spec.dataset,
            data_dir=str(spec.data_dir) if spec.data_dir is not None else None,
            limit_train=spec.limit_train,
            backbone=spec.backbone,
            noise_model=spec.noise_model,
            noise_file=str(spec.noise_file) if spec.noise_file is not None else None,
            noise_column=spec.noise_column,
            objective=spec.objective,
            validation_fraction=spec.validation_fraction,
            training=spec.training.model_dump(exclude_none=True),
            seed=spec.seed,
            cpus=max(1, math.floor(spec.resources.cpus)),
            device="cuda" if spec.resources.gpus else "cpu",
            checkpoints=str(checkpoints),
        )

    def load(self, download: bool = False) -> PreparedTask:
        """The data, and how to train on it.

        Raises:
            InvalidInput: The data or a setting cannot be used.
        """
        dataset = load_dataset(self.dataset, self.data_dir, download)
        whole = _labelled_and_limited(
            dataset,
            self.noise_model,
            self.noise_file,
            self.noise_column,
            self.limit_train,
            _version(self.noise_file),
        )
        kind = objective_kind(self.objective, whole)
        held_out = None
        if kind is ObjectiveKind.NOISY_VALIDATION:
            held_out = whole.hold_out(self.validation_fraction, self.seed)
        data = whole if held_out is None else held_out.dataset
        task = training_task(data, backbone=self.backbone, device=self.device, **self.training)
        return PreparedTask(self, task, whole, held_out, kind, labels_as_given(dataset, self.noise_model))


@dataclass(frozen=True, eq=False, slots=True)
class PreparedTask:
    """The data of a sweep in memory, and how to train on it.

    Args:
        settings: Where it came from.
        task: What the trials train: without the examples that are held out.
        whole: The data with all training examples, labelled as given.
        held_out: Which examples are held out, if any are.
        objective: What guides the search.
        labels_as_given: Whether its validation and test labels may be as noisy as those of its training set.
    """

    settings: TaskSettings
    task: TrainingTask
    whole: Dataset
    held_out: HeldOut | None
    objective: ObjectiveKind
    labels_as_given: bool

    def labels(self, noise_rate: float | None, seed: int) -> CorruptedLabels:
        """The labels of all training examples, those held out too.

        Args:
            noise_rate: Nominal rate; of no account where the labels are not drawn by a rate.
            seed: Noise seed.
        """
        settings = self.settings
        noise = noise_of(settings.noise_model, noise_rate, settings.noise_file, settings.noise_column)
        return drawn_labels(noise, self.whole, seed)

    def divided(self, labels: CorruptedLabels) -> tuple[CorruptedLabels, Tensor | None]:
        """(labels of the examples that are trained on, those of the examples held out if there are any)."""
        if self.held_out is None:
            return labels, None
        return labels.take(self.held_out.train), labels.labels[self.held_out.validation]

    def undecodable_note(self) -> str:
        """How many image files could not be decoded so far, and which; empty where all could."""
        data = self.task.dataset
        parts = (data.x_train, data.x_validation, data.x_test)
        found = sorted({name for part in parts if isinstance(part, ImageFiles) for name in part.undecodable})
        if not found:
            return ""
        named = ", ".join(found[:_NAMED_FILES]) + (", …" if len(found) > _NAMED_FILES else "")
        return f"{len(found)} image files could not be decoded and were left out: {named}"

    def facts(self) -> dict[str, Any]:
        """What a sweep's record notes of its data."""
        data = self.task.dataset
        return {
            "num_classes": data.num_classes,
            "train_examples": len(data.y_train),
            "validation_examples": None if data.y_validation is None else len(data.y_validation),
            "test_examples": len(data.y_test),
            "labels_as_given": self.labels_as_given,
        }


def file_hashes(spec: SweepSpec) -> dict[str, str]:
    """SHA-256 of the files that a spec names beside its data, by field: their contents are part of what is trained."""
    named = {
        "noise_file": spec.noise_file,
        "training.weights": spec.training.weights,
        **{f"hyperparameters.{name}": value for name, value in spec.hyperparameters.items()},
    }
    paths = {field: Path(value).expanduser() for field, value in named.items() if isinstance(value, str | Path)}
    return {
        field: hashlib.sha256(path.read_bytes()).hexdigest() for field, path in sorted(paths.items()) if path.is_file()
    }


def _version(path: str | None) -> object:
    """What changes when a file changes."""
    if path is None or not Path(path).is_file():
        return None
    status = Path(path).stat()
    return status.st_mtime_ns, status.st_size


def noise_of(name: str, noise_rate: float | None, file: str | Path | None, column: str | None) -> NoiseModel:
    """The noise model that changes the labels of a data set which is `labelled` already.

    Raises:
        InvalidInput: The name, the rate or the file cannot be used.
    """
    if name == FROM_FILE:
        return make_noise_model("none")
    return make_noise_model(name, noise_rate if takes_rate(name) else None, file, column)


def drawn_labels(noise: NoiseModel, dataset: Dataset, seed: int) -> CorruptedLabels:
    """The labels that training sees of all training examples.

    Drawn noise is one of the intact labels where the data brings some beside noisy ones.

    Args:
        noise: What changes them.
        dataset: Their data.
        seed: Noise seed.

    Raises:
        InvalidInput: They cannot be had for this data.
    """
    known = dataset.intact_train if noise.labels_count_as_intact else None
    labels = dataset.y_train if known is None else known
    return noise.draw(labels, dataset.num_classes, seed, intact=dataset.intact_train)


def trained_here(task: TrainingTask) -> tuple[TrainingTask, str]:
    """The task as this process can train it, and what is to be said of that; empty where trials do the same.

    It may have none of the GPUs that trials get on other machines.
    """
    if task.device == "cpu" or torch.cuda.is_available():
        return task, ""
    return replace(task, device="cpu"), ", on a CPU: this machine has no GPU"


def labels_as_given(dataset: Dataset, noise_model: str) -> bool:
    """Whether labels that are said to be noisy are of data that takes all its labels for clean.

    Nobody then knows whether those of its validation and test sets are any cleaner. Of data that brings intact labels
    beside given ones, or knows that its training labels are noisy, they are.
    """
    return noise_model == NOISY_ALREADY and dataset.intact_train is dataset.y_train


def labelled(dataset: Dataset, noise_model: str, file: str | Path | None, column: str | None) -> Dataset:
    """The data with the labels of a file in place of its own, which stay as the intact ones.

    Labels that are said to be noisy already are not intact, unless the data brings intact ones beside them.

    Raises:
        InvalidInput: The file cannot be used for this data.
    """
    if labels_as_given(dataset, noise_model):
        return replace(dataset, intact_train=None)
    if noise_model != FROM_FILE:
        return dataset
    noise = make_noise_model(noise_model, None, file, column)
    try:
        given = noise.draw(dataset.y_train, dataset.num_classes, 0)
    except InvalidInput as error:
        raise _labels_of_the_test_set_too(noise, dataset, file) or error from None
    return replace(dataset, y_train=given.labels)


def _labels_of_the_test_set_too(noise: NoiseModel, dataset: Dataset, file: str | Path | None) -> InvalidInput | None:
    """What to say of a file that has a label of each test example as well; None of any other file."""
    test = len(dataset.y_test)
    examples = len(dataset.y_train) + test
    try:
        noise.check(dataset.num_classes, examples)
    except InvalidInput:
        return None
    problem = f"has {examples} labels, and {test} of these examples are the test set"
    remedy = (
        "Where none is given, a fifth of every class is held out: give a test set (a folder test/, or the split test "
        "of a manifest), or a manifest with the columns label and intact_label in place of this file."
    )
    return InvalidInput(FieldError("noise_file", str(file), problem, remedy))


@lru_cache(maxsize=1)
def _labelled_and_limited(
    dataset: Dataset, noise_model: str, file: str | None, column: str | None, limit: int | None, version: object
) -> Dataset:
    whole = labelled(dataset, noise_model, file, column)
    return whole if limit is None else whole.limit_train(limit)
