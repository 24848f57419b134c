"""What is particular to CUDA: synchronising, streams. On a CPU each does the plain thing."""

from __future__ import annotations

import gc
from collections.abc import Callable
from collections.abc import Sequence
from typing import Any

import torch

Call = Callable[[], object]


def chosen_device(name: str) -> torch.device:
    """The device of a name; "cuda" is the first one, since torch does not make a device without an index current."""
    device = torch.device(name)
    return torch.device("cuda", 0) if device.type == "cuda" and device.index is None else device


def synchronise(device: torch.device) -> None:
    """Wait until the device has done all that was asked of it."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def prepare(device: torch.device) -> None:
    """The settings of every side: convolution algorithms by measurement; TF32 as torch has it by default."""
    if device.type == "cuda":
        torch.cuda.set_device(device)
        torch.backends.cudnn.benchmark = True


def side_by_side(calls: Sequence[Call], device: torch.device) -> Call:
    """One call that runs each in a stream of its own, from the current stream and back to it; it may be captured.

    On a CPU, one after another.
    """
    if device.type != "cuda":
        return lambda: [call() for call in calls]
    streams = [torch.cuda.Stream(device) for _ in calls]

    def run() -> None:
        current = torch.cuda.current_stream(device)
        for stream, call in zip(streams, calls, strict=True):
            stream.wait_stream(current)
            with torch.cuda.stream(stream):
                call()
        for stream in streams:
            current.wait_stream(stream)

    return run


def release(device: torch.device) -> None:
    """Give freed memory back to the device, so that graphs' pools and other processes can have it."""
    gc.collect()  # what is captured and what replays it refer to each other
    if device.type == "cuda":
        torch.cuda.empty_cache()


def description(device: torch.device) -> dict[str, Any]:
    """The device as a result names it: its name, memory in GiB, and the versions of CUDA and cuDNN."""
    if device.type != "cuda":
        return {"device": "cpu"}
    properties = torch.cuda.get_device_properties(device)
    return {
        "device": properties.name,
        "device_memory_gib": round(properties.total_memory / 2**30, 1),
        "multiprocessors": properties.multi_processor_count,
        "cuda": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version(),
        "cudnn_benchmark": torch.backends.cudnn.benchmark,
        "cudnn_tf32": torch.backends.cudnn.conv.fp32_precision == "tf32",
    }
