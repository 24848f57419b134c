"""log p of a batch, in the precision in which every loss is computed."""

from __future__ import annotations

import torch
from torch import Tensor


def log_probabilities(logits: Tensor) -> Tensor:
    """Log-softmax of logits (B, C): float64 stays, every other type is computed in float32. Always finite."""
    return torch.log_softmax(logits if logits.dtype == torch.float64 else logits.float(), dim=1)
