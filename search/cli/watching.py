"""`emphasis status` and `logs`: how the service and its sweeps are."""

from __future__ import annotations

from typing import TYPE_CHECKING
from typing import Annotated

import typer

from search.cli.home import HomeOption
from search.cli.home import ServerOption
from search.cli.home import completed
from search.cli.home import service_of
from search.cli.streams import say

if TYPE_CHECKING:
    from search.service.views import ProcessView
    from search.service.views import StatusView
    from search.service.views import SweepView


def status(
    ctx: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="Everything, as one JSON object.")] = False,
    home: HomeOption = None,
    server: ServerOption = None,
) -> None:
    """Show who works, what runs and what waits, on one screen.

    Examples:

    \b
      emphasis status
      emphasis --server http://127.0.0.1:8080 status
    """
    with service_of(ctx, home, server) as service:
        found = service.status()
        if as_json:
            say(found.model_dump_json(indent=2))
            return
        say(f"store    {service.location}")
    for line in _lines(found):
        say(completed(ctx, line))


def logs(
    ctx: typer.Context,
    sweep: Annotated[str, typer.Argument(metavar="SWEEP", help="Id of the sweep, or how it begins.")],
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on until nothing of the sweep will run any more.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="A JSON object a line.")] = False,
    home: HomeOption = None,
    server: ServerOption = None,
) -> None:
    """Show what happened to a sweep, oldest first.

    Examples:

    \b
      emphasis logs digits-r40
      emphasis logs digits-r40 --follow
    """
    from search.service.log_lines import log_line

    with service_of(ctx, home, server) as service:
        for event in service.events(sweep, follow=follow):
            say(log_line(event, as_json))


def _lines(status: StatusView) -> list[str]:
    from search.cli.progress import progress_line

    lines = [f"server   {_server(each)}" for each in status.servers] or ["server   none: `emphasis serve` starts one"]
    lines += [f"worker   {_worker(each)}" for each in status.workers] or ["worker   none: `emphasis worker` starts one"]
    counted = [f"{count} {state}" for state, count in status.sweeps.items() if count]
    lines.append(f"sweeps   {', '.join(counted) or 'none'}")
    lines += [f"running  {sweep.id}  {progress_line(sweep)}" for sweep in status.running]
    lines += [f"queue    {sweep.id}  {_place(sweep)}" for sweep in status.queue]
    if (more := status.waiting - len(status.queue)) > 0:
        lines.append(f"         and {more} more")
    return lines


def _place(sweep: SweepView) -> str:
    return f"by {sweep.submitter}" + (f", priority {sweep.priority}" if sweep.priority else "")


def _server(server: ProcessView) -> str:
    return f"{server.facts.get('url') or 'address unknown'}  ({server.name})"


def _worker(worker: ProcessView) -> str:
    resources = worker.facts.get("resources")
    if not resources:
        return worker.name
    from search.cluster_resources import ClusterResources

    return f"{worker.name}  {ClusterResources.from_json(resources)}"
