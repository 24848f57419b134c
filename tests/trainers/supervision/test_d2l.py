from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from staged_lane import EXTREMES
from staged_lane import StagedLane
from staged_lane import assert_resumes_exactly
from staged_lane import double_batch
from staged_lane import value_and_gradient
from torch import Tensor
from torch import nn

from trainers import DimensionalityDriven
from trainers.errors import InvalidInput
from trainers.supervision import Batch
from trainers.supervision import Setting
from trainers.supervision import local_intrinsic_dimensionality
from trainers.supervision import make_supervision


def by_definition(features: Any, k: int) -> list[float]:
    """-((1/k) sum log(d_i / d_k))^-1, one example and one neighbour at a time."""
    found = []
    for at, point in enumerate(features):
        distances = sorted(
            math.sqrt(math.fsum((a - b) ** 2 for a, b in zip(point, other, strict=True)))
            for index, other in enumerate(features)
            if index != at
        )[:k]
        found.append(-1 / (math.fsum(math.log(d / distances[-1]) for d in distances) / len(distances)))
    return found


def cloud(count: int, dimension: int, seed: int = 0) -> Tensor:
    """Gaussian points that fill ``dimension`` of ten directions."""
    points = torch.zeros(count, 10, dtype=torch.float64)
    generator = torch.Generator().manual_seed(seed)
    points[:, :dimension] = torch.randn(count, dimension, generator=generator, dtype=torch.float64)
    return points


@pytest.mark.parametrize(("count", "k"), [(60, 20), (60, 3), (12, 20), (3, 2)])
def test_dimensionality_is_the_maximum_likelihood_estimate(count: int, k: int) -> None:
    features = cloud(count, 5)
    expected = torch.tensor(by_definition(features.tolist(), min(k, count - 1)), dtype=torch.float64)
    torch.testing.assert_close(local_intrinsic_dimensionality(features, k), expected, rtol=1e-12, atol=0)


def test_dimensionality_of_small_differences_far_from_the_origin_is_exact() -> None:
    features = 1e-3 * cloud(40, 5) + 100
    expected = torch.tensor(by_definition(features.tolist(), 20), dtype=torch.float64)
    torch.testing.assert_close(local_intrinsic_dimensionality(features), expected, rtol=1e-9, atol=0)
    single = features.float()
    expected = torch.tensor(by_definition(single.tolist(), 20))
    torch.testing.assert_close(local_intrinsic_dimensionality(single), expected, rtol=1e-4, atol=0)


def test_dimensionality_counts_the_directions_that_points_fill() -> None:
    turned = torch.linalg.qr(torch.randn(10, 10, generator=torch.Generator().manual_seed(1)).double()).Q
    for dimension in (1, 2, 4):
        estimate = local_intrinsic_dimensionality(cloud(2000, dimension) @ turned).mean()
        assert estimate == pytest.approx(dimension, rel=0.15)


def test_duplicates_have_a_finite_dimensionality_and_a_point_has_none() -> None:
    features = cloud(30, 5)
    features[1] = features[0]
    found = local_intrinsic_dimensionality(features, 5)
    distances = np.sort(np.linalg.norm(features.numpy() - features[0].numpy(), axis=1))[1:6]
    ratios = np.maximum(distances / distances[-1], 1e-8)
    assert found[0].item() == pytest.approx(-1 / np.log(ratios).mean(), rel=1e-12)
    assert bool(torch.isfinite(found).all())
    assert local_intrinsic_dimensionality(torch.ones(30, 4), 5).tolist() == [0.0] * 30
    # The corners of a simplex: all distances are equal, and the formula divides by 0.
    assert local_intrinsic_dimensionality(torch.eye(6), 5).tolist() == [math.inf] * 6


def test_half_types_are_measured_in_float32() -> None:
    features = cloud(40, 5).bfloat16()
    found = local_intrinsic_dimensionality(features)
    assert found.dtype == torch.float32
    assert torch.equal(found, local_intrinsic_dimensionality(features.float()))


