"""`emphasis cancel`, `pause`, `resume` and `delete`: what is asked of sweeps that there are."""

from __future__ import annotations

import sys
from collections.abc import Callable
from collections.abc import Sequence
from typing import TYPE_CHECKING
from typing import Annotated

import typer

from search.cli import sweep_options as options
from search.cli.home import HomeOption
from search.cli.home import ServerOption
from search.cli.home import completed
from search.cli.home import home_of
from search.cli.home import service_of
from search.cli.streams import complain
from search.cli.streams import say
from trainers.errors import EmphasisError
from trainers.errors import FieldError
from trainers.errors import InvalidInput

if TYPE_CHECKING:
    from search.service.interface import Service
    from search.store import Verb

Sweeps = Annotated[list[str], typer.Argument(metavar="SWEEP...", help="Ids of sweeps, or how they begin.")]


def cancel(ctx: typer.Context, sweeps: Sweeps, home: HomeOption = None, server: ServerOption = None) -> None:
    """Stop sweeps for good; what they recorded is kept.

    Example:

    \b
      emphasis cancel digits-r40
    """
    from search.store import Verb

    with service_of(ctx, home, server) as service:
        _each(ctx, sweeps, lambda sweep: _ask(ctx, service, sweep, Verb.CANCEL))


def pause(ctx: typer.Context, sweeps: Sweeps, home: HomeOption = None, server: ServerOption = None) -> None:
    """Stop sweeps until they are resumed; their finished trials are kept.

    Example:

    \b
      emphasis pause digits-r40
      emphasis resume digits-r40
    """
    from search.store import Verb

    with service_of(ctx, home, server) as service:
        _each(ctx, sweeps, lambda sweep: _ask(ctx, service, sweep, Verb.PAUSE))


def resume(
    ctx: typer.Context,
    sweeps: Sweeps,
    here: Annotated[
        bool, typer.Option("--here", help="Run it here and now, though it was submitted to the queue.")
    ] = False,
    ray_address: options.RayAddress = None,
    may_grow_to: options.MayGrowTo = None,
    max_failure_rate: Annotated[
        float | None,
        typer.Option(
            "--max-failure-rate",
            metavar="SHARE",
            help="In place of the sweep's own, where too many of its trials failed; runs it here.",
            show_default=False,
        ),
    ] = None,
    home: HomeOption = None,
    server: ServerOption = None,
) -> None:
    """Complete sweeps after a pause, a crash or Ctrl-C: only what is missing is run.

    A sweep of emphasis run goes on here; one that was submitted is queued
    again, for a worker to run, and so is any sweep of a server.

    Examples:

    \b
      emphasis resume digits-r40
      emphasis resume digits-r40 --here
    """
    from search.service.client import Client
    from search.store import Verb

    with service_of(ctx, home, server) as service:
        elsewhere = isinstance(service, Client)
        if elsewhere and (here or max_failure_rate is not None):
            option = "here" if here else "max_failure_rate"
            remedy = "Leave it out, or resume the sweep where its store is."
            raise InvalidInput(FieldError(option, here or max_failure_rate, "a server's sweeps run there", remedy))

        def one(sweep: str) -> None:
            found = service.sweep(sweep)
            if not elsewhere and (here or max_failure_rate is not None or found.attended):
                _run_here(ctx, found.id, ray_address, may_grow_to, max_failure_rate)
                return
            for option, given in (("ray_address", ray_address), ("may_grow_to", may_grow_to)):
                source = ctx.get_parameter_source(option)  # RAY_ADDRESS may be set for other commands
                if source is not None and source.name == "COMMANDLINE":
                    problem = f"{found.id} is queued, and runs on the Ray of the worker that takes it"
                    remedy = "Give it to `emphasis worker`" + ("." if elsewhere else ", or run the sweep here: --here.")
                    raise InvalidInput(FieldError(option, given, problem, remedy))
            _ask(ctx, service, found.id, Verb.RESUME)

        _each(ctx, sweeps, one)


def delete(
    ctx: typer.Context,
    sweeps: Sweeps,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    home: HomeOption = None,
    server: ServerOption = None,
) -> None:
    """Delete sweeps with their trials, logs, figures and MLflow runs. There is no way back.

    Example:

    \b
      emphasis delete digits-r40-260101-120000-ab12cd
    """
    with service_of(ctx, home, server) as service:
        found = [service.sweep(sweep) for sweep in sweeps]  # before anything is deleted
        if not yes:
            _confirm([f"{sweep.id} ({sweep.state.value}, {sweep.progress.done} trials done)" for sweep in found])

        def one(sweep: str) -> None:
            service.delete(sweep)
            say(f"{sweep}  deleted")

        _each(ctx, [sweep.id for sweep in found], one)


def _each(ctx: typer.Context, sweeps: Sequence[str], do: Callable[[str], None]) -> None:
    """Do something to sweeps one after another; where one cannot be done, the others are all the same."""
    worst: EmphasisError | None = None
    for sweep in sweeps:
        try:
            do(sweep)
        except EmphasisError as error:
            if len(sweeps) == 1:
                raise
            complain(completed(ctx, str(error)))
            worst = worst if isinstance(worst, InvalidInput) else error
    if worst is not None:
        raise typer.Exit(2 if isinstance(worst, InvalidInput) else 1)


def _ask(ctx: typer.Context, service: Service, sweep_id: str, verb: Verb) -> None:
    sweep = service.ask(sweep_id, verb)
    say(f"{sweep.id}  {sweep.state.value}")
    for note in sweep.notes:
        complain(completed(ctx, note))


def _run_here(
    ctx: typer.Context,
    sweep_id: str,
    ray_address: str | None,
    may_grow_to: str | None,
    max_failure_rate: float | None,
) -> None:
    from search.cli.sweeping import follow
    from search.cli.sweeping import grown_cluster
    from search.orchestrator import resume_sweep

    folder = home_of(ctx, None)
    grown = grown_cluster(may_grow_to, ray_address)
    follow(
        ctx,
        lambda on_status, on_stuck: resume_sweep(
            sweep_id,
            max_failure_rate=max_failure_rate,
            home=folder,
            ray_address=ray_address,
            may_grow_to=grown,
            on_status=on_status,
            on_stuck=on_stuck,
        ),
    )


def _confirm(sweeps: Sequence[str]) -> None:
    if not sys.stdin.isatty():
        remedy = "Say so with --yes."
        raise InvalidInput(FieldError("yes", False, "nobody is there to be asked whether to delete", remedy))
    for sweep in sweeps:
        say(sweep)
    typer.confirm(f"Delete {'it' if len(sweeps) == 1 else f'these {len(sweeps)} sweeps'} for good?", abort=True)
