"""`emphasis token`: who may use the service."""

from __future__ import annotations

from typing import Annotated

import typer

from search.cli.home import HomeOption
from search.cli.home import completed
from search.cli.home import home_of
from search.cli.streams import complain
from search.cli.streams import say
from trainers.errors import FieldError
from trainers.errors import InvalidInput

_ELSEWHERE = "Make tokens where the store is."

Name = Annotated[str, typer.Argument(metavar="NAME", help="Whose it is; sweeps bear the name of who submitted them.")]

token = typer.Typer(no_args_is_help=True, help="Create, list and revoke the tokens of the service.")


@token.command()
def create(
    ctx: typer.Context,
    name: Name,
    role: Annotated[
        str, typer.Option("--role", metavar="ROLE", help="reader, or submitter: may also submit, change and delete.")
    ] = "submitter",
    home: HomeOption = None,
) -> None:
    """Create a token and print it, this once: the store keeps its hash alone.

    Examples:

    \b
      emphasis token create ada
      emphasis token create dashboard --role reader > token.txt
    """
    from search.service.tokens import issue_token
    from search.store import Role
    from search.store import Store

    if role not in list(Role):
        raise InvalidInput(FieldError("role", role, "is no role", f"Give {' or '.join(Role)}."))
    with Store.open(home_of(ctx, home, _ELSEWHERE).store_url) as store:
        text = issue_token(store, name, Role(role))
    complain(f"The token of {name} ({role}), shown this once. Whoever has it may act as {name}; its holder uses it with")
    complain("  export EMPHASIS_TOKEN=…, with `Authorization: Bearer …`, or on the log-in page.")
    complain(completed(ctx, f"Take it back with `emphasis token revoke {name}`."))
    say(text)


@token.command("list")
def list_tokens(ctx: typer.Context, home: HomeOption = None) -> None:
    """List the tokens, oldest first, revoked ones too; their texts are nowhere.

    Example:

    \b
      emphasis token list
    """
    from search.store import Store

    with Store.open(home_of(ctx, home, _ELSEWHERE).store_url) as store:
        tokens = store.tokens.all()
    if not tokens:
        say(completed(ctx, "There is no token yet; make one with `emphasis token create NAME`."))
    width = max((len(each.name) for each in tokens), default=0)
    for each in tokens:
        revoked = f"  revoked {each.revoked_at.astimezone():%Y-%m-%d %H:%M}" if each.revoked_at else ""
        say(f"{each.name:<{width}}  {each.role:<9}  created {each.created_at.astimezone():%Y-%m-%d %H:%M}{revoked}")


@token.command()
def revoke(ctx: typer.Context, name: Name, home: HomeOption = None) -> None:
    """Make a token worthless, from its next use on.

    Example:

    \b
      emphasis token revoke ada
    """
    from search.store import Store

    with Store.open(home_of(ctx, home, _ELSEWHERE).store_url) as store:
        record = store.tokens.revoke(name)
    say(f"{record.name}  revoked")
