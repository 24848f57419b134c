"""No noise of ours: the data set's labels as they are, which may be wrong already."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from trainers.noise.noise_model import Classes
from trainers.noise.noise_model import NoiseModel


@dataclass(frozen=True)
class GivenLabels(NoiseModel):
    """Change no label. Which of them are wrong is known only where :meth:`draw` is given intact ones."""

    name = "none"
    description = "the labels as the data set has them, for data that is already noisy"
    labels_count_as_intact = False

    @property
    def noise_rate(self) -> None:
        """Unknown."""
        return None

    def transition_matrix(self, num_classes: int) -> None:
        """Unknown."""
        return None

    def _given(self, labels: Classes, num_classes: int, generator: np.random.Generator) -> Classes:
        return labels.copy()
