from __future__ import annotations

import pytest
import torch
from tiny_lane import CLASSES
from tiny_lane import EXTREMES
from tiny_lane import TinyLane
from tiny_lane import assert_resumes_exactly
from tiny_lane import batch_of
from tiny_lane import clusters
from tiny_lane import numeric_gradient
from tiny_lane import value_and_gradient
from torch import Tensor

from trainers import GeneralisedCrossEntropy
from trainers import TruncatedGeneralisedCrossEntropy
from trainers.errors import InvalidInput
from trainers.supervision import Batch
from trainers.supervision import Course
from trainers.supervision import Setting


def course_of(labels: Tensor, classes: int, **hyperparameters: float) -> Course:
    return TruncatedGeneralisedCrossEntropy(**hyperparameters).course(Setting(labels, classes, 0))


def literal(logits: Tensor, labels: Tensor, kept: Tensor, q: float, k: float) -> Tensor:
    total = torch.zeros((), dtype=torch.float64)
    for row, label, counts in zip(logits, labels.tolist(), kept.tolist(), strict=True):
        p = torch.exp(row[label]) / torch.exp(row).sum()
        if counts:
            total += (1 - p**q) / q - (1 - k**q) / q
    return total / len(labels)


@pytest.mark.parametrize(("q", "k"), [(0.7, 0.5), (0.3, 0.2), (1.0, 0.9)])
def test_value_and_gradient_are_the_literal_losses_of_the_kept_examples(q: float, k: float) -> None:
    logits, labels = batch_of()
    course = course_of(labels, 5, q=q, k=k)
    kept = torch.tensor([True, False, True, True, False, True, True, False, True])
    course.load_state_dict({"kept": kept})
    value, gradient = value_and_gradient(lambda z: course.loss(Batch(z, labels, torch.arange(9))), logits)
    torch.testing.assert_close(value, literal(logits, labels, kept, q, k), rtol=1e-12, atol=1e-15)
    expected = numeric_gradient(lambda z: literal(z, labels, kept, q, k), logits)
    torch.testing.assert_close(gradient, expected, rtol=1e-6, atol=1e-9)
    assert (gradient[~kept] == 0).all()


def test_kept_examples_go_by_their_stable_index() -> None:
    logits, labels = batch_of()
    course = course_of(torch.zeros(100, dtype=torch.int64), 5)
    kept = torch.zeros(100, dtype=torch.bool)
    kept[[90, 40]] = True
    course.load_state_dict({"kept": kept})
    chosen = torch.tensor([90, 1, 2, 3, 40, 5, 6, 7, 8])
    _, gradient = value_and_gradient(lambda z: course.loss(Batch(z, labels, chosen)), logits)
    assert gradient.abs().sum(dim=1).nonzero().flatten().tolist() == [0, 4]


def test_before_the_first_choice_the_gradient_is_gces() -> None:
    logits, labels = batch_of()
    course = course_of(labels, 5)
    _, found = value_and_gradient(lambda z: course.loss(Batch(z, labels, torch.arange(9))), logits)
    _, expected = value_and_gradient(lambda z: GeneralisedCrossEntropy(0.7)(z, labels), logits)
    assert torch.equal(found, expected)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_extreme_logits_give_finite_values_and_gradients(dtype: torch.dtype) -> None:
    for label in range(3):
        labels = torch.full((6,), label)
        course = course_of(labels, 3)
        batch = EXTREMES.to(dtype)
        value, gradient = value_and_gradient(
            lambda z, labels=labels, course=course: course.loss(Batch(z, labels, torch.arange(6))), batch
        )
        assert torch.isfinite(value)
        assert torch.isfinite(gradient).all()


@pytest.mark.parametrize(
    ("epochs", "start", "every", "expected"),
    [
        (120, 1 / 3, 1 / 12, [40, 50, 60, 70, 80, 90, 100, 110, 120]),
        (120, 2 / 3, 1 / 12, [80, 90, 100, 110, 120]),
        (60, 1 / 3, 1 / 12, [20, 25, 30, 35, 40, 45, 50, 55, 60]),
        (6, 1 / 3, 1 / 12, [2, 3, 4, 5, 6]),
        (10, 0.0, 0.5, [5, 10]),
        (10, 1.0, 1.0, [10]),
        (1, 1 / 3, 1 / 12, []),
    ],
)
def test_examples_are_chosen_before_the_sources_epochs_as_shares_of_the_stage(
    epochs: int, start: float, every: float, expected: list[int]
) -> None:
    supervision = TruncatedGeneralisedCrossEntropy(start=start, every=every)
    assert [n for n in range(1, epochs + 1) if supervision.chooses_before(n, epochs)] == expected


def test_a_choice_keeps_what_the_network_believes_more_than_k_in_eval_mode() -> None:
    examples, _, setting = clusters()
    lane = TinyLane(TruncatedGeneralisedCrossEntropy(k=0.6), examples, setting, epochs=6)
    lane.train_epoch()
    assert lane.asked == 0
    assert lane.course.state_dict()["kept"].all()
    p = lane.probabilities()
    lane.train_epoch()
    kept = lane.course.state_dict()["kept"]
    expected = [float(p[example, label]) > 0.6 for example, label in enumerate(setting.labels.tolist())]
    assert kept.tolist() == expected
    assert 0 < sum(expected) < len(expected)


def test_wrong_labels_are_left_out_and_not_learnt() -> None:
    examples, intact, setting = clusters()
    lane = TinyLane(TruncatedGeneralisedCrossEntropy(), examples, setting, epochs=12)
    lane.train()
    kept, right = lane.course.state_dict()["kept"], setting.labels == intact
    assert kept[right].float().mean() > 0.9
    assert kept[~right].float().mean() < 0.1
    assert lane.accuracy(intact) > 0.93


@pytest.mark.parametrize("after", [1, 3])
def test_a_resumed_lane_ends_as_one_that_was_not_interrupted(after: int) -> None:
    assert_resumes_exactly(TruncatedGeneralisedCrossEntropy(start=0.5, every=0.5), after)


def test_everything_out_of_range_is_refused_at_once() -> None:
    with pytest.raises(InvalidInput) as caught:
        TruncatedGeneralisedCrossEntropy(q=0, k=1, start=-0.1, every=float("nan"))
    assert [error.field for error in caught.value.errors] == ["q", "k", "start", "every"]


def test_a_lane_all_of_whose_examples_are_left_out_stands_still() -> None:
    labels = torch.arange(9) % CLASSES
    course = course_of(labels, CLASSES)
    course.load_state_dict({"kept": torch.zeros(9, dtype=torch.bool)})
    logits, _ = batch_of(CLASSES)
    value, gradient = value_and_gradient(lambda z: course.loss(Batch(z, labels, torch.arange(9))), logits)
    assert value == 0
    assert not gradient.any()
