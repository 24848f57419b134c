from __future__ import annotations

import math
from pathlib import Path

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
from torch.nn import functional

from trainers import BackwardCorrection
from trainers import CategoricalCrossEntropy
from trainers import ForwardCorrection
from trainers.errors import EmphasisError
from trainers.errors import InvalidInput
from trainers.noise import make_noise_model
from trainers.supervision import Batch
from trainers.supervision import Setting
from trainers.supervision import Stage
from trainers.supervision import backward_loss
from trainers.supervision import estimate_transition
from trainers.supervision import forward_loss
from trainers.supervision import make_supervision
from trainers.supervision import read_transition
from trainers.supervision import symmetric_transition

# Pair flips: most of its entries are 0.
SPARSE = 0.7 * torch.eye(5, dtype=torch.float64) + 0.3 * torch.eye(5, dtype=torch.float64).roll(1, dims=1)
MATRICES = {"symmetric": symmetric_transition(0.4, 5), "pair": SPARSE, "identity": torch.eye(5, dtype=torch.float64)}


def literal_forward(logits: Tensor, labels: Tensor, transition: Tensor) -> Tensor:
    p = torch.exp(logits) / torch.exp(logits).sum(dim=1, keepdim=True)
    return -torch.stack([torch.log(transition[:, y] @ row) for row, y in zip(p, labels, strict=True)]).mean()


def literal_backward(logits: Tensor, labels: Tensor, inverse: Tensor) -> Tensor:
    losses = -torch.log(torch.exp(logits) / torch.exp(logits).sum(dim=1, keepdim=True))
    return torch.stack([(inverse @ row)[y] for row, y in zip(losses, labels, strict=True)]).mean()


