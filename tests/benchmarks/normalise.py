"""Which `normalise` should be the default: "batch" (divide by the sum of the weights) or "none" (by N).

On digits at r = 0.4: final intact accuracy of GR settings in and around the good band, under both, over a
list of learning rates (0.02 is the recipe's), three seeds each; noise and initialisation differ from seed to
seed and are the same in every cell. Since "none" multiplies the step by the mean weight, each setting is also
shown at the learning rate that suits it best: at one rate the comparison would be unfair to "none".

On CIFAR-10 (--cifar DIR, the folder that holds cifar-10-batches-py): ResNet-20 on 2,000 images, short, one
seed, final accuracy on their intact labels and on 2,000 test images. It tells training from chance, no more.

An interrupted run goes on where it was. One process, one thread.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import statistics
import time
from itertools import product
from pathlib import Path
from typing import Any

import torch

from spaces import kappa_of
from tests.benchmarks.provenance import RESULTS
from tests.benchmarks.provenance import provenance
from tests.benchmarks.provenance import write_result
from trainers.datasets import load_dataset
from trainers.noise import make_noise_model
from trainers.recipes import training_task
from trainers.supervision import make_supervision
from trainers.training import Lane
from trainers.training import TrainingTask
from trainers.training import train

NOISE_RATE = 0.4
FIRST_NOISE_SEED = 2000

NORMALISES = ("batch", "none")
# kappa 0, 3.1, 4.6, 6.2, 4 and 4: equal weights, the band's edge, inside, beyond, inside at larger lambdas.
DIGITS_SETTINGS = ((0.0, 0.0), (8.0, 0.5), (12.0, 0.5), (16.0, 0.5), (16.0, 1.0), (27.0, 2.0))
# The recipe's first. The smaller ones are for "none", whose weights multiply them; "batch" gets them too, or a
# rate that suits everything better would be taken for a merit of "none".
DIGITS_LEARNING_RATES = (0.02, 0.1, 0.004, 0.0008)
DIGITS_SEEDS = 3

CIFAR_IMAGES = 2000
CIFAR_EPOCHS = 6
CIFAR_BATCH = 64
CIFAR_SETTINGS: tuple[tuple[dict[str, Any], float], ...] = (
    ({"name": "cce"}, 0.1),
    ({"name": "gr", "beta": 12.0, "lam": 0.5, "normalise": "batch"}, 0.1),
    ({"name": "gr", "beta": 12.0, "lam": 0.5, "normalise": "none"}, 0.1),
    ({"name": "gr", "beta": 8.0, "lam": 0.5, "normalise": "batch"}, 0.1),
    ({"name": "gr", "beta": 8.0, "lam": 0.5, "normalise": "none"}, 0.1),
    ({"name": "gr", "beta": 12.0, "lam": 0.5, "normalise": "none"}, 0.01),
)

Run = dict[str, Any]


def train_run(task: TrainingTask, supervision: dict[str, Any], seed: int) -> Run:
    """Train once; final accuracies are None where it diverged."""
    started = time.process_time()
    data = task.dataset
    labels = make_noise_model("symmetric", NOISE_RATE).draw(data.y_train, data.num_classes, FIRST_NOISE_SEED + seed)
    (result,) = train(task, [Lane("run", make_supervision(**supervision), labels, seed)])
    final = result.final
    accuracies = (final.intact_train, final.test) if final else (None, None)
    rounded = [None if accuracy is None else round(accuracy, 6) for accuracy in accuracies]
    return {
        **supervision,
        "learning_rate": task.learning_rate,
        "seed": seed,
        **dict(zip(("intact_train", "test"), rounded, strict=True)),
        "ending": result.ending.value,
        "cpu_seconds": round(time.process_time() - started, 2),
    }


class Recording:
    """The runs of one part, kept in a file that an interrupted benchmark goes on from."""

    def __init__(self, path: Path, measured: dict[str, Any], planned: int) -> None:
        self.path, self.measured, self.planned = path, measured, planned
        self.runs: list[Run] = []
        if path.exists():
            recorded = json.loads(path.read_text())
            if recorded["measured"] != measured:
                raise SystemExit(f"{path} was recorded with other settings; remove it to record it anew.")
            self.runs = recorded["runs"]
        self.header = provenance()

    def has(self, supervision: dict[str, Any], learning_rate: float, seed: int) -> bool:
        """Whether that run is recorded."""
        wanted = {**supervision, "learning_rate": learning_rate, "seed": seed}
        return any(all(run.get(name) == value for name, value in wanted.items()) for run in self.runs)

    def add(self, run: Run) -> None:
        """Keep a run, and say so."""
        self.runs.append(run)
        write_result(self.path, {"provenance": self.header, "measured": self.measured, "runs": self.runs})
        print(f"{len(self.runs)}/{self.planned}  {run}", flush=True)


def measure_digits() -> list[Run]:
    """Train every setting on digits; what is recorded already is not trained again."""
    dataset = load_dataset("digits")
    plan = list(product(DIGITS_LEARNING_RATES, range(DIGITS_SEEDS), DIGITS_SETTINGS, NORMALISES))
    measured = {
        "what": "final accuracies of GR on digits, the recipe but for the learning rate",
        "noise": f"symmetric, {NOISE_RATE}, seed {FIRST_NOISE_SEED} + seed",
        "data_hash": dataset.fingerprint,
    }
    recording = Recording(RESULTS / "normalise_digits.json", measured, len(plan))
    for learning_rate, seed, (beta, lam), normalise in plan:
        supervision = {"name": "gr", "beta": beta, "lam": lam, "normalise": normalise}
        if not recording.has(supervision, learning_rate, seed):
            task = training_task(dataset, learning_rate=learning_rate, evaluate_every=1_000_000, device="cpu")
            recording.add(train_run(task, supervision, seed))
    return recording.runs


def print_digits(runs: list[Run]) -> None:
    """Mean and standard error of the final intact accuracy, and each setting at its best learning rate."""
    rates = sorted({run["learning_rate"] for run in runs})
    print(f"\nDigits, r = {NOISE_RATE}: final intact accuracy, mean ± standard error, {DIGITS_SEEDS} seeds\n")
    heads = [f"lr {rate:g}" for rate in rates]
    print("| β | λ | κ | normalise | " + " | ".join(heads) + " | best of these |")
    print("|" + " --- |" * (len(rates) + 5))
    means: dict[tuple[str, float], list[float]] = {}
    for (beta, lam), normalise in product(DIGITS_SETTINGS, NORMALISES):
        best, shown = 0.0, []
        for rate in rates:
            wanted = (beta, lam, normalise, rate)
            values = [
                run["intact_train"] or 0.0
                for run in runs
                if (run["beta"], run["lam"], run["normalise"], run["learning_rate"]) == wanted
            ]
            if len(values) < 2:
                shown.append("")
                continue
            mean, error = statistics.mean(values), statistics.stdev(values) / len(values) ** 0.5
            means.setdefault((normalise, rate), []).append(mean)
            best = max(best, mean)
            shown.append(f"{mean:.3f} ± {error:.3f}")
        cells = [f"{beta:g}", f"{lam:g}", f"{kappa_of(beta, lam):.1f}", normalise, *shown, f"{best:.3f}"]
        print("| " + " | ".join(cells) + " |")
    print("\nMean over the settings at each learning rate, and the best setting's:")
    for (normalise, rate), each in sorted(means.items()):
        print(f"  {normalise:5}  lr {rate:<6g}  {statistics.mean(each):.3f}   best {max(each):.3f}")


def measure_cifar(data_dir: str) -> list[Run]:
    """Train every CIFAR-10 setting that is not recorded yet."""
    dataset = load_dataset("cifar10", data_dir).limit_train(CIFAR_IMAGES)
    dataset = dataclasses.replace(dataset, x_test=dataset.x_test[:CIFAR_IMAGES], y_test=dataset.y_test[:CIFAR_IMAGES])
    measured = {
        "what": f"final accuracies, ResNet-20, {CIFAR_IMAGES} training, first {CIFAR_IMAGES} test images",
        "noise": f"symmetric, {NOISE_RATE}, seed {FIRST_NOISE_SEED} + seed",
        "epochs": CIFAR_EPOCHS,
        "batch_size": CIFAR_BATCH,
        "augmentation": "pad-crop-flip",
        "data_hash": dataset.fingerprint,
    }
    recording = Recording(RESULTS / "normalise_cifar10.json", measured, len(CIFAR_SETTINGS))
    for supervision, learning_rate in CIFAR_SETTINGS:
        if not recording.has(supervision, learning_rate, 0):
            task = training_task(
                dataset,
                backbone="resnet20",
                epochs=CIFAR_EPOCHS,
                batch_size=CIFAR_BATCH,
                learning_rate=learning_rate,
                evaluate_every=1_000_000,
                device="cpu",
            )
            recording.add(train_run(task, supervision, 0))
    return recording.runs


def print_cifar(runs: list[Run]) -> None:
    """One row a run."""
    print(f"\nCIFAR-10, r = {NOISE_RATE}, ResNet-20, {CIFAR_IMAGES} images, {CIFAR_EPOCHS} epochs, one seed\n")
    print("| supervision | normalise | lr | final intact | test |")
    print("|" + " --- |" * 5)
    for run in runs:
        name = "CCE" if run["name"] == "cce" else f"GR({run['beta']:g}, {run['lam']:g})"
        accuracies = [run["ending"] if run[key] is None else f"{run[key]:.3f}" for key in ("intact_train", "test")]
        print("| " + " | ".join([name, run.get("normalise", "-"), f"{run['learning_rate']:g}", *accuracies]) + " |")


def main() -> None:
    """Measure what the command line names."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--cifar", metavar="DIR", help="measure on CIFAR-10, in this folder, instead of digits")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if arguments.cifar:
        print_cifar(measure_cifar(arguments.cifar))
    else:
        print_digits(measure_digits())


if __name__ == "__main__":
    main()
