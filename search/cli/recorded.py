"""`emphasis list`, `show`, `export` and `ui`: what is recorded, to read, to take along and to look at."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import socket
import textwrap
from collections.abc import Mapping
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING
from typing import Annotated
from typing import Any

import typer

from search.cli.found import show_found
from search.cli.home import HomeOption
from search.cli.home import ServerOption
from search.cli.home import completed
from search.cli.home import home_of
from search.cli.home import service_of
from search.cli.output_file import write_whole
from search.cli.progress import counts
from search.cli.spec_text import spec_yaml
from search.cli.streams import WIDE_ENOUGH
from search.cli.streams import complain
from search.cli.streams import output
from search.cli.streams import say
from search.service.bounds import MOST_ITEMS
from trainers.errors import FieldError
from trainers.errors import InvalidInput

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from search.recommendation import Recommendation
    from search.service.interface import Service
    from search.service.views import SweepDetail
    from search.service.views import SweepView
    from search.store import SweepState
    from search.store import TrialRecord

_LOOPBACK = ("127.0.0.1", "localhost", "::1")
_ACCURACY_DIGITS = 3
_TRIAL_COLUMNS = (
    "trial", "phase", "configuration", "state", "objective", "test", "intact", "seconds", "seed", "starts",
)  # fmt: skip
_LIST_COLUMNS = ("sweep", "state", "trials", "β", "λ", "objective", "noise", "backbone", "created")
# Where a terminal is narrow these are left out, in this order; the last of them only once what can be wrapped is.
_LEFT_OUT = ("starts", "seed", "seconds", "intact", "test", "created", "backbone", "noise", "submitter")
_LEFT_OUT_LAST = ("phase", "supervision", "trials", "best")
# What else there is is looked for and copied, as ids and states are: it is never cut or broken into two lines.
_WRAPPED = ("trials", "best", "configuration")


def list_sweeps(
    ctx: typer.Context,
    dataset: Annotated[
        str | None, typer.Option("--dataset", metavar="NAME", help="Only this dataset.", show_default=False)
    ] = None,
    noise_rate: Annotated[
        str | None,
        typer.Option("--noise-rate", metavar="R", help="Only this noise rate.", show_default=False),
    ] = None,
    state: Annotated[
        list[str] | None,
        typer.Option("--state", metavar="STATE", help="Only in this state; repeatable.", show_default=False),
    ] = None,
    submitter: Annotated[
        str | None, typer.Option("--submitter", metavar="NAME", help="Only of this submitter.", show_default=False)
    ] = None,
    limit: Annotated[int, typer.Option("--limit", metavar="N", min=1, help="Only the newest N.")] = 50,
    home: HomeOption = None,
    server: ServerOption = None,
) -> None:
    """List sweeps, newest first: state, progress, best so far.

    Examples:

    \b
      emphasis list
      emphasis list --dataset digits --noise-rate 0.4
      emphasis list --state queued --state running
    """
    with service_of(ctx, home, server) as service:
        asked = {
            "states": _states(state or ()),
            "dataset": dataset,
            "noise_rate": _rate(noise_rate),
            "submitter": submitter,
        }
        sweeps, more = _newest(service, limit, asked)
        location, verb = service.location, "submit" if service.address() else "run"
    if not sweeps:
        any_asked = any(value not in (None, ()) for value in asked.values())
        if any_asked:
            say(completed(ctx, f"No sweep matches in {location}; `emphasis list` without options shows all."))
        else:
            start = f"start one with `emphasis {verb} --dataset digits --noise-rate 0.4`"
            say(completed(ctx, f"No sweep is recorded in {location}; {start}."))
        return
    # Where only GR was searched, its two values have a column each; where only one person submits, no name is needed.
    several = any(sweep.supervision != "gr" for sweep in sweeps)
    columns = [*_LIST_COLUMNS]
    if several:
        columns[columns.index("β") : columns.index("λ") + 1] = ["supervision", "best"]
    if any(sweep.submitter != "local" for sweep in sweeps):
        columns.insert(columns.index("noise"), "submitter")
    cells = [_sweep_cells(sweep) for sweep in sweeps]
    console = output()
    console.print(_fitting_table(console, columns, [[row[name] for name in columns] for row in cells]))
    if more:
        say(completed(ctx, f"and older ones: `emphasis list --limit {10 * limit}`"))


def show(
    ctx: typer.Context,
    sweep: Annotated[str, typer.Argument(metavar="SWEEP", help="Id of the sweep, or how it begins.")],
    as_json: Annotated[bool, typer.Option("--json", help="Everything, as one JSON object.")] = False,
    home: HomeOption = None,
    server: ServerOption = None,
) -> None:
    """Show one sweep: spec, leader board, recommendation, every trial, failures with their reasons.

    Examples:

    \b
      emphasis show digits-r40
      emphasis show digits-r40-260101-120000-ab12 --json
    """
    from search.service.told import all_trials

    with service_of(ctx, home, server) as service:
        found = service.sweep(sweep)
        trials = all_trials(service, found.id)
    if as_json:
        say(json.dumps(_as_json(found, trials), indent=2, ensure_ascii=False, allow_nan=False))
    else:
        _show_sweep(ctx, found, trials)


def export(
    ctx: typer.Context,
    dataset: Annotated[
        str | None,
        typer.Option("--dataset", metavar="NAME", help="Default: all datasets.", show_default=False),
    ] = None,
    noise_rate: Annotated[
        str | None,
        typer.Option("--noise-rate", metavar="R", help="Default: all noise rates.", show_default=False),
    ] = None,
    backbone: Annotated[
        str | None,
        typer.Option("--backbone", metavar="NAME", help="Default: all networks.", show_default=False),
    ] = None,
    supervision: Annotated[
        str | None,
        typer.Option("--supervision", metavar="NAME", help="Default: all supervisions.", show_default=False),
    ] = None,
    noise_model: Annotated[
        str | None,
        typer.Option("--noise-model", metavar="NAME", help="Default: all noise models.", show_default=False),
    ] = None,
    objective: Annotated[
        str | None,
        typer.Option("--objective", metavar="NAME", help="Default: all objectives.", show_default=False),
    ] = None,
    sweep: Annotated[
        str | None,
        typer.Option("--sweep", metavar="SWEEP", help="Of this sweep, whichever is newest.", show_default=False),
    ] = None,
    format: Annotated[
        str, typer.Option("--format", metavar="FORMAT", help="json, yaml, csv or md.")
    ] = "json",
    file: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="Write there, whole or not at all, instead of to the standard output.",
            show_default=False,
        ),
    ] = None,
    home: HomeOption = None,
    server: ServerOption = None,
) -> None:
    """Write what the newest sweep of each dataset, noise rate and supervision recommends.

    A sweep that confirmed its best on fresh seeds goes before newer ones that
    did not.

    Examples:

    \b
      emphasis export --dataset digits --noise-rate 0.4
      emphasis export --dataset digits --format md
      emphasis export --dataset digits --supervision gce
      emphasis export --dataset cifar10 --noise-rate 0.4 --format yaml --output best.yaml
      emphasis export --sweep digits-r40-260101-120000-ab12
    """
    from search.export import export as as_text
    from search.recommendation import Recommendation

    as_text((), format)  # a wrong format is said before the record is read
    kinds: dict[str, Any] = {
        "dataset": dataset,
        "noise_rate": _rate(noise_rate),
        "backbone": backbone,
        "supervision": supervision,
        "noise_model": noise_model,
        "objective": objective,
    }
    with service_of(ctx, home, server) as service:
        if sweep is None:
            found = [Recommendation.from_dict(each) for each in service.recommendations(**kinds)]
        else:
            found = [_recommended_by(service, sweep, kinds)]
    text = as_text(found, format)
    if file is None or str(file) == "-":
        typer.echo(text, nl=False)
    else:
        write_whole(file, text)
        complain(f"Written to {file}")


def ui(
    ctx: typer.Context,
    host: Annotated[str, typer.Option("--host", metavar="HOST", help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[
        int, typer.Option("--port", metavar="PORT", min=1, max=65535, help="TCP port to listen on.")
    ] = 5000,
    home: HomeOption = None,
) -> None:
    """Serve MLflow's pages over the recorded sweeps, until Ctrl-C.

    Examples:

    \b
      emphasis ui
      emphasis ui --port 5001
    """
    from search.tracking.interface import ui_command

    folder = home_of(ctx, home)
    command, environment = ui_command(folder.tracking_uri, folder.artifact_root, host, port)
    _refuse_taken(host, port)
    if host not in _LOOPBACK:
        complain(f"Warning: MLflow has no log-in; whoever reaches {host} can read and change the record.")
    say(f"MLflow on http://{f'[{host}]' if ':' in host else host}:{port} (Ctrl-C ends it)")
    # In place of this process, so that signals reach the server and its exit status is ours.
    os.execvpe(command[0], command, environment)


def _fitting_table(console: Console, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    """A table with as many of its columns as the console has room for, at least what it is of, state and objective."""
    shown = [*columns]
    for name in (*_LEFT_OUT, *_LEFT_OUT_LAST):
        table = _table(shown, [[row[columns.index(each)] for each in shown] for row in rows])
        # Measured without a limit: a console's own measure never exceeds its width.
        needed = console.measure(table, options=console.options.update(max_width=WIDE_ENOUGH))
        if (needed.minimum if name in _LEFT_OUT_LAST else needed.maximum) <= console.width:
            return table
        shown = [each for each in shown if each != name]
    left = [[row[columns.index(each)] for each in shown] for row in rows]
    table = _table(shown, left)
    needed = console.measure(table, options=console.options.update(max_width=WIDE_ENOUGH))
    return table if needed.minimum <= console.width else _table(shown, left, wrapped=shown)


def _newest(service: Service, limit: int, asked: Mapping[str, Any]) -> tuple[list[SweepView], bool]:
    """The newest sweeps that were asked for, read page by page, and whether there are older ones."""
    sweeps: list[SweepView] = []
    cursor = None
    while len(sweeps) < limit:
        page = service.sweeps(limit=min(limit - len(sweeps), MOST_ITEMS), cursor=cursor, **asked)
        sweeps += page.items
        cursor = page.next
        if cursor is None:
            break
    return sweeps, cursor is not None


def _sweep_cells(sweep: SweepView) -> dict[str, str]:
    """What the list says of a sweep, by column."""
    from search.naming import short
    from search.naming import symbols
    from search.service.told import by_python_name

    values = by_python_name(sweep.best.hyperparameters) if sweep.best else {}
    return {
        "sweep": sweep.id,
        "state": sweep.state.value,
        "trials": counts(sweep),
        "supervision": sweep.supervision,
        "best": symbols(sweep.supervision, values) or "–",
        "β": short(values["beta"]) if "beta" in values else "–",
        "λ": short(values["lam"]) if "lam" in values else "–",
        "objective": _share(sweep.best.objective) if sweep.best else "–",
        "submitter": sweep.submitter,
        "noise": _noise(sweep),
        "backbone": sweep.backbone,
        "created": _moment(sweep.created_at),
    }


def _noise(sweep: SweepView) -> str:
    return "unknown" if sweep.noise_rate is None else f"{sweep.noise_rate:g}"


def _recommended_by(service: Service, sweep_id: str, kinds: Mapping[str, object]) -> Recommendation:
    """What one sweep recommends."""
    from search.recommendation import Recommendation

    if given := [name for name, value in kinds.items() if value is not None]:
        problem, remedy = "names one sweep, of which there is nothing to choose", "Leave out one of the two."
        raise InvalidInput(FieldError(f"sweep, {', '.join(given)}", sweep_id, problem, remedy))
    return Recommendation.from_dict(service.recommendation(sweep_id))


def _show_sweep(ctx: typer.Context, found: SweepDetail, trials: Sequence[TrialRecord]) -> None:
    from search.leaderboard import leaderboard
    from search.naming import noise
    from search.recommendation import choose
    from search.service.told import sweep_told
    from search.store import SweepState

    progress = found.progress
    record = sweep_told(found)
    labels = noise(record.noise_rate, found.noise_model)
    say(f"{found.id}: {found.dataset}, {labels}, {found.backbone}, {found.supervision}")
    say(f"state    {found.state.value}" + (f": {found.message}" if found.message else ""))
    say(f"trials   {counts(found)}, {progress.running} running, {progress.waiting} waiting")
    times = [("created", found.created_at), ("started", found.started_at), ("finished", found.finished_at)]
    say("times    " + ", ".join(f"{name} {_moment(moment)}" for name, moment in times if moment))
    if found.submitter != "local" or found.priority:
        say(f"by       {found.submitter}, priority {found.priority}")
    if found.owner is not None and not found.state.stopped:
        say(f"owner    {found.owner}")
    if found.state in (SweepState.PAUSED, SweepState.FAILED) or (found.attended and found.state is SweepState.QUEUED):
        say(completed(ctx, f"resume   `emphasis resume {found.id}`"))
    if found.mlflow_url:
        say(f"MLflow   {found.mlflow_url}")
    recommendation = choose(record, trials)
    for note in found.notes:
        if recommendation is None or note not in recommendation.caveats:  # which is said below the leader board
            say(completed(ctx, f"note     {note}"))
    say("spec")
    say(textwrap.indent(spec_yaml(found.spec), "  "))
    say()
    rows = leaderboard(record, trials)
    if rows:
        show_found(record, rows, recommendation, progress.pruned)
        say()
    if trials:
        columns = [*_TRIAL_COLUMNS]
        if rows and rows[0].objective.name == "intact_train_accuracy":
            columns.remove("intact")
        cells = [_trial_cells(trial) for trial in trials]
        output().print(_fitting_table(output(), columns, [[row[name] for name in columns] for row in cells]))
    for trial in trials:
        if trial.reason:
            say(f"{trial.state.value} {trial.number}: {trial.reason}")


def _states(names: Sequence[str]) -> tuple[SweepState, ...]:
    from search.store import SweepState

    wrong = [name for name in names if name not in set(SweepState)]
    if wrong:
        remedy = f"Use {', '.join(SweepState)}."
        raise InvalidInput(*(FieldError("state", name, "is no state of a sweep", remedy) for name in wrong))
    return tuple(SweepState(name) for name in names)


def _rate(text: str | None) -> float | None:
    """A noise rate as it was written; what is no number is refused as `emphasis run` refuses it."""
    try:
        return None if text is None else float(text)
    except ValueError:
        remedy = "Give the share of wrong labels of a recorded sweep, e.g. 0.4."
        raise InvalidInput(FieldError("noise_rate", text, "is not a number", remedy)) from None


def _trial_cells(trial: TrialRecord) -> dict[str, str]:
    from search.naming import label

    return {
        "trial": f"{trial.number}",
        "phase": trial.phase.value,
        "configuration": label(trial.supervision, trial.hyperparameters),
        "state": trial.state.value,
        "objective": _share(trial.objective),
        "test": _share(trial.final.test if trial.final else None),
        "intact": _share(trial.final.intact_train if trial.final else None),
        "seconds": "" if trial.train_seconds is None else f"{trial.train_seconds:.1f}",
        "seed": f"{trial.seed}",
        "starts": f"{trial.attempts}",
    }


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]], wrapped: Sequence[str] = _WRAPPED) -> Table:
    from rich.cells import cell_len
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for name, *cells in zip(columns, *rows, strict=True):
        least = None if name in wrapped else max(map(cell_len, [name, *cells]))
        table.add_column(name, no_wrap=name not in wrapped, min_width=least, overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    return table


def _share(value: float | None) -> str:
    return "" if value is None or math.isnan(value) else f"{value:.{_ACCURACY_DIGITS}f}"


def _moment(moment: datetime) -> str:
    return f"{moment.astimezone():%Y-%m-%d %H:%M:%S}"


def _as_json(found: SweepDetail, trials: Sequence[TrialRecord]) -> dict[str, Any]:
    from search.recommendation import choose
    from search.service.told import sweep_told

    sweep = sweep_told(found)
    recommendation = choose(sweep, trials)
    return {
        "sweep": _plain(sweep),
        "progress": found.progress.model_dump(),
        "recommendation": recommendation.as_dict() if recommendation else None,
        "trials": [_plain(trial) for trial in trials],
    }


def _plain(value: Any) -> Any:
    """Records as JSON has them: times in ISO 8601, and null for NaN, which JSON cannot say."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: _plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, dict):
        return {str(name): _plain(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def _refuse_taken(host: str, port: int) -> None:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as attempt:
            attempt.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            attempt.bind(address)
    except socket.gaierror as error:
        raise InvalidInput(
            FieldError("host", host, f"is no address: {error.strerror}", "Give e.g. 127.0.0.1.")
        ) from error
    except OSError as error:
        raise InvalidInput(
            FieldError(
                "port",
                port,
                f"cannot be listened on at {host}: {error.strerror}",
                "Give another with --port, or end what listens there.",
            )
        ) from error
