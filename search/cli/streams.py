"""Where commands write: results to the standard output, complaints to the standard error."""

from __future__ import annotations

import sys

from rich.console import Console

WIDE_ENOUGH = 10_000
"""Columns that hold any table: nobody's terminal limits one in a file or a pipe."""


def output() -> Console:
    """The standard output as rich writes it; as wide as a table needs where it is no terminal."""
    if sys.stdout.isatty():
        return Console(highlight=False, markup=False, emoji=False)
    return Console(highlight=False, markup=False, emoji=False, width=WIDE_ENOUGH)


def say(text: str = "") -> None:
    """Write one line to the standard output, however long."""
    print(text, flush=True)


def complain(text: str) -> None:
    """Write to the standard error."""
    print(text, file=sys.stderr, flush=True)
