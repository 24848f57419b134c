"""What guides a search: intact labels where there are any, else a validation set; chosen by what the data has."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING
from typing import Any

from trainers.errors import FieldError
from trainers.errors import InvalidInput

if TYPE_CHECKING:
    from search.store import Accuracies
    from trainers.datasets import Dataset


# Below it the standard error is a hundred times that of the measured accuracy: nothing is left to be recovered.
_LEAST_SLOPE = 0.01
# Of test examples whose labels may be as noisy as those of the training set.
AS_GIVEN = "on the labels as given"


class ObjectiveKind(StrEnum):
    """Which accuracy is maximised; never that on the noisy training labels, which memorising wins."""

    INTACT = "intact"
    CLEAN_VALIDATION = "clean_validation"
    NOISY_VALIDATION = "noisy_validation"


@dataclass(frozen=True, slots=True)
class SearchObjective:
    """The objective of one sweep.

    Args:
        kind: Which accuracy.
        noise_model: Of the sweep.
        noise_rate: Nominal, or estimated.
        num_classes: C.
        examples: How many examples the accuracy is measured on; None in records that do not say.
        labels_as_given: Whether nothing says that labels are cleaner outside the training set than in it, where
            they are said to be noisy (`search.task.labels_as_given`).
    """

    kind: ObjectiveKind
    noise_model: str = "symmetric"
    noise_rate: float = 0.0
    num_classes: int = 2
    examples: int | None = None
    labels_as_given: bool = False

    @classmethod
    def recorded(cls, spec: Mapping[str, Any], noise_rate: float, facts: Mapping[str, Any]) -> SearchObjective:
        """The objective of a recorded sweep; of releases that did not record one it was ``intact``."""
        kind = ObjectiveKind(spec.get("objective") or ObjectiveKind.INTACT)
        name = "train_examples" if kind is ObjectiveKind.INTACT else "validation_examples"
        return cls(
            kind,
            spec.get("noise_model", "symmetric"),
            noise_rate,
            facts.get("num_classes", 2),
            facts.get(name),
            facts.get("labels_as_given", False),
        )

    @property
    def metric(self) -> str:
        """Its name in MLflow and in an export."""
        if self.kind is ObjectiveKind.INTACT:
            return "intact_train_accuracy"
        return f"{self.kind}_accuracy"

    @property
    def is_corrected(self) -> bool:
        """Whether it is an accuracy on noisy labels that is corrected for the noise."""
        return self._correction is not None

    @property
    def measured(self) -> str:
        """How it is taken, as an export says it."""
        test = f"; test accuracy {AS_GIVEN}" if self.labels_as_given else ""
        return f"final epoch, eval mode, un-augmented; objective: {self._labels}{test}"

    @property
    def _labels(self) -> str:
        match self.kind:
            case ObjectiveKind.INTACT:
                return "intact labels of the training set"
            case ObjectiveKind.CLEAN_VALIDATION if self.labels_as_given:
                return "labels of the validation set, taken to be clean"
            case ObjectiveKind.CLEAN_VALIDATION:
                return "clean labels of the validation set"
        held_out = "noisy labels of held-out training examples"
        if self._correction is None:
            return f"{held_out}, uncorrected"
        return f"{held_out}, corrected for {self.noise_model} noise of rate {self.noise_rate:g}"

    @property
    def sentence(self) -> str:
        """What is maximised and why, as a user is told at the start."""
        reason = {
            ObjectiveKind.INTACT: "the data has them",
            ObjectiveKind.CLEAN_VALIDATION: "the data has such a set",
            ObjectiveKind.NOISY_VALIDATION: "nothing cleaner is used",
        }[self.kind]
        count = f" ({self.examples:,} examples)" if self.examples is not None else ""
        doubt = ""
        if self.kind is ObjectiveKind.CLEAN_VALIDATION and self.labels_as_given:
            doubt = " If they are as noisy as the training labels: --objective noisy_validation."
        return f"Objective: final accuracy on the {self._labels}{count}, since {reason}.{doubt}"

    def value(self, final: Accuracies) -> float | None:
        """The objective of a trial, from its last evaluation; None where that is not finite.

        Corrected, it estimates the accuracy on clean labels and may pass 1 by chance:
        A = (Ã - r/(C-1)) / (1 - rC/(C-1)) for symmetric noise.
        """
        if self.kind is ObjectiveKind.INTACT:
            return _finite(final.intact_train)
        measured = _finite(final.validation)
        if measured is None or self.kind is ObjectiveKind.CLEAN_VALIDATION or self._correction is None:
            return measured
        wrong, slope = self._correction
        return (measured - wrong) / slope

    def standard_error(self, final: Accuracies) -> float | None:
        """Of one trial's objective, from the number of validation examples alone; None for ``intact``."""
        if self.kind is ObjectiveKind.INTACT or self.examples is None or _finite(final.validation) is None:
            return None
        slope = 1.0
        if self.kind is ObjectiveKind.NOISY_VALIDATION and self._correction is not None:
            slope = self._correction[1]
        return math.sqrt(final.validation * (1 - final.validation) / self.examples) / slope

    @property
    def _correction(self) -> tuple[float, float] | None:
        """(b, a) of Ã = b + a A, under symmetric noise of known rate; None for other noise."""
        classes, rate = self.num_classes, self.noise_rate
        if self.kind is not ObjectiveKind.NOISY_VALIDATION:
            return None
        if self.noise_model == "symmetric_inclusive":
            rate *= (classes - 1) / classes
        elif self.noise_model != "symmetric":
            return None
        wrong = rate / (classes - 1)
        slope = 1 - rate - wrong
        return (wrong, slope) if slope > _LEAST_SLOPE else None


def objective_label(metric: str) -> str:
    """How a table or a line of progress calls the objective of that name, e.g. ``intact accuracy``."""
    return metric.replace("_train", "").replace("_", " ")


def objective_kind(asked: str | None, dataset: Dataset) -> ObjectiveKind:
    """The objective that was asked for, or the best that the data allows.

    Args:
        asked: Its name; None for the best.
        dataset: What is searched on.

    Raises:
        InvalidInput: The data lacks what was asked for.
    """
    intact = dataset.intact_train is not None
    validation = dataset.y_validation is not None
    if asked is None:
        if intact:
            return ObjectiveKind.INTACT
        return ObjectiveKind.CLEAN_VALIDATION if validation else ObjectiveKind.NOISY_VALIDATION
    kind = ObjectiveKind(asked)
    problem = ""
    if kind is ObjectiveKind.INTACT and not intact:
        problem = f"{dataset.name} has no intact labels of its training set"
    elif kind is ObjectiveKind.CLEAN_VALIDATION and not validation:
        problem = f"{dataset.name} has no labelled validation set"
    if problem:
        can = ["noisy_validation"] + ["intact"] * intact + ["clean_validation"] * validation
        remedy = f"Give {' or '.join(can)}, or leave it out."
        raise InvalidInput(FieldError("objective", asked, problem, remedy))
    return kind


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
