"""The course of a supervision over one lane: the one interface between the training loop and all of them.

A supervision is a frozen value; what it remembers while a lane trains, it keeps in a course. The loop runs the
stages that a supervision names, and calls the course at the moments below; a course that needs none of them
overrides `loss` alone.
"""

from __future__ import annotations

from abc import ABC
from abc import abstractmethod
from dataclasses import dataclass
from typing import Any
from typing import NamedTuple
from typing import Protocol

import torch
from torch import Tensor

from trainers.errors import FieldError
from trainers.errors import InvalidInput


@dataclass(frozen=True, slots=True)
class Setting:
    """What a course is told of its lane before the first step.

    Args:
        labels: The labels that training sees, int64 (N,), on the device where the lane trains.
        num_classes: Number of classes C.
        seed: Of everything that the course itself draws.
        transition_matrix: T with T[i, j] = P(given label j | intact label i), float64 (C, C), on the CPU; None
            where nobody knows it.
    """

    labels: Tensor
    num_classes: int
    seed: int
    transition_matrix: Tensor | None = None

    @property
    def device(self) -> torch.device:
        """Where the lane trains."""
        return self.labels.device


@dataclass(frozen=True, slots=True)
class Stage:
    """A stretch of a lane's training.

    Args:
        share: Its length as a share of the task's budget, > 0.
        fresh_network: Whether it begins with a newly drawn network and optimiser; the first stage does anyway.
        rate_factor: What the task's learning rate is multiplied by, > 0.
        milestones: Where the learning rate drops, as shares of the stage; None stretches the task's own.

    Raises:
        InvalidInput: A value is out of range.
    """

    share: float = 1.0
    fresh_network: bool = False
    rate_factor: float = 1.0
    milestones: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        errors = [
            FieldError(name, value, "not above 0", f"Give {name} > 0.")
            for name, value in (("share", self.share), ("rate_factor", self.rate_factor))
            if not value > 0
        ]
        if errors:
            raise InvalidInput(*errors)

    def iterations(self, budget: int) -> int:
        """Optimiser steps of the stage, at least one, of a task with a budget of so many."""
        return max(1, round(self.share * budget))


class Batch(NamedTuple):
    """One mini-batch after the forward pass.

    Attributes:
        logits: Network outputs, shape (B, C).
        labels: The labels that training sees, int64 (B,).
        chosen: Stable indices of the examples in the training set, int64 (B,).
    """

    logits: Tensor
    labels: Tensor
    chosen: Tensor


class NetworkView(Protocol):
    """What a course may ask of the network between two epochs; asking changes nothing."""

    @property
    def epoch(self) -> int:
        """Epochs done in this stage."""

    @property
    def epochs(self) -> int:
        """Epochs of this stage, the last possibly partial."""

    def probabilities(self) -> Tensor:
        """Softmax outputs for the whole training set, eval mode, un-augmented, float32 (N, C)."""

    def features(self, chosen: Tensor) -> Tensor:
        """What the last linear layer is given for these examples, eval mode, un-augmented, float32 (n, F).

        Fewer rows where image files cannot be decoded.
        """

    def weights(self) -> dict[str, Tensor]:
        """A copy of all parameters and buffers."""

    def set_weights(self, weights: dict[str, Tensor]) -> None:
        """Put back what `weights` returned; the optimiser's state stays."""


class Course(ABC):
    """What supervises one lane from its first step to its last."""

    def begin_epoch(self, network: NetworkView) -> None:
        """Called before every epoch's first step."""

    @abstractmethod
    def loss(self, batch: Batch) -> Tensor:
        """The scalar whose backward is the logit gradient; input is trusted, nothing waits for the device."""

    def loss_and_gradient(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """The loss of a batch and its gradient in the logits, (B, C), neither of which can be differentiated.

        What the course itself trains has its gradients added to by this.
        """
        logits = batch.logits.detach().requires_grad_()
        loss = self.loss(batch._replace(logits=logits))
        loss.backward()  # type: ignore[no-untyped-call]
        assert logits.grad is not None
        return loss.detach(), logits.grad

    def step(self, learning_rate: float) -> None:
        """Called after every step of the network, whose backward has been run: update what the course trains."""

    def end_epoch(self, network: NetworkView) -> None:
        """Called after every epoch's last step, before it is evaluated."""

    def end_stage(self, number: int, network: NetworkView) -> None:
        """Called when stage ``number``, from 0, is over and its network still there; not after the last."""

    def state_dict(self) -> dict[str, Any]:
        """All that the rest of the course depends on, as tensors and plain values; a checkpoint holds it."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from what `state_dict` returned; tensors may lie on the CPU."""
