"""What guides a search: chosen by what the data has, corrected where the noise is known."""

from __future__ import annotations

import math

import numpy as np
import pytest

from search.objective import ObjectiveKind
from search.objective import SearchObjective
from search.store import Accuracies


def final(**accuracies: float) -> Accuracies:
    values = {"test": 0.5, "corrupted_train": 0.6, "intact_train": 0.7, "validation": 0.4, **accuracies}
    return Accuracies(epoch=3, **values)


def noisy(**fields: object) -> SearchObjective:
    values: dict[str, object] = {"noise_rate": 0.4, "num_classes": 10, "examples": 400, **fields}
    return SearchObjective(ObjectiveKind.NOISY_VALIDATION, **values)  # type: ignore[arg-type]


def test_each_kind_reads_its_own_accuracy_and_none_the_one_on_noisy_training_labels() -> None:
    assert SearchObjective(ObjectiveKind.INTACT).value(final()) == 0.7
    assert SearchObjective(ObjectiveKind.CLEAN_VALIDATION).value(final()) == 0.4
    assert noisy(noise_model="pair_flip").value(final()) == 0.4


@pytest.mark.parametrize(("noise_model", "share_of_wrong"), [("symmetric", 1.0), ("symmetric_inclusive", 0.9)])
def test_the_correction_recovers_the_accuracy_on_clean_labels(noise_model: str, share_of_wrong: float) -> None:
    generator = np.random.default_rng(0)
    examples, classes, rate, accuracy = 400_000, 10, 0.4, 0.83
    truth = generator.integers(classes, size=examples)
    other = (truth + generator.integers(1, classes, size=examples)) % classes
    predicted = np.where(generator.random(examples) < accuracy, truth, other)
    changed = (truth + generator.integers(1, classes, size=examples)) % classes
    labels = np.where(generator.random(examples) < rate * share_of_wrong, changed, truth)
    measured = final(validation=float((predicted == labels).mean()))
    objective = noisy(noise_model=noise_model, noise_rate=rate, num_classes=classes, examples=examples)
    value, error = objective.value(measured), objective.standard_error(measured)
    assert value is not None
    assert error is not None
    assert abs(value - accuracy) < 4 * error
    assert error < 0.002


def test_the_standard_error_is_that_of_a_share_stretched_by_the_correction() -> None:
    error = noisy().standard_error(final(validation=0.5))
    assert error == pytest.approx(math.sqrt(0.25 / 400) / (1 - 0.4 * 10 / 9), rel=1e-12)
    clean = SearchObjective(ObjectiveKind.CLEAN_VALIDATION, examples=400)
    assert clean.standard_error(final(validation=0.5)) == pytest.approx(0.025)
    assert SearchObjective(ObjectiveKind.INTACT, examples=400).standard_error(final()) is None


def test_other_noise_is_not_corrected_and_called_so() -> None:
    assert "uncorrected" in noisy(noise_model="asymmetric_cifar10").sentence
    assert "corrected for symmetric noise of rate 0.4" in noisy().sentence
    assert noisy(noise_rate=0.9).value(final()) == 0.4  # nothing of the right class is left in the labels


def test_an_accuracy_that_does_not_exist_is_no_objective() -> None:
    assert SearchObjective(ObjectiveKind.INTACT).value(final(intact_train=math.nan)) is None
    assert noisy().value(final(validation=math.nan)) is None


def test_a_sweep_recorded_without_an_objective_was_guided_by_intact_labels() -> None:
    objective = SearchObjective.recorded({"noise_model": "symmetric"}, 0.4, {})
    assert objective.kind is ObjectiveKind.INTACT
    assert objective.metric == "intact_train_accuracy"


def test_the_sentence_names_labels_number_of_examples_and_reason() -> None:
    facts = {"num_classes": 10, "validation_examples": 144}
    objective = SearchObjective.recorded({"objective": "noisy_validation"}, 0.2, facts)
    assert objective.sentence == (
        "Objective: final accuracy on the noisy labels of held-out training examples, corrected for symmetric noise of "
        "rate 0.2 (144 examples), since nothing cleaner is used."
    )


def test_labels_that_may_be_as_noisy_as_those_trained_on_are_not_called_clean() -> None:
    facts = {"validation_examples": 144, "labels_as_given": True}
    objective = SearchObjective.recorded({"objective": "clean_validation", "noise_model": "none"}, 0.2, facts)
    assert objective.sentence == (
        "Objective: final accuracy on the labels of the validation set, taken to be clean (144 examples), since the "
        "data has such a set. If they are as noisy as the training labels: --objective noisy_validation."
    )
    assert objective.measured.endswith("; test accuracy on the labels as given")
    held_out = SearchObjective.recorded({"objective": "noisy_validation", "noise_model": "none"}, 0.2, facts)
    assert "--objective" not in held_out.sentence
    assert held_out.measured.endswith("; test accuracy on the labels as given")
