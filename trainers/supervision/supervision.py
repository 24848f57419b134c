"""What every supervision is: a criterion that turns (logits, labels) into a scalar with a logit gradient."""

from __future__ import annotations

from abc import ABC
from abc import abstractmethod

import torch
from torch import Tensor

from trainers.errors import FieldError
from trainers.errors import InvalidInput


class Supervision(ABC):
    """A criterion ``(logits (N, C), labels (N,)) -> scalar``; a call checks its input, ``loss`` does not."""

    @property
    @abstractmethod
    def name(self) -> str:
        """The name by which a sweep asks for this supervision, e.g. ``gr``."""

    @abstractmethod
    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """The scalar whose backward is the supervision's logit gradient; input is trusted.

        For training loops that have checked labels once: nothing here waits for the device.

        Args:
            logits: Network outputs, shape (N, C), any floating type; half types are computed in float32.
            labels: Labelled classes, shape (N,), int64 in [0, C).
        """

    def __call__(self, logits: Tensor, labels: Tensor) -> Tensor:
        """The loss of a batch, after checking it.

        Args:
            logits: Network outputs, shape (N, C) with N >= 1 and C >= 2, floating, finite.
            labels: Labelled classes, shape (N,), integers in [0, C).

        Raises:
            InvalidInput: A shape, type or value is not as above. (On a GPU the check waits for the device;
                ``loss`` is the same without it.)
        """
        check_batch(logits, labels)
        return self.loss(logits, labels.long())


def check_batch(logits: Tensor, labels: Tensor) -> None:
    """Raise InvalidInput unless (logits, labels) is a batch that can be supervised."""
    if logits.dim() != 2 or logits.shape[0] < 1 or logits.shape[1] < 2 or not logits.is_floating_point():
        raise InvalidInput(
            FieldError(
                "logits",
                f"{logits.dtype} of shape {tuple(logits.shape)}",
                "not a batch of logits",
                "Give floating-point logits of shape (N, C) with N >= 1 examples and C >= 2 classes.",
            )
        )
    integer = not (labels.is_floating_point() or labels.is_complex() or labels.dtype == torch.bool)
    if labels.dim() != 1 or labels.shape[0] != logits.shape[0] or not integer:
        raise InvalidInput(
            FieldError(
                "labels",
                f"{labels.dtype} of shape {tuple(labels.shape)}",
                f"not one class a row of logits, which have shape {tuple(logits.shape)}",
                f"Give integer labels of shape ({logits.shape[0]},).",
            )
        )
    lowest, highest = int(labels.min()), int(labels.max())
    if lowest < 0 or highest >= logits.shape[1]:
        raise InvalidInput(
            FieldError(
                "labels",
                lowest if lowest < 0 else highest,
                f"outside [0, {logits.shape[1]})",
                "Number the classes 0 to C-1, or give the network as many outputs as there are classes.",
            )
        )
    if not bool(torch.isfinite(logits).all()):
        row = int((~torch.isfinite(logits)).any(dim=1).nonzero()[0, 0])
        raise InvalidInput(
            FieldError(
                "logits",
                f"row {row}: {logits[row].tolist()[:10]}",
                "NaN or infinite",
                "The network has diverged: lower the learning rate, or beta where normalise is 'none'.",
            )
        )
