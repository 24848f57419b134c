"""Norm, sum with the shortcut and ReLU of the fused network as kernels of our own: the prototype of its next norms.

Measured layer by layer on an H100 (`gpu_norms.json`): half the time of torch's. They take the place of torch's in the
engine once a GPU has shown what a whole step, and training, make of them.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING
from typing import Any

import torch
from torch import Tensor

from trainers.engines.fused_network import norm_relu as by_torch

if TYPE_CHECKING:
    from tests.benchmarks.gpu.norm_relu_kernels import Tiling

_KERNEL_DTYPES = (torch.bfloat16, torch.float32)


def norm_relu(
    maps: Tensor,
    weight: Tensor,
    bias: Tensor,
    running_mean: Tensor,
    running_var: Tensor,
    momentum: float,
    eps: float,
    shortcut: Tensor | None = None,
) -> Tensor:
    """``relu(batch_norm(maps) + shortcut)`` with the batch's own statistics, of every channel over (B, H, W).

    channels_last maps on a GPU are read twice and written once forward, by kernels of our own that compute in float32
    and round once; elsewhere torch's operations do it one after the other. Triton compiles a kernel at its first use
    with a shape, so what is to be captured in a CUDA graph must have run once before.

    Args:
        maps: Shape (B, C, H, W); kernels take bfloat16 and float32. B * H * W > 1.
        weight: Shape (C,), float32 (float64 with maps in float64).
        bias: Shape (C,), likewise.
        running_mean: Shape (C,), likewise; moved towards the batch's mean in place.
        running_var: Shape (C,), likewise; moved towards the batch's unbiased variance in place.
        momentum: Share of the batch in the running statistics, in [0, 1].
        eps: Added to the biased variance that the maps are divided by the root of.
        shortcut: Added before ReLU; shape and type of the maps.

    Returns:
        Shape, type and layout of the maps; differentiable once in maps, weight, bias and shortcut.

    Raises:
        ValueError: There is no more than one value a channel; torch's own.

    Source: Ioffe and Szegedy, arXiv 1502.03167, Algorithm 1 and section 3.
    """
    if _kernels_take(maps, (weight, bias, running_mean, running_var), shortcut):
        return by_kernels(maps, weight, bias, running_mean, running_var, momentum, eps, shortcut)
    return by_torch(maps, weight, bias, running_mean, running_var, momentum, eps, shortcut)


def by_kernels(
    maps: Tensor,
    weight: Tensor,
    bias: Tensor,
    running_mean: Tensor,
    running_var: Tensor,
    momentum: float,
    eps: float,
    shortcut: Tensor | None = None,
    tiling: Tiling | None = None,
) -> Tensor:
    """`norm_relu` by Triton's kernels, of tensors that they take; on the CPU in Triton's interpreter only.

    Args:
        maps: channels_last; this and the next seven as in `norm_relu`.
        weight: Contiguous.
        bias: Contiguous.
        running_mean: Contiguous.
        running_var: Contiguous.
        momentum: See `norm_relu`.
        eps: See `norm_relu`.
        shortcut: Copied where it is not channels_last.
        tiling: How the maps are divided among programs; None for what suits them.
    """
    result: Tensor = _NormRelu.apply(maps, weight, bias, shortcut, running_mean, running_var, momentum, eps, tiling)
    return result


def _kernels_take(maps: Tensor, of_channels: tuple[Tensor, ...], shortcut: Tensor | None) -> bool:
    return (
        maps.is_cuda
        and maps.dim() == 4
        and maps.dtype in _KERNEL_DTYPES
        and maps.is_contiguous(memory_format=torch.channels_last)
        and maps.numel() > maps.shape[1]
        and all(
            each.dtype == torch.float32 and each.device == maps.device and each.is_contiguous() for each in of_channels
        )
        and (
            shortcut is None
            or (shortcut.shape == maps.shape and shortcut.dtype == maps.dtype and shortcut.device == maps.device)
        )
        and _has_triton()
    )


@cache
def _has_triton() -> bool:
    try:
        from tests.benchmarks.gpu import norm_relu_kernels
    except ImportError:
        return False
    return norm_relu_kernels.HAS_TRITON


class _NormRelu(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        maps: Tensor,
        weight: Tensor,
        bias: Tensor,
        shortcut: Tensor | None,
        running_mean: Tensor,
        running_var: Tensor,
        momentum: float,
        eps: float,
        tiling: Tiling | None,
    ) -> Tensor:
        # Triton is imported where it is first used: half a second that processes without a GPU are spared.
        from tests.benchmarks.gpu import norm_relu_kernels as kernels

        tiling = tiling or kernels.Tiling()
        if shortcut is not None:
            shortcut = shortcut.contiguous(memory_format=torch.channels_last)
        mean, inverse_std = kernels.statistics(maps, running_mean, running_var, momentum, eps, tiling)
        output = kernels.normalised(maps, mean, inverse_std, weight, bias, shortcut, tiling)
        # Where ReLU let nothing through is seen in the maps themselves, unless a shortcut was added to them.
        ctx.save_for_backward(maps, weight, bias, mean, inverse_std, None if shortcut is None else output)
        ctx.tiling = tiling
        return output

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, of_output: Tensor) -> tuple[Tensor | None, ...]:
        from tests.benchmarks.gpu import norm_relu_kernels as kernels

        maps, weight, bias, mean, inverse_std, output = ctx.saved_tensors
        of_output = of_output.contiguous(memory_format=torch.channels_last)
        of_shortcut, of_weight, of_bias = kernels.gradient_sums(
            of_output, maps, mean, inverse_std, weight, bias, output, ctx.tiling
        )
        of_sum = of_output if of_shortcut is None else of_shortcut
        of_maps = kernels.gradient_of_maps(
            of_sum, maps, mean, inverse_std, weight, bias, of_weight, of_bias, of_shortcut is not None, ctx.tiling
        )
        return of_maps, of_weight, of_bias, of_shortcut, None, None, None, None, None
