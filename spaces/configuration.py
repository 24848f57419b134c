"""One point of a search: a supervision and the values of its hyper-parameters."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from spaces.refusal import refusal

LONGEST_WORD = 1000
"""Characters of a hyper-parameter that is a word, or a path: more is a mistake."""

Value = float | str
"""Of a hyper-parameter: a number, or a word."""


@dataclass(frozen=True, slots=True)
class Configuration:
    """A supervision with its hyper-parameters: what one trial trains. Hashable; its order does not count.

    Which names and values a supervision takes, `trainers` knows; a training field that is searched with it,
    e.g. ``weight_decay``, stands among them.

    Args:
        supervision: Name of the supervision, e.g. ``"gr"``.
        hyperparameters: ``(name, value)`` pairs; kept sorted by name, numbers as finite floats.

    Raises:
        ValueError: a name appears twice, or a value is neither a finite number nor a short text.

    Example:
        >>> Configuration.of("gr", beta=12, lam=0.5).key
        'gr(beta=12, lam=0.5)'
    """

    supervision: str
    hyperparameters: tuple[tuple[str, Value], ...] = ()

    def __post_init__(self) -> None:
        pairs = [(str(name), _checked(str(name), value)) for name, value in self.hyperparameters]
        pairs.sort(key=lambda pair: pair[0])
        names = [name for name, _ in pairs]
        for name, value in pairs:
            if names.count(name) > 1:
                raise refusal(name, value, "is given twice", f"Give {name} once.")
        object.__setattr__(self, "hyperparameters", tuple(pairs))

    @classmethod
    def of(cls, supervision: str, **hyperparameters: Value) -> Configuration:
        """Build a configuration from keyword arguments: ``Configuration.of("gr", beta=12, lam=0.5)``."""
        return cls(supervision, tuple(hyperparameters.items()))

    def as_dict(self) -> dict[str, Value]:
        """Return the hyper-parameters by name."""
        return dict(self.hyperparameters)

    @property
    def key(self) -> str:
        """A stable, readable string that is the same for equal configurations and for no others."""
        if not self.hyperparameters:
            return self.supervision
        values = ", ".join(f"{name}={_shortest(value)}" for name, value in self.hyperparameters)
        return f"{self.supervision}({values})"

    def as_json(self) -> dict[str, Any]:
        """Return plain JSON; :meth:`from_json` reads it back."""
        return {"supervision": self.supervision, "hyperparameters": self.as_dict()}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Configuration:
        """Read what :meth:`as_json` wrote."""
        return cls(str(value["supervision"]), tuple(value["hyperparameters"].items()))

    def __str__(self) -> str:
        return self.key


def in_python(names: Mapping[str, Any] | Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """The same by the names that Python code uses: ``lambda``, which is a keyword there, is ``lam``."""
    return {"lam" if name == "lambda" else name: value for name, value in dict(names).items()}


def _checked(name: str, value: Value) -> Value:
    if isinstance(value, str):
        if not value or len(value) > LONGEST_WORD:
            remedy = f"Give {name} a text of 1 to {LONGEST_WORD} characters."
            raise refusal(name, value[:20], "is no short text", remedy)
        return value
    number = float(value)
    if not math.isfinite(number):
        raise refusal(name, number, "is not a finite number", f"Give {name} a finite number.")
    # Adding 0.0 turns -0.0 into 0.0, so that two equal configurations have one key.
    return number + 0.0


def _shortest(value: Value) -> str:
    if isinstance(value, float):
        return repr(value).removesuffix(".0")
    # Quoted where it could be taken for a number or for the rest of the key.
    return value if re.fullmatch(r"[A-Za-z_][\w./:-]*", value) else repr(value)
