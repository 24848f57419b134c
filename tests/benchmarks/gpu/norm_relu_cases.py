"""Maps for `norm_relu`, what it must make of them, and how far off it is; as a program, in Triton's interpreter."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from tests.benchmarks.gpu import norm_relu as module

MOMENTUM, EPS = 0.1, 1e-5
# Around 0 a rounding error decides whether ReLU lets the gradient through, so none comes from there.
_UNDECIDED = 0.05

# maps, weight, bias, running_mean, running_var, momentum, eps, shortcut
NormRelu = Callable[[Tensor, Tensor, Tensor, Tensor, Tensor, float, float, Tensor | None], Tensor]


@dataclass(frozen=True, slots=True)
class Case:
    """What a call is made with.

    Attributes:
        shape: Of the maps, (B, C, H, W).
        shortcut: Whether there is one.
        dtype: Of the maps.
        mean: Of the maps.
        std: Of the maps; 0 for channels that are constant.
        device: Of all tensors.
    """

    shape: tuple[int, int, int, int]
    shortcut: bool
    dtype: torch.dtype = torch.float32
    mean: float = 0.5
    std: float = 2.0
    device: str = "cpu"

    @property
    def name(self) -> str:
        """As tests print it."""
        added = "with shortcut" if self.shortcut else "alone"
        return f"{self.dtype} {self.shape} {self.mean} +- {self.std}, {added}".removeprefix("torch.")


@dataclass(frozen=True, slots=True)
class Outcome:
    """All that a call and its backward pass leave behind; shapes (B, C, H, W) and (C,)."""

    output: Tensor
    of_maps: Tensor
    of_weight: Tensor
    of_bias: Tensor
    running_mean: Tensor
    running_var: Tensor
    of_shortcut: Tensor | None

    def errors(self, exact: Outcome) -> dict[str, float]:
        """Of each part the largest error in any channel, in terms of the channel's largest value (if that is > 1)."""
        return {name: _error(getattr(self, name), getattr(exact, name)) for name in self.__slots__}


def _error(value: Tensor | None, exact: Tensor | None) -> float:
    if value is None or exact is None:
        assert value is exact
        return 0.0
    assert value.shape == exact.shape
    if value.dim() == 4:
        value, exact = (each.transpose(0, 1).flatten(1) for each in (value, exact))
    else:
        value, exact = value[None], exact[None]
    return float(((value - exact).abs().amax(1) / exact.abs().amax(1).clamp(min=1)).max())


def outcomes(case: Case, function: NormRelu) -> tuple[Outcome, Outcome]:
    """Of a function, and of the definition in float64."""
    generator = torch.Generator(case.device).manual_seed(hash(case.shape))

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator, device=case.device)

    width = case.shape[1]
    precise = torch.float64 if case.dtype == torch.float64 else torch.float32
    maps, shortcut, gradient = (
        (each * normal(*case.shape) + offset).to(case.dtype).contiguous(memory_format=torch.channels_last)
        for each, offset in ((case.std, case.mean), (1, 0), (1, 0.2))
    )
    weight, bias = (1 + 0.3 * normal(width)).to(precise), normal(width).to(precise)
    running_mean, running_var = normal(width).to(precise), 1 + normal(width).to(precise) ** 2
    exact_running = running_mean.double().clone(), running_var.double().clone()

    exact_leaves = [each.double().clone().requires_grad_() for each in (maps, weight, bias, shortcut)]
    before = _before_relu(*exact_leaves[:3], exact_leaves[3] if case.shortcut else None)
    gradient = gradient.where(before.detach().abs() > _UNDECIDED, 0).to(case.dtype)
    exact_output = before.relu()
    (exact_output * gradient.double()).sum().backward()
    batch = maps.double().transpose(0, 1).flatten(1)
    for running, of_batch in zip(exact_running, (batch.mean(1), batch.var(1, correction=1)), strict=True):
        running.lerp_(of_batch, MOMENTUM)
    exact = _outcome(exact_output, exact_leaves, *exact_running, case.shortcut)

    leaves = [each.requires_grad_() for each in (maps, weight, bias, shortcut)]
    added = leaves[3] if case.shortcut else None
    output = function(leaves[0], leaves[1], leaves[2], running_mean, running_var, MOMENTUM, EPS, added)
    # As it often arrives: laid out in another way than the maps.
    output.backward(gradient.contiguous())
    assert output.dtype == case.dtype
    assert output.is_contiguous(memory_format=torch.channels_last)
    return _outcome(output, leaves, running_mean, running_var, case.shortcut), exact


