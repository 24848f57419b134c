"""What a sweep costs beside its training: wall time against training time, and the memory of all its processes.

    python -m tests.benchmarks.sweep_cost             # the digits default: the demo
    python -m tests.benchmarks.sweep_cost --long      # the same sweep with 4,800 epochs, all of them recorded
    python -m tests.benchmarks.sweep_cost --cifar DIR # ResNet-20 on 4,000 images of CIFAR-10, five epochs

The sweep is run by the command line in a process of its own. The first trial's time is from that process's start
until its first optimiser step. Training time is what the trials recorded, divided by the concurrency; memory is the
proportional set size (PSS: a page shared by k processes counts 1/k in each) of the whole process tree, looked at every
five seconds, since a look is not free.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import psutil

from search.home import Home
from search.store import Store
from tests.benchmarks.provenance import RESULTS
from tests.benchmarks.provenance import provenance
from tests.benchmarks.provenance import write_result

DEFAULT = ["--dataset", "digits", "--noise-rate", "0.4"]
LONG = [*DEFAULT, "--epochs", "4800"]
CIFAR = ["--dataset", "cifar10", "--noise-rate", "0.4", "--backbone", "resnet20"]
CIFAR += ["--limit-train", "4000", "--epochs", "5"]
CONCURRENCY = 2


def main() -> None:
    """Run one sweep and print its costs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--long", action="store_true", help="4,800 epochs instead of the default's")
    which.add_argument("--cifar", metavar="DIR", help="a convolutional network, on the CIFAR-10 in this folder")
    arguments = parser.parse_args()
    name, chosen = ("long", LONG) if arguments.long else ("digits", DEFAULT)
    data: list[str] = []
    if arguments.cifar is not None:
        name, chosen, data = "cifar10", CIFAR, ["--data-dir", str(Path(arguments.cifar).resolve())]
    options = [*chosen, "--concurrency", str(CONCURRENCY)]
    with tempfile.TemporaryDirectory() as folder:
        emphasis = [sys.executable, "-c", "from search.cli import main; main()", "--home", folder]
        command = [*emphasis, "run", *options, *data]
        started, began = time.perf_counter(), time.time()
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        peak, most = 0, 0
        looks: list[tuple[float, float]] = []
        while process.poll() is None:  # reading the PSS of twenty processes costs a tenth of a second
            used, count = memory(process.pid)
            peak, most = max(peak, used), max(most, count)
            looks.append((time.time(), busy_seconds()))
            with suppress(subprocess.TimeoutExpired):  # the wall time ends with the process, not with the next look
                process.wait(5.0)
        wall = time.perf_counter() - started
        if process.returncode:
            raise SystemExit(process.returncode)
        with Store.open(Home.resolve(Path(folder)).store_url) as store:
            (sweep,) = store.sweeps()
            seconds = [trial.train_seconds or 0.0 for trial in store.trials(sweep.id)]
            # Ray's start, the imports and the figures lie outside of the trials.
            tried = [(t.started_at, t.finished_at) for t in store.trials(sweep.id) if t.started_at and t.finished_at]
            firsts = [store.epochs(trial.id)[0] for trial in store.trials(sweep.id)]
            first_trained = min(epoch.recorded_at.timestamp() - (epoch.seconds or 0.0) for epoch in firsts)
    training = sum(seconds) / CONCURRENCY
    between = (min(start for start, _ in tried), max(end for _, end in tried))
    searching = (between[1] - between[0]).total_seconds()
    result = {
        "provenance": provenance(),
        "options": " ".join(options),
        "trials": len(seconds),
        "mean_seconds_per_trial": round(sum(seconds) / len(seconds), 2),
        "wall_seconds": round(wall, 1),
        "first_trial_seconds": round(first_trained - began, 1),
        "searching_seconds": round(searching, 1),
        "training_seconds_per_slot": round(training, 1),
        "wall_over_training": round(wall / training, 3),
        "cores_busy_while_trials_ran": busy_share(looks, *(moment.timestamp() for moment in between)),
        "peak_pss_gib": round(peak / 2**30, 2),
        "most_processes": most,
    }
    for field, value in result.items():
        if field != "provenance":
            print(f"{field:28} {value}")
    write_result(RESULTS / f"sweep_cost_{name}.json", result)


def busy_seconds() -> float:
    """CPU seconds that all cores have spent on anything since the machine started."""
    times = psutil.cpu_times()
    return sum(times) - times.idle - times.iowait - times.steal - times.guest - times.guest_nice


def busy_share(looks: list[tuple[float, float]], start: float, end: float) -> float | None:
    """Share of all cores that was busy between two moments, from what was looked at in between."""
    inside = [look for look in looks if start <= look[0] <= end]
    if len(inside) < 2:
        return None
    (first, before), (last, after) = inside[0], inside[-1]
    return round((after - before) / (last - first) / (psutil.cpu_count() or 1), 3)


def memory(pid: int) -> tuple[int, int]:
    """PSS in bytes of a process and everything below it, and how many processes that is."""
    total = count = 0
    try:
        root = psutil.Process(pid)
        tree = [root, *root.children(recursive=True)]
    except psutil.NoSuchProcess:
        return 0, 0
    for process in tree:
        try:
            total += process.memory_full_info().pss
            count += 1
        except (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess):
            continue
    return total, count


if __name__ == "__main__":
    main()
