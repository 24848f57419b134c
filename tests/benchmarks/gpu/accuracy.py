"""Do the engines train to the same accuracy? The same lanes by each, seed by seed.

    python -m tests.benchmarks.gpu.accuracy --data FILE.npz --seeds 12 --epochs 8
    python -m tests.benchmarks.gpu.accuracy --data FILE.npz --device cpu --seeds 2 --epochs 1 --output DIR

ResNet-20, batch 128, pad-crop-flip, symmetric noise of rate 0.4, half of the seeds supervised by GR and half by CCE.
The data are arrays as `trainers.datasets` reads them (x_train, y_train, x_test, y_test). A lane has the same labels,
order, crops and initial network in each engine; a GPU adds up in other orders, so lanes drift apart as lanes of
different seeds do, and what has to agree is the mean. Accuracies are final, in eval mode, un-augmented.
"""

from __future__ import annotations

import argparse
import math
import statistics
import time
from pathlib import Path
from typing import Any

from tests.benchmarks.gpu.device import chosen_device
from tests.benchmarks.gpu.device import description
from tests.benchmarks.provenance import RESULTS
from tests.benchmarks.provenance import provenance
from tests.benchmarks.provenance import write_result
from trainers.datasets import load_dataset
from trainers.noise import symmetric_noise
from trainers.supervision import CategoricalCrossEntropy
from trainers.supervision import GradientRescaling
from trainers.training import Engine
from trainers.training import Lane
from trainers.training import LaneResult
from trainers.training import TrainingTask
from trainers.training import train

ENGINES: tuple[Engine, ...] = ("solo", "graph", "fused")
NOISE_RATE, BATCH_SIZE = 0.4, 128
# Two-sided 95% of Student's t for 1, 2, ... degrees of freedom; beyond them the normal's.
_T = (
    12.71, 4.30, 3.18, 2.78, 2.57, 2.45, 2.36, 2.31, 2.26, 2.23, 2.20, 2.18, 2.16, 2.14, 2.13,
    2.12, 2.11, 2.10, 2.09, 2.09, 2.08, 2.07, 2.07, 2.06, 2.06, 2.06, 2.05, 2.05, 2.05, 2.04,
)  # fmt: skip


def main() -> None:
    """Train, print and write the result."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.gpu.accuracy", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("--data", type=Path, required=True, help="arrays, .npz")
    parser.add_argument("--seeds", type=int, default=12)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--output", type=Path, default=RESULTS)
    options = parser.parse_args()
    device = chosen_device(options.device)
    data = load_dataset(str(options.data))
    iterations = options.epochs * (len(data.y_train) // BATCH_SIZE)
    task = TrainingTask(
        data,
        "resnet20",
        iterations,
        BATCH_SIZE,
        milestones=(iterations // 2, 3 * iterations // 4),
        augmentation="pad-crop-flip",
        evaluate_every=options.epochs,
        device=str(device),
    )
    labels = [symmetric_noise(data.y_train, NOISE_RATE, data.num_classes, seed) for seed in range(options.seeds)]
    lanes = [
        Lane(f"lane-{seed}", CategoricalCrossEntropy() if seed % 2 else GradientRescaling(8, 0.5), noisy, seed)
        for seed, noisy in enumerate(labels)
    ]
    found: dict[Engine, dict[str, Any]] = {}
    for engine in ENGINES:
        started = time.perf_counter()
        results = train(task, lanes, engine=engine, at_once=len(lanes))
        found[engine] = _accuracies(results) | {"seconds": round(time.perf_counter() - started, 2)}
        print(f"{engine:>6}  {found[engine]['seconds']:7.1f} s", flush=True)
    comparisons = [_compared(found, engine, name) for engine in ENGINES[1:] for name in ("intact_train", "test")]
    for each in comparisons:
        low, high = each["difference_95"]
        print(
            f"{each['engine']:>6} - solo, {each['accuracy']:>12}: {each['mean_difference']:+.4f} "
            f"(95%: {low:+.4f} to {high:+.4f}), of {each['mean']:.4f} and {each['mean_of_solo']:.4f}"
        )
    header = provenance() | description(device)
    content = {
        "backbone": "resnet20",
        "train_examples": len(data.y_train),
        "noise_rate": NOISE_RATE,
        "epochs": options.epochs,
        "supervisions": "gr(8, 0.5) of even seeds, cce of odd ones",
        "comparisons": comparisons,
        "engines": [{"engine": engine} | numbers for engine, numbers in found.items()],
    }
    write_result(options.output / "gpu_accuracy.json", header | content)


def _accuracies(results: list[LaneResult]) -> dict[str, Any]:
    finals = [result.final for result in results]
    assert all(final is not None for final in finals), [result.reason for result in results]
    return {
        name: [round(getattr(final, name), 5) for final in finals] for name in ("intact_train", "test")
    }


def _compared(found: dict[Engine, dict[str, Any]], engine: Engine, name: str) -> dict[str, Any]:
    """Pair by pair: the same seed in the two engines."""
    mine, solo = found[engine][name], found["solo"][name]
    differences = [one - other for one, other in zip(mine, solo, strict=True)]
    mean, half = statistics.fmean(differences), math.nan
    if len(differences) > 1:
        free = len(differences) - 1
        half = (_T[free - 1] if free <= len(_T) else 1.96) * statistics.stdev(differences) / math.sqrt(len(differences))
    return {
        "engine": engine,
        "accuracy": name,
        "seeds": len(differences),
        "mean": round(statistics.fmean(mine), 5),
        "mean_of_solo": round(statistics.fmean(solo), 5),
        "mean_difference": round(mean, 5),
        "difference_95": [round(mean - half, 5), round(mean + half, 5)],
    }


if __name__ == "__main__":
    main()