@pytest.mark.parametrize("name", MATRICES)
def test_forward_is_the_cross_entropy_of_the_mixed_probability(name: str) -> None:
    logits, labels = batch_of()
    value, gradient = value_and_gradient(lambda z: forward_loss(z, labels, MATRICES[name]), logits)
    torch.testing.assert_close(value, literal_forward(logits, labels, MATRICES[name]), rtol=1e-12, atol=0)
    expected = numeric_gradient(lambda z: literal_forward(z, labels, MATRICES[name]), logits)
    torch.testing.assert_close(gradient, expected, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("name", MATRICES)
def test_forward_gradient_is_p_minus_the_posterior_of_the_intact_label(name: str) -> None:
    logits, labels = batch_of()
    _, gradient = value_and_gradient(lambda z: forward_loss(z, labels, MATRICES[name]), logits)
    p = logits.softmax(dim=1)
    joint = p * MATRICES[name][:, labels].T
    closed = (p - joint / joint.sum(dim=1, keepdim=True)) / len(labels)
    torch.testing.assert_close(gradient, closed, rtol=1e-10, atol=1e-15)


@pytest.mark.parametrize("name", MATRICES)
def test_backward_is_the_inverse_times_the_losses_of_all_labels(name: str) -> None:
    logits, labels = batch_of()
    inverse = torch.from_numpy(np.linalg.inv(MATRICES[name].numpy()))
    value, gradient = value_and_gradient(lambda z: backward_loss(z, labels, inverse), logits)
    torch.testing.assert_close(value, literal_backward(logits, labels, inverse), rtol=1e-12, atol=0)
    expected = numeric_gradient(lambda z: literal_backward(z, labels, inverse), logits)
    torch.testing.assert_close(gradient, expected, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("noise_rate", [0.0, 0.2, 0.4, 0.8])
def test_backward_under_symmetric_noise_has_the_inverse_in_closed_form(noise_rate: float) -> None:
    logits, labels = batch_of(classes=10)
    setting = Setting(labels, 10, 0, symmetric_transition(noise_rate, 10))
    course = BackwardCorrection().course(setting)
    value, gradient = value_and_gradient(lambda z: course.loss(Batch(z, labels, torch.arange(9))), logits)
    # T^-1 = (I - r / (C - 1) 1 1^t) / (1 - r C / (C - 1))
    losses = -functional.log_softmax(logits, dim=1)
    labelled = losses.gather(1, labels.unsqueeze(1)).squeeze(1)
    closed = (labelled - noise_rate / 9 * losses.sum(dim=1)) / (1 - noise_rate * 10 / 9)
    torch.testing.assert_close(value, closed.mean(), rtol=1e-5, atol=1e-5)  # a course keeps float32
    step = (functional.one_hot(labels, 10) - noise_rate / 9) / (1 - noise_rate * 10 / 9)
    torch.testing.assert_close(gradient, (logits.softmax(dim=1) - step) / 9, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", ["symmetric", "pair"])
def test_backward_is_unbiased_for_the_loss_on_intact_labels(name: str) -> None:
    logits, _ = batch_of(n=1)
    transition = MATRICES[name]
    inverse = torch.linalg.inv(transition)
    on_noisy = torch.stack([backward_loss(logits, torch.tensor([j]), inverse) for j in range(5)])
    on_intact = -functional.log_softmax(logits, dim=1)[0]
    torch.testing.assert_close(transition @ on_noisy, on_intact, rtol=1e-12, atol=0)


def test_backward_can_be_negative() -> None:
    logits = torch.tensor([[20.0, 0.0, 0.0]])
    inverse = torch.linalg.inv(symmetric_transition(0.4, 3))
    assert backward_loss(logits, torch.tensor([0]), inverse) < -5


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
@pytest.mark.parametrize("transition", [symmetric_transition(0.4, 3), SPARSE[:3, :3].roll(0), torch.eye(3)])
def test_extreme_logits_give_finite_values_and_gradients(transition: Tensor, dtype: torch.dtype) -> None:
    for label in range(3):
        labels = torch.full((6,), label)
        for loss, matrix in ((forward_loss, transition), (backward_loss, torch.linalg.inv(transition))):
            value, gradient = value_and_gradient(
                lambda z, loss=loss, matrix=matrix, labels=labels: loss(z, labels, matrix), EXTREMES.to(dtype)
            )
            assert value.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
            assert torch.isfinite(value)
            assert torch.isfinite(gradient).all()


def test_values_at_the_ends_are_exact_in_float32() -> None:
    sure = torch.tensor([[1e4, -1e4, -1e4]])
    transition = symmetric_transition(0.4, 3)
    assert float(forward_loss(sure, torch.tensor([0]), transition)) == pytest.approx(-math.log(0.6), rel=1e-6)
    assert float(forward_loss(sure, torch.tensor([1]), transition)) == pytest.approx(-math.log(0.2), rel=1e-6)
    # Without noise nothing is clipped: the loss is CCE's, p = exp(-20000) or not.
    assert float(forward_loss(sure, torch.tensor([1]), torch.eye(3))) == 2e4
    assert float(backward_loss(sure, torch.tensor([1]), torch.eye(3))) == 2e4


def test_a_label_that_no_class_turns_into_is_clipped_and_sends_no_gradient() -> None:
    transition = torch.tensor([[0.5, 0.5, 0.0], [0.0, 1.0, 0.0], [1.0, 0.0, 0.0]])
    logits = torch.zeros(2, 3)
    value, gradient = value_and_gradient(lambda z: forward_loss(z, torch.tensor([2, 1]), transition), logits)
    assert float(value) == pytest.approx((-math.log(1e-7) - math.log(0.5)) / 2)
    assert not gradient[0].any()
    assert gradient[1].any()
    assert torch.isfinite(gradient).all()


@pytest.mark.parametrize("supervision", [ForwardCorrection(), BackwardCorrection()])
def test_without_noise_both_are_cce(supervision: ForwardCorrection) -> None:
    logits, labels = batch_of()
    course = supervision.course(Setting(labels, 5, 0, torch.eye(5, dtype=torch.float64)))
    found = value_and_gradient(lambda z: course.loss(Batch(z, labels, torch.arange(9))), logits)
    expected = value_and_gradient(lambda z: CategoricalCrossEntropy()(z, labels), logits)
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-14)


def write(folder: Path, suffix: str, matrix: np.ndarray) -> Path:
    path = folder / f"matrix{suffix}"
    if suffix == ".npy":
        np.save(path, matrix)
    else:
        np.savetxt(path, matrix, delimiter="," if suffix == ".csv" else " ", fmt="%.17g")
    return path


@pytest.mark.parametrize("suffix", [".npy", ".csv", ".txt"])
def test_a_matrix_is_read_from_a_file(tmp_path: Path, suffix: str) -> None:
    path = write(tmp_path, suffix, SPARSE.numpy())
    assert torch.equal(read_transition(path, 5), SPARSE)
    logits, labels = batch_of()
    supervision = make_supervision("forward", matrix=str(path))
    setting = Setting(labels, 5, 0, None)
    assert supervision.problems(setting) == []
    value = supervision.course(setting).loss(Batch(logits, labels, torch.arange(9)))
    torch.testing.assert_close(value, literal_forward(logits, labels, SPARSE), rtol=1e-6, atol=0)


def test_a_matrix_with_a_header_as_numpy_writes_it_is_read(tmp_path: Path) -> None:
    np.savetxt(tmp_path / "t.csv", SPARSE.numpy(), delimiter=",", header="rows are intact", fmt="%.17g")
    assert torch.equal(read_transition(tmp_path / "t.csv", 5), SPARSE)
    np.save(tmp_path / "t.npy", np.eye(5, dtype=bool))
    assert torch.equal(read_transition(tmp_path / "t.npy", 5), torch.eye(5, dtype=torch.float64))


def test_a_matrix_printed_with_six_decimals_is_read_with_rows_that_sum_to_one(tmp_path: Path) -> None:
    exact = symmetric_transition(0.4, 10)
    path = tmp_path / "printed.csv"
    np.savetxt(path, exact.numpy(), delimiter=" , ", fmt="%.6f")
    read = read_transition(path, 10)
    torch.testing.assert_close(read.sum(dim=1), torch.ones(10, dtype=torch.float64), rtol=1e-15, atol=0)
    torch.testing.assert_close(read, exact, rtol=1e-4, atol=0)
    assert torch.equal(read, make_noise_model("matrix", file=path).transition_matrix(10))


@pytest.mark.parametrize(
    ("matrix", "problem"),
    [
        (np.eye(4), r"shape \(4, 4\), and 5 classes need \(5, 5\)"),
        (np.full(5, 0.2), "shape"),
        (np.full((5, 5), 0.2 + 1e-5), "row 0 .* has the sum 1.00005"),
        (np.eye(5) + np.diag([-0.1] * 4, 1) + np.diag([0.1] * 4, -1), r"row 0, column 1 .* is -0.1: not in \[0, 1\]"),
        (np.where(np.eye(5) > 0, np.nan, 0.0), "row 0, column 0 .* is nan"),
    ],
)
def test_a_file_without_a_transition_matrix_is_a_problem_of_matrix(
    tmp_path: Path, matrix: np.ndarray, problem: str
) -> None:
    path = write(tmp_path, ".npy", matrix)
    (error,) = BackwardCorrection(str(path)).problems(Setting(torch.tensor([0, 1]), 5, 0))
    assert error.field == "matrix"
    assert error.value == str(path)
    with pytest.raises(InvalidInput, match=problem):
        read_transition(path, 5)


def test_a_file_that_is_missing_or_no_matrix_is_a_problem_of_matrix(tmp_path: Path) -> None:
    (tmp_path / "words.csv").write_text("a,b\nc,d\n")
    (tmp_path / "pickle.npy").write_bytes(b"no array")
    for name in ("none.txt", "words.csv", "pickle.npy"):
        (error,) = ForwardCorrection(str(tmp_path / name)).problems(Setting(torch.tensor([0, 1]), 2, 0))
        assert error.field == "matrix"
        assert "one row an intact class" in error.remedy


def test_the_true_matrix_has_to_be_known() -> None:
    (error,) = ForwardCorrection().problems(Setting(torch.tensor([0, 1]), 2, 0))
    assert error.field == "matrix"
    assert "'estimated'" in error.remedy
    assert ForwardCorrection("estimated").problems(Setting(torch.tensor([0, 1]), 2, 0)) == []


@pytest.mark.parametrize("classes", [2, 3, 10, 100])
def test_backward_refuses_the_rate_at_which_symmetric_noise_leaves_nothing(classes: int) -> None:
    rate = (classes - 1) / classes
    setting = Setting(torch.arange(classes), classes, 0, symmetric_transition(rate, classes))
    (error,) = BackwardCorrection().problems(setting)
    assert error.field == "noise_rate"
    assert error.value == pytest.approx(rate, abs=1e-6)
    assert "condition number" in error.problem
    assert "forward" in error.remedy
    assert ForwardCorrection().problems(setting) == []
    below = Setting(torch.arange(classes), classes, 0, symmetric_transition(rate - 0.01, classes))
    assert BackwardCorrection().problems(below) == []


def test_backward_refuses_a_singular_file(tmp_path: Path) -> None:
    path = write(tmp_path, ".txt", np.full((5, 5), 0.2))
    (error,) = BackwardCorrection(str(path)).problems(Setting(torch.tensor([0, 1]), 5, 0))
    assert error.field == "matrix"
    assert "condition number" in error.problem


def test_hyperparameters_out_of_range_are_refused_at_once() -> None:
    for kind in (ForwardCorrection, BackwardCorrection):
        with pytest.raises(InvalidInput) as caught:
            kind(matrix="guessed", pretraining=0, held_out=1)
        assert [error.field for error in caught.value.errors] == ["pretraining", "held_out", "matrix"]


def test_symmetric_transition_has_its_rate_off_the_diagonal() -> None:
    transition = symmetric_transition(0.3, 4)
    assert transition.dtype == torch.float64
    torch.testing.assert_close(transition.sum(dim=1), torch.ones(4, dtype=torch.float64))
    assert transition[2].tolist() == pytest.approx([0.1, 0.1, 0.7, 0.1])
    with pytest.raises(InvalidInput, match="noise_rate"):
        symmetric_transition(1.5, 4)


def test_stages_are_one_with_a_known_matrix_and_two_with_an_estimated_one() -> None:
    assert ForwardCorrection().stages == (Stage(),)
    estimated = BackwardCorrection("estimated", pretraining=0.5)
    assert estimated.stages == (Stage(share=0.5), Stage(fresh_network=True))


def test_first_stage_is_cce_on_all_but_the_held_out_examples() -> None:
    _, _, setting = clusters()
    course = ForwardCorrection("estimated", held_out=0.25).course(setting)
    chosen = torch.arange(len(setting.labels))
    logits = torch.randn(len(chosen), CLASSES, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    value, gradient = value_and_gradient(lambda z: course.loss(Batch(z, setting.labels, chosen)), logits)
    trained = gradient.abs().sum(dim=1) > 0
    assert int((~trained).sum()) == 120
    expected = functional.cross_entropy(logits[trained], setting.labels[trained])
    torch.testing.assert_close(value, expected, rtol=1e-12, atol=0)
    again = ForwardCorrection("estimated", held_out=0.25).course(setting)
    _, same = value_and_gradient(lambda z: again.loss(Batch(z, setting.labels, chosen)), logits)
    assert torch.equal(same, gradient)


@pytest.mark.parametrize("held_out", [0.1, 0.0])
def test_the_matrix_is_read_off_the_epoch_that_fits_held_out_labels_best_else_the_last(held_out: float) -> None:
    examples, _, setting = clusters(noise_rate=0.4)
    lane = TinyLane(ForwardCorrection("estimated", held_out=held_out), examples, setting, epochs=40)
    best, best_epoch, expected = math.inf, 0, torch.empty(0)
    while lane.stage == 0:
        lane.train_epoch()
        least = lane.course.state_dict()["first"]["least"]
        if lane.stage == 0 and (least < best or held_out == 0):
            best, best_epoch, expected = least, lane.epoch, estimate_transition(lane.probabilities())
    estimate = lane.course.state_dict()["estimate"]
    if held_out:
        assert best_epoch < 20
        assert torch.equal(estimate, expected)
        assert estimate.diagonal().mean() < 0.75
    else:
        # The network has begun to learn the wrong labels by heart: it is too sure of its examples.
        assert torch.equal(estimate, estimate_transition(lane.last_probabilities))
        assert estimate.diagonal().mean() > 0.75


def test_a_lane_with_an_estimated_matrix_learns_the_classes_with_a_fresh_network() -> None:
    examples, intact, setting = clusters()
    for kind in (ForwardCorrection, BackwardCorrection):
        lane = TinyLane(kind("estimated"), examples, setting, epochs=5)
        lane.train()
        assert lane.stage == 1
        assert lane.accuracy(intact) > 0.9


@pytest.mark.parametrize("after", [3, 6, 8])
@pytest.mark.parametrize("kind", [ForwardCorrection, BackwardCorrection])
def test_a_resumed_lane_ends_as_one_that_was_not_interrupted(kind: type[ForwardCorrection], after: int) -> None:
    assert_resumes_exactly(kind("estimated"), after)


class Constant:
    """A network view whose every example has the same outputs."""

    epoch = epochs = 1

    def __init__(self, probabilities: Tensor) -> None:
        self._probabilities = probabilities

    def probabilities(self) -> Tensor:
        return self._probabilities


def test_backward_ends_where_the_estimated_matrix_is_singular() -> None:
    _, _, setting = clusters()
    view = Constant(torch.full((len(setting.labels), CLASSES), 1 / CLASSES))
    course = BackwardCorrection("estimated").course(setting)
    course.end_epoch(view)  # type: ignore[arg-type]
    with pytest.raises(EmphasisError, match=r"condition number .* Use forward"):
        course.end_stage(0, view)  # type: ignore[arg-type]


def test_a_first_network_that_diverged_ends_the_lane_with_a_reason() -> None:
    _, _, setting = clusters()
    view = Constant(torch.full((len(setting.labels), CLASSES), math.nan))
    course = ForwardCorrection("estimated").course(setting)
    course.end_epoch(view)  # type: ignore[arg-type]
    with pytest.raises(EmphasisError, match="not finite"):
        course.end_stage(0, view)  # type: ignore[arg-type]
