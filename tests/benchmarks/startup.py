"""How long commands take that start nothing, and how long a sweep takes to its first optimiser step: a turn each.

    python -m tests.benchmarks.startup
    python -m tests.benchmarks.startup --cifar DIR   # ResNet-20 on 4,000 images of the CIFAR-10 in this folder too

Whole processes. A sweep is one of two trials of an epoch; its first step is that of the trial which made one first,
from the start of the command line's process.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from collections.abc import Sequence

import numpy as np

from search.home import Home
from search.store import Store
from tests.benchmarks.provenance import RESULTS
from tests.benchmarks.provenance import provenance
from tests.benchmarks.provenance import write_result

COMMANDS = (
    ("--help",),
    ("run", "--help"),
    ("list",),
    ("supervisions",),
)
SWEEP = ("run", "--noise-rate", "0.4", "--trials", "2", "--epochs", "1", "--confirm-seeds", "0", "--concurrency", "2")
DIGITS = (*SWEEP, "--dataset", "digits")
CIFAR = (*SWEEP, "--dataset", "cifar10", "--backbone", "resnet20", "--limit-train", "4000")


def measure(repeats: int, sweeps: Mapping[str, Sequence[str]]) -> dict[str, list[float]]:
    """Seconds of each command and to each sweep's first step, one number a repeat after a first that is not counted."""
    seconds: dict[str, list[float]] = {" ".join(("emphasis", *command)): [] for command in COMMANDS}
    seconds |= {name: [] for name in sweeps}
    for repeat in range(repeats + 1):
        with tempfile.TemporaryDirectory() as home:
            turn = [took(home, command) for command in COMMANDS]
        for sweep in sweeps.values():
            with tempfile.TemporaryDirectory() as home:
                turn.append(first_step(home, sweep))
        if repeat:
            for found, name in zip(turn, seconds, strict=True):
                seconds[name].append(found)
    return seconds


def took(home: str, command: Sequence[str]) -> float:
    """Seconds of a command."""
    started = time.perf_counter()
    emphasis = [sys.executable, "-c", "from search.cli import main; main()", "--home", home]
    subprocess.run([*emphasis, *command], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.perf_counter() - started


def first_step(home: str, sweep: Sequence[str]) -> float:
    """Seconds from the start of a sweep's process to its first optimiser step."""
    began = time.time()
    took(home, sweep)
    with Store.open(Home.resolve(home).store_url) as store:
        (found,) = store.sweeps()
        firsts = [store.epochs(trial.id)[0] for trial in store.trials(found.id)]
        return min(epoch.recorded_at.timestamp() - (epoch.seconds or 0.0) for epoch in firsts) - began


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--cifar", metavar="DIR", help="where CIFAR-10 lies")
    arguments = parser.parse_args()
    sweeps = {"first step of a sweep: digits": DIGITS}
    if arguments.cifar is not None:
        sweeps["first step of a sweep: CIFAR-10, ResNet-20"] = (*CIFAR, "--data-dir", arguments.cifar)
    rows = []
    for name, seconds in measure(arguments.repeats, sweeps).items():
        low, middle, high = (round(float(each), 3) for each in np.percentile(seconds, (25, 50, 75)))
        rows.append({"command": name, "median": middle, "quartiles": [low, high]})
        print(f"{name:60} {middle:.2f} s ({low:.2f} to {high:.2f})")
    write_result(RESULTS / "startup.json", {"provenance": provenance(), "commands": rows})


if __name__ == "__main__":
    main()
