"""The reference engine: one lane at a time, eager, with the data resident on the device."""

from __future__ import annotations

import dataclasses
import math
import numbers
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from trainers.augmentation import augmented
from trainers.augmentation import unaugmented
from trainers.datasets.examples import batches
from trainers.datasets.examples import on_device
from trainers.engines.flat_parameters import flatten_parameters
from trainers.engines.precision import Arithmetic
from trainers.engines.sgd import MomentumSGD
from trainers.errors import FieldError
from trainers.errors import InvalidInput
from trainers.evaluation import Evaluation
from trainers.evaluation import accuracy
from trainers.evaluation import predictions
from trainers.models import build_model
from trainers.training import Checkpoints
from trainers.training import Decision
from trainers.training import Ending
from trainers.training import EpochReport
from trainers.training import Lane
from trainers.training import LaneResult
from trainers.training import OnEpoch
from trainers.training import TrainingTask

_INITIALISATION, _ORDER, _AUGMENTATION = range(3)


def train_lane(
    task: TrainingTask, lane: Lane, on_epoch: OnEpoch, checkpoints: Checkpoints | None
) -> LaneResult:
    """Train one lane to its end; see `trainers.training.train`."""
    training = _LaneTraining(task, lane)
    checkpoint = _Checkpoint(checkpoints, training) if checkpoints is not None else None
    if checkpoint is not None:
        checkpoint.load()
        for done, report in enumerate(training.reports, start=1):
            if on_epoch(report) is Decision.STOP:
                return _stopped(task, lane, training.reports[:done])
    while training.iteration < task.iterations:
        report = training.train_epoch()
        if problem := training.divergence():
            return LaneResult(lane.id, Ending.DIVERGED, problem, tuple(training.reports))
        training.reports.append(report)
        if on_epoch(report) is Decision.STOP:
            return _stopped(task, lane, training.reports)
        if checkpoint is not None and training.iteration < task.iterations:
            checkpoint.save_if_due()
    return LaneResult(lane.id, Ending.COMPLETED, "", tuple(training.reports))


def _stopped(task: TrainingTask, lane: Lane, reports: list[EpochReport]) -> LaneResult:
    reason = f"stopped after epoch {reports[-1].epoch} of {task.epochs}"
    return LaneResult(lane.id, Ending.STOPPED, reason, tuple(reports))


def _stream(seed: int, purpose: int) -> int:
    """A seed for one purpose, so that, say, dropout does not shift the order of examples."""
    return int(np.random.SeedSequence([seed, purpose]).generate_state(1, np.uint64)[0] >> np.uint64(1))


