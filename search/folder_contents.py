"""What lies in a folder that others change meanwhile."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path


def contents(folder: Path) -> Iterator[Path]:
    """The paths in a folder and in all below it, in no order; what vanishes while it is looked at may be left out.

    Links to folders are told, not followed. `Path.rglob` raises where a folder vanishes.

    Raises:
        OSError: A folder that is there cannot be listed.
    """
    for here, folders, files in os.walk(folder, onerror=_unless_it_vanished):
        yield from (Path(here, name) for name in (*folders, *files))


def _unless_it_vanished(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError | NotADirectoryError):
        raise error
