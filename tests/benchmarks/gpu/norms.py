"""Part `norms`: norm, shortcut and ReLU of K lanes by torch, by our kernels and by inductor, captured, in turns."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from tests.benchmarks.gpu.device import release
from tests.benchmarks.gpu.norm_relu import norm_relu
from tests.benchmarks.gpu.roofline import Roofline
from tests.benchmarks.gpu.setting import Setting
from tests.benchmarks.gpu.timing import Deadline
from tests.benchmarks.gpu.timing import Side
from tests.benchmarks.gpu.timing import repeated
from tests.benchmarks.gpu.timing import take_turns
from trainers.engines.cuda_graph import captured
from trainers.engines.fused_network import norm_relu as by_torch
from trainers.models.cifar_resnet import WIDTHS

_MOMENTUM, _EPS = 0.1, 1e-5
# Maps read and written: forward twice in, once out; backward gradient and maps in, the same again, one out. A shortcut
# comes in; backward the output comes in too, and what passed ReLU goes out and is read in the gradient's place.
_PASSES = {False: 8, True: 11}

Norm = Callable[..., Tensor]


class _Case:
    """Maps of K lanes in channels_last and bfloat16, forward and backward.

    Args:
        setting: K, batch size, device.
        width: Channels of a lane.
        side: Height and width.
        shortcut: Whether one is added.
    """

    def __init__(self, setting: Setting, width: int, side: int, shortcut: bool) -> None:
        generator = torch.Generator(setting.device).manual_seed(0)
        channels = setting.lanes * width
        shape = (setting.batch_size, channels, side, side)

        def normal(*size: int) -> Tensor:
            return torch.randn(size, generator=generator, device=setting.device)

        self.maps, other, self._gradient = (
            each.to(torch.bfloat16).contiguous(memory_format=torch.channels_last)
            for each in (0.5 + 2 * normal(*shape), normal(*shape), normal(*shape))
        )
        self._shortcut = other if shortcut else None
        self._weight, self._bias = 1 + 0.3 * normal(channels), 0.3 * normal(channels)
        self._running = torch.zeros_like(self._bias), torch.ones_like(self._bias)
        self._leaves = [self.maps, self._weight, self._bias, *([other] if shortcut else [])]
        for leaf in self._leaves:
            leaf.requires_grad_()

    def run(self, norm: Norm) -> list[Tensor]:
        """Output and gradients."""
        output = norm(self.maps, self._weight, self._bias, *self._running, _MOMENTUM, _EPS, self._shortcut)
        return [output.detach(), *torch.autograd.grad(output, self._leaves, self._gradient)]

    def errors(self, norm: Norm) -> float:
        """The largest error of output and gradients against float64, relative to the norm of each."""
        doubles = [leaf.detach().double().requires_grad_() for leaf in self._leaves]
        shortcut = doubles[3] if self._shortcut is not None else None
        running = [each.double() for each in self._running]
        output = by_torch(*doubles[:3], *running, _MOMENTUM, _EPS, shortcut)
        right = [output.detach(), *torch.autograd.grad(output, doubles, self._gradient.double())]
        pairs = zip(self.run(norm), right, strict=True)
        return max(float((found.double() - each).norm() / each.norm()) for found, each in pairs)


def measure_norms(setting: Setting, roofline: Roofline, deadline: Deadline, inductor: bool) -> dict[str, Any]:
    """Microseconds of every form, and what they add up to in a model-step.

    Args:
        setting: What it runs on.
        roofline: Of this run.
        deadline: Of the part.
        inductor: Whether to compile; it takes most of the time.
    """
    blocks = (setting.depth - 2) // 6
    records: list[dict[str, Any]] = []
    for number, width in enumerate(WIDTHS):
        side = max(1, setting.side >> number)
        for shortcut in (False, True):
            case = _Case(setting, width, side, shortcut)
            forms: dict[str, Norm] = {"torch": by_torch, "our kernels": norm_relu}
            sides = [
                Side(name, lambda case=case, norm=norm: _captured(case, norm, setting.device))  # type: ignore[misc]
                for name, norm in forms.items()
            ]
            sides.append(Side("inductor", lambda case=case: _compiled(case, setting.device)))  # type: ignore[misc]
            if not inductor:
                sides[-1].failure = "skipped: compiling was not asked for (--inductor)"
            take_turns(sides, 2 if setting.dry_run else 20, setting.device, deadline, setting.repeats)
            size = case.maps.numel() * case.maps.element_size()
            floor = _PASSES[shortcut] * size / roofline.bytes_a_second
            # The first norm of the network has no shortcut either.
            layers = blocks + (number == 0 and not shortcut)
            for each in sides:
                quartiles = each.quartiles()
                norm = forms.get(each.name)
                records.append(
                    {
                        "maps": f"{width}x{side}x{side}",
                        "shortcut": shortcut,
                        "form": each.name,
                        "layers": layers,
                        "microseconds": None if each.median is None else 1e6 * each.median,
                        "quartiles": [1e6 * value for value in quartiles] if quartiles else None,
                        "share_of_floor": floor / each.median if each.median else None,
                        "largest_error": None if norm is None else case.errors(norm),
                        "repeats": len(each.seconds),
                        "failure": each.failure,
                    }
                )
            release(setting.device)
    totals: dict[str, float] = {}
    for record in records:
        if record["microseconds"] is not None:
            share = record["layers"] * record["microseconds"] / setting.lanes / 1e3
            totals[record["form"]] = totals.get(record["form"], 0.0) + share
    return {
        "lanes": setting.lanes,
        "batch_size": setting.batch_size,
        "depth": setting.depth,
        "ms_of_a_model_step": totals,
        "forms": records,
    }


def _captured(case: _Case, norm: Norm, device: torch.device) -> Any:
    return repeated(captured(lambda: case.run(norm), (), device))


def _compiled(case: _Case, device: torch.device) -> Any:
    return _captured(case, torch.compile(by_torch, dynamic=False), device)
