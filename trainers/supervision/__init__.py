"""Supervisions: what turns (logits, labels) into a logit gradient."""

from trainers.supervision.bootstrap import HardBootstrap
from trainers.supervision.bootstrap import SoftBootstrap
from trainers.supervision.corrections import BackwardCorrection
from trainers.supervision.corrections import ForwardCorrection
from trainers.supervision.corrections import backward_loss
from trainers.supervision.corrections import forward_loss
from trainers.supervision.corrections import read_transition
from trainers.supervision.corrections import symmetric_transition
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
from trainers.supervision.s_adaptation import SAdaptation
from trainers.supervision.supervision import Criterion
from trainers.supervision.supervision import Supervision
from trainers.supervision.transition_estimate import estimate_transition
from trainers.supervision.truncated import TruncatedGeneralisedCrossEntropy
from trainers.supervision.weights import CategoricalCrossEntropy
from trainers.supervision.weights import GeneralisedCrossEntropy
from trainers.supervision.weights import GradientRescaling
from trainers.supervision.weights import MeanAbsoluteError
from trainers.supervision.weights import WeightFunction

__all__ = [
    "BackwardCorrection",
    "Batch",
    "CategoricalCrossEntropy",
    "Course",
    "Criterion",
    "DimensionalityDriven",
    "ForwardCorrection",
    "GeneralisedCrossEntropy",
    "GradientRescaling",
    "HardBootstrap",
    "LabelOptimisation",
    "Masking",
    "MeanAbsoluteError",
    "NetworkView",
    "SAdaptation",
    "Setting",
    "SoftBootstrap",
    "Stage",
    "Supervision",
    "TruncatedGeneralisedCrossEntropy",
    "WeightFunction",
    "backward_loss",
    "describe_supervision",
    "estimate_transition",
    "forward_loss",
    "hyperparameter_defaults",
    "local_intrinsic_dimensionality",
    "make_supervision",
    "read_transition",
    "supervision_names",
    "symmetric_transition",
]
