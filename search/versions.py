"""What a sweep ran on, as its record says."""

from __future__ import annotations

import subprocess
from importlib import metadata
from pathlib import Path

_PACKAGES = ("emphasis", "torch", "torchvision", "numpy", "ray", "optuna", "mlflow", "sqlalchemy")


def versions() -> dict[str, str]:
    """Versions of the packages that matter, and the git commit where this code is a checkout of its own."""
    found = {}
    for package in _PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[package] = "not installed"
    commit = _commit()
    return found | ({"git_commit": commit} if commit else {})


def _commit() -> str | None:
    # Installed into an environment that lies in some other repository, this file is not one of that repository's.
    if _git("ls-files", "--error-unmatch", Path(__file__).name) is None:
        return None
    return _git("rev-parse", "HEAD")


def _git(*arguments: str) -> str | None:
    """What git prints; None where it fails or is not installed."""
    try:
        done = subprocess.run(
            ["git", *arguments], cwd=Path(__file__).parent, capture_output=True, text=True, check=False
        )
    except OSError:
        return None
    return done.stdout.strip() if done.returncode == 0 else None
