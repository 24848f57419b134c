"""Loss corrections by the transition matrix T of the label noise: forward and backward."""

from __future__ import annotations

import math
from abc import abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from trainers.errors import EmphasisError
from trainers.errors import FieldError
from trainers.errors import InvalidInput
from trainers.supervision.course import Batch
from trainers.supervision.course import Course
from trainers.supervision.course import NetworkView
from trainers.supervision.course import Setting
from trainers.supervision.course import Stage
from trainers.supervision.first_network import FirstNetwork
from trainers.supervision.hyperparameters import interval_error
from trainers.supervision.log_probabilities import log_probabilities
from trainers.supervision.supervision import Supervision
from trainers.supervision.transition_estimate import estimate_transition

_SUFFIXES = (".npy", ".csv", ".txt")
# Where float32's 6e-8 becomes 6 %: an inverse beyond it says nothing.
_LARGEST_CONDITION = 1e6
# What the released code clips probabilities to, Keras's epsilon.
_CLIP = 1e-7


def forward_loss(logits: Tensor, labels: Tensor, transition: Tensor) -> Tensor:
    """Forward correction, the mean of -log (T^t p)_y: what the network says is mixed as the noise mixes labels.

    Computed from log p and log T, so the mixed probability needs no clipping where p underflows. Only for a label
    that no class turns into (a column of zeros) is it clipped, to 1e-7: such an example sends no gradient.

    Args:
        logits: Shape (N, C), floating; half types are computed in float32.
        labels: Shape (N,), int64 in [0, C).
        transition: T, shape (C, C), entries in [0, 1], rows that sum to 1.

    Source: Patrini et al., CVPR 2017, theorem 2.
    """
    log_p = log_probabilities(logits)
    log_columns = transition.to(log_p).log().t()
    possible = log_columns.amax(dim=1) > -math.inf
    # Before the logarithm of the sum, since a NaN gradient behind a `where` is a NaN all the same.
    log_columns = torch.where(possible.unsqueeze(1), log_columns, 0)
    mixed = torch.logsumexp(log_p + log_columns[labels], dim=1)
    return -torch.where(possible[labels], mixed, math.log(_CLIP)).mean()


def backward_loss(logits: Tensor, labels: Tensor, inverse: Tensor) -> Tensor:
    """Backward correction, the mean of (T^-1 l)_y with l_j = -log p_j: unbiased for the loss on intact labels.

    It is negative for some (p, y), and unbounded from below: entries of T^-1 are negative.

    Args:
        logits: Shape (N, C), floating; half types are computed in float32.
        labels: Shape (N,), int64 in [0, C).
        inverse: T^-1, shape (C, C).

    Source: Patrini et al., CVPR 2017, theorem 1.
    """
    log_p = log_probabilities(logits)
    return -(inverse.to(log_p)[labels] * log_p).sum(dim=1).mean()


def symmetric_transition(noise_rate: float, num_classes: int) -> Tensor:
    """T of symmetric noise: 1 - r on the diagonal, r / (C - 1) elsewhere; float64 (C, C).

    Args:
        noise_rate: r, in [0, 1].
        num_classes: C, at least 2.

    Raises:
        InvalidInput: An argument is out of range.
    """
    errors = interval_error("noise_rate", noise_rate, "[0, 1]", "Give the probability that a label is changed.")
    if num_classes < 2:
        errors.append(FieldError("num_classes", num_classes, "fewer than 2 classes", "Noise needs another class."))
    if errors:
        raise InvalidInput(*errors)
    transition = torch.full((num_classes, num_classes), noise_rate / (num_classes - 1), dtype=torch.float64)
    return transition.fill_diagonal_(1 - noise_rate)


def read_transition(path: Path | str, num_classes: int) -> Tensor:
    """Read a transition matrix from a file: rows are intact classes, columns given labels.

    Args:
        path: ``.npy``, ``.csv`` or ``.txt``, as `trainers.class_matrix` reads them.
        num_classes: C.

    Returns:
        T, float64 (C, C), each row divided by its sum.

    Raises:
        InvalidInput: The file cannot be read, or holds no (C, C) matrix of probabilities with rows that sum to 1.
    """
    # Imported here since it needs numpy, and whoever takes a loss alone need not have it.
    from trainers.class_matrix import FORMATS
    from trainers.class_matrix import read_class_matrix
    from trainers.class_matrix import transition_problem

    try:
        matrix = read_class_matrix(Path(path))
    except Exception as error:  # numpy raises many kinds for a file that is none of its own
        problem = f"cannot be read as a matrix ({error})"
        raise InvalidInput(FieldError("matrix", str(path), problem, FORMATS)) from error
    if matrix.shape != (num_classes, num_classes):
        problem = f"has shape {matrix.shape}, and {num_classes} classes need ({num_classes}, {num_classes})"
    else:
        problem = transition_problem(matrix) or ""
    if problem:
        remedy = "Row i, column j: the probability that an example of class i is labelled j."
        raise InvalidInput(FieldError("matrix", str(path), problem, remedy))
    transition = torch.from_numpy(matrix.astype("float64"))
    return transition / transition.sum(dim=1, keepdim=True)


