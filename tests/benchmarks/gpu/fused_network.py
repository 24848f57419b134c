"""K CIFAR ResNets as one: channels folded as K * C, so that every layer is one operation for all lanes."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence

import torch
from torch import Tensor
from torch import nn
from torch.nn import functional

from tests.benchmarks.gpu.convolution_forms import folded
from tests.benchmarks.gpu.convolution_forms import lanes_packed
from tests.benchmarks.gpu.convolution_shapes import KERNEL
from tests.benchmarks.gpu.convolution_shapes import ConvolutionShape
from tests.benchmarks.gpu.lane_parameters import LaneParameters
from trainers.models.cifar_resnet import BasicBlock
from trainers.models.cifar_resnet import CifarResNet


class FusedCifarResNet:
    """The forward pass, in train mode, of K `CifarResNet` of one depth without dropout.

    A packed group computes with zeros between its lanes, and zero times NaN is NaN: a lane that is not finite spoils
    those that share its groups, unless it is replaced before the next step. Lanes in groups of their own are safe.

    Args:
        networks: One a lane; their parameters and running statistics are copied, and left alone from then on.
        side: Height and width of the images.
        packing: For each shape, whether several lanes share a group of 64 channels; shapes that are not in it do not.
        layout: Memory format of the maps.
        compute_dtype: Of the maps and matrices; norms keep their parameters in the networks' own type.
        compiled: Whether inductor makes the forward and backward pass.

    Attributes:
        forward: `logits`, compiled if so asked.
        parameters: Of all lanes.
        running: Running mean and variance of every norm by its name, (K * C,) each.
    """

    def __init__(
        self,
        networks: Sequence[CifarResNet],
        side: int,
        packing: Mapping[ConvolutionShape, bool],
        layout: torch.memory_format,
        compute_dtype: torch.dtype,
        compiled: bool = False,
    ) -> None:
        self.forward: Callable[[Tensor], Tensor] = (
            torch.compile(self.logits, dynamic=False) if compiled else self.logits
        )
        self._template = networks[0]
        self._lanes, self._layout, self._compute_dtype = len(networks), layout, compute_dtype
        self._packed = _packed_convolutions(networks[0], self._lanes, side, packing)
        self.parameters = LaneParameters(networks, self._packed, layout, compute_dtype)
        modules = [dict(network.named_modules()) for network in networks]
        self.running = {
            name: (
                torch.cat([lane[name].running_mean for lane in modules]),  # type: ignore[misc]
                torch.cat([lane[name].running_var for lane in modules]),  # type: ignore[misc]
            )
            for name, module in networks[0].named_modules()
            if isinstance(module, nn.BatchNorm2d)
        }

    def logits(self, images: Tensor) -> Tensor:
        """Logits (K, B, classes) of normalised images (K, B, C, H, W), from the parameters as last gathered."""
        maps = folded(images.to(self._compute_dtype)).contiguous(memory_format=self._layout)
        maps = functional.relu(self._norm("norm", self._convolution("conv", maps, 1)), inplace=True)
        for number, block in enumerate(self._template.blocks):
            assert isinstance(block, BasicBlock)
            maps = self._block(f"blocks.{number}", block, maps)
        features = maps.mean(dim=(2, 3)).unflatten(1, (self._lanes, -1)).transpose(0, 1)
        leaves = self.parameters.leaves
        weights = leaves["classifier.weight"].transpose(1, 2)
        bias = leaves["classifier.bias"].view(self._lanes, 1, -1).to(self._compute_dtype)
        return torch.baddbmm(bias, features, weights)

    def _block(self, name: str, block: BasicBlock, maps: Tensor) -> Tensor:
        branch = self._norm(f"{name}.norm1", self._convolution(f"{name}.conv1", maps, block.stride))
        branch = self._convolution(f"{name}.conv2", functional.relu(branch, inplace=True), 1)
        branch = self._norm(f"{name}.norm2", branch)
        return functional.relu(branch + self._shortcut(maps, block), inplace=True)

    def _convolution(self, name: str, maps: Tensor, stride: int) -> Tensor:
        name = f"{name}.weight"
        groups = self._lanes // self._packed[name]
        return functional.conv2d(maps, self.parameters.leaves[name], stride=stride, padding=1, groups=groups)

    def _norm(self, name: str, maps: Tensor) -> Tensor:
        mean, variance = self.running[name]
        leaves = self.parameters.leaves
        module = self._template.get_submodule(name)
        assert isinstance(module, nn.BatchNorm2d)
        assert module.momentum is not None
        weight, bias = leaves[f"{name}.weight"], leaves[f"{name}.bias"]
        return functional.batch_norm(maps, mean, variance, weight, bias, True, module.momentum, module.eps)

    def _shortcut(self, maps: Tensor, block: BasicBlock) -> Tensor:
        """Option A, with the zeros beside each lane's own channels."""
        if block.stride > 1:
            maps = maps[:, :, :: block.stride, :: block.stride]
        if not block.padding:
            return maps
        zeros = (block.padding, block.padding)
        if self._layout is torch.channels_last:
            # Padded where channels come last in memory too, so that the result keeps the layout.
            lanes = maps.permute(0, 2, 3, 1).unflatten(3, (self._lanes, -1))
            return functional.pad(lanes, zeros).flatten(3).permute(0, 3, 1, 2)
        lanes = maps.unflatten(1, (self._lanes, -1))
        return functional.pad(lanes, (0, 0, 0, 0, *zeros)).flatten(1, 2)


def _packed_convolutions(
    network: CifarResNet, lanes: int, side: int, packing: Mapping[ConvolutionShape, bool]
) -> dict[str, int]:
    """Lanes that share a group, for every convolution by its weight's name."""
    packed = {}
    for name, module in network.named_modules():
        if not isinstance(module, nn.Conv2d):
            continue
        assert module.kernel_size == (KERNEL, KERNEL)
        shape = ConvolutionShape(module.in_channels, module.out_channels, side, module.stride[0])
        side = shape.side_out
        packed[f"{name}.weight"] = lanes_packed(lanes, module.out_channels) if packing.get(shape) else 1
    return packed
