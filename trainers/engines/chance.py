"""Where a lane's chance comes from: one stream of its seed for each purpose."""

from __future__ import annotations

from enum import IntEnum

import numpy as np
import torch


class Purpose(IntEnum):
    """What is drawn; each from a stream of its own, so that, say, dropout does not shift the order of examples."""

    INITIALISATION = 0
    ORDER = 1
    AUGMENTATION = 2
    COURSE = 3


def stream(seed: int, purpose: Purpose) -> int:
    """The seed of a purpose, in [0, 2**63)."""
    state = np.random.SeedSequence([seed, int(purpose)]).generate_state(1, np.uint64)
    return int(state[0] >> np.uint64(1))


def generator(seed: int, purpose: Purpose, device: torch.device | None = None) -> torch.Generator:
    """A generator at the beginning of a purpose's stream; on the CPU unless another device is given."""
    return torch.Generator(device=device or "cpu").manual_seed(stream(seed, purpose))
