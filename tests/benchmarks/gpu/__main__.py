"""One lane and many on a GPU: what the device can do, every form of every convolution, whole training steps.

    python -m tests.benchmarks.gpu --dry-run
    python -m tests.benchmarks.gpu --part roofline
    python -m tests.benchmarks.gpu --part shapes --seconds 120
    python -m tests.benchmarks.gpu --part norms --seconds 60
    python -m tests.benchmarks.gpu --part step --seconds 300

Needs torch and numpy; torchvision makes the plain loop's transforms where it is there. Before anything is timed, every
form is compared with the loop, and every fused lane with a lane trained alone, in float64. The roofline comes first,
whatever the part. Each part takes ``--seconds`` at most; what had no time is named. A side that fails is reported with
its reason, and the others go on.
"""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path
from typing import Any

import torch

from tests.benchmarks.gpu.device import chosen_device
from tests.benchmarks.gpu.device import description
from tests.benchmarks.gpu.device import prepare
from tests.benchmarks.gpu.equality import check_equality
from tests.benchmarks.gpu.norms import measure_norms
from tests.benchmarks.gpu.report import REPLAY_TOLERANCE
from tests.benchmarks.gpu.report import norms_table
from tests.benchmarks.gpu.report import roofline_table
from tests.benchmarks.gpu.report import rounded
from tests.benchmarks.gpu.report import shapes_table
from tests.benchmarks.gpu.report import steps_table
from tests.benchmarks.gpu.roofline import Roofline
from tests.benchmarks.gpu.roofline import measure_roofline
from tests.benchmarks.gpu.setting import Setting
from tests.benchmarks.gpu.shapes import measure_shapes
from tests.benchmarks.gpu.timing import Deadline
from tests.benchmarks.gpu.whole_step import measure_steps
from tests.benchmarks.provenance import RESULTS
from tests.benchmarks.provenance import provenance
from tests.benchmarks.provenance import write_result

PARTS = ("roofline", "shapes", "norms", "step")


def main() -> None:
    """Check, measure, print and write the results; exit status 1 where a part or a check failed."""
    options = _options()
    started = time.monotonic()
    device = chosen_device(options.device)
    prepare(device)
    if device.type == "cpu":
        torch.set_num_threads(1)
    setting = _setting(device, options)
    _say(f"{description(device)['device']}, torch {torch.__version__}")
    if options.dry_run:
        _say("dry run: everything is done once in tiny sizes, so the times mean nothing")
    problems: list[str] = []
    equality: dict[str, Any] = {}
    try:
        # The other parts do not use the compiled form of a convolution, and compiling every shape is long.
        compiled = options.inductor and options.part in ("shapes", "all")
        equality = check_equality(device, 4, compiled, _say)
    except Exception as error:
        problems.append(f"equality: {type(error).__name__}: {error}")
        _say(problems[-1])
    measured = None
    try:
        measured = measure_roofline(setting, Deadline(options.seconds / 4))
        _say("\n" + roofline_table(measured[0], measured[1]["rates"]))
    except Exception as error:
        problems.append(f"roofline: {type(error).__name__}: {error}")
        _say(problems[-1])
    folder = options.output or (None if options.dry_run else RESULTS)
    for part in PARTS if options.part == "all" else (options.part,):
        if measured is None:
            break
        begun = time.monotonic()
        try:
            content = _measure(part, setting, options, *measured)
        except Exception as error:
            problems.append(f"{part}: {type(error).__name__}: {error}")
            _say(problems[-1])
            continue
        problems += _unexpected(part, content, options)
        if folder is not None:
            header = provenance() | description(device)
            rest = {"dry_run": options.dry_run, "seconds": time.monotonic() - begun, "equality": equality}
            path = folder / f"gpu_{part}.json"
            write_result(path, rounded(header | rest | content))
            _say(f"written to {path}")
    _say(f"\n{time.monotonic() - started:.0f} s in all")
    if problems:
        raise SystemExit("failed: " + "; ".join(problems))


def _measure(
    part: str, setting: Setting, options: argparse.Namespace, roofline: Roofline, rates: dict[str, Any]
) -> dict[str, Any]:
    """Measure a part and print its table; what the result file says of it."""
    deadline = Deadline(options.seconds)
    if part == "roofline":
        return rates
    if part == "shapes":
        content = measure_shapes(setting, roofline, deadline, options.inductor)
        table = shapes_table(content["forms"])
    elif part == "norms":
        content = measure_norms(setting, roofline, deadline, options.inductor)
        table = norms_table(content)
    else:
        content = measure_steps(setting, roofline, deadline, options.inductor)
        table = steps_table(content)
    _say(f"\n{part}\n{table}")
    return {"roofline": rates} | content


def _unexpected(part: str, content: dict[str, Any], options: argparse.Namespace) -> list[str]:
    """Sides that failed in a dry run, where each has to run; on a device they are results like others."""
    if not options.dry_run:
        return []
    records = content["rates"] if part == "roofline" else content["forms" if part in ("shapes", "norms") else "sides"]
    doubtful = [
        f"{part}, {name}: replayed steps differ by {difference}"
        for name, difference in content.get("replay_differences", {}).items()
        if not difference <= REPLAY_TOLERANCE
    ]
    return doubtful + [
        f"{part}, {record.get('form') or record['side']}: {record['failure']}"
        for record in records
        if record["failure"] and not record["failure"].startswith("skipped")
    ]


def _setting(device: torch.device, options: argparse.Namespace) -> Setting:
    if options.dry_run:
        return Setting(
            device,
            dry_run=True,
            depth=20,
            side=4,
            # Smaller batches of maps of one pixel make norms divide by nearly nothing.
            batch_size=8,
            examples=64,
            lanes=2,
            lane_counts=(1, 4),
            steps=2,
            workers=1,
            repeats=1,
        )
    cores = len(os.sched_getaffinity(0))
    return Setting(device, dry_run=False, lanes=options.lanes, workers=min(options.workers, cores))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.gpu", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("--part", choices=(*PARTS, "all"), default="all")
    parser.add_argument("--seconds", type=float, default=180.0, help="bound of each part")
    parser.add_argument("--lanes", type=int, default=8, help="K, where a side has one K; default 8")
    parser.add_argument("--workers", type=int, default=4, help="of the plain loop's DataLoader; default 4")
    parser.add_argument("--inductor", action="store_true", help="compile networks and the grouped form too: minutes")
    parser.add_argument("--device", help="default: cuda, and cpu for a dry run")
    parser.add_argument("--dry-run", action="store_true", help="everything once in tiny sizes, nothing written")
    parser.add_argument("--output", type=Path, help="folder of the results; default tests/benchmarks/results")
    options = parser.parse_args()
    options.device = options.device or ("cpu" if options.dry_run else "cuda")
    if options.device.startswith("cuda") and not torch.cuda.is_available():
        parser.error("torch sees no GPU here: --dry-run runs everything once on a CPU")
    if options.seconds <= 0 or options.lanes < 1 or options.workers < 0:
        parser.error("give --seconds above 0, --lanes of 1 or more and --workers of 0 or more")
    return options


def _say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    main()
