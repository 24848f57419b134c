"""Focal loss, a supervision that is a function of (logits, labels)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from trainers.errors import FieldError
from trainers.errors import InvalidInput
from trainers.supervision import Criterion


@dataclass(frozen=True, slots=True)
class FocalLoss(Criterion):
    """Focal loss, -(1 - p)^gamma log p: examples that fit already count less.

    Args:
        gamma: Focusing exponent, >= 0; at 0 it is CCE.

    Raises:
        InvalidInput: gamma is negative or not finite.

    Source: Lin et al., ICCV 2017, Eq. 4 (gamma = 2).
    """

    gamma: float = 2.0

    def __post_init__(self) -> None:
        if not (isinstance(self.gamma, int | float) and 0 <= self.gamma < math.inf):
            raise InvalidInput(
                FieldError("gamma", self.gamma, "not a number of 0 or more", "Use 2 as its authors do.")
            )

    @property
    def name(self) -> str:
        """``focal``."""
        return "focal"

    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Mean of -(1 - p)^gamma log p over the batch."""
        if torch.finfo(logits.dtype).bits < 32:
            logits = logits.float()
        log_p = F.log_softmax(logits, dim=1).gather(1, labels.unsqueeze(1)).squeeze(1)
        # Away from 0, where a power below 1 has an infinite slope.
        complement = -torch.expm1(log_p.clamp(max=-torch.finfo(log_p.dtype).eps))
        return -(complement**self.gamma * log_p).mean()
