from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.benchmarks.gpu import norm_relu_cases as cases
from tests.benchmarks.gpu.norm_relu import norm_relu
from tests.benchmarks.gpu.norm_relu_cases import Case

_ROOT = Path(__file__).resolve().parents[2]
_HAS_TRITON = importlib.util.find_spec("triton") is not None
_NEEDS_TRITON = pytest.mark.skipif(not _HAS_TRITON, reason="triton is not installed: kernels cannot be interpreted")
_NEEDS_GPU = pytest.mark.skipif(
    not (_HAS_TRITON and torch.cuda.is_available()), reason="there is no CUDA device, or no triton, to run kernels"
)
_PARTS = ("output", "of_maps", "of_shortcut", "of_weight", "of_bias", "running_mean", "running_var")
_ROUNDED = _PARTS[:3]
# A half of the last of bfloat16's 8 bits.
_BFLOAT16 = 2.0**-8


def exceeding(errors: dict[str, float], maps: float, sums: float) -> dict[str, float]:
    """Errors that are larger than allowed: of what has the maps' type, and of what is summed in float32."""
    assert set(errors) == set(_PARTS)
    # Not "error > allowed", which is false of NaN.
    return {name: error for name, error in errors.items() if not error <= (maps if name in _ROUNDED else sums)}


@pytest.mark.parametrize("shortcut", [False, True])
@pytest.mark.parametrize(("mean", "std"), [(0.5, 2.0), (1000.0, 0.5), (1000.1, 0.0)])
def test_without_a_gpu_values_gradients_and_running_statistics_are_the_definitions(
    shortcut: bool, mean: float, std: float
) -> None:
    case = Case((3, 6, 5, 4), shortcut, torch.float64, mean, std)
    ours, exact = cases.outcomes(case, norm_relu)
    assert not exceeding(ours.errors(exact), maps=1e-9, sums=1e-9)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("shortcut", [False, True])
@pytest.mark.parametrize("layout", [torch.channels_last, torch.contiguous_format])
def test_without_a_gpu_the_result_is_that_of_torchs_operations_to_the_last_bit(
    dtype: torch.dtype, shortcut: bool, layout: torch.memory_format
) -> None:
    maps, added = (torch.randn(2, 8, 3, 3).to(dtype).contiguous(memory_format=layout) for _ in range(2))
    weight, bias = torch.randn(2, 8)
    running, plain = (torch.zeros(8), torch.ones(8)), (torch.zeros(8), torch.ones(8))
    ours = norm_relu(maps, weight, bias, *running, 0.1, 1e-5, added if shortcut else None)
    torchs = torch.nn.functional.batch_norm(maps, *plain, weight, bias, True, 0.1, 1e-5)
    assert torch.equal(ours, torch.relu(torchs + added if shortcut else torchs))
    assert ours.stride() == torchs.stride()
    assert all(map(torch.equal, running, plain))


def test_one_value_a_channel_is_refused_as_torch_refuses_it() -> None:
    maps, ones = torch.randn(1, 4, 1, 1), torch.ones(4)
    with pytest.raises(ValueError, match="more than 1 value per channel"):
        norm_relu(maps, ones, ones, ones.clone(), ones.clone(), 0.1, 1e-5)


@pytest.fixture(scope="module")
def interpreted() -> dict[str, Any]:
    """What the kernels are off by in Triton's interpreter, which has to be asked for before Triton is imported."""
    environment = {**os.environ, "TRITON_INTERPRET": "1", "PYTHONPATH": str(_ROOT)}
    done = subprocess.run([sys.executable, "-m", cases.__name__], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@_NEEDS_TRITON
@pytest.mark.parametrize("case", cases.INTERPRETED, ids=lambda case: case.name)
def test_interpreted_kernels_agree_with_the_definition(interpreted: dict[str, Any], case: Case) -> None:
    if case.dtype == torch.bfloat16:
        allowed = {"maps": 2 * _BFLOAT16, "sums": 1e-5}  # the interpreter cuts where a GPU rounds
    elif 0 < case.std < case.mean:
        # The mean itself, in float32, is off by 3e-5: 6e-5 standard deviations.
        allowed = {"maps": 5e-4, "sums": 5e-4}
    else:
        allowed = {"maps": 2e-6, "sums": 2e-6}
    assert not exceeding(interpreted["errors"][case.name], **allowed)


@_NEEDS_TRITON
def test_a_channel_that_is_not_finite_stays_so_and_spoils_no_other(interpreted: dict[str, Any]) -> None:
    assert interpreted["not_finite"] == [[1], [1]]


@_NEEDS_TRITON
def test_without_a_gpu_triton_is_not_imported(interpreted: dict[str, Any]) -> None:
    assert not interpreted["imported"]


# Eight networks of each of CIFAR's three stages, and what is no multiple of a tile.
_STAGES = [(128, 128, 32, 32), (128, 256, 16, 16), (128, 512, 8, 8), (3, 40, 9, 7)]


@_NEEDS_GPU
@pytest.mark.parametrize("shape", _STAGES, ids=str)
@pytest.mark.parametrize("shortcut", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_kernels_agree_with_the_definition(
    shape: tuple[int, int, int, int], shortcut: bool, dtype: torch.dtype
) -> None:
    ours, exact = cases.outcomes(Case(shape, shortcut, dtype, device="cuda"), norm_relu)
    allowed = _BFLOAT16 if dtype == torch.bfloat16 else 1e-5
    assert not exceeding(ours.errors(exact), maps=allowed, sums=1e-5)


@_NEEDS_GPU
def test_a_captured_graph_repeats_the_same_values_and_moves_the_running_statistics() -> None:
    shape = (16, 64, 8, 8)
    maps, added = (torch.randn(shape, device="cuda").contiguous(memory_format=torch.channels_last) for _ in range(2))
    maps.requires_grad_()
    weight, bias = torch.randn(2, 64, device="cuda").unbind()
    running_mean, running_var = torch.zeros(64, device="cuda"), torch.ones(64, device="cuda")

    def step() -> tuple[torch.Tensor, torch.Tensor]:
        output = norm_relu(maps, weight, bias, running_mean, running_var, 0.1, 1e-5, added)
        (gradient,) = torch.autograd.grad(output, maps, added)
        return output, gradient

    eager = step()
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        captured = step()
    before = running_mean.clone()
    graph.replay()
    torch.cuda.synchronize()
    assert all(map(torch.equal, eager, captured))
    assert not torch.equal(running_mean, before)
