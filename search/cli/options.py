"""Options of `emphasis run` as the fields of a sweep; where both are given, they go before a file's."""

from __future__ import annotations

import os
from collections.abc import Mapping
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from trainers.errors import FieldError
from trainers.errors import InvalidInput


def submitted_fields(file: Path | None, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of the sweeps that are asked for, not yet checked.

    Args:
        file: YAML file of fields, or None.
        options: Values by dotted field name, as text or truth values; None where an option was not given.

    Raises:
        InvalidInput: The file cannot be read.
    """
    from search.spec_reading import read_spec_file

    fields = read_spec_file(file) if file is not None else {}
    for name, value in options.items():
        if value is not None and value != []:
            _put(fields, name, _read_option(name, value))
    _drop_other_budget(fields, options)
    return _anchored(fields)


def fixed_values(options: Sequence[str]) -> dict[str, str]:
    """The options ``--set name=value`` as fields.

    Raises:
        InvalidInput: One is not of that form, or names what another names.
    """
    values: dict[str, str] = {}
    errors = []
    for option in options:
        name, equals, value = option.partition("=")
        field = f"hyperparameters.{name.strip()}"
        if not (equals and name.strip() and value.strip()):
            errors.append(FieldError("set", option, "is not of the form name=value", "Give e.g. --set q=0.7."))
        elif field in values:
            errors.append(FieldError("set", option, f"gives {name} a second time", f"Give {name} once."))
        values[field] = value.strip()
    if errors:
        raise InvalidInput(*errors)
    return values


def _put(fields: dict[str, Any], dotted: str, value: Any) -> None:
    section, _, name = dotted.rpartition(".")
    if not section:
        fields[name] = value
        return
    held = fields.get(section)
    if held is None or isinstance(held, Mapping):  # anything else is wrong, and the check says so
        fields[section] = {**(held or {}), name: value}


def _drop_other_budget(fields: dict[str, Any], options: Mapping[str, Any]) -> None:
    """A budget that was given as an option takes the place of the file's, in whichever unit that was."""
    units = ("epochs", "iterations")
    given = [unit for unit in units if options.get(f"training.{unit}") is not None]
    if len(given) == 1:
        fields["training"] = {
            name: value for name, value in fields["training"].items() if name not in units or name in given
        }


# A folder may be called 2024.
_TEXTS = (
    *("dataset", "data_dir", "backbone", "supervision", "sampler", "transform", "normalise", "training.weights"),
    *("noise_model", "noise_file", "noise_column", "objective"),
)


def _read_option(name: str, value: Any) -> Any:
    if name == "space":
        return _read_space(value)
    return value if name in _TEXTS else _read(value)


def _read(value: Any) -> Any:
    """The number that a text is, or the text; what is wrong with it the spec says, for all fields at once."""
    if isinstance(value, list):
        return _read(value[0]) if len(value) == 1 else [_read(each) for each in value]
    if not isinstance(value, str):
        return value
    for number in (int, float):
        try:
            return number(value)
        except ValueError:
            continue
    return value


def _read_space(text: str) -> Any:
    """A name stays a name; ``{kind: box, beta: [0, 40]}`` and ``[[8, 0.5], [12, 0.5]]`` are YAML."""
    import yaml

    if not text.lstrip().startswith(("{", "[")):
        return text
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise InvalidInput(
            FieldError(
                "space",
                text,
                f"is no valid YAML: {str(error).splitlines()[0]}",
                "Give a name, or e.g. '{kind: box, beta: [0, 40], lam: [0, 3]}' in quotes.",
            )
        ) from error


def _anchored(fields: dict[str, Any]) -> dict[str, Any]:
    """Make paths absolute: a sweep may be resumed from another folder than it was started in."""
    anchored = dict(fields)
    if (
        isinstance(dataset := fields.get("dataset"), str)
        and (not dataset.isidentifier() or Path(dataset).exists())
        and not _of_nobody(dataset)
    ):
        # Imported only for what may be a path, since it needs torch.
        from search.resolve import anchored_dataset

        anchored["dataset"] = anchored_dataset(dataset)
    for name in ("data_dir", "noise_file"):
        if isinstance(path := fields.get(name), str) and not _of_nobody(path):
            anchored[name] = str(Path(path).expanduser().absolute())
    return anchored


def _of_nobody(path: str) -> bool:
    """Whether a path begins with a home folder that there is not: the spec refuses it, as it was written."""
    return os.path.expanduser(path).startswith("~")
