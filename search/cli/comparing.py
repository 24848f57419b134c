"""`emphasis compare`: supervisions side by side on the same fresh seeds."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING
from typing import Annotated
from typing import Any

import typer

from search.cli import sweep_options as options
from search.cli.home import HomeOption
from search.cli.home import given_home
from search.cli.home import home_of
from search.cli.home import with_home
from search.cli.output_file import check_output_file
from search.cli.output_file import write_whole
from search.cli.streams import complain
from search.cli.streams import output
from search.cli.streams import say
from search.cli.sweeping import checked
from search.cli.sweeping import grown_cluster
from trainers.errors import EmphasisError
from trainers.errors import FieldError
from trainers.errors import InvalidInput

if TYPE_CHECKING:
    from search.cluster_resources import Nodes
    from search.compare import Comparison
    from search.home import Home
    from search.spec import SweepSpec

ALL = "all"


# What the supervisions to be compared share; the rest each has of its own.
_SHARED = (
    *("dataset", "noise_rate", "noise_model", "noise_file", "noise_column", "data_dir", "download", "limit_train"),
    *("trials", "confirm.top", "confirm.seeds", "seed", "objective", "backbone"),
    *("training.epochs", "training.learning_rate", "training.batch_size"),
    *("concurrency", "lanes", "resources.cpus", "resources.gpus"),
)


@options.takes_sweep(_SHARED)
def compare(
    ctx: typer.Context,
    fields: Mapping[str, Any],
    supervision: Annotated[
        list[str] | None,
        typer.Option("--supervision", metavar="NAME", help="One to compare, or all; repeatable.", show_default=False),
    ] = None,
    defaults: Annotated[
        bool, typer.Option("--defaults/--no-defaults", help="Compare each one's defaults too.")
    ] = True,
    ray_address: options.RayAddress = None,
    may_grow_to: options.MayGrowTo = None,
    format: Annotated[str, typer.Option("--format", metavar="FORMAT", help="Of --output: md, csv or json.")] = "md",
    written: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="Write the table there too.", show_default=False),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be run and what reused, and stop.")
    ] = False,
    home: HomeOption = None,
) -> None:
    """Search each supervision, or reuse a finished sweep of it, and compare their best on the same fresh seeds.

    One table and one figure: mean and standard error over the same seeds and
    the same corrupted labels for all, differences to CCE paired.

    Examples:

    \b
      emphasis compare --dataset digits --noise-rate 0.4 \\
          --supervision gr --supervision gce --supervision forward
      emphasis compare --dataset digits --noise-rate 0.4 --supervision all --trials 12
      emphasis compare base.yaml --supervision gr --supervision cce
    """
    folder = home_of(ctx, home)
    from search.compare import FORMATS

    if format not in FORMATS:
        raise InvalidInput(FieldError("format", format, "unknown format", f"Use one of {', '.join(FORMATS)}."))
    if written is not None:
        check_output_file(written)
    grown = grown_cluster(may_grow_to, ray_address)
    names = _names(supervision)
    here = ray_address is None
    _check_all([_fields(fields, name, defaults) for name in names], folder, here)
    submissions = [
        checked(_fields(fields, name, defaults), folder, here=here, quiet=number > 0)
        for number, name in enumerate(names)
    ]
    if written is not None and len(submissions[0].specs) > 1:
        remedy = "Give one noise rate, or leave it out: the home folder has a table of each."
        raise InvalidInput(FieldError("output", str(written), "is one file for several comparisons", remedy))
    # One comparison a noise rate.
    for specs in zip(*(submission.specs for submission in submissions), strict=True):
        if dry_run:
            _show_plan(specs, folder)
        else:
            _show(_run(ctx, specs, folder, ray_address, grown), folder, written, format)


def _check_all(each: Sequence[Mapping[str, Any]], home: Home, here: bool) -> None:
    """Say all that is wrong with any of the sweeps, what is wrong with several once; nothing is fetched for it."""
    errors: dict[str, FieldError] = {}
    for fields in each:
        try:
            checked(fields, home, here, fetch=False, quiet=True)
        except InvalidInput as error:
            errors.update((str(found), found) for found in error.errors)
            if any(found.field in ("dataset", "data_dir") for found in error.errors):
                break  # images that are refused once they are decoded would be decoded again for each
    if errors:
        raise InvalidInput(*errors.values())


def _names(given: Sequence[str] | None) -> list[str]:
    from trainers.supervision import supervision_names

    if not given:
        remedy = "Give --supervision NAME twice or more, or --supervision all."
        raise InvalidInput(FieldError("supervision", None, "none to compare", remedy))
    names = [name for each in given for name in (supervision_names() if each == ALL else [each])]
    return list(dict.fromkeys(names))


def _fields(fields: Mapping[str, Any], supervision: str, defaults: bool) -> dict[str, Any]:
    """One supervision's sweep: its own space, all of it where that is a grid."""
    from spaces import default_space

    confirm = fields.get("confirm")
    own = {
        **fields,
        "supervision": supervision,
        "confirm": {**(confirm if isinstance(confirm, Mapping) else {}), "defaults": defaults},
    }
    try:
        finite = default_space(supervision).grid() is not None
    except ValueError:  # the check of the fields says what is wrong with it
        finite = False
    return {name: value for name, value in own.items() if not (finite and name == "trials")}


