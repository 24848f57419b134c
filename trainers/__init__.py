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
    from trainers.supervision import BackwardCorrection
    from trainers.supervision import CategoricalCrossEntropy
    from trainers.supervision import DimensionalityDriven
    from trainers.supervision import ForwardCorrection
    from trainers.supervision import GeneralisedCrossEntropy
    from trainers.supervision import GradientRescaling
    from trainers.supervision import HardBootstrap
    from trainers.supervision import LabelOptimisation
    from trainers.supervision import Masking
    from trainers.supervision import MeanAbsoluteError
    from trainers.supervision import SAdaptation
    from trainers.supervision import SoftBootstrap
    from trainers.supervision import TruncatedGeneralisedCrossEntropy

__all__ = [
    "BackwardCorrection",
    "CategoricalCrossEntropy",
    "DimensionalityDriven",
    "ForwardCorrection",
    "GeneralisedCrossEntropy",
    "GradientRescaling",
    "HardBootstrap",
    "LabelOptimisation",
    "Masking",
    "MeanAbsoluteError",
    "SAdaptation",
    "SoftBootstrap",
    "TruncatedGeneralisedCrossEntropy",
]


def __getattr__(name: str) -> object:
    # Importing torch takes seconds, and the command line needs no more of this package than its errors.
    if name in __all__:
        return getattr(importlib.import_module("trainers.supervision"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
