"""How trials of a sweep use a CPU best: processes and threads, pinning, allocators, and what an evaluation costs.

    python -m tests.benchmarks.cpu_settings

The reference is what a sweep does: a process a core, each with one thread. Against it, in turns of an epoch or more,
the first of which is not counted:

- one process with all cores as threads, and twice as many processes as cores;
- each process pinned to a core;
- glibc's allocator told to keep what it has been given (large tensors are otherwise mapped and unmapped each time),
  and torch's asking for huge pages;
- an evaluation of the training and the test set after every epoch. The difference is what an evaluation costs.

Two trainings: the digits recipe, and ResNet-20 on random images of CIFAR's shape, a fifth as many for the test set.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from tests.benchmarks.provenance import RESULTS
from tests.benchmarks.provenance import provenance
from tests.benchmarks.provenance import write_result
from tests.benchmarks.trainers_in_processes import ENDLESS
from tests.benchmarks.trainers_in_processes import Trainers
from trainers.datasets import Dataset
from trainers.datasets import load_dataset
from trainers.recipes import training_task
from trainers.supervision import GradientRescaling
from trainers.training import TrainingTask

# glibc's numbers of two limits, see mallopt(3).
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
REFERENCE, EVALUATING = "a process a core", "an evaluation every epoch"


def pin(number: int) -> None:
    """Let this process run on one core only."""
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {cores[number % len(cores)]})


def keep_memory(number: int) -> None:
    """Let glibc keep freed memory for the next tensor instead of giving it back."""
    libc = ctypes.CDLL("libc.so.6")
    for limit in (_MMAP_THRESHOLD, _TRIM_THRESHOLD):
        if not libc.mallopt(limit, 2**30):
            raise OSError(f"mallopt({limit}) was refused")


def sides_of(task: TrainingTask, cores: int) -> dict[str, tuple[Trainers, int]]:
    """Every way to train, and how many lanes it trains at once."""
    supervision = GradientRescaling(beta=8.0, lam=0.5)
    often = replace(task, evaluate_every=1)
    huge = {"THP_MEM_ALLOC_ENABLE": "1"}
    return {
        REFERENCE: (Trainers(task, cores, 1, supervision), cores),
        "one process, all threads": (Trainers(task, 1, cores, supervision), 1),
        "two processes a core": (Trainers(task, 2 * cores, 1, supervision), 2 * cores),
        "pinned": (Trainers(task, cores, 1, supervision, prepare=pin), cores),
        "memory kept": (Trainers(task, cores, 1, supervision, prepare=keep_memory), cores),
        "huge pages": (Trainers(task, cores, 1, supervision, environment=huge), cores),
        EVALUATING: (Trainers(often, cores, 1, supervision), cores),
    }


def measure(task: TrainingTask, epochs: int, repeats: int) -> list[dict[str, Any]]:
    """Milliseconds of the whole machine that an epoch of one lane takes (wall time by lanes at once), of every side."""
    sides = sides_of(task, len(os.sched_getaffinity(0)))
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for turn in range(repeats + 1):
        for name, (side, lanes) in sides.items():
            started = time.perf_counter()
            for _ in range(epochs):
                side.epoch()
            if turn:
                seconds[name].append((time.perf_counter() - started) / (epochs * lanes))
    rows = []
    for name, each in seconds.items():
        speed = np.divide(seconds[REFERENCE], each)
        rows.append(
            {
                "side": name,
                "machine_ms_an_epoch": _quartiles(1e3 * np.array(each), 2),
                "times_as_fast_as_reference": None if name == REFERENCE else _quartiles(speed, 3),
            }
        )
        print(f"  {name:28} {rows[-1]['machine_ms_an_epoch']} ms, as fast as the reference {np.median(speed):.3f} x")
    return rows


def evaluation_share(rows: Sequence[dict[str, Any]]) -> float:
    """What an evaluation of all examples costs, in epochs of training without one."""
    medians = {row["side"]: row["machine_ms_an_epoch"][1] for row in rows}
    return round(medians[EVALUATING] / medians[REFERENCE] - 1, 3)


def digits() -> TrainingTask:
    """The digits recipe, without an end."""
    return training_task(load_dataset("digits"), iterations=ENDLESS, evaluate_every=ENDLESS, device="cpu")


def resnet20(examples: int) -> TrainingTask:
    """ResNet-20 on noise of CIFAR's shape, with CIFAR's recipe, in float32."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randint(0, 256, (examples, 3, 32, 32), generator=generator, dtype=torch.uint8)
    y = torch.arange(examples) % 10
    data = Dataset.from_tensors("random", x, y, x[: examples // 5], y[: examples // 5], 10)
    return TrainingTask(
        data,
        "resnet20",
        iterations=ENDLESS,
        augmentation="pad-crop-flip",
        precision="fp32",
        evaluate_every=ENDLESS,
        device="cpu",
    )


def _quartiles(values: Any, digits: int) -> list[float]:
    return [round(float(value), digits) for value in np.percentile(values, (25, 50, 75))]


def main() -> None:
    """Measure both trainings, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--images", type=int, default=640, help="training images of ResNet-20's epoch")
    options = parser.parse_args()
    trainings = []
    for name, task, epochs in (("digits, mlp", digits(), 20), ("resnet20", resnet20(options.images), 1)):
        print(name, flush=True)
        rows = measure(task, epochs, options.repeats)
        share = evaluation_share(rows)
        print(f"  an evaluation costs {share:.2f} of an epoch")
        trainings.append({"training": name, "sides": rows, "evaluation_in_epochs": share})
    write_result(RESULTS / "cpu_settings.json", {"provenance": provenance(), "trainings": trainings})


if __name__ == "__main__":
    main()
