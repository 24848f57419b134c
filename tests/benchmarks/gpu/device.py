"""All that is particular to CUDA: synchronising, capturing a graph, streams. On a CPU each does the plain thing."""

from __future__ import annotations

import gc
from collections.abc import Callable
from collections.abc import Sequence
from typing import Any

import torch

Call = Callable[[], object]

# torch asks for some before a capture, so that libraries have made their handles, plans and workspaces.
_WARM_UP = 3


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


def captured(call: Call, device: torch.device) -> Call:
    """The call as a CUDA graph: the returned function replays it. On a CPU, the call itself.

    What the call reads and writes across calls must be tensors that stay where they are, and nothing in it may wait
    for the device. It runs three times here before it is captured, on the stream of the capture, which no other
    capture shares: so graphs that are replayed at the same time have their own workspaces of cuBLAS.
    """
    if device.type != "cuda":
        return call
    stream = torch.cuda.Stream(device)
    stream.wait_stream(torch.cuda.current_stream(device))
    with torch.cuda.stream(stream):
        for _ in range(_WARM_UP):
            call()
    torch.cuda.current_stream(device).wait_stream(stream)
    torch.cuda.synchronize(device)
    graph = torch.cuda.CUDAGraph()
    # Other threads have no part in it: the solo engine's waits, a DataLoader's may be pinning memory.
    with torch.cuda.graph(graph, stream=stream, capture_error_mode="thread_local"):
        call()
    torch.cuda.synchronize(device)
    return graph.replay


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
        "cudnn_tf32": torch.backends.cudnn.allow_tf32,
    }
