"""`emphasis list`, `show`, `export` and `ui`: what is recorded, to read, to take along and to look at."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import socket
import tempfile
import textwrap
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING
from typing import Annotated
from typing import Any

import typer

from search.cli.home import HomeOption
from search.cli.home import given_home
from search.cli.home import home_of
from search.cli.home import with_home
from search.cli.spec_text import spec_yaml
from search.cli.streams import complain
from search.cli.streams import output
from search.cli.streams import say
from trainers.errors import FieldError
from trainers.errors import InvalidInput

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from search.store import Progress
    from search.store import SweepRecord
    from search.store import TrialRecord

_LOOPBACK = ("127.0.0.1", "localhost", "::1")
_ACCURACY_DIGITS = 3
# Most important first: the last ones are left out where a terminal is narrow.
_LIST_COLUMNS = ("sweep", "state", "trials", "β", "λ", "objective", "noise", "backbone", "created")


def list_sweeps(
    ctx: typer.Context,
    dataset: Annotated[
        str | None, typer.Option("--dataset", metavar="NAME", help="Only this dataset.", show_default=False)
    ] = None,
    noise_rate: Annotated[
        str | None,
        typer.Option("--noise-rate", metavar="R", help="Only this noise rate.", show_default=False),
    ] = None,
    limit: Annotated[int, typer.Option("--limit", metavar="N", min=1, help="Only the newest N.")] = 50,
    home: HomeOption = None,
) -> None:
    """List sweeps, newest first: state, progress, best so far.

    Examples:

    \b
      emphasis list
      emphasis list --dataset digits --noise-rate 0.4
    """
    from search.store import Store

    with Store.open(home_of(ctx, home).store_url) as store:
        sweeps = store.sweeps(dataset=dataset, noise_rate=_rate(noise_rate))
        if not sweeps:
            asked = dataset is not None or noise_rate is not None
            start = "start one with `emphasis run --dataset digits --noise-rate 0.4`"
            text = f"No sweep {'matches' if asked else 'is recorded'} in {store.location}; {start}."
            say(with_home(text, given_home(ctx)))
            return
        shown = sweeps[:limit]
        progress = store.progress_of(sweep.id for sweep in shown)
        # Where only GR was searched, its two values have a column each.
        several = any(sweep.supervision != "gr" for sweep in shown)
        rows = [_sweep_row(sweep, progress[sweep.id], store.trials(sweep.id), several) for sweep in shown]
    console = output()
    columns = [*_LIST_COLUMNS]
    if several:
        columns[columns.index("β") : columns.index("λ") + 1] = ["supervision", "best"]
    console.print(_fitting_table(console, columns, rows))
    if len(sweeps) > limit:
        say(f"and {len(sweeps) - limit} older: emphasis list --limit {len(sweeps)}")


def show(
    ctx: typer.Context,
    sweep: Annotated[str, typer.Argument(metavar="SWEEP", help="Id of the sweep, or how it begins.")],
    as_json: Annotated[bool, typer.Option("--json", help="Everything, as one JSON object.")] = False,
    home: HomeOption = None,
) -> None:
    """Show one sweep: spec, leader board, recommendation, every trial, failures with their reasons.

    Examples:

    \b
      emphasis show digits-r40
      emphasis show digits-r40-260101-120000-ab12 --json
    """
    from search.store import Store

    with Store.open(home_of(ctx, home).store_url) as store:
        record = store.sweep(sweep)
        trials = store.trials(record.id)
        progress = store.progress(record.id)
    if as_json:
        say(json.dumps(_as_json(record, trials, progress), indent=2, ensure_ascii=False, allow_nan=False))
    else:
        _show_sweep(record, trials, progress, given_home(ctx))


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
) -> None:
    """Write what the newest finished sweep of each dataset, noise rate and supervision recommends.

    Examples:

    \b
      emphasis export --dataset digits --noise-rate 0.4
      emphasis export --dataset digits --format md
      emphasis export --dataset digits --supervision gce
      emphasis export --dataset cifar10 --noise-rate 0.4 --format yaml --output best.yaml
    """
    from search.export import export as as_text
    from search.recommend import recommendations
    from search.store import Store

    as_text((), format)  # a wrong format is said before the record is read
    with Store.open(home_of(ctx, home).store_url) as store:
        found = recommendations(
            store, dataset, _rate(noise_rate), backbone, supervision, noise_model, objective
        )
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
    """The list of sweeps with as many of its columns as the console has room for."""
    for count in range(len(columns), columns.index("objective"), -1):
        table = _table(columns[:count], [row[:count] for row in rows])
        # Measured without a limit: a console's own measure never exceeds its width.
        if console.measure(table, options=console.options.update(max_width=1000)).maximum <= console.width:
            break
    return table


def _sweep_row(
    sweep: SweepRecord, progress: Progress, trials: Sequence[TrialRecord], several: bool
) -> tuple[str, ...]:
    from search.leaderboard import best_so_far
    from search.naming import short
    from search.naming import symbols
    from search.owner import state_now

    best = best_so_far(sweep, trials)
    values = dict(best.hyperparameters) if best else {}
    found = [short(values[name]) if name in values else "–" for name in ("beta", "lam")]
    if several:
        found = [sweep.supervision, symbols(sweep.supervision, values) or "–"]
    return (
        sweep.id,
        state_now(sweep).value,
        _counts(sweep, progress),
        *found,
        _share(best.objective.mean) if best else "–",
        f"{sweep.noise_rate:g}",
        sweep.backbone,
        _moment(sweep.created_at),
    )


def _counts(sweep: SweepRecord, progress: Progress) -> str:
    planned = _planned(sweep)
    text = f"{progress.finished}/{max(planned, progress.total)}"
    return f"{text}, {progress.failed} failed" if progress.failed else text


def _planned(sweep: SweepRecord) -> int:
    from search.spec import SweepSpec

    try:
        return SweepSpec.recorded(sweep.spec).number_of_trials().total
    except ValueError:  # a spec of another version: only what was added is known
        return 0


def _show_sweep(
    sweep: SweepRecord, trials: Sequence[TrialRecord], progress: Progress, home: str | None
) -> None:
    from search.display import recommendation_lines
    from search.leaderboard import leaderboard
    from search.owner import state_now
    from search.recommend import choose
    from search.reports.tables import leaderboard_table
    from search.store import SweepState

    state = state_now(sweep)
    say(f"{sweep.id}: {sweep.dataset}, noise rate {sweep.noise_rate:g}, {sweep.backbone}, {sweep.supervision}")
    say(f"state    {state.value}" + (f": {sweep.message}" if sweep.message else ""))
    say(f"trials   {_counts(sweep, progress)}, {progress.running} running, {progress.waiting} waiting")
    times = [("created", sweep.created_at), ("started", sweep.started_at), ("finished", sweep.finished_at)]
    say("times    " + ", ".join(f"{name} {_moment(moment)}" for name, moment in times if moment))
    if state is SweepState.RUNNING:
        say(f"owner    {sweep.owner}")
    elif state is not SweepState.DONE:
        say(with_home(f"resume   `emphasis resume {sweep.id}`", home))
    say("spec")
    say(textwrap.indent(spec_yaml(sweep.spec), "  "))
    say()
    rows = leaderboard(sweep, trials)
    if rows:
        output().print(leaderboard_table(rows))
        for text in recommendation_lines(choose(sweep, trials)):
            say(text)
        say()
    if trials:
        accuracies = ("objective", "intact", "test")
        columns = ("trial", "phase", "seed", "configuration", "state", *accuracies, "seconds", "starts")
        output().print(_table(columns, [_trial_row(trial) for trial in trials]))
    for trial in trials:
        if trial.reason:
            say(f"{trial.state.value} {trial.number}: {trial.reason}")


def _rate(text: str | None) -> float | None:
    """A noise rate as it was written; what is no number is refused as `emphasis run` refuses it."""
    try:
        return None if text is None else float(text)
    except ValueError:
        remedy = "Give the share of wrong labels of a recorded sweep, e.g. 0.4."
        raise InvalidInput(FieldError("noise_rate", text, "is not a number", remedy)) from None


def _trial_row(trial: TrialRecord) -> tuple[str, ...]:
    from search.naming import label

    return (
        f"{trial.number}",
        trial.phase.value,
        f"{trial.seed}",
        label(trial.supervision, trial.hyperparameters),
        trial.state.value,
        _share(trial.objective),
        _share(trial.final.intact_train if trial.final else None),
        _share(trial.final.test if trial.final else None),
        "" if trial.train_seconds is None else f"{trial.train_seconds:.1f}",
        f"{trial.attempts}",
    )


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for name in columns:
        # Ids and states are looked for and copied: they are never cut or broken into two lines.
        table.add_column(name, no_wrap=name != "configuration")
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    return table


def _share(value: float | None) -> str:
    return "" if value is None or math.isnan(value) else f"{value:.{_ACCURACY_DIGITS}f}"


def _moment(moment: datetime) -> str:
    return f"{moment.astimezone():%Y-%m-%d %H:%M:%S}"


def _as_json(sweep: SweepRecord, trials: Sequence[TrialRecord], progress: Progress) -> dict[str, Any]:
    from search.owner import state_now
    from search.recommend import choose

    recommendation = choose(sweep, trials)
    return {
        "sweep": {**_plain(sweep), "state": state_now(sweep).value},
        "progress": {**_plain(progress), "planned": max(_planned(sweep), progress.total)},
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


def write_whole(file: Path, text: str) -> None:
    """Replace a file in one step, so that nobody ever reads half of it."""
    target = file.expanduser()
    try:
        if target.exists() and not target.is_file():
            target.write_text(text, encoding="utf-8")  # a device or a pipe is written to, not replaced
            return
        target = target.resolve()  # what a link points to is replaced, not the link
        with tempfile.NamedTemporaryFile(
            "w", encoding="utf-8", dir=target.parent, prefix=f".{target.name}.", delete=False
        ) as part:
            try:
                part.write(text)
                part.flush()
                os.fsync(part.fileno())
                os.chmod(part.name, _usual_mode(target))
                os.replace(part.name, target)
            except BaseException:
                os.unlink(part.name)
                raise
    except OSError as error:
        raise InvalidInput(
            FieldError(
                "output",
                str(file),
                f"cannot be written: {error.strerror}",
                "Give a file in a folder that exists and can be written to.",
            )
        ) from error


def _usual_mode(target: Path) -> int:
    """The permissions that the file has, or that a new one would get; temporary files are private."""
    if target.exists():
        return target.stat().st_mode & 0o777
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask


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
