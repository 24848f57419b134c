"""The log-softmax that losses which mix classes start from."""

from __future__ import annotations

import torch
from torch import Tensor


def log_probabilities(logits: Tensor) -> Tensor:
    """log softmax(z), shape (N, C): finite for any finite logits, float32 for half types."""
    z = logits.float() if torch.finfo(logits.dtype).bits < 32 else logits
    return torch.log_softmax(z, dim=1)
