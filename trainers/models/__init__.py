"""Backbones, one family a file, and the registry that finds them by name."""

from trainers.models.registry import Backbone
from trainers.models.registry import backbone_names
from trainers.models.registry import build_model
from trainers.models.registry import check_backbone
from trainers.models.registry import find_backbone

__all__ = ["Backbone", "backbone_names", "build_model", "check_backbone", "find_backbone"]
