from __future__ import annotations

import pytest
import torch
from tiny_lane import EXTREMES
from tiny_lane import TinyLane
from tiny_lane import batch_of
from tiny_lane import clusters
from tiny_lane import numeric_gradient
from tiny_lane import value_and_gradient
from torch import Tensor
from torch.nn import functional

from trainers import HardBootstrap
from trainers import SoftBootstrap
from trainers.errors import InvalidInput
from trainers.supervision import Criterion
from trainers.supervision import make_supervision

BOTH = [SoftBootstrap(), HardBootstrap(), SoftBootstrap(0.3), HardBootstrap(0.3)]


def as_the_paper_writes_it(criterion: Criterion, logits: Tensor, labels: Tensor) -> Tensor:
    total = torch.zeros((), dtype=torch.float64)
    for row, label in zip(logits, labels.tolist(), strict=True):
        q = torch.exp(row) / torch.exp(row).sum()
        believed = q if isinstance(criterion, SoftBootstrap) else (q == q.max()).double()
        target = (1 - criterion.beta) * believed
        target[label] += criterion.beta
        total -= (target * torch.log(q)).sum()
    return total / len(labels)


@pytest.mark.parametrize("criterion", BOTH)
def test_value_and_gradient_are_the_papers_with_the_target_differentiated_too(criterion: Criterion) -> None:
    logits, labels = batch_of()
    value, gradient = value_and_gradient(lambda z: criterion(z, labels), logits)
    torch.testing.assert_close(value, as_the_paper_writes_it(criterion, logits, labels), rtol=1e-12, atol=0)
    expected = numeric_gradient(lambda z: as_the_paper_writes_it(criterion, z, labels), logits)
    torch.testing.assert_close(gradient, expected, rtol=1e-6, atol=1e-9)


def test_soft_gradient_is_cce_with_a_minimum_entropy_regulariser() -> None:
    logits, labels = batch_of()
    _, gradient = value_and_gradient(lambda z: SoftBootstrap(0.6)(z, labels), logits)
    p = logits.softmax(dim=1)
    entropy = -(p * p.log()).sum(dim=1, keepdim=True)
    closed = 0.6 * (p - functional.one_hot(labels, 5)) - 0.4 * p * (p.log() + entropy)
    torch.testing.assert_close(gradient, closed / len(labels), rtol=1e-11, atol=1e-15)


@pytest.mark.parametrize("kind", [SoftBootstrap, HardBootstrap])
def test_beta_one_is_cce(kind: type[Criterion]) -> None:
    logits, labels = batch_of()
    found = value_and_gradient(lambda z: kind(1)(z, labels), logits)  # type: ignore[call-arg]
    expected = value_and_gradient(lambda z: functional.cross_entropy(z, labels), logits)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
@pytest.mark.parametrize("criterion", BOTH)
def test_extreme_logits_give_finite_values_and_gradients(criterion: Criterion, dtype: torch.dtype) -> None:
    for label in range(3):
        labels = torch.full((6,), label)
        value, gradient = value_and_gradient(lambda z, labels=labels: criterion(z, labels), EXTREMES.to(dtype))
        assert torch.isfinite(value)
        assert torch.isfinite(gradient).all()
        assert value.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
        assert gradient.dtype == dtype


def test_values_at_the_ends_are_exact_in_float32() -> None:
    wrong, right = torch.tensor([[0.0, 1e4, 0.0]]), torch.tensor([[1e4, 0.0, 0.0]])
    label = torch.tensor([0])
    assert float(SoftBootstrap(0.95)(wrong, label)) == pytest.approx(0.95e4)
    assert float(HardBootstrap(0.8)(wrong, label)) == pytest.approx(0.8e4)
    assert float(SoftBootstrap()(right, label)) == float(HardBootstrap()(right, label)) == 0


@pytest.mark.parametrize("beta", [-0.1, 1.1, float("nan"), "0.5", None, True])
@pytest.mark.parametrize("kind", [SoftBootstrap, HardBootstrap])
def test_beta_out_of_range_is_refused(kind: type[Criterion], beta: object) -> None:
    with pytest.raises(InvalidInput) as caught:
        kind(beta=beta)  # type: ignore[call-arg]
    (error,) = caught.value.errors
    assert error.field == "beta"
    assert "0.95 soft, 0.8 hard" in error.remedy


def test_names_make_them_with_their_papers_settings() -> None:
    assert make_supervision("bootstrap_soft") == SoftBootstrap(0.95)
    assert make_supervision("bootstrap_hard") == HardBootstrap(0.8)
    assert make_supervision("bootstrap_hard", beta=1) == HardBootstrap(1.0)


@pytest.mark.parametrize("criterion", [SoftBootstrap(), HardBootstrap()])
def test_a_lane_learns_the_classes(criterion: Criterion) -> None:
    examples, intact, setting = clusters(noise_rate=0.2)
    lane = TinyLane(criterion, examples, setting, epochs=4)
    lane.train()
    assert lane.accuracy(intact) > 0.9
