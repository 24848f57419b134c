"""What installed packages add to a registry, by entry point; one that fails to import harms nobody else."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import EntryPoint
from importlib.metadata import entry_points

from trainers.errors import EmphasisError
from trainers.errors import FieldError
from trainers.errors import InvalidInput


def plugin_names(group: str) -> list[str]:
    """Names that installed packages declare under an entry point group; nothing is imported.

    Args:
        group: Entry point group, e.g. ``emphasis.datasets``.
    """
    return sorted({entry_point.name for entry_point in entry_points(group=group)})


def load_plugin(group: str, name: str, field: str, construct: bool = True) -> object:
    """The object that an installed package declares.

    Args:
        group: Entry point group, e.g. ``emphasis.datasets``.
        name: Entry point name, one of :func:`plugin_names`.
        field: Field to blame when the plugin cannot be loaded, e.g. ``dataset``.
        construct: Whether a class is instantiated, without arguments, or given back as it is.

    Raises:
        InvalidInput: The plugin's import or construction failed.
    """
    entry_point = next(iter(entry_points(group=group, name=name)))
    try:
        loaded: object = entry_point.load()
        return loaded() if construct and isinstance(loaded, type) else loaded
    except Exception as error:  # a plugin is foreign code: whatever it raises is about this name only
        problem = f"the plugin {_package(entry_point)} ({entry_point.value}) does not load: {_said(error)}"
        raise InvalidInput(FieldError(field, name, problem, _repair(entry_point, field))) from error


@contextmanager
def plugin_call(group: str, name: str, field: str, method: str, value: str | None = None) -> Iterator[None]:
    """Let what a plugin's method raises be an error of the field that names the plugin.

    Args:
        group: Entry point group, e.g. ``emphasis.datasets``.
        name: Entry point name; where none has it, what is called is no plugin and its errors stay what they are.
        field: Field to blame, e.g. ``dataset``.
        method: What is called, e.g. ``load``.
        value: The field's value, where that is not the plugin's name.

    Raises:
        InvalidInput: The method raised another exception than ours.
    """
    try:
        yield
    except (EmphasisError, MemoryError):
        raise
    except Exception as error:  # foreign code
        entry_point = next(iter(entry_points(group=group, name=name)), None)
        if entry_point is None:
            raise
        problem = f"{method} of the plugin {_package(entry_point)} ({entry_point.value}) fails: {_said(error)}"
        raise InvalidInput(FieldError(field, value or name, problem, _repair(entry_point, field))) from error


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".removesuffix(": ")


def _package(entry_point: EntryPoint) -> str:
    return entry_point.dist.name if entry_point.dist is not None else entry_point.value


def _repair(entry_point: EntryPoint, field: str) -> str:
    return f"Repair or reinstall {_package(entry_point)}, or choose another {field}."


def unknown_name(field: str, value: str, known: Iterable[str], also: str = "") -> InvalidInput:
    """The error for a name that a registry does not have, with the nearest names that it has.

    Args:
        field: The field, e.g. ``dataset``.
        value: The name that was given.
        known: Names in the registry.
        also: A further remedy, one sentence.
    """
    names = sorted(known)
    near = difflib.get_close_matches(value.lower(), names, n=3, cutoff=0.5)
    remedy = f"Did you mean {' or '.join(near)}? " if near else ""
    remedy += f"There is: {', '.join(names)}.{' ' + also if also else ''}"
    return InvalidInput(FieldError(field, value, f"no such {field}", remedy))
