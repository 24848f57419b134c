"""Backbones by name: those that come along, and those of installed packages."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Protocol
from typing import runtime_checkable

import torch
from torch import Tensor
from torch import nn

from trainers.errors import FieldError
from trainers.errors import InvalidInput
from trainers.models.cifar_resnet import DEPTHS
from trainers.models.cifar_resnet import CifarResNetBackbone
from trainers.models.mlp import MLPBackbone
from trainers.models.torchvision_models import PREFIX
from trainers.models.torchvision_models import TorchvisionBackbone
from trainers.models.torchvision_models import torchvision_names
from trainers.models.weights import PublishedWeights
from trainers.models.weights import assign_weights
from trainers.models.weights import is_weights_file
from trainers.models.weights import load_weights
from trainers.models.weights import published_name
from trainers.plugins import load_plugin
from trainers.plugins import plugin_call
from trainers.plugins import plugin_names
from trainers.plugins import unknown_name

ENTRY_POINT_GROUP = "emphasis.backbones"
_logger = logging.getLogger(__name__)


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
    """Names that :func:`build_model` knows, installed plugins included; no plugin is imported.

    Besides these it knows ``torchvision:NAME`` for every NAME of `torchvision_names`.
    """
    return [*_BUILT_IN, *(name for name in plugin_names(ENTRY_POINT_GROUP) if name not in _BUILT_IN)]


def find_backbone(name: str) -> Backbone:
    """The backbone behind a name.

    Args:
        name: One of :func:`backbone_names`, or ``torchvision:NAME``.

    Raises:
        InvalidInput: No such backbone (with the nearest names), or a plugin that does not load.
    """
    if name in _BUILT_IN:
        return _BUILT_IN[name]
    if name.startswith(PREFIX):
        return TorchvisionBackbone(name.removeprefix(PREFIX))
    if name not in plugin_names(ENTRY_POINT_GROUP):
        theirs = name if name in torchvision_names() else "NAME"
        also = f"{PREFIX}{theirs} is torchvision's{'' if theirs == name else ', e.g. torchvision:resnet50'}."
        raise unknown_name("backbone", name, backbone_names(), also)
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
    found = find_backbone(name)
    with plugin_call(ENTRY_POINT_GROUP, name, "backbone", "check"):
        found.check(example_shape)


def build_model(
    backbone: str,
    example_shape: tuple[int, ...],
    num_classes: int,
    dropout: float = 0.0,
    weights: str | None = None,
) -> nn.Module:
    """A fresh network; seed torch's default generator beforehand to repeat it.

    Args:
        backbone: One of :func:`backbone_names`, or ``torchvision:NAME``.
        example_shape: (C, H, W) of images, (F,) of flat examples.
        num_classes: Number of classes C, at least 2.
        dropout: Dropout rate before the classifier, in [0, 1).
        weights: What to start from, see :func:`check_weights`; None is random. A classifier of another number of
            classes stays random, which is logged.

    Returns:
        A module from normalised float examples (N, ...) to logits (N, C).

    Raises:
        InvalidInput: Unknown backbone, examples or weights that do not fit it, weights that cannot be fetched, or
            a dropout rate outside [0, 1).
    """
    check_backbone(backbone, example_shape)
    if not 0 <= dropout < 1:
        raise InvalidInput(
            FieldError("dropout", dropout, "not in [0, 1)", "Give the rate of dropped features.")
        )
    found = find_backbone(backbone)
    network = _built(found, backbone, example_shape, num_classes, dropout)
    if weights is None:
        return network
    if is_weights_file(weights):
        left_out = load_weights(network, weights)
    else:
        left_out = _assign_published(found, backbone, network, weights)
    if left_out:
        _logger.info("%s: %s of %s have other classes and stay random", backbone, " and ".join(left_out), weights)
    return network


def _built(
    found: Backbone, name: str, example_shape: tuple[int, ...], num_classes: int, dropout: float
) -> nn.Module:
    with plugin_call(ENTRY_POINT_GROUP, name, "backbone", "build"):
        return found.build(example_shape, num_classes, dropout)


def _assign_published(found: Backbone, backbone: str, network: nn.Module, weights: str) -> tuple[str, ...]:
    name = published_name(found, backbone, weights)
    return assign_weights(network, _published(found, backbone, name), name)


def _published(found: Backbone, backbone: str, name: str) -> Mapping[str, Tensor]:
    assert isinstance(found, PublishedWeights)
    with plugin_call(ENTRY_POINT_GROUP, backbone, "weights", "published_weights", name):
        return found.published_weights(name)


def check_weights(backbone: str, example_shape: tuple[int, ...], num_classes: int, weights: str) -> str:
    """Find out, before anything starts, whether weights exist and fit; those by name are not fetched.

    Args:
        backbone: One of :func:`backbone_names`, or ``torchvision:NAME``; it takes examples of this shape.
        example_shape: (C, H, W) of images, (F,) of flat examples.
        num_classes: Number of classes C.
        weights: A file (.pt, .pth) with a state dict of the backbone, or, for ``torchvision:NAME``, ``default`` or
            the name of weights of torchvision's, e.g. ``IMAGENET1K_V2``.

    Returns:
        The weights, with ``default`` resolved to the name that it has in this release of torchvision.

    Raises:
        InvalidInput: No such file or name, a file that is no state dict, or one of another network.
    """
    found = find_backbone(backbone)
    if not is_weights_file(weights):
        return published_name(found, backbone, weights)
    file = Path(weights).expanduser()
    written = (file.stat().st_mtime_ns, file.stat().st_size) if file.is_file() else (0, 0)
    _check_file(backbone, example_shape, num_classes, weights, written)
    return weights


# A sweep looks at its task, and at those of earlier ones that were like it, again and again.
@lru_cache(maxsize=64)
def _check_file(
    backbone: str, example_shape: tuple[int, ...], num_classes: int, weights: str, written: tuple[int, int]
) -> None:
    with torch.random.fork_rng(devices=[]):
        network = _built(find_backbone(backbone), backbone, example_shape, num_classes, 0.0)
    load_weights(network, weights)


def fetch_weights(backbone: str, weights: str) -> None:
    """Have published weights in torch's hub cache, so that trainings find them; files need no fetching.

    Args:
        backbone: One of :func:`backbone_names`, or ``torchvision:NAME``.
        weights: See :func:`check_weights`.

    Raises:
        InvalidInput: No weights of that name, or they cannot be fetched.
    """
    if not is_weights_file(weights):
        found = find_backbone(backbone)
        _published(found, backbone, published_name(found, backbone, weights))


def weights_at_hand(backbone: str, weights: str) -> bool:
    """Whether weights that passed :func:`check_weights` need no fetching, as far as their makers can tell.

    Args:
        backbone: One of :func:`backbone_names`, or ``torchvision:NAME``.
        weights: See :func:`check_weights`.
    """
    found = find_backbone(backbone)
    if is_weights_file(weights) or not isinstance(found, TorchvisionBackbone):
        return True
    return found.weights_at_hand(published_name(found, backbone, weights))
