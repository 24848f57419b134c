"""The command line. Importing it loads nothing heavy: each command imports what it needs when it runs."""

from search.cli.app import app
from search.cli.app import main

__all__ = ["app", "main"]
