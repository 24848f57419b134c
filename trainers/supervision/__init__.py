"""Supervisions: what turns (logits, labels) into a logit gradient."""

from trainers.supervision.course import Batch
from trainers.supervision.course import Course
from trainers.supervision.course import NetworkView
from trainers.supervision.course import Setting
from trainers.supervision.course import Stage
from trainers.supervision.d2l import DimensionalityDriven
from trainers.supervision.label_optimisation import LabelOptimisation
from trainers.supervision.lid import local_intrinsic_dimensionality
from trainers.supervision.masking import Masking
from trainers.supervision.registry import describe_supervision
from trainers.supervision.registry import hyperparameter_defaults
from trainers.supervision.registry import make_supervision
from trainers.supervision.registry import supervision_names
from trainers.supervision.supervision import Criterion
from trainers.supervision.supervision import Supervision
from trainers.supervision.weights import CategoricalCrossEntropy
from trainers.supervision.weights import GeneralisedCrossEntropy
from trainers.supervision.weights import GradientRescaling
from trainers.supervision.weights import MeanAbsoluteError
from trainers.supervision.weights import WeightFunction

__all__ = [
    "Batch",
    "CategoricalCrossEntropy",
    "Course",
    "Criterion",
    "DimensionalityDriven",
    "GeneralisedCrossEntropy",
    "GradientRescaling",
    "LabelOptimisation",
    "Masking",
    "MeanAbsoluteError",
    "NetworkView",
    "Setting",
    "Stage",
    "Supervision",
    "WeightFunction",
    "describe_supervision",
    "hyperparameter_defaults",
    "local_intrinsic_dimensionality",
    "make_supervision",
    "supervision_names",
]
