"""Whether what a command will write has a place, asked before the work that comes first."""

from __future__ import annotations

import os
from pathlib import Path

from trainers.errors import FieldError
from trainers.errors import InvalidInput


def check_output_file(file: Path) -> None:
    """Refuse a file that could not be written.

    Raises:
        InvalidInput: It is a folder, or its folder is none or may not be written to.
    """
    folder = file.expanduser().absolute().parent
    if file.is_dir():
        raise _refusal(file, "is a folder", "Give the path of a file.")
    if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
        remedy = "Give a file in a folder that exists and can be written to."
        raise _refusal(file, f"cannot be written: {folder} is no writable folder", remedy)


def check_output_folder(folder: Path) -> None:
    """Refuse a folder that neither can be written to nor made.

    Raises:
        InvalidInput: So it is.
    """
    wanted = folder.expanduser().absolute()
    there = next(path for path in (wanted, *wanted.parents) if path.exists())
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        remedy = "Give a folder that can be written to."
        raise _refusal(folder, f"cannot be written to: {there} is no writable folder", remedy)


def _refusal(path: Path, problem: str, remedy: str) -> InvalidInput:
    return InvalidInput(FieldError("output", str(path), problem, remedy))
