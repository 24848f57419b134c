"""Record the objective over (lambda, kappa), epoch by epoch: what a search climbs.

    python -m tests.benchmarks.record_surface --noise-rate 0.2 --seeds 5
    python -m tests.benchmarks.record_surface cifar10 --data-dir DIR --noise-rate 0.4 --seeds 5

Each cell of a grid is one GR configuration, trained once a seed; noise and initialisation differ from seed to seed
and are the same in every cell. Written are every run's final accuracies and, in eval mode after each epoch, its
intact accuracy: what a rule for early stopping would have seen.

digits: its recipe. lambda is 0 to 3 and kappa 0 to 6, as in `KappaSpace`; rows whose beta of 40, the largest of
`BoxSpace`, lies at a larger kappa go on, more coarsely, up to there, so that the two spaces can be compared on one
surface. About 2 s a run.

cifar10: what two cores can afford, the perceptron on 5,000 training images (and 1,000 test images) for 30 epochs with
the learning rate of the perceptron's own recipe and the augmentation of CIFAR's; a coarser grid. About 20 s a run.

An interrupted recording goes on where it was. One process, one thread.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import dataclass
from dataclasses import field
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import torch

from spaces import beta_of
from spaces import kappa_of
from tests.benchmarks.provenance import RESULTS
from tests.benchmarks.provenance import provenance
from tests.benchmarks.provenance import write_result
from trainers.datasets import Dataset
from trainers.datasets import load_dataset
from trainers.noise import make_noise_model
from trainers.recipes import training_task
from trainers.supervision import make_supervision
from trainers.training import Lane
from trainers.training import TrainingTask
from trainers.training import train

FIRST_NOISE_SEED = 1000
# Below 2 the objective on digits hardly moves.
KAPPAS = (0.0, 1.0, 2.0, 2.5, 3.0, 3.5, 4.0, 4.5, 5.0, 5.5, 6.0)
KAPPAS_BEYOND = (8.0, 11.0, 20.0)
LARGEST_BETA = 40.0

Run = dict[str, Any]
Cells = list[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Recording:
    """What is recorded of a dataset: the (lambda, kappa) of its grid, its examples, and what its recipe is not."""

    cells: Cells
    limit_train: int | None = None
    limit_test: int | None = None
    recipe: dict[str, Any] = field(default_factory=dict)

    def task(self, dataset: Dataset, epochs: int | None) -> TrainingTask:
        """The training of every run."""
        if self.limit_train is not None:
            dataset = dataset.limit_train(self.limit_train)
        if self.limit_test is not None:
            dataset = replace(
                dataset, x_test=dataset.x_test[: self.limit_test], y_test=dataset.y_test[: self.limit_test]
            )
        settings = {**self.recipe, **({} if epochs is None else {"epochs": epochs})}
        return training_task(dataset, **settings, evaluate_every=1, device="cpu")


def _digits_cells() -> Cells:
    rows = []
    for lam in (0.0, 0.25, 0.5, 1.0, 1.5, 2.0, 3.0):
        end = round(kappa_of(LARGEST_BETA, lam), 6)
        beyond = [*(kappa for kappa in KAPPAS_BEYOND if kappa < 0.9 * end), end] if end > KAPPAS[-1] else []
        rows += [(lam, kappa) for kappa in (*KAPPAS, *beyond)]
    return rows


RECORDINGS = {
    "digits": Recording(_digits_cells()),
    "cifar10": Recording(
        list(product((0.0, 0.25, 0.5, 1.0, 2.0), (0.0, 1.0, 2.0, 3.0, 4.0, 5.0))),
        limit_train=5000,
        limit_test=1000,
        recipe={"backbone": "mlp", "learning_rate": 0.02, "epochs": 30},
    ),
}


def surface_path(dataset: str, noise_rate: float) -> Path:
    """Where the surface of a dataset at a noise rate is kept."""
    return RESULTS / f"{dataset}_surface_r{round(100 * noise_rate)}.json"


def train_cell(task: TrainingTask, noise_rate: float, lam: float, kappa: float, seed: int) -> Run:
    """Train one cell with one seed; final accuracies are None where it diverged."""
    started = time.process_time()
    data = task.dataset
    labels = make_noise_model("symmetric", noise_rate).draw(data.y_train, data.num_classes, FIRST_NOISE_SEED + seed)
    beta = beta_of(kappa, lam)
    supervision = make_supervision("gr", beta=beta, lam=lam, normalise="batch")
    (result,) = train(task, [Lane("cell", supervision, labels, seed)])
    final = result.final
    accuracies = (final.intact_train, final.test, final.corrupted_train) if final else (None, None, None)
    seen = [report.evaluation.intact_train for report in result.reports if report.evaluation is not None]
    rounded = [None if accuracy is None else round(accuracy, 6) for accuracy in accuracies]
    return {
        "lam": lam,
        "kappa": kappa,
        "beta": round(beta, 6),
        "seed": seed,
        **dict(zip(("intact_train", "test", "corrupted_train"), rounded, strict=True)),
        "intact_curve": [round(accuracy, 4) for accuracy in seen],
        "ending": result.ending.value,
        "cpu_seconds": round(time.process_time() - started, 2),
    }


def record(name: str, data_dir: str | None, noise_rate: float, seeds: int, epochs: int | None) -> None:
    """Train what the file at `surface_path` does not hold yet, and keep it up to date."""
    recording = RECORDINGS[name]
    task = recording.task(load_dataset(name, data_dir=data_dir), epochs)
    measured: dict[str, Any] = {
        "what": f"accuracies of GR on {name}, final and epoch by epoch, one run a record; no early stopping",
        "dataset": name,
        "data_hash": task.dataset.fingerprint,
        "noise_model": "symmetric",
        "noise_rate": noise_rate,
        "noise_seed": f"{FIRST_NOISE_SEED} + seed",
        "normalise": "batch",
        "recipe": {
            "backbone": task.backbone,
            "epochs": task.epochs,
            "batch_size": task.batch_size,
            "learning_rate": task.learning_rate,
            "momentum": task.momentum,
            "weight_decay": task.weight_decay,
            "milestones": list(task.milestones),
            "decay_factor": task.decay_factor,
        },
    }
    if task.augmentation != "none":
        measured["recipe"]["augmentation"] = task.augmentation
    if recording.limit_train is not None:
        measured["examples"] = {"train": len(task.dataset.y_train), "test": len(task.dataset.y_test)}
    path = surface_path(name, noise_rate)
    runs: list[Run] = []
    if path.exists():
        recorded = json.loads(path.read_text())
        if recorded["measured"] != measured:
            raise SystemExit(f"{path} was recorded with other settings; remove it to record it anew.")
        runs = recorded["runs"]
    done = {(run["lam"], run["kappa"], run["seed"]) for run in runs}
    # Seed by seed, so that an interrupted recording still is a whole surface.
    wanted = [(lam, kappa, seed) for seed, (lam, kappa) in product(range(seeds), recording.cells)]
    missing = [each for each in wanted if each not in done]
    print(f"{name}, r = {noise_rate}: {len(runs)} runs recorded, {len(missing)} to go", flush=True)
    header = provenance()
    started = time.monotonic()
    for number, (lam, kappa, seed) in enumerate(missing, start=1):
        runs.append(train_cell(task, noise_rate, lam, kappa, seed))
        write_result(path, {"provenance": header, "measured": measured, "runs": runs})
        if number % 10 == 0 or number == len(missing):
            elapsed = time.monotonic() - started
            remaining = elapsed / number * (len(missing) - number)
            last = f"lam {lam:g}, kappa {kappa:g}, seed {seed}: intact {runs[-1]['intact_train']}"
            print(f"{number}/{len(missing)}  {elapsed:.0f} s, {remaining:.0f} s left  {last}", flush=True)
    _print_table(runs)


def _print_table(runs: list[Run]) -> None:
    kappas = sorted({run["kappa"] for run in runs})
    print("\nfinal intact accuracy, mean over seeds\n")
    print("lam \\ kappa " + "".join(f"{kappa:6.3g}" for kappa in kappas))
    for lam in sorted({run["lam"] for run in runs}):
        row = f"{lam:11g} "
        for kappa in kappas:
            values = [r["intact_train"] or 0.0 for r in runs if (r["lam"], r["kappa"]) == (lam, kappa)]
            row += f"{sum(values) / len(values):6.3f}" if values else "     ."
        print(row)


def main() -> None:
    """Record the surfaces that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("dataset", nargs="?", choices=RECORDINGS, default="digits")
    parser.add_argument("--data-dir")
    parser.add_argument("--noise-rate", type=float, action="append", help="default 0.4; repeatable")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--epochs", type=int, help="in place of the recipe's, to try this script out")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    for noise_rate in arguments.noise_rate or [0.4]:
        record(arguments.dataset, arguments.data_dir, noise_rate, arguments.seeds, arguments.epochs)


if __name__ == "__main__":
    main()
