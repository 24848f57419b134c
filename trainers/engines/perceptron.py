"""A perceptron's forward and backward pass in train mode, written out: on a CPU autograd takes longer than they do."""

from __future__ import annotations

import torch
from torch import Tensor
from torch import nn

from trainers.engines.precision import Arithmetic
from trainers.models.mlp import MLP


class _Linear:
    """A linear layer's weight, its transpose, and where its gradient goes: read in every step, and never replaced."""

    def __init__(self, linear: nn.Linear) -> None:
        self.weight, self.gradient = linear.weight.detach(), _gradient_of(linear.weight)
        self.transposed = self.weight.t()


class _Norm:
    """A batch norm in train mode."""

    def __init__(self, norm: nn.BatchNorm1d) -> None:
        assert norm.momentum is not None
        assert norm.num_batches_tracked is not None
        self._scale, self._shift = norm.weight.detach(), norm.bias.detach()
        self._gradients = _gradient_of(norm.weight), _gradient_of(norm.bias)
        self._running = norm.running_mean, norm.running_var
        self._tracked, self._momentum, self._eps = norm.num_batches_tracked, norm.momentum, norm.eps

    def forward(self, values: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Values with mean and deviation as they are learnt to be; the batch's own mean, and one over its deviation."""
        self._tracked.add_(1)
        return torch.native_batch_norm(
            values, self._scale, self._shift, *self._running, True, self._momentum, self._eps
        )

    def backward(self, gradient: Tensor, values: Tensor, mean: Tensor, deviation: Tensor) -> Tensor:
        """The gradient of what `forward` was given; the norm's own are written."""
        found: tuple[Tensor, Tensor, Tensor] = torch.ops.aten.native_batch_norm_backward.default(
            gradient, values, self._scale, *self._running, mean, deviation, True, self._eps, _ALL
        )
        for own, calculated in zip(self._gradients, found[1:], strict=True):
            own.copy_(calculated)
        return found[0]


class PerceptronPass:
    """Logits of a batch, and the gradient that a gradient in them has in the parameters.

    The kernels are those that autograd takes, so the numbers are its numbers. What is spared is its bookkeeping, and
    each gradient is written where the optimiser reads it instead of being added to zeros: 1.5 ms a step of digits
    instead of 2.0 (one thread, AMD), of which the matrix products alone take 0.95.

    Args:
        network: What is trained. Its parameters have their ``grad`` allocated; see `flatten_parameters`.
    """

    def __init__(self, network: MLP) -> None:
        linears = [_Linear(module) for module in network.features if isinstance(module, nn.Linear)]
        norms = [_Norm(module) for module in network.features if isinstance(module, nn.BatchNorm1d)]
        self._layers = list(zip(linears, norms, strict=True))
        self._classifier = _Linear(network.classifier)
        self._bias, self._bias_gradient = network.classifier.bias.detach(), _gradient_of(network.classifier.bias)
        # Of each layer in the last batch: what it was given and what its norm was, that norm's mean and deviation.
        self._seen: list[tuple[Tensor, Tensor, Tensor, Tensor]] = []
        self._features = torch.empty(0)

    def forward(self, inputs: Tensor) -> Tensor:
        """Logits (B, C) of normalised inputs (B, ...), B >= 2; the norms take note of the batch."""
        self._seen = []
        values = inputs.flatten(1)
        for linear, norm in self._layers:
            sums = torch.mm(values, linear.transposed)
            found, mean, deviation = norm.forward(sums)
            self._seen.append((values, sums, mean, deviation))
            values = found.relu_()
        self._features = values
        return torch.addmm(self._bias, values, self._classifier.transposed)

    def backward(self, gradient: Tensor) -> None:
        """Set the parameters' gradients to those of the last batch.

        Args:
            gradient: Of the logits, (B, C).
        """
        torch.sum(gradient, 0, out=self._bias_gradient)
        torch.mm(gradient.t(), self._features, out=self._classifier.gradient)
        active, weight = self._features, self._classifier.weight
        for (linear, norm), (values, sums, mean, deviation) in zip(
            reversed(self._layers), reversed(self._seen), strict=True
        ):
            gradient = torch.ops.aten.threshold_backward.default(torch.mm(gradient, weight), active, 0)
            gradient = norm.backward(gradient, sums, mean, deviation)
            torch.mm(gradient.t(), values, out=linear.gradient)
            active, weight = values, linear.weight


# The gradients that a norm's backward is to give: of its input, its weight, its bias.
_ALL = [True, True, True]


def _gradient_of(parameter: Tensor) -> Tensor:
    assert parameter.grad is not None
    return parameter.grad


def perceptron_pass(network: nn.Module, arithmetic: Arithmetic) -> PerceptronPass | None:
    """The written-out pass of a network, where it is a perceptron that this is faster for and the same."""
    written_out = type(network) is MLP and isinstance(network.dropout, nn.Identity)
    if not (written_out and arithmetic.device.type == "cpu" and not arithmetic.autocast):
        return None
    assert isinstance(network, MLP)
    return PerceptronPass(network)
