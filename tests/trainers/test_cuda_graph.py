"""A captured step leaves no trace of its capture."""

from __future__ import annotations

import pytest
import torch

from trainers.engines.cuda_graph import captured


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
def test_a_captured_step_draws_as_if_it_had_never_been_warmed_up() -> None:
    device = torch.device("cuda", torch.cuda.current_device())
    drawn = torch.zeros(64, device=device)
    steps = torch.zeros((), device=device)

    def step() -> None:
        drawn.copy_(torch.rand(64, device=device))
        steps.add_(1)

    with torch.random.fork_rng(devices=[device.index]):
        torch.cuda.manual_seed(0)
        before = torch.cuda.get_rng_state(device)
        replay = captured(step, [steps], device)
        assert torch.equal(torch.cuda.get_rng_state(device), before)
        replay()
        first = drawn.clone()
        replay()
        assert not torch.equal(drawn, first)
        torch.cuda.set_rng_state(before, device)
        replay()
        assert torch.equal(drawn, first)
        assert int(steps) == 3