def _run(
    ctx: typer.Context, specs: Sequence[SweepSpec], home: Home, ray_address: str | None, may_grow_to: Nodes | None
) -> Comparison:
    import warnings

    from search.compare import compare as run
    from search.display import progress_display
    from search.errors import SweepWarning

    # Said already, when the submission was checked.
    warnings.simplefilter("ignore", SweepWarning)
    with progress_display(output()) as display:

        def say_why(error: EmphasisError) -> None:
            display.__exit__(None, None, None)  # the process ends from here, and the terminal is left as it was
            complain(with_home(str(error), given_home(ctx)))

        return run(
            specs,
            home=home,
            ray_address=ray_address,
            may_grow_to=may_grow_to,
            on_status=display.show,
            on_stuck=say_why,
            on_message=complain,
        )


def _show_plan(specs: Sequence[SweepSpec], home: Home) -> None:
    from search.compare import plan
    from search.estimate import estimate
    from search.settled_rate import SettledRate
    from search.spec import UNKNOWN
    from search.store import Store

    # An estimate of the noise rate takes the training of networks, and a dry run trains none.
    unknown = SettledRate(0.0) if specs[0].noise_rate == UNKNOWN else None
    if unknown:
        say("the noise rate is estimated first; finished sweeps at that rate are reused")
    with Store.open(home.store_url) as store:
        for each in plan(specs, store, complain, unknown):
            name = each.spec.supervision
            if each.recorded is not None:
                say(f"{name}: reuses {each.recorded.id}")
            else:
                say(f"{name}: {'; '.join(estimate(each.spec, store).lines()[1:])}")


def _about(comparison: Comparison) -> str:
    first = next((row.objective.name for row in comparison.rows if row.objective is not None), "")
    # Of other supervisions, or another file of the same name, it is another comparison.
    which = hashlib.sha256(" ".join(sorted(str(row.sweep_id) for row in comparison.rows)).encode()).hexdigest()[:6]
    parts = (comparison.dataset, comparison.noise_model, f"r{comparison.noise_rate:g}", comparison.backbone, first)
    return "-".join(("compare", *parts, which))


def _show(comparison: Comparison, home: Home, written: Path | None, format: str) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    from search.reports.comparison_chart import comparison_chart
    from search.reports.figure_file import save_figure

    columns, rows = comparison.table()
    table = Table(title=comparison.title, title_justify="left", box=SIMPLE_HEAD)
    table.caption, table.caption_justify = comparison.note, "left"
    for number, column in enumerate(columns):
        table.add_column(column, justify="left" if number < 2 else "right")
    for cells in rows:
        table.add_row(*map(Text, cells))
    output().print(table)
    name = re.sub(r"[^A-Za-z0-9.]+", "-", _about(comparison))
    folder = home.figures(name)
    folder.mkdir(parents=True, exist_ok=True)
    save_figure(comparison_chart(comparison), folder / "comparison.png")
    for suffix in ("md", "csv", "json"):
        write_whole(folder / f"comparison.{suffix}", comparison.text(suffix))
    say(f"figure and tables  {os.path.relpath(folder) if folder.is_relative_to(Path.cwd()) else folder}")
    if written is not None:
        write_whole(written, comparison.text(format))
        complain(f"Written to {written}")
