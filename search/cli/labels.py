"""`emphasis labels`: the labels that a noise model gives a training set, to be given back or taken along."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from search.cli.home import refuse_server
from search.cli.output_file import check_output_file
from search.cli.streams import complain
from search.cli.streams import say
from trainers.errors import FieldError
from trainers.errors import InvalidInput
from trainers.user_path import user_path

_SUFFIXES = (".npy", ".csv", ".npz")


def labels(
    ctx: typer.Context,
    dataset: Annotated[str, typer.Option("--dataset", metavar="NAME|PATH", help="See emphasis datasets.")],
    file: Annotated[
        Path, typer.Option("--output", "-o", metavar="FILE", help="To write: .npy, .csv, or .npz with all there is.")
    ],
    noise_rate: Annotated[
        float | None, typer.Option("--noise-rate", metavar="R", help="Share of wrong labels.", show_default=False)
    ] = None,
    noise_model: Annotated[
        str, typer.Option("--noise-model", metavar="NAME", help="How labels are changed.")
    ] = "symmetric",
    noise_file: Annotated[
        Path | None,
        typer.Option("--noise-file", metavar="FILE", help="Of noise models matrix and file.", show_default=False),
    ] = None,
    noise_column: Annotated[
        str | None, typer.Option("--noise-column", metavar="NAME", help="Column of that file.", show_default=False)
    ] = None,
    noise_seed: Annotated[int, typer.Option("--noise-seed", metavar="N", help="As `emphasis show --json` has it.")] = 0,
    data_dir: Annotated[
        Path | None, typer.Option("--data-dir", metavar="DIR", help="Folder of the dataset's files.")
    ] = None,
    download: Annotated[bool, typer.Option("--download/--no-download", help="Fetch missing files.")] = False,
) -> None:
    """Write the labels that training would see, one for each training example in the dataset's order.

    A sweep takes them back: --noise-model file --noise-file FILE.

    Examples:

    \b
      emphasis labels --dataset digits --noise-rate 0.4 -o labels.csv
      emphasis run --dataset digits --noise-model file --noise-file labels.csv
      emphasis labels --dataset cifar10 --data-dir ~/data --noise-model file \\
          --noise-file CIFAR-10_human.pt --noise-column worse_label -o worst.npy
    """
    refuse_server(ctx)
    from search.task import drawn_labels
    from search.task import labelled
    from search.task import noise_of
    from trainers.datasets import load_dataset

    if file.suffix not in _SUFFIXES:
        remedy = f"End the file's name in one of: {', '.join(_SUFFIXES)}."
        raise InvalidInput(FieldError("output", str(file), f"ends in none of {', '.join(_SUFFIXES)}", remedy))
    check_output_file(file)
    target = user_path(file, "output")
    data = load_dataset(dataset, data_dir, download)
    data = labelled(data, noise_model, noise_file, noise_column)
    noise = noise_of(noise_model, noise_rate, noise_file, noise_column)
    drawn = drawn_labels(noise, data, noise_seed)
    try:
        if file.suffix == ".npz":
            drawn.save(target)
        else:
            drawn.write_labels(target, intact=data.intact_train if file.suffix == ".csv" else None)
    except OSError as error:
        problem = f"cannot be written: {error.strerror or error}"
        raise InvalidInput(FieldError("output", str(file), problem, "Give a file in a folder of yours.")) from error
    nominal = "not known" if drawn.noise_rate is None else f"{drawn.noise_rate:g}"
    realised = "not known" if drawn.realised_rate is None else f"{drawn.realised_rate:.4f}"
    say(f"{len(drawn.labels):,} labels of {data.name}: noise rate nominal {nominal}, realised {realised}")
    complain(f"Written to {file}")
