"""Supervisions by name, as a sweep's configurations ask for them."""

from __future__ import annotations

import dataclasses

from trainers.errors import FieldError
from trainers.errors import InvalidInput
from trainers.plugins import unknown_name
from trainers.supervision.supervision import Supervision
from trainers.supervision.weights import CategoricalCrossEntropy
from trainers.supervision.weights import GeneralisedCrossEntropy
from trainers.supervision.weights import GradientRescaling
from trainers.supervision.weights import MeanAbsoluteError

_SUPERVISIONS: dict[str, type[Supervision]] = {
    "cce": CategoricalCrossEntropy,
    "mae": MeanAbsoluteError,
    "gce": GeneralisedCrossEntropy,
    "gr": GradientRescaling,
}


def supervision_names() -> list[str]:
    """The names that `make_supervision` knows."""
    return list(_SUPERVISIONS)


def make_supervision(name: str, **hyperparameters: float | str) -> Supervision:
    """The supervision called ``name`` with these hyper-parameters.

    Args:
        name: ``cce``, ``mae``, ``gce`` or ``gr``.
        **hyperparameters: The fields of its class, e.g. ``beta=8, lam=0.5``.

    Raises:
        InvalidInput: The name or a hyper-parameter is unknown, missing or out of range.
    """
    if name not in _SUPERVISIONS:
        raise unknown_name("supervision", name, _SUPERVISIONS)
    kind = _SUPERVISIONS[name]
    fields = {field.name: field for field in dataclasses.fields(kind)}  # type: ignore[arg-type]
    unknown = sorted(set(hyperparameters) - set(fields))
    missing = [
        field.name
        for field in fields.values()
        if field.default is dataclasses.MISSING and field.name not in hyperparameters
    ]
    if unknown or missing:
        takes = f"It takes {', '.join(fields) or 'no hyper-parameters'}."
        raise InvalidInput(
            *(FieldError(f"{name}.{field}", hyperparameters[field], "unknown", takes) for field in unknown),
            *(FieldError(f"{name}.{field}", None, "missing", "Give it a value.") for field in missing),
        )
    return kind(**hyperparameters)
