"""`emphasis`: its commands put together, and what is said and returned when one cannot do its work."""

from __future__ import annotations

import sys
import warnings
from typing import Annotated
from typing import Any

import typer
from typer.core import TyperGroup

from search.cli import comparing
from search.cli import estimating
from search.cli import labels
from search.cli import listing
from search.cli import recorded
from search.cli import serving
from search.cli import steering
from search.cli import submitting
from search.cli import sweeping
from search.cli import tokens
from search.cli import upkeep
from search.cli import watching
from search.cli.home import Given
from search.cli.home import HomeOption
from search.cli.home import ServerOption
from search.cli.home import completed
from search.cli.streams import complain
from search.collections_spared import spare_collections
from trainers.errors import EmphasisError
from trainers.errors import InvalidInput

FAILED = 1
BAD_INPUT = 2


class Commands(TyperGroup):
    """Commands that end in a message and an exit status: 0 done, 1 failed, 2 bad input."""

    def invoke(self, ctx: typer.Context) -> Any:  # type: ignore[override, unused-ignore]
        """Run the command; every error that Emphasis raises on purpose is told without a traceback."""
        try:
            return super().invoke(ctx)
        except EmphasisError as error:
            complain(completed(ctx, str(error)))
            raise typer.Exit(BAD_INPUT if isinstance(error, InvalidInput) else FAILED) from error
        except KeyboardInterrupt:
            complain("Interrupted.")
            raise typer.Exit(FAILED) from None


def _version(asked: bool) -> None:
    if asked:
        # Imported here since it takes as long as a tenth of `emphasis --help`.
        import importlib.metadata

        typer.echo(f"emphasis {importlib.metadata.version('emphasis')}")
        raise typer.Exit


app = typer.Typer(
    cls=Commands,
    name="emphasis",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback()
def emphasis(
    ctx: typer.Context,
    home: HomeOption = None,
    server: ServerOption = None,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Find the best hyper-parameters for training under label noise.

    A sweep trains many configurations of one supervision (by default
    gradient rescaling: beta, lambda) on one dataset at one noise rate,
    recommends the best, and shows cross entropy (CCE) on the same seeds
    beside it. Everything is recorded in the home folder.

    Examples:

    \b
      emphasis run --dataset digits --noise-rate 0.4
      emphasis list
      emphasis export --dataset digits --noise-rate 0.4
      emphasis ui

    Exit status: 0 done, 1 failed, 2 bad input.
    """
    ctx.obj = Given(home, server)


app.command()(sweeping.run)
app.command()(comparing.compare)
app.command()(sweeping.validate)
app.command("estimate-noise")(estimating.estimate_noise)
app.command()(submitting.submit)
app.command()(watching.status)
app.command("list")(recorded.list_sweeps)
app.command()(recorded.show)
app.command()(watching.logs)
app.command()(steering.pause)
app.command()(steering.resume)
app.command()(steering.cancel)
app.command()(steering.delete)
app.command()(recorded.export)
app.command()(recorded.ui)
app.command()(serving.serve)
app.command()(serving.worker)
app.add_typer(tokens.token, name="token")
app.command()(labels.labels)
app.command()(listing.supervisions)
app.command()(listing.spaces)
app.command()(listing.datasets)
app.command("noise-models")(listing.noise_models)
app.command()(listing.backbones)
app.command()(upkeep.backup)
app.command()(upkeep.restore)
app.command()(upkeep.prune)


def main() -> None:
    """Run the command line of this process."""
    # Names and paths may hold what a terminal's encoding lacks; a question mark beats a crash at the end.
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
    # Where a warning was raised in our code is nothing to a user.
    warnings.showwarning = lambda message, *where, **more: complain(f"Warning: {message}")
    spare_collections()
    app()
