"""Triton's kernels for `tests.benchmarks.gpu.norm_relu`, which alone imports them; they need no GPU to be imported.

To them, channels_last maps are a matrix of B * H * W rows by C columns. A program takes a block of columns and a split
of the rows, which it goes through tile by tile. What is summed over rows is summed by each program for its split, and
then over the splits by a second kernel: in an order that never changes, so results are the same every time.

ReLU sets to 0 what is <= 0, and not what fails to be > 0: NaN passes, forward and backward, as in torch. A network that
diverged is not to look as if it had not.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor

HAS_TRITON = find_spec("triton") is not None
if HAS_TRITON:
    import triton
    from triton import language as tl

# Of a program that adds up splits: 8 float32 are the 32 bytes that a GPU reads at least.
_COLUMNS_OF_SUMS = 8
_WARPS_OF_SUMS = 8


@dataclass(frozen=True, slots=True)
class Tiling:
    """How maps are divided among programs; the defaults are the fastest of seven on an H100 (`gpu_norms.json`).

    Attributes:
        elements: Of a tile, a power of 2, >= ``columns``: what a program holds of each of its maps at once.
        columns: Most columns of a tile, a power of 2: 64 of bfloat16 are a whole cache line.
        summing_programs: Of a kernel that sums over rows, at most: about four for each of an H100's 132
            multiprocessors.
        writing_programs: Of a kernel that writes maps, at most.
        warps: Of a program.
    """

    elements: int = 2048
    columns: int = 64
    summing_programs: int = 512
    writing_programs: int = 2048
    warps: int = 4


@dataclass(frozen=True, slots=True)
class _Grid:
    """A tiling of certain maps.

    Attributes:
        rows: Of the maps.
        columns: Of the maps.
        tile_rows: A power of 2.
        tile_columns: A power of 2.
        split_rows: A multiple of ``tile_rows``.
        splits: Each of ``split_rows`` rows, the last of what is left.
        programs: Blocks of columns and splits. Blocks count faster: neighbours in time, as they are in memory.
    """

    rows: int
    columns: int
    tile_rows: int
    tile_columns: int
    split_rows: int
    splits: int
    programs: tuple[int, int]

    @staticmethod
    def of(maps: Tensor, tiling: Tiling, programs: int) -> _Grid:
        columns = maps.shape[1]
        rows = maps.numel() // columns
        tile_columns = min(_power_of_2(columns), tiling.columns)
        tile_rows = tiling.elements // tile_columns
        blocks, tiles = _ceiling(columns, tile_columns), _ceiling(rows, tile_rows)
        split_rows = _ceiling(tiles, max(1, programs // blocks)) * tile_rows
        splits = _ceiling(rows, split_rows)
        return _Grid(rows, columns, tile_rows, tile_columns, split_rows, splits, (blocks, splits))


def _device_of(maps: Tensor) -> AbstractContextManager[None]:
    """Where Triton launches kernels on, which is the current device; nothing for maps of the CPU."""
    device: AbstractContextManager[None] = torch.cuda.device_of(maps)  # type: ignore[no-untyped-call]
    return device


def _ceiling(dividend: int, divisor: int) -> int:
    return -(-dividend // divisor)


def _power_of_2(least: int) -> int:
    return 1 << (least - 1).bit_length()


def statistics(
    maps: Tensor, running_mean: Tensor, running_var: Tensor, momentum: float, eps: float, tiling: Tiling
) -> tuple[Tensor, Tensor]:
    """Mean and 1 / sqrt(variance + eps) of every channel, (C,) each in float32; updates the running statistics."""
    grid = _Grid.of(maps, tiling, tiling.summing_programs)
    partial = maps.new_empty((2, grid.splits, grid.columns), dtype=torch.float32)
    mean, inverse_std = maps.new_empty((2, grid.columns), dtype=torch.float32)
    with _device_of(maps):
        _split_statistics[grid.programs](
            maps,
            partial[0],
            partial[1],
            grid.rows,
            grid.columns,
            split_rows=grid.split_rows,
            ROWS=grid.tile_rows,
            COLUMNS=grid.tile_columns,
            num_warps=tiling.warps,
        )
        _whole_statistics[(_ceiling(grid.columns, _COLUMNS_OF_SUMS),)](
            partial[0],
            partial[1],
            mean,
            inverse_std,
            running_mean,
            running_var,
            momentum,
            eps,
            grid.rows,
            grid.columns,
            grid.split_rows,
            grid.splits,
            SPLITS=_power_of_2(grid.splits),
            COLUMNS=_COLUMNS_OF_SUMS,
            num_warps=_WARPS_OF_SUMS,
        )
    return mean, inverse_std


def normalised(
    maps: Tensor,
    mean: Tensor,
    inverse_std: Tensor,
    weight: Tensor,
    bias: Tensor,
    shortcut: Tensor | None,
    tiling: Tiling,
) -> Tensor:
    """``relu((maps - mean) * inverse_std * weight + bias + shortcut)``, as the maps are laid out."""
    grid = _Grid.of(maps, tiling, tiling.writing_programs)
    output = torch.empty_like(maps)
    with _device_of(maps):
        _normalise[grid.programs](
            maps,
            shortcut,
            output,
            mean,
            inverse_std,
            weight,
            bias,
            grid.rows,
            grid.columns,
            split_rows=grid.split_rows,
            ROWS=grid.tile_rows,
            COLUMNS=grid.tile_columns,
            num_warps=tiling.warps,
        )
    return output


def gradient_sums(
    of_output: Tensor,
    maps: Tensor,
    mean: Tensor,
    inverse_std: Tensor,
    weight: Tensor,
    bias: Tensor,
    output: Tensor | None,
    tiling: Tiling,
) -> tuple[Tensor | None, Tensor, Tensor]:
    """The gradients of shortcut, weight and bias.

    Args:
        of_output: Gradient of the output.
        maps: What was normalised.
        mean: Of every channel, (C,).
        inverse_std: Likewise.
        weight: Shape (C,).
        bias: Shape (C,).
        output: Where there was a shortcut, which then gets a gradient.
        tiling: Of the maps.
    """
    grid = _Grid.of(maps, tiling, tiling.summing_programs)
    of_shortcut = None if output is None else torch.empty_like(maps)
    partial = maps.new_empty((2, grid.splits, grid.columns), dtype=torch.float32)
    of_weight, of_bias = torch.empty_like(weight), torch.empty_like(bias)
    with _device_of(maps):
        _split_gradient_sums[grid.programs](
            of_output,
            maps,
            output,
            of_shortcut,
            mean,
            inverse_std,
            weight,
            bias,
            partial[0],
            partial[1],
            grid.rows,
            grid.columns,
            split_rows=grid.split_rows,
            ROWS=grid.tile_rows,
            COLUMNS=grid.tile_columns,
            num_warps=tiling.warps,
        )
        _whole_gradient_sums[(_ceiling(grid.columns, _COLUMNS_OF_SUMS),)](
            partial[0],
            partial[1],
            inverse_std,
            of_weight,
            of_bias,
            grid.columns,
            grid.splits,
            SPLITS=_power_of_2(grid.splits),
            COLUMNS=_COLUMNS_OF_SUMS,
            num_warps=_WARPS_OF_SUMS,
        )
    return of_shortcut, of_weight, of_bias


def gradient_of_maps(
    of_sum: Tensor,
    maps: Tensor,
    mean: Tensor,
    inverse_std: Tensor,
    weight: Tensor,
    bias: Tensor,
    of_weight: Tensor,
    of_bias: Tensor,
    past_relu: bool,
    tiling: Tiling,
) -> Tensor:
    """The gradient of the maps.

    Args:
        of_sum: Gradient of what ReLU was applied to, or of its output.
        maps: What was normalised.
        mean: Of every channel, (C,).
        inverse_std: Likewise.
        weight: Shape (C,).
        bias: Shape (C,).
        of_weight: Its gradient.
        of_bias: Its gradient.
        past_relu: Whether ``of_sum`` is the first of the two that it may be.
        tiling: Of the maps.
    """
    grid = _Grid.of(maps, tiling, tiling.writing_programs)
    of_maps = torch.empty_like(maps)
    with _device_of(maps):
        _map_gradient[grid.programs](
            of_sum,
            maps,
            of_maps,
            mean,
            inverse_std,
            weight,
            bias,
            of_weight,
            of_bias,
            grid.rows,
            grid.columns,
            split_rows=grid.split_rows,
            ROWS=grid.tile_rows,
            COLUMNS=grid.tile_columns,
            PAST_RELU=past_relu,
            num_warps=tiling.warps,
        )
    return of_maps


def _kernel(function: Callable[..., Any]) -> Any:
    """The function as Triton's; as it is where there is no Triton, so that this file can be imported everywhere."""
    return triton.jit(function) if HAS_TRITON else function


