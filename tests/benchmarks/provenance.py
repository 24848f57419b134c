"""What every benchmark writes beside its numbers: when, where, with what, and how to run it again."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from datetime import UTC
from datetime import datetime
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

RESULTS = Path(__file__).parent / "results"
# Pictures that README shows.
DOCS = Path(__file__).parents[2] / "docs"

_PACKAGES = ("torch", "torchvision", "numpy", "scikit-learn", "optuna")


def provenance() -> dict[str, Any]:
    """The header of a result file: date, processor, threads, versions, commit and command."""
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "cpu": cpu_model(),
        "cores": len(os.sched_getaffinity(0)),
        "threads": torch.get_num_threads(),
        "versions": {"python": platform.python_version()} | _versions(),
        "commit": _commit(),
        "command": _command(),
    }


def _versions() -> dict[str, str]:
    """Of those packages that are installed: a bare GPU machine has torch and numpy, and no more."""
    found = {}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def cpu_model() -> str:
    """The processor's name and the vector instructions that torch uses on it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    name = names[0] if names else platform.processor() or platform.machine()
    return f"{name} ({torch.backends.cpu.get_cpu_capability()})"


def processor_of(result: dict[str, Any]) -> str:
    """The processor of a result file, with what decides which arithmetic is fast on it where the file says so."""
    telling = [flag for flag in result.get("flags", ()) if "bf16" in flag][-1:]
    return ", ".join([result["cpu"], *telling])


def write_result(path: Path, content: dict[str, Any]) -> None:
    """Write JSON whose lists of records have one record a line; an interrupted write leaves the old file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    parts = [f" {json.dumps(key)}: {_readable(value)}" for key, value in content.items()]
    partial = path.with_suffix(f".{os.getpid()}.partial")
    partial.write_text("{\n" + ",\n".join(parts) + "\n}\n")
    partial.replace(path)


def _readable(value: object) -> str:
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return "[\n" + ",\n".join(f"  {json.dumps(item)}" for item in value) + "\n ]"
    return json.dumps(value)


def _command() -> str:
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    name = f"-m {spec.name.removesuffix('.__main__')}" if spec is not None else sys.argv[0]
    # Where a machine keeps its data is nobody else's business.
    arguments = ["DIR" if Path(each).is_absolute() else each for each in sys.argv[1:]]
    return " ".join(["python", name, *arguments])


def _commit() -> str | None:
    """The commit that is checked out, with a plus sign where the packages differ from it."""
    root = Path(__file__).parents[2]
    try:
        name = _git(root, "rev-parse", "--short=10", "HEAD")
        packages = ("trainers", "spaces", "search")
        changed = _git(root, "status", "--porcelain", "--untracked-files=no", "--", *packages)
    except (OSError, subprocess.CalledProcessError):
        return None
    return f"{name}+" if changed else name


def _git(root: Path, *arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=root, check=True, capture_output=True, text=True)
    return done.stdout.strip()
