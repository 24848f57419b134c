"""D2L: dimensionality-driven learning, which trusts predictions more as features begin to spread."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import fmean
from statistics import pstdev
from typing import Any

import torch
from torch import Tensor

from trainers.errors import FieldError
from trainers.errors import InvalidInput
from trainers.supervision.course import Batch
from trainers.supervision.course import Course
from trainers.supervision.course import NetworkView
from trainers.supervision.course import Setting
from trainers.supervision.hyperparameters import count_error
from trainers.supervision.hyperparameters import interval_error
from trainers.supervision.lid import local_intrinsic_dimensionality
from trainers.supervision.log_probabilities import log_probabilities
from trainers.supervision.supervision import Supervision

# What one epoch's estimate is the mean over: at most ten batches of 128, as in the paper.
_BATCHES, _BATCH_SIZE = 10, 128


@dataclass(frozen=True, slots=True)
class DimensionalityDriven(Supervision):
    """Dimensionality-driven learning (D2L): labels give way to predictions once the features' dimension grows.

    At the start of every epoch t of T the local intrinsic dimensionality (LID) of the features before the logits
    is measured. Training is CCE until the LID exceeds the mean of the last ``window`` epochs by two of their
    standard deviations: there, once, the weights of the epoch before come back, and from then on the loss is
    -sum (alpha y + (1 - alpha) onehot(argmax p)) log p, alpha = exp(-(t/T) LID_t / min_{s<t} LID_s).
    A lane whose LID never jumps is trained with CCE to its end, and one that turns after the labels are memorised
    hardly differs from it: predictions and labels are the same by then.

    Args:
        k: Nearest neighbours of an estimate, >= 2.
        window: Epochs that the LID is compared with, >= 2.
        warm_up: Share of the epochs that the window has to be clear of before a jump counts, in [0, 1]. The source
            gives 5 of 50 epochs (MNIST), 10 of 120 (CIFAR-10) and 20 of 200 (CIFAR-100): a tenth.

    Raises:
        InvalidInput: A value is out of range.

    Source: Ma et al., ICML 2018, Eq. 4 to 6 and Algorithm 1, with k, window and warm-up of their released code.
    That code differs in two points, in which the paper is followed: its minimum includes LID_t itself, and the
    checkpoint that it restores was written at the end of the epoch just done, so that nothing rolls back.
    """

    k: int = 20
    window: int = 5
    warm_up: float = 0.1

    def __post_init__(self) -> None:
        errors = [
            *count_error("k", self.k, 2, "Use 20 neighbours as its authors do."),
            *count_error("window", self.window, 2, "Use 5 epochs as its authors do."),
            *interval_error("warm_up", self.warm_up, "[0, 1]", "Give a share of the epochs, e.g. 0.1."),
        ]
        if errors:
            raise InvalidInput(*errors)
        object.__setattr__(self, "k", int(self.k))
        object.__setattr__(self, "window", int(self.window))
        object.__setattr__(self, "warm_up", float(self.warm_up))

    @property
    def name(self) -> str:
        """``d2l``."""
        return "d2l"

    def problems(self, setting: Setting) -> list[FieldError]:
        """Fewer than three examples: two have no dimensionality."""
        if len(setting.labels) >= 3:
            return []
        remedy = "Give at least 3 training examples."
        return [FieldError("labels", f"{len(setting.labels)} examples", "no neighbours to measure", remedy)]

    def course(self, setting: Setting) -> Course:
        """CCE, and from the turning point on D2L's loss."""
        return _DimensionalityDrivenCourse(self, setting)


class _DimensionalityDrivenCourse(Course):
    """State: the LID history, alpha, whether the turn is past, and the previous epoch's weights until it is."""

    def __init__(self, supervision: DimensionalityDriven, setting: Setting) -> None:
        self._supervision, self._setting = supervision, setting
        self._history: list[float] = []
        self._turned = False
        self._alpha = 1.0
        self._previous: dict[str, Tensor] | None = None

    def begin_epoch(self, network: NetworkView) -> None:
        dimensionality = self._measure(network)
        if dimensionality is None:
            # As the source does: an epoch whose features have no dimension repeats the last that had one.
            if not self._history:
                return
            dimensionality = self._history[-1]
        earlier = self._history
        self._history = [*earlier, dimensionality]
        if not self._turned and self._jumps(earlier, dimensionality, network.epochs):
            self._turned = True
            if self._previous is not None:
                network.set_weights(self._previous)
            self._previous = None
        if self._turned:
            self._alpha = math.exp(-network.epoch / network.epochs * dimensionality / min(earlier))
        elif len(self._history) >= self._earliest(network.epochs):
            # Only now can the next epoch turn; before, a copy of the weights would serve nobody.
            self._previous = network.weights()

    def loss(self, batch: Batch) -> Tensor:
        """See DimensionalityDriven."""
        log_p = log_probabilities(batch.logits)
        given = log_p.gather(1, batch.labels.unsqueeze(1))
        if not self._turned:
            return -given.mean()
        predicted = log_p.gather(1, batch.logits.argmax(dim=1, keepdim=True))
        return -(self._alpha * given + (1 - self._alpha) * predicted).mean()

    def state_dict(self) -> dict[str, Any]:
        return {
            "history": list(self._history),
            "turned": self._turned,
            "alpha": self._alpha,
            "previous": self._previous,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._history = list(state["history"])
        self._turned, self._alpha = state["turned"], state["alpha"]
        previous = state["previous"]
        device = self._setting.device
        self._previous = previous and {name: tensor.to(device) for name, tensor in previous.items()}

    def _measure(self, network: NetworkView) -> float | None:
        """Mean LID of a random part of the training set; None where no example has one."""
        count = len(self._setting.labels)
        size = min(_BATCH_SIZE, count)
        import numpy as np  # here, since whoever takes a loss alone need not have it

        # Drawn from (seed, epoch) alone, so that no generator has to be kept.
        drawn = np.random.default_rng((self._setting.seed, network.epoch)).permutation(count)
        drawn = drawn[: min(_BATCHES, count // size) * size]
        features = network.features(torch.from_numpy(drawn).to(self._setting.device))
        # Images that cannot be decoded have no features; a last part that is too small has no neighbours.
        batches = [batch for batch in torch.split(features, size) if len(batch) > 2]
        if not batches:
            return None
        estimates = torch.cat([local_intrinsic_dimensionality(batch, self._supervision.k) for batch in batches])
        estimates = estimates[torch.isfinite(estimates)]
        mean = float(estimates.double().mean()) if len(estimates) else 0.0
        return mean if mean > 0 else None

    def _earliest(self, epochs: int) -> int:
        """How many epochs are measured before one that may turn."""
        return round(self._supervision.warm_up * epochs) + self._supervision.window

    def _jumps(self, earlier: list[float], dimensionality: float, epochs: int) -> bool:
        if len(earlier) < self._earliest(epochs):
            return False
        window = earlier[-self._supervision.window :]
        return dimensionality - fmean(window) > 2 * pstdev(window)
