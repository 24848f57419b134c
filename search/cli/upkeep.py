"""`emphasis backup`, `restore` and `prune`: the upkeep of a home folder."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING
from typing import Annotated

import typer

from search.cli.home import HomeOption
from search.cli.home import given_home
from search.cli.home import home_of
from search.cli.home import with_home
from search.cli.streams import complain
from search.cli.streams import output
from search.cli.streams import say

if TYPE_CHECKING:
    from search.prune import Prunable


def backup(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Where to, e.g. emphasis.tar.gz.")],
    force: Annotated[bool, typer.Option("--force", help="Replace FILE if it exists.")] = False,
    home: HomeOption = None,
) -> None:
    """Copy everything recorded in the home folder into one file; sweeps may run meanwhile.

    In it are the store, the MLflow record, figures and artifacts, and their
    checksums. Checkpoints are not: a restored sweep is resumed, and starts
    the trials over that were running. A store on PostgreSQL is backed up
    with pg_dump.

    Examples:

    \b
      emphasis backup emphasis.tar.gz
      emphasis backup --force /mnt/backups/emphasis.tar.gz
    """
    from rich.filesize import decimal

    folder = home_of(ctx, home)
    with output().status("backing up"):
        from search.backup import backup as back_up

        manifest = back_up(folder, file, force=force)
    size = decimal(file.expanduser().stat().st_size)
    say(f"Written to {file}: {len(manifest.sha256)} files of {folder.path}, {size}")


def restore(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="As `emphasis backup` wrote it.")],
    home: HomeOption = None,
) -> None:
    """Put a backup in place as a home folder that has nothing recorded yet.

    All of it is checked first. A sweep that was running when the backup was
    made is paused, or queued again where a worker ran it.

    Example:

    \b
      emphasis restore --home ~/restored emphasis.tar.gz
      emphasis list --home ~/restored
    """
    folder = home_of(ctx, home)
    with output().status("restoring"):
        from search.backup import restore as restore_backup

        manifest = restore_backup(file, folder)
    say(
        f"Restored into {folder.path}: {len(manifest.sha256)} files, as they were on "
        f"{manifest.created.astimezone():%Y-%m-%d %H:%M:%S}"
    )


def prune(
    ctx: typer.Context,
    older_than: Annotated[
        str | None,
        typer.Option(
            "--older-than",
            metavar="AGE",
            help="Also figures of sweeps that were done longer ago, e.g. 30d, 12h, 4w; `emphasis resume` writes them "
            "again.",
            show_default=False,
        ),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Remove without asking.")] = False,
    home: HomeOption = None,
) -> None:
    """Remove files that nobody needs any more; what and how much is said first.

    These are checkpoints and Ray's notes of sweeps that have ended or are
    gone, figures of sweeps that are gone, and artifacts of runs that were
    deleted in MLflow (a run restored there comes back without them).
    Nothing recorded in the store or in MLflow is removed, and nothing of a
    sweep that is queued, runs or is paused. A failed sweep can still be
    resumed: the trials that it was training start over.

    Examples:

    \b
      emphasis prune
      emphasis prune --older-than 30d --yes
    """
    from search.prune import parse_age

    folder = home_of(ctx, home)
    age = None if older_than is None else parse_age(older_than)
    with output().status("looking for what can go"):
        from search.prune import prunable
        from search.prune import remove

        found = prunable(folder, age)
    if not found:
        say(f"Nothing in {folder.path} can go.")
        return
    _show(found, folder.path)
    say(f"Together: {_amount(found)}")
    if not yes and not _agreed():
        again = "emphasis prune --yes" if older_than is None else f"emphasis prune --older-than {older_than} --yes"
        say(with_home(f"Nothing was removed; `{again}` removes it.", given_home(ctx)))
        return
    pruned = remove(folder, found, age)
    say(f"Removed {_amount(pruned.removed)}")
    for problem in pruned.problems:
        complain(problem)
    if pruned.problems:
        raise typer.Exit(1)


def _show(found: Sequence[Prunable], home: Path) -> None:
    from rich.filesize import decimal
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("folder", overflow="fold")
    table.add_column("size", justify="right", no_wrap=True)
    table.add_column("why")
    for each in found:
        inside = each.path.is_relative_to(home)
        path = each.path.relative_to(home) if inside else each.path
        table.add_row(Text(str(path)), decimal(each.bytes), Text(each.why))
    output().print(table)


def _amount(found: Sequence[Prunable]) -> str:
    from rich.filesize import decimal

    folders = "1 folder" if len(found) == 1 else f"{len(found)} folders"
    return f"{folders}, {decimal(sum(each.bytes for each in found))}"


def _agreed() -> bool:
    return sys.stdin.isatty() and sys.stdout.isatty() and typer.confirm("Remove them?")
