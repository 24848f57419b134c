"""K lanes' parameters in one [K, P] buffer, a row a lane, and the copy of them that the kernels read."""

from __future__ import annotations

import math
from collections.abc import Iterable
from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor
from torch import nn


class _Span(NamedTuple):
    """Where a parameter lies in a lane's row, and how."""

    name: str
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    @property
    def size(self) -> int:
        return math.prod(self.shape)


class LaneParameters:
    """Parameters, gradients and momentum, each [K, P] with a lane in a row, updated with each lane's own settings.

    A row is what `flatten_parameters` makes of a lane's network, so that a lane can be taken out, put in and isolated
    as a whole. Kernels want the lanes of one layer side by side, in the arithmetic's type: one gather a step makes
    that copy of all layers, and one brings their gradients back, in place of a conversion a layer, forward and
    backward.

    Args:
        template: The lanes' architecture, in its memory layout, device and type; its numbers are of no account.
        lanes: K.
        compute_dtype: Of the matrices that the kernels read; vectors stay in the parameters' own type.

    Attributes:
        values: The parameters, (K, P); 0 at first.
        gradient: Of the summed loss, (K, P).
        velocity: The momentum, (K, P).
        leaves: By name, what the kernels read: convolutions (K * O, I, 3, 3), other matrices (K, O, I), vectors
            (K * C,).
    """

    def __init__(self, template: nn.Module, lanes: int, compute_dtype: torch.dtype) -> None:
        self._spans = list(_spans(template))
        example = next(template.parameters())
        size = sum(span.size for span in self._spans)
        self.values = example.new_zeros((lanes, size)).detach()
        self.gradient, self.velocity = torch.zeros_like(self.values), torch.zeros_like(self.values)
        # Matrices first: they are converted.
        self._ordered = sorted(self._spans, key=lambda span: len(span.shape) == 1)
        starts = torch.arange(lanes).unsqueeze(1) * size
        places = [(starts + torch.arange(span.offset, span.offset + span.size)).flatten() for span in self._ordered]
        order = torch.cat(places)
        inverse = torch.empty_like(order)
        inverse[order] = torch.arange(len(order))
        self._order, self._inverse = order.to(example.device), inverse.to(example.device)
        self._working = torch.zeros_like(self.values).view(-1)
        self._working_gradient = torch.zeros_like(self._working)
        self._vectors_from = lanes * sum(span.size for span in self._ordered if len(span.shape) > 1)
        self._matrices = self._working.new_zeros(self._vectors_from, dtype=compute_dtype)
        self.leaves = self._views(lanes)

    def _views(self, lanes: int) -> dict[str, Tensor]:
        leaves = {}
        offset = 0
        for span in self._ordered:
            buffer = self._matrices if len(span.shape) > 1 else self._working
            flat = buffer[offset : offset + lanes * span.size]
            offset += lanes * span.size
            if len(span.shape) == 4:
                # Of each lane laid out as in its row.
                shape, strides = (lanes * span.shape[0], *span.shape[1:]), span.strides
                view = flat.as_strided(shape, strides, flat.storage_offset())
            else:
                view = flat.view(lanes, *span.shape) if len(span.shape) > 1 else flat
            leaves[span.name] = view.detach().requires_grad_()
        return leaves

    def load(self, lane: int, state: Mapping[str, Tensor]) -> None:
        """Put a network's parameters, by name, into a lane's row; its momentum begins at 0."""
        for span in self._spans:
            self._view(self.values[lane], span).copy_(state[span.name])
        self.velocity[lane].zero_()

    def state(self, lane: int) -> dict[str, Tensor]:
        """A lane's parameters by name, as its network's ``state_dict`` has them: views of its row."""
        return {span.name: self._view(self.values[lane], span) for span in self._spans}

    def _view(self, row: Tensor, span: _Span) -> Tensor:
        return row.as_strided(span.shape, span.strides, row.storage_offset() + span.offset)

    @torch.no_grad()
    def gather(self) -> None:
        """Bring the working copy up to date with ``values``."""
        torch.index_select(self.values.view(-1), 0, self._order, out=self._working)
        self._matrices.copy_(self._working[: self._vectors_from])

    def differentiate(self, loss: Tensor) -> None:
        """Put the gradient of a scalar that was computed from ``leaves`` into ``gradient``."""
        found = torch.autograd.grad(loss, list(self.leaves.values()))
        with torch.no_grad():
            pairs = list(zip(found, self.leaves.values(), strict=True))
            matrices = [_in_order(gradient, leaf) for gradient, leaf in pairs if leaf.dim() > 1]
            vectors = [gradient for gradient, leaf in pairs if leaf.dim() == 1]
            self._working_gradient[: self._vectors_from].copy_(torch.cat(matrices))
            torch.cat(vectors, out=self._working_gradient[self._vectors_from :])
            torch.index_select(self._working_gradient, 0, self._inverse, out=self.gradient.view(-1))

    @torch.no_grad()
    def step(self, learning_rate: Tensor, momentum: float, weight_decay: Tensor) -> None:
        """The update of `trainers.engines.sgd.MomentumSGD`, with a lane's own settings; the gradient changes too.

        Args:
            learning_rate: (K, 1).
            momentum: Of all lanes.
            weight_decay: (K, 1).
        """
        self.gradient.addcmul_(self.values, weight_decay)
        self.velocity.mul_(momentum).add_(self.gradient)
        self.values.addcmul_(self.velocity, learning_rate, value=-1)

    @torch.no_grad()
    def clear(self, lanes: Tensor) -> None:
        """Set parameters and momentum of the lanes that are marked, bool (K,), to 0, whatever they are."""
        self.values.masked_fill_(lanes.unsqueeze(1), 0)
        self.velocity.masked_fill_(lanes.unsqueeze(1), 0)


def _spans(template: nn.Module) -> Iterable[_Span]:
    offset = 0
    for name, parameter in template.named_parameters():
        # Those of a dense copy, as `flatten_parameters` has them.
        strides = torch.empty_like(parameter, device="meta").stride()
        yield _Span(name, offset, tuple(parameter.shape), strides)
        offset += parameter.numel()


def _in_order(gradient: Tensor, leaf: Tensor) -> Tensor:
    """Flat, in the order in which the leaf lies in memory."""
    if leaf.dim() == 4 and not leaf.is_contiguous():
        gradient = gradient.permute(0, 2, 3, 1)
    return gradient.reshape(-1)
