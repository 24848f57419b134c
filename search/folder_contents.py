"""What lies in a folder that others change meanwhile."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path


def contents(folder: Path) -> Iterator[Path]:
    """The paths in a folder and in all below it, in no order; what vanishes while it is looked at may be left out.

    Links to folders are told, not followed. `Path.rglob` raises where a folder vanishes.
    """
    for here, folders, files in os.walk(folder):
        yield from (Path(here, name) for name in (*folders, *files))
