"""`emphasis estimate-noise`: how many labels of a data set are wrong, and what was taken for what."""

from __future__ import annotations

import json
import math
import re
import time
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING
from typing import Annotated
from typing import Any

import typer

from search.cli.home import HomeOption
from search.cli.home import home_of
from search.cli.output_file import check_output_folder
from search.cli.streams import complain
from search.cli.streams import output
from search.cli.streams import say
from trainers.errors import FieldError
from trainers.errors import InvalidInput

if TYPE_CHECKING:
    from search.noise_estimate import NoiseEstimate
    from trainers.datasets import Dataset
    from trainers.noise import CorruptedLabels
    from trainers.noise import NoiseModel

_DATA = "Data and labels"
_TRAINING = "Training of the judging networks (default: the dataset's recipe)"


def _option(name: str, help: str, panel: str, metavar: str | None = None) -> Any:
    return typer.Option(name, help=help, rich_help_panel=panel, metavar=metavar, show_default=False)


def estimate_noise(
    ctx: typer.Context,
    dataset: Annotated[
        str, _option("--dataset", "A name of emphasis datasets, or a path.", _DATA, "NAME|PATH")
    ],
    data_dir: Annotated[
        Path | None, _option("--data-dir", "Folder of the dataset's files.", _DATA, "DIR")
    ] = None,
    download: Annotated[bool, _option("--download", "Fetch missing files.", _DATA)] = False,
    limit_train: Annotated[
        int | None, _option("--limit-train", "Look at N examples only, drawn by class.", _DATA, "N")
    ] = None,
    noise_model: Annotated[
        str | None,
        _option("--noise-model", "Where the labels come from; none: the dataset's own (default).", _DATA, "NAME"),
    ] = None,
    noise_rate: Annotated[
        float | None, _option("--noise-rate", "Of labels drawn to try the estimate on.", _DATA, "R")
    ] = None,
    noise_file: Annotated[
        Path | None, _option("--noise-file", "Labels of the whole training set (model file).", _DATA, "FILE")
    ] = None,
    noise_column: Annotated[
        str | None, _option("--noise-column", "Column of that file.", _DATA, "NAME")
    ] = None,
    folds: Annotated[
        int, typer.Option("--folds", metavar="N", help="Networks, each judging a part it did not see.")
    ] = 5,
    seed: Annotated[int, typer.Option("--seed", metavar="N", help="Everything drawn depends on it.")] = 0,
    backbone: Annotated[str | None, _option("--backbone", "Name of the network.", _TRAINING, "NAME")] = None,
    epochs: Annotated[int | None, _option("--epochs", "Longest training, in epochs.", _TRAINING, "N")] = None,
    batch_size: Annotated[int | None, _option("--batch-size", "Examples a step.", _TRAINING, "N")] = None,
    learning_rate: Annotated[
        float | None, _option("--learning-rate", "Initial learning rate.", _TRAINING, "X")
    ] = None,
    device: Annotated[
        str, _option("--device", "cpu, cuda, or auto: a GPU if there is one.", _TRAINING, "NAME")
    ] = "auto",
    cpus: Annotated[int | None, _option("--cpus", "Processor threads (all).", _TRAINING, "N")] = None,
    folder: Annotated[
        Path | None,
        typer.Option(
            "--output", metavar="DIR", help="Folder of the figure and the JSON. Default: in the home folder.",
            show_default=False,
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="The estimate as one JSON object.")] = False,
    home: HomeOption = None,
) -> None:
    """Estimate how many labels are wrong, from the examples and the labels alone.

    Networks that did not see an example's label judge it, by confident
    learning (arXiv 1911.00068). The interval covers which examples there
    are; not that the networks err: where they are weak, the estimate is
    far too high, so give them the data and epochs of a good result. Where the intact labels are known, the truth is
    shown beside it; the estimate does not use it.

    Examples:

    \b
      emphasis estimate-noise --dataset my_arrays.npz
      emphasis estimate-noise --dataset digits --noise-rate 0.4
      emphasis estimate-noise --dataset cifar10 --data-dir ~/data \\
          --noise-model file --noise-file CIFAR-10_human.pt --noise-column worse_label \\
          --backbone resnet20 --epochs 30 --limit-train 5000
    """
    target = home_of(ctx, home)
    if folder is not None:
        check_output_folder(folder)
    name = noise_model or ("file" if noise_file is not None else "none" if noise_rate is None else "symmetric")
    with output().status("reading the data") if not as_json else nullcontext():
        import torch

        from search.machine import cores
        from search.noise_estimate import estimate_noise as estimate_noise_of
        from trainers.datasets import load_dataset
        from trainers.recipes import training_task

        threads = cores() if cpus is None else cpus
        noise = _checked(dataset, data_dir, download, name, noise_rate, noise_file, noise_column, folds, seed, threads)
        whole = load_dataset(dataset, data_dir, download)
        for text in whole.warnings:
            complain(f"Warning: {whole.name}: {text}.")
        data, labels = _labelled(whole, noise, limit_train, seed)
        task = training_task(
            data,
            backbone=backbone,
            epochs=epochs,
            batch_size=batch_size,
            learning_rate=learning_rate,
            device=device,
        )
    title = data.name
    if name != "none":
        title += f", {_described(name, noise_rate, noise_file, noise_column)}"
    if folder is None:
        folder = target.noise_estimate(re.sub(r"[^a-z0-9.]+", "-", title.lower()).strip("-"))
    with _Progress(title, task.backbone, folds, as_json) as progress:
        before = torch.get_num_threads()
        torch.set_num_threads(threads)
        try:
            estimate = estimate_noise_of(task, labels, folds=folds, seed=seed, on_fold=progress.show)
        finally:
            torch.set_num_threads(before)
    truth = None
    if data.intact_train is not None and labels.mask is not None:
        truth = labels.confusion_matrix(data.intact_train).numpy()
    content = {
        "dataset": data.name,
        "noise_model": name,
        "noise_rate": noise_rate,
        "noise_file": None if noise_file is None else str(noise_file),
        "noise_column": noise_column,
        "backbone": task.backbone,
        **estimate.as_dict(),
        "class_names": data.class_names,
        "true_confusion": None if truth is None else truth.tolist(),
    }
    text = json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False)
    # Said before anything is written: whatever becomes of the files, the hours of training are not lost.
    for line in [text] if as_json else _lines(estimate, data):
        say(line)
    written = _write(folder, text, estimate, truth, title, data.class_names)
    for file in () if as_json else written:
        say(f"written: {file}")


