from __future__ import annotations

from typing import Any

import pytest
import torch
from staged_lane import BATCH
from staged_lane import CLASSES
from staged_lane import EXAMPLES
from staged_lane import EXTREMES
from staged_lane import StagedLane
from staged_lane import assert_resumes_exactly
from staged_lane import double_batch
from staged_lane import value_and_gradient
from torch import Tensor
from torch.nn import functional

from trainers import LabelOptimisation
from trainers.errors import InvalidInput
from trainers.supervision import Batch
from trainers.supervision import Setting
from trainers.supervision import make_supervision

SHORT = LabelOptimisation(start=0.5, window=3, second_stage=0.5)


def kl(target: Tensor, log_q: Tensor) -> Tensor:
    return sum((t * (t.log() - q) for t, q in zip(target, log_q, strict=True) if t > 0), torch.zeros(()).double())


def by_definition(logits: Tensor, targets: Tensor, alpha: float, beta: float) -> Tensor:
    p = logits.exp() / logits.exp().sum(dim=1, keepdim=True)
    uniform = torch.full_like(p[0], 1 / p.shape[1])
    fit = torch.stack([kl(target, row.log()) for target, row in zip(targets, p, strict=True)]).mean()
    entropy = -(p * p.log()).sum(dim=1).mean()
    return fit + alpha * kl(uniform, p.mean(dim=0).log()) + beta * entropy


def course_with(soft_labels: Tensor | None, optimising: bool, classes: int = CLASSES) -> Any:
    count = 9 if soft_labels is None else len(soft_labels)
    course = LabelOptimisation().course(Setting(torch.zeros(count, dtype=torch.int64), classes, 0))
    course.load_state_dict(
        {"optimising": optimising, "epochs_done": 0, "soft_labels": soft_labels, "ring": None, "recorded": 0}
    )
    return course


@pytest.mark.parametrize("optimising", [True, False])
@pytest.mark.parametrize("soft", [True, False])
def test_loss_is_the_sum_of_its_three_terms_and_of_the_first_alone_in_stage_two(soft: bool, optimising: bool) -> None:
    batch = double_batch()
    targets = functional.one_hot(batch.labels, CLASSES).double()
    given = None
    if soft:
        given = torch.rand(20, CLASSES, generator=torch.Generator().manual_seed(2)).softmax(dim=1)
        batch = batch._replace(chosen=torch.arange(9) + 7)
        targets = given[7:16].double()
    course = course_with(given, optimising)
    weights = (1.2, 0.8) if optimising else (0.0, 0.0)
    found = value_and_gradient(lambda z: course.loss(batch._replace(logits=z)), batch.logits)
    expected = value_and_gradient(lambda z: by_definition(z, targets, *weights), batch.logits)
    # Float32 soft labels sum to 1 within 1e-7, which the two formulas' gradients weigh differently.
    torch.testing.assert_close(found[0], expected[0], rtol=1e-12, atol=1e-14)
    torch.testing.assert_close(found[1], expected[1], rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
@pytest.mark.parametrize("optimising", [True, False])
@pytest.mark.parametrize("soft_labels", [None, torch.eye(3)[[0, 1, 2, 0, 1, 2]], torch.full((6, 3), 1 / 3)])
def test_extreme_logits_give_finite_losses_and_gradients(
    soft_labels: Tensor | None, optimising: bool, dtype: torch.dtype
) -> None:
    course = course_with(soft_labels, optimising, classes=3)
    labels = torch.tensor([1, 0, 0, 0, 2, 1])
    value, gradient = value_and_gradient(lambda z: course.loss(Batch(z, labels, torch.arange(6))), EXTREMES.to(dtype))
    assert bool(torch.isfinite(value))
    assert bool(torch.isfinite(gradient).all())
    assert value.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)


class Recording:
    """What a lane predicted for every example in every epoch of stage one, by the test's own book-keeping."""

    def __init__(self, lane: StagedLane) -> None:
        self.last = functional.one_hot(lane.labels, CLASSES).float()
        self.epochs: list[Tensor] = []
        lane.stepped = self.step

    def step(self, logits: Tensor, chosen: Tensor) -> None:
        self.last = self.last.clone()
        self.last[chosen] = logits.softmax(dim=1)

    def mean_of_last(self, window: int) -> Tensor:
        return torch.stack(self.epochs[-window:]).mean(dim=0)


