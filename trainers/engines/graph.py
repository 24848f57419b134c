"""One lane at a time, each step a CUDA graph: the solo engine without what the host does in a step."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor
from torch import nn

from trainers.engines.cuda_graph import captured
from trainers.engines.solo import LaneTraining
from trainers.engines.solo import trained
from trainers.supervision import Criterion
from trainers.supervision import Supervision
from trainers.supervision import WeightFunction
from trainers.training import Checkpoints
from trainers.training import Engine
from trainers.training import EpochReport
from trainers.training import Lane
from trainers.training import LaneResult
from trainers.training import OnEpoch
from trainers.training import TrainingTask


def why_not_captured(task: TrainingTask, supervision: Supervision) -> str | None:
    """Why a lane's step cannot be a CUDA graph; None where it can."""
    if not isinstance(supervision, Criterion):
        return f"{supervision.name} is more than a function of logits and labels"
    if type(supervision).course not in (Criterion.course, WeightFunction.course):
        return f"{supervision.name} has a course of its own, which is told of every step"
    if task.dropout:
        return "dropout is drawn anew in every step"
    if not isinstance(task.dataset.x_train, Tensor):
        return "its images are files"
    return None


def train_lane_by_graph(
    task: TrainingTask, lane: Lane, on_epoch: OnEpoch, checkpoints: Checkpoints | None
) -> LaneResult:
    """Train one lane to its end; see `trainers.training.train`."""
    training = _GraphTraining(task, lane)
    try:
        return trained(training, on_epoch, checkpoints)
    finally:
        training.release()


class _GraphTraining(LaneTraining):
    """A lane whose step is launched as a whole."""

    engine: Engine = "graph"
    _captured: Callable[[], object] | None = None

    def __init__(self, task: TrainingTask, lane: Lane) -> None:
        super().__init__(task, lane)
        device = self.arithmetic.device
        size = min(task.batch_size, len(self.labels))
        # What a step is told and what it tells, at places that stay.
        self._chosen = torch.zeros(size, dtype=torch.int64, device=device)
        self._drawn = torch.zeros(3, size, dtype=torch.int64, device=device)
        self._rate = torch.zeros((), device=device)
        # Seconds of the epoch that went into capturing a step, which are no part of training.
        self._capturing = 0.0
        self._loss = torch.zeros((), device=device)
        self._winners = torch.zeros_like(self._chosen)

    def release(self) -> None:
        """Give up the captured step, and with it the device's memory: it refers to all of this, and this to it."""
        self._captured = None

    def _train(self, network: nn.Module) -> None:
        super()._train(network)
        self._captured = None

    def train_epoch(self) -> EpochReport:
        """As the solo engine, the time of a capture left out."""
        report = super().train_epoch()
        self.seconds -= self._capturing
        report, self._capturing = replace(report, seconds=self.seconds), 0.0
        return report

    def _train_on(self, chosen: Tensor) -> list[Tensor]:
        losses = []
        for draws, here in zip(self.draws(chosen), torch.split(chosen, self.task.batch_size), strict=True):
            count = len(here)
            self._chosen[:count].copy_(here)
            self._drawn[:, :count].copy_(draws)
            self._rate.fill_(self.learning_rate)
            self._step(count)
            losses.append(self._loss.clone())
            self.took_step(here, self._winners[:count].clone())
        return losses

    def _step(self, count: int) -> None:
        """A step on a batch of ``count`` examples."""
        if count < len(self._chosen):
            # The last batch of an epoch: finding its fastest algorithms would take longer than it ever does.
            self._run(count)
            return
        if self._captured is None:
            started = time.perf_counter()
            velocity = self.optimiser.state_dict()["velocity"]
            state = [self.parameters.data, velocity, *self.network.buffers()]
            self._captured = captured(lambda: self._run(count), state, self.arithmetic.device)
            self._capturing = time.perf_counter() - started
        self._captured()

    def _run(self, count: int) -> None:
        chosen = self._chosen[:count]
        assert isinstance(self.x_train, Tensor)
        raw = self.x_train.index_select(0, chosen)
        loss, predicted = self.update(raw, chosen, self._drawn[:, :count], self._rate)
        self._loss.copy_(loss)
        self._winners[:count].copy_(predicted)