@pytest.mark.parametrize(("shape", "k"), [((5,), 2), ((1, 4), 2), ((5, 4), 0)])
def test_what_has_no_dimensionality_is_refused(shape: tuple[int, ...], k: int) -> None:
    with pytest.raises(InvalidInput):
        local_intrinsic_dimensionality(torch.zeros(shape), k)


class Unfolding:
    """A view whose features fill as many directions as told for each epoch; its weights say the epoch."""

    def __init__(self, dimensions: list[int], epochs: int) -> None:
        self.dimensions, self.epochs, self.epoch = dimensions, epochs, -1
        self.network = nn.Linear(2, 2)
        self.measured: list[float] = []
        self.asked: list[int] = []

    def probabilities(self) -> Tensor:
        raise AssertionError("nothing of D2L needs them")

    def features(self, chosen: Tensor) -> Tensor:
        self.asked.append(len(chosen))
        points = cloud(2000, self.dimensions[self.epoch], seed=self.epoch)[chosen].float()
        batches = points.split(min(128, len(chosen)))
        values = [value for batch in batches for value in by_definition(batch.tolist(), 20)] if points.any() else [0]
        self.measured.append(float(np.mean(values)))
        return points

    def weights(self) -> dict[str, Tensor]:
        return {name: tensor.clone() for name, tensor in self.network.state_dict().items()}

    def set_weights(self, weights: dict[str, Tensor]) -> None:
        self.network.load_state_dict(weights)

    def begin(self, course: Any) -> float:
        """Begin the next epoch; returns the weights that it begins with, set to its number before."""
        self.epoch += 1
        nn.init.constant_(self.network.weight, self.epoch)
        course.begin_epoch(self)
        return float(self.network.weight.detach()[0, 0])


def course_of(supervision: DimensionalityDriven, count: int = 100) -> Any:
    return supervision.course(Setting(torch.zeros(count, dtype=torch.int64), 4, 0))


def alpha_of(course: Any) -> float:
    """Read off the loss of one example: (given, predicted) = (0, 1), whose log p are known."""
    logits = torch.tensor([[0.0, 2.0]], dtype=torch.float64)
    log_p = torch.log_softmax(logits, dim=1)[0]
    loss = course.loss(Batch(logits, torch.tensor([0]), torch.tensor([0])))
    return float((-loss - log_p[1]) / (log_p[0] - log_p[1]))


def test_turns_where_the_dimensionality_jumps_and_rolls_back_to_the_epoch_before() -> None:
    view = Unfolding([8, 4, 3, 3, 3, 3, 3, 9, 9, 2, 9], epochs=20)
    course = course_of(DimensionalityDriven(window=3, warm_up=0.1))
    starts, alphas = [], []
    for _ in view.dimensions:
        starts.append(view.begin(course))
        alphas.append(alpha_of(course))
    # The weights that epoch 7 began with were the result of a jump; those of epoch 6 come back, once.
    assert starts == [0, 1, 2, 3, 4, 5, 6, 6, 8, 9, 10]
    assert alphas[:7] == pytest.approx([1] * 7)
    lid = view.measured
    expected = [math.exp(-t / 20 * lid[t] / min(lid[:t])) for t in range(7, 11)]
    assert alphas[7:] == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize(("warm_up", "turn"), [(0.0, 2), (0.1, 4), (0.2, 6)])
def test_growth_does_not_count_before_the_warm_up_and_a_window(warm_up: float, turn: int) -> None:
    view = Unfolding([1, 2, 3, 4, 5, 7, 10, 10], epochs=20)
    course = course_of(DimensionalityDriven(window=2, warm_up=warm_up))
    turned = []
    for _ in view.dimensions:
        view.begin(course)
        turned.append(course.state_dict()["turned"])
    assert turned.index(True) == turn


def test_a_window_that_varies_as_much_as_the_jump_is_no_turning_point() -> None:
    view = Unfolding([2, 9, 2, 9, 2, 9, 2, 9], epochs=8)
    course = course_of(DimensionalityDriven(window=2, warm_up=0))
    for _ in view.dimensions:
        view.begin(course)
    assert alpha_of(course) == pytest.approx(1)


