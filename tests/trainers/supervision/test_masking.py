from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from staged_lane import CLASSES
from staged_lane import EXTREMES
from staged_lane import StagedLane
from staged_lane import assert_resumes_exactly
from staged_lane import double_batch
from staged_lane import value_and_gradient
from torch import Tensor
from torch.nn import functional

from trainers import Masking
from trainers.errors import InvalidInput
from trainers.supervision import Batch
from trainers.supervision import Setting
from trainers.supervision import make_supervision
from trainers.supervision.masking import corrected_loss

T = torch.tensor([[0.7, 0.3, 0.0, 0.0], [0.0, 0.6, 0.4, 0.0], [0.1, 0.0, 0.8, 0.1], [0.0, 0.0, 0.45, 0.55]])


class Predicting:
    """A view of a network that gives these probabilities."""

    def __init__(self, probabilities: Tensor) -> None:
        self._probabilities = probabilities

    def probabilities(self) -> Tensor:
        return self._probabilities


def course_of(supervision: Masking, classes: int = CLASSES) -> Any:
    return supervision.course(Setting(torch.arange(8) % classes, classes, 0))


def correcting(supervision: Masking, transition: Tensor = T) -> Any:
    """A course in stage two, its generator trained to give this matrix."""
    classes = len(transition)
    course = course_of(supervision, classes)
    # The estimate passes over the upper three of a hundred, half of a class's, and then finds the matrix's own rows.
    outliers, rows = torch.eye(classes).repeat(3, 1), transition.repeat(4, 1)
    others = torch.full((100 - 7 * classes, classes), 1 / classes)
    course.end_stage(0, Predicting(torch.cat([outliers, rows, others])))
    return course


@pytest.fixture(scope="module")
def pretrained() -> Any:
    return correcting(Masking(pretraining_steps=4000))


def drawn(course: Any, count: int = 200) -> Tensor:
    """The S of so many examples, without any effect on the course."""
    course = copy.deepcopy(course)
    labels = torch.zeros(count, dtype=torch.int64)
    course.loss(Batch(torch.zeros(count, course._setting.num_classes), labels, labels))
    return course._seen.log_s.detach().exp()


def test_loss_is_the_forward_correction_with_one_matrix_an_example() -> None:
    batch = double_batch()
    matrices = torch.randn(9, CLASSES, CLASSES, generator=torch.Generator().manual_seed(4)).double().softmax(dim=2)

    def by_definition(logits: Tensor) -> Tensor:
        p = logits.exp() / logits.exp().sum(dim=1, keepdim=True)
        mixed = torch.einsum("bi,bij->bj", p, matrices)
        return -torch.stack([row[label].log() for row, label in zip(mixed, batch.labels.tolist(), strict=True)]).mean()

    found = value_and_gradient(
        lambda z: corrected_loss(torch.log_softmax(z, dim=1), batch.labels, matrices.log()), batch.logits
    )
    expected = value_and_gradient(by_definition, batch.logits)
    torch.testing.assert_close(found[0], expected[0], rtol=1e-12, atol=0)
    torch.testing.assert_close(found[1], expected[1], rtol=1e-10, atol=1e-15)


def test_stage_one_is_cross_entropy_and_trains_nothing_else() -> None:
    batch = double_batch()
    course = course_of(Masking())
    found = value_and_gradient(lambda z: course.loss(batch._replace(logits=z)), batch.logits)
    course.step(0.1)
    expected = value_and_gradient(lambda z: functional.cross_entropy(z, batch.labels), batch.logits)
    torch.testing.assert_close(found[0], expected[0], rtol=1e-12, atol=0)
    torch.testing.assert_close(found[1], expected[1], rtol=1e-10, atol=1e-15)
    assert course.state_dict() == {"correcting": False}


def test_the_generator_begins_at_the_estimated_matrix(pretrained: Any) -> None:
    # Zeros are approached as a softmax can; the rest is close after fewer steps than the source's 10,000.
    matrices = drawn(pretrained)
    torch.testing.assert_close(matrices.mean(dim=0), T, rtol=0, atol=0.02)
    torch.testing.assert_close(matrices.sum(dim=2), torch.ones(200, CLASSES))
    assert bool((matrices[0] != matrices[1]).any()), "every example has its own"


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_extreme_logits_give_finite_losses_gradients_and_steps(dtype: torch.dtype) -> None:
    course = correcting(Masking(pretraining_steps=1), torch.eye(3))
    labels = torch.tensor([1, 0, 0, 0, 2, 1])
    value, gradient = value_and_gradient(lambda z: course.loss(Batch(z, labels, torch.arange(6))), EXTREMES.to(dtype))
    course.step(0.1)
    assert bool(torch.isfinite(value))
    assert bool(torch.isfinite(gradient).all())
    assert value.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
    assert all(bool(torch.isfinite(tensor).all()) for tensor in course.state_dict()["generator"].values())


