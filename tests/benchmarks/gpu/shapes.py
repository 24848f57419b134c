"""Part `shapes`: every form of every distinct convolution, forward and backward, captured, in turns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from tests.benchmarks.gpu.convolution_forms import FORMS
from tests.benchmarks.gpu.convolution_forms import Case
from tests.benchmarks.gpu.convolution_shapes import ConvolutionShape
from tests.benchmarks.gpu.convolution_shapes import convolutions
from tests.benchmarks.gpu.device import release
from tests.benchmarks.gpu.roofline import Roofline
from tests.benchmarks.gpu.setting import Setting
from tests.benchmarks.gpu.timing import Deadline
from tests.benchmarks.gpu.timing import Side
from tests.benchmarks.gpu.timing import Turn
from tests.benchmarks.gpu.timing import repeated
from tests.benchmarks.gpu.timing import take_turns
from trainers.engines.cuda_graph import captured


def measure_shapes(
    setting: Setting, roofline: Roofline, deadline: Deadline, inductor: bool
) -> dict[str, Any]:
    """Milliseconds of every form of every shape, a model-step's share, and the share of the floor it reaches.

    Each is captured in a CUDA graph of its own, so that launching does not hide what the device does. The tensors of
    one lane fit a large cache (4 MB of 50), those of eight do not: inside a network the loop gains less by that.

    Args:
        setting: What it runs on.
        roofline: Of this run.
        deadline: Each shape has its share of what is left when its turn comes.
        inductor: Whether to compile; it takes most of the time.
    """
    counts = convolutions(setting.depth, setting.side)
    records = []
    for number, (shape, count) in enumerate(counts.items()):
        share = Deadline(deadline.left / (len(counts) - number))
        records += _measure_shape(shape, count, setting, roofline, share, inductor)
        release(setting.device)
    return {"lanes": setting.lanes, "batch_size": setting.batch_size, "depth": setting.depth, "forms": records}


def _measure_shape(
    shape: ConvolutionShape,
    count: int,
    setting: Setting,
    roofline: Roofline,
    deadline: Deadline,
    inductor: bool,
) -> list[dict[str, Any]]:
    dtype = torch.bfloat16
    case = Case.random(shape, setting.lanes, setting.batch_size, setting.device, dtype)
    floor = max(
        shape.floor_bytes(setting.batch_size) / roofline.bytes_a_second,
        shape.operations(setting.batch_size) / roofline.bf16,
    )
    sides = _sides(tuple(FORMS), case, setting)
    if not inductor:
        sides[-1].failure = "skipped: compiling was not asked for (--inductor)"
    take_turns(sides, 2 if setting.dry_run else 20, setting.device, deadline, setting.repeats)
    records = []
    for side in sides:
        quartiles = side.quartiles()
        # Of all layers of this shape, of one lane.
        share = [1e3 * count * seconds for seconds in quartiles] if quartiles else None
        records.append(
            {
                "shape": shape.name,
                "stride": shape.stride,
                "layers": count,
                "form": side.name,
                "ms_of_a_model_step": share,
                "floor_ms": 1e3 * count * floor,
                "share_of_floor": floor / side.median if side.median else None,
                "repeats": len(side.seconds),
                "failure": side.failure,
            }
        )
    return records


def _sides(forms: Sequence[str], case: Case, setting: Setting) -> list[Side]:
    return [
        Side(form, lambda form=form: _turn(form, case, setting.device), case.lanes)  # type: ignore[misc]
        for form in forms
    ]


def _turn(name: str, case: Case, device: torch.device) -> Turn:
    return repeated(captured(FORMS[name](case).run, (), device))