class _LaneTraining:
    """The live state of a lane."""

    def __init__(self, task: TrainingTask, lane: Lane) -> None:
        data = task.dataset
        self.task, self.lane = task, lane
        initialisation = _stream(lane.seed, _INITIALISATION)
        # Torch's default generators as this lane sees them: the CPU's, and that of its GPU if it has one.
        self._random = torch.Generator().manual_seed(initialisation).get_state()
        self._cuda_random: Tensor | None = None
        self._cuda: list[torch.device] = []
        with self._own_randomness():
            network = build_model(task.backbone, task.network_input_shape, data.num_classes, task.dropout)
        self.arithmetic = Arithmetic.choose(task.device, task.precision, network)
        device = self.arithmetic.device
        if device.type == "cuda":
            self._cuda = [device]
            self._cuda_random = torch.Generator(device=device).manual_seed(initialisation).get_state()
        network = network.to(device)
        self.network = network.to(memory_format=self.arithmetic.memory_format)
        self.parameters = flatten_parameters(self.network)
        self.optimiser = MomentumSGD(self.parameters, task.momentum, task.weight_decay)
        self.order = torch.Generator().manual_seed(_stream(lane.seed, _ORDER))
        self.augmentation = torch.Generator().manual_seed(_stream(lane.seed, _AUGMENTATION))
        self.x_train, self.x_test = on_device(data.x_train, device), on_device(data.x_test, device)
        self.labels, self.y_test = lane.labels.labels.to(device), data.y_test.to(device)
        self.intact_labels = None if data.intact_train is None else data.intact_train.to(device)
        scale = 255.0 if data.x_train.dtype == torch.uint8 else 1.0
        shape = (1, -1, 1, 1) if data.x_train.dim() == 4 else (1, -1)
        self.shift = (data.mean * scale).to(device).view(shape)
        self.gain = (1 / (data.std * scale)).to(device).view(shape)
        self.iteration = 0
        self.seconds = 0.0
        self.reports: list[EpochReport] = []
        # Of the first step whose loss was not finite, from 1; 0 while there is none.
        self._bad_iteration = 0

    def train_epoch(self) -> EpochReport:
        """One pass over the training set, or what is left of the budget; evaluated where due."""
        started = time.perf_counter()
        task = self.task
        steps = min(task.steps_per_epoch, task.iterations - self.iteration)
        device = self.arithmetic.device
        order = torch.randperm(len(self.labels), generator=self.order).to(device)
        losses = torch.empty(steps, dtype=torch.float64, device=device)
        self.network.train()
        with self._own_randomness():
            # Batch norm needs two examples, also of a batch with files that cannot be decoded.
            examples = batches(self.x_train, order[: steps * task.batch_size], task.batch_size, at_least=2)
            for step, (raw, chosen) in enumerate(examples):
                losses[step] = self._step(raw.to(device), chosen)
        epoch = -(-self.iteration // task.steps_per_epoch)
        # The first look at the device since the epoch began.
        train_loss = float(losses.mean())
        if not np.isfinite(train_loss):
            self._bad_iteration = self.iteration - steps + 1 + int((~torch.isfinite(losses)).nonzero()[0])
        due = epoch % task.evaluate_every == 0 or self.iteration >= task.iterations
        evaluation = self._evaluate(epoch) if due and np.isfinite(train_loss) else None
        self.seconds += time.perf_counter() - started
        return EpochReport(
            lane_id=self.lane.id,
            epoch=epoch,
            iteration=self.iteration,
            train_loss=train_loss,
            learning_rate=task.learning_rate_at(self.iteration - 1),
            evaluation=evaluation,
            seconds=self.seconds,
        )

    def divergence(self) -> str:
        """Why the lane cannot go on; empty where it can."""
        if iteration := self._bad_iteration:
            epoch = -(-iteration // self.task.steps_per_epoch)
            return f"loss not finite at iteration {iteration} (epoch {epoch})"
        if not bool(torch.isfinite(self.parameters).all()):
            return f"parameters not finite after iteration {self.iteration}"
        return ""

    def _step(self, raw: Tensor, chosen: Tensor) -> Tensor:
        """One optimiser step on the chosen examples as they are stored; returns the loss, on the device."""
        inputs = augmented(self.task.augmentation, raw, self.augmentation)
        self.optimiser.zero_grad()
        loss = self.lane.supervision.loss(self._logits(inputs), self.labels[chosen])
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimiser.step(self.task.learning_rate_at(self.iteration))
        self.iteration += 1
        return loss.detach()

    def _logits(self, raw: Tensor) -> Tensor:
        """Logits (B, C), float32, of raw inputs (B, ...)."""
        layout = self.arithmetic.memory_format if raw.dim() == 4 else torch.contiguous_format
        # Type and layout at once: one after the other took 1.8 ms more for 128 CIFAR images on one thread.
        inputs = raw.to(torch.float32, memory_format=layout)
        inputs = (inputs - self.shift if inputs is raw else inputs.sub_(self.shift)).mul_(self.gain)
        with torch.autocast(self.arithmetic.device.type, torch.bfloat16, enabled=self.arithmetic.autocast):
            logits: Tensor = self.network(inputs)
        return logits.float()

    def _evaluate(self, epoch: int) -> Evaluation:
        self.network.eval()
        on_train = predictions(self._evaluated, self.x_train).to(self.labels.device)
        on_test = predictions(self._evaluated, self.x_test).to(self.labels.device)
        intact = self.intact_labels
        return Evaluation(
            epoch=epoch,
            test=accuracy(on_test, self.y_test),
            corrupted_train=accuracy(on_train, self.labels),
            intact_train=math.nan if intact is None else accuracy(on_train, intact),
        )

    def _evaluated(self, raw: Tensor) -> Tensor:
        """Logits (B, C) of raw inputs as they are stored (B, ...), without augmentation."""
        return self._logits(unaugmented(self.task.augmentation, raw.to(self.arithmetic.device)))

    def identity(self) -> str:
        """What must agree for a checkpoint to be this lane's."""
        settings = {item.name: getattr(self.task, item.name) for item in dataclasses.fields(self.task)}
        settings["dataset"] = (self.task.dataset.fingerprint, self.lane.labels.fingerprint)
        del settings["device"]  # a lane may go on elsewhere
        for name, value in settings.items():
            if isinstance(value, numbers.Real):
                settings[name] = float(value)  # 1 is 1.0, and numpy's too
        return repr((settings, self.lane.supervision, int(self.lane.seed)))

    def state(self) -> dict[str, Any]:
        """Everything that the rest of the training depends on, as tensors and plain values."""
        return {
            "identity": self.identity(),
            "iteration": self.iteration,
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
        self.seconds = state["seconds"]
        self.reports = [_report(saved) for saved in state["reports"]]
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


def _report(saved: dict[str, Any]) -> EpochReport:
    """The report that `dataclasses.asdict` made into ``saved``."""
    evaluation = saved["evaluation"] and Evaluation(**saved["evaluation"])
    return EpochReport(**{**saved, "evaluation": evaluation})


class _Checkpoint:
    """The file of one lane."""

    def __init__(self, checkpoints: Checkpoints, training: _LaneTraining) -> None:
        self._path = checkpoint_path(checkpoints.folder, training.lane.id)
        self._every_seconds = checkpoints.every_seconds
        self._training = training
        self._saved_at = time.monotonic()

    def load(self) -> None:
        """Bring the lane to where its file left it; nothing where there is no file.

        Raises:
            InvalidInput: The file cannot be read, or is another configuration's.
        """
        if not self._path.exists():
            return
        try:
            state = torch.load(self._path, map_location="cpu", weights_only=True)
            identity = state["identity"]
        except Exception as error:  # a broken file makes torch, zipfile and pickle raise nearly anything
            problem = f"damaged, or no checkpoint at all ({type(error).__name__})"
            raise self._refusal(problem, "Remove the file: the lane then starts over.") from error
        if identity != self._training.identity():
            problem = f"was written by another configuration than that of lane {self._training.lane.id}"
            raise self._refusal(problem, "Use another folder, or remove the file.")
        self._training.restore(state)

    def _refusal(self, problem: str, remedy: str) -> InvalidInput:
        return InvalidInput(FieldError("checkpoint", str(self._path), problem, remedy))

    def save_if_due(self) -> None:
        if time.monotonic() - self._saved_at < self._every_seconds:
            return
        self._path.parent.mkdir(parents=True, exist_ok=True)
        partial = self._path.with_suffix(f".{os.getpid()}.partial")
        try:
            with partial.open("wb") as file:
                torch.save(self._training.state(), file)
                file.flush()
                # On disk before it takes the old one's place: a power cut could else leave a name without
                # content.
                os.fsync(file.fileno())
            partial.replace(self._path)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise
        self._saved_at = time.monotonic()


def checkpoint_path(folder: Path, lane_id: str) -> Path:
    """Where the state of a lane lies."""
    return folder / f"{lane_id}.pt"
