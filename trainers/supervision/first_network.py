"""A first network trained with CCE, and the epoch of it that later stages believe."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from trainers.supervision.course import Batch
from trainers.supervision.course import NetworkView
from trainers.supervision.course import Setting
from trainers.supervision.log_probabilities import log_probabilities


class FirstNetwork:
    """Training with CCE on most of the examples; the best epoch is told by the labels of those left out.

    A network trained to its end has learnt the wrong labels by heart, and nothing can be read off it about how
    they came about. The labels that it was not shown are as noisy as the others, but it cannot have learnt them by
    heart: their cross entropy is least about where memorising begins.

    Args:
        setting: The lane; its seed chooses the examples that are left out.
        held_out: Their share, in [0, 1); at 0 the last epoch is believed.

    Source: the released codes of Patrini et al., CVPR 2017 (the network with the least loss on 10 % of the
    training set, noisy as it is) and of Goldberger and Ben-Reuven, ICLR 2017 (early stopping on the same).
    """

    def __init__(self, setting: Setting, held_out: float) -> None:
        examples = len(setting.labels)
        # At least one where any are asked for, and at least one left to train on.
        count = min(max(1, round(held_out * examples)), examples - 1) if held_out > 0 else 0
        order = torch.randperm(examples, generator=torch.Generator().manual_seed(setting.seed))
        self._labels = setting.labels
        self._out = order[:count].sort().values.to(setting.device)
        self._trained_on = torch.ones(examples, dtype=torch.float32, device=setting.device)
        self._trained_on[self._out] = 0
        self._least = math.inf

    def loss(self, batch: Batch) -> Tensor:
        """Mean of -log p over the examples of the batch that are trained on; 0 where there is none."""
        counts = self._trained_on[batch.chosen]
        losses = -log_probabilities(batch.logits).gather(1, batch.labels.unsqueeze(1)).squeeze(1)
        return (losses * counts).sum() / counts.sum().clamp(min=1)

    def best_so_far(self, network: NetworkView) -> Tensor | None:
        """Its softmax outputs (N, C), float32, if no epoch before was better than the one that just ended."""
        probabilities = network.probabilities()
        if len(self._out):
            p = probabilities[self._out].gather(1, self._labels[self._out].unsqueeze(1))
            cross_entropy = -float(p.clamp(min=torch.finfo(p.dtype).tiny).log().mean())
            if not cross_entropy < self._least:
                return None
            self._least = cross_entropy
        return probabilities

    def state_dict(self) -> dict[str, Any]:
        """What the next comparison depends on."""
        return {"least": self._least}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from what `state_dict` returned."""
        self._least = state["least"]
