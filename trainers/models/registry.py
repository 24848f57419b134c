"""Backbones by name: those that come along, and those of installed packages."""

from __future__ import annotations

from typing import Protocol
from typing import runtime_checkable

from torch import nn

from trainers.errors import FieldError
from trainers.errors import InvalidInput
from trainers.models.cifar_resnet import DEPTHS
from trainers.models.cifar_resnet import CifarResNetBackbone
from trainers.models.mlp import MLPBackbone
from trainers.plugins import load_plugin
from trainers.plugins import plugin_names
from trainers.plugins import unknown_name

ENTRY_POINT_GROUP = "emphasis.backbones"


@runtime_checkable
class Backbone(Protocol):
    """A network by name. An installed package adds one by the entry point group ``emphasis.backbones``."""

    @property
    def description(self) -> str:
        """One line for a list of backbones."""

    def check(self, example_shape: tuple[int, ...]) -> None:
        """Find out, without building anything, whether examples of this shape fit.

        Args:
            example_shape: (C, H, W) of images, (F,) of flat examples.

        Raises:
            InvalidInput: They do not.
        """

    def build(self, example_shape: tuple[int, ...], num_classes: int, dropout: float) -> nn.Module:
        """A network from normalised float examples to logits (N, C), drawn from torch's default generator.

        Args:
            example_shape: (C, H, W) of images, (F,) of flat examples.
            num_classes: Number of classes C.
            dropout: Dropout rate, in [0, 1).
        """


_BUILT_IN: dict[str, Backbone] = {
    "mlp": MLPBackbone(),
    **{f"resnet{depth}": CifarResNetBackbone(depth) for depth in DEPTHS},
}


def backbone_names() -> list[str]:
    """Names that :func:`build_model` knows, installed plugins included; no plugin is imported."""
    return [*_BUILT_IN, *(name for name in plugin_names(ENTRY_POINT_GROUP) if name not in _BUILT_IN)]


def find_backbone(name: str) -> Backbone:
    """The backbone behind a name.

    Args:
        name: One of :func:`backbone_names`.

    Raises:
        InvalidInput: No such backbone (with the nearest names), or a plugin that does not load.
    """
    if name in _BUILT_IN:
        return _BUILT_IN[name]
    if name not in plugin_names(ENTRY_POINT_GROUP):
        raise unknown_name("backbone", name, backbone_names())
    plugin = load_plugin(ENTRY_POINT_GROUP, name, "backbone")
    if not isinstance(plugin, Backbone):
        raise InvalidInput(
            FieldError(
                "backbone",
                name,
                f"its plugin gives a {type(plugin).__name__}, which lacks description, check or build",
                "Let the entry point name a trainers.models.Backbone.",
            )
        )
    return plugin


def check_backbone(name: str, example_shape: tuple[int, ...]) -> None:
    """Find out, before anything starts, whether a backbone exists and takes examples of this shape.

    Args:
        name: One of :func:`backbone_names`.
        example_shape: (C, H, W) of images, (F,) of flat examples.

    Raises:
        InvalidInput: It does not.
    """
    find_backbone(name).check(example_shape)


def build_model(
    backbone: str, example_shape: tuple[int, ...], num_classes: int, dropout: float = 0.0
) -> nn.Module:
    """A freshly initialised network; seed torch's default generator beforehand to repeat it.

    Args:
        backbone: One of :func:`backbone_names`.
        example_shape: (C, H, W) of images, (F,) of flat examples.
        num_classes: Number of classes C, at least 2.
        dropout: Dropout rate before the classifier, in [0, 1).

    Returns:
        A module from normalised float examples (N, ...) to logits (N, C).

    Raises:
        InvalidInput: Unknown backbone, examples that do not fit it, or a dropout rate outside [0, 1).
    """
    found = find_backbone(backbone)
    found.check(example_shape)
    if not 0 <= dropout < 1:
        raise InvalidInput(
            FieldError("dropout", dropout, "not in [0, 1)", "Give the rate of dropped features.")
        )
    return found.build(example_shape, num_classes, dropout)
