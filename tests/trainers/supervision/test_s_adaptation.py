from __future__ import annotations

import math

import numpy as np
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

from trainers import SAdaptation
from trainers.errors import InvalidInput
from trainers.supervision import Batch
from trainers.supervision import Stage
from trainers.supervision.s_adaptation import adaptation_loss
from trainers.supervision.s_adaptation import confusion_logarithm


def layer(classes: int = 5) -> Tensor:
    return torch.randn(classes, classes, generator=torch.Generator().manual_seed(5), dtype=torch.float64)


def literal(logits: Tensor, labels: Tensor, b: Tensor) -> Tensor:
    total = torch.zeros((), dtype=torch.float64)
    for row, label in zip(logits, labels.tolist(), strict=True):
        p = torch.exp(row) / torch.exp(row).sum()
        total -= torch.log(sum(p[i] * torch.exp(b[i, label]) / torch.exp(b[i]).sum() for i in range(len(b))))
    return total / len(labels)


def test_value_and_both_gradients_are_the_literal_loss() -> None:
    logits, labels = batch_of()
    value, gradient = value_and_gradient(lambda z: adaptation_loss(z, labels, layer()), logits)
    torch.testing.assert_close(value, literal(logits, labels, layer()), rtol=1e-12, atol=0)
    expected = numeric_gradient(lambda z: literal(z, labels, layer()), logits)
    torch.testing.assert_close(gradient, expected, rtol=1e-6, atol=1e-9)
    _, of_layer = value_and_gradient(lambda b: adaptation_loss(logits, labels, b), layer())
    expected = numeric_gradient(lambda b: literal(logits, labels, b), layer())
    torch.testing.assert_close(of_layer, expected, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_extreme_logits_give_finite_values_and_gradients(dtype: torch.dtype) -> None:
    b = (torch.eye(3) + 1e-8).log()
    for label in range(3):
        labels = torch.full((6,), label)
        value, gradient = value_and_gradient(lambda z, labels=labels: adaptation_loss(z, labels, b), EXTREMES.to(dtype))
        assert torch.isfinite(value)
        assert torch.isfinite(gradient).all()


def test_confusion_counts_labels_among_the_examples_predicted_as_each_class() -> None:
    predicted, labels = [0, 0, 0, 0, 2, 2, 2], [0, 0, 1, 2, 2, 2, 0]
    p = 0.1 + 0.7 * torch.eye(3)[predicted]
    counts = np.zeros((3, 3))
    for i, j in zip(predicted, labels, strict=True):
        counts[i, j] += 1
    counts[1, 1] = 1  # never predicted: it keeps its label
    expected = np.log(counts / counts.sum(axis=1, keepdims=True) + 1e-8)
    found = confusion_logarithm(p, torch.tensor(labels))
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-6, atol=1e-7)


def test_layer_starts_from_the_best_epoch_whose_network_goes_on() -> None:
    examples, _, setting = clusters(noise_rate=0.4)
    lane = TinyLane(SAdaptation(), examples, setting, epochs=40)
    best, trained = math.inf, None
    while lane.stage == 0:
        lane.train_epoch()
        if lane.stage == 0 and lane.course.state_dict()["first"]["least"] < best:
            best = lane.course.state_dict()["first"]["least"]
            trained = lane.weights(), lane.epoch, lane.probabilities()
    assert trained is not None
    weights, epoch, p = trained
    assert epoch < 30
    assert all(torch.equal(lane.weights()[name], expected) for name, expected in weights.items())
    state = lane.course.state_dict()
    assert torch.equal(state["b"], confusion_logarithm(p, setting.labels))
    assert state["best"] is None
    layer_diagonal = state["b"].softmax(dim=1).diagonal()
    assert ((layer_diagonal > 0.5) & (layer_diagonal < 0.75)).all()


def test_layer_is_trained_by_momentum_sgd_without_decay() -> None:
    examples, _, setting = clusters()
    lane = TinyLane(SAdaptation(momentum=0.8), examples, setting, epochs=2)
    while lane.stage == 0:
        lane.train_epoch()
    mine = torch.nn.Parameter(lane.course.state_dict()["b"].clone())
    reference = torch.optim.SGD([mine], lr=0.3, momentum=0.8)
    logits = torch.randn(32, CLASSES, generator=torch.Generator().manual_seed(1))
    for first in (0, 32, 64):
        chosen = torch.arange(first, first + 32)
        lane.course.loss(Batch(logits.requires_grad_(), setting.labels[chosen], chosen)).backward()
        lane.course.step(0.3)
        reference.zero_grad()
        adaptation_loss(logits, setting.labels[chosen], mine).backward()
        reference.step()
    torch.testing.assert_close(lane.course.state_dict()["b"], mine.detach(), rtol=1e-6, atol=1e-6)


def test_a_step_in_the_first_stage_changes_nothing() -> None:
    _, _, setting = clusters()
    course = SAdaptation().course(setting)
    before = course.state_dict()
    course.step(0.1)
    assert course.state_dict() == before


def test_a_lane_learns_the_classes() -> None:
    examples, intact, setting = clusters()
    lane = TinyLane(SAdaptation(), examples, setting, epochs=5)
    lane.train()
    assert lane.accuracy(intact) > 0.9


@pytest.mark.parametrize("after", [3, 6, 8])
def test_a_resumed_lane_ends_as_one_that_was_not_interrupted(after: int) -> None:
    assert_resumes_exactly(SAdaptation(), after)


def test_the_network_goes_on_into_the_second_stage() -> None:
    assert SAdaptation(pretraining=0.5).stages == (Stage(share=0.5), Stage())


def test_everything_out_of_range_is_refused_at_once() -> None:
    with pytest.raises(InvalidInput) as caught:
        SAdaptation(pretraining=-1, held_out=-0.1, momentum=1)
    assert [error.field for error in caught.value.errors] == ["pretraining", "held_out", "momentum"]
