"""mlp: a multi-layer perceptron with batch normalisation, for small or flat examples."""

from __future__ import annotations

import math

from torch import Tensor
from torch import nn

HIDDEN = (256, 256)


class MLP(nn.Module):
    """F-256-256-C perceptron: linear, batch normalisation and ReLU twice, then a linear classifier.

    Args:
        num_features: F, the number of values of one example.
        num_classes: C.
        dropout: Dropout rate before the classifier, in [0, 1).
    """

    def __init__(self, num_features: int, num_classes: int, dropout: float = 0.0) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Flatten()]
        width = num_features
        for hidden in HIDDEN:
            # No bias: batch normalisation subtracts it again.
            layers += [nn.Linear(width, hidden, bias=False), nn.BatchNorm1d(hidden), nn.ReLU(inplace=True)]
            width = hidden
        self.features = nn.Sequential(*layers)
        self.dropout = nn.Dropout(dropout) if dropout else nn.Identity()
        self.classifier = nn.Linear(width, num_classes)

    def forward(self, examples: Tensor) -> Tensor:
        """Logits (N, C) of normalised float examples (N, ...)."""
        logits: Tensor = self.classifier(self.dropout(self.features(examples)))
        return logits


class MLPBackbone:
    """Builds :class:`MLP` for examples of any shape."""

    description = "perceptron F-256-256-C with batch normalisation, for flat examples and small images"

    def check(self, example_shape: tuple[int, ...]) -> None:
        """Any example will do: it is flattened."""

    def build(self, example_shape: tuple[int, ...], num_classes: int, dropout: float) -> nn.Module:
        """A freshly initialised :class:`MLP`.

        Args:
            example_shape: Shape of one example.
            num_classes: Number of classes.
            dropout: Dropout rate before the classifier.
        """
        return MLP(math.prod(example_shape), num_classes, dropout)
