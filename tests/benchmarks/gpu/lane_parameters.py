"""K lanes' parameters in one [K, P] buffer, a row a lane, and the copy of them that the kernels read."""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Sequence

import torch
from torch import Tensor
from torch import nn

from tests.benchmarks.gpu.convolution_forms import block_diagonal


class LaneParameters:
    """Parameters, gradients and momentum, each [K, P] with a lane in a row, updated with each lane's own settings.

    A lane in a row is what one wants for refilling and isolating it, and for a learning rate a lane. Kernels want the
    lanes of one layer side by side, in the arithmetic's type and the convolution's layout, with zeros between packed
    lanes. One gather a step makes that copy of all layers, and one brings their gradients back: in place of a
    conversion a layer, forward and backward.

    Args:
        networks: One a lane, of one architecture; their parameters are copied.
        packed: For each convolution by its parameter's name, how many lanes share a group.
        layout: Memory format of the convolutions.
        compute_dtype: Of the matrices that the kernels read; vectors stay in the parameters' own type.

    Attributes:
        values: The parameters, (K, P), in the order of ``networks[0].named_parameters()``.
        gradient: Of the summed loss, (K, P).
        leaves: By name, what the kernels read: convolutions (K * O, packed * I, 3, 3), other matrices
            (K, O, I), vectors (K * C,).
    """

    def __init__(
        self,
        networks: Sequence[nn.Module],
        packed: Mapping[str, int],
        layout: torch.memory_format,
        compute_dtype: torch.dtype,
    ) -> None:
        named = dict(networks[0].named_parameters())
        example = next(iter(named.values()))
        lanes, size = len(networks), sum(parameter.numel() for parameter in named.values())
        # One more than K * P: a zero, which packed lanes have between them.
        self._flat = torch.zeros(lanes * size + 1, dtype=example.dtype, device=example.device)
        self.values = self._flat[:-1].view(lanes, size)
        for row, network in zip(self.values, networks, strict=True):
            row.copy_(torch.cat([parameter.detach().flatten() for parameter in network.parameters()]))
        self.gradient = torch.zeros_like(self.values)
        self.velocity = torch.zeros_like(self.values)
        self._layout = layout
        order = self._orders(named, packed)
        places = torch.cat([places for _, places, _ in order])
        self._order = places.to(example.device)
        real = places < lanes * size
        inverse = torch.empty(lanes * size, dtype=torch.int64)
        inverse[places[real]] = real.nonzero().squeeze(1)
        self._inverse = inverse.to(example.device)
        self._working = torch.zeros(len(places), dtype=example.dtype, device=example.device)
        self._working_gradient = torch.zeros_like(self._working)
        matrices = sum(len(places) for _, places, shape in order if len(shape) > 1)
        self._vectors_from = matrices
        self._matrices = torch.zeros(matrices, dtype=compute_dtype, device=example.device)
        self.leaves = self._views(order)

    def _orders(
        self, named: Mapping[str, nn.Parameter], packed: Mapping[str, int]
    ) -> list[tuple[str, Tensor, tuple[int, ...]]]:
        """For every parameter, matrices first: where each of its working values comes from, and their shape."""
        lanes, size = self.values.shape
        order: list[tuple[str, Tensor, tuple[int, ...]]] = []
        offset = 0
        for name, parameter in named.items():
            within = torch.arange(parameter.numel()).view(parameter.shape) + offset
            places = within + torch.arange(lanes).view(-1, *[1] * parameter.dim()) * size
            offset += parameter.numel()
            if parameter.dim() == 4:
                # Counted from 1, so that the zeros of the packing are told from place 0.
                dense = block_diagonal(places + 1, packed[name])
                dense = torch.where(dense > 0, dense - 1, lanes * size)
                shape = tuple(dense.shape)
                places = dense.permute(0, 2, 3, 1) if self._channels_last else dense
            else:
                shape = tuple(places.shape) if parameter.dim() > 1 else (places.numel(),)
            order.append((name, places.flatten(), shape))
        return sorted(order, key=lambda item: len(item[2]) == 1)

    def _views(self, order: Sequence[tuple[str, Tensor, tuple[int, ...]]]) -> dict[str, Tensor]:
        leaves = {}
        offset = 0
        for name, places, shape in order:
            matrix = len(shape) > 1
            buffer = self._matrices if matrix else self._working
            flat = buffer[offset : offset + len(places)]
            offset += len(places)
            if len(shape) == 4 and self._channels_last:
                out, into, height, width = shape
                view = flat.view(out, height, width, into).permute(0, 3, 1, 2)
            else:
                view = flat.view(shape)
            leaves[name] = view.detach().requires_grad_()
        assert offset == len(self._working)
        return leaves

    @property
    def _channels_last(self) -> bool:
        return self._layout is torch.channels_last

    @torch.no_grad()
    def gather(self) -> None:
        """Bring the working copy up to date with ``values``."""
        torch.index_select(self._flat, 0, self._order, out=self._working)
        self._matrices.copy_(self._working[: self._vectors_from])

    def differentiate(self, loss: Tensor) -> None:
        """Put the gradient of a scalar that was computed from ``leaves`` into ``gradient``."""
        found = torch.autograd.grad(loss, list(self.leaves.values()))
        with torch.no_grad():
            matrices = [self._in_order(gradient) for gradient in found if gradient.dim() > 1]
            vectors = [gradient for gradient in found if gradient.dim() == 1]
            self._working_gradient[: self._vectors_from].copy_(torch.cat(matrices))
            torch.cat(vectors, out=self._working_gradient[self._vectors_from :])
            torch.index_select(self._working_gradient, 0, self._inverse, out=self.gradient.view(-1))

    def _in_order(self, gradient: Tensor) -> Tensor:
        """Flat, in the order of the working copy."""
        if gradient.dim() == 4 and self._channels_last:
            gradient = gradient.permute(0, 2, 3, 1)
        return gradient.reshape(-1)

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
