"""How one configuration is trained. Needs torch alone; take `GradientRescaling` into your own loop.

Example:
    >>> from trainers import GradientRescaling
    >>> loss = GradientRescaling(beta=8, lam=0.5)(logits, labels)
    >>> loss.backward()
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from trainers.supervision import CategoricalCrossEntropy
    from trainers.supervision import DimensionalityDriven
    from trainers.supervision import GeneralisedCrossEntropy
    from trainers.supervision import GradientRescaling
    from trainers.supervision import LabelOptimisation
    from trainers.supervision import Masking
    from trainers.supervision import MeanAbsoluteError

__all__ = [
    "CategoricalCrossEntropy",
    "DimensionalityDriven",
    "GeneralisedCrossEntropy",
    "GradientRescaling",
    "LabelOptimisation",
    "Masking",
    "MeanAbsoluteError",
]


def __getattr__(name: str) -> object:
    # Importing torch takes seconds, and the command line needs no more of this package than its errors.
    if name in __all__:
        return getattr(importlib.import_module("trainers.supervision"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
