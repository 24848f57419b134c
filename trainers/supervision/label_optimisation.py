"""Label optimisation: labels become what the network predicts, then a fresh network learns from them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from trainers.errors import InvalidInput
from trainers.supervision.course import Batch
from trainers.supervision.course import Course
from trainers.supervision.course import NetworkView
from trainers.supervision.course import Setting
from trainers.supervision.course import Stage
from trainers.supervision.hyperparameters import count_error
from trainers.supervision.hyperparameters import interval_error
from trainers.supervision.log_probabilities import log_probabilities
from trainers.supervision.supervision import Supervision


@dataclass(frozen=True, slots=True)
class LabelOptimisation(Supervision):
    """Joint optimisation of labels and network: soft labels from its own predictions, then a fresh network.

    Stage one, at a constant learning rate: KL(y||p) + alpha KL(pi||mean p) + beta H(p), with pi uniform and the
    mean over the batch. From ``start`` on, y is after every epoch set to the mean of the last ``window`` epochs'
    predictions, as they were made while training (train mode, augmented, each by the weights of its step).
    Stage two: a newly drawn network learns y with KL(y||p) alone, its learning rate ÷10 at 1/3 and 2/3.
    A lane so takes 1 + ``second_stage`` times the task's budget.

    Args:
        alpha: Weight of the prior term, >= 0.
        beta: Weight of the entropy term, >= 0.
        start: Share of stage one after which labels are first replaced, in (0, 1). Source: epoch 70 of 200.
            It has to come before the network has memorised the labels given, which small networks do sooner.
        window: Epochs that the soft labels are a mean of, >= 1.
        first_rate: Of stage one, times the task's learning rate, > 0. Source: 0.08 where 0.1 is usual.
        second_rate: Of stage two, times the task's learning rate, > 0. Source: 0.2 where 0.1 is usual.
        second_stage: Length of stage two as a share of the task's budget, > 0. Source: 120 epochs after 200, of
            which 200 are taken as the budget.

    The predictions of ``window`` epochs are held on the training device as float32, window x N x C x 4 bytes
    (20 MB for CIFAR-10, 200 MB for CIFAR-100), and in checkpoints of stage one, from ``window`` epochs before
    the first replacement on; else the soft labels alone, N x C x 4 bytes.

    Raises:
        InvalidInput: A value is out of range.

    Source: Tanaka et al., CVPR 2018, Eq. 1 to 12, and their released code. The defaults are theirs for symmetric
    noise of rate 0.7; for asymmetric noise of rate 0.4 they use alpha 0.8, beta 0.4, learning rate 0.03.
    """

    alpha: float = 1.2
    beta: float = 0.8
    start: float = 0.35
    window: int = 10
    first_rate: float = 0.8
    second_rate: float = 2.0
    second_stage: float = 0.6

    def __post_init__(self) -> None:
        errors = [
            *interval_error("alpha", self.alpha, "[0, inf)", "Give a weight, e.g. 1.2."),
            *interval_error("beta", self.beta, "[0, inf)", "Give a weight, e.g. 0.8."),
            *interval_error("start", self.start, "(0, 1)", "Give a share of stage one, e.g. 0.35."),
            *count_error("window", self.window, 1, "Use 10 epochs as its authors do."),
            *interval_error("first_rate", self.first_rate, "(0, inf)", "Give a multiple of the rate, e.g. 0.8."),
            *interval_error("second_rate", self.second_rate, "(0, inf)", "Give a multiple of the rate, e.g. 2."),
            *interval_error("second_stage", self.second_stage, "(0, inf)", "Give a share of the budget, e.g. 0.6."),
        ]
        if errors:
            raise InvalidInput(*errors)
        for field in ("alpha", "beta", "start", "first_rate", "second_rate", "second_stage"):
            object.__setattr__(self, field, float(getattr(self, field)))
        object.__setattr__(self, "window", int(self.window))

    @property
    def name(self) -> str:
        """``label_optimisation``."""
        return "label_optimisation"

    @property
    def stages(self) -> tuple[Stage, ...]:
        """The optimisation of the labels, then a fresh network on them."""
        return (
            Stage(rate_factor=self.first_rate, milestones=()),
            Stage(self.second_stage, fresh_network=True, rate_factor=self.second_rate, milestones=(1 / 3, 2 / 3)),
        )

    def course(self, setting: Setting) -> Course:
        """Both stages, with the soft labels by stable index."""
        return _LabelOptimisationCourse(self, setting)


class _LabelOptimisationCourse(Course):
    """State: the soft labels, and the predictions of the window's epochs as a ring.

    Attributes:
        _soft_labels: Float32 (N, C); None as long as they are the one-hot labels.
        _ring: Float32 (window, N, C); None before it is needed and in stage two.
        _recorded: Epochs recorded in the ring, the one under way excluded.
    """

    def __init__(self, supervision: LabelOptimisation, setting: Setting) -> None:
        self._supervision, self._setting = supervision, setting
        self._optimising = True
        self._epochs_done = 0
        self._soft_labels: Tensor | None = None
        self._ring: Tensor | None = None
        self._recorded = 0

    def begin_epoch(self, network: NetworkView) -> None:
        if not self._optimising:
            return
        window = min(self._supervision.window, network.epochs)
        if self._epochs_done < self._first_replacement(network.epochs) - window:
            return
        if self._ring is None:
            shape = (window, len(self._setting.labels), self._setting.num_classes)
            self._ring = torch.empty(shape, dtype=torch.float32, device=self._setting.device)
            before = F.one_hot(self._setting.labels, self._setting.num_classes).float()
        else:
            before = self._ring[(self._recorded - 1) % window]
        # An example that this epoch does not reach keeps its last prediction; its label before there is one.
        self._ring[self._recorded % window] = before

    def loss(self, batch: Batch) -> Tensor:
        """See LabelOptimisation; in stage one it also records the predictions."""
        log_p = log_probabilities(batch.logits)
        if self._soft_labels is None:
            labels = torch.zeros_like(log_p).scatter_(1, batch.labels.unsqueeze(1), 1.0)
        else:
            labels = self._soft_labels[batch.chosen].to(log_p.dtype)
        fit = (torch.xlogy(labels, labels) - labels * log_p).sum(dim=1).mean()
        if not self._optimising:
            return fit
        p = log_p.exp()
        if self._ring is not None:
            self._ring[self._recorded % len(self._ring), batch.chosen] = p.detach().float()
        log_mean_p = torch.logsumexp(log_p, dim=0) - math.log(len(log_p))
        prior = -math.log(self._setting.num_classes) - log_mean_p.mean()
        entropy = -(p * log_p).sum(dim=1).mean()
        return fit + self._supervision.alpha * prior + self._supervision.beta * entropy

    def end_epoch(self, network: NetworkView) -> None:
        if not self._optimising:
            return
        self._epochs_done += 1
        if self._ring is None:
            return
        self._recorded += 1
        if self._epochs_done >= self._first_replacement(network.epochs):
            self._soft_labels = self._ring[: self._recorded].mean(dim=0)

    def end_stage(self, number: int, network: NetworkView) -> None:
        self._optimising = False
        self._ring = None

    def state_dict(self) -> dict[str, Any]:
        return {
            "optimising": self._optimising,
            "epochs_done": self._epochs_done,
            "soft_labels": self._soft_labels,
            "ring": self._ring,
            "recorded": self._recorded,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        device = self._setting.device
        self._optimising, self._epochs_done = state["optimising"], state["epochs_done"]
        self._recorded = state["recorded"]
        self._soft_labels, self._ring = (
            None if tensor is None else tensor.to(device) for tensor in (state["soft_labels"], state["ring"])
        )

    def _first_replacement(self, epochs: int) -> int:
        """After which epoch, from 1, labels are first replaced."""
        return max(1, round(self._supervision.start * epochs))
