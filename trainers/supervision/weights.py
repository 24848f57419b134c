"""The weight functions w(p) of CCE, MAE, GCE and GR: how long a gradient an example sends into its logits."""

from __future__ import annotations

import math
import numbers
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from trainers.errors import FieldError
from trainers.errors import InvalidInput
from trainers.supervision.course import Batch
from trainers.supervision.course import Course
from trainers.supervision.course import Setting
from trainers.supervision.gradient import Relevance
from trainers.supervision.gradient import emphasised_gradient
from trainers.supervision.gradient import emphasised_loss
from trainers.supervision.supervision import Criterion

Transform = Literal["exp", "identity"]
Normalise = Literal["batch", "none"]

# A little under log of float32's largest number, 88.72, since the exponent is rounded to float32 too.
_LARGEST_EXPONENT = 88.5
# Far beyond any use; beta * p**lam * (1 - p) stays below float32's largest number.
_LARGEST_HYPERPARAMETER = 1e30


class WeightFunction(Criterion):
    """A supervision given by a weight function w(p) of the relevance score p = softmax(z)[y].

    The example weight w is the L1 norm of the gradient that the example sends into its logits (before the
    division by the batch).
    """

    @property
    @abstractmethod
    def emphasis_focus(self) -> float | None:
        """The p with the largest weight, argmax w(p); None where every example weighs the same."""

    def weights(self, p: Tensor | Sequence[float] | float) -> Tensor:
        """w(p).

        Args:
            p: Relevance scores in [0, 1], any shape.

        Returns:
            The example weights, same shape: float32, or float64 for numbers, lists and float64 tensors.

        Raises:
            InvalidInput: A score is outside [0, 1] or NaN.
        """
        scores = p if isinstance(p, Tensor) else torch.as_tensor(p, dtype=torch.float64)
        if scores.dtype != torch.float64:
            scores = scores.float()
        inside = (scores >= 0) & (scores <= 1)
        if not bool(inside.all()):
            outside = float(scores[~inside].flatten()[0])
            raise InvalidInput(
                FieldError("p", outside, "not a probability", "Give relevance scores in [0, 1].")
            )
        # Finite at p = 0, as the gradient's own log p is.
        log_p = scores.log().clamp(min=torch.finfo(scores.dtype).min)
        return self._weights(Relevance(1 - scores, log_p))

    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """See Criterion.loss; the gradient is the one rule of `trainers.supervision.gradient`."""
        return emphasised_loss(logits, labels, self)

    def course(self, setting: Setting) -> Course:
        """The weight function at every step, whatever the lane."""
        # A class that is made from one of ours may have a loss of its own.
        own_loss = type(self).loss is not WeightFunction.loss
        return super().course(setting) if own_loss else _WeightFunctionCourse(self)

    def batch_emphasis(self, relevance: Relevance) -> Tensor:
        """w(p) / N, shape (N,)."""
        return self._weights(relevance) / len(relevance.log_p)

    def batch_value(self, relevance: Relevance) -> Tensor:
        """Mean of the supervision's loss over the batch."""
        return -relevance.log_p.mean()

    @abstractmethod
    def _weights(self, relevance: Relevance) -> Tensor:
        """w(p), shape of p."""


@dataclass(frozen=True, slots=True)
class _WeightFunctionCourse(Course):
    """The gradient is known in closed form, so autograd need not be asked for it."""

    weight_function: WeightFunction

    def loss(self, batch: Batch) -> Tensor:
        return self.weight_function.loss(batch.logits, batch.labels)

    def loss_and_gradient(self, batch: Batch) -> tuple[Tensor, Tensor]:
        value, gradient = emphasised_gradient(batch.logits.detach(), batch.labels, self.weight_function)
        return value, gradient.to(batch.logits.dtype)


def _power(relevance: Relevance, exponent: float) -> Tensor:
    """p**exponent, shape of p. From log p: p itself rounds to 0 long before a small power of it does."""
    return torch.exp(exponent * relevance.log_p)


def _is_finite_number(value: object) -> bool:
    """Whether a hyper-parameter is a real number at all, before it is compared with one."""
    return isinstance(value, numbers.Real) and math.isfinite(value)


@dataclass(frozen=True, slots=True)
class CategoricalCrossEntropy(WeightFunction):
    """Categorical cross entropy, -log p: w(p) = 2 (1 - p). Focus 0: the hardest examples weigh most.

    Source: Wang et al., arXiv 1905.11233, Eq. 4.
    """

    @property
    def name(self) -> str:
        """``cce``."""
        return "cce"

    @property
    def emphasis_focus(self) -> float:
        """0."""
        return 0.0

    def _weights(self, relevance: Relevance) -> Tensor:
        return 2 * relevance.complement


@dataclass(frozen=True, slots=True)
class MeanAbsoluteError(WeightFunction):
    """Mean absolute error, 2 (1 - p): w(p) = 4 p (1 - p). Focus 0.5.

    Some codes take 1 - p instead: half the step at the same learning rate.

    Source: Ghosh et al., AAAI 2017; Wang et al., arXiv 1905.11233.
    """

    @property
    def name(self) -> str:
        """``mae``."""
        return "mae"

    @property
    def emphasis_focus(self) -> float:
        """0.5."""
        return 0.5

    def batch_value(self, relevance: Relevance) -> Tensor:
        """Mean of 2 (1 - p)."""
        return 2 * relevance.complement.mean()

    def _weights(self, relevance: Relevance) -> Tensor:
        return 4 * relevance.p * relevance.complement


