"""The fields of a sweep as options of a command: what each is called, means and belongs to."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated
from typing import Any

import typer

_DATA = "Data and noise"
_SEARCH = "Search"
_TRAINING = "Training of each trial (default: the dataset's recipe)"
_MACHINE = "Where it runs"


def _option(name: str, help: str, panel: str, metavar: str | None = None) -> Any:
    return typer.Option(name, help=help, rich_help_panel=panel, metavar=metavar, show_default=False)


File = Annotated[
    Path | None,
    typer.Argument(metavar="FILE", help="YAML file of fields; options override it.", show_default=False),
]
Dataset = Annotated[str | None, _option("--dataset", "A name (see emphasis datasets) or a path.", _DATA, "NAME|PATH")]
NoiseRate = Annotated[
    list[str] | None,
    _option("--noise-rate", "Share of wrong labels, or unknown; given twice, two sweeps are run.", _DATA, "R"),
]
NoiseModel = Annotated[
    str | None,
    _option("--noise-model", "How labels are changed (symmetric); none: they are noisy already.", _DATA, "NAME"),
]
NoiseFile = Annotated[str | None, _option("--noise-file", "Of noise models matrix and file.", _DATA, "FILE")]
NoiseColumn = Annotated[str | None, _option("--noise-column", "Column of that file.", _DATA, "NAME")]
DataDir = Annotated[str | None, _option("--data-dir", "Folder of the dataset's files.", _DATA, "DIR")]
Download = Annotated[bool | None, _option("--download/--no-download", "Fetch missing files.", _DATA)]
LimitTrain = Annotated[str | None, _option("--limit-train", "Train on N examples only, drawn by class.", _DATA, "N")]
Supervision = Annotated[
    str | None, _option("--supervision", "What is searched (gr): see emphasis supervisions.", _SEARCH, "NAME")
]
Fixed = Annotated[
    list[str] | None,
    _option("--set", "Fix a value of the supervision, e.g. q=0.7; repeatable.", _SEARCH, "NAME=VALUE"),
]
Space = Annotated[
    str | None,
    _option("--space", "Its own, another of emphasis spaces, or YAML.", _SEARCH, "NAME|YAML"),
]
Sampler = Annotated[str | None, _option("--sampler", "tpe, random, grid, gp or cmaes.", _SEARCH, "NAME")]
Trials = Annotated[str | None, _option("--trials", "Configurations to try: 30, or all of a grid.", _SEARCH, "N")]
StartingPoints = Annotated[
    bool | None,
    _option("--starting-points/--no-starting-points", "Of gr: try the paper's settings first.", _SEARCH),
]
Repeats = Annotated[str | None, _option("--repeats", "Seeds for each configuration (1).", _SEARCH, "N")]
ConfirmTop = Annotated[str | None, _option("--confirm-top", "Best configurations to confirm (3).", _SEARCH, "N")]
ConfirmSeeds = Annotated[
    str | None,
    _option("--confirm-seeds", "Fresh seeds for each of these and for CCE (3); 0: none.", _SEARCH, "N"),
]
Seed = Annotated[str | None, _option("--seed", "Everything drawn depends on it (0).", _SEARCH, "N")]
Transform = Annotated[str | None, _option("--transform", "Of gr: exp or identity, of the exponent.", _SEARCH, "NAME")]
Normalise = Annotated[
    str | None,
    _option("--normalise", "Of gr: batch (weights sum to 1) or none (divide by size).", _SEARCH, "NAME"),
]
Backbone = Annotated[
    str | None, _option("--backbone", "mlp, resnet20 to resnet110, or torchvision:NAME.", _TRAINING, "NAME")
]
Epochs = Annotated[str | None, _option("--epochs", "Budget in epochs.", _TRAINING, "N")]
Iterations = Annotated[str | None, _option("--iterations", "Budget in optimiser steps.", _TRAINING, "N")]
BatchSize = Annotated[str | None, _option("--batch-size", "Examples a step.", _TRAINING, "N")]
LearningRate = Annotated[str | None, _option("--learning-rate", "Initial learning rate.", _TRAINING, "X")]
Objective = Annotated[
    str | None,
    _option("--objective", "intact, clean_validation or noisy_validation.", _SEARCH, "NAME"),
]
ValidationFraction = Annotated[
    str | None, _option("--validation-fraction", "Held out by noisy_validation (0.1).", _SEARCH, "X")
]
Momentum = Annotated[str | None, _option("--momentum", "Of SGD.", _TRAINING, "X")]
WeightDecay = Annotated[str | None, _option("--weight-decay", "L2 coefficient.", _TRAINING, "X")]
Dropout = Annotated[str | None, _option("--dropout", "Rate before the classifier.", _TRAINING, "X")]
Augmentation = Annotated[
    str | None, _option("--augmentation", "none, pad-crop-flip or resize-crop-flip.", _TRAINING, "NAME")
]
Precision = Annotated[str | None, _option("--precision", "auto, fp32 or bf16.", _TRAINING, "NAME")]
EvaluateEvery = Annotated[str | None, _option("--evaluate-every", "Epochs between evaluations.", _TRAINING, "N")]
Weights = Annotated[
    str | None, _option("--weights", "The network starts from: a file, default, or none.", _TRAINING, "FILE|NAME")
]
Concurrency = Annotated[str | None, _option("--concurrency", "Trials at once; default: as many as fit.", _MACHINE, "N")]
Cpus = Annotated[str | None, _option("--cpus", "CPU cores of a trial (1).", _MACHINE, "X")]
Gpus = Annotated[str | None, _option("--gpus", "GPUs of a trial (0): whole, or a share such as 1/3.", _MACHINE, "X")]
MaxFailureRate = Annotated[
    str | None,
    _option("--max-failure-rate", "Stop when more of the trials fail (0.5).", _MACHINE, "X"),
]
MaxRetries = Annotated[
    str | None, _option("--max-retries", "Restarts of a trial whose process died (2).", _MACHINE, "N")
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
