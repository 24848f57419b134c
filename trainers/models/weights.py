"""Weights to start from: a local state dict, or what a backbone's makers publish."""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from typing import Protocol
from typing import runtime_checkable

import torch
from torch import Tensor
from torch import nn

from trainers.errors import FieldError
from trainers.errors import InvalidInput
from trainers.models.classifier import classifier_name
from trainers.plugins import unknown_name

FILE_SUFFIXES = (".pt", ".pth")
_LISTED = 3
# DenseNet's published files are of a time when names could hold dots; torchvision renames them so too.
_DENSENET_NAME = re.compile(r"(denselayer\d+\.(?:norm|conv))\.([12]\.)")


@runtime_checkable
class PublishedWeights(Protocol):
    """What a backbone has besides `Backbone` where its makers publish weights for it."""

    @property
    def weight_names(self) -> list[str]:
        """Names of the published weights."""

    @property
    def default_weights(self) -> str:
        """The one of them that ``default`` stands for."""

    def published_weights(self, name: str) -> Mapping[str, Tensor]:
        """The state dict of that name, from a cache or fetched into it.

        Args:
            name: One of ``weight_names``.

        Raises:
            InvalidInput: It is not there and cannot be fetched.
        """


def is_weights_file(weights: str) -> bool:
    """Whether weights are asked for as a local file rather than by name."""
    return weights.lower().endswith(FILE_SUFFIXES)


def published_name(found: object, backbone: str, weights: str) -> str:
    """The full name of published weights, with ``default`` resolved: what that is changes between releases.

    Args:
        found: The backbone.
        backbone: Its name.
        weights: ``default`` or a name as the makers have it, in either case.

    Raises:
        InvalidInput: The backbone has no weights of that name, with those that it has.
    """
    names = found.weight_names if isinstance(found, PublishedWeights) else []
    local = f"a local file of a state dict ({' or '.join(FILE_SUFFIXES)})"
    if not names or not isinstance(found, PublishedWeights):
        problem = f"nobody publishes weights for {backbone}"
        raise InvalidInput(FieldError("weights", weights, problem, f"Give {local}, or leave it out."))
    if weights.lower() == "default":
        return found.default_weights
    exact = {name.lower(): name for name in names}.get(weights.lower())
    if exact is None:
        raise unknown_name("weights", weights, ["default", *names], also=f"Or give {local}.")
    return exact


def load_weights(network: nn.Module, path: str | Path) -> tuple[str, ...]:
    """Read a state dict from a file into a network, on whatever device that is.

    A classifier of another number of classes is left out, and so are parts that the network was built without
    (auxiliary classifiers). Nothing else may be missing, left over or of another shape.

    Args:
        network: Its parameters and buffers are overwritten, also in part where the file turns out not to fit.
        path: What ``torch.save(network.state_dict(), path)`` wrote. Nothing in it is executed.

    Returns:
        Names of the classifier's parameters that were left as they were; empty where all were loaded.

    Raises:
        InvalidInput: The file is not there, not a state dict, or one of another network.
    """
    return assign_weights(network, read_state_dict(path), str(path))


def read_state_dict(path: str | Path) -> dict[str, Tensor]:
    """The state dict in a file, on the CPU.

    Args:
        path: A file of ``torch.save``.

    Raises:
        InvalidInput: The file is not there, damaged, or holds anything but tensors by name.
    """
    file = Path(path).expanduser()
    remedy = "Give a file that torch.save(network.state_dict(), path) wrote."
    if not file.is_file():
        raise InvalidInput(FieldError("weights", str(path), "no such file", remedy))
    try:
        state: Any = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # a broken or hostile file makes torch, zipfile and pickle raise nearly anything
        problem = f"damaged, or more than tensors ({type(error).__name__})"
        raise InvalidInput(FieldError("weights", str(path), problem, remedy)) from error
    entries = state if isinstance(state, dict) else {}
    if not entries or not all(isinstance(key, str) and isinstance(entries[key], Tensor) for key in entries):
        # Training scripts often save the state dict in a larger dictionary.
        inner = [repr(key) for key, value in entries.items() if isinstance(value, dict)]
        hint = f" but a dictionary with {', '.join(inner[:_LISTED])}" if inner else ""
        raise InvalidInput(FieldError("weights", str(path), f"not a state dict{hint}", remedy))
    return entries


def assign_weights(network: nn.Module, state: Mapping[str, Tensor], source: str) -> tuple[str, ...]:
    """Copy a state dict into a network as :func:`load_weights` does.

    Args:
        network: See :func:`load_weights`.
        state: Tensors by name; it is left as it is.
        source: Where they are from, for the error.

    Returns:
        See :func:`load_weights`.

    Raises:
        InvalidInput: The tensors are of another network.
    """
    own = network.state_dict()
    given: Any = OrderedDict(
        (_DENSENET_NAME.sub(r"\1\2", name), tensor)
        for name, tensor in state.items()
        # A part that is None was left out when the network was built.
        if getattr(network, name.partition(".")[0], network) is not None
    )
    # The versions of the modules that wrote the file: by them torch knows which parameters it has renamed since.
    given._metadata = getattr(state, "_metadata", None)
    left_out = []
    for name in _classifier_parameters(network):
        if name not in given:
            continue
        if given[name].dim() > 2:  # SqueezeNet's is published as a 1x1 convolution
            given[name] = given[name].flatten(1)
        if given[name].shape[:1] != own[name].shape[:1]:
            del given[name]
            left_out.append(name)
    misshapen = {
        name: f"{name} is {tuple(tensor.shape)}, not {tuple(own[name].shape)}"
        for name, tensor in given.items()
        if name in own and tensor.shape != own[name].shape
    }
    for name in misshapen:
        del given[name]
    missing, unexpected = network.load_state_dict(given, strict=False)
    problems = [
        f"{len(names)} {what}: {', '.join(names[:_LISTED])}{', ...' if len(names) > _LISTED else ''}"
        for what, names in (
            ("missing", [name for name in missing if name not in {*left_out, *misshapen}]),
            ("unknown", unexpected),
            ("of another shape", list(misshapen.values())),
        )
        if names
    ]
    if problems:
        raise InvalidInput(
            FieldError(
                "weights",
                source,
                f"of another network than this {type(network).__name__}: {'; '.join(problems)}",
                "Give weights that were saved from this backbone, on inputs of this shape.",
            )
        )
    return tuple(left_out)


def _classifier_parameters(network: nn.Module) -> list[str]:
    try:
        prefix = classifier_name(network)
    except InvalidInput:  # a plugin's network may end otherwise; its weights must then fit as they are
        return []
    names = (f"{prefix}.{name}".lstrip(".") for name in ("weight", "bias"))
    return [name for name in names if name in network.state_dict()]
