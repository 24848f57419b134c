"""Where commands write: results to the standard output, complaints to the standard error."""

from __future__ import annotations

import shutil
import sys

from rich.console import Console

# What a table needs when nobody's terminal limits it: in a file or a pipe.
_WIDTH_WITHOUT_TERMINAL = 120


def output() -> Console:
    """The standard output as rich writes it; as wide as a table needs where it is no terminal."""
    if sys.stdout.isatty():
        return Console(highlight=False, markup=False, emoji=False)
    width = max(shutil.get_terminal_size((_WIDTH_WITHOUT_TERMINAL, 24)).columns, _WIDTH_WITHOUT_TERMINAL)
    return Console(highlight=False, markup=False, emoji=False, width=width)


def say(text: str = "") -> None:
    """Write one line to the standard output, however long."""
    print(text, flush=True)


def complain(text: str) -> None:
    """Write to the standard error."""
    print(text, file=sys.stderr, flush=True)
