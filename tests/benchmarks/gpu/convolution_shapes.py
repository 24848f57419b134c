"""The distinct convolutions of a CIFAR ResNet, and the least bytes and operations that each needs."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from trainers.models.cifar_resnet import WIDTHS

KERNEL = 3


@dataclass(frozen=True, slots=True)
class ConvolutionShape:
    """A 3x3 convolution with padding 1, of one lane.

    Args:
        width_in: Channels in.
        width: Channels out.
        side: Height and width in, in pixels.
        stride: 1 or 2.
    """

    width_in: int
    width: int
    side: int
    stride: int = 1

    @property
    def side_out(self) -> int:
        """Height and width out."""
        return -(-self.side // self.stride)

    @property
    def first(self) -> bool:
        """Whether it is the network's first, which sends no gradient into the images."""
        return self.width_in < WIDTHS[0]

    @property
    def name(self) -> str:
        """For tables: channels and side in, channels and side out."""
        return f"{self.width_in}x{self.side}x{self.side} -> {self.width}x{self.side_out}x{self.side_out}"

    @property
    def values_in(self) -> int:
        """Of one image."""
        return self.width_in * self.side**2

    @property
    def values_out(self) -> int:
        """Of one image."""
        return self.width * self.side_out**2

    @property
    def weights(self) -> int:
        """Of one lane."""
        return self.width * self.width_in * KERNEL**2

    def floor_bytes(self, batch_size: int, bytes_a_value: int = 2) -> int:
        """Least traffic of forward and backward, of one lane.

        Forward reads the input X and writes the output Y; backward reads dY and X and writes dX (the first
        convolution none). The weights are read twice and their gradient is written.
        """
        of_input = 2 if self.first else 3
        values = batch_size * (of_input * self.values_in + 2 * self.values_out) + 3 * self.weights
        return values * bytes_a_value

    def operations(self, batch_size: int) -> int:
        """Multiplications and additions of forward and backward, of one lane."""
        products = 2 if self.first else 3
        return products * 2 * batch_size * self.side_out**2 * self.weights


def convolutions(depth: int, side: int, channels: int = 3) -> Counter[ConvolutionShape]:
    """How often each shape occurs in the CIFAR ResNet of a depth (6 n + 2) on images of a side, in order."""
    blocks = (depth - 2) // 6
    shapes = Counter({ConvolutionShape(channels, WIDTHS[0], side): 1})
    width_in = WIDTHS[0]
    for width in WIDTHS:
        stride = 1 if width == width_in else 2
        shapes[ConvolutionShape(width_in, width, side, stride)] += 1
        side = -(-side // stride)
        shapes[ConvolutionShape(width, width, side)] += 2 * blocks - 1
        width_in = width
    return shapes
