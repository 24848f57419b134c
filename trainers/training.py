"""Train configurations: the one public way to do it, whatever engine runs underneath."""

from __future__ import annotations

import math
import numbers
from collections.abc import Callable
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import field
from dataclasses import replace
from enum import Enum
from pathlib import Path
from typing import Any
from typing import Literal
from typing import get_args

import torch
from torch import Tensor

from trainers.augmentation import network_input_shape
from trainers.datasets import Dataset
from trainers.datasets.examples import Examples
from trainers.errors import FieldError
from trainers.errors import InvalidInput
from trainers.evaluation import Evaluation
from trainers.evaluation import RunningAccuracy
from trainers.models import check_backbone
from trainers.models import check_weights
from trainers.noise import CorruptedLabels
from trainers.supervision import Setting
from trainers.supervision import Stage
from trainers.supervision import Supervision

Augmentation = Literal["none", "pad-crop-flip", "resize-crop-flip"]
Precision = Literal["auto", "fp32", "bf16"]
Engine = Literal["auto", "solo", "graph", "fused"]

_WHOLE_BUDGET = Stage()


@dataclass(frozen=True, slots=True)
class TrainingTask:
    """What all lanes of a run share: data, backbone, optimiser, budget.

    Args:
        dataset: Images or vectors with training labels and a test set.
        backbone: Name of the network, see `trainers.models.backbone_names`.
        iterations: Budget, in optimiser steps.
        batch_size: Examples a step.
        learning_rate: Initial learning rate of SGD.
        momentum: Of SGD.
        weight_decay: L2 coefficient, on every parameter.
        milestones: Steps after which the learning rate is multiplied by ``decay_factor``.
        decay_factor: See milestones; in (0, 1].
        dropout: Rate before the classifier.
        augmentation: "pad-crop-flip" pads by 4, crops at random and flips half of the images;
            "resize-crop-flip" crops 7/8 of each side, 224 of the 256 that images are kept in, at random (in an
            evaluation from the centre) and flips half of the images.
        precision: "bf16" autocasts matrix products and convolutions; "auto" does so for convolutional
            backbones where the device has the instructions. "fp32" is as torch is set: on newer GPUs its
            convolutions are TF32 unless somebody says else.
        evaluate_every: Epochs between evaluations; the end is always evaluated.
        device: "auto" (a GPU if there is one), or a torch device.
        weights: What the backbone starts from: a file (.pt, .pth) with its state dict, or for ``torchvision:NAME``
            the name of weights of torchvision's; "default" becomes the name that it stands for. None is random.

    Raises:
        InvalidInput: Everything that is out of range, unknown or does not fit the data, at once.
    """

    dataset: Dataset
    backbone: str
    iterations: int
    batch_size: int = 128
    learning_rate: float = 0.1
    momentum: float = 0.9
    weight_decay: float = 1e-4
    milestones: tuple[int, ...] = ()
    decay_factor: float = 0.1
    dropout: float = 0.0
    augmentation: Augmentation = "none"
    precision: Precision = "auto"
    evaluate_every: int = 1
    device: str = "auto"
    weights: str | None = None

    def __post_init__(self) -> None:
        errors = [*self._number_errors(), *self._choice_errors(), *self._data_errors()]
        if errors:
            raise InvalidInput(*errors)
        # A list would do as well, but not compare equal to the same milestones in a tuple.
        object.__setattr__(self, "milestones", tuple(self.milestones))

    def _number_errors(self) -> list[FieldError]:
        errors = []
        for name, low in (("iterations", 1), ("batch_size", 2), ("evaluate_every", 1)):
            value = getattr(self, name)
            if not (_is_whole(value) and value >= low):
                why = "; batch norm needs two examples" if name == "batch_size" else ""
                problem = f"not a whole number of {low} or more{why}"
                errors.append(FieldError(name, value, problem, f"Give {name} >= {low}."))
        # Written so that NaN fails each of them.
        for name, fits, interval in (
            ("learning_rate", 0 < self.learning_rate < math.inf, "above 0"),
            ("weight_decay", 0 <= self.weight_decay < math.inf, "of 0 or more"),
            ("momentum", 0 <= self.momentum < 1, "in [0, 1)"),
            ("dropout", 0 <= self.dropout < 1, "in [0, 1)"),
            ("decay_factor", 0 < self.decay_factor <= 1, "in (0, 1]"),
        ):
            if not fits:
                problem = f"not a number {interval}"
                errors.append(FieldError(name, getattr(self, name), problem, f"Give one {interval}."))
        if not all(_is_whole(milestone) and milestone >= 0 for milestone in self.milestones):
            remedy = "Give the optimiser steps after which the learning rate drops."
            errors.append(FieldError("milestones", self.milestones, "not whole numbers of 0 or more", remedy))
        return errors

    def _choice_errors(self) -> list[FieldError]:
        errors = []
        for name, known in (("augmentation", get_args(Augmentation)), ("precision", get_args(Precision))):
            value = getattr(self, name)
            if value not in known:
                errors.append(FieldError(name, value, "unknown", f"Use one of: {', '.join(known)}."))
        try:
            torch.device("cpu" if self.device == "auto" else self.device)
        except (RuntimeError, TypeError):
            remedy = "Use 'auto', 'cpu', 'cuda' or 'cuda:1'."
            errors.append(FieldError("device", self.device, "unknown", remedy))
        return errors

    def _data_errors(self) -> list[FieldError]:
        errors = []
        if len(self.dataset.y_train) < 2:
            problem = "one training example, and batch norm needs two"
            errors.append(FieldError("dataset", self.dataset.name, problem, "Give more training examples."))
        if self.augmentation in ("pad-crop-flip", "resize-crop-flip") and self.dataset.x_train.dim() != 4:
            problem = "the data are not images"
            errors.append(FieldError("augmentation", self.augmentation, problem, "Use augmentation 'none'."))
        try:
            check_backbone(self.backbone, self.network_input_shape)
        except InvalidInput as error:
            return [*errors, *error.errors]
        if self.weights is not None:
            try:
                weights = check_weights(
                    self.backbone, self.network_input_shape, self.dataset.num_classes, self.weights
                )
                object.__setattr__(self, "weights", weights)
            except InvalidInput as error:
                errors.extend(error.errors)
        return errors

    @property
    def network_input_shape(self) -> tuple[int, ...]:
        """Shape of one example as the network sees it, augmented or in an evaluation."""
        return network_input_shape(self.augmentation, self.dataset.example_shape)

    @property
    def steps_per_epoch(self) -> int:
        """Optimiser steps in one pass over the training set; a last batch of one example is left out."""
        return steps_per_epoch(len(self.dataset.y_train), self.batch_size)

    @property
    def epochs(self) -> int:
        """Passes over the training set, the last possibly partial."""
        return -(-self.iterations // self.steps_per_epoch)

    def learning_rate_at(self, iteration: int, stage: Stage = _WHOLE_BUDGET) -> float:
        """The learning rate of step ``iteration``, counted from 0, of a stage of the training."""
        if stage.milestones is None:
            milestones = [milestone * stage.share for milestone in self.milestones]
        else:
            milestones = [milestone * stage.iterations(self.iterations) for milestone in stage.milestones]
        drops = sum(iteration >= milestone for milestone in milestones)
        return float(self.learning_rate * stage.rate_factor * self.decay_factor**drops)


def steps_per_epoch(examples: int, batch_size: int) -> int:
    """Optimiser steps in one pass over ``examples``, two or more, in batches of ``batch_size``, two or more.

    A last batch of one example is left out: batch norm in train mode has no use for it.
    """
    full, rest = divmod(examples, batch_size)
    return full + (rest > 1)


def epochs_of(task: TrainingTask, supervision: Supervision) -> int:
    """Passes over the training set in all stages of a supervision; the last of a stage is possibly partial."""
    budgets = (stage.iterations(task.iterations) for stage in supervision.stages)
    return sum(-(-budget // task.steps_per_epoch) for budget in budgets)


def _is_whole(value: object) -> bool:
    return isinstance(value, numbers.Integral) and not isinstance(value, bool)


@dataclass(frozen=True, slots=True)
class Lane:
    """One configuration with one seed, to be trained.

    Args:
        id: Name, unique among the lanes of a run; it names the checkpoint's file, so it holds no slash.
        supervision: What the logit gradient comes from.
        labels: The labels to train on, and which of them were changed.
        seed: Of the initialisation, the order of examples, augmentation and dropout; 0 or more.
        validation_labels: int64 (V,), in place of those of the data set's validation set, e.g. noisy ones that
            were drawn with ``labels``.
        learning_rate: In place of the task's; None for the task's own.
        weight_decay: Likewise.
    """

    id: str
    supervision: Supervision
    labels: CorruptedLabels
    seed: int
    validation_labels: Tensor | None = None
    learning_rate: float | None = None
    weight_decay: float | None = None

    def task(self, shared: TrainingTask) -> TrainingTask:
        """The task as this lane trains it.

        Raises:
            InvalidInput: The lane's own learning rate or weight decay is out of range.
        """
        own = {"learning_rate": self.learning_rate, "weight_decay": self.weight_decay}
        given: dict[str, Any] = {name: value for name, value in own.items() if value is not None}
        return replace(shared, **given) if given else shared


@dataclass(frozen=True, slots=True)
class Computation:
    """What computed an epoch. Engines agree to rounding; it is the precision that decides how much is rounded.

    Attributes:
        engine: "solo", "graph" or "fused".
        device: A GPU's name as torch has it, else the type of the device, e.g. "cpu".
        precision: "bf16" where matrix products and convolutions were taken in it, else "fp32".
    """

    engine: str
    device: str
    precision: str


@dataclass(frozen=True, slots=True)
class EpochReport:
    """What is known of a lane after an epoch.

    Attributes:
        lane_id: The lane.
        epoch: Epochs done.
        iteration: Steps done.
        train_loss: Mean loss over the epoch's batches, in train mode, augmented.
        learning_rate: Of the epoch's last step.
        evaluation: Accuracies, where the epoch was evaluated.
        seconds: Time spent training and evaluating the lane so far, over all its attempts: of lanes that are trained
            at once its share.
        running: Accuracies of the epoch's own batches; None in reports of earlier releases.
        computed_by: What computed it: a lane that is resumed elsewhere has epochs of both. None in checkpoints of
            earlier releases.
    """

    lane_id: str
    epoch: int
    iteration: int
    train_loss: float
    learning_rate: float
    evaluation: Evaluation | None
    seconds: float
    running: RunningAccuracy | None = None
    computed_by: Computation | None = field(default=None, compare=False)


class Decision(Enum):
    """What to do with a lane after an epoch."""

    CONTINUE = "continue"
    STOP = "stop"


class Ending(Enum):
    """How a lane ended."""

    COMPLETED = "completed"
    STOPPED = "stopped"
    DIVERGED = "diverged"


@dataclass(frozen=True, slots=True)
class LaneResult:
    """A trained lane.

    Attributes:
        lane_id: The lane.
        ending: Trained to the full budget, stopped by the callback, or diverged.
        reason: Why, where it was stopped or diverged; else empty.
        reports: One an epoch, from the first.
        final: The last evaluation; None if there was none.
        best: The evaluation with the highest test accuracy.
        seconds: Time spent training and evaluating.
    """

    lane_id: str
    ending: Ending
    reason: str
    reports: tuple[EpochReport, ...] = field(repr=False)

    @property
    def final(self) -> Evaluation | None:
        """The last evaluation."""
        evaluations = self._evaluations()
        return evaluations[-1] if evaluations else None

    @property
    def best(self) -> Evaluation | None:
        """The evaluation with the highest test accuracy, the earliest of equals."""
        return max(self._evaluations(), key=lambda evaluation: evaluation.test, default=None)

    @property
    def seconds(self) -> float:
        """Time spent training and evaluating."""
        return self.reports[-1].seconds if self.reports else 0.0

    def _evaluations(self) -> list[Evaluation]:
        return [report.evaluation for report in self.reports if report.evaluation is not None]


@dataclass(frozen=True, slots=True)
class Checkpoints:
    """Where lanes leave their state, so that a later run goes on from there.

    Args:
        folder: One file a lane, replaced atomically.
        every_seconds: Least time between two writes of a lane; 0 writes after every epoch.
    """

    folder: Path
    every_seconds: float = 30.0


OnEpoch = Callable[[EpochReport], Decision | None]
OnEnd = Callable[[LaneResult], None]
OnPredicted = Callable[[EpochReport, Tensor], Decision | None]
NextLane = Callable[[], Lane | None]


def train(
    task: TrainingTask,
    lanes: Sequence[Lane],
    on_epoch: OnEpoch | None = None,
    checkpoints: Checkpoints | None = None,
    *,
    on_end: OnEnd | None = None,
    refill: NextLane | None = None,
    engine: Engine = "auto",
    at_once: int | None = None,
) -> list[LaneResult]:
    """Train each lane and report it epoch by epoch.

    The same task, lane, CPU and number of threads give the same numbers to the last bit: whatever other lanes
    there are, whatever the callback draws from torch's generators, and whether a lane was interrupted and
    resumed from its checkpoint or not. The caller's generators are left as they were. A lane that is fused with
    others computes the same in another order, so its numbers agree to rounding.

    Args:
        task: What the lanes share.
        lanes: The configurations to train.
        on_epoch: Called after every epoch of every lane; `Decision.STOP` ends that lane. A resumed lane
            reports its earlier epochs first, as they were, and STOP ends it there too. Of lanes that are lost in
            the same step of one network each is trained again by itself, and its epochs are reported anew.
        checkpoints: Where to leave and find the lanes' states; None keeps none. The files of lanes that have
            ended are left to the caller.
        on_end: Called as soon as a lane has ended, with its result, which is not returned then: a training that is
            refilled for days keeps nothing of what has ended.
        refill: Asked for one more lane, while no other epoch is trained, wherever one could be trained beside those
            that are; None for none now. Where no lane is left and there is none now, training is over.
        engine: "solo" trains one lane at a time; "graph" does so with the whole step as a CUDA graph; "fused" trains
            several at once, as one network. "auto" takes the fastest that can train the lanes on the device: see
            `lanes_at_once`.
        at_once: Most lanes that are fused; by default what `lanes_at_once` says.

    Returns:
        A result for each lane, in the order in which they were given, then those of ``refill``; none where ``on_end``
        is told of them. A lane whose loss is not finite ends as diverged, with the reason, and without a report of the
        epoch in which that happened; the others go on.

    Raises:
        InvalidInput: A lane does not fit the task, or the engine that was asked for; the device is not there, or a
            checkpoint is damaged or another configuration's.
    """
    # Imported here since the engines know this file's types.
    from trainers.engines.choice import check_engine
    from trainers.engines.choice import train_by

    check_lanes(task, lanes)
    check_engine(engine, at_once, task, lanes)
    waiting, begun = list(lanes), dict.fromkeys(lane.id for lane in lanes)
    results: dict[str, LaneResult] = {}

    def next_lane() -> Lane | None:
        if waiting:
            return waiting.pop(0)
        lane = None if refill is None else refill()
        if lane is not None:
            check_lanes(task, [lane])
            if lane.id in begun:
                raise InvalidInput(FieldError("id", lane.id, "was trained already", "Give each lane its own id."))
            begun[lane.id] = None
        return lane

    def keep(result: LaneResult) -> None:
        results[result.lane_id] = result

    known = len(lanes) if refill is None else None
    train_by(engine, task, next_lane, at_once, known, on_epoch or (lambda report: None), checkpoints, on_end or keep)
    return [results[id] for id in begun] if on_end is None else []


def lanes_at_once(task: TrainingTask, supervision: Supervision) -> int:
    """How many lanes of a task one process trains best at once: above 1 where an engine fuses them.

    Args:
        task: What the lanes share. A device that it names is not looked for, so that who hands out work need not have
            it; "auto" is a GPU where there is one here.
        supervision: Of the lanes.
    """
    from trainers.engines.choice import lanes_of

    return lanes_of(task, supervision)


def train_and_predict(
    task: TrainingTask, lane: Lane, examples: Examples, on_predicted: OnPredicted
) -> LaneResult:
    """Train one lane as `train` does, and predict examples with its network after every epoch.

    Predicting draws nothing and changes nothing: the lane's numbers are those of `train`.

    Args:
        task: Data, backbone, optimiser, budget.
        lane: The configuration to train.
        examples: What to predict (N, ...), of the task's example shape and dtype.
        on_predicted: Called after every epoch with its report and the probabilities, float32 (N, C) on the CPU, of
            the network in eval mode and without augmentation; uniform for an image file that cannot be decoded.
            `Decision.STOP` ends the lane.

    Raises:
        InvalidInput: The lane does not fit the task, the device is not there, or too many of the image files are
            undecodable.
    """
    from trainers.engines.solo import train_lane_and_predict

    check_lanes(task, [lane])
    return train_lane_and_predict(task, lane, examples, on_predicted)


def check_lanes(task: TrainingTask, lanes: Sequence[Lane]) -> None:
    """Raise InvalidInput unless every lane fits the task."""
    errors = []
    ids = [lane.id for lane in lanes]
    if len(set(ids)) != len(ids):
        errors.append(FieldError("lanes", ids, "ids repeat", "Give each lane its own id."))
    for lane in lanes:
        if lane.id in ("", ".", "..") or {"/", "\\", "\0"} & set(lane.id):
            errors.append(FieldError("id", lane.id, "cannot name a file", "Give the lane a plain name."))
        if not (_is_whole(lane.seed) and lane.seed >= 0):
            problem = f"lane {lane.id}: not a whole number of 0 or more"
            errors.append(FieldError("seed", lane.seed, problem, "Give seed >= 0."))
        try:
            lane.task(task)
        except InvalidInput as error:
            errors += error.errors
        wrong_labels = _label_errors(task.dataset, lane)
        errors += wrong_labels or lane.supervision.problems(
            Setting(lane.labels.labels, task.dataset.num_classes, 0, lane.labels.transition_matrix)
        )
    if errors:
        raise InvalidInput(*errors)


def _label_errors(dataset: Dataset, lane: Lane) -> list[FieldError]:
    errors = _misfits(dataset, lane.id, "labels", lane.labels.labels, len(dataset.y_train))
    if lane.validation_labels is not None:
        held_out = 0 if dataset.y_validation is None else len(dataset.y_validation)
        errors += _misfits(dataset, lane.id, "validation_labels", lane.validation_labels, held_out)
    return errors


def _misfits(dataset: Dataset, lane_id: str, field: str, labels: Tensor, examples: int) -> list[FieldError]:
    if labels.shape != (examples,) or labels.dtype != torch.int64:
        value, problem = f"{labels.dtype} {tuple(labels.shape)}", f"not int64 ({examples},)"
    elif int(labels.min()) < 0 or int(labels.max()) >= dataset.num_classes:
        value = f"{int(labels.min())} to {int(labels.max())}"
        problem = f"outside the {dataset.num_classes} classes"
    else:
        return []
    remedy = "Draw them from this dataset's labels."
    return [FieldError(field, value, f"lane {lane_id}: {problem}", remedy)]
