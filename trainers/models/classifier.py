"""The last linear layer of a network: what turns features into logits."""

from __future__ import annotations

from torch import nn

from trainers.errors import FieldError
from trainers.errors import InvalidInput


def classifier_of(network: nn.Module) -> nn.Linear:
    """The last linear layer among the network's modules.

    Raises:
        InvalidInput: There is none.
    """
    linear = [module for module in network.modules() if isinstance(module, nn.Linear)]
    if not linear:
        problem = "has no linear layer before its logits"
        raise InvalidInput(FieldError("backbone", type(network).__name__, problem, "Use another backbone."))
    return linear[-1]