class TransitionCorrection(Supervision):
    """A supervision that corrects for the transition matrix T of the label noise, wherever T comes from."""

    matrix: str
    pretraining: float
    held_out: float

    @property
    def stages(self) -> tuple[Stage, ...]:
        """With an estimated matrix, a first network and then a fresh one; else one stage."""
        if self.matrix == "estimated":
            return (Stage(share=self.pretraining), Stage(fresh_network=True))
        return (Stage(),)

    def problems(self, setting: Setting) -> list[FieldError]:
        """No matrix is known, or its file holds none of this many classes."""
        if self.matrix == "estimated":
            return []
        if self.matrix == "true" and setting.transition_matrix is None:
            problem = "nobody knows the transition matrix of these labels"
            return [FieldError("matrix", "true", problem, "Use 'estimated', or give a file that holds the matrix.")]
        try:
            return self._matrix_problems(self._known_matrix(setting))
        except InvalidInput as error:
            return list(error.errors)

    def course(self, setting: Setting) -> Course:
        """The correction from the first step, or after the stage in which the matrix is estimated."""
        if self.matrix == "estimated":
            return _EstimatingCourse(self, setting)
        return _CorrectedCourse(self, self.prepare(self._known_matrix(setting)).to(setting.device, torch.float32))

    @abstractmethod
    def prepare(self, transition: Tensor) -> Tensor:
        """What `corrected_loss` needs of T, float64 (C, C).

        Raises:
            EmphasisError: T cannot be used.
        """

    @abstractmethod
    def corrected_loss(self, logits: Tensor, labels: Tensor, prepared: Tensor) -> Tensor:
        """The mean loss of a batch; input is trusted."""

    def _matrix_problems(self, transition: Tensor) -> list[FieldError]:
        """Why a known matrix cannot be used."""
        return []

    def _known_matrix(self, setting: Setting) -> Tensor:
        if self.matrix == "true":
            assert setting.transition_matrix is not None
            return setting.transition_matrix.double()
        return read_transition(self.matrix, setting.num_classes)

    def _check(self) -> None:
        """Raise InvalidInput unless the hyper-parameters are in range."""
        errors = [
            *interval_error("pretraining", self.pretraining, "(0, inf)", "Give a share of the budget, e.g. 1."),
            *interval_error("held_out", self.held_out, "[0, 1)", "Give a share of the examples, e.g. 0.1."),
        ]
        if self.matrix not in ("true", "estimated") and Path(str(self.matrix)).suffix not in _SUFFIXES:
            remedy = f"Use 'true', 'estimated' or the path of a file that ends in {', '.join(_SUFFIXES)}."
            errors.append(FieldError("matrix", self.matrix, "unknown", remedy))
        if errors:
            raise InvalidInput(*errors)
        object.__setattr__(self, "matrix", str(self.matrix))
        object.__setattr__(self, "pretraining", float(self.pretraining))
        object.__setattr__(self, "held_out", float(self.held_out))


@dataclass(frozen=True, slots=True)
class ForwardCorrection(TransitionCorrection):
    """Forward correction, -log (T^t p)_y: what the network says is mixed as the noise mixes labels.

    Args:
        matrix: T: "true" is that of the lane's label noise, "estimated" the one that `estimate_transition` reads
            off a first network trained with CCE; or the path of a .npy, .csv or .txt file.
        pretraining: Length of the first network's training, as a share of the budget, > 0 ("estimated" only).
        held_out: Share of the examples that the first network is not trained on, in [0, 1): its epoch with the
            least cross entropy on their labels is the one that T is read off ("estimated" only). 0 takes the last.

    Raises:
        InvalidInput: A value is unknown or out of range.

    Source: Patrini et al., CVPR 2017, theorem 2; the first network as in the authors' code.
    """

    matrix: str = "true"
    pretraining: float = 1.0
    held_out: float = 0.1

    def __post_init__(self) -> None:
        self._check()

    @property
    def name(self) -> str:
        """``forward``."""
        return "forward"

    def prepare(self, transition: Tensor) -> Tensor:
        """T itself."""
        return transition

    def corrected_loss(self, logits: Tensor, labels: Tensor, prepared: Tensor) -> Tensor:
        """`forward_loss`."""
        return forward_loss(logits, labels, prepared)


