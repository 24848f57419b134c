"""What every supervision is: a frozen value that gives each lane a course; most are a criterion at every step."""

from __future__ import annotations

from abc import ABC
from abc import abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor

from trainers.errors import FieldError
from trainers.errors import InvalidInput
from trainers.supervision.course import Batch
from trainers.supervision.course import Course
from trainers.supervision.course import Setting
from trainers.supervision.course import Stage


class Supervision(ABC):
    """Where the logit gradient of a lane comes from, with its hyper-parameters as the fields of a dataclass."""

    @property
    @abstractmethod
    def name(self) -> str:
        """The name by which a sweep asks for this supervision, e.g. ``gr``."""

    @property
    def stages(self) -> tuple[Stage, ...]:
        """The stretches that a lane's training consists of: one, over the task's budget, unless it says else."""
        return (Stage(),)

    def problems(self, setting: Setting) -> list[FieldError]:
        """Why a lane cannot be supervised like this; empty where it can. Looked at before anything starts."""
        return []

    @abstractmethod
    def course(self, setting: Setting) -> Course:
        """What supervises one lane; the setting has been found to have no `problems`."""


class Criterion(Supervision):
    """A supervision that is a function ``(logits (N, C), labels (N,)) -> scalar`` at every step.

    A call checks its input, ``loss`` does not.
    """

    @abstractmethod
    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """The scalar whose backward is the supervision's logit gradient; input is trusted.

        For training loops that have checked labels once: nothing here waits for the device, so it can be compiled and
        captured in a CUDA graph. Classes other than the labelled one may be masked by -inf, if one of those stays.
        Logits that have overflowed to +inf give NaN, which a loss scaler skips, but at the label: p is 1 there.

        Args:
            logits: Network outputs, shape (N, C), any floating type; half types are computed in float32.
            labels: Labelled classes, shape (N,), int64 in [0, C).
        """

    def course(self, setting: Setting) -> Course:
        """The criterion at every step, whatever the lane."""
        return _CriterionCourse(self)

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


@dataclass(frozen=True, slots=True)
class _CriterionCourse(Course):
    criterion: Criterion

    def loss(self, batch: Batch) -> Tensor:
        return self.criterion.loss(batch.logits, batch.labels)


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
    # As int64, since the number of classes may be more than a narrow type holds. A device is waited for once.
    classes = labels.long()
    if bool(((classes >= 0) & (classes < logits.shape[1])).all() & torch.isfinite(logits).all()):
        return
    lowest, highest = int(classes.min()), int(classes.max())
    if lowest < 0 or highest >= logits.shape[1]:
        raise InvalidInput(
            FieldError(
                "labels",
                lowest if lowest < 0 else highest,
                f"outside [0, {logits.shape[1]})",
                "Number the classes 0 to C-1, or give the network as many outputs as there are classes.",
            )
        )
    row = int((~torch.isfinite(logits)).any(dim=1).nonzero()[0, 0])
    raise InvalidInput(
        FieldError(
            "logits",
            f"row {row}: {logits[row].tolist()[:10]}",
            "NaN or infinite",
            "The network has diverged: lower the learning rate, or beta where normalise is 'none'. Where a class other "
            "than the labelled one is masked by -inf, or a loss scaler skips overflows, call criterion.loss.",
        )
    )
