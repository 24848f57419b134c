"""SGD with momentum and weight decay on the one buffer that holds all of a network's parameters."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch import nn


class MomentumSGD:
    """The update of `torch.optim.SGD`, to the last bit, on the flat parameter of `flatten_parameters`.

    Ours, since torch's optimisers import its compiler at their first use: four seconds of CPU time in every
    process of a sweep, which is three trainings on digits.

    Args:
        parameters: The flat parameter, shape (P,), with its ``grad`` allocated.
        momentum: In [0, 1).
        weight_decay: L2 coefficient, >= 0, of every parameter.

    Source: Sutskever et al., ICML 2013, as torch has it: v <- momentum v + (g + weight_decay p); p <- p - lr v.
    """

    def __init__(self, parameters: nn.Parameter, momentum: float, weight_decay: float) -> None:
        assert parameters.grad is not None
        self._parameters = parameters.data
        self._gradient = parameters.grad
        self._velocity = torch.zeros_like(self._parameters)
        self._momentum = momentum
        self._weight_decay = weight_decay

    def zero_grad(self) -> None:
        """Set the gradient to 0, in place: the network's gradients are views of it."""
        self._gradient.zero_()

    def step(self, learning_rate: float | Tensor) -> None:
        """One update with the gradient that there is; the gradient is changed too.

        Args:
            learning_rate: A number, or a scalar on the device where a captured step reads it anew.
        """
        if self._weight_decay:
            self._gradient.add_(self._parameters, alpha=self._weight_decay)
        self._velocity.mul_(self._momentum).add_(self._gradient)
        if isinstance(learning_rate, Tensor):
            self._parameters.addcmul_(self._velocity, learning_rate, value=-1)
        else:
            self._parameters.add_(self._velocity, alpha=-learning_rate)

    def state_dict(self) -> dict[str, Any]:
        """What the next step depends on besides parameters and gradient."""
        return {"velocity": self._velocity}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from ``state``."""
        self._velocity.copy_(state["velocity"])
