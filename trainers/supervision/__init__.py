"""Supervisions: what turns (logits, labels) into a logit gradient."""

from trainers.supervision.registry import make_supervision
from trainers.supervision.registry import supervision_names
from trainers.supervision.supervision import Supervision
from trainers.supervision.weights import CategoricalCrossEntropy
from trainers.supervision.weights import GeneralisedCrossEntropy
from trainers.supervision.weights import GradientRescaling
from trainers.supervision.weights import MeanAbsoluteError
from trainers.supervision.weights import WeightFunction

__all__ = [
    "CategoricalCrossEntropy",
    "GeneralisedCrossEntropy",
    "GradientRescaling",
    "MeanAbsoluteError",
    "Supervision",
    "WeightFunction",
    "make_supervision",
    "supervision_names",
]
