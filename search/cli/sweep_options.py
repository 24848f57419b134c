"""The fields of a sweep as options of a command: what each is called, means and belongs to."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from collections.abc import Collection
from inspect import Parameter
from pathlib import Path
from typing import Annotated
from typing import Any

import typer

from search.cli.options import fixed_values
from search.cli.options import submitted_fields

_DATA = "Data and noise"
_SEARCH = "Search"
_TRAINING = "Training of each trial (default: the dataset's recipe)"
_MACHINE = "Where it runs"

Command = Callable[..., None]


def _option(name: str, help: str, panel: str, metavar: str | None = None) -> Any:
    return typer.Option(name, help=help, rich_help_panel=panel, metavar=metavar, show_default=False)


def _text(name: str, help: str, panel: str, metavar: str) -> Any:
    # What is wrong with a value the spec says, for all fields at once: no option reads numbers.
    return Annotated[str | None, _option(name, help, panel, metavar)]


def _texts(name: str, help: str, panel: str, metavar: str) -> Any:
    return Annotated[list[str] | None, _option(name, help, panel, metavar)]


def _switch(name: str, help: str, panel: str) -> Any:
    return Annotated[bool | None, _option(name, help, panel)]


File = Annotated[
    Path | None,
    typer.Argument(metavar="FILE", help="YAML file of fields; options override it.", show_default=False),
]
RayAddress = Annotated[
    str | None,
    typer.Option(
        "--ray-address",
        envvar="RAY_ADDRESS",
        metavar="ADDRESS",
        help="Run on this Ray cluster instead of this machine.",
        rich_help_panel=_MACHINE,
        show_default=False,
    ),
]
MayGrowTo = Annotated[
    str | None,
    typer.Option(
        "--may-grow-to",
        envvar="EMPHASIS_MAY_GROW_TO",
        metavar="CPU=N,GPU=N",
        help="All that the Ray cluster's autoscaler may bring it to; trials that need it then wait for it.",
        rich_help_panel=_MACHINE,
        show_default=False,
    ),
]

OPTIONS: dict[str, Any] = {
    "dataset": _text("--dataset", "A name (see emphasis datasets) or a path.", _DATA, "NAME|PATH"),
    "noise_rate": _texts("--noise-rate", "Share of wrong labels, or unknown; given twice, two sweeps.", _DATA, "R"),
    "noise_model": _text(
        "--noise-model", "How labels are changed (symmetric); none: they are noisy already.", _DATA, "NAME"
    ),
    "noise_file": _text("--noise-file", "Of noise models matrix and file.", _DATA, "FILE"),
    "noise_column": _text("--noise-column", "Column of that file.", _DATA, "NAME"),
    "data_dir": _text("--data-dir", "Folder of the dataset's files.", _DATA, "DIR"),
    "download": _switch("--download/--no-download", "Fetch missing files.", _DATA),
    "limit_train": _text("--limit-train", "Train on N examples only, drawn by class.", _DATA, "N"),
    "supervision": _text("--supervision", "What is searched (gr): see emphasis supervisions.", _SEARCH, "NAME"),
    "hyperparameters": _texts(
        "--set", "Fix a value of the supervision, e.g. q=0.7; repeatable.", _SEARCH, "NAME=VALUE"
    ),
    "space": _text("--space", "Its own, another of emphasis spaces, or YAML.", _SEARCH, "NAME|YAML"),
    "sampler": _text("--sampler", "tpe, random, grid, gp or cmaes.", _SEARCH, "NAME"),
    "trials": _text("--trials", "Configurations to try: 30, or all of a grid.", _SEARCH, "N"),
    "starting_points": _switch(
        "--starting-points/--no-starting-points", "Of gr: try the paper's settings first.", _SEARCH
    ),
    "repeats": _text("--repeats", "Seeds for each configuration (1).", _SEARCH, "N"),
    "early_stopping": _text(
        "--early-stopping", "none, median, asha, hyperband or wilcoxon (of 30 gr and more: asha).", _SEARCH, "RULE"
    ),
    "confirm.top": _text("--confirm-top", "Best configurations to confirm (3).", _SEARCH, "N"),
    "confirm.seeds": _text(
        "--confirm-seeds", "Fresh seeds for each of these and for CCE (3); 0: none.", _SEARCH, "N"
    ),
    "seed": _text("--seed", "Everything drawn depends on it (0).", _SEARCH, "N"),
    "transform": _text("--transform", "Of gr: exp or identity, of the exponent.", _SEARCH, "NAME"),
    "normalise": _text("--normalise", "Of gr: batch (weights sum to 1) or none (divide by size).", _SEARCH, "NAME"),
    "objective": _text("--objective", "intact, clean_validation or noisy_validation.", _SEARCH, "NAME"),
    "validation_fraction": _text("--validation-fraction", "Held out by noisy_validation (0.1).", _SEARCH, "X"),
    "backbone": _text("--backbone", "mlp, resnet20 to resnet110, or torchvision:NAME.", _TRAINING, "NAME"),
    "training.epochs": _text("--epochs", "Budget in epochs.", _TRAINING, "N"),
    "training.iterations": _text("--iterations", "Budget in optimiser steps.", _TRAINING, "N"),
    "training.batch_size": _text("--batch-size", "Examples a step.", _TRAINING, "N"),
    "training.learning_rate": _text("--learning-rate", "Initial learning rate.", _TRAINING, "X"),
    "training.momentum": _text("--momentum", "Of SGD.", _TRAINING, "X"),
    "training.weight_decay": _text("--weight-decay", "L2 coefficient.", _TRAINING, "X"),
    "training.dropout": _text("--dropout", "Rate before the classifier.", _TRAINING, "X"),
    "training.augmentation": _text("--augmentation", "none, pad-crop-flip or resize-crop-flip.", _TRAINING, "NAME"),
    "training.precision": _text("--precision", "auto, fp32 or bf16.", _TRAINING, "NAME"),
    "training.evaluate_every": _text("--evaluate-every", "Epochs between evaluations.", _TRAINING, "N"),
    "training.weights": _text(
        "--weights", "The network starts from: a file, default, or none.", _TRAINING, "FILE|NAME"
    ),
    "concurrency": _text("--concurrency", "Trials at once; default: as many as fit.", _MACHINE, "N"),
    "lanes": _text("--lanes", "Trials that a process trains together; default: as suits its GPU.", _MACHINE, "N"),
    "resources.cpus": _text("--cpus", "CPU cores of a process: of a trial, or of its lanes (1).", _MACHINE, "X"),
    "resources.gpus": _text("--gpus", "GPU of a process (0): 1, or a share such as 1/3.", _MACHINE, "X"),
    "max_failure_rate": _text("--max-failure-rate", "Stop when more of the trials fail (0.5).", _MACHINE, "X"),
    "max_retries": _text("--max-retries", "Restarts of a trial whose process died (2).", _MACHINE, "N"),
}
"""The option of each field that has one, by the field's dotted name, in the order of the help."""


