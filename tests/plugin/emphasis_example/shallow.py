"""One hidden layer, for examples that are vectors."""

from __future__ import annotations

from torch import nn

from trainers.errors import FieldError
from trainers.errors import InvalidInput


class Shallow:
    """A network with one hidden layer of 32 units."""

    description = "one hidden layer of 32 units, for vectors"

    def check(self, example_shape: tuple[int, ...]) -> None:
        """Vectors only."""
        if len(example_shape) != 1:
            remedy = "Use a resnet for images."
            raise InvalidInput(FieldError("backbone", "shallow", f"takes vectors, not {example_shape}", remedy))

    def build(self, example_shape: tuple[int, ...], num_classes: int, dropout: float) -> nn.Module:
        """Features to logits, with dropout before the classifier."""
        return nn.Sequential(
            nn.Linear(example_shape[0], 32), nn.ReLU(), nn.Dropout(dropout), nn.Linear(32, num_classes)
        )
