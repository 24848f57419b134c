"""The weight functions of K lanes at once, for the one gradient rule of `trainers.supervision.gradient`."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from trainers.supervision import CategoricalCrossEntropy
from trainers.supervision import GeneralisedCrossEntropy
from trainers.supervision import GradientRescaling
from trainers.supervision import MeanAbsoluteError
from trainers.supervision import WeightFunction
from trainers.supervision.gradient import Relevance


class LaneEmphasis:
    """An `EmphasisRule` over a batch of K * B examples, B of each lane, lane by lane.

    All weight functions are w(p) = g(beta * p**lam * (1 - p)) with g the identity or exp: CCE is the identity with
    beta 2 and lambda 0, MAE with 4 and 1, GCE with 2 and q. So a lane is a row of numbers, kept on the device where
    they can be changed without a new capture.

    Args:
        supervisions: One a lane.
        device: Of the logits.
        dtype: In which they are computed: float32, or float64.

    Attributes:
        losses: Each lane's loss of the last batch, shape (K,), always the same tensor.
    """

    def __init__(self, supervisions: Sequence[WeightFunction], device: torch.device, dtype: torch.dtype) -> None:
        rows = [_row(supervision) for supervision in supervisions]
        columns = torch.tensor(rows, dtype=dtype, device=device).t().unsqueeze(2)  # each (K, 1)
        self.beta, self.lam, self._value_exponent, self._value_scale = columns[:4]
        self._exponential, self._by_sum = columns[4] > 0, columns[5] > 0
        # Then one softmax a lane is all there is to compute.
        self._all_paper = all(row[4] and row[5] for row in rows)
        self._all_logarithmic = not any(row[2] for row in rows)
        self.losses = torch.zeros(len(rows), dtype=dtype, device=device)

    def batch_emphasis(self, relevance: Relevance) -> Tensor:
        """w(p), each lane's divided by its own sum or by B as the lane says, shape (K * B,)."""
        log_p, complement = self._by_lane(relevance.log_p), self._by_lane(relevance.complement)
        exponents = self.beta * torch.exp(self.lam * log_p) * complement
        # softmax(log w) is w / sum(w) without the overflow of w.
        emphasis = torch.softmax(exponents, dim=1)
        if not self._all_paper:
            total = exponents.sum(dim=1, keepdim=True)
            shares = torch.where(total > 0, exponents / total, torch.zeros_like(exponents))
            size = exponents.shape[1]
            by_sum = torch.where(self._exponential, emphasis, shares)
            by_size = torch.where(self._exponential, exponents.exp(), exponents) / size
            emphasis = torch.where(self._by_sum, by_sum, by_size)
        return emphasis.flatten()

    def batch_value(self, relevance: Relevance) -> Tensor:
        """The sum over lanes of each lane's mean loss: summed, so that a lane's gradient knows of no other lane."""
        log_p = self._by_lane(relevance.log_p)
        values = -log_p.mean(dim=1)
        if not self._all_logarithmic:
            exponent = self._value_exponent
            divisor = torch.where(exponent > 0, exponent, torch.ones_like(exponent))
            powers = -(torch.expm1(exponent * log_p) / divisor).mean(dim=1)
            values = torch.where(exponent.squeeze(1) > 0, powers * self._value_scale.squeeze(1), values)
        self.losses.copy_(values)
        return values.sum()

    def _by_lane(self, values: Tensor) -> Tensor:
        return values.view(len(self.losses), -1)


def _row(supervision: WeightFunction) -> tuple[float, ...]:
    """beta, lambda; exponent (0: minus log p) and scale of the loss (1 - p^q) / q; whether g = exp; by the sum."""
    if isinstance(supervision, CategoricalCrossEntropy):
        return 2.0, 0.0, 0.0, 1.0, 0.0, 0.0
    if isinstance(supervision, MeanAbsoluteError):
        return 4.0, 1.0, 1.0, 2.0, 0.0, 0.0
    if isinstance(supervision, GeneralisedCrossEntropy):
        return 2.0, supervision.q, supervision.q, 1.0, 0.0, 0.0
    if isinstance(supervision, GradientRescaling):
        exponential, by_sum = supervision.transform == "exp", supervision.normalise == "batch"
        return supervision.beta, supervision.lam, 0.0, 1.0, float(exponential), float(by_sum)
    raise TypeError(f"{type(supervision).__name__} has no row here")
