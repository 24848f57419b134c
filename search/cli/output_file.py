"""What a command writes where its user says: whether it has a place, asked before the work, and writing it whole."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from trainers.errors import FieldError
from trainers.errors import InvalidInput
from trainers.user_path import user_path

_REMEDY = "Give a file in a folder that exists and can be written to."


def check_output_file(file: Path) -> None:
    """Refuse a file that could not be written, whole or as a device or pipe is.

    Raises:
        InvalidInput: It is a folder, may not be written to, or its folder is none or may not be written to.
    """
    # Not by other methods of Path, which raise where a folder may not be entered.
    target = os.path.realpath(user_path(file, "output"))
    if os.path.isdir(target):
        raise _refusal(file, "is a folder", "Give the path of a file.")
    if os.path.exists(target) and not os.path.isfile(target):
        if not os.access(target, os.W_OK):
            raise _refusal(file, "cannot be written", _REMEDY)
        return
    folder = os.path.dirname(target)
    if not _is_writable(folder):
        raise _refusal(file, f"cannot be written: {folder} is no writable folder", _REMEDY)


def check_output_folder(folder: Path) -> None:
    """Refuse a folder that neither can be written to nor made.

    Raises:
        InvalidInput: So it is.
    """
    there = os.path.abspath(user_path(folder, "output"))
    while not os.path.lexists(there):
        there = os.path.dirname(there)
    if not _is_writable(there):
        remedy = "Give a folder that can be written to."
        raise _refusal(folder, f"cannot be written to: {there} is no writable folder", remedy)


def write_whole(file: Path, text: str) -> None:
    """Replace a file in one step, so that nobody ever reads half of it; its permissions stay as they are.

    Raises:
        InvalidInput: It cannot be written.
    """
    target = user_path(file, "output")
    try:
        if target.exists() and not target.is_file():
            target.write_text(text, encoding="utf-8")  # a device or a pipe is written to, not replaced
            return
        target = target.resolve()  # what a link points to is replaced, not the link
        with tempfile.NamedTemporaryFile(
            "w", encoding="utf-8", dir=target.parent, prefix=f".{target.name}.", delete=False
        ) as part:
            try:
                part.write(text)
                part.flush()
                os.fsync(part.fileno())
                os.chmod(part.name, _usual_mode(target))
                os.replace(part.name, target)
            except BaseException:
                os.unlink(part.name)
                raise
    except OSError as error:
        raise _refusal(file, f"cannot be written: {error.strerror}", _REMEDY) from error


def _is_writable(folder: str) -> bool:
    return os.path.isdir(folder) and os.access(folder, os.W_OK | os.X_OK)


def _refusal(path: Path, problem: str, remedy: str) -> InvalidInput:
    return InvalidInput(FieldError("output", str(path), problem, remedy))


def _usual_mode(target: Path) -> int:
    """The permissions that the file has, or that a new one would get; temporary files are private."""
    if target.exists():
        return target.stat().st_mode & 0o777
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask
