"""The one gradient rule: direction from the logits, length from a weight function of p."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from typing import NamedTuple
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional as F


class Relevance(NamedTuple):
    """How well each labelled class fits, in forms that stay exact at both ends.

    Attributes:
        p: Relevance score softmax(z)[y], shape (N,).
        complement: 1 - p, shape (N,), exact also where p rounds to 1.
        log_p: log p, shape (N,), finite also where p rounds to 0.
    """

    p: Tensor
    complement: Tensor
    log_p: Tensor


class EmphasisRule(Protocol):
    """What the gradient rule needs of a weight function."""

    def batch_emphasis(self, relevance: Relevance) -> Tensor:
        """w(p), divided as the batch is normalised; shape (N,)."""

    def batch_value(self, relevance: Relevance) -> Tensor:
        """The scalar to report for the batch."""


class _EmphasisedGradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, logits: Tensor, labels: Tensor, rule: EmphasisRule) -> Tensor:
        z = logits.float() if torch.finfo(logits.dtype).bits < 32 else logits
        column = labels.unsqueeze(1)
        others = z.scatter(1, column, float("-inf"))
        direction = torch.softmax(others, dim=1)
        # z[y] less the log-sum-exp of the others, which is their largest and the log of how many times it they are. The
        # largest is taken off before anything is added: a log-sum-exp of logits near 1e4 is near 1e4 too, and float32
        # rounds it by 5e-4, which would be the relative error of every number below.
        top, share_of_top = others.amax(dim=1), direction.amax(dim=1)
        margin = z.gather(1, column).squeeze(1).sub_(top).add_(share_of_top.log_())
        direction.scatter_(1, column, -1.0)
        relevance = Relevance(torch.sigmoid(margin), torch.sigmoid(-margin), F.logsigmoid(margin))
        half_emphasis = rule.batch_emphasis(relevance) / 2
        ctx.save_for_backward(direction.mul_(half_emphasis.unsqueeze(1)))
        ctx.logits_dtype = logits.dtype
        return rule.batch_value(relevance)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad_output: Tensor) -> tuple[Tensor, None, None]:
        (gradient,) = ctx.saved_tensors
        # Rounded to a half type only now: the loss scale of mixed precision is in grad_output, and what it is
        # there to rescue would be lost before it.
        return (gradient * grad_output).to(ctx.logits_dtype), None, None


def emphasised_loss(logits: Tensor, labels: Tensor, rule: EmphasisRule) -> Tensor:
    """A scalar whose gradient in the logits is ``(w/2) (q - e_y)`` an example, normalised over the batch.

    q is the softmax over all logits except the labelled one, e_y the one-hot label: the direction that CCE,
    MAE, GCE and GR share. In this form nothing is divided by 1 - p, so the gradient keeps its length where p
    rounds to 1, as GR with g = exp needs: there w tends to 1, not to 0.

    Args:
        logits: Shape (N, C). Half types are computed in float32, and their gradient is rounded once.
        labels: Shape (N,), int64 in [0, C).
        rule: The weight function and its normalisation.

    Source: Wang et al., arXiv 1905.11233, Eq. 3 to 7, with the direction written in closed form.
    """
    # Typed here, since releases of torch differ in whether `apply` is.
    apply: Callable[[Tensor, Tensor, EmphasisRule], Tensor] = _EmphasisedGradient.apply
    return apply(logits, labels, rule)
