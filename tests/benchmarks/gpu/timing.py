"""Sides that take turns on one clock, and what is left of each: median and quartiles, or why it failed."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from dataclasses import field
from typing import Protocol

import torch

from tests.benchmarks.gpu.device import synchronise

REPEATS = 5
_FOR_ROUNDS = 0.3


class Deadline:
    """When a part has to end.

    Args:
        seconds: From now.
    """

    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds

    @property
    def left(self) -> float:
        """Seconds; 0 once it has passed."""
        return max(0.0, self._end - time.monotonic())


class Turn(Protocol):
    """What takes a turn: ``steps`` steps of ``lanes`` lanes each."""

    def __call__(self, steps: int) -> None:
        """Do so many steps; need not wait for the device."""


def repeated(call: Callable[[], object]) -> Turn:
    """The turn that makes a call once a step."""

    def turn(steps: int) -> None:
        for _ in range(steps):
            call()

    return turn


@dataclass
class Side:
    """One of the sides that are compared.

    Args:
        name: As the table prints it.
        build: Makes the turn; may raise, and is given up on then.
        lanes: Model-steps in a step.
        lead_in: Steps before the clock starts in each turn: what was prefetched while others had their turn is used
            up by then.
        close: Called at the end of all turns.

    Attributes:
        seconds: Of each turn, a model-step.
        failure: Why there are no more of them; empty where all went well.
    """

    name: str
    build: Callable[[], Turn]
    lanes: int = 1
    lead_in: int = 1
    close: Callable[[], None] = lambda: None
    seconds: list[float] = field(default_factory=list)
    failure: str = ""
    turn: Turn | None = None

    @property
    def median(self) -> float | None:
        """Median seconds a model-step; None where nothing was measured."""
        return statistics.median(self.seconds) if self.seconds else None

    def quartiles(self) -> tuple[float, float, float] | None:
        """Lower quartile, median and upper quartile of the seconds a model-step."""
        if not self.seconds:
            return None
        if len(self.seconds) == 1:
            return (self.seconds[0],) * 3
        low, middle, high = statistics.quantiles(self.seconds, n=4, method="inclusive")
        return low, middle, high


def fail(side: Side, error: Exception) -> None:
    """Note why a side is given up; the others go on."""
    side.turn = None
    lines = str(error).strip().splitlines() or [""]
    side.failure = f"{type(error).__name__}: {lines[0][:300]}"


def take_turns(
    sides: Sequence[Side],
    steps: int,
    device: torch.device,
    deadline: Deadline,
    repeats: int = REPEATS,
) -> None:
    """Build every side, then let each run ``steps`` steps in turn, ``repeats`` rounds after one that is not counted.

    What was measured, or what went wrong, is left in the sides.

    Args:
        sides: What is compared.
        steps: Steps a turn.
        device: Where they run.
        deadline: No further round begins after it, and no further side is built in the last three tenths of what is
            left: they are kept for the rounds.
        repeats: Counted rounds.
    """
    kept = _FOR_ROUNDS * deadline.left
    for side in sides:
        if deadline.left <= kept:
            side.failure = side.failure or "not begun: the time of this part was over"
        if side.failure:
            continue
        try:
            side.turn = side.build()
            synchronise(device)
        except Exception as error:
            fail(side, error)
    for repeat in range(repeats + 1):
        if not deadline.left:
            break
        for side in sides:
            if side.turn is None:
                continue
            try:
                seconds = _timed(side.turn, side.lead_in, steps, device)
            except Exception as error:
                fail(side, error)
                continue
            if repeat:
                side.seconds.append(seconds / (steps * side.lanes))
    for side in sides:
        if not side.failure and len(side.seconds) < repeats:
            side.failure = f"{len(side.seconds)} of {repeats} repeats: the time of this part was over"
        side.turn = None
        with suppress(Exception):
            side.close()


def _timed(turn: Turn, lead_in: int, steps: int, device: torch.device) -> float:
    if lead_in:
        turn(lead_in)
    synchronise(device)
    started = time.perf_counter()
    turn(steps)
    synchronise(device)
    return time.perf_counter() - started
