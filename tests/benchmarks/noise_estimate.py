"""Estimated noise rates beside the true ones: drawn noise on digits, human noise on CIFAR-10N.

    python -m tests.benchmarks.noise_estimate digits                  # rates 0 to 0.8 on three seeds
    python -m tests.benchmarks.noise_estimate supervisions            # what to train the judging networks with
    python -m tests.benchmarks.noise_estimate cifar10n DIR FILE       # DIR: CIFAR-10's files; FILE: CIFAR-10_human.pt

The CIFAR-10N run is short, on few images, for one processor core: see its options. Each column is written when it is
done, beside those that the file has.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from typing import Any

import torch

from search.noise_estimate import FOLDS
from search.noise_estimate import NoiseEstimate
from search.noise_estimate import count_noise
from search.noise_estimate import estimate_noise
from tests.benchmarks.provenance import RESULTS
from tests.benchmarks.provenance import provenance
from tests.benchmarks.provenance import write_result
from trainers.datasets import load_dataset
from trainers.noise import make_noise_model
from trainers.out_of_fold import Epoch
from trainers.out_of_fold import out_of_fold_probabilities
from trainers.recipes import training_task
from trainers.supervision import CategoricalCrossEntropy
from trainers.supervision import GeneralisedCrossEntropy
from trainers.supervision import GradientRescaling
from trainers.supervision import Supervision

SEEDS = (0, 1, 2)
# Of the paper: beta and lambda by noise rate, Table 2 and the best of Table 3 by test accuracy at the end.
_PAPER = {0.0: (2.0, 0.0), 0.2: (12.0, 0.5), 0.4: (16.0, 1.0), 0.6: (12.0, 2.0), 0.8: (12.0, 2.0)}


def main() -> None:
    """Measure what the command line names."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("digits", "supervisions", "cifar10n"))
    parser.add_argument("data_dir", nargs="?", type=Path, metavar="DIR")
    parser.add_argument("labels", nargs="?", type=Path, metavar="FILE")
    parser.add_argument("--columns", nargs="+", default=["worse_label", "aggre_label"])
    parser.add_argument("--backbone", default="resnet20")
    parser.add_argument("--images", type=int, default=5000)
    parser.add_argument("--epochs", type=int, default=15)
    parser.add_argument("--folds", type=int, default=3)
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    if chosen.what == "digits":
        digits()
    elif chosen.what == "supervisions":
        supervisions()
    else:
        cifar10n(chosen)


def digits() -> None:
    """The command's defaults on symmetric noise."""
    data = load_dataset("digits")
    rows = []
    for rate in (0.0, 0.2, 0.4, 0.6, 0.8):
        for seed in SEEDS:
            labels = make_noise_model("symmetric", rate).draw(data.y_train, data.num_classes, seed)
            rows.append(_row(estimate_noise(training_task(data), labels, seed=seed), noise_rate=rate))
    write_result(RESULTS / "noise_estimate_digits.json", {"provenance": provenance(), "estimates": rows})


def supervisions() -> None:
    """The bias of the estimate by what the networks are trained with, for how long, and which epoch predicts."""
    data = load_dataset("digits")
    rows: list[dict[str, Any]] = []
    for rate, (beta, lam) in _PAPER.items():
        cce, gce = CategoricalCrossEntropy(), GeneralisedCrossEntropy(q=0.7)
        candidates: list[tuple[str, Supervision, int, Epoch]] = [
            ("CCE", cce, 60, "likeliest"),
            ("CCE", cce, 60, "last"),
            ("CCE", cce, 20, "last"),
            ("CCE", cce, 10, "last"),
            ("GCE(q=0.7)", gce, 60, "likeliest"),
            ("GCE(q=0.7)", gce, 60, "last"),
            ("GR(paper)", GradientRescaling(beta=beta, lam=lam), 60, "likeliest"),
            ("GR(paper)", GradientRescaling(beta=beta, lam=lam), 60, "last"),
        ]
        for name, supervision, epochs, epoch in candidates:
            biases = []
            started = time.perf_counter()
            for seed in SEEDS:
                labels = make_noise_model("symmetric", rate).draw(data.y_train, data.num_classes, seed)
                task = training_task(data, epochs=epochs)
                predicted = out_of_fold_probabilities(task, supervision, labels, FOLDS, seed, epoch=epoch)
                estimate = count_noise(labels.labels.numpy(), predicted.double().numpy(), resamples=1)
                biases.append(estimate.rate - (labels.realised_rate or 0.0))
            row = {
                "noise_rate": rate,
                "trained_with": name,
                "epochs": epochs,
                "epoch": epoch,
                "mean_bias": round(fmean(biases), 4),
                "biases": [round(bias, 4) for bias in biases],
                "seconds": round((time.perf_counter() - started) / len(SEEDS), 1),
            }
            print(row, flush=True)
            rows.append(row)
    write_result(RESULTS / "noise_estimate_supervisions.json", {"provenance": provenance(), "biases": rows})


def cifar10n(chosen: argparse.Namespace) -> None:
    """Human labels of CIFAR-10's images (Wei et al., arXiv 2110.12088), on part of the images."""
    whole = load_dataset("cifar10", chosen.data_dir)
    path = RESULTS / "noise_estimate_cifar10n.json"
    for column in chosen.columns:
        file = make_noise_model("file", file=chosen.labels, column=column)
        given = file.draw(whole.y_train, whole.num_classes, 0, whole.intact_train).labels
        part = replace(whole, y_train=given).limit_train(chosen.images)
        labels = make_noise_model("none").draw(part.y_train, part.num_classes, 0, part.intact_train)
        task = training_task(part, backbone=chosen.backbone, epochs=chosen.epochs)
        estimate = estimate_noise(task, labels, folds=chosen.folds, on_fold=_say_fold)
        assert part.intact_train is not None
        row = _row(estimate, column=column, backbone=chosen.backbone)
        row["confusion"] = estimate.confusion.tolist()
        row["true_confusion"] = labels.confusion_matrix(part.intact_train).tolist()
        written = json.loads(path.read_text())["estimates"] if path.exists() else []
        rows = [*(other for other in written if other["column"] != column), row]
        write_result(path, {"provenance": provenance(), "estimates": rows})


def _say_fold(done: int, folds: int) -> None:
    print(f"{done}/{folds} folds", flush=True)


def _row(estimate: NoiseEstimate, **what: Any) -> dict[str, Any]:
    row = {
        **what,
        "seed": estimate.seed,
        "estimate": round(estimate.rate, 4),
        "low": round(estimate.low, 4),
        "high": round(estimate.high, 4),
        "truth": round(estimate.realised_rate or 0.0, 4),
        "accuracy_on_given": round(estimate.accuracy, 4),
        "examples": estimate.examples,
        "folds": estimate.folds,
        "epochs": estimate.epochs,
        "seconds": round(estimate.seconds, 1),
    }
    print(row, flush=True)
    return row


if __name__ == "__main__":
    main()
