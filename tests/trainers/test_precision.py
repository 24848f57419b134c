"""Which arithmetic is chosen for a network on a processor."""

from __future__ import annotations

import pytest
import torch

from trainers.engines.precision import Arithmetic
from trainers.engines.precision import has_fast_bf16
from trainers.models import build_model

CPU = torch.device("cpu")
PROCESSORS = {
    "without bf16": ({"avx512_f": True}, False),
    "AMX": ({"avx512_bf16": True, "avx512_fp16": True, "amx_bf16": True}, True),
    # AVX-512's bf16 runs at half the rate of fp32 where AMX was to do it.
    "AMX hidden by a virtual machine": ({"avx512_bf16": True, "avx512_fp16": True, "amx_bf16": False}, False),
    "AVX-512 alone, as Zen 4": ({"avx512_bf16": True, "avx512_fp16": False, "amx_bf16": False}, True),
    "a torch that names no AMX": ({"avx512_bf16": True}, True),
}


@pytest.mark.parametrize(("has", "fast"), PROCESSORS.values(), ids=PROCESSORS)
def test_bf16_is_chosen_where_the_processor_is_faster_in_it(
    monkeypatch: pytest.MonkeyPatch, has: dict[str, bool], fast: bool
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: has, raising=False)
    network = build_model("resnet20", (3, 8, 8), 10)

    assert has_fast_bf16(CPU) is fast
    assert Arithmetic.choose("cpu", "auto", network).autocast is fast
    assert Arithmetic.choose("cpu", "bf16", network).autocast
    assert not Arithmetic.choose("cpu", "fp32", network).autocast
    assert Arithmetic.choose("cpu", "auto", network).computation("solo").precision == ("bf16" if fast else "fp32")


def test_a_torch_that_cannot_say_computes_in_fp32(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    assert not has_fast_bf16(CPU)


def test_only_convolutions_gain_from_bf16(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"amx_bf16": True}, raising=False)
    arithmetic = Arithmetic.choose("cpu", "auto", build_model("mlp", (64,), 10))
    assert not arithmetic.autocast
    assert arithmetic.memory_format is torch.contiguous_format
