"""Backbones, one family a file, and the registry that finds them by name."""

from trainers.models.classifier import classifier_of
from trainers.models.registry import Backbone
from trainers.models.registry import backbone_names
from trainers.models.registry import build_model
from trainers.models.registry import check_backbone
from trainers.models.registry import check_weights
from trainers.models.registry import fetch_weights
from trainers.models.registry import find_backbone
from trainers.models.registry import weights_at_hand
from trainers.models.torchvision_models import torchvision_names
from trainers.models.weights import PublishedWeights
from trainers.models.weights import load_weights

__all__ = [
    "Backbone",
    "PublishedWeights",
    "backbone_names",
    "build_model",
    "check_backbone",
    "check_weights",
    "classifier_of",
    "fetch_weights",
    "find_backbone",
    "load_weights",
    "torchvision_names",
    "weights_at_hand",
]