def takes_sweep(fields: Collection[str] = tuple(OPTIONS)) -> Callable[[Command], Command]:
    """Have a command take a sweep as a file and as options; it is called with ``fields``, as given and not yet checked.

    Args:
        fields: Those that get an option.
    """
    by_parameter = {field.replace(".", "_"): field for field in OPTIONS if field in fields}

    def with_options(command: Command) -> Command:
        @functools.wraps(command)
        def called(ctx: typer.Context, file: Path | None, **arguments: Any) -> None:
            values = {field: arguments.pop(parameter) for parameter, field in by_parameter.items()}
            fixed = fixed_values(values.pop("hyperparameters", None) or ())
            command(ctx, fields=submitted_fields(file, {**values, **fixed}), **arguments)

        own = dict(inspect.signature(command, eval_str=True).parameters)
        del own["fields"]
        taken = {"file": File, **{parameter: OPTIONS[field] for parameter, field in by_parameter.items()}}
        # Typer reads a command's options from its signature.
        parameters = [own.pop("ctx"), *(_optional(name, each) for name, each in taken.items()), *own.values()]
        called.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        called.__annotations__ = {each.name: each.annotation for each in parameters}
        return called

    return with_options


def _optional(name: str, annotation: Any) -> Parameter:
    return Parameter(name, Parameter.POSITIONAL_OR_KEYWORD, default=None, annotation=annotation)