@_kernel
def _before_shortcut(value: tl.tensor, mean: tl.tensor, scale: tl.tensor, bias: tl.tensor) -> tl.tensor:
    """Forward and backward have to agree on its sign, so there is one formula for both."""
    return (value - mean[None, :]) * scale[None, :] + bias[None, :]


@_kernel
def _split_statistics(
    maps: tl.tensor,
    means: tl.tensor,
    squares: tl.tensor,
    rows: tl.tensor,
    columns: tl.tensor,
    split_rows: tl.tensor,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
) -> None:
    """Mean and sum of squared distances from it, of every column of a split.

    Welford's update for each place of the tile, and Chan's merger of the places: a sum of squares would lose the
    variance of what is far from 0.
    """
    column = tl.program_id(0) * COLUMNS + tl.arange(0, COLUMNS)
    split = tl.program_id(1)
    place = tl.arange(0, ROWS)
    exists = column < columns
    first = split * split_rows
    count = tl.minimum(split_rows, rows - first)
    # Where a split begins may be past 2^31; within it, 32 bits do.
    maps += first.to(tl.int64) * columns
    pivot = tl.load(maps + column, mask=exists, other=0.0).to(tl.float32)
    offsets = place[:, None] * columns + column[None, :]
    mean = tl.zeros([ROWS, COLUMNS], tl.float32)
    square = tl.zeros([ROWS, COLUMNS], tl.float32)
    for start in range(0, split_rows, ROWS):
        inside = (place < count - start)[:, None] & exists[None, :]
        value = tl.load(maps + offsets, mask=inside, other=0.0).to(tl.float32)
        delta = tl.where(inside, value - mean, 0.0)
        mean += delta * (1.0 / (start // ROWS + 1))
        square += delta * (value - mean)
        maps += ROWS * columns
    # Places are told apart from the first row, not from 0: a constant column then has itself as mean, to the last bit.
    seen = (tl.maximum(count - place + (ROWS - 1), 0) // ROWS).to(tl.float32)[:, None]
    distance = mean - pivot[None, :]
    shift = tl.sum(distance * seen, axis=0) / count
    apart = distance - shift[None, :]
    to = split * columns + column
    tl.store(means + to, pivot + shift, mask=exists)
    tl.store(squares + to, tl.sum(square + seen * apart * apart, axis=0), mask=exists)


@_kernel
def _whole_statistics(
    means: tl.tensor,
    squares: tl.tensor,
    whole_mean: tl.tensor,
    inverse_std: tl.tensor,
    running_mean: tl.tensor,
    running_var: tl.tensor,
    momentum: tl.tensor,
    eps: tl.tensor,
    rows: tl.tensor,
    columns: tl.tensor,
    split_rows: tl.tensor,
    splits: tl.tensor,
    SPLITS: tl.constexpr,
    COLUMNS: tl.constexpr,
) -> None:
    """Chan's merger of the splits."""
    column = tl.program_id(0) * COLUMNS + tl.arange(0, COLUMNS)
    exists = column < columns
    split = tl.arange(0, SPLITS)
    inside = (split < splits)[:, None] & exists[None, :]
    offsets = split[:, None] * columns + column[None, :]
    seen = tl.minimum(split_rows, rows - split * split_rows).to(tl.float32)[:, None]
    pivot = tl.load(means + column, mask=exists, other=0.0)
    distance = tl.where(inside, tl.load(means + offsets, mask=inside, other=0.0) - pivot[None, :], 0.0)
    shift = tl.sum(distance * seen, axis=0) / rows
    apart = distance - shift[None, :]
    square = tl.load(squares + offsets, mask=inside, other=0.0)
    square = tl.sum(tl.where(inside, square + seen * apart * apart, 0.0), axis=0)
    mean = pivot + shift
    tl.store(whole_mean + column, mean, mask=exists)
    tl.store(inverse_std + column, 1.0 / tl.sqrt_rn(square / rows + eps), mask=exists)
    mean_before = tl.load(running_mean + column, mask=exists, other=0.0)
    var_before = tl.load(running_var + column, mask=exists, other=0.0)
    tl.store(running_mean + column, (1.0 - momentum) * mean_before + momentum * mean, mask=exists)
    unbiased = square / (rows - 1)
    tl.store(running_var + column, (1.0 - momentum) * var_before + momentum * unbiased, mask=exists)


@_kernel
def _normalise(
    maps: tl.tensor,
    shortcut: tl.tensor,
    output: tl.tensor,
    means: tl.tensor,
    inverse_std: tl.tensor,
    weights: tl.tensor,
    biases: tl.tensor,
    rows: tl.tensor,
    columns: tl.tensor,
    split_rows: tl.tensor,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
) -> None:
    column = tl.program_id(0) * COLUMNS + tl.arange(0, COLUMNS)
    split = tl.program_id(1)
    place = tl.arange(0, ROWS)
    exists = column < columns
    mean = tl.load(means + column, mask=exists, other=0.0)
    scale = tl.load(weights + column, mask=exists, other=0.0) * tl.load(inverse_std + column, mask=exists, other=0.0)
    bias = tl.load(biases + column, mask=exists, other=0.0)
    first = split * split_rows
    count = tl.minimum(split_rows, rows - first)
    begin = first.to(tl.int64) * columns
    offsets = place[:, None] * columns + column[None, :]
    for start in range(0, split_rows, ROWS):
        inside = (place < count - start)[:, None] & exists[None, :]
        value = tl.load(maps + begin + offsets, mask=inside, other=0.0).to(tl.float32)
        value = _before_shortcut(value, mean, scale, bias)
        if shortcut is not None:
            value += tl.load(shortcut + begin + offsets, mask=inside, other=0.0).to(tl.float32)
        tl.store(output + begin + offsets, tl.where(value <= 0, 0.0, value), mask=inside)
        begin += ROWS * columns


@_kernel
def _split_gradient_sums(
    of_output: tl.tensor,
    maps: tl.tensor,
    output: tl.tensor,
    of_shortcut: tl.tensor,
    means: tl.tensor,
    inverse_std: tl.tensor,
    weights: tl.tensor,
    biases: tl.tensor,
    sums: tl.tensor,
    products: tl.tensor,
    rows: tl.tensor,
    columns: tl.tensor,
    split_rows: tl.tensor,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
) -> None:
    """Sums, for every column of a split, of g and of g * (x - mean), where g is the gradient before ReLU.

    Where there is a shortcut, g is written as its gradient: the next kernel then reads g in place of both the gradient
    and the output, a pass less over the maps.
    """
    column = tl.program_id(0) * COLUMNS + tl.arange(0, COLUMNS)
    split = tl.program_id(1)
    place = tl.arange(0, ROWS)
    exists = column < columns
    mean = tl.load(means + column, mask=exists, other=0.0)
    if output is None:
        scale = tl.load(weights + column, mask=exists, other=0.0)
        scale *= tl.load(inverse_std + column, mask=exists, other=0.0)
        bias = tl.load(biases + column, mask=exists, other=0.0)
    first = split * split_rows
    count = tl.minimum(split_rows, rows - first)
    begin = first.to(tl.int64) * columns
    offsets = place[:, None] * columns + column[None, :]
    total = tl.zeros([ROWS, COLUMNS], tl.float32)
    product = tl.zeros([ROWS, COLUMNS], tl.float32)
    for start in range(0, split_rows, ROWS):
        inside = (place < count - start)[:, None] & exists[None, :]
        gradient = tl.load(of_output + begin + offsets, mask=inside, other=0.0).to(tl.float32)
        value = tl.load(maps + begin + offsets, mask=inside, other=0.0).to(tl.float32)
        if output is None:
            gradient = tl.where(_before_shortcut(value, mean, scale, bias) <= 0, 0.0, gradient)
        else:
            passed = tl.load(output + begin + offsets, mask=inside, other=0.0).to(tl.float32)
            gradient = tl.where(passed <= 0, 0.0, gradient)
            tl.store(of_shortcut + begin + offsets, gradient, mask=inside)
        total += gradient
        product += gradient * (value - mean[None, :])
        begin += ROWS * columns
    to = split * columns + column
    tl.store(sums + to, tl.sum(total, axis=0), mask=exists)
    tl.store(products + to, tl.sum(product, axis=0), mask=exists)


@_kernel
def _whole_gradient_sums(
    sums: tl.tensor,
    products: tl.tensor,
    inverse_std: tl.tensor,
    of_weight: tl.tensor,
    of_bias: tl.tensor,
    columns: tl.tensor,
    splits: tl.tensor,
    SPLITS: tl.constexpr,
    COLUMNS: tl.constexpr,
) -> None:
    column = tl.program_id(0) * COLUMNS + tl.arange(0, COLUMNS)
    exists = column < columns
    split = tl.arange(0, SPLITS)
    inside = (split < splits)[:, None] & exists[None, :]
    offsets = split[:, None] * columns + column[None, :]
    total = tl.sum(tl.load(sums + offsets, mask=inside, other=0.0), axis=0)
    product = tl.sum(tl.load(products + offsets, mask=inside, other=0.0), axis=0)
    tl.store(of_bias + column, total, mask=exists)
    tl.store(of_weight + column, product * tl.load(inverse_std + column, mask=exists, other=0.0), mask=exists)


@_kernel
def _map_gradient(
    of_sum: tl.tensor,
    maps: tl.tensor,
    of_maps: tl.tensor,
    means: tl.tensor,
    inverse_std: tl.tensor,
    weights: tl.tensor,
    biases: tl.tensor,
    of_weight: tl.tensor,
    of_bias: tl.tensor,
    rows: tl.tensor,
    columns: tl.tensor,
    split_rows: tl.tensor,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
    PAST_RELU: tl.constexpr,
) -> None:
    """weight / std * (g - mean of g - normalised x * mean of (g * normalised x))."""
    column = tl.program_id(0) * COLUMNS + tl.arange(0, COLUMNS)
    split = tl.program_id(1)
    place = tl.arange(0, ROWS)
    exists = column < columns
    mean = tl.load(means + column, mask=exists, other=0.0)
    gain = tl.load(inverse_std + column, mask=exists, other=0.0)
    scale = tl.load(weights + column, mask=exists, other=0.0) * gain
    bias = tl.load(biases + column, mask=exists, other=0.0)
    level = tl.load(of_bias + column, mask=exists, other=0.0) / rows
    slope = gain * tl.load(of_weight + column, mask=exists, other=0.0) / rows
    first = split * split_rows
    count = tl.minimum(split_rows, rows - first)
    begin = first.to(tl.int64) * columns
    offsets = place[:, None] * columns + column[None, :]
    for start in range(0, split_rows, ROWS):
        inside = (place < count - start)[:, None] & exists[None, :]
        gradient = tl.load(of_sum + begin + offsets, mask=inside, other=0.0).to(tl.float32)
        value = tl.load(maps + begin + offsets, mask=inside, other=0.0).to(tl.float32)
        if not PAST_RELU:
            gradient = tl.where(_before_shortcut(value, mean, scale, bias) <= 0, 0.0, gradient)
        gradient -= level[None, :] + (value - mean[None, :]) * slope[None, :]
        tl.store(of_maps + begin + offsets, scale[None, :] * gradient, mask=inside)
        begin += ROWS * columns
