"""Paths as users write them."""

from __future__ import annotations

from pathlib import Path

from trainers.errors import FieldError
from trainers.errors import InvalidInput


def user_path(path: Path | str, field: str) -> Path:
    """A path whose ``~`` is written out.

    Args:
        path: As it was given.
        field: What it was given as, e.g. ``data_dir``.

    Raises:
        InvalidInput: It begins with the home folder of somebody whom this machine does not know.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError:
        problem, remedy = "begins with the home folder of nobody", "Write the path in full."
        raise InvalidInput(FieldError(field, str(path), problem, remedy)) from None
