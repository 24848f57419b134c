"""Reading a sweep from a mapping or a YAML file: all that is wrong at once."""

from __future__ import annotations

from collections.abc import Hashable
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from search.field_errors import dotted
from search.field_errors import field_errors
from search.field_errors import location
from search.remedies import REMEDIES
from search.spec import SweepSpec
from trainers.errors import FieldError
from trainers.errors import InvalidInput

_SECTIONS = ("training", "confirm", "resources", "hyperparameters")
# A judgement may name a field that was not given at all; what it rests on is then set aside, the first of these first.
_LAST_RESORT = ("space", "hyperparameters", "supervision")
# Stands in for a required field that is wrong, so that the others can be judged; nothing is run with it.
_PLACEHOLDERS: dict[str, Any] = {"dataset": "digits", "noise_rate": 0.0}


@dataclass(frozen=True, slots=True)
class Reading:
    """What could be read of a submitted mapping, and what is wrong with the rest.

    Args:
        specs: One a noise rate; where ``errors`` is not empty, wrong fields stand at their defaults.
        errors: Everything wrong.
        unread: The fields that were wrong or missing, by dotted name; what ``specs`` say of them counts for
            nothing.
    """

    specs: tuple[SweepSpec, ...]
    errors: tuple[FieldError, ...]
    unread: frozenset[str]


def read_specs(data: Mapping[str, Any]) -> Reading:
    """Read as much of the sweeps as can be read, and say everything that is wrong with the rest.

    Args:
        data: Fields of `SweepSpec`; ``noise_rate`` may be a list, which makes one sweep each.
    """
    rates = data.get("noise_rate")
    if not isinstance(rates, list | tuple):
        return _read_one(data, "noise_rate")
    if not rates:
        wrong = FieldError("noise_rate", [], "has no noise rate", REMEDIES["noise_rate"])
        rest = _read_one({**data, "noise_rate": _PLACEHOLDERS["noise_rate"]}, "noise_rate")
        return Reading(rest.specs, (wrong, *rest.errors), rest.unread | {"noise_rate"})
    readings = [_read_one({**data, "noise_rate": rate}, f"noise_rate[{i}]") for i, rate in enumerate(rates)]
    # What is wrong with the other fields is the same at every noise rate, and said once.
    errors = {str(error): error for reading in readings for error in reading.errors}
    specs = tuple(spec for reading in readings for spec in reading.specs)
    for index, rate in enumerate(rates):
        if rate in rates[:index]:
            wrong = FieldError(f"noise_rate[{index}]", rate, "is given twice", "Give each noise rate once.")
            errors[str(wrong)] = wrong
    return Reading(
        specs, tuple(errors.values()), frozenset().union(*(reading.unread for reading in readings))
    )


def parse_specs(data: Mapping[str, Any]) -> list[SweepSpec]:
    """Read sweeps from a mapping, one for each noise rate it names.

    Args:
        data: Fields of `SweepSpec`; ``noise_rate`` may be a list.

    Raises:
        InvalidInput: With everything that is wrong: field, value, problem and remedy.

    Example:
        >>> [spec.noise_rate for spec in parse_specs({"dataset": "digits", "noise_rate": [0.2, 0.6]})]
        [0.2, 0.6]
    """
    reading = read_specs(data)
    if reading.errors:
        raise InvalidInput(*reading.errors)
    return list(reading.specs)


def read_spec_file(path: Path | str) -> dict[str, Any]:
    """Return the fields that a YAML file gives, not yet checked.

    Raises:
        InvalidInput: The file cannot be read, is no YAML, names a field twice, or holds no mapping.
    """
    shown = str(path)
    try:
        text = Path(path).read_text(encoding="utf-8")
    except OSError as error:
        reason = error.strerror or str(error)
        raise _wrong_file(
            shown, f"cannot be read: {reason}", "Give the path of a readable YAML file."
        ) from error
    except UnicodeDecodeError as error:
        raise _wrong_file(shown, "is not UTF-8 text", "Give a YAML file.") from error
    try:
        data = yaml.load(text, Loader=_OneValueAField)
    except (yaml.YAMLError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f" at line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        reason = getattr(error, "problem", None) or str(error).splitlines()[0]
        if isinstance(error, yaml.composer.ComposerError) and "document" in str(error.context):
            remedy = "Write one file each; or one, with a list of noise rates: noise_rate: [0.2, 0.6]."
            raise _wrong_file(shown, f"holds a second sweep{where}", remedy) from error
        raise _wrong_file(shown, f"is no valid YAML{where}: {reason}", "Correct it there.") from error
    if not isinstance(data, dict):
        what = "is empty" if data is None else f"holds a {type(data).__name__}, not fields"
        raise _wrong_file(
            shown, what, "Write fields, e.g. 'dataset: digits' and 'noise_rate: 0.4', a line each."
        )
    return {str(name): value for name, value in data.items()}


class _OneValueAField(yaml.SafeLoader):
    """Plain data only, and no field twice: YAML would silently keep the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value != "<<":
                if key.value in seen:
                    raise yaml.constructor.ConstructorError(
                        None, None, f"{key.value} is given twice", key.start_mark
                    )
                seen.add(key.value)
        return super().construct_mapping(node, deep=deep)


def _wrong_file(path: str, problem: str, remedy: str) -> InvalidInput:
    return InvalidInput(FieldError("file", path, problem, remedy))


def _read_one(data: Mapping[str, Any], rate_field: str) -> Reading:
    """Read one sweep, setting wrong fields aside until the rest is right.

    Pydantic looks at what fields say of each other only once each is right by itself. Setting the wrong ones
    aside and reading again finds those problems too; one that rests on a field set aside is dropped.
    """
    remaining: dict[str, Any] = {str(name): value for name, value in data.items()}
    errors: list[FieldError] = []
    unread: set[str] = set()
    while True:
        try:
            spec = SweepSpec.model_validate(remaining)
        except ValidationError as error:
            found = field_errors(error, SweepSpec, REMEDIES)
            aside: set[str] = set()
            before = dict(remaining)
            for details, wrong in zip(error.errors(include_url=False), found, strict=True):
                if unread.isdisjoint(details.get("ctx", {}).get("reads", ())):
                    errors.append(_renamed(wrong, rate_field))
                aside.add(_set_aside(remaining, location(details)))
            if remaining == before:
                given = next(name for name in _LAST_RESORT if name in remaining)
                aside.add(_set_aside(remaining, (given,)))
            unread |= aside
        else:
            return Reading((spec,), tuple(errors), frozenset(unread))


def _set_aside(remaining: dict[str, Any], path: tuple[int | str, ...]) -> str:
    """Take the field at a path out of the data, or put a placeholder if it is required; return its name."""
    if not path:
        return ""
    top = str(path[0])
    section = remaining.get(top)
    if top in _SECTIONS and len(path) > 1 and isinstance(section, Mapping):
        remaining[top] = {name: value for name, value in section.items() if str(name) != str(path[1])}
        return dotted(path[:2])
    remaining.pop(top, None)
    if top in _PLACEHOLDERS:
        remaining[top] = _PLACEHOLDERS[top]
    return top


def _renamed(error: FieldError, rate_field: str) -> FieldError:
    if error.field != "noise_rate":
        return error
    return FieldError(rate_field, error.value, error.problem, error.remedy)
