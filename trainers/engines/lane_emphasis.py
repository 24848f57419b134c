"""The weight functions of K lanes at once, for the one gradient rule of `trainers.supervision.gradient`."""

from __future__ import annotations

import torch
from torch import Tensor

from trainers.supervision import CategoricalCrossEntropy
from trainers.supervision import GeneralisedCrossEntropy
from trainers.supervision import GradientRescaling
from trainers.supervision import MeanAbsoluteError
from trainers.supervision import Supervision
from trainers.supervision.gradient import Relevance

_NUMBERS = 6


class LaneEmphasis:
    """An `EmphasisRule` over a batch of K * B examples, B of each lane, lane by lane.

    All weight functions are w(p) = g(beta * p**lam * (1 - p)) with g the identity or exp: CCE is the identity with
    beta 2 and lambda 0, MAE with 4 and 1, GCE with 2 and q. So a lane is a row of numbers, kept on the device where
    they can be changed without a new capture.

    Args:
        lanes: K.
        device: Of the logits.
        dtype: In which they are computed: float32, or float64.

    Attributes:
        losses: Each lane's loss of the last batch, shape (K,), always the same tensor.
    """

    def __init__(self, lanes: int, device: torch.device, dtype: torch.dtype) -> None:
        # Each (K, 1); what is in no use weighs every example the same.
        self._columns = torch.zeros(_NUMBERS, lanes, 1, dtype=dtype, device=device)
        self._columns[4:] = 1
        self.losses = torch.zeros(lanes, dtype=dtype, device=device)

    def set(self, lane: int, supervision: Supervision) -> None:
        """Give a lane its weight function.

        Raises:
            TypeError: The supervision has no row here; see `row_of`.
        """
        row = row_of(supervision)
        if row is None:
            raise TypeError(f"{type(supervision).__name__} has no row here")
        self._columns[:, lane, 0] = torch.tensor(row, dtype=self._columns.dtype)

    def batch_emphasis(self, relevance: Relevance) -> Tensor:
        """w(p), each lane's divided by its own sum or by B as the lane says, shape (K * B,)."""
        beta, lam, _, _, exponential, by_sum = self._columns
        log_p, complement = self._by_lane(relevance.log_p), self._by_lane(relevance.complement)
        exponents = beta * torch.exp(lam * log_p) * complement
        total, size = exponents.sum(dim=1, keepdim=True), exponents.shape[1]
        shares = torch.where(total > 0, exponents / total, torch.zeros_like(exponents))
        # softmax(log w) is w / sum(w) without the overflow of w.
        shares = torch.where(exponential > 0, torch.softmax(exponents, dim=1), shares)
        weights = torch.where(exponential > 0, exponents.exp(), exponents)
        return torch.where(by_sum > 0, shares, weights / size).flatten()

    def batch_value(self, relevance: Relevance) -> Tensor:
        """The sum over lanes of each lane's mean loss: summed, so that a lane's gradient knows of no other lane."""
        exponent, scale = self._columns[2], self._columns[3]
        log_p = self._by_lane(relevance.log_p)
        divisor = torch.where(exponent > 0, exponent, torch.ones_like(exponent))
        powers = -(torch.expm1(exponent * log_p) / divisor) * scale
        self.losses.copy_(torch.where(exponent > 0, powers, -log_p).mean(dim=1))
        return self.losses.sum()

    def _by_lane(self, values: Tensor) -> Tensor:
        return values.view(len(self.losses), -1)


def row_of(supervision: Supervision) -> tuple[float, ...] | None:
    """beta, lambda; exponent (0: minus log p) and scale of the loss (1 - p^q) / q; whether g = exp; by the sum.

    None for a supervision that is not one of these weight functions.
    """
    # Exactly these: a class that is made from one of them may weigh differently.
    match supervision:
        case CategoricalCrossEntropy() if type(supervision) is CategoricalCrossEntropy:
            return 2.0, 0.0, 0.0, 1.0, 0.0, 0.0
        case MeanAbsoluteError() if type(supervision) is MeanAbsoluteError:
            return 4.0, 1.0, 1.0, 2.0, 0.0, 0.0
        case GeneralisedCrossEntropy(q) if type(supervision) is GeneralisedCrossEntropy:
            return 2.0, q, q, 1.0, 0.0, 0.0
        case GradientRescaling(beta, lam, transform, normalise) if type(supervision) is GradientRescaling:
            return beta, lam, 0.0, 1.0, float(transform == "exp"), float(normalise == "batch")
    return None
