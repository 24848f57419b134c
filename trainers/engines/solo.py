"""The reference engine: one lane at a time, eager, with the data resident on the device."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch import nn

from trainers.augmentation import augmented
from trainers.augmentation import drawn
from trainers.augmentation import unaugmented
from trainers.datasets.examples import Examples
from trainers.datasets.examples import batches
from trainers.datasets.examples import on_device
from trainers.engines.chance import Purpose
from trainers.engines.chance import generator
from trainers.engines.chance import stream
from trainers.engines.checkpoint import LaneCheckpoint
from trainers.engines.checkpoint import identity_of
from trainers.engines.checkpoint import restored_report
from trainers.engines.flat_parameters import flatten_parameters
from trainers.engines.perceptron import perceptron_pass
from trainers.engines.precision import Arithmetic
from trainers.engines.sgd import MomentumSGD
from trainers.evaluation import Evaluation
from trainers.evaluation import RunningAccuracy
from trainers.evaluation import accuracy
from trainers.evaluation import outputs
from trainers.evaluation import predictions
from trainers.models import build_model
from trainers.models.classifier import classifier_of
from trainers.supervision import Batch
from trainers.supervision import Setting
from trainers.supervision import Stage
from trainers.training import Checkpoints
from trainers.training import Decision
from trainers.training import Ending
from trainers.training import Engine
from trainers.training import EpochReport
from trainers.training import Lane
from trainers.training import LaneResult
from trainers.training import OnEpoch
from trainers.training import OnPredicted
from trainers.training import TrainingTask
from trainers.training import epochs_of


def train_lane(
    task: TrainingTask, lane: Lane, on_epoch: OnEpoch, checkpoints: Checkpoints | None
) -> LaneResult:
    """Train one lane to its end; see `trainers.training.train`."""
    return trained(LaneTraining(task, lane), on_epoch, checkpoints)


def train_lane_and_predict(
    task: TrainingTask, lane: Lane, examples: Examples, on_predicted: OnPredicted
) -> LaneResult:
    """Train one lane and predict after every epoch; see `trainers.training.train_and_predict`."""
    training = LaneTraining(task, lane)
    resident = on_device(examples, training.arithmetic.device)

    def predict(report: EpochReport) -> Decision | None:
        return on_predicted(report, training.probabilities(resident).cpu())

    return trained(training, predict, None)


def trained(training: LaneTraining, on_epoch: OnEpoch, checkpoints: Checkpoints | None) -> LaneResult:
    """A lane, trained from where it is to its end; see `trainers.training.train`."""
    task, lane = training.task, training.lane
    checkpoint = LaneCheckpoint(checkpoints, lane.id) if checkpoints is not None else None
    if checkpoint is not None:
        checkpoint.load(training)
        for done, report in enumerate(training.reports, start=1):
            if on_epoch(report) is Decision.STOP:
                return _stopped(task, lane, training.reports[:done])
    while not training.finished:
        report = training.train_epoch()
        if problem := training.divergence():
            return LaneResult(lane.id, Ending.DIVERGED, problem, tuple(training.reports))
        training.reports.append(report)
        if on_epoch(report) is Decision.STOP:
            return _stopped(task, lane, training.reports)
        if checkpoint is not None and not training.finished:
            checkpoint.save_if_due(training)
    return LaneResult(lane.id, Ending.COMPLETED, "", tuple(training.reports))


def _stopped(task: TrainingTask, lane: Lane, reports: list[EpochReport]) -> LaneResult:
    reason = f"stopped after epoch {reports[-1].epoch} of {epochs_of(task, lane.supervision)}"
    return LaneResult(lane.id, Ending.STOPPED, reason, tuple(reports))


class LaneTraining:
    """The live state of a lane.

    Args:
        task: What lanes share.
        lane: The lane.
    """

    engine: Engine = "solo"

    def __init__(self, task: TrainingTask, lane: Lane) -> None:
        task = lane.task(task)
        data = task.dataset
        self.task, self.lane = task, lane
        # Torch's default generators as this lane sees them: the CPU's, and that of its GPU if it has one.
        self._random = generator(lane.seed, Purpose.INITIALISATION).get_state()
        self._cuda_random: Tensor | None = None
        self._cuda: list[torch.device] = []
        network = self._drawn_network()
        self.arithmetic = Arithmetic.choose(task.device, task.precision, network)
        self._computation = self.arithmetic.computation(self.engine)
        device = self.arithmetic.device
        if device.type == "cuda":
            self._cuda = [device]
            self._cuda_random = generator(lane.seed, Purpose.INITIALISATION, device).get_state()
        self._train(network)
        self.order = generator(lane.seed, Purpose.ORDER)
        self.augmentation = generator(lane.seed, Purpose.AUGMENTATION)
        self.x_train, self.x_test = on_device(data.x_train, device), on_device(data.x_test, device)
        self.labels, self.y_test = lane.labels.labels.to(device), data.y_test.to(device)
        self.intact_labels = None if data.intact_train is None else data.intact_train.to(device)
        self.x_validation = None if data.x_validation is None else on_device(data.x_validation, device)
        labels = data.y_validation if lane.validation_labels is None else lane.validation_labels
        self.y_validation = None if labels is None else labels.to(device)
        scale = 255.0 if data.x_train.dtype == torch.uint8 else 1.0
        shape = (1, -1, 1, 1) if data.x_train.dim() == 4 else (1, -1)
        self.shift = (data.mean * scale).to(device).view(shape)
        self.gain = (1 / (data.std * scale)).to(device).view(shape)
        setting = Setting(
            self.labels, data.num_classes, stream(lane.seed, Purpose.COURSE), lane.labels.transition_matrix
        )
        self.course = lane.supervision.course(setting)
        self.stage_number = 0
        # Done in this stage, and in all.
        self.stage_iteration = self.stage_epoch = self.iteration = 0
        self.seconds = 0.0
        self.reports: list[EpochReport] = []
        # What was predicted of the epoch's batches, and of which examples.
        self._predicted: list[Tensor] = []
        self._seen: list[Tensor] = []
        # Of the first step whose loss was not finite, from 1; 0 while there is none.
        self._bad_iteration = 0

    def _drawn_network(self) -> nn.Module:
        task, data = self.task, self.task.dataset
        with self._own_randomness():
            return build_model(
                task.backbone, task.network_input_shape, data.num_classes, task.dropout, task.weights
            )

    def _train(self, network: nn.Module) -> None:
        """Make a network the one that is trained from here on."""
        self.network = network.to(self.arithmetic.device).to(memory_format=self.arithmetic.memory_format)
        self.parameters = flatten_parameters(self.network)
        self.optimiser = MomentumSGD(self.parameters, self.task.momentum, self.task.weight_decay)
        self._written_out = perceptron_pass(self.network, self.arithmetic)

    @property
    def stage(self) -> Stage:
        """The stage that is trained, or was last."""
        return self.lane.supervision.stages[self.stage_number]

    @property
    def stage_iterations(self) -> int:
        """Optimiser steps of the stage."""
        return self.stage.iterations(self.task.iterations)

    @property
    def finished(self) -> bool:
        """Whether the last stage is over."""
        last = self.stage_number == len(self.lane.supervision.stages) - 1
        return last and self.stage_iteration == self.stage_iterations

    def _begin_next_stage(self) -> None:
        self.course.end_stage(self.stage_number, _View(self))
        self.stage_number += 1
        self.stage_iteration = self.stage_epoch = 0
        if self.stage.fresh_network:
            self._train(self._drawn_network())

    def train_epoch(self) -> EpochReport:
        """One pass over the training set, or what is left of the stage; evaluated where due."""
        started = time.perf_counter()
        task = self.task
        if self.stage_iteration == self.stage_iterations:
            self._begin_next_stage()
        steps = min(task.steps_per_epoch, self.stage_iterations - self.stage_iteration)
        epoch = len(self.reports) + 1
        device = self.arithmetic.device
        order = torch.randperm(len(self.labels), generator=self.order).to(device)
        self._predicted, self._seen = [], []
        self.course.begin_epoch(_View(self))
        self.network.train()
        with self._own_randomness():
            losses = torch.stack(self._train_on(order[: steps * task.batch_size])).double()
        self.stage_epoch += 1
        self.course.end_epoch(_View(self))
        # The first look at the device since the epoch began.
        train_loss = float(losses.mean())
        if not np.isfinite(train_loss):
            self._bad_iteration = self.iteration - steps + 1 + int((~torch.isfinite(losses)).nonzero()[0])
        due = epoch % task.evaluate_every == 0 or self.finished
        evaluation = self._evaluate(epoch) if due and np.isfinite(train_loss) else None
        self.seconds += time.perf_counter() - started
        return EpochReport(
            lane_id=self.lane.id,
            epoch=epoch,
            iteration=self.iteration,
            train_loss=train_loss,
            learning_rate=task.learning_rate_at(self.stage_iteration - 1, self.stage),
            evaluation=evaluation,
            seconds=self.seconds,
            running=self._running(),
            computed_by=self._computation,
        )

    def _train_on(self, chosen: Tensor) -> list[Tensor]:
        """A step on each batch of the chosen examples; their losses, on the device."""
        # Batch norm needs two examples, also of a batch with files that cannot be decoded.
        examples = batches(self.x_train, chosen, self.task.batch_size, at_least=2)
        device, losses = self.arithmetic.device, []
        for draws, (raw, here) in zip(self.draws(chosen), examples, strict=True):
            learning_rate = self.learning_rate
            loss, predicted = self.update(raw.to(device), here, draws, learning_rate)
            self.course.step(learning_rate)
            self.took_step(here, predicted)
            losses.append(loss)
        return losses

    def draws(self, chosen: Tensor) -> Sequence[Tensor]:
        """What chance decides for the batches of the chosen examples, (3, size) each, moved to the device at once."""
        sizes = [len(each) for each in torch.split(chosen, self.task.batch_size)]
        shape, augmentation = self.task.dataset.example_shape, self.task.augmentation
        each = [drawn(augmentation, size, shape, self.augmentation) for size in sizes]
        return torch.split(torch.cat(each, dim=1).to(self.arithmetic.device), sizes, dim=1)

    def divergence(self) -> str:
        """Why the lane cannot go on; empty where it can."""
        if iteration := self._bad_iteration:
            return f"loss not finite at iteration {iteration} (epoch {len(self.reports) + 1})"
        # One that is not finite makes the sum so too, which takes a twentieth of looking at each.
        if not math.isfinite(float(self.parameters.detach().sum())) and not bool(torch.isfinite(self.parameters).all()):
            return f"parameters not finite after iteration {self.iteration}"
        return ""

    @property
    def learning_rate(self) -> float:
        """Of the next step."""
        return self.task.learning_rate_at(self.stage_iteration, self.stage)

    def update(
        self, raw: Tensor, chosen: Tensor, draws: Tensor, learning_rate: float | Tensor
    ) -> tuple[Tensor, Tensor]:
        """One optimiser step on the chosen examples as they are stored; the loss and what was predicted of them."""
        inputs = self._normalised(augmented(self.task.augmentation, raw, draws))
        labels = self.labels.index_select(0, chosen)
        backward: Callable[[Tensor], None]
        if self._written_out is None:
            self.optimiser.zero_grad()
            logits = self._logits(inputs)
            backward = logits.backward
        else:
            logits = self._written_out.forward(inputs)
            backward = self._written_out.backward
        loss, gradient = self.course.loss_and_gradient(Batch(logits, labels, chosen))
        backward(gradient)
        predicted = logits.detach().argmax(dim=1)
        self.optimiser.step(learning_rate)
        return loss, predicted

    def took_step(self, chosen: Tensor, predicted: Tensor) -> None:
        """Note a step that was done."""
        # Compared with labels once an epoch: eight small operations a step less.
        self._predicted.append(predicted)
        self._seen.append(chosen)
        self.stage_iteration += 1
        self.iteration += 1

    def _running(self) -> RunningAccuracy:
        predicted, seen = torch.cat(self._predicted), torch.cat(self._seen)
        intact = math.nan
        if self.intact_labels is not None:
            intact = accuracy(predicted, self.intact_labels[seen])
        return RunningAccuracy(accuracy(predicted, self.labels[seen]), intact)

    def logits(self, raw: Tensor) -> Tensor:
        """Logits (B, C), float32, of raw inputs (B, ...)."""
        return self._logits(self._normalised(raw))

    def _normalised(self, raw: Tensor) -> Tensor:
        layout = self.arithmetic.memory_format if raw.dim() == 4 else torch.contiguous_format
        # Type and layout at once: one after the other took 1.8 ms more for 128 CIFAR images on one thread.
        inputs = raw.to(torch.float32, memory_format=layout)
        return (inputs - self.shift if inputs is raw else inputs.sub_(self.shift)).mul_(self.gain)

    def _logits(self, inputs: Tensor) -> Tensor:
        with torch.autocast(self.arithmetic.device.type, torch.bfloat16, enabled=self.arithmetic.autocast):
            logits: Tensor = self.network(inputs)
        return logits.float()

    def _evaluate(self, epoch: int) -> Evaluation:
        self.network.eval()
        on_train = self._predictions(self.x_train).to(self.labels.device)
        on_test = self._predictions(self.x_test).to(self.labels.device)
        intact_train = validation = math.nan
        if self.intact_labels is not None:
            intact_train = accuracy(on_train, self.intact_labels)
        if self.x_validation is not None and self.y_validation is not None:
            on_validation = self._predictions(self.x_validation).to(self.labels.device)
            validation = accuracy(on_validation, self.y_validation)
        return Evaluation(
            epoch=epoch,
            test=accuracy(on_test, self.y_test),
            corrupted_train=accuracy(on_train, self.labels),
            intact_train=intact_train,
            validation=validation,
        )

    def _predictions(self, examples: Examples) -> Tensor:
        return predictions(self.evaluated, examples, device=self.arithmetic.device)

    def evaluated(self, raw: Tensor) -> Tensor:
        """Logits (B, C) of raw inputs as they are stored (B, ...), without augmentation."""
        return self.logits(unaugmented(self.task.augmentation, raw.to(self.arithmetic.device)))

    def probabilities(self, examples: Examples) -> Tensor:
        """Probabilities (N, C) of examples on the device, in eval mode; uniform where a file cannot be decoded."""
        self.network.eval()
        uniform = 1 / self.task.dataset.num_classes
        device = self.arithmetic.device
        return outputs(lambda raw: self.evaluated(raw).softmax(dim=1), examples, missing=uniform, device=device)

    def identity(self) -> str:
        """What must agree for a checkpoint to be this lane's."""
        return identity_of(self.task, self.lane)

    def state(self) -> dict[str, Any]:
        """Everything that the rest of the training depends on, as tensors and plain values."""
        return {
            "identity": self.identity(),
            "iteration": self.iteration,
            "stage": (self.stage_number, self.stage_iteration, self.stage_epoch),
            "course": self.course.state_dict(),
            "seconds": self.seconds,
            "reports": [dataclasses.asdict(report) for report in self.reports],
            "network": self.network.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "order": self.order.get_state(),
            "augmentation": self.augmentation.get_state(),
            "random": self._random,
            "cuda_random": self._cuda_random,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Become the lane that `state` was taken from."""
        self.iteration = state["iteration"]
        self.stage_number, self.stage_iteration, self.stage_epoch = state["stage"]
        self.course.load_state_dict(state["course"])
        self.seconds = state["seconds"]
        self.reports = [restored_report(saved) for saved in state["reports"]]
        self.network.load_state_dict(state["network"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.order.set_state(state["order"])
        self.augmentation.set_state(state["augmentation"])
        self._random = state["random"]
        if self._cuda and state["cuda_random"] is not None:
            self._cuda_random = state["cuda_random"]

    @contextmanager
    def _own_randomness(self) -> Iterator[None]:
        """Torch's default generators as this lane left them; outside they are the caller's."""
        with torch.random.fork_rng(devices=self._cuda):
            torch.set_rng_state(self._random)
            if self._cuda_random is not None:
                torch.cuda.set_rng_state(self._cuda_random, self._cuda[0])
            yield
            self._random = torch.get_rng_state()
            if self._cuda_random is not None:
                self._cuda_random = torch.cuda.get_rng_state(self._cuda[0])


class _View:
    """The network of a lane as its course sees it."""

    def __init__(self, training: LaneTraining) -> None:
        self._training = training

    @property
    def epoch(self) -> int:
        return self._training.stage_epoch

    @property
    def epochs(self) -> int:
        return -(-self._training.stage_iterations // self._training.task.steps_per_epoch)

    def probabilities(self) -> Tensor:
        return self._training.probabilities(self._training.x_train)

    def features(self, chosen: Tensor) -> Tensor:
        training = self._training
        training.network.eval()
        seen: list[Tensor] = []
        hook = classifier_of(training.network, training.task.dataset.num_classes).register_forward_pre_hook(
            lambda module, arguments: seen.append(arguments[0].flatten(1).float())
        )
        try:
            examples = training.x_train[chosen.to(training.x_train.device)]
            outputs(training.evaluated, examples, missing=0.0, device=training.arithmetic.device)
        finally:
            hook.remove()
        return torch.cat(seen)

    def weights(self) -> dict[str, Tensor]:
        return {name: value.clone() for name, value in self._training.network.state_dict().items()}

    def set_weights(self, weights: dict[str, Tensor]) -> None:
        # Copied into the flat buffer that the optimiser updates.
        self._training.network.load_state_dict(weights)
