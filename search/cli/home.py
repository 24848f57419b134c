"""The home folder as commands take it: `emphasis --home DIR run` and `emphasis run --home DIR` alike."""

from __future__ import annotations

import shlex
import shutil
import sys
from pathlib import Path
from typing import Annotated

import typer

from search.home import Home
from trainers.errors import FieldError
from trainers.errors import InvalidInput

HomeOption = Annotated[
    str | None,
    typer.Option(
        "--home",
        metavar="DIR",
        help="Folder of everything recorded. Default: EMPHASIS_HOME, else ~/.emphasis.",
        show_default=False,
    ),
]


def given_home(ctx: typer.Context) -> str | None:
    """The folder given to the command or before it; None where neither was."""
    home = ctx.find_root().obj
    return home if isinstance(home, str) else None


def home_of(ctx: typer.Context, option: str | None) -> Home:
    """The home folder that a command works in.

    Args:
        ctx: Of the command.
        option: Its own ``--home``, which goes before one given in front of the command.

    Raises:
        InvalidInput: The folder cannot be made.
    """
    if option is not None:
        # Messages that name a command are completed with the folder, see `with_home`.
        ctx.find_root().obj = option
    chosen = option or given_home(ctx)
    try:
        return Home.resolve(chosen)
    except OSError as error:
        raise InvalidInput(
            FieldError(
                "home",
                str(error.filename or chosen),
                f"cannot be used as the home folder: {error.strerror}",
                "Give a folder that can be written to, with --home or EMPHASIS_HOME.",
            )
        ) from error


def with_home(text: str, home: str | None) -> str:
    """Complete the commands that a message names, `` `emphasis ...` ``, so that they can be copied."""
    return text.replace("`emphasis ", f"`{command(home)} ")


def command(home: str | None) -> str:
    """How to call `emphasis` again as it was called: by its path if it is on no PATH, on the same folder."""
    called = Path(sys.argv[0])
    by_path = called.name == "emphasis" and shutil.which("emphasis") is None
    program = shlex.quote(str(called)) if by_path else "emphasis"
    return program if home is None else f"{program} --home {shlex.quote(home)}"
