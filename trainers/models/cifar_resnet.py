"""resnet20 ... resnet110: the residual networks for CIFAR of He et al., arXiv 1512.03385, section 4.2."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor
from torch import nn
from torch.nn import functional

from trainers.errors import FieldError
from trainers.errors import InvalidInput

WIDTHS = (16, 32, 64)
DEPTHS = (20, 32, 44, 56, 110)
# Two halvings and a 3x3 convolution after them still see more than padding.
_SMALLEST_SIDE = 4


def subsampled(maps: Tensor, stride: int) -> Tensor:
    """Every stride-th row and column of feature maps (N, C, H, W), in their memory format.

    A slice would be the same, but its gradient is always laid out channels first; summed with that of the branch it
    made all that follows in channels_last slow (a tenth of a step of ResNet-20 on a CPU).
    """
    return maps if stride == 1 else functional.avg_pool2d(maps, 1, stride)


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and an identity shortcut (option A: subsampled and zero-padded, no parameters).

    Args:
        width_in: Channels in.
        width: Channels out.
        stride: 1, or 2 to halve height and width.
    """

    def __init__(self, width_in: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width_in, width, 3, stride, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(width)
        self.stride = stride
        self.padding = (width - width_in) // 2

    def forward(self, images: Tensor) -> Tensor:
        """Feature maps (N, width, H / stride, W / stride); the memory format of ``images`` is kept."""
        branch = functional.relu(self.norm1(self.conv1(images)), inplace=True)
        branch = self.norm2(self.conv2(branch))
        images = subsampled(images, self.stride)
        if self.padding:
            images = functional.pad(images, (0, 0, 0, 0, self.padding, self.padding))
        return functional.relu(branch + images, inplace=True)


class CifarResNet(nn.Module):
    """A 3x3 convolution, three stages of ``(depth - 2) / 6`` blocks, the spatial mean, a linear classifier.

    With 3 channels and 10 classes it has 269,722 parameters at depth 20, 658,586 at 44 and 853,018 at 56.
    Weights are initialised as He et al. do (normal, variance 2 / fan-in).

    Args:
        depth: 6 n + 2: one of 20, 32, 44, 56, 110.
        in_channels: Channels of the images.
        num_classes: Number of classes.
        dropout: Dropout rate before the classifier, in [0, 1). Where the paper puts it is not stated.
    """

    def __init__(self, depth: int, in_channels: int, num_classes: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, WIDTHS[0], 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(WIDTHS[0])
        blocks = []
        width_in = WIDTHS[0]
        for width in WIDTHS:
            for _ in range((depth - 2) // 6):
                blocks.append(BasicBlock(width_in, width, stride=1 if width == width_in else 2))
                width_in = width
        self.blocks = nn.Sequential(*blocks)
        self.dropout = nn.Dropout(dropout) if dropout else nn.Identity()
        self.classifier = nn.Linear(WIDTHS[-1], num_classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def forward(self, images: Tensor) -> Tensor:
        """Logits (N, C) of normalised float images (N, in_channels, H, W), in either memory format."""
        maps = self.blocks(functional.relu(self.norm(self.conv(images)), inplace=True))
        logits: Tensor = self.classifier(self.dropout(maps.mean(dim=(2, 3))))
        return logits


@dataclass(frozen=True)
class CifarResNetBackbone:
    """Builds :class:`CifarResNet` of one depth for images.

    Args:
        depth: One of :data:`DEPTHS`.
    """

    depth: int

    @property
    def description(self) -> str:
        """One line for a list of backbones."""
        return f"CIFAR residual network of depth {self.depth}, option A shortcuts, for small images"

    def check(self, example_shape: tuple[int, ...]) -> None:
        """Find out whether examples of this shape can go through the network.

        Raises:
            InvalidInput: They are not images, or smaller than 4x4.
        """
        if len(example_shape) != 3 or min(example_shape[1:]) < _SMALLEST_SIDE:
            raise InvalidInput(
                FieldError(
                    "backbone",
                    f"resnet{self.depth}",
                    f"needs images (C, H, W) of at least 4x4 pixels, and an example here is {example_shape}",
                    "Use mlp for flat or tiny examples.",
                )
            )

    def build(self, example_shape: tuple[int, ...], num_classes: int, dropout: float) -> nn.Module:
        """A freshly initialised :class:`CifarResNet`.

        Args:
            example_shape: (C, H, W).
            num_classes: Number of classes.
            dropout: Dropout rate before the classifier.
        """
        return CifarResNet(self.depth, example_shape[0], num_classes, dropout)
