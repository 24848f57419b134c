"""Which arithmetic and memory layout suit a device and a network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import nn

from trainers.errors import FieldError
from trainers.errors import InvalidInput
from trainers.training import Computation
from trainers.training import Precision


@dataclass(frozen=True, slots=True)
class Arithmetic:
    """How a network is run on a device.

    Attributes:
        device: Where it runs.
        autocast: Whether matrix products and convolutions run in bfloat16.
        memory_format: channels_last for convolutions: the fast layout of both oneDNN and cuDNN.
    """

    device: torch.device
    autocast: bool
    memory_format: torch.memory_format

    def computation(self, engine: str) -> Computation:
        """What an engine computes with it."""
        gpu = self.device.type == "cuda"
        device = torch.cuda.get_device_name(self.device) if gpu else self.device.type
        return Computation(engine, device, "bf16" if self.autocast else "fp32")

    @staticmethod
    def choose(device: str, precision: Precision, network: nn.Module) -> Arithmetic:
        """The arithmetic for a network; bfloat16 on request, or where it is known to be faster.

        Args:
            device: "auto" or a torch device.
            precision: "auto", "fp32" or "bf16".
            network: What is to be run.

        Raises:
            InvalidInput: The device is not there.
        """
        place = _device(device)
        convolutional = any(isinstance(module, nn.Conv2d) for module in network.modules())
        autocast = precision == "bf16" or (precision == "auto" and convolutional and has_fast_bf16(place))
        layout = torch.channels_last if convolutional else torch.contiguous_format
        return Arithmetic(place, autocast, layout)


def has_fast_bf16(device: torch.device) -> bool:
    """Whether a device computes in bfloat16 faster than in float32; emulated, it is several times slower.

    Processors with AMX are meant to compute bfloat16 there. Their AVX-512 instructions for it, which are all that a
    virtual machine without AMX has, run at half the rate of float32 (84 against 164 GFLOP/s for a product of 1024 x
    1024 matrices on one core); such processors are known by their avx512_fp16.
    """
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device.type != "cpu":
        return False
    # A torch that cannot say what the processor has computes in float32, which is right everywhere.
    has: Mapping[str, object] = getattr(torch.cpu, "get_capabilities", dict)()
    return bool(has.get("amx_bf16") or (has.get("avx512_bf16") and not has.get("avx512_fp16")))


def _device(name: str) -> torch.device:
    gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if name == "auto":
        return torch.device("cuda" if gpus else "cpu")
    device = torch.device(name)
    if device.type == "cuda" and (device.index or 0) >= gpus:
        remedy = "Use 'cpu', or 'auto' for what there is."
        raise InvalidInput(FieldError("device", name, f"torch sees {gpus} GPUs here", remedy))
    return device