def test_the_networks_loss_sends_no_gradient_into_the_generator(pretrained: Any) -> None:
    course = copy.deepcopy(pretrained)
    for parameter in course._generator.parameters():
        parameter.grad = None
    batch = double_batch()
    course.loss(batch._replace(logits=batch.logits.requires_grad_())).backward()
    assert all(parameter.grad is None for parameter in course._generator.parameters())


def test_the_critic_drives_the_matrix_towards_the_structure_of_the_mask(tmp_path: Path) -> None:
    np.save(tmp_path / "mask.npy", np.eye(CLASSES))
    mixed = torch.full((CLASSES, CLASSES), 0.2).fill_diagonal_(0.4)
    supervision = Masking(mask=str(tmp_path / "mask.npy"), rate=1e-3, pretraining_steps=1000)
    course = correcting(supervision, mixed)
    # Predictions that say nothing: the classes' loss is log C whatever S, on average, and the critic decides.
    batch = Batch(torch.zeros(64, CLASSES), torch.arange(64) % CLASSES, torch.arange(64))
    before = drawn(course).mean(dim=0)
    for _ in range(400):
        course.loss(batch)
        course.step(0.1)
    after = drawn(course).mean(dim=0)
    off_diagonal = ~torch.eye(CLASSES, dtype=torch.bool)
    assert float(before[off_diagonal].min()) > 0.5 / CLASSES
    assert float(after[off_diagonal].max()) < 0.5 / CLASSES
    assert float(after.diagonal().min()) > 0.6


def test_generator_and_critic_slow_down_with_the_network(pretrained: Any) -> None:
    def movement(learning_rate: float) -> float:
        course = copy.deepcopy(pretrained)
        before = copy.deepcopy(course.state_dict()["generator"])
        course.loss(double_batch())
        course.step(learning_rate)
        after = course.state_dict()["generator"]
        return max(float((after[name] - before[name]).abs().max()) for name in before)

    assert movement(0.1) == pytest.approx(movement(2e-5), rel=1e-6)
    assert movement(1e-5) < 0.3 * movement(0.1)
    assert movement(0.0) == pytest.approx(movement(0.1), rel=1e-6)


def test_nothing_is_drawn_from_the_global_generator() -> None:
    before = torch.get_rng_state()
    course = correcting(Masking(pretraining_steps=2))
    course.loss(double_batch())
    course.step(0.1)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("after", [1, 2, 3])
def test_a_resumed_lane_ends_as_an_uninterrupted_one(after: int) -> None:
    assert_resumes_exactly(Masking(pretraining_steps=20, rate=1e-3), epochs=2, after=after)


def test_stage_two_goes_on_with_the_network_of_stage_one() -> None:
    lane = StagedLane(Masking(first_stage=0.5, pretraining_steps=1500), epochs=4)
    assert [stage.share for stage in lane.supervision.stages] == [0.5, 1]
    assert not any(stage.fresh_network for stage in lane.supervision.stages)
    lane.train()
    assert float((lane.probabilities().argmax(dim=1) == lane.intact).float().mean()) > 0.8


@pytest.mark.parametrize("suffix", ["npy", "csv", "txt"])
def test_a_mask_is_read_from_a_file(tmp_path: Path, suffix: str) -> None:
    mask, path = np.eye(CLASSES), tmp_path / f"mask.{suffix}"
    mask[0, 1] = 1
    if suffix == "npy":
        np.save(path, mask)
    else:
        np.savetxt(path, mask, fmt="%d", delimiter="," if suffix == "csv" else " ")
    supervision = make_supervision("masking", mask=str(path))
    assert isinstance(supervision, Masking)
    assert supervision.problems(Setting(torch.arange(4), CLASSES, 0)) == []
    assert torch.equal(supervision.prior(CLASSES), torch.from_numpy(mask).float())
    assert Masking().prior(3).tolist() == [[1, 1, 1]] * 3


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (None, "cannot be read"),
        ("1,0\n0,1\n", "shape"),
        ("a,b\n", "cannot be read"),
        ("1,0,0,0\n0,2,0,0\n0,0,1,0\n0,0,0,1\n", "other values"),
        ("1,0,0,0\n0,0,0,0\n0,0,1,0\n0,0,0,1\n", "row 1"),
    ],
)
def test_a_mask_that_is_none_is_found_before_anything_starts(tmp_path: Path, text: str | None, problem: str) -> None:
    path = tmp_path / "mask.csv"
    if text is not None:
        path.write_text(text)
    (error,) = Masking(mask=str(path)).problems(Setting(torch.arange(4), CLASSES, 0))
    assert error.field == "mask"
    assert problem in error.problem


def test_names_everything_that_is_out_of_range_at_once() -> None:
    with pytest.raises(InvalidInput) as refusal:
        make_supervision("masking", mask="zeros", first_stage=0, rate=-1.0, pretraining_steps=0.5)
    assert {error.field for error in refusal.value.errors} == {"mask", "first_stage", "rate", "pretraining_steps"}
