"""`emphasis worker` and `emphasis serve`: the service's processes."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING
from typing import Annotated

import typer

from search.cli import sweep_options as options
from search.cli.home import HomeOption
from search.cli.home import again
from search.cli.home import home_of
from search.cli.streams import say
from search.cli.sweeping import grown_cluster
from trainers.errors import FieldError
from trainers.errors import InvalidInput

if TYPE_CHECKING:
    from search.service.logs import LogFormat
    from search.service.serve import Addresses

Sweeps = Annotated[int, typer.Option("--sweeps", metavar="N", min=1, help="Sweeps that a worker runs at once.")]
Trials = Annotated[
    int | None,
    typer.Option(
        "--trials",
        metavar="N",
        min=1,
        help="Trials at once, over all its sweeps. Default: as there is room.",
        show_default=False,
    ),
]
Lease = Annotated[
    float,
    typer.Option(
        "--lease",
        metavar="SECONDS",
        min=3,
        help="How long a sweep's process may be silent before another worker takes the sweep over.",
    ),
]
LogFormatOption = Annotated[
    str,
    typer.Option("--log-format", envvar="EMPHASIS_LOG_FORMAT", metavar="FORMAT", help="json, or text to read."),
]


def worker(
    ctx: typer.Context,
    sweeps: Sweeps = 1,
    trials: Trials = None,
    lease: Lease = 60.0,
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
    grown = grown_cluster(may_grow_to, ray_address)
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


def serve(
    ctx: typer.Context,
    host: Annotated[
        str, typer.Option("--host", metavar="HOST", help="Address to listen on; beyond this machine, with tokens only.")
    ] = "127.0.0.1",
    port: Annotated[
        int, typer.Option("--port", metavar="PORT", min=0, max=65535, help="Of the API and the page; 0: any free one.")
    ] = 8080,
    mlflow_port: Annotated[
        int, typer.Option("--mlflow-port", metavar="PORT", min=0, max=65535, help="Of MLflow's pages.")
    ] = 5000,
    with_worker: Annotated[bool, typer.Option("--worker/--no-worker", help="Run queued sweeps here too.")] = True,
    sweeps: Sweeps = 1,
    trials: Trials = None,
    lease: Lease = 60.0,
    data_root: Annotated[
        list[Path] | None,
        typer.Option(
            "--data-root",
            metavar="DIR",
            help="Folder that submitted sweeps may read files in; repeatable. Default: none.",
            show_default=False,
        ),
    ] = None,
    allowed_host: Annotated[
        list[str] | None,
        typer.Option(
            "--allowed-host",
            envvar="EMPHASIS_ALLOWED_HOST",
            metavar="NAME",
            help="A further name of this service, e.g. behind a proxy; repeatable, in the variable with spaces.",
            show_default=False,
        ),
    ] = None,
    public_url: Annotated[
        str | None,
        typer.Option(
            "--public-url",
            envvar="EMPHASIS_PUBLIC_URL",
            metavar="URL",
            help="Where users find the API, behind a proxy.",
            show_default=False,
        ),
    ] = None,
    public_mlflow_url: Annotated[
        str | None,
        typer.Option(
            "--public-mlflow-url",
            envvar="EMPHASIS_PUBLIC_MLFLOW_URL",
            metavar="URL",
            help="Where users find MLflow, behind a proxy.",
            show_default=False,
        ),
    ] = None,
    trusted_proxy: Annotated[
        list[str] | None,
        typer.Option(
            "--trusted-proxy",
            envvar="EMPHASIS_TRUSTED_PROXY",
            metavar="ADDRESS",
            help="Proxy, or network of them, that says truly for whom it asks (X-Forwarded-For, -Proto); repeatable.",
            show_default=False,
        ),
    ] = None,
    rate_limit: Annotated[
        float, typer.Option("--rate-limit", metavar="N", min=0.1, help="Requests a second of one token, for long.")
    ] = 50.0,
    ray_address: options.RayAddress = None,
    may_grow_to: options.MayGrowTo = None,
    log_format: LogFormatOption = "text",
    home: HomeOption = None,
) -> None:
    """Serve the API, the page and MLflow, and run queued sweeps, until Ctrl-C or SIGTERM.

    Without a token this machine alone is served. Sweeps that run when it is
    stopped go back to the queue.

    Examples:

    \b
      emphasis serve
      emphasis serve --port 8081 --mlflow-port 5001 --sweeps 2
      emphasis token create ada && emphasis serve --host 0.0.0.0
    """
    format = _log_format(log_format)
    grown_cluster(may_grow_to, ray_address if with_worker else None)
    folder = home_of(ctx, home, "Start it where the store is to be.")

    from search.service.logs import set_up_logging
    from search.service.serve import ServeSettings
    from search.service.serve import serve as serve_until_stopped

    set_up_logging(format)
    command = [sys.executable, "-m", "search.cli", "--home", str(folder.path), "worker"]
    command += ["--sweeps", str(sweeps), "--lease", str(lease), "--log-format", format]
    command += ["--trials", str(trials)] if trials is not None else []
    command += ["--ray-address", ray_address] if ray_address is not None else []
    command += ["--may-grow-to", may_grow_to] if may_grow_to is not None else []
    serve_until_stopped(
        ServeSettings(
            home=folder,
            host=host,
            port=port,
            mlflow_port=mlflow_port,
            worker=command if with_worker else None,
            data_roots=tuple(data_root or ()),
            allowed_hosts=tuple(allowed_host or ()),
            public_url=public_url,
            public_mlflow_url=public_mlflow_url,
            rate_limit=rate_limit,
            trusted_proxies=tuple(trusted_proxy or ()),
        ),
        on_ready=lambda addresses: _show(ctx, addresses, with_worker),
    )


def _show(ctx: typer.Context, addresses: Addresses, with_worker: bool) -> None:
    emphasis = again(ctx)
    what = "submit --dataset digits --noise-rate 0.4"
    worker = "runs queued sweeps" if with_worker else f"none here; {emphasis} worker is one"
    token, open_to = "", f"everybody on this machine, until there is a token: {emphasis} token create NAME"
    if addresses.needs_token:
        token, open_to = "EMPHASIS_TOKEN=… ", f"who has a token: {emphasis} token create NAME"
    say()
    say(f"API and page  {addresses.url}")
    say(f"MLflow        {addresses.mlflow_url}")
    say(f"sweeps        {addresses.store}")
    say(f"worker        {worker}")
    say(f"open to       {open_to}")
    say()
    say(f"submit        {emphasis} {what}")
    say(f"from afar     {token}emphasis --server {addresses.url} {what}")
    say(f"watch         {emphasis} status")
    say("stop          Ctrl-C; sweeps that run go back to the queue")
    say()


def _log_format(text: str) -> LogFormat:
    from search.service.logs import LogFormat

    try:
        return LogFormat(text)
    except ValueError:
        raise InvalidInput(
            FieldError("log_format", text, "is no format of logs", "Give json or text.")
        ) from None
