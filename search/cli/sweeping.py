"""`emphasis run` and `validate`: sweeps, from what the user writes to what was found."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING
from typing import Annotated
from typing import Any

import typer

from search.cli import sweep_options as options
from search.cli.found import show_found
from search.cli.home import HomeOption
from search.cli.home import command
from search.cli.home import given_home
from search.cli.home import home_of
from search.cli.home import with_home
from search.cli.options import submitted_fields
from search.cli.spec_text import spec_yaml
from search.cli.streams import complain
from search.cli.streams import output
from search.cli.streams import say
from search.errors import SweepCancelled
from search.errors import SweepFailed
from search.errors import SweepInterrupted
from search.errors import SweepWarning
from search.home import Home
from trainers.errors import EmphasisError

if TYPE_CHECKING:
    from search.cluster_resources import Nodes
    from search.preflight import Submission
    from search.spec import SweepSpec
    from search.status import OnStatus
    from search.sweep_session import OnStuck
    from search.sweep_session import SweepOutcome


@options.takes_sweep()
def run(
    ctx: typer.Context,
    fields: Mapping[str, Any],
    ray_address: options.RayAddress = None,
    may_grow_to: options.MayGrowTo = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check, show the full spec and an estimate, and stop.")
    ] = False,
    home: HomeOption = None,
) -> None:
    """Search a dataset at a noise rate, confirm the best on fresh seeds, and recommend.

    Examples:

    \b
      emphasis run --dataset digits --noise-rate 0.4
      emphasis run --dataset digits --noise-rate 0.2 --noise-rate 0.6
      emphasis run --dataset digits --noise-rate 0.4 --trials 40 --concurrency 2
      emphasis run --dataset digits --noise-rate 0.4 --space paper-figures-6-9
      emphasis run --dataset digits --noise-rate 0.4 \\
          --space '{kind: box, beta: [0, 20], lam: [0, 1]}'
      emphasis run --dataset digits --noise-rate 0.4 --supervision gce
      emphasis run --dataset digits --noise-rate 0.4 --supervision cce --space l2
      emphasis run --dataset digits --noise-rate 0.4 --set lambda=0.5 \\
          --space '{kind: ranges, dimensions: {beta: [0, 40]}}'
      emphasis run --dataset cifar10 --data-dir ~/data --noise-rate 0.4 \\
          --backbone resnet20 --epochs 30 --limit-train 5000
      emphasis run --dataset my_arrays.npz --noise-rate 0.3 --dry-run
      emphasis run sweep.yaml --noise-rate 0.6
    """
    folder = home_of(ctx, home, "Have the server run it with `emphasis submit`.")
    grown = grown_cluster(may_grow_to, ray_address)
    submission = checked(fields, folder, here=ray_address is None)
    if dry_run:
        _show_plan(submission.specs, folder)
    else:
        _run_each(ctx, submission.specs, folder, ray_address, grown)


def validate(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="YAML file of a sweep's fields.")],
    data_dir: Annotated[
        Path | None,
        typer.Option("--data-dir", metavar="DIR", help="Folder of the dataset's files.", show_default=False),
    ] = None,
    home: HomeOption = None,
) -> None:
    """Check a sweep's file, its data and its network, without starting anything.

    Everything that is wrong is listed at once, with what to do about it.
    Processors are not looked at: the file may be meant for another machine.

    Example:

    \b
      emphasis validate sweep.yaml

    A sweep.yaml, complete as it stands:

    \b
      dataset: digits
      noise_rate: [0.2, 0.4]        # one sweep each
      trials: 40
      training: {epochs: 30}
    """
    given = {"data_dir": None if data_dir is None else str(data_dir)}
    submission = checked(submitted_fields(file, given), home_of(ctx, home), here=False, fetch=False)
    for spec in submission.specs:
        count = spec.number_of_trials().total
        say(f"{file}: {spec.dataset} at noise rate {spec.shown_noise_rate}, {count} trials: valid")


def grown_cluster(may_grow_to: str | None, ray_address: str | None) -> Nodes | None:
    """What ``--may-grow-to`` says, of a cluster whose address can be one."""
    from search.cluster import check_ray_address
    from search.cluster_resources import parse_may_grow_to

    check_ray_address(ray_address)

    return None if may_grow_to is None else parse_may_grow_to(may_grow_to)


def checked(
    fields: Mapping[str, Any], home: Home, here: bool, fetch: bool = True, quiet: bool = False
) -> Submission:
    """Read the sweeps and hold them against the world, of which processors belong to it only if it is here."""
    # What is imported takes seconds, as a large dataset does: a terminal is told why nothing happens.
    with output().status("reading the spec and the data") as status:
        import shutil

        from search.machine import free_memory_bytes
        from search.machine import this_machine
        from search.preflight import check_submission

        submission = check_submission(
            fields,
            clusters=[this_machine()] if here else (),
            free_disk_bytes=shutil.disk_usage(home.path).free,
            free_memory=free_memory_bytes if here else None,
            fetch=fetch,
            on_progress=lambda done, total: status.update(f"decoding images: {done:,} of {total:,}"),
        )
    for text in () if quiet else (*submission.notes, *(f"Warning: {warning}" for warning in submission.warnings)):
        complain(text)
    return submission


def _show_plan(specs: Sequence[SweepSpec], home: Home) -> None:
    """Print each sweep as a YAML document that `emphasis run` takes back, its cost in comments above it."""
    from search.estimate import estimate
    from search.resolve import resolved
    from search.store import Store
    from search.task import TaskSettings

    with Store.open(home.store_url) as store:
        for number, spec in enumerate(specs):
            if number:
                say("---")
            for line in estimate(spec, store).lines():
                say(f"# {line}")
            prepared = TaskSettings.of(spec, home.path).load(spec.download)
            say(spec_yaml(resolved(spec, prepared, spec.noise_rate).to_json_dict()))


def _run_each(
    ctx: typer.Context, specs: Sequence[SweepSpec], home: Home, ray_address: str | None, may_grow_to: Nodes | None
) -> None:
    """Run the sweeps one after another; one that fails does not keep the next from running."""
    failed = False
    for number, spec in enumerate(specs):

        def go(on_status: OnStatus, on_stuck: OnStuck, spec: SweepSpec = spec) -> SweepOutcome:
            from search.orchestrator import run_sweep

            return run_sweep(
                spec,
                home=home,
                ray_address=ray_address,
                may_grow_to=may_grow_to,
                on_status=on_status,
                on_stuck=on_stuck,
                on_message=say,
            )

        try:
            follow(ctx, go)
        except (SweepFailed, SweepCancelled) as error:
            complain(with_home(str(error), given_home(ctx)))
            failed = True
        except (SweepInterrupted, KeyboardInterrupt):
            if left := [later.shown_noise_rate for later in specs[number + 1 :]]:
                complain(f"Not started: noise rate {', '.join(left)}.")
            raise
    if failed:
        raise typer.Exit(1)


def follow(ctx: typer.Context, go: Callable[[OnStatus, OnStuck], SweepOutcome]) -> None:
    """Run a sweep here, showing how it stands and then what it found.

    Args:
        ctx: Of the command.
        go: Runs it.
    """
    from search.display import progress_display

    console = output()
    # Said already, when the submission was checked.
    warnings.simplefilter("ignore", SweepWarning)
    with progress_display(console) as display:

        def say_why(error: EmphasisError) -> None:
            display.__exit__(None, None, None)  # the process ends from here, and the terminal is left as it was
            complain(with_home(str(error), given_home(ctx)))

        outcome = go(display.show, say_why)
    _show_outcome(outcome, command(given_home(ctx)), Home.resolve(given_home(ctx)).tracking_uri)
    if outcome.interrupted:
        raise KeyboardInterrupt


def _show_outcome(outcome: SweepOutcome, emphasis: str, tracking_uri: str) -> None:
    from search.naming import noise
    from search.recommendation import noise_model_of
    from search.tracking.interface import is_server
    from search.tracking.interface import without_password

    sweep = outcome.sweep
    if sweep.message:
        complain(f"Warning: {sweep.message}")
    title = f"{sweep.dataset}, {noise(sweep.noise_rate, noise_model_of(sweep))}"
    show_found(sweep, outcome.rows, outcome.recommendation, outcome.stopped_early, title)
    say()
    say(f"figures  {outcome.figures}")
    say(f"sweep    {emphasis} show {sweep.id}")
    say(f"export   {emphasis} export --sweep {sweep.id}")
    say(f"MLflow   {without_password(tracking_uri) if is_server(tracking_uri) else f'{emphasis} ui'}")
    if outcome.tracking_behind:
        complain(f"Warning: {outcome.tracking_behind}".replace("`emphasis ", f"`{emphasis} "))