def test_features_without_a_dimensionality_repeat_the_last_one() -> None:
    view = Unfolding([0, 2, 0, 2], epochs=8)
    course = course_of(DimensionalityDriven())
    for _ in view.dimensions:
        view.begin(course)
    history = course.state_dict()["history"]
    assert history == pytest.approx([view.measured[1], view.measured[1], view.measured[3]], rel=1e-5)


@pytest.mark.parametrize(("count", "asked"), [(50, 50), (128, 128), (300, 256), (2000, 1280)])
def test_measures_at_most_ten_batches_of_128(count: int, asked: int) -> None:
    view = Unfolding([0], epochs=8)
    view.begin(course_of(DimensionalityDriven(), count))
    assert view.asked == [asked]


def turned_course(alpha: float) -> Any:
    course = course_of(DimensionalityDriven())
    course.load_state_dict({"history": [1.0], "turned": True, "alpha": alpha, "previous": None})
    return course


@pytest.mark.parametrize("alpha", [0.0, 0.3, 0.8])
def test_loss_after_the_turn_mixes_labels_and_predictions(alpha: float) -> None:
    batch = double_batch()
    p = batch.logits.exp() / batch.logits.exp().sum(dim=1, keepdim=True)
    target = (1 - alpha) * (p == p.amax(dim=1, keepdim=True)).double()
    target[torch.arange(len(p)), batch.labels] += alpha
    value, gradient = value_and_gradient(
        lambda logits: turned_course(alpha).loss(batch._replace(logits=logits)), batch.logits
    )
    torch.testing.assert_close(value, -(target * p.log()).sum() / len(p), rtol=1e-12, atol=0)
    torch.testing.assert_close(gradient, (p - target) / len(p), rtol=1e-10, atol=1e-15)


def test_loss_before_the_turn_is_cross_entropy() -> None:
    batch = double_batch()
    value, gradient = value_and_gradient(
        lambda logits: course_of(DimensionalityDriven()).loss(batch._replace(logits=logits)), batch.logits
    )
    expected = value_and_gradient(lambda z: nn.functional.cross_entropy(z, batch.labels), batch.logits)
    torch.testing.assert_close(value, expected[0], rtol=1e-12, atol=0)
    torch.testing.assert_close(gradient, expected[1], rtol=1e-10, atol=1e-15)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
@pytest.mark.parametrize("course", [course_of(DimensionalityDriven()), turned_course(0.3)])
def test_extreme_logits_give_finite_losses_and_gradients(dtype: torch.dtype, course: Any) -> None:
    logits, labels = EXTREMES.to(dtype), torch.tensor([1, 0, 0, 0, 2, 1])
    value, gradient = value_and_gradient(lambda z: course.loss(Batch(z, labels, torch.arange(6))), logits)
    assert bool(torch.isfinite(value))
    assert bool(torch.isfinite(gradient).all())
    assert value.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)


@pytest.mark.parametrize("after", [2, 5, 8])
def test_a_resumed_lane_ends_as_an_uninterrupted_one(after: int) -> None:
    supervision = DimensionalityDriven(k=10, window=2, warm_up=0.2)
    lane = StagedLane(supervision, epochs=12)
    turned = []
    while not lane.over:
        lane.train_epoch()
        turned.append(lane.course.state_dict()["turned"])
    assert not turned[3]
    assert turned[7]
    assert_resumes_exactly(supervision, epochs=12, after=after)


def test_names_everything_that_is_out_of_range_at_once() -> None:
    with pytest.raises(InvalidInput) as refusal:
        make_supervision("d2l", k=2.5, window=1, warm_up=1.5)
    assert [error.field for error in refusal.value.errors] == ["k", "window", "warm_up"]
    assert make_supervision("d2l", k=20.0) == DimensionalityDriven()
    assert DimensionalityDriven().problems(Setting(torch.zeros(2, dtype=torch.int64), 2, 0))
