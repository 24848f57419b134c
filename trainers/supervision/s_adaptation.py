"""The simple noise adaptation layer: a transition matrix that is trained along with the network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from trainers.errors import EmphasisError
from trainers.errors import InvalidInput
from trainers.supervision.course import Batch
from trainers.supervision.course import Course
from trainers.supervision.course import NetworkView
from trainers.supervision.course import Setting
from trainers.supervision.course import Stage
from trainers.supervision.first_network import FirstNetwork
from trainers.supervision.hyperparameters import interval_error
from trainers.supervision.log_probabilities import log_probabilities
from trainers.supervision.supervision import Supervision


@dataclass(frozen=True, slots=True)
class SAdaptation(Supervision):
    """Simple noise adaptation layer: -log sum_i p_i softmax(b_i)_y, with b trained along with the network.

    First the network is trained with CCE. Then b becomes the logarithm of its confusion matrix, and the same network
    goes on, from its best epoch, under the layer; it is evaluated without it. Without that start the layer may
    permute classes. b is updated by SGD with momentum at the network's learning rate, without weight decay (the
    authors train both with Adam).

    Args:
        pretraining: Length of the training with CCE, as a share of the budget, > 0.
        held_out: Share of the examples that the first stage does not train on, in [0, 1): its epoch with the least
            cross entropy on their labels is the best one, in place of the authors' early stopping, which has the
            same 10 %. 0 goes on from the last epoch.
        momentum: Of the layer's SGD, in [0, 1).

    Raises:
        InvalidInput: A value is out of range.

    Source: Goldberger and Ben-Reuven, ICLR 2017, section 3 (the simple model), and the authors' code.
    """

    pretraining: float = 1.0
    held_out: float = 0.1
    momentum: float = 0.9

    def __post_init__(self) -> None:
        errors = [
            *interval_error("pretraining", self.pretraining, "(0, inf)", "Give a share of the budget, e.g. 1."),
            *interval_error("held_out", self.held_out, "[0, 1)", "Give a share of the examples, e.g. 0.1."),
            *interval_error("momentum", self.momentum, "[0, 1)", "Give the network's own, e.g. 0.9."),
        ]
        if errors:
            raise InvalidInput(*errors)
        for name in ("pretraining", "held_out", "momentum"):
            object.__setattr__(self, name, float(getattr(self, name)))

    @property
    def name(self) -> str:
        """``s_adaptation``."""
        return "s_adaptation"

    @property
    def stages(self) -> tuple[Stage, ...]:
        """The training with CCE, and then the same network with the layer."""
        return (Stage(share=self.pretraining), Stage())

    def course(self, setting: Setting) -> Course:
        """CCE, then the layer with its own b."""
        return _SAdaptationCourse(self, setting)


def adaptation_loss(logits: Tensor, labels: Tensor, b: Tensor) -> Tensor:
    """The mean of -log sum_i p_i softmax(b_i)_y, differentiable in logits and b.

    Args:
        logits: Shape (N, C), floating; half types are computed in float32.
        labels: Shape (N,), int64 in [0, C).
        b: The layer's parameters, shape (C, C); row i belongs to the network's class i.
    """
    log_p = log_probabilities(logits)
    log_columns = torch.log_softmax(b.to(log_p.dtype), dim=1).t()
    return -torch.logsumexp(log_p + log_columns[labels], dim=1).mean()


def confusion_logarithm(probabilities: Tensor, labels: Tensor) -> Tensor:
    """log(confusion + 1e-8), (C, C): entry (i, j) from the share of label j among the examples predicted as i.

    A class that is never predicted keeps its label: the authors divide 0 by 0 there.

    Args:
        probabilities: Softmax outputs for the training set, (N, C).
        labels: The labels that training sees, int64 (N,).
    """
    classes = probabilities.shape[1]
    cells = probabilities.argmax(dim=1) * classes + labels
    counts = torch.bincount(cells, minlength=classes**2).view(classes, classes).float()
    predicted = counts.sum(dim=1, keepdim=True)
    confusion = torch.where(predicted > 0, counts / predicted.clamp(min=1), torch.eye(classes, device=counts.device))
    return (confusion + 1e-8).log()


class _SAdaptationCourse(Course):
    def __init__(self, supervision: SAdaptation, setting: Setting) -> None:
        self._momentum, self._labels = supervision.momentum, setting.labels
        self._first = FirstNetwork(setting, supervision.held_out)
        # Of the best epoch of the first stage, and only during it.
        self._best: tuple[Tensor, dict[str, Tensor]] | None = None
        # Of the second stage.
        self._b: Tensor | None = None
        self._velocity: Tensor | None = None

    def loss(self, batch: Batch) -> Tensor:
        if self._b is None:
            return self._first.loss(batch)
        return adaptation_loss(batch.logits, batch.labels, self._b)

    def step(self, learning_rate: float) -> None:
        if self._b is None or self._velocity is None or self._b.grad is None:
            return
        with torch.no_grad():
            self._velocity.mul_(self._momentum).add_(self._b.grad)
            self._b.add_(self._velocity, alpha=-learning_rate)
        self._b.grad = None

    def end_epoch(self, network: NetworkView) -> None:
        if self._b is None and (probabilities := self._first.best_so_far(network)) is not None:
            self._best = confusion_logarithm(probabilities, self._labels), network.weights()

    def end_stage(self, number: int, network: NetworkView) -> None:
        if self._best is None:
            raise EmphasisError("the first network's outputs are not finite: the layer has nothing to start from")
        b, weights = self._best
        network.set_weights(weights)
        self._best = None
        self._b, self._velocity = b.requires_grad_(), torch.zeros_like(b)

    def state_dict(self) -> dict[str, Any]:
        return {
            "first": self._first.state_dict(),
            "best": self._best,
            "b": None if self._b is None else self._b.detach(),
            "velocity": self._velocity,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._first.load_state_dict(state["first"])
        device = self._labels.device
        if state["best"] is not None:
            b, weights = state["best"]
            self._best = b.to(device), {name: value.to(device) for name, value in weights.items()}
        if state["b"] is not None:
            self._b = state["b"].to(device).clone().requires_grad_()
            self._velocity = state["velocity"].to(device).clone()
