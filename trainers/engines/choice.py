"""Which engine trains which lanes: by the device, by what was measured, and by what each can do."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Sequence
from typing import get_args

import torch

from trainers.engines.fused import LANES
from trainers.engines.fused import train_fused
from trainers.engines.fused import why_not_fused
from trainers.engines.graph import train_lane_by_graph
from trainers.engines.graph import why_not_captured
from trainers.engines.solo import train_lane
from trainers.errors import FieldError
from trainers.errors import InvalidInput
from trainers.supervision import Supervision
from trainers.training import Checkpoints
from trainers.training import Engine
from trainers.training import Lane
from trainers.training import LaneResult
from trainers.training import NextLane
from trainers.training import OnEnd
from trainers.training import OnEpoch
from trainers.training import TrainingTask

_TrainLane = Callable[[TrainingTask, Lane, OnEpoch, Checkpoints | None], LaneResult]


def fastest_engine(task: TrainingTask, supervision: Supervision) -> Engine:
    """The engine that trains such lanes fastest.

    On a GPU launching a step's kernels one by one takes longer than what they compute: a step of ResNet-56 takes 26 ms
    by the solo engine, 5.5 as a graph, 2.1 a lane where eight are fused (H100; tests/benchmarks/results/gpu_step.json).
    On a CPU both only cost: two fused lanes train two thirds of the images that two processes do.
    """
    if not _is_gpu(task.device):
        return "solo"
    if why_not_fused(task, supervision) is None:
        return "fused"
    return "graph" if why_not_captured(task, supervision) is None else "solo"


def lanes_of(task: TrainingTask, supervision: Supervision) -> int:
    """See `trainers.training.lanes_at_once`."""
    return LANES if fastest_engine(task, supervision) == "fused" else 1


def check_engine(engine: Engine, at_once: int | None, task: TrainingTask, lanes: Sequence[Lane]) -> None:
    """Raise InvalidInput unless there is such an engine, and it can train these lanes, so many at once."""
    if engine not in get_args(Engine):
        raise InvalidInput(FieldError("engine", engine, "unknown", f"Use one of: {', '.join(get_args(Engine))}."))
    if at_once is not None and at_once < 1:
        raise InvalidInput(FieldError("at_once", at_once, "not a whole number of 1 or more", "Give at_once >= 1."))
    for lane in lanes:
        _check(engine, task, lane)


def train_by(
    engine: Engine,
    task: TrainingTask,
    next_lane: NextLane,
    at_once: int | None,
    known: int | None,
    on_epoch: OnEpoch,
    checkpoints: Checkpoints | None,
    on_end: OnEnd,
) -> None:
    """Train lanes until there are no more; see `trainers.training.train`.

    Args:
        engine: Which, or "auto" for the fastest that can train each.
        task: What the lanes share.
        next_lane: Asked for a lane whenever one can be trained; None for none now.
        at_once: Most lanes that are fused; None for as many as is best.
        known: How many lanes there are, where that is known: no place is computed that none will take.
        on_epoch: As for `train`.
        checkpoints: As for `train`.
        on_end: Called with the result of each lane as soon as it has ended.

    Raises:
        InvalidInput: A lane cannot be trained by the engine that was asked for.
    """
    held: list[Lane] = []
    suspects: list[Lane] = []
    places = at_once or LANES if known is None else min(at_once or LANES, known)

    def engine_for(lane: Lane) -> Engine:
        if engine == "auto":
            return fastest_engine(task, lane.supervision)
        _check(engine, task, lane)
        return engine

    def train_alone(lane: Lane, engine: Engine) -> None:
        one: _TrainLane = train_lane_by_graph if engine == "graph" else train_lane
        on_end(one(task, lane, on_epoch, checkpoints))

    def next_fused() -> Lane | None:
        # Nothing takes a place while suspects wait: they are trained once those that have one have ended.
        if suspects:
            return None
        # One that cannot be fused waits until those that are have ended, and so do all behind it.
        lane = held.pop() if held else next_lane()
        if lane is not None and engine_for(lane) != "fused":
            held.append(lane)
            return None
        return lane

    while (lane := held.pop() if held else next_lane()) is not None:
        chosen = engine_for(lane)
        if chosen == "fused":
            held.append(lane)
            train_fused(task, next_fused, places, on_epoch, checkpoints, on_end, suspects.append)
            while suspects:
                captured = _is_gpu(task.device) and why_not_captured(task, suspects[0].supervision) is None
                train_alone(suspects.pop(0), "graph" if captured else "solo")
        else:
            train_alone(lane, chosen)


def _check(engine: Engine, task: TrainingTask, lane: Lane) -> None:
    problems = {"fused": why_not_fused, "graph": why_not_captured}
    problem = problems[engine](task, lane.supervision) if engine in problems else None
    if problem is not None:
        text = f"cannot train lane {lane.id}: {problem}"
        raise InvalidInput(FieldError("engine", engine, text, "Use 'auto'."))


def _is_gpu(device: str) -> bool:
    return torch.cuda.is_available() if device == "auto" else torch.device(device).type == "cuda"
