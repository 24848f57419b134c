"""K CIFAR ResNets as one: channels folded as K * C, so that every layer is one operation for all lanes."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Mapping

import torch
from torch import Tensor
from torch import nn
from torch.nn import functional

from trainers.engines.lane_parameters import LaneParameters
from trainers.models.cifar_resnet import BasicBlock
from trainers.models.cifar_resnet import CifarResNet
from trainers.models.cifar_resnet import subsampled

NormRelu = Callable[[Tensor, Tensor, Tensor, Tensor, Tensor, float, float, Tensor | None], Tensor]


def norm_relu(
    maps: Tensor,
    weight: Tensor,
    bias: Tensor,
    running_mean: Tensor,
    running_var: Tensor,
    momentum: float,
    eps: float,
    shortcut: Tensor | None,
) -> Tensor:
    """``relu(batch_norm(maps) + shortcut)`` with the batch's own statistics; moves the running ones in place.

    Args:
        maps: Shape (B, C, H, W).
        weight: Shape (C,), as the next three.
        bias: See weight.
        running_mean: See weight.
        running_var: See weight.
        momentum: Share of the batch in the running statistics.
        eps: Added to the variance.
        shortcut: Shape of the maps, or None.
    """
    maps = functional.batch_norm(maps, running_mean, running_var, weight, bias, True, momentum, eps)
    return functional.relu(maps if shortcut is None else maps + shortcut, inplace=True)


class FusedCifarResNet:
    """The forward pass of K `CifarResNet` of one depth without dropout, each convolution in K groups.

    Lanes have nothing in common but the kernels: where a kernel computes a group's numbers from the group alone, one
    that is not finite leaves the others alone. A GPU's may compute with its neighbours' too, times zero: so its
    parameters are kept finite (`LaneParameters.clear`), and lanes that are lost in the same step are trained again,
    each alone.

    Args:
        template: The architecture, in the device and type of the parameters and the memory layout of the maps; its
            numbers are of no account.
        lanes: K.
        compute_dtype: Of the maps and matrices; norms keep their parameters in the template's own type.
        norm: What norms, sums with the shortcut and activations are computed by, by default `norm_relu`.

    Attributes:
        parameters: Of all lanes.
        running: Running mean and variance of every norm by its name, (K * C,) each.
    """

    def __init__(
        self,
        template: CifarResNet,
        lanes: int,
        compute_dtype: torch.dtype,
        norm: NormRelu | None = None,
    ) -> None:
        self._template, self._lanes, self._compute_dtype = template, lanes, compute_dtype
        self._norm_relu = norm or norm_relu
        self._layout = _layout(template)
        self.parameters = LaneParameters(template, lanes, compute_dtype)
        self._norms = {
            name: module for name, module in template.named_modules() if isinstance(module, nn.BatchNorm2d)
        }
        self.running = {
            name: (_of_lanes(module.running_mean, lanes), _of_lanes(module.running_var, lanes))
            for name, module in self._norms.items()
        }

    @property
    def state(self) -> list[Tensor]:
        """What training changes, of all lanes."""
        parameters = self.parameters
        return [parameters.values, parameters.velocity, *(each for pair in self.running.values() for each in pair)]

    def load(self, lane: int, state: Mapping[str, Tensor]) -> None:
        """Put a network's ``state_dict`` into a lane's place; its momentum begins at 0."""
        self.parameters.load(lane, state)
        for name, pair in self.running.items():
            for key, running in zip(_RUNNING, pair, strict=True):
                running.view(self._lanes, -1)[lane].copy_(state[f"{name}.{key}"])

    def clear(self, lane: int) -> None:
        """Leave a lane's place with a network of zeros: it computes nothing that is not finite."""
        self.parameters.values[lane].zero_()
        self.parameters.velocity[lane].zero_()
        for mean, variance in self.running.values():
            mean.view(self._lanes, -1)[lane].zero_()
            variance.view(self._lanes, -1)[lane].fill_(1)

    def state_dict(self, lane: int, batches: int) -> dict[str, Tensor]:
        """What the ``state_dict`` of a lane's own network would be after so many batches: a copy."""
        found = self.parameters.state(lane)
        for name, pair in self.running.items():
            found |= {
                f"{name}.{key}": running.view(self._lanes, -1)[lane]
                for key, running in zip(_RUNNING, pair, strict=True)
            }
            found[f"{name}.num_batches_tracked"] = torch.tensor(batches)
        return {name: found[name].clone() for name in self._template.state_dict()}

    def logits(self, images: Tensor, train: bool = True) -> Tensor:
        """Logits (K, B, classes) from the parameters as last gathered.

        Args:
            images: Normalised (K, B, C, H, W).
            train: Whether norms take the batch's statistics and keep running ones; else they use the running ones.
        """
        maps = images.to(self._compute_dtype).transpose(0, 1).flatten(1, 2).contiguous(memory_format=self._layout)
        maps = self._normalised("norm", self._convolution("conv", maps, 1), train)
        for number, block in enumerate(self._template.blocks):
            assert isinstance(block, BasicBlock)
            maps = self._block(f"blocks.{number}", block, maps, train)
        features = maps.mean(dim=(2, 3)).unflatten(1, (self._lanes, -1)).transpose(0, 1)  # type: ignore[no-untyped-call]
        leaves = self.parameters.leaves
        weights = leaves["classifier.weight"].transpose(1, 2)
        bias = leaves["classifier.bias"].view(self._lanes, 1, -1).to(self._compute_dtype)
        return torch.baddbmm(bias, features, weights)

    def _block(self, name: str, block: BasicBlock, maps: Tensor, train: bool) -> Tensor:
        branch = self._normalised(f"{name}.norm1", self._convolution(f"{name}.conv1", maps, block.stride), train)
        branch = self._convolution(f"{name}.conv2", branch, 1)
        return self._normalised(f"{name}.norm2", branch, train, self._shortcut(maps, block))

    def _convolution(self, name: str, maps: Tensor, stride: int) -> Tensor:
        weights = self.parameters.leaves[f"{name}.weight"]
        return functional.conv2d(maps, weights, stride=stride, padding=1, groups=self._lanes)

    def _normalised(self, name: str, maps: Tensor, train: bool, shortcut: Tensor | None = None) -> Tensor:
        """Norm, sum with the shortcut, ReLU."""
        mean, variance = self.running[name]
        leaves, module = self.parameters.leaves, self._norms[name]
        assert module.momentum is not None
        weight, bias = leaves[f"{name}.weight"], leaves[f"{name}.bias"]
        if train:
            return self._norm_relu(maps, weight, bias, mean, variance, module.momentum, module.eps, shortcut)
        maps = functional.batch_norm(maps, mean, variance, weight, bias, eps=module.eps)
        return functional.relu_(maps if shortcut is None else maps.add_(shortcut))

    def _shortcut(self, maps: Tensor, block: BasicBlock) -> Tensor:
        """Option A, with the zeros beside each lane's own channels."""
        maps = subsampled(maps, block.stride)
        if not block.padding:
            return maps
        zeros = (block.padding, block.padding)
        if self._layout is torch.channels_last:
            # Padded where channels come last in memory too, so that the result keeps the layout.
            lanes = maps.permute(0, 2, 3, 1).unflatten(3, (self._lanes, -1))  # type: ignore[no-untyped-call]
            return functional.pad(lanes, zeros).flatten(3).permute(0, 3, 1, 2)
        lanes = maps.unflatten(1, (self._lanes, -1))  # type: ignore[no-untyped-call]
        return functional.pad(lanes, (0, 0, 0, 0, *zeros)).flatten(1, 2)


_RUNNING = ("running_mean", "running_var")


def _of_lanes(statistic: Tensor | None, lanes: int) -> Tensor:
    assert statistic is not None
    return statistic.detach().repeat(lanes)


def _layout(template: CifarResNet) -> torch.memory_format:
    last = template.conv.weight.is_contiguous(memory_format=torch.channels_last)
    return torch.channels_last if last else torch.contiguous_format
