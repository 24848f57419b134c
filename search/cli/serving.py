"""`emphasis worker` and `emphasis serve`: the service's processes."""

from __future__ import annotations

from typing import TYPE_CHECKING
from typing import Annotated

import typer

from search.cli import sweep_options as options
from search.cli.home import HomeOption
from search.cli.home import home_of
from search.cli.sweeping import grown_cluster
from trainers.errors import FieldError
from trainers.errors import InvalidInput

if TYPE_CHECKING:
    from search.service.logs import LogFormat

Sweeps = Annotated[int, typer.Option("--sweeps", metavar="N", min=1, help="Sweeps that a worker runs at once.")]
LogFormatOption = Annotated[
    str,
    typer.Option("--log-format", envvar="EMPHASIS_LOG_FORMAT", metavar="FORMAT", help="json, or text to read."),
]


def worker(
    ctx: typer.Context,
    sweeps: Sweeps = 1,
    trials: Annotated[
        int | None,
        typer.Option(
            "--trials",
            metavar="N",
            min=1,
            help="Trials at once, over all its sweeps. Default: as there is room.",
            show_default=False,
        ),
    ] = None,
    lease: Annotated[
        float,
        typer.Option(
            "--lease",
            metavar="SECONDS",
            min=3,
            help="How long a sweep's process may be silent before another worker takes the sweep over.",
        ),
    ] = 60.0,
    poll: Annotated[
        float, typer.Option("--poll", metavar="SECONDS", min=0.1, help="How often to look for a queued sweep.")
    ] = 1.0,
    ray_address: options.RayAddress = None,
    may_grow_to: options.MayGrowTo = None,
    log_format: LogFormatOption = "text",
    home: HomeOption = None,
) -> None:
    """Run queued sweeps, one after another, until Ctrl-C or SIGTERM.

    What runs then goes back to the queue, and another worker, or this one
    later, goes on with what is missing. Any number of workers may share a
    store; on several machines, let them share the home folder too.

    Examples:

    \b
      emphasis worker
      emphasis worker --sweeps 2 --trials 8 --log-format json
      emphasis worker --ray-address 10.0.0.1:6379
    """
    format = _log_format(log_format)
    grown = grown_cluster(may_grow_to)
    folder = home_of(ctx, home, "Start it where the store is.")

    from search.service.logs import set_up_logging
    from search.service.worker import Worker
    from search.service.worker import WorkerSettings

    set_up_logging(format)
    Worker(
        WorkerSettings(
            home=folder,
            max_sweeps=sweeps,
            max_trials=trials,
            lease_seconds=lease,
            ray_address=ray_address,
            may_grow_to=grown,
            log_format=format,
            poll_seconds=poll,
        )
    ).run()


def _log_format(text: str) -> LogFormat:
    from search.service.logs import LogFormat

    try:
        return LogFormat(text)
    except ValueError:
        raise InvalidInput(
            FieldError("log_format", text, "is no format of logs", "Give json or text.")
        ) from None
