"""Our engine as the trials of a sweep run it: in processes of its own, each with a lane, whenever they are told to."""

from __future__ import annotations

import os
from collections.abc import Callable
from collections.abc import Mapping
from contextlib import suppress
from multiprocessing import get_context
from multiprocessing.connection import Connection

import torch

from trainers.noise import symmetric_noise
from trainers.supervision import CategoricalCrossEntropy
from trainers.supervision import Supervision
from trainers.training import EpochReport
from trainers.training import Lane
from trainers.training import TrainingTask
from trainers.training import train

# More optimiser steps than any benchmark makes, so that the learning rate never drops.
ENDLESS = 1_000_000

Prepare = Callable[[int], None]


class Trainers:
    """Lanes that train an epoch each, at once, whenever they are told to.

    Args:
        task: What each trains; its budget is to be `ENDLESS`.
        processes: How many, each with a lane of its own.
        threads: Of each.
        supervision: Of all.
        prepare: Called in each process with its number, before it trains.
        environment: Variables of the processes.
    """

    def __init__(
        self,
        task: TrainingTask,
        processes: int,
        threads: int,
        supervision: Supervision | None = None,
        prepare: Prepare | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        context = get_context("spawn")
        supervision = supervision or CategoricalCrossEntropy()
        before = dict(os.environ)
        os.environ.update(environment or {})
        self._pipes = []
        for number in range(processes):
            ours, theirs = context.Pipe()
            arguments = (theirs, task, threads, supervision, number, prepare)
            context.Process(target=_train_when_told, args=arguments, daemon=True).start()
            theirs.close()  # so that a process which ends without a word ends the benchmark
            self._pipes.append(ours)
        os.environ.clear()
        os.environ.update(before)
        self.epoch()

    def epoch(self) -> None:
        """One pass over the examples in every process."""
        for pipe in self._pipes:
            pipe.send("epoch")
        for pipe in self._pipes:
            pipe.recv()


def _train_when_told(
    pipe: Connection, task: TrainingTask, threads: int, supervision: Supervision, seed: int, prepare: Prepare | None
) -> None:
    if prepare is not None:
        prepare(seed)
    torch.set_num_threads(threads)

    def wait(report: EpochReport) -> None:
        pipe.send(report.epoch)
        pipe.recv()

    labels = symmetric_noise(task.dataset.y_train, 0.0, task.dataset.num_classes, 0)
    with suppress(EOFError):  # the benchmark is over
        pipe.recv()
        train(task, [Lane("benchmark", supervision, labels, seed)], wait)