def _checked(
    dataset: str,
    data_dir: Path | None,
    download: bool,
    noise_model: str,
    noise_rate: float | None,
    noise_file: Path | None,
    noise_column: str | None,
    folds: int,
    seed: int,
    threads: int,
) -> NoiseModel:
    """The noise model; whatever can be known to be wrong before the data is read is said at once."""
    from trainers.datasets import check_dataset
    from trainers.noise import make_noise_model
    from trainers.out_of_fold import fold_problems

    problems = fold_problems(folds)
    for field, value, least in (("seed", seed, 0), ("cpus", threads, 1)):
        if value < least:
            problems.append(FieldError(field, value, f"below {least}", f"Give {field} >= {least}."))
    try:
        check_dataset(dataset, data_dir, download)
    except InvalidInput as error:
        problems += error.errors
    noise: NoiseModel | None = None
    try:
        noise = make_noise_model(noise_model, noise_rate, noise_file, noise_column)
    except InvalidInput as error:
        problems += error.errors
    if problems or noise is None:
        raise InvalidInput(*problems)
    return noise


def _labelled(
    whole: Dataset, noise: NoiseModel, limit_train: int | None, seed: int
) -> tuple[Dataset, CorruptedLabels]:
    """The data with the labels that are given, of as many examples as asked for, and what is known of them."""
    from search.task import drawn_labels

    drawn = drawn_labels(noise, whole, seed)
    # Before the limit: a file has the labels of the whole training set.
    part = replace(whole, y_train=drawn.labels)
    if limit_train is not None:
        part = part.limit_train(limit_train)
    # A data set that takes its own labels for intact is no witness where these are what is judged.
    known = noise.name != "none" or whole.intact_train is not whole.y_train
    mask = part.y_train != part.intact_train if known and part.intact_train is not None else None
    return part, replace(drawn, labels=part.y_train, mask=mask)


