"""The one gradient rule: direction from the logits, length from a weight function of p."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from typing import NamedTuple
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

_NO_SECOND_DERIVATIVE = (
    "create_graph=True: this loss is defined by its gradient and has no second derivative, which gradient penalties "
    "and MAML ask for. Leave create_graph out where the gradient may count as a constant (as in MAML's first-order "
    "form), or write the loss out for autograd: that of CCE is torch.nn.functional.cross_entropy."
)


class Relevance(NamedTuple):
    """How well each labelled class fits, in forms that stay exact at both ends.

    Attributes:
        complement: 1 - p, where p = softmax(z)[y] is the relevance score, shape (N,); exact also where p rounds to 1.
        log_p: log p, shape (N,), finite also where p rounds to 0.
    """

    complement: Tensor
    log_p: Tensor

    @property
    def p(self) -> Tensor:
        """The relevance score itself, shape (N,)."""
        return self.log_p.exp()


class EmphasisRule(Protocol):
    """What the gradient rule needs of a weight function."""

    def batch_emphasis(self, relevance: Relevance) -> Tensor:
        """w(p), divided as the batch is normalised; shape (N,)."""

    def batch_value(self, relevance: Relevance) -> Tensor:
        """The scalar to report for the batch."""


def emphasised_gradient(logits: Tensor, labels: Tensor, rule: EmphasisRule) -> tuple[Tensor, Tensor]:
    """The scalar to report for a batch, and the gradient ``(w/2) (q - e_y)`` an example, normalised over the batch.

    q is the softmax over all logits except the labelled one, e_y the one-hot label: the direction that CCE,
    MAE, GCE and GR share. In this form nothing is divided by 1 - p, so the gradient keeps its length where p
    rounds to 1, as GR with g = exp needs: there w tends to 1, not to 0.

    Args:
        logits: Shape (N, C), which need no gradient. Half types are computed in float32.
        labels: Shape (N,), int64 in [0, C).
        rule: The weight function and its normalisation.

    Returns:
        The scalar and the gradient in the logits, shape (N, C): float32, or float64 of float64 logits.

    Source: Wang et al., arXiv 1905.11233, Eq. 3 to 7, with the direction written in closed form.
    """
    z = logits.float() if torch.finfo(logits.dtype).bits < 32 else logits
    column = labels.unsqueeze(1)
    others = z.scatter(1, column, float("-inf"))
    direction = torch.softmax(others, dim=1)
    # The log-sum-exp of the others, which is their largest and the log of how many times it they are, less z[y]. The
    # largest is taken off before anything is added: a log-sum-exp of logits near 1e4 is near 1e4 too, and float32
    # rounds it by 5e-4, which would be the relative error of every number below.
    top, share_of_top = others.amax(dim=1), direction.amax(dim=1)
    lag = top.sub_(z.gather(1, column).squeeze(1)).sub_(share_of_top.log_())
    relevance = Relevance(torch.sigmoid(lag), F.logsigmoid(-lag))
    half_emphasis = rule.batch_emphasis(relevance) / 2
    gradient = direction.scatter_(1, column, -1.0).mul_(half_emphasis.unsqueeze(1))
    return rule.batch_value(relevance), gradient


class _EmphasisedGradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, logits: Tensor, labels: Tensor, rule: EmphasisRule) -> Tensor:
        value, gradient = emphasised_gradient(logits, labels, rule)
        ctx.save_for_backward(gradient)
        ctx.logits_dtype = logits.dtype
        return value

    @staticmethod
    def backward(ctx: Any, grad_output: Tensor) -> tuple[Tensor, None, None]:
        # The engine has gradients enabled under create_graph alone. `once_differentiable` would let it pass: it refuses
        # where grad_output needs a gradient, and that of a scalar loss is a constant.
        if torch.is_grad_enabled():
            raise RuntimeError(_NO_SECOND_DERIVATIVE)
        (gradient,) = ctx.saved_tensors
        # Rounded to a half type only now: the loss scale of mixed precision is in grad_output, and what it is
        # there to rescue would be lost before it.
        return (gradient * grad_output).to(ctx.logits_dtype), None, None


def emphasised_loss(logits: Tensor, labels: Tensor, rule: EmphasisRule) -> Tensor:
    """A scalar whose backward is `emphasised_gradient`: what that returns first.

    Args:
        logits: Shape (N, C). Half types are computed in float32, and their gradient is rounded once.
        labels: Shape (N,), int64 in [0, C).
        rule: The weight function and its normalisation.
    """
    # Typed here, since releases of torch differ in whether `apply` is.
    apply: Callable[[Tensor, Tensor, EmphasisRule], Tensor] = _EmphasisedGradient.apply
    return apply(logits, labels, rule)
