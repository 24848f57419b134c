"""What the device can do at most: bytes copied and matrix operations a second."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from dataclasses import dataclass
from typing import Any

import torch

from tests.benchmarks.gpu.setting import Setting
from tests.benchmarks.gpu.timing import Deadline
from tests.benchmarks.gpu.timing import Side
from tests.benchmarks.gpu.timing import Turn
from tests.benchmarks.gpu.timing import repeated
from tests.benchmarks.gpu.timing import take_turns


@dataclass(frozen=True, slots=True)
class Roofline:
    """Measured rates, medians.

    Attributes:
        bytes_a_second: Of a large copy, read and written.
        bf16: Multiplications and additions a second of a square product in bfloat16.
        tf32: The same in float32 with TF32 allowed.
        fp32: The same without.
    """

    bytes_a_second: float
    bf16: float
    tf32: float | None
    fp32: float | None


def measure_roofline(setting: Setting, deadline: Deadline) -> tuple[Roofline, dict[str, Any]]:
    """The roofline, and what the result file says of it.

    Raises:
        RuntimeError: The copy or the bfloat16 product failed: nothing can be compared with the floor then.
    """
    device = setting.device
    copied, order = (2**20, 128) if setting.dry_run else (2**30, 8192)
    operations = 2 * order**3
    amounts = {"copy": 2 * copied, "bf16": operations, "tf32": operations, "fp32": operations}
    sides = [
        Side("copy", lambda: _copy(copied, device)),
        Side("bf16", lambda: _product(order, torch.bfloat16, device, tf32=False)),
        Side("tf32", lambda: _product(order, torch.float32, device, tf32=True)),
        Side("fp32", lambda: _product(order, torch.float32, device, tf32=False)),
    ]
    take_turns(sides, 2 if setting.dry_run else 10, device, deadline, setting.repeats)
    rates = {side.name: amounts[side.name] / side.median if side.median else None for side in sides}
    if rates["copy"] is None or rates["bf16"] is None:
        raise RuntimeError("; ".join(f"{side.name}: {side.failure}" for side in sides if side.failure))
    roofline = Roofline(rates["copy"], rates["bf16"], rates["tf32"], rates["fp32"])
    records = []
    for side in sides:
        quartiles = side.quartiles()
        rate = [amounts[side.name] / seconds for seconds in reversed(quartiles)] if quartiles else None
        unit = "bytes/s" if side.name == "copy" else "operations/s"
        records.append(
            {"side": side.name, "unit": unit, "quartiles": rate, "repeats": len(side.seconds), "failure": side.failure}
        )
    return roofline, {"copied_bytes": copied, "matrix_order": order, **asdict(roofline), "rates": records}


def _copy(size: int, device: torch.device) -> Turn:
    source = torch.zeros(size, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    return repeated(lambda: target.copy_(source))


def _product(order: int, dtype: torch.dtype, device: torch.device, tf32: bool) -> Turn:
    left = torch.randn(order, order, device=device).to(dtype)
    right = torch.randn(order, order, device=device).to(dtype)
    target = torch.empty_like(left)
    multiply: Callable[[], object] = lambda: torch.mm(left, right, out=target)  # noqa: E731
    turn = repeated(multiply)

    def with_precision(steps: int) -> None:
        before = torch.backends.cuda.matmul.allow_tf32
        torch.backends.cuda.matmul.allow_tf32 = tf32
        try:
            turn(steps)
        finally:
            torch.backends.cuda.matmul.allow_tf32 = before

    return with_precision
