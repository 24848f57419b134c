"""The noise rate of a sweep as a number: given, told by intact labels or a matrix, or estimated before the search."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from dataclasses import field
from typing import Any

from search.spec import UNKNOWN
from search.spec import SweepSpec
from search.task import PreparedTask
from search.task import noise_of
from search.task import trained_here
from trainers.datasets import Dataset
from trainers.errors import FieldError
from trainers.errors import InvalidInput


@dataclass(frozen=True, slots=True)
class SettledRate:
    """A noise rate that is known from here on.

    Args:
        value: The rate, in [0, 1).
        facts: How it is known, for the sweep's record; empty where it was given.
    """

    value: float
    facts: dict[str, Any] = field(default_factory=dict)


def settle_noise_rate(
    spec: SweepSpec, prepared: PreparedTask, on_message: Callable[[str], None] | None = None
) -> SettledRate:
    """The noise rate that a spec comes to on its data.

    Args:
        spec: A sweep that passed its checks.
        prepared: Its data.
        on_message: Told what is done, where that takes long.

    Raises:
        InvalidInput: Nothing tells it.
    """
    if isinstance(spec.noise_rate, float):
        return SettledRate(spec.noise_rate)
    if spec.noise_rate is None:
        # Rounded, so that it can be named when the recommendation is exported.
        rate = round(told_rate(spec, prepared.whole), 4)
        return SettledRate(rate, {"noise_rate": "told by its intact labels or matrix"})
    return _estimated(prepared, on_message or (lambda text: None))


def told_rate(spec: SweepSpec, dataset: Dataset) -> float:
    """The rate of a noise model that takes none: of its matrix, or the realised one where intact labels are known.

    Args:
        spec: Names the noise model.
        dataset: With the labels of a file in place of its own, see `search.task.labelled`.

    Raises:
        InvalidInput: Nothing tells it.
    """
    noise = noise_of(spec.noise_model, None, spec.noise_file, spec.noise_column)
    if noise.noise_rate is not None:
        if round(noise.noise_rate, 4) >= 1.0:
            problem = "its matrix keeps no label of any class, on average"
            remedy = "Give a matrix whose rows are the true classes, each with some of its labels on the diagonal."
            raise InvalidInput(FieldError("noise_file", str(spec.noise_file), problem, remedy))
        return noise.noise_rate
    if dataset.intact_train is None:
        problem = f"is missing, and {dataset.name} has no intact labels that would tell it"
        remedy = f"Give the share of wrong labels, or {UNKNOWN!r} to have it estimated."
        raise InvalidInput(FieldError("noise_rate", None, problem, remedy))
    rate = float((dataset.y_train != dataset.intact_train).double().mean())
    if round(rate, 4) == 1.0:
        problem = "every label differs from the intact one"
        remedy = "Give labels that number the classes as the dataset does."
        raise InvalidInput(FieldError("noise_file", str(spec.noise_file), problem, remedy))
    return rate


def _estimated(prepared: PreparedTask, on_message: Callable[[str], None]) -> SettledRate:
    # Imported here since cleanlab takes seconds to import.
    from search.noise_estimate import estimate_noise

    labels, _ = prepared.divided(prepared.labels(None, 0))
    task, where = trained_here(prepared.task)
    found = estimate_noise(
        task,
        labels,
        seed=prepared.settings.seed,
        on_fold=lambda done, folds: on_message(f"estimating the noise rate{where}: fold {done} of {folds}"),
    )
    on_message(
        f"estimated noise rate: {found.rate:.3f} ({found.low:.3f} to {found.high:.3f}, 95% by resampling); too high "
        f"where the networks are weak: unseen, they agree with {found.accuracy:.0%} of the labels"
    )
    return SettledRate(round(found.rate, 4), {"noise_rate": "estimated", "noise_estimate": found.summary()})
