"""Bootstrapping: the target is a mixture of the label and of what the network itself predicts."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from trainers.errors import InvalidInput
from trainers.supervision.hyperparameters import interval_error
from trainers.supervision.log_probabilities import log_probabilities
from trainers.supervision.supervision import Criterion

_BETA_REMEDY = "Give the label's share of the target, as its authors do: 0.95 soft, 0.8 hard; at 1 it is CCE."


@dataclass(frozen=True, slots=True)
class SoftBootstrap(Criterion):
    """Soft bootstrapping: cross entropy with the target beta * label + (1 - beta) * softmax(z).

    The gradient flows through the target too: the paper's objective is CCE with a minimum-entropy regulariser,
    beta (-log p_y) + (1 - beta) H(p), and it would be none with the target held constant (p is then its own best
    fit, and the second term has no gradient at all). The released codes that use it do the same.

    Args:
        beta: Share of the label in the target, in [0, 1].

    Raises:
        InvalidInput: beta is outside [0, 1].

    Source: Reed et al., arXiv 1412.6596, Eq. 6 (beta = 0.95).
    """

    beta: float = 0.95

    def __post_init__(self) -> None:
        if errors := interval_error("beta", self.beta, "[0, 1]", _BETA_REMEDY):
            raise InvalidInput(*errors)
        object.__setattr__(self, "beta", float(self.beta))

    @property
    def name(self) -> str:
        """``bootstrap_soft``."""
        return "bootstrap_soft"

    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """See Criterion.loss."""
        log_p = log_probabilities(logits)
        entropy = -(log_p.exp() * log_p).sum(dim=1)
        labelled = -log_p.gather(1, labels.unsqueeze(1)).squeeze(1)
        return torch.lerp(entropy, labelled, self.beta).mean()


@dataclass(frozen=True, slots=True)
class HardBootstrap(Criterion):
    """Hard bootstrapping: cross entropy with the target beta * label + (1 - beta) * predicted class.

    Args:
        beta: Share of the label in the target, in [0, 1].

    Raises:
        InvalidInput: beta is outside [0, 1].

    Source: Reed et al., arXiv 1412.6596, Eq. 7 (beta = 0.8).
    """

    beta: float = 0.8

    def __post_init__(self) -> None:
        if errors := interval_error("beta", self.beta, "[0, 1]", _BETA_REMEDY):
            raise InvalidInput(*errors)
        object.__setattr__(self, "beta", float(self.beta))

    @property
    def name(self) -> str:
        """``bootstrap_hard``."""
        return "bootstrap_hard"

    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """See Criterion.loss; of classes with the same largest logit, the first is the predicted one."""
        log_p = log_probabilities(logits)
        predicted = -log_p.gather(1, log_p.argmax(dim=1, keepdim=True)).squeeze(1)
        labelled = -log_p.gather(1, labels.unsqueeze(1)).squeeze(1)
        return torch.lerp(predicted, labelled, self.beta).mean()
