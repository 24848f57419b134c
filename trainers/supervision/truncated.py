"""Truncated GCE: examples that the network does not believe are left out, and asked again from time to time."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from trainers.errors import InvalidInput
from trainers.supervision.course import Batch
from trainers.supervision.course import Course
from trainers.supervision.course import NetworkView
from trainers.supervision.course import Setting
from trainers.supervision.gradient import Relevance
from trainers.supervision.gradient import emphasised_loss
from trainers.supervision.hyperparameters import interval_error
from trainers.supervision.supervision import Supervision
from trainers.supervision.weights import GeneralisedCrossEntropy


@dataclass(frozen=True, slots=True)
class TruncatedGeneralisedCrossEntropy(Supervision):
    """Truncated generalised cross entropy: GCE on the examples with p > k, chosen again every few epochs.

    The loss is the mean of v (L_q(p) - L_q(k)) over the batch, with L_q GCE's loss and v = 1 until the first
    choice. Before epoch number ``start`` of the training, and then every ``every``, v becomes 1[p > k] for each
    training example, un-augmented, in eval mode. The network that is asked is the current one; the released code
    asks the one with the best test accuracy so far, which nobody has without intact labels.

    Args:
        q: Exponent of GCE in (0, 1].
        k: Threshold in (0, 1).
        start: First choice, as a share of the stage's epochs in [0, 1]: 40 of 120 with CIFAR-10 (80 of 120 with
            CIFAR-100). At 1 it comes before the last epoch.
        every: Between choices, as a share of the stage's epochs in (0, 1]: 10 of 120. Never more than one an
            epoch.

    Raises:
        InvalidInput: A value is out of range.

    Source: Zhang and Sabuncu, NeurIPS 2018, section 3.3 and algorithm 1 (q = 0.7, k = 0.5).
    """

    q: float = 0.7
    k: float = 0.5
    start: float = 1 / 3
    every: float = 1 / 12

    def __post_init__(self) -> None:
        errors = [
            *interval_error("q", self.q, "(0, 1]", "Use 0.7 as its authors do."),
            *interval_error("k", self.k, "(0, 1)", "Use 0.5 as its authors do."),
            *interval_error("start", self.start, "[0, 1]", "Give a share of the epochs, e.g. 1/3 as its authors do."),
            *interval_error("every", self.every, "(0, 1]", "Give a share of the epochs, e.g. 1/12 as its authors do."),
        ]
        if errors:
            raise InvalidInput(*errors)
        for name in ("q", "k", "start", "every"):
            object.__setattr__(self, name, float(getattr(self, name)))

    @property
    def name(self) -> str:
        """``gce_truncated``."""
        return "gce_truncated"

    def chooses_before(self, epoch: int, epochs: int) -> bool:
        """Whether the examples are chosen anew before epoch ``epoch``, from 1, of so many.

        Never before the first: the network knows nothing yet.
        """
        return epoch > 1 and self._choices_by(epoch, epochs) > self._choices_by(epoch - 1, epochs)

    def _choices_by(self, epoch: int, epochs: int) -> int:
        """How many choices fall on the epochs up to this one."""
        # The small number is for 40 / 120 - 1 / 3, which should be 0.
        return max(0, math.floor((epoch / epochs - self.start) / self.every + 1e-9) + 1)

    def course(self, setting: Setting) -> Course:
        """GCE, with the examples that are left out."""
        return _TruncatedCourse(self, setting)


@dataclass(frozen=True, slots=True)
class _Truncated:
    """GCE of a batch of which some examples count."""

    q: float
    k: float
    kept: Tensor

    def batch_emphasis(self, relevance: Relevance) -> Tensor:
        return GeneralisedCrossEntropy(self.q).batch_emphasis(relevance) * self.kept

    def batch_value(self, relevance: Relevance) -> Tensor:
        losses: Tensor = (self.k**self.q - torch.exp(self.q * relevance.log_p)) / self.q
        return (self.kept * losses).mean()


class _TruncatedCourse(Course):
    def __init__(self, supervision: TruncatedGeneralisedCrossEntropy, setting: Setting) -> None:
        self._supervision = supervision
        self._labels = setting.labels
        self._kept = torch.ones_like(setting.labels, dtype=torch.bool)

    def begin_epoch(self, network: NetworkView) -> None:
        if self._supervision.chooses_before(network.epoch + 1, network.epochs):
            p = network.probabilities().gather(1, self._labels.unsqueeze(1)).squeeze(1)
            self._kept = p > self._supervision.k

    def loss(self, batch: Batch) -> Tensor:
        rule = _Truncated(self._supervision.q, self._supervision.k, self._kept[batch.chosen])
        return emphasised_loss(batch.logits, batch.labels, rule)

    def state_dict(self) -> dict[str, Any]:
        return {"kept": self._kept}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._kept = state["kept"].to(self._labels.device)
