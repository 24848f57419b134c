"""How long commands take that start nothing: whole processes, a turn each.

    python -m tests.benchmarks.startup
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time

import numpy as np

from tests.benchmarks.provenance import RESULTS
from tests.benchmarks.provenance import provenance
from tests.benchmarks.provenance import write_result

COMMANDS = (
    ("--help",),
    ("run", "--help"),
    ("list",),
    ("supervisions",),
)


def measure(repeats: int) -> dict[str, list[float]]:
    """Seconds of each command, one number a repeat after a first that is not counted."""
    seconds: dict[str, list[float]] = {" ".join(("emphasis", *command)): [] for command in COMMANDS}
    with tempfile.TemporaryDirectory() as home:
        for repeat in range(repeats + 1):
            for name, command in zip(seconds, COMMANDS, strict=True):
                started = time.perf_counter()
                subprocess.run(
                    [sys.executable, "-c", "from search.cli import main; main()", "--home", home, *command],
                    check=True,
                    stdout=subprocess.DEVNULL,
                )
                if repeat:
                    seconds[name].append(time.perf_counter() - started)
    return seconds


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=7)
    rows = []
    for name, seconds in measure(parser.parse_args().repeats).items():
        low, middle, high = (round(float(each), 3) for each in np.percentile(seconds, (25, 50, 75)))
        rows.append({"command": name, "median": middle, "quartiles": [low, high]})
        print(f"{name:60} {middle:.2f} s ({low:.2f} to {high:.2f})")
    write_result(RESULTS / "startup.json", {"provenance": provenance(), "commands": rows})


if __name__ == "__main__":
    main()
