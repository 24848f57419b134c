"""Where commands work: the home folder, or the service at an address; given before the command or after it alike."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from typing import Annotated
from typing import Any

import typer

from search.home import Home
from trainers.errors import FieldError
from trainers.errors import InvalidInput

if TYPE_CHECKING:
    from search.service.client import Client
    from search.service.interface import Service

SERVER = "EMPHASIS_SERVER"
# Somebody sits before it: a mistyped address should be said soon.
_PATIENCE_SECONDS = 5.0

HomeOption = Annotated[
    str | None,
    typer.Option(
        "--home",
        metavar="DIR",
        help="Folder of everything recorded. Default: EMPHASIS_HOME, else ~/.emphasis.",
        show_default=False,
    ),
]
ServerOption = Annotated[
    str | None,
    typer.Option(
        "--server",
        metavar="URL",
        help="Ask the service there, not the home folder. Default: EMPHASIS_SERVER.",
        show_default=False,
    ),
]


@dataclass(slots=True)
class Given:
    """What was given on the command line, before the command or to it."""

    home: str | None = None
    server: str | None = None


def given(ctx: typer.Context) -> Given:
    """What was given on the command line so far."""
    root = ctx.find_root()
    if not isinstance(root.obj, Given):
        root.obj = Given()
    return root.obj


def given_home(ctx: typer.Context) -> str | None:
    """The folder given to the command or before it; None where neither was."""
    return given(ctx).home


def home_of(ctx: typer.Context, option: str | None, elsewhere: str = "Leave --server out.") -> Home:
    """The home folder that a command works in, which no server can do for it.

    Args:
        ctx: Of the command.
        option: Its own ``--home``, which goes before one given in front of the command.
        elsewhere: What to do instead where a server was given.

    Raises:
        InvalidInput: The folder cannot be made, or a server was given.
    """
    place = given(ctx)
    if option is not None:
        # Messages that name a command are completed with the folder, see `with_home`.
        place.home = option
    refuse_server(ctx, elsewhere)
    folder = _resolved(place.home)
    if os.environ.get(SERVER):
        # The commands that its messages name would otherwise ask the server of the environment.
        place.home = place.home or str(folder.path)
    return folder


@contextmanager
def service_of(ctx: typer.Context, home: str | None, server: str | None) -> Iterator[Service]:
    """The service that a command asks: that at the address given, else the store of the home folder.

    Args:
        ctx: Of the command.
        home: Its own ``--home``.
        server: Its own ``--server``.

    Raises:
        InvalidInput: Both were given, or one cannot be used.
    """
    address = server_of(ctx, home, server)
    if address is not None:
        with client_of(address) as client:
            yield client
    else:
        from search.service.local import LocalService
        from search.store import Store

        folder = _resolved(given(ctx).home)
        with Store.open(folder.store_url) as store:
            yield LocalService(store, folder)


def client_of(address: str) -> Client:
    """The service at an address, for somebody who waits.

    Raises:
        InvalidInput: The address or the token cannot be used.
    """
    from search.service.client import Client

    return Client(address, patience_seconds=_PATIENCE_SECONDS)


def server_of(ctx: typer.Context, home: str | None, server: str | None) -> str | None:
    """Address of the server that a command asks; None where it works on this machine.

    Args:
        ctx: Of the command.
        home: Its own ``--home``.
        server: Its own ``--server``.

    Raises:
        InvalidInput: Both were given.
    """
    place = given(ctx)
    place.home, place.server = home or place.home, server or place.server
    if place.home is not None and place.server is not None:
        remedy = "Give the one that has the sweep."
        raise InvalidInput(FieldError("server", place.server, f"--home {place.home} is given too", remedy))
    # A folder that was asked for is meant, whatever the environment says.
    return place.server or (os.environ.get(SERVER) if place.home is None else None) or None


def refuse_server(ctx: typer.Context, elsewhere: str = "Leave --server out.") -> None:
    """Refuse a server that was given to a command that no server can do for it.

    Args:
        ctx: Of the command.
        elsewhere: What to do instead.

    Raises:
        InvalidInput: One was given.
    """
    server = given(ctx).server
    if server is not None:
        problem = f"`{ctx.info_name}` works on this machine, not on a server"
        raise InvalidInput(FieldError("server", server, problem, elsewhere))


def _resolved(chosen: str | None) -> Home:
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


def completed(ctx: typer.Context, text: str) -> str:
    """Complete the commands that a message names, `` `emphasis ...` ``, so that they can be copied."""
    place = given(ctx)
    if place.server is None:
        return with_home(text, place.home)
    root = ctx.find_root().command
    asked = "|".join(re.escape(name) for name, each in getattr(root, "commands", {}).items() if _asks_a_server(each))
    # The others, `emphasis worker` say, are for the machine that the server is on.
    return re.sub(rf"`emphasis (?=(?:{asked})\b)", f"`{again(ctx)} ", text)


def _asks_a_server(command: Any) -> bool:
    return any(parameter.name == "server" for parameter in command.params)


def again(ctx: typer.Context) -> str:
    """How to call `emphasis` again as it was called: by its path if it is on no PATH, on the same folder or server."""
    place = given(ctx)
    return command(place.home) if place.server is None else f"{command(None)} --server {shlex.quote(place.server)}"


def with_home(text: str, home: str | None) -> str:
    """Complete the commands that a message names, `` `emphasis ...` ``, so that they can be copied."""
    return text.replace("`emphasis ", f"`{command(home)} ")


def command(home: str | None) -> str:
    """How to call `emphasis` again as it was called: by its path if it is on no PATH, on the same folder."""
    called = Path(sys.argv[0])
    by_path = called.name == "emphasis" and shutil.which("emphasis") is None
    program = shlex.quote(str(called)) if by_path else "emphasis"
    return program if home is None else f"{program} --home {shlex.quote(home)}"
