"""The bytes that a whole training step has to move, from the shapes: everything fused, and nothing."""

from __future__ import annotations

from dataclasses import dataclass

from tests.benchmarks.gpu.convolution_shapes import convolutions
from trainers.models.cifar_resnet import WIDTHS

_SINGLE = 4  # bytes of a float32, which parameters, gradients and momentum are kept in
_HALF = 2


@dataclass(frozen=True, slots=True)
class StepFloor:
    """What one training step of one lane needs at least.

    Attributes:
        fused_bytes: Where norms, activations, shortcuts and reductions ride along with the convolutions: for each
            convolution forward X in, Y out; backward dY, Y (the norm's), X in, dX out. For each block its output
            written and read once more as the next shortcut, and the same for the gradient.
        unfused_bytes: Where each operation of eager torch reads and writes for itself: convolution X, Y; norm 2 Y in,
            Y out; activation Y in and out; backward: activation 2 in, 1 out, norm 4 in, 1 out, convolution's two dY,
            X in, dX out; for each block the sum, 2 in, 1 out, forward and backward.
        operations: Multiplications and additions of the convolutions, forward and backward.
    """

    fused_bytes: int
    unfused_bytes: int
    operations: int

    def milliseconds(self, bandwidth: float, rate: float) -> tuple[float, float]:
        """The floor, fused and unfused: bytes at ``bandwidth`` (bytes/s), or operations at ``rate`` (1/s) if longer."""
        arithmetic = self.operations / rate
        return tuple(1e3 * max(each / bandwidth, arithmetic) for each in (self.fused_bytes, self.unfused_bytes))  # type: ignore[return-value]


def step_floor(
    depth: int, side: int, batch_size: int, num_classes: int = 10, value_bytes: int = _HALF
) -> StepFloor:
    """The floor of a step of the CIFAR ResNet of a depth on images (3, side, side), with maps in bfloat16 or wider."""
    fused = unfused = operations = weights = channels = 0
    for shape, count in convolutions(depth, side).items():
        values_in, values_out = batch_size * shape.values_in, batch_size * shape.values_out
        # The images' own gradient is not asked for.
        passes_in = 2 if shape.first else 3
        fused += count * (passes_in * values_in + 3 * values_out)
        unfused += count * (passes_in * values_in + 16 * values_out)
        operations += count * shape.operations(batch_size)
        weights += count * shape.weights
        channels += count * shape.width
    for number, width in enumerate(WIDTHS):
        block = batch_size * width * (side >> number) ** 2
        blocks = (depth - 2) // 6
        fused += blocks * 4 * block
        unfused += blocks * 6 * block
    parameters = weights + 2 * channels + (WIDTHS[-1] + 1) * num_classes
    # Gradient, parameter and momentum in, the last two out; two reads and a write of the weights in half precision.
    # Float32 maps read the float32 weights themselves.
    copies = 3 * _HALF if value_bytes == _HALF else 2 * _SINGLE
    update = parameters * (5 * _SINGLE + copies)
    return StepFloor(fused * value_bytes + update, unfused * value_bytes + update, operations)
