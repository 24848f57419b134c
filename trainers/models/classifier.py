"""The linear layer that gives a network's logits, so that others can watch the features before it."""

from __future__ import annotations

from torch import nn

from trainers.errors import FieldError
from trainers.errors import InvalidInput


def classifier_of(network: nn.Module, num_classes: int | None = None) -> nn.Linear:
    """The layer from features (N, F) to logits (N, C): the last linear one that the network registers.

    A forward pre-hook on it sees the features as they are multiplied by its weights, after dropout.

    Args:
        network: Any built-in backbone's network; a plugin's, if it ends in an `nn.Linear`.
        num_classes: C, to pass over later layers of another width; None takes the last whatever its width.

    Raises:
        InvalidInput: There is no such layer.
    """
    return network.get_submodule(classifier_name(network, num_classes))  # type: ignore[return-value]


def classifier_name(network: nn.Module, num_classes: int | None = None) -> str:
    """The name of :func:`classifier_of` among the network's modules, e.g. ``fc``; for its state dict's keys.

    Args:
        network: See :func:`classifier_of`.
        num_classes: See :func:`classifier_of`.

    Raises:
        InvalidInput: There is no such layer.
    """
    names: list[str] = [
        name
        for name, module in network.named_modules()
        if isinstance(module, nn.Linear) and num_classes in (None, module.out_features)
    ]
    if not names:
        wanted = "linear layer" if num_classes is None else f"linear layer of {num_classes} outputs"
        problem, remedy = f"has no {wanted}", "Let the network end in an nn.Linear."
        raise InvalidInput(FieldError("backbone", type(network).__name__, problem, remedy))
    return names[-1]
