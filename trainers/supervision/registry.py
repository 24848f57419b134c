"""Supervisions by name, as a sweep's configurations ask for them: ours, and those of installed packages."""

from __future__ import annotations

import dataclasses
from typing import Any

from trainers.errors import FieldError
from trainers.errors import InvalidInput
from trainers.plugins import load_plugin
from trainers.plugins import plugin_names
from trainers.plugins import unknown_name
from trainers.supervision.bootstrap import HardBootstrap
from trainers.supervision.bootstrap import SoftBootstrap
from trainers.supervision.corrections import BackwardCorrection
from trainers.supervision.corrections import ForwardCorrection
from trainers.supervision.d2l import DimensionalityDriven
from trainers.supervision.label_optimisation import LabelOptimisation
from trainers.supervision.masking import Masking
from trainers.supervision.s_adaptation import SAdaptation
from trainers.supervision.supervision import Supervision
from trainers.supervision.truncated import TruncatedGeneralisedCrossEntropy
from trainers.supervision.weights import CategoricalCrossEntropy
from trainers.supervision.weights import GeneralisedCrossEntropy
from trainers.supervision.weights import GradientRescaling
from trainers.supervision.weights import MeanAbsoluteError

ENTRY_POINT_GROUP = "emphasis.supervisions"

Value = float | str
"""Of a hyper-parameter: a number, or one of a few words."""

_BUILT_IN: dict[str, type[Supervision]] = {
    "cce": CategoricalCrossEntropy,
    "mae": MeanAbsoluteError,
    "gce": GeneralisedCrossEntropy,
    "gr": GradientRescaling,
    "gce_truncated": TruncatedGeneralisedCrossEntropy,
    "forward": ForwardCorrection,
    "backward": BackwardCorrection,
    "bootstrap_hard": HardBootstrap,
    "bootstrap_soft": SoftBootstrap,
    "s_adaptation": SAdaptation,
    "d2l": DimensionalityDriven,
    "masking": Masking,
    "label_optimisation": LabelOptimisation,
}


def supervision_names() -> list[str]:
    """The names that `make_supervision` knows, installed plugins included; no plugin is imported."""
    return [*_BUILT_IN, *(name for name in plugin_names(ENTRY_POINT_GROUP) if name not in _BUILT_IN)]


def supervision_class(name: str) -> type[Supervision]:
    """The class of a supervision: a frozen dataclass whose fields are its hyper-parameters.

    Raises:
        InvalidInput: No such supervision (with the nearest names), or a plugin that does not load or is none.
    """
    if name in _BUILT_IN:
        return _BUILT_IN[name]
    if name not in plugin_names(ENTRY_POINT_GROUP):
        raise unknown_name("supervision", name, supervision_names())
    plugin = load_plugin(ENTRY_POINT_GROUP, name, "supervision", construct=False)
    if not (isinstance(plugin, type) and issubclass(plugin, Supervision) and dataclasses.is_dataclass(plugin)):
        raise InvalidInput(
            FieldError(
                "supervision",
                name,
                f"its plugin gives {plugin!r}, which is no dataclass derived from Supervision",
                "Let the entry point name a frozen dataclass derived from trainers.supervision.Supervision.",
            )
        )
    return plugin


def describe_supervision(name: str) -> str:
    """What a supervision is, in one line: the first of its class's docstring.

    Raises:
        InvalidInput: As `supervision_class`.
    """
    return (supervision_class(name).__doc__ or "").strip().splitlines()[0].strip()


def hyperparameter_defaults(name: str) -> dict[str, Any]:
    """The hyper-parameters of a supervision with their defaults; None for one that has to be given.

    Raises:
        InvalidInput: As `supervision_class`.
    """
    return {
        field.name: None if field.default is dataclasses.MISSING else field.default
        for field in dataclasses.fields(supervision_class(name))  # type: ignore[arg-type]
        if field.init
    }


def make_supervision(name: str, **hyperparameters: Value) -> Supervision:
    """The supervision called ``name`` with these hyper-parameters.

    Args:
        name: One of `supervision_names`.
        **hyperparameters: The fields of its class, e.g. ``beta=8, lam=0.5``.

    Raises:
        InvalidInput: The name or a hyper-parameter is unknown, missing or out of range.
    """
    kind = supervision_class(name)
    defaults = hyperparameter_defaults(name)
    unknown = sorted(set(hyperparameters) - set(defaults))
    missing = [field for field, default in defaults.items() if default is None and field not in hyperparameters]
    if unknown or missing:
        takes = f"It takes {', '.join(defaults) or 'no hyper-parameters'}."
        raise InvalidInput(
            *(FieldError(f"{name}.{field}", hyperparameters[field], "unknown", takes) for field in unknown),
            *(FieldError(f"{name}.{field}", None, "missing", "Give it a value.") for field in missing),
        )
    return kind(**hyperparameters)
