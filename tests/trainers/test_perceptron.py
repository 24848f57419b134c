from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch import nn

from trainers.datasets import load_dataset
from trainers.engines.flat_parameters import flatten_parameters
from trainers.engines.perceptron import perceptron_pass
from trainers.engines.precision import Arithmetic
from trainers.engines.solo import LaneTraining
from trainers.models import build_model
from trainers.models.mlp import MLP
from trainers.noise import symmetric_noise
from trainers.recipes import training_task
from trainers.supervision import GradientRescaling
from trainers.supervision import Supervision
from trainers.supervision import make_supervision
from trainers.training import Lane
from trainers.training import TrainingTask

CPU = Arithmetic(torch.device("cpu"), autocast=False, memory_format=torch.contiguous_format)


def perceptron(dtype: torch.dtype = torch.float64) -> MLP:
    torch.manual_seed(4)
    network = MLP(20, 5).to(dtype)
    for norm in network.modules():
        if isinstance(norm, nn.BatchNorm1d):
            nn.init.normal_(norm.weight)
            nn.init.normal_(norm.bias)
    flatten_parameters(network)
    return network


@pytest.mark.parametrize("count", [2, 3, 64])
@pytest.mark.parametrize("scale", [1.0, 1e-3, 1e4])
def test_the_written_out_pass_is_autograds(count: int, scale: float) -> None:
    ours, theirs = perceptron(), perceptron()
    generator = torch.Generator().manual_seed(count)
    written_out = perceptron_pass(ours, CPU)
    assert written_out is not None
    for _ in range(3):  # each batch's gradients take the place of the last one's
        inputs = scale * torch.randn(count, 4, 5, generator=generator, dtype=torch.float64)
        gradient = torch.randn(count, 5, generator=generator, dtype=torch.float64)
        expected = theirs(inputs)
        theirs.zero_grad()
        expected.backward(gradient)
        torch.testing.assert_close(written_out.forward(inputs), expected.detach(), rtol=1e-12, atol=1e-12)
        written_out.backward(gradient)
        for (name, found), same in zip(ours.named_parameters(), theirs.parameters(), strict=True):
            assert same.grad is not None
            torch.testing.assert_close(
                found.grad, same.grad, rtol=1e-10, atol=1e-12 * float(same.grad.abs().max()) + 1e-13, msg=name
            )
        for (name, found), (_, same) in zip(ours.named_buffers(), theirs.named_buffers(), strict=True):
            torch.testing.assert_close(found, same, rtol=1e-12, atol=1e-12, msg=name)


def test_it_is_for_float32_perceptrons_without_dropout_on_a_cpu() -> None:
    assert perceptron_pass(perceptron(), CPU) is not None
    assert perceptron_pass(MLP(20, 5, dropout=0.1), CPU) is None
    assert perceptron_pass(build_model("resnet20", (3, 8, 8), 5), CPU) is None
    assert perceptron_pass(perceptron(), Arithmetic(torch.device("cpu"), True, torch.contiguous_format)) is None
    assert perceptron_pass(perceptron(), Arithmetic(torch.device("cuda"), False, torch.contiguous_format)) is None

    class Mine(MLP):
        """Somebody's own, that may compute something else."""

    mine = Mine(20, 5)
    flatten_parameters(mine)
    assert perceptron_pass(mine, CPU) is None


def digits(**settings: object) -> TrainingTask:
    return training_task(load_dataset("digits"), epochs=4, **settings)  # type: ignore[arg-type]


def trained(task: TrainingTask, supervision: Supervision) -> dict[str, Tensor]:
    data = task.dataset
    labels = symmetric_noise(data.y_train, 0.4, data.num_classes, seed=1)
    training = LaneTraining(task, Lane("lane", supervision, labels, 7))
    while not training.finished:
        training.reports.append(training.train_epoch())
    return training.network.state_dict()


# The gradient in closed form, and by autograd; a layer that the supervision trains itself; two stages.
@pytest.mark.parametrize(
    "supervision",
    [
        GradientRescaling(18, 0.9),
        make_supervision("bootstrap_hard"),
        make_supervision("s_adaptation"),
        make_supervision("label_optimisation"),
    ],
    ids=lambda supervision: supervision.name,
)
def test_a_lane_of_digits_is_trained_as_by_autograd(supervision: Supervision, monkeypatch: pytest.MonkeyPatch) -> None:
    task = digits()
    ours = trained(task, supervision)
    monkeypatch.setattr("trainers.engines.solo.perceptron_pass", lambda network, arithmetic: None)
    for key, expected in trained(task, supervision).items():
        # The same to the last bit on the machines that were seen; in float32, what is rounded otherwise grows.
        torch.testing.assert_close(ours[key], expected, rtol=1e-3, atol=1e-5, msg=key)
