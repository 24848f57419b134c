"""How a configuration is written for a reader: ``gce(q=0.7)``, ``β=12 λ=0.5``."""

from __future__ import annotations

import math
from collections.abc import Iterable
from collections.abc import Mapping
from typing import TYPE_CHECKING
from typing import TypeAlias

if TYPE_CHECKING:
    # A reader of names need not wait for Optuna.
    from spaces import Value

# λ is called "lam" in Python, where the word is taken.
_WRITTEN = {"lam": "lambda"}
_SYMBOLS = {"beta": "β", "lam": "λ"}

Values: TypeAlias = "Iterable[tuple[str, Value]]"


def written_name(name: str) -> str:
    """The name of a hyper-parameter as users write it: ``lambda``."""
    return _WRITTEN.get(name, name)


def python_name(name: str) -> str:
    """The name of a hyper-parameter in Python, where `written_name` is given: ``lam``."""
    return next((python for python, written in _WRITTEN.items() if written == name), name)


def symbol(supervision: str, name: str) -> str:
    """The name of a hyper-parameter in a table or figure: GR's are Greek, as in the paper."""
    return _SYMBOLS.get(name, name) if supervision == "gr" else name


def short(value: object) -> str:
    """A value with four digits: ``12``, ``0.5``, ``estimated``."""
    return f"{value:.4g}" if isinstance(value, int | float) else str(value)


def in_order(values: Values | Mapping[str, Value]) -> list[tuple[str, Value]]:
    """The pairs by name, as every listing has them."""
    return sorted(values.items() if isinstance(values, Mapping) else values)


def label(supervision: str, values: Values | Mapping[str, Value]) -> str:
    """A configuration by its Python names: ``gr(beta=12, lam=0.5)``, ``cce``."""
    texts = ", ".join(f"{name}={short(value)}" for name, value in in_order(values))
    return f"{supervision}({texts})" if texts else supervision


def symbols(supervision: str, values: Values | Mapping[str, Value], separator: str = " ") -> str:
    """A configuration's values alone: ``β=12 λ=0.5``; empty where it has none."""
    return separator.join(f"{symbol(supervision, name)}={short(value)}" for name, value in in_order(values))


def equations(supervision: str, values: Values | Mapping[str, Value], greek: bool = False, digits: int = 6) -> str:
    """A configuration as a sentence has it: ``beta = 12, lambda = 0.5``; ``gce, q = 0.7``; ``cce``.

    Args:
        supervision: Its name.
        values: Its values.
        greek: ``β`` and ``λ`` in place of GR's names.
        digits: Of each number.
    """
    texts = [
        f"{symbol(supervision, name) if greek else written_name(name)} = "
        f"{f'{value:.{digits}g}' if isinstance(value, int | float) else value}"
        for name, value in in_order(values)
    ]
    # That (beta, lambda) are GR's goes without saying.
    return ", ".join(texts if supervision == "gr" and texts else [supervision, *texts])


def with_fixed(supervision: str, fixed: Values | Mapping[str, Value], greek: bool = False, digits: int = 6) -> str:
    """What follows `equations` where one of GR's (beta, lambda) was not searched: `` with lambda = 0.5 fixed``.

    Args:
        supervision: Its name.
        fixed: What was not searched.
        greek: As for `equations`.
        digits: Likewise.
    """
    own = [(name, value) for name, value in in_order(fixed) if supervision == "gr" and name in _SYMBOLS]
    return f" with {equations(supervision, own, greek, digits)} fixed" if own else ""


def noise(rate: float, model: str) -> str:
    """A noise rate for a title: ``noise rate 0.4``, ``noise rate 0.4 (asymmetric_cifar10)``."""
    # That it is symmetric goes without saying.
    how = {"symmetric": "", "none": " (labels as given)"}.get(model, f" ({model})")
    return f"{'unknown noise rate' if math.isnan(rate) else f'noise rate {rate:g}'}{how}"