@dataclass(frozen=True, slots=True)
class GeneralisedCrossEntropy(WeightFunction):
    """Generalised cross entropy, (1 - p^q) / q: w(p) = 2 p^q (1 - p). Focus q / (1 + q).

    Args:
        q: Exponent in (0, 1]; towards 0 it is CCE, at 1 half of MAE.

    Raises:
        InvalidInput: q is outside (0, 1].

    Source: Zhang and Sabuncu, NeurIPS 2018 (q = 0.7). The factor 2 follows from its own gradient; Eq. 7 of
    arXiv 1905.11233 prints 1.
    """

    q: float = 0.7

    def __post_init__(self) -> None:
        if not (_is_finite_number(self.q) and 0 < self.q <= 1):
            raise InvalidInput(
                FieldError(
                    "q", self.q, "not a number in (0, 1]", "Use 0.7 as its authors do; q = 0 is CCE itself."
                )
            )
        object.__setattr__(self, "q", float(self.q))

    @property
    def name(self) -> str:
        """``gce``."""
        return "gce"

    @property
    def emphasis_focus(self) -> float:
        """q / (1 + q)."""
        return self.q / (1 + self.q)

    def batch_value(self, relevance: Relevance) -> Tensor:
        """Mean of (1 - p^q) / q."""
        return -torch.expm1(self.q * relevance.log_p).mean() / self.q

    def _weights(self, relevance: Relevance) -> Tensor:
        return 2 * _power(relevance, self.q) * relevance.complement


@dataclass(frozen=True, slots=True)
class GradientRescaling(WeightFunction):
    """Gradient rescaling: w(p) = g(beta * p**lam * (1 - p)), with g = exp or the identity.

    GR has no elementary loss: it defines the gradient. The scalar that it returns is the batch's mean cross
    entropy -log p, so that curves of different (beta, lambda) can be compared; its backward is GR's gradient.

    Args:
        beta: Emphasis spread, >= 0. At 0 (with g = exp) every example weighs the same.
        lam: Emphasis focus lambda, >= 0. The largest weight is at p = lam / (1 + lam).
        transform: g, "exp" (the paper's choice) or "identity".
        normalise: "batch" divides by the sum of the batch's weights, as the authors' released code does: the
            step does not grow with beta. The sum is over the examples of one call: those of a micro-batch, where
            gradients are accumulated, or of one process of several. Of one example alone the weight is always 1. With
            "identity" it divides beta out, and with beta = 0 nothing trains. "none" divides by the batch's size, as
            the paper prints.

    Raises:
        InvalidInput: beta or lam is negative, NaN, infinite or above 1e30; an unknown transform or normalise;
            a beta whose largest weight overflows float32 under normalise "none".

    Example:
        >>> loss = GradientRescaling(beta=8, lam=0.5)(torch.randn(4, 10), torch.tensor([1, 0, 3, 9]))

    Source: Wang et al., arXiv 1905.11233, Eq. 6 and 7.
    """

    beta: float
    lam: float
    transform: Transform = "exp"
    normalise: Normalise = "batch"

    def __post_init__(self) -> None:
        errors = [
            FieldError(field, value, "not a number in [0, 1e30]", f"Give {field} >= 0, e.g. {example}.")
            for field, value, example in (("beta", self.beta, "8"), ("lam", self.lam, "0.5"))
            if not (_is_finite_number(value) and 0 <= value <= _LARGEST_HYPERPARAMETER)
        ]
        if self.transform not in ("exp", "identity"):
            errors.append(FieldError("transform", self.transform, "unknown", "Use 'exp' or 'identity'."))
        if self.normalise not in ("batch", "none"):
            errors.append(FieldError("normalise", self.normalise, "unknown", "Use 'batch' or 'none'."))
        if not errors and self.transform == "exp" and self.normalise == "none":
            focus = self.lam / (1 + self.lam)
            if self.beta * focus**self.lam * (1 - focus) > _LARGEST_EXPONENT:
                errors.append(
                    FieldError(
                        "beta",
                        self.beta,
                        "its largest weight overflows float32",
                        "Use normalise='batch', or a smaller beta.",
                    )
                )
        if errors:
            raise InvalidInput(*errors)
        # So that 8, 8.0 and numpy's 8.0 are the same supervision to whoever compares what was recorded.
        object.__setattr__(self, "beta", float(self.beta))
        object.__setattr__(self, "lam", float(self.lam))

    @property
    def name(self) -> str:
        """``gr``."""
        return "gr"

    @property
    def emphasis_focus(self) -> float | None:
        """lam / (1 + lam); None at beta = 0."""
        return self.lam / (1 + self.lam) if self.beta > 0 else None

    def batch_emphasis(self, relevance: Relevance) -> Tensor:
        """w(p) divided by the batch's sum ("batch") or size ("none"), shape (N,)."""
        if self.normalise == "none":
            return self._weights(relevance) / len(relevance.log_p)
        exponents = self._exponents(relevance)
        if self.transform == "exp":
            # softmax(log w) is w / sum(w) without the overflow of w
            return torch.softmax(exponents, dim=0)
        total = exponents.sum()
        return torch.where(total > 0, exponents / total, torch.zeros_like(exponents))

    def _weights(self, relevance: Relevance) -> Tensor:
        exponents = self._exponents(relevance)
        return exponents.exp() if self.transform == "exp" else exponents

    def _exponents(self, relevance: Relevance) -> Tensor:
        return self.beta * _power(relevance, self.lam) * relevance.complement
