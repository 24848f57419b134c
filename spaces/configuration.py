"""One point of a search: a supervision and the values of its hyper-parameters."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from spaces.refusal import refusal

HYPERPARAMETERS: dict[str, tuple[str, ...]] = {
    "cce": (),
    "mae": (),
    "gce": ("q",),
    "gr": ("beta", "lam"),
}
"""Names of the hyper-parameters of each supervision that a space may name; all of them are numbers >= 0."""


@dataclass(frozen=True, slots=True, order=True)
class Configuration:
    """A supervision with its hyper-parameters: what one trial trains. Hashable; its order does not count.

    Args:
        supervision: Name of the supervision, e.g. ``"gr"``.
        hyperparameters: ``(name, value)`` pairs; kept sorted by name, values as finite floats.

    Raises:
        ValueError: a name appears twice, or a value is no finite number.

    Example:
        >>> Configuration.of("gr", beta=12, lam=0.5).key
        'gr(beta=12, lam=0.5)'
    """

    supervision: str
    hyperparameters: tuple[tuple[str, float], ...] = ()

    def __post_init__(self) -> None:
        pairs = tuple(sorted((str(name), float(value)) for name, value in self.hyperparameters))
        names = [name for name, _ in pairs]
        for name, value in pairs:
            if not math.isfinite(value):
                raise refusal(name, value, "is not a finite number", f"Give {name} a finite number.")
            if names.count(name) > 1:
                raise refusal(name, value, "is given twice", f"Give {name} once.")
        # Adding 0.0 turns -0.0 into 0.0, so that two equal configurations have one key.
        object.__setattr__(self, "hyperparameters", tuple((name, value + 0.0) for name, value in pairs))

    @classmethod
    def of(cls, supervision: str, **hyperparameters: float) -> Configuration:
        """Build a configuration from keyword arguments: ``Configuration.of("gr", beta=12, lam=0.5)``."""
        return cls(supervision, tuple(hyperparameters.items()))

    def as_dict(self) -> dict[str, float]:
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


def checked_configuration(supervision: str, hyperparameters: Mapping[str, float]) -> Configuration:
    """Build a configuration of a known supervision, with exactly its hyper-parameters, each a number >= 0.

    ``lambda`` is accepted for ``lam``, which Python code has to call it.

    Raises:
        ValueError: unknown supervision, a hyper-parameter missing, unknown, negative or not finite.
    """
    if supervision not in HYPERPARAMETERS:
        nearest = get_close_matches(supervision, HYPERPARAMETERS, n=1)
        hint = f"Did you mean {nearest[0]!r}? " if nearest else ""
        raise refusal(
            "supervision",
            supervision,
            "no such supervision",
            f"{hint}There are: {', '.join(sorted(HYPERPARAMETERS))}.",
        )
    names = HYPERPARAMETERS[supervision]
    values = {"lam" if name == "lambda" else name: value for name, value in hyperparameters.items()}
    wanted = f"Give {supervision} exactly: {', '.join(names) or 'no hyper-parameters'}."
    if set(values) != set(names):
        wrong = [f"{name} is missing" for name in names if name not in values]
        wrong += [f"{name} is not one of its hyper-parameters" for name in values if name not in names]
        raise refusal("hyperparameters", dict(hyperparameters), "; ".join(wrong), wanted)
    for name, value in values.items():
        if not (math.isfinite(value) and value >= 0.0):
            raise refusal(
                name, value, "is not a finite number >= 0", f"Give {name} as a number from 0 upwards."
            )
    return Configuration(supervision, tuple(values.items()))


def _shortest(value: float) -> str:
    text = repr(value)
    return text.removesuffix(".0")
