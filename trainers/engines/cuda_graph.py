"""A step as a CUDA graph: launched at once instead of kernel by kernel."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

# torch asks for some before a capture, so that libraries have made their handles, plans and workspaces.
_WARM_UP = 3


@dataclass(frozen=True, slots=True)
class _Captured:
    """A graph and the step that it was made of, which owns the tensors that the graph reads and writes."""

    graph: torch.cuda.CUDAGraph
    step: Callable[[], object]

    def __call__(self) -> None:
        self.graph.replay()


def captured(step: Callable[[], object], state: Sequence[Tensor], device: torch.device) -> Callable[[], object]:
    """The step as a CUDA graph: the returned function replays it. On any other device, the step itself.

    Args:
        step: What it reads and writes from call to call are tensors that stay where they are, and nothing in it
            waits for the device. It is run three times before it is captured, on the stream of the capture.
        state: Tensors that the step changes and that matter afterwards: they are put back as they were, as is the
            device's generator, from which networks with random layers of their own draw.
        device: Where the step runs.
    """
    if device.type != "cuda":
        return step
    before = [tensor.clone() for tensor in state]
    generator_before = torch.cuda.get_rng_state(device)
    stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
    stream.wait_stream(torch.cuda.current_stream(device))
    # Which algorithm of a convolution is fastest for its shape is measured now and stays in the graph.
    # Set by itself, since torch refuses to tell the other flags where a precision was asked for in its newer way.
    own, measured = torch.backends.cudnn, torch.backends.cudnn.benchmark
    own.benchmark = True
    try:
        with torch.cuda.stream(stream):
            for _ in range(_WARM_UP):
                step()
        torch.cuda.current_stream(device).wait_stream(stream)
        torch.cuda.synchronize(device)
        graph = torch.cuda.CUDAGraph()
        # Other threads have no part in it.
        with torch.cuda.graph(graph, stream=stream, capture_error_mode="thread_local"):
            step()
    finally:
        own.benchmark = measured
    torch.cuda.synchronize(device)
    for tensor, saved in zip(state, before, strict=True):
        tensor.copy_(saved)
    torch.cuda.set_rng_state(generator_before, device)
    return _Captured(graph, step)
