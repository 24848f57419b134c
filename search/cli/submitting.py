"""`emphasis submit`: have a worker run a sweep."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING
from typing import Annotated
from typing import Any

import typer

from search.cli.found import show_found
from search.cli.home import HomeOption
from search.cli.home import ServerOption
from search.cli.home import again
from search.cli.home import completed
from search.cli.home import service_of
from search.cli.streams import complain
from search.cli.streams import say
from search.cli.sweep_options import takes_sweep
from trainers.errors import EmphasisError

if TYPE_CHECKING:
    from search.service.interface import Service
    from search.service.views import SweepDetail


@takes_sweep()
def submit(
    ctx: typer.Context,
    fields: Mapping[str, Any],
    priority: Annotated[
        int, typer.Option("--priority", metavar="N", help="Higher is run first; of equals, the first that came.")
    ] = 0,
    request_key: Annotated[
        str | None,
        typer.Option(
            "--request-key",
            metavar="KEY",
            help="A name of yours for this submission: given again, it is not queued twice.",
            show_default=False,
        ),
    ] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Follow it to its end, and show what it found.")] = False,
    home: HomeOption = None,
    server: ServerOption = None,
) -> None:
    """Queue a sweep, to be run by a worker: print its id and where MLflow shows it.

    With several noise rates a sweep each is queued, or none if anything is
    wrong. Paths of data are those of the machine that the workers run on.

    Examples:

    \b
      emphasis submit --dataset digits --noise-rate 0.4
      emphasis submit sweep.yaml --priority 10 --wait
      emphasis submit sweep.yaml --request-key nightly-2026-01-31
      emphasis --server http://127.0.0.1:8080 submit sweep.yaml
    """
    from search.service.each_noise_rate import submit_each

    with service_of(ctx, home, server) as service:
        queued = []
        for sweep in submit_each(service, fields, priority=priority, request_key=request_key):
            queued.append(sweep)
            _show(ctx, service, sweep)
        if wait and not _all_done(ctx, service, queued):
            raise typer.Exit(1)


def _show(ctx: typer.Context, service: Service, sweep: SweepDetail) -> None:
    say(sweep.id)
    address = service.address()
    say(f"MLflow   {f'{address}/api/v1/sweeps/{sweep.id}/mlflow' if address else f'{again(ctx)} ui'}")
    for note in sweep.notes:
        complain(completed(ctx, note))


def _all_done(ctx: typer.Context, service: Service, queued: list[SweepDetail]) -> bool:
    """Follow sweeps one after another; one that fails does not keep the next from being followed."""
    from search.cli.progress import wait_for
    from search.service.submitted import SubmittedSweep

    done = True
    try:
        for sweep in queued:
            try:
                _show_outcome(ctx, service, wait_for(SubmittedSweep.of(service, sweep)))
            except EmphasisError as error:
                complain(completed(ctx, str(error)))
                done = False
    except KeyboardInterrupt:
        complain(completed(ctx, "Nothing was stopped: see `emphasis status`, or stop one with `emphasis cancel`."))
        raise
    return done


def _show_outcome(ctx: typer.Context, service: Service, sweep: SweepDetail) -> None:
    from search.leaderboard import leaderboard
    from search.naming import noise
    from search.recommendation import choose
    from search.recommendation import noise_model_of
    from search.service.told import all_trials
    from search.service.told import sweep_told

    record, trials = sweep_told(sweep), all_trials(service, sweep.id)
    title = f"{record.dataset}, {noise(record.noise_rate, noise_model_of(record))}"
    show_found(record, leaderboard(record, trials), choose(record, trials), sweep.progress.pruned, title)
    say()
    say(f"export   {again(ctx)} export --sweep {record.id}")
