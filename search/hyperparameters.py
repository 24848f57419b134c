"""The values of a configuration: which go to its supervision, which to the training, and whether they can."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING
from typing import Any

from trainers.errors import FieldError
from trainers.errors import InvalidInput

if TYPE_CHECKING:
    from trainers.supervision import Supervision

TRAINING_FIELDS = ("weight_decay", "dropout", "learning_rate")
"""Training fields that a space may search beside the hyper-parameters of a supervision (Table 6 of the paper)."""

TASK_FIELDS = ("dropout",)
"""Those of them that lanes which are trained together have in common; the others each has of its own."""

SPEC_FIELDS = ("transform", "normalise")
"""Hyper-parameters of GR that are fields of a sweep."""


@dataclass(frozen=True, slots=True)
class Hyperparameters:
    """The hyper-parameters of one supervision.

    Args:
        defaults: By name; None for one that has to be given.
    """

    supervision: str
    defaults: Mapping[str, Any]

    @classmethod
    def of(cls, supervision: str) -> Hyperparameters:
        """Those of a supervision by its name.

        Raises:
            InvalidInput: There is no such supervision, or its plugin does not load, or takes a training field's name.
        """
        # torch, which takes seconds to import, is needed from here on.
        from trainers.supervision import hyperparameter_defaults

        defaults = hyperparameter_defaults(supervision)
        taken = [name for name in defaults if name in TRAINING_FIELDS]
        if taken:
            problem = f"its hyper-parameter {taken[0]} has the name of a training field"
            raise InvalidInput(FieldError("supervision", supervision, problem, "Give it another name in its class."))
        return cls(supervision, defaults)

    @property
    def required(self) -> list[str]:
        """Names of those that have to be given."""
        return [name for name, default in self.defaults.items() if default is None]

    @property
    def takes(self) -> str:
        """What may be given, as a sentence."""
        return f"{self.supervision} takes {', '.join(self.defaults) or 'no hyper-parameters'}."


def split(values: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """(hyper-parameters of the supervision, training fields) of a configuration's values."""
    own = {name: value for name, value in values.items() if name not in TRAINING_FIELDS}
    training = {name: value for name, value in values.items() if name in TRAINING_FIELDS}
    return own, training


def supervision_with(name: str, values: Mapping[str, Any]) -> Supervision:
    """The supervision of a configuration.

    Args:
        name: Of the supervision.
        values: Of the configuration; training fields among them are left out.

    Raises:
        InvalidInput: The name or a value is unknown, missing or out of range.
    """
    from trainers.supervision import hyperparameter_defaults
    from trainers.supervision import make_supervision

    defaults = hyperparameter_defaults(name)
    own, _ = split(values)
    return make_supervision(name, **{name: _as_its_default(value, defaults.get(name)) for name, value in own.items()})


def _as_its_default(value: Any, default: Any) -> Any:
    # A space's numbers are floats, and 20.0 neighbours are 20.
    whole = isinstance(default, int) and isinstance(value, float) and value.is_integer()
    return int(value) if whole else value