@dataclass(frozen=True, slots=True)
class BackwardCorrection(TransitionCorrection):
    """Backward correction, (T^-1 l)_y with l_j = -log p_j: unbiased for CCE on the intact labels, but unbounded.

    A T whose condition number (2-norm) is above 1e6 counts as singular. One that is known is refused before
    anything starts; an estimated one ends the lane, as an inverse that cannot be computed ends the authors' code.

    Args:
        matrix: As for `ForwardCorrection`, and the two below too.
        pretraining: Length of the first network's training.
        held_out: Share of the examples that it is not trained on.

    Raises:
        InvalidInput: A value is unknown or out of range.

    Source: Patrini et al., CVPR 2017, theorem 1; the first network as in the authors' code.
    """

    matrix: str = "true"
    pretraining: float = 1.0
    held_out: float = 0.1

    def __post_init__(self) -> None:
        self._check()

    @property
    def name(self) -> str:
        """``backward``."""
        return "backward"

    def prepare(self, transition: Tensor) -> Tensor:
        """The inverse of T.

        Raises:
            EmphasisError: T is singular.
        """
        condition = float(torch.linalg.cond(transition))
        if not condition <= _LARGEST_CONDITION:
            raise EmphasisError(
                f"backward correction needs the inverse of the transition matrix, whose condition number is "
                f"{condition:.3g} (at most {_LARGEST_CONDITION:.0e}). Use forward correction."
            )
        inverse: Tensor = torch.linalg.inv(transition)
        return inverse

    def corrected_loss(self, logits: Tensor, labels: Tensor, prepared: Tensor) -> Tensor:
        """`backward_loss`."""
        return backward_loss(logits, labels, prepared)

    def _matrix_problems(self, transition: Tensor) -> list[FieldError]:
        condition = float(torch.linalg.cond(transition))
        if condition <= _LARGEST_CONDITION:
            return []
        problem = f"the transition matrix has no inverse (condition number {condition:.3g}, at most 1e6 will do)"
        if self.matrix != "true":
            return [FieldError("matrix", self.matrix, problem, "Use forward correction, or another matrix.")]
        rate = round(1 - float(transition.diagonal().mean()), 6)
        problem += ", as with symmetric noise at (C - 1) / C"
        return [FieldError("noise_rate", rate, problem, "Use forward correction, or another noise rate.")]


class _CorrectedCourse(Course):
    """The correction with a matrix that is known from the start."""

    def __init__(self, correction: TransitionCorrection, prepared: Tensor) -> None:
        self._correction, self._prepared = correction, prepared

    def loss(self, batch: Batch) -> Tensor:
        return self._correction.corrected_loss(batch.logits, batch.labels, self._prepared)


class _EstimatingCourse(Course):
    """CCE while the matrix is unknown, then the correction with the matrix of the best epoch."""

    def __init__(self, correction: TransitionCorrection, setting: Setting) -> None:
        self._correction, self._device = correction, setting.device
        self._first = FirstNetwork(setting, correction.held_out)
        self._estimate: Tensor | None = None
        self._prepared: Tensor | None = None

    def loss(self, batch: Batch) -> Tensor:
        if self._prepared is None:
            return self._first.loss(batch)
        return self._correction.corrected_loss(batch.logits, batch.labels, self._prepared)

    def end_epoch(self, network: NetworkView) -> None:
        if self._prepared is None and (probabilities := self._first.best_so_far(network)) is not None:
            self._estimate = estimate_transition(probabilities)

    def end_stage(self, number: int, network: NetworkView) -> None:
        if self._estimate is None:
            raise EmphasisError("the first network's outputs are not finite: no transition matrix can be estimated")
        self._prepared = self._correction.prepare(self._estimate).to(self._device, torch.float32)

    def state_dict(self) -> dict[str, Any]:
        return {"first": self._first.state_dict(), "estimate": self._estimate, "prepared": self._prepared}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._first.load_state_dict(state["first"])
        self._estimate = state["estimate"]
        self._prepared = None if state["prepared"] is None else state["prepared"].to(self._device)