def _described(noise_model: str, rate: float | None, file: Path | None, column: str | None) -> str:
    if file is not None:
        return " ".join([file.stem, *([] if column is None else [column])])
    return noise_model if rate is None else f"{noise_model} {rate:g}"


class _Progress:
    """Which fold is trained: a spinner on a terminal, a line each anywhere else."""

    def __init__(self, title: str, backbone: str, folds: int, quiet: bool) -> None:
        self._console = output()
        self._title = f"{title}: {backbone}"
        self._live = self._console.is_terminal and not quiet
        self._say = complain if quiet else say  # the standard output then is JSON alone
        self._status = self._console.status(self._text(0, folds)) if self._live else nullcontext()
        self._started = time.monotonic()

    def show(self, done: int, folds: int) -> None:
        """Say that so many folds are done."""
        if self._live:
            self._status.update(self._text(done, folds))  # type: ignore[union-attr]
        else:
            self._say(self._text(done, folds))

    def _text(self, done: int, folds: int) -> str:
        from search.display import duration

        text = f"{self._title} | {done}/{folds} folds"
        if done:
            spent = time.monotonic() - self._started
            text += f" | {duration(spent)}"
            if done < folds:
                text += f" | about {duration(spent / done * (folds - done))} left"
        return text

    def __enter__(self) -> _Progress:
        self._status.__enter__()
        return self

    def __exit__(self, *raised: Any) -> None:
        self._status.__exit__(*raised)


def _lines(estimate: NoiseEstimate, data: Dataset) -> list[str]:
    share = f"{estimate.rate:.1%} of {estimate.examples:,} labels"
    lines = [
        f"Estimated noise rate: {estimate.rate:.3f} (95% interval {estimate.low:.3f} to {estimate.high:.3f}): {share}",
    ]
    if estimate.realised_rate is not None:
        off = estimate.rate - estimate.realised_rate
        lines.append(f"  in truth: {estimate.realised_rate:.3f}, so the estimate is off by {off:+.3f}")
    lines += [
        "  The interval covers which examples were seen, not the networks' own errors.",
        f"  Out of fold the networks predict {estimate.accuracy:.1%} of the given labels. What they cannot tell apart",
        "  counts as noise: where they are weak, the rate is an upper bound. More data or epochs lower it.",
    ]
    confusions = estimate.largest_confusions()
    if confusions:
        lines.append("Most frequent, intact class -> given label (estimated number of labels)")
    names = data.class_names or [str(number) for number in range(data.num_classes)]
    width = max((len(f"{names[i]} -> {names[j]}") for i, j, _ in confusions), default=0)
    digits = math.floor(math.log10(max((count for *_, count in confusions), default=1))) + 1
    lines += [f"  {f'{names[i]} -> {names[j]}':<{width}}  {count:>{digits}}" for i, j, count in confusions]
    return lines


def _write(
    folder: Path,
    text: str,
    estimate: NoiseEstimate,
    truth: Any,
    title: str,
    class_names: tuple[str, ...] | None,
) -> list[Path]:
    """The JSON and the figure, each replaced whole."""
    from search.reports.confusion_matrix import noise_estimate_figure
    from search.reports.figure_file import save_figure
    from trainers.whole_files import replaced_whole

    figure = noise_estimate_figure(estimate.confusion, title, class_names, truth)
    target = folder.expanduser().absolute()
    files = [target / "noise_estimate.json", target / "confusion.png"]
    try:
        with replaced_whole(files[0]) as stream:
            stream.write(f"{text}\n".encode())
        save_figure(figure, files[1])
    except OSError as error:
        problem = f"cannot be written to: {error.strerror}"
        remedy = "Give a folder that can be written to."
        raise InvalidInput(FieldError("output", str(folder), problem, remedy)) from error
    return files