@pytest.mark.parametrize("steps", [6, 4])
def test_soft_labels_are_the_mean_of_the_last_epochs_predictions_from_the_start_on(steps: int) -> None:
    lane = StagedLane(SHORT, epochs=10, steps=steps)
    recording = Recording(lane)
    for epoch in range(1, 11):
        if epoch == 3:
            # The window's first epoch: what it does not reach has no earlier prediction.
            recording.last = functional.one_hot(lane.labels, CLASSES).float()
        lane.train_epoch()
        recording.epochs.append(recording.last)
        found = lane.course.state_dict()["soft_labels"]
        if epoch < 5:
            assert found is None
        else:
            torch.testing.assert_close(found, recording.mean_of_last(3), rtol=1e-5, atol=1e-6)
    assert (lane.stage, lane.epoch) == (1, 0)
    final = lane.course.state_dict()["soft_labels"]
    lane.train()
    assert torch.equal(lane.course.state_dict()["soft_labels"], final)


def test_a_start_within_the_window_averages_the_epochs_that_there_are() -> None:
    lane = StagedLane(LabelOptimisation(start=0.2, window=10), epochs=10)
    recording = Recording(lane)
    for _ in range(4):
        lane.train_epoch()
        recording.epochs.append(recording.last)
    expected = recording.mean_of_last(10)
    torch.testing.assert_close(lane.course.state_dict()["soft_labels"], expected, rtol=1e-5, atol=1e-6)


def test_checkpoints_hold_the_window_only_while_it_is_needed() -> None:
    lane = StagedLane(SHORT, epochs=10)
    rings = []
    while not lane.over:
        lane.train_epoch()
        rings.append(lane.course.state_dict()["ring"])
    assert [ring is not None for ring in rings] == [False] * 2 + [True] * 7 + [False] * 6
    assert rings[5].shape == (3, EXAMPLES, CLASSES)
    assert rings[5].dtype == torch.float32


def test_stages_have_the_sources_lengths_and_learning_rates() -> None:
    first, second = LabelOptimisation().stages
    assert (first.share, first.rate_factor, first.milestones, first.fresh_network) == (1, 0.8, (), False)
    assert (second.share, second.rate_factor, second.fresh_network) == (0.6, 2, True)
    assert second.milestones == pytest.approx((1 / 3, 2 / 3))


def test_labels_become_more_right_than_those_given() -> None:
    lane = StagedLane(LabelOptimisation(start=0.3, window=3), epochs=20)
    lane.train()
    given = float((lane.labels == lane.intact).float().mean())
    found = lane.course.state_dict()["soft_labels"].argmax(dim=1)
    assert float((found == lane.intact).float().mean()) > given + 0.15


@pytest.mark.parametrize("after", [1, 4, 6, 10, 12])
def test_a_resumed_lane_ends_as_an_uninterrupted_one(after: int) -> None:
    assert_resumes_exactly(SHORT, epochs=10, after=after)


def test_a_stage_of_one_epoch_replaces_the_labels_at_its_end() -> None:
    lane = StagedLane(LabelOptimisation(), epochs=1, steps=EXAMPLES // BATCH)
    recording = Recording(lane)
    lane.train_epoch()
    torch.testing.assert_close(lane.course.state_dict()["soft_labels"], recording.last, rtol=1e-5, atol=1e-6)


def test_names_everything_that_is_out_of_range_at_once() -> None:
    wrong = {
        "alpha": -1.0,
        "beta": float("nan"),
        "start": 1.0,
        "window": 0.5,
        "first_rate": 0,
        "second_rate": "fast",
        "second_stage": -0.1,
    }
    with pytest.raises(InvalidInput) as refusal:
        make_supervision("label_optimisation", **wrong)
    assert [error.field for error in refusal.value.errors] == list(wrong)
    assert make_supervision("label_optimisation", window=10.0) == LabelOptimisation()
