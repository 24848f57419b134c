"""torchvision:NAME: the classification networks of torchvision with a classifier of our own number of classes."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor
from torch import nn
from torch.overrides import TorchFunctionMode

from trainers.errors import FieldError
from trainers.errors import InvalidInput
from trainers.models.classifier import classifier_of
from trainers.plugins import unknown_name

PREFIX = "torchvision:"
# Both have classifiers halfway that only their own papers' loss knows, and inputs that are scaled from ImageNet's
# statistics to [-1, 1], as their published weights were trained.
_INCEPTIONS = ("googlenet", "inception_v3")


def torchvision_names() -> list[str]:
    """The names after ``torchvision:``, e.g. ``resnet50``. Imports torchvision, which takes seconds."""
    models = _models()
    names: list[str] = models.list_models(module=models)
    return names


@dataclass(frozen=True)
class TorchvisionBackbone:
    """Builds one of torchvision's classification networks.

    Its last layer is a new linear one with the network's own initialisation (torchvision's: zeros for vision
    transformers). GoogLeNet and Inception come without their auxiliary classifiers. SqueezeNet, whose last
    layer is a convolution with a ReLU after it, here ends in the mean over places and a linear layer, without
    that ReLU. Dropout and stochastic depth that a network has of its own stay as torchvision has them; the
    dropout rate that is asked for comes on top, right before the last layer.

    Args:
        network: One of :func:`torchvision_names`.

    Raises:
        InvalidInput: torchvision has no such classification network.
    """

    network: str

    def __post_init__(self) -> None:
        names = torchvision_names()
        if self.network not in names:
            raise unknown_name("backbone", PREFIX + self.network, [PREFIX + name for name in names])

    @property
    def description(self) -> str:
        """One line for a list of backbones."""
        return f"torchvision's {self.network} with a new classifier, for colour images"

    def check(self, example_shape: tuple[int, ...]) -> None:
        """Find out whether examples of this shape can go through the network, by shapes alone.

        Raises:
            InvalidInput: They are not images of 3 channels, or of a size that the network cannot take.
        """
        problem = remedy = ""
        if len(example_shape) != 3:
            problem = f"needs images (3, H, W), and an example here is {example_shape}"
            remedy = "Use mlp for flat examples."
        elif example_shape[0] != 3:
            problem = f"needs images of 3 channels, and an example here is {example_shape}"
            remedy = "Repeat a grey channel three times in the data, or use resnet20."
        elif reason := _misfit(self.network, example_shape):
            problem = f"cannot take images of {example_shape[1]}x{example_shape[2]} pixels ({reason})"
            remedy = "Use images of the size it was designed for, mostly 224x224, or resnet20 for small ones."
        if problem:
            raise InvalidInput(FieldError("backbone", PREFIX + self.network, problem, remedy))

    def build(self, example_shape: tuple[int, ...], num_classes: int, dropout: float) -> nn.Module:
        """The network with random weights.

        Args:
            example_shape: (3, H, W).
            num_classes: Number of classes.
            dropout: Dropout rate before the classifier, on top of the network's own.
        """
        network = _network(self.network, num_classes)
        if dropout:
            classifier = classifier_of(network)
            # A hook keeps the names of the parameters those of torchvision, and so of everyone's weights.
            classifier.dropout = nn.Dropout(dropout)
            classifier.register_forward_pre_hook(_drop_out)
        return network

    @property
    def weight_names(self) -> list[str]:
        """Names of the weights that torchvision publishes for the network, e.g. ``IMAGENET1K_V2``."""
        return [weights.name for weights in _models().get_model_weights(self.network)]

    @property
    def default_weights(self) -> str:
        """The name of the weights that torchvision holds for the best."""
        name: str = _models().get_model_weights(self.network).DEFAULT.name
        return name

    def weights_at_hand(self, name: str) -> bool:
        """Whether published weights are in torch's hub cache.

        Args:
            name: One of :attr:`weight_names`.
        """
        url: str = _models().get_model_weights(self.network)[name].url
        return (Path(torch.hub.get_dir()) / "checkpoints" / url.rpartition("/")[2]).is_file()

    def published_weights(self, name: str) -> Mapping[str, Tensor]:
        """Published weights, from torch's hub cache or fetched into it.

        Args:
            name: One of :attr:`weight_names`.

        Raises:
            InvalidInput: They are not there and cannot be fetched.
        """
        weights = _models().get_model_weights(self.network)[name]
        try:
            state: Mapping[str, Tensor] = weights.get_state_dict(progress=False, check_hash=True, map_location="cpu")
        except Exception as error:  # urllib, the socket, the disk or a damaged file: each has its own errors
            cache = f"{torch.hub.get_dir()}/checkpoints"
            raise InvalidInput(
                FieldError(
                    "weights",
                    name,
                    f"cannot be had from {weights.url} ({type(error).__name__}: {error})",
                    f"Fetch that file elsewhere and put it into {cache}, or give a copy's path as weights.",
                )
            ) from error
        return state


def _models() -> ModuleType:
    # Takes seconds to import, which no one else should wait for.
    import torchvision.models

    models: ModuleType = torchvision.models
    return models


def _network(name: str, num_classes: int) -> nn.Module:
    options: dict[str, Any] = {}
    if name in _INCEPTIONS:
        options = {"aux_logits": False, "transform_input": True, "init_weights": True}
    network: nn.Module = _models().get_model(name, weights=None, num_classes=num_classes, **options)
    if name.startswith("squeezenet"):
        _end_in_linear(network, num_classes)
    return network


def _end_in_linear(squeezenet: Any, num_classes: int) -> None:
    dropout, convolution, _, pool = squeezenet.classifier
    linear = nn.Linear(convolution.in_channels, num_classes)
    # As torchvision initialises the convolution.
    nn.init.normal_(linear.weight, std=0.01)
    nn.init.zeros_(linear.bias)
    # The linear layer keeps the convolution's place, and so the name of its weights.
    squeezenet.classifier = nn.Sequential(nn.Sequential(dropout, pool, nn.Flatten()), linear)


def _drop_out(classifier: nn.Module, features: tuple[Tensor]) -> tuple[Tensor]:
    return (classifier.get_submodule("dropout")(features[0]),)


class _WithoutMemory(TorchFunctionMode):
    """Parameters made here have a shape and no values.

    `torch.device("meta")` does so for every tensor, also for those from which RegNet reckons its widths.
    """

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = dict(kwargs or {})
        if func in (torch.empty, torch.zeros, torch.ones) and kwargs.get("device") is None:
            kwargs["device"] = "meta"
        return func(*args, **kwargs)


@lru_cache(maxsize=64)
def _misfit(name: str, example_shape: tuple[int, ...]) -> str:
    """Why the network cannot take such examples; empty where it can."""
    with _WithoutMemory():
        network = _network(name, 2)
    try:
        with torch.inference_mode():
            network.to("meta").eval()(torch.empty(2, *example_shape, device="meta"))
    except (AssertionError, RuntimeError, ValueError) as error:
        return str(error).splitlines()[0].rstrip(".!")
    return ""
