"""The ways in which K lanes can compute one convolution each; all give the same numbers."""

from __future__ import annotations

from abc import ABC
from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from tests.benchmarks.gpu.convolution_shapes import ConvolutionShape
from tests.benchmarks.gpu.device import side_by_side

# Channels of a group that tensor cores are busy with, and the width of the network's last stage.
PACKED_WIDTH = 64


def lanes_packed(lanes: int, width: int) -> int:
    """How many lanes of ``width`` channels out share a dense group of 64: the most that also divides ``lanes``."""
    most = max(1, PACKED_WIDTH // width)
    return max(count for count in range(1, most + 1) if lanes % count == 0)


def folded(lanes: Tensor) -> Tensor:
    """(K, B, C, H, W) as (B, K * C, H, W), a lane's channels side by side."""
    return lanes.transpose(0, 1).flatten(1, 2)


def unfolded(maps: Tensor, lanes: int) -> Tensor:
    """(B, K * C, H, W) as (K, B, C, H, W); the inverse of `folded`."""
    return maps.unflatten(1, (lanes, -1)).transpose(0, 1)


def block_diagonal(weights: Tensor, packed: int) -> Tensor:
    """Weights (K, O, I, 3, 3) as those of K / packed groups, (K * O, packed * I, 3, 3), zero between lanes."""
    lanes, out, into, height, width = weights.shape
    groups = lanes // packed
    dense = weights.new_zeros((groups, packed, out, packed, into, height, width))
    for place in range(packed):
        dense[:, place, :, place] = weights.view(groups, packed, out, into, height, width)[:, place]
    return dense.view(lanes * out, packed * into, height, width)


@dataclass
class Case:
    """K lanes' inputs and weights of one convolution, and the gradient that comes back into its outputs.

    Attributes:
        shape: The convolution.
        inputs: (K, B, C_in, H, W).
        weights: (K, C_out, C_in, 3, 3).
        gradient: (K, B, C_out, h, w).
    """

    shape: ConvolutionShape
    inputs: Tensor
    weights: Tensor
    gradient: Tensor

    @classmethod
    def random(
        cls, shape: ConvolutionShape, lanes: int, batch_size: int, device: torch.device, dtype: torch.dtype
    ) -> Case:
        """Normal numbers, the same for every form."""
        generator = torch.Generator(device).manual_seed(0)
        sizes = (
            (lanes, batch_size, shape.width_in, shape.side, shape.side),
            (lanes, shape.width, shape.width_in, 3, 3),
            (lanes, batch_size, shape.width, shape.side_out, shape.side_out),
        )
        inputs, weights, gradient = (
            torch.randn(size, generator=generator, device=device, dtype=dtype) for size in sizes
        )
        return cls(shape, inputs, weights, gradient)

    @property
    def lanes(self) -> int:
        """K."""
        return len(self.inputs)


@dataclass
class Gradients:
    """What a form computes, in the layout of `Case`: outputs, and gradients of weights and of inputs if asked for."""

    outputs: Tensor
    weights: Tensor
    inputs: Tensor | None


class Form(ABC):
    """A form with one case's data laid out for it, once.

    Args:
        case: Inputs, weights and the outputs' gradient.
    """

    def __init__(self, case: Case) -> None:
        self.case = case

    @abstractmethod
    def run(self) -> list[tuple[Tensor, ...]]:
        """Forward and backward; outputs, gradient of the weights and, unless the first convolution, of the inputs."""

    @abstractmethod
    def result(self) -> Gradients:
        """Run, and lay the numbers out as the case has them."""


def _differentiated(
    forward: Callable[[Tensor, Tensor], Tensor], inputs: Tensor, weights: Tensor, gradient: Tensor
) -> tuple[Tensor, ...]:
    outputs = forward(inputs, weights)
    leaves = [weights, inputs] if inputs.requires_grad else [weights]
    return (outputs.detach(), *torch.autograd.grad(outputs, leaves, gradient))


class EachLane(Form):
    """A convolution a lane, in channels_last as the solo engine has it: one after another, or each in a stream.

    Args:
        case: Inputs, weights and the outputs' gradient.
        streams: Whether each lane has a stream.
    """

    def __init__(self, case: Case, streams: bool = False) -> None:
        super().__init__(case)
        self._done: list[tuple[Tensor, ...]] = [()] * case.lanes
        calls = [self._lane(lane) for lane in range(case.lanes)]
        if streams:
            self._run_all = side_by_side(calls, case.inputs.device)
        else:
            self._run_all = lambda: [call() for call in calls]

    def _lane(self, lane: int) -> Callable[[], None]:
        case, layout = self.case, torch.channels_last
        inputs = case.inputs[lane].contiguous(memory_format=layout).requires_grad_(not case.shape.first)
        weights = case.weights[lane].contiguous(memory_format=layout).requires_grad_()
        gradient = case.gradient[lane].contiguous(memory_format=layout)

        def forward(images: Tensor, kernels: Tensor) -> Tensor:
            return functional.conv2d(images, kernels, stride=case.shape.stride, padding=1)

        def run() -> None:
            self._done[lane] = _differentiated(forward, inputs, weights, gradient)

        return run

    def run(self) -> list[tuple[Tensor, ...]]:
        """See `Form.run`: an item a lane."""
        self._run_all()
        return self._done

    def result(self) -> Gradients:
        """See `Form.result`."""
        columns = [torch.stack(column) for column in zip(*self.run(), strict=True)]
        return Gradients(columns[0], columns[1], columns[2] if len(columns) == 3 else None)


class Grouped(Form):
    """One convolution over channels folded as K * C, in groups of one lane, or of several packed block-diagonally.

    Args:
        case: Inputs, weights and the outputs' gradient.
        layout: Memory format of inputs, weights and gradient.
        packed: Lanes of a group.
        compiled: Whether inductor makes it.
    """

    def __init__(
        self, case: Case, layout: torch.memory_format, packed: int = 1, compiled: bool = False
    ) -> None:
        super().__init__(case)
        self._packed = packed
        groups, stride = case.lanes // packed, case.shape.stride

        def forward(images: Tensor, kernels: Tensor) -> Tensor:
            return functional.conv2d(images, kernels, stride=stride, padding=1, groups=groups)

        self._forward = torch.compile(forward, dynamic=False) if compiled else forward
        self._inputs = folded(case.inputs).contiguous(memory_format=layout).requires_grad_(not case.shape.first)
        self._weights = block_diagonal(case.weights, packed).contiguous(memory_format=layout).requires_grad_()
        self._gradient = folded(case.gradient).contiguous(memory_format=layout)

    def run(self) -> list[tuple[Tensor, ...]]:
        """See `Form.run`: one item for all lanes."""
        return [_differentiated(self._forward, self._inputs, self._weights, self._gradient)]

    def result(self) -> Gradients:
        """See `Form.result`."""
        ((outputs, dense, *of_inputs),) = self.run()
        lanes, packed = self.case.lanes, self._packed
        blocks = dense.unflatten(1, (packed, -1)).unflatten(0, (lanes // packed, packed, -1))
        own = torch.stack([blocks[:, place, :, place] for place in range(packed)], dim=1).flatten(0, 1)
        inputs = unfolded(of_inputs[0], lanes) if of_inputs else None
        return Gradients(unfolded(outputs, lanes), own, inputs)


class BatchedProduct(Form):
    """Patches unfolded, and one batched matrix product over lanes and images."""

    def __init__(self, case: Case) -> None:
        super().__init__(case)
        self._inputs = case.inputs.flatten(0, 1).clone().requires_grad_(not case.shape.first)
        self._weights = case.weights.flatten(2).clone().requires_grad_()
        self._gradient = case.gradient.flatten(3).clone()

    def _forward(self, images: Tensor, kernels: Tensor) -> Tensor:
        patches = functional.unfold(images, 3, padding=1, stride=self.case.shape.stride)
        return torch.matmul(kernels.unsqueeze(1), patches.unflatten(0, (self.case.lanes, -1)))

    def run(self) -> list[tuple[Tensor, ...]]:
        """See `Form.run`: one item for all lanes."""
        return [_differentiated(self._forward, self._inputs, self._weights, self._gradient)]

    def result(self) -> Gradients:
        """See `Form.result`."""
        ((outputs, weights, *of_inputs),) = self.run()
        case = self.case
        inputs = of_inputs[0].view_as(case.inputs) if of_inputs else None
        return Gradients(outputs.view_as(case.gradient), weights.view_as(case.weights), inputs)


FORMS: dict[str, Callable[[Case], Form]] = {
    "loop": EachLane,
    "streams": lambda case: EachLane(case, streams=True),
    "grouped NCHW": lambda case: Grouped(case, torch.contiguous_format),
    "grouped channels_last": lambda case: Grouped(case, torch.channels_last),
    "packed NCHW": lambda case: Grouped(case, torch.contiguous_format, _packed(case)),
    "packed channels_last": lambda case: Grouped(case, torch.channels_last, _packed(case)),
    "unfold + bmm": BatchedProduct,
    "inductor": lambda case: Grouped(case, torch.channels_last, compiled=True),
}
"""Every form by the name that tables have."""


def _packed(case: Case) -> int:
    return lanes_packed(case.lanes, case.shape.width)
