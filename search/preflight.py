"""What a sweep needs of the world, looked at before anything starts: data, backbone, processors, disk."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import replace
from typing import Any

from search.cluster_resources import ClusterResources
from search.data_check import DataCheck
from search.early_stopping import first_judged_epoch
from search.early_stopping import judged_epochs
from search.feasibility import feasibility
from search.memory import memory_warning
from search.spec import SweepSpec
from search.spec_reading import read_specs
from trainers.augmentation import network_input_shape
from trainers.datasets import Dataset
from trainers.datasets import OnProgress
from trainers.datasets import check_dataset
from trainers.datasets import load_dataset
from trainers.errors import FieldError
from trainers.errors import InvalidInput
from trainers.models import check_backbone
from trainers.models import check_weights
from trainers.models import fetch_weights
from trainers.models import find_backbone
from trainers.models import weights_at_hand
from trainers.recipes import recipe_for
from trainers.recipes import training_task
from trainers.training import TrainingTask

# What trainers call otherwise than a spec.
_SPEC_NAMES = {"weights": "training.weights"}

MIB = 2**20
# Estimates, not measurements: the store, MLflow's own tables and Ray's session; then, for each trial, its
# epochs, metrics and noise mask.
DISK_FOR_A_SWEEP = 256 * MIB
DISK_FOR_A_TRIAL = 2 * MIB


@dataclass(frozen=True, slots=True)
class Preflight:
    """What was found.

    Args:
        errors: What makes the sweep impossible.
        warnings: What the user should know, a sentence each.
        notes: What is worth knowing at the start, a sentence each.
    """

    errors: tuple[FieldError, ...]
    warnings: tuple[str, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Submission:
    """Sweeps that are sound and can run, and what the user should know of them.

    Args:
        specs: One a noise rate.
        warnings: A sentence each.
        notes: What is worth knowing at the start, a sentence each.
    """

    specs: tuple[SweepSpec, ...]
    warnings: tuple[str, ...]
    notes: tuple[str, ...] = ()


def check(
    spec: SweepSpec,
    *,
    clusters: Sequence[ClusterResources] = (),
    free_disk_bytes: int | None = None,
    free_memory: Callable[[], int] | None = None,
) -> Preflight:
    """Refuse a sweep that this world cannot run.

    Args:
        spec: The sweep.
        clusters: The Rays that may run it, of which one will; none given leaves processors unchecked.
        free_disk_bytes: Free space where the home folder lies; None leaves it unchecked.
        free_memory: Tells the free bytes of this machine's memory, asked once the data is loaded, where the only Ray
            is to run on it. None where others train: it is not checked then, and published weights that cannot be
            fetched from here are warned of.

    Returns:
        The warnings; ``errors`` is empty.

    Raises:
        InvalidInput: Everything that is in the way, at once.
    """
    found = examine([spec], clusters=clusters, free_disk_bytes=free_disk_bytes, free_memory=free_memory)
    if found.errors:
        raise InvalidInput(*found.errors)
    return found


def check_submission(
    data: Mapping[str, Any],
    *,
    clusters: Sequence[ClusterResources] = (),
    free_disk_bytes: int | None = None,
    free_memory: Callable[[], int] | None = None,
    fetch: bool = True,
    on_progress: OnProgress | None = None,
) -> Submission:
    """Read sweeps from a mapping and hold them against the world, so that all that is wrong is said at once.

    Args:
        data: As `search.spec_reading.parse_specs` takes it.
        clusters: As for `check`.
        free_disk_bytes: As for `check`.
        free_memory: As for `check`.
        fetch: As for `examine`.
        on_progress: As for `examine`.

    Raises:
        InvalidInput: Everything that is wrong with the fields, and everything that the world lacks.
    """
    reading = read_specs(data)
    found = examine(
        reading.specs,
        clusters=clusters,
        free_disk_bytes=free_disk_bytes,
        free_memory=free_memory,
        unread=reading.unread,
        fetch=fetch,
        on_progress=on_progress,
    )
    if reading.errors or found.errors:
        raise InvalidInput(*reading.errors, *found.errors)
    return Submission(reading.specs, found.warnings, found.notes)


def examine(
    specs: Sequence[SweepSpec],
    *,
    clusters: Sequence[ClusterResources] = (),
    free_disk_bytes: int | None = None,
    free_memory: Callable[[], int] | None = None,
    unread: frozenset[str] = frozenset(),
    fetch: bool = True,
    on_progress: OnProgress | None = None,
) -> Preflight:
    """Look at everything that sweeps need, without refusing anything.

    Args:
        specs: Sweeps that differ in nothing but their noise rate; at least one.
        clusters: As for `check`.
        free_disk_bytes: As for `check`.
        free_memory: As for `check`.
        unread: Fields whose values say nothing (`search.spec_reading.Reading`); what rests on them is left out.
        fetch: Whether files that are missing and may be downloaded are, and published weights: never before all else
            is sound.
        on_progress: Told how many images have been decoded, and of how many.
    """
    spec = specs[0]
    missing: list[FieldError] = []
    warnings: list[str] = []
    if clusters:
        found = feasibility(spec, clusters, unread)
        missing += found.errors
        warnings += [found.wait] if found.wait is not None else []
    if free_disk_bytes is not None and unread.isdisjoint(("trials", "repeats", "confirm", "space")):
        _check_disk(specs, free_disk_bytes, missing)
    errors: list[FieldError] = []
    dataset = None
    if unread.isdisjoint(("dataset", "data_dir", "download")):
        dataset = _dataset(spec, errors, fetch and not missing and not unread, on_progress)
        if dataset is None and not errors:
            warnings.append(f"{spec.dataset} was not downloaded: what depends on the data was not checked.")
    pretrained = None
    if unread.isdisjoint(("backbone", "training.augmentation", "training.weights")):
        pretrained = _check_backbone(spec, dataset, errors)
    notes: list[str] = []
    if dataset is not None:
        warnings += [f"{dataset.name}: {text}." for text in dataset.warnings]
        _check_against_data(spec, dataset, unread, errors)
        if not errors and not unread:
            warnings += [text] if (text := _early_stopping_warning(spec, dataset)) else []
            warnings += [text] if (text := _idle_gpus_warning(spec, dataset, clusters)) else []
            if free_memory is not None and clusters and not missing:
                text = memory_warning(spec, dataset, clusters[0], free_memory())
                warnings += [text] if text else []
        if unread.isdisjoint(("noise_rate", "noise_model", "noise_file", "noise_column")):
            warnings += [text for each in specs if (text := _noise_warning(each, dataset))]
            looks = [DataCheck(each, dataset) for each in specs]
            errors += {str(error): error for look in looks for error in look.errors(unread)}.values()
            warnings += dict.fromkeys(text for look in looks for text in look.warnings())
            notes = list(dict.fromkeys(text for look in looks for text in look.notes())) if not errors else []
    if pretrained is not None and not errors and not missing and not unread:
        warnings += _have_weights(*pretrained, fetch, free_memory is not None, errors)
    return Preflight((*errors, *missing), tuple(warnings), tuple(notes))


def _dataset(
    spec: SweepSpec, errors: list[FieldError], fetch: bool, on_progress: OnProgress | None
) -> Dataset | None:
    try:
        # Cheap first: names, files, checksums; only what passes is read into memory (or fetched).
        check_dataset(spec.dataset, spec.data_dir, spec.download)
        if spec.download and not fetch and not _is_here(spec):
            return None
        return load_dataset(spec.dataset, spec.data_dir, spec.download, on_progress)
    except InvalidInput as error:
        errors.extend(error.errors)
    except OSError as error:  # a folder that this user may not enter, say
        reason = error.strerror or str(error)
        errors.append(FieldError("dataset", spec.dataset, f"cannot be read: {reason}", "Give data that can be."))
    return None


def _is_here(spec: SweepSpec) -> bool:
    try:
        check_dataset(spec.dataset, spec.data_dir)
    except InvalidInput:
        return False
    return True


def _check_backbone(spec: SweepSpec, dataset: Dataset | None, errors: list[FieldError]) -> tuple[str, str] | None:
    """Look at the network and what it starts from; returns both where it starts from weights."""
    try:
        if dataset is not None:
            recipe = recipe_for(dataset)
            backbone = spec.backbone or recipe.backbone
            augmentation = spec.training.augmentation or recipe.augmentation
            shape = network_input_shape(augmentation, dataset.example_shape)
            check_backbone(backbone, shape)
            weights = spec.training.weights or (recipe.weights if backbone == recipe.backbone else None)
            if weights is not None and weights != "none":
                return backbone, check_weights(backbone, shape, dataset.num_classes, weights)
        elif spec.backbone is not None:
            find_backbone(spec.backbone)
    except InvalidInput as error:
        errors.extend(_spec_errors(error))
    return None


def _have_weights(backbone: str, weights: str, fetch: bool, here: bool, errors: list[FieldError]) -> list[str]:
    """Have published weights where trainings find them, or warn that they are not there."""
    try:
        if fetch:
            fetch_weights(backbone, weights)
        elif not weights_at_hand(backbone, weights):
            return [f"training.weights = {weights}: not yet fetched for {backbone}: whether they can be was not tried."]
    except InvalidInput as error:
        found = _spec_errors(error)
        if not here:
            return [f"{each} The machines that train have to have them." for each in found]
        errors.extend(found)
    return []


def _spec_errors(error: InvalidInput) -> list[FieldError]:
    return [replace(each, field=_SPEC_NAMES.get(each.field, each.field)) for each in error.errors]


def _check_against_data(
    spec: SweepSpec, dataset: Dataset, unread: frozenset[str], errors: list[FieldError]
) -> None:
    available = len(dataset.y_train)
    if spec.limit_train is not None and spec.limit_train > available:
        errors.append(
            FieldError(
                "limit_train",
                spec.limit_train,
                f"{dataset.name} has {available:,} training examples",
                "Give fewer, or leave it out to use all.",
            )
        )
    if spec.limit_train is not None and spec.limit_train < dataset.num_classes:
        errors.append(
            FieldError(
                "limit_train",
                spec.limit_train,
                f"leaves some of the {dataset.num_classes} classes without an example",
                f"Give {dataset.num_classes} or more.",
            )
        )
    if not any(field.partition(".")[0] in ("training", "limit_train") for field in unread):
        errors += _late_drops(spec, dataset)
    augmentation = spec.training.augmentation
    if augmentation in ("pad-crop-flip", "resize-crop-flip") and len(dataset.example_shape) != 3:
        errors.append(
            FieldError(
                "training.augmentation",
                augmentation,
                f"the examples of {dataset.name} are vectors, not images",
                "Give none, or leave it out.",
            )
        )


def _task(spec: SweepSpec, dataset: Dataset) -> TrainingTask | None:
    settings = spec.training.model_dump(exclude_none=True)
    try:
        whole = dataset if spec.limit_train is None else dataset.limit_train(spec.limit_train)
        return training_task(whole, backbone=spec.backbone, device="cpu", **settings)
    except InvalidInput:  # said when the task is made
        return None


def _late_drops(spec: SweepSpec, dataset: Dataset) -> list[FieldError]:
    """Drops of the learning rate that are given in another unit than the budget, which ends before them."""
    # Shares below 1 are before the end by what they say, though in a short budget one may round to it.
    given = spec.training.milestones if spec.training.milestone_unit != "fraction" else None
    task = _task(spec, dataset) if given else None
    if task is None or all(drop < task.iterations for drop in task.milestones):
        return []
    budget = f"{task.iterations:,} iterations in {task.epochs:,} passes"
    problem = f"reach to the end of the budget ({budget}) or past it"
    remedy = "Give milestones below it, a larger budget, or [] for a learning rate that stays."
    return [FieldError("training.milestones", list(given or ()), problem, remedy)]


def _early_stopping_warning(spec: SweepSpec, dataset: Dataset) -> str | None:
    """What to say where a rule would never be shown anything before the end: it would stop nothing."""
    if spec.early_stopping in ("none", None):
        return None
    task = _task(spec, dataset)
    if task is None:
        return None
    first = first_judged_epoch(spec.early_stopping, task.epochs)
    if first is None or judged_epochs(spec.early_stopping, task.epochs, task.evaluate_every):
        return None
    return (
        f"early_stopping = {spec.early_stopping}: no epoch from {first} on is evaluated before the last, "
        f"{task.epochs}: nothing will be stopped. Give a smaller training.evaluate_every or more training.epochs."
    )


def _idle_gpus_warning(spec: SweepSpec, dataset: Dataset, clusters: Sequence[ClusterResources]) -> str | None:
    """What to say where images are to be trained on by processors beside GPUs that nobody asked for."""
    gpus = max((sum(each.gpus * each.count for each in cluster.nodes) for cluster in clusters), default=0.0)
    # A perceptron's steps are so small that a GPU would wait for the processor.
    if spec.resources.gpus or gpus < 1 or (spec.backbone or recipe_for(dataset).backbone) == "mlp":
        return None
    there = "There is a GPU" if gpus == 1 else f"There are {gpus:g} GPUs"
    return f"{there}, and this sweep trains without: give resources.gpus: 1 (--gpus 1) to use it."


def _noise_warning(spec: SweepSpec, dataset: Dataset) -> str | None:
    classes = dataset.num_classes
    limit = (classes - 1) / classes
    rate = spec.noise_rate
    if not isinstance(rate, float) or rate < limit or spec.noise_model not in ("symmetric", "none", "file"):
        return None
    return (
        f"noise_rate = {rate:g}: with {classes} classes, labels that are wrong at a rate of "
        f"{limit:.3g} or more say nothing of the right class, or point away from it. Expect chance or less."
    )


def _check_disk(specs: Sequence[SweepSpec], free_bytes: int, errors: list[FieldError]) -> None:
    trials = sum(spec.number_of_trials().total for spec in specs)
    needed = DISK_FOR_A_SWEEP + trials * DISK_FOR_A_TRIAL
    if free_bytes < needed:
        errors.append(
            FieldError(
                "home",
                f"{free_bytes / MIB:,.0f} MiB free",
                f"{trials:,} trials may need {needed / MIB:,.0f} MiB",
                "Free some space, or give another folder with --home or EMPHASIS_HOME.",
            )
        )
