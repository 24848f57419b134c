"""K processes that share the device, one lane each: what a scheduler does that gives a trial a part of a GPU."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from multiprocessing.connection import Connection
from typing import Literal

import torch
from torch import multiprocessing

from tests.benchmarks.gpu.device import prepare
from tests.benchmarks.gpu.device import synchronise
from tests.benchmarks.gpu.peers import ResidentLoop
from tests.benchmarks.gpu.setting import Setting
from tests.benchmarks.gpu.steps import Resident
from tests.benchmarks.gpu.steps import SoloStep
from tests.benchmarks.gpu.timing import Turn
from trainers.engines.cuda_graph import captured
from trainers.supervision import GradientRescaling

Kind = Literal["eager", "graph"]

# A process has to import torch, make its context and capture; an answer takes a turn.
_READY_WITHIN, _ANSWER_WITHIN = 120.0, 60.0


class SharedDevice:
    """K processes that wait for their turn and take it together, each with an eager loop and a captured step.

    Args:
        setting: Depth, sizes, K, device.

    Raises:
        RuntimeError: A process failed, or was not ready in two minutes.
    """

    def __init__(self, setting: Setting) -> None:
        context = multiprocessing.get_context("spawn")
        self._connections: list[Connection] = []
        self._processes = []
        for lane in range(setting.lanes):
            here, there = context.Pipe()
            process = context.Process(target=_serve, args=(setting, lane, there), daemon=True)
            process.start()
            there.close()
            self._connections.append(here)
            self._processes.append(process)
        try:
            self._answers(_READY_WITHIN)
        except Exception:
            self.close()
            raise

    def turn(self, kind: Kind) -> Turn:
        """All processes take so many steps of a kind, at the same time."""

        def take(steps: int) -> None:
            for connection in self._connections:
                connection.send((kind, steps))
            self._answers(_ANSWER_WITHIN)

        return take

    def _answers(self, seconds: float) -> None:
        for lane, connection in enumerate(self._connections):
            if not connection.poll(seconds):
                raise RuntimeError(f"process {lane} did not answer in {seconds:.0f} s")
            try:
                problem = connection.recv()
            except EOFError:
                raise RuntimeError(f"process {lane} ended without an answer") from None
            if problem:
                raise RuntimeError(f"process {lane}: {problem}")

    def close(self) -> None:
        """End the processes."""
        for connection in self._connections:
            connection.close()
        for process in self._processes:
            process.join(timeout=10)
            if process.is_alive():
                process.terminate()


def _serve(setting: Setting, lane: int, connection: Connection) -> None:
    """Take turns until the other end is closed; an answer is empty, or says what went wrong."""
    turns: dict[Kind, Callable[[], object]] = {}
    failures: dict[Kind, str] = {}
    try:
        torch.set_num_threads(1)
        prepare(setting.device)
        # A smaller data set: each process holds its own.
        own = replace(setting, examples=min(setting.examples, 10_000))
        data = Resident.random(own)
        builders: dict[Kind, Callable[[], Callable[[], object]]] = {
            "eager": lambda: ResidentLoop(own, data, lane).step,
            "graph": lambda: captured(SoloStep(own, data, GradientRescaling(8, 0.5), lane).step, (), own.device),
        }
        for kind, build in builders.items():
            try:
                turns[kind] = build()
                turns[kind]()
                synchronise(own.device)
            except Exception as error:
                failures[kind] = f"{type(error).__name__}: {error}"
        connection.send("")
        while True:
            kind, steps = connection.recv()
            if kind in failures:
                connection.send(failures[kind])
                continue
            for _ in range(steps):
                turns[kind]()
            synchronise(setting.device)
            connection.send("")
    except (EOFError, ConnectionError):
        return
    except Exception as error:
        connection.send(f"{type(error).__name__}: {error}")
