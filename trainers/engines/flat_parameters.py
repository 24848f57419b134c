"""All of a network's parameters in one buffer, so that an optimiser step is a handful of operations."""

from __future__ import annotations

import torch
from torch import nn


def flatten_parameters(network: nn.Module) -> nn.Parameter:
    """Move the network's parameters, and their gradients, into one contiguous buffer each.

    Every parameter becomes a view that keeps its shape and memory layout, so the network computes as before,
    while an optimiser that is given the returned parameter updates them all at once.

    Args:
        network: Its trainable parameters, of which there are some, share one device and type.

    Returns:
        The flat parameter, shape (P,), with its ``grad`` allocated. Zero ``grad`` in place; never set it to
        None.
    """
    parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]
    flat = nn.Parameter(parameters[0].new_empty(sum(parameter.numel() for parameter in parameters)))
    gradient = torch.zeros_like(flat)
    flat.grad = gradient
    offset = 0
    for parameter in parameters:
        # The strides of a dense copy: those of the parameter itself wherever it has no holes.
        strides = torch.empty_like(parameter, device="meta").stride()
        view = flat.data.as_strided(parameter.shape, strides, offset)
        view.copy_(parameter.data)
        parameter.data = view
        parameter.grad = gradient.as_strided(parameter.shape, strides, offset)
        offset += parameter.numel()
    return flat
