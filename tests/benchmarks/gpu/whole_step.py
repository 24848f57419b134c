"""Part `step`: whole training steps of ResNet-56, every side in turns, a model-step's time of each."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Sequence
from typing import Any

import torch

from tests.benchmarks.gpu.device import release
from tests.benchmarks.gpu.device import side_by_side
from tests.benchmarks.gpu.memory_floor import step_floor
from tests.benchmarks.gpu.norm_relu import norm_relu
from tests.benchmarks.gpu.peers import EngineLoop
from tests.benchmarks.gpu.peers import PlainLoop
from tests.benchmarks.gpu.peers import ResidentLoop
from tests.benchmarks.gpu.peers import has_torchvision
from tests.benchmarks.gpu.processes import Kind
from tests.benchmarks.gpu.processes import SharedDevice
from tests.benchmarks.gpu.roofline import Roofline
from tests.benchmarks.gpu.setting import Setting
from tests.benchmarks.gpu.steps import FusedStep
from tests.benchmarks.gpu.steps import Resident
from tests.benchmarks.gpu.steps import SoloStep
from tests.benchmarks.gpu.steps import replay_difference
from tests.benchmarks.gpu.timing import Deadline
from tests.benchmarks.gpu.timing import Side
from tests.benchmarks.gpu.timing import Turn
from tests.benchmarks.gpu.timing import repeated
from tests.benchmarks.gpu.timing import take_turns
from trainers.engines.cuda_graph import captured
from trainers.engines.fused_network import NormRelu
from trainers.supervision import GradientRescaling
from trainers.training import Engine

# The paper's CIFAR-10 grid: noise rates, settings of (beta, lambda), iterations of a training.
GRID_RUNS, GRID_ITERATIONS = 4 * 18, 100_000
LAYOUTS = {"NCHW": torch.contiguous_format, "channels_last": torch.channels_last}
PLAIN, GRAPH = "plain eager, DataLoader, fp32", "engine graph"

class StepSides:
    """The sides of the comparison, and what was found while they were built.

    Args:
        setting: Depth, sizes, lane counts, device.
        deadline: Of the part.
        inductor: Whether to compile networks too: the better part of a minute each.

    Attributes:
        replays: By form, how far the losses of its replayed steps are from eager ones.
    """

    def __init__(self, setting: Setting, deadline: Deadline, inductor: bool) -> None:
        self._setting, self._deadline, self._inductor = setting, deadline, inductor
        self._data = Resident.random(setting)
        self._shared: SharedDevice | Exception | None = None
        self.replays: dict[str, float] = {}

    def all(self) -> list[Side]:
        """The sides, those that decide first: they are built while there is time."""
        setting = self._setting
        k, device = setting.lanes, setting.device
        return [
            self._plain(),
            Side("eager, resident data, bf16", lambda: repeated(ResidentLoop(setting, self._data).step)),
            self._engine("solo", 1),
            self._engine("graph", 1),
            *(self._engine("fused", lanes) for lanes in setting.lane_counts),
            Side(f"{k} graphs in {k} streams", lambda: repeated(side_by_side(self._graphs(k), device)), k),
            Side(f"{k} streams in one graph", lambda: self._streams_in_one_graph(k), k),
            *self._processes(k),
            Side(f"{k} lanes, our norms, graph", lambda: self._other_form(k, "channels_last", norm=norm_relu), k),
            Side(f"{k} lanes, NCHW, graph", lambda: self._other_form(k, "NCHW"), k),
            *self._compiled(k),
        ]

    def _engine(self, engine: Engine, lanes: int) -> Side:
        loops: list[EngineLoop] = []

        def build() -> Turn:
            loops.append(EngineLoop(self._setting, self._data, engine, supervisions(lanes)))
            return loops[0].turn

        def close() -> None:
            for loop in loops:
                loop.close()

        name = f"engine {engine}" + (f", {lanes} lanes" if engine == "fused" else "")
        return Side(name, build, lanes, lead_in=0, close=close)

    def _one(self, lane: int) -> SoloStep:
        return SoloStep(self._setting, self._data, supervisions(lane + 1)[lane], seed=lane)

    def _plain(self) -> Side:
        loops: list[PlainLoop] = []

        def build() -> Turn:
            loops.append(PlainLoop(self._setting, self._data))
            return loops[0].turn

        def close() -> None:
            for loop in loops:
                loop.close()

        # Workers prefetch two batches each while others have their turn.
        return Side(PLAIN, build, lead_in=2 * self._setting.workers + 1, close=close)

    def _replayed(self, name: str, step: SoloStep | FusedStep) -> Turn:
        """The captured step, and in ``replays`` whether it does what the eager one does."""
        replay = captured(step.step, (), self._setting.device)
        self.replays[name] = replay_difference(step, replay)
        return repeated(replay)

    def _other_form(self, lanes: int, layout: str, compiled: bool = False, norm: NormRelu | None = None) -> Turn:
        rules = supervisions(lanes)
        step = FusedStep(self._setting, self._data, rules, LAYOUTS[layout], compiled=compiled, norm=norm)
        return self._replayed(f"{lanes} lanes, {layout}, inductor {compiled}, our norms {norm is not None}", step)

    def _graphs(self, lanes: int) -> list[Callable[[], object]]:
        return [captured(self._one(lane).step, (), self._setting.device) for lane in range(lanes)]

    def _streams_in_one_graph(self, lanes: int) -> Turn:
        device = self._setting.device
        calls = [self._one(lane).step for lane in range(lanes)]
        return repeated(captured(side_by_side(calls, device), (), device))

    def _processes(self, lanes: int) -> list[Side]:
        def build(kind: Kind) -> Turn:
            if self._shared is None:
                release(self._setting.device)
                try:
                    self._shared = SharedDevice(self._setting)
                except Exception as error:
                    self._shared = error
            if isinstance(self._shared, Exception):
                raise self._shared
            return self._shared.turn(kind)

        def close() -> None:
            if isinstance(self._shared, SharedDevice):
                self._shared.close()

        kinds: tuple[Kind, Kind] = ("eager", "graph")
        return [
            Side(f"{lanes} processes, {kind}", lambda kind=kind: build(kind), lanes, close=close)  # type: ignore[misc]
            for kind in kinds
        ]


    def _compiled(self, lanes: int) -> list[Side]:
        one = "one lane, inductor, graph"

        def solo() -> Turn:
            supervision = supervisions(1)[0]
            return self._replayed(one, SoloStep(self._setting, self._data, supervision, seed=0, compiled=True))

        def fused() -> Turn:
            return self._other_form(lanes, "channels_last", compiled=True)

        sides = [Side(one, solo), Side(f"{lanes} lanes, channels_last, inductor, graph", fused, lanes)]
        if not self._inductor:
            for side in sides:
                side.failure = "skipped: compiling was not asked for (--inductor)"
        return sides


def supervisions(lanes: int) -> list[GradientRescaling]:
    """Settings of GR from the region that a sweep looks at, one a lane."""
    return [GradientRescaling(beta=4.0 + lane, lam=0.25 * (lane % 5)) for lane in range(lanes)]


def measure_steps(
    setting: Setting, roofline: Roofline, deadline: Deadline, inductor: bool
) -> dict[str, Any]:
    """Milliseconds a model-step of every side, against plain, graph and the floor, and what a grid would take.

    Args:
        setting: What it runs on.
        roofline: Of this run.
        deadline: Of the part, building and capturing included.
        inductor: Whether to compile networks too.
    """
    built = StepSides(setting, deadline, inductor)
    sides = built.all()
    take_turns(sides, setting.steps, setting.device, deadline, setting.repeats)
    floor = step_floor(setting.depth, setting.side, setting.batch_size)
    fused_floor, unfused_floor = floor.milliseconds(roofline.bytes_a_second, roofline.bf16)
    return {
        "depth": setting.depth,
        "batch_size": setting.batch_size,
        "image_side": setting.side,
        "examples": setting.examples,
        "steps_a_turn": setting.steps,
        "plain_loop": {
            "workers": setting.workers,
            "transforms": "torchvision" if has_torchvision() else "tensor",
        },
        "floor": {
            "fused_bytes": floor.fused_bytes,
            "unfused_bytes": floor.unfused_bytes,
            "operations": floor.operations,
            "fused_ms": fused_floor,
            "unfused_ms": unfused_floor,
        },
        "replay_differences": built.replays,
        "sides": _records(sides, fused_floor, unfused_floor),
    }


def _records(sides: Sequence[Side], fused_floor: float, unfused_floor: float) -> list[dict[str, Any]]:
    medians = {side.name: side.median for side in sides}
    one_lane = [median for name, median in medians.items() if name in (GRAPH, "engine fused, 1 lanes")]
    best_one_lane = min((median for median in one_lane if median), default=None)
    records = []
    for side in sides:
        quartiles = side.quartiles()
        median = side.median

        def times_faster(than: float | None, median: float | None = median) -> float | None:
            return than / median if than and median else None

        records.append(
            {
                "side": side.name,
                "lanes": side.lanes,
                "ms_a_model_step": [1e3 * seconds for seconds in quartiles] if quartiles else None,
                "times_as_fast_as_plain": times_faster(medians[PLAIN]),
                "times_as_fast_as_graph": times_faster(medians[GRAPH]),
                "times_as_fast_as_best_one_lane_graph": times_faster(best_one_lane),
                "times_the_fused_floor": 1e3 * median / fused_floor if median else None,
                "times_the_unfused_floor": 1e3 * median / unfused_floor if median else None,
                "grid_hours": median * GRID_RUNS * GRID_ITERATIONS / 3600 if median else None,
                "repeats": len(side.seconds),
                "failure": side.failure,
            }
        )
    return records