def _before_relu(maps: Tensor, weight: Tensor, bias: Tensor, shortcut: Tensor | None) -> Tensor:
    centred = maps - maps.mean(dim=(0, 2, 3), keepdim=True)
    variance = centred.square().mean(dim=(0, 2, 3), keepdim=True)
    normalised = centred / (variance + EPS).sqrt()
    result = normalised * weight[:, None, None] + bias[:, None, None]
    return result if shortcut is None else result + shortcut


def _outcome(
    output: Tensor, leaves: list[Tensor], running_mean: Tensor, running_var: Tensor, shortcut: bool
) -> Outcome:
    maps, weight, bias = ((each.grad if each.grad is not None else each.new_zeros(0)).double() for each in leaves[:3])
    of_shortcut = leaves[3].grad
    assert (of_shortcut is not None) == shortcut
    return Outcome(
        output.detach().double(),
        maps,
        weight,
        bias,
        running_mean.double(),
        running_var.double(),
        None if of_shortcut is None else of_shortcut.double(),
    )


# Few, since the interpreter takes half a second for each. 70 rows are no power of 2: every kernel has places to leave
# out.
INTERPRETED = [
    Case((2, 16, 5, 7), shortcut=False),
    Case((2, 24, 5, 7), shortcut=True),
    Case((2, 128, 5, 7), shortcut=False),
    Case((2, 24, 5, 7), shortcut=False, dtype=torch.bfloat16),
    Case((2, 16, 5, 7), shortcut=True, dtype=torch.bfloat16),
    Case((2, 24, 5, 7), shortcut=False, mean=1000.0, std=0.5),
    Case((2, 16, 5, 7), shortcut=True, mean=1000.1, std=0.0),
]


def _interpreted() -> NormRelu:
    from tests.benchmarks.gpu.norm_relu_kernels import Tiling

    # Several blocks of columns, several splits, several tiles in a split, the last of them in part.
    tiling = Tiling(elements=1024, columns=64, summing_programs=2, writing_programs=2)

    def function(
        maps: Tensor,
        weight: Tensor,
        bias: Tensor,
        running_mean: Tensor,
        running_var: Tensor,
        momentum: float,
        eps: float,
        shortcut: Tensor | None,
    ) -> Tensor:
        return module.by_kernels(maps, weight, bias, running_mean, running_var, momentum, eps, shortcut, tiling)

    return function


def _channels_not_finite(function: NormRelu) -> list[list[int]]:
    """Channels with NaN in output and gradient where one value of channel 1 of 3 is NaN."""
    maps = torch.randn(2, 3, 5, 7).contiguous(memory_format=torch.channels_last)
    maps[1, 1, 2, 3] = torch.nan
    maps.requires_grad_()
    output = function(maps, torch.ones(3), torch.zeros(3), torch.zeros(3), torch.ones(3), MOMENTUM, EPS, None)
    output.sum().backward()
    assert maps.grad is not None
    return [each.isnan().any(0).any(1).any(1).nonzero().flatten().tolist() for each in (output, maps.grad)]


def main() -> None:
    """Print what the interpreted kernels are off by, and whether a call without them imports Triton."""
    maps = torch.randn(2, 3, 4, 4)
    module.norm_relu(maps, torch.ones(3), torch.zeros(3), torch.zeros(3), torch.ones(3), MOMENTUM, EPS)
    imported = "triton" in sys.modules
    function = _interpreted()
    errors = {}
    for case in INTERPRETED:
        ours, exact = outcomes(case, function)
        errors[case.name] = ours.errors(exact)
    print(json.dumps({"imported": imported, "errors": errors, "not_finite": _channels_not_finite(function)}))


if __name__ == "__main__":
    main()
