"""What pip leaves behind of a package with entry points, without a build."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path


def write_package(
    folder: Path, name: str, entries: Mapping[str, Mapping[str, str]], modules: Mapping[str, str]
) -> None:
    """Write a package into a folder of packages, e.g. one that PYTHONPATH names.

    Args:
        folder: Of the packages.
        name: The package's, with hyphens.
        entries: What it declares: by entry point group, targets by name.
        modules: Texts of its modules by name.
    """
    information = folder / f"{name.replace('-', '_')}-1.0.dist-info"
    information.mkdir(parents=True)
    (information / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    lines = [
        line
        for group, targets in entries.items()
        for line in (f"[{group}]", *(f"{entry} = {target}" for entry, target in targets.items()))
    ]
    (information / "entry_points.txt").write_text("\n".join(lines) + "\n")
    for module, text in modules.items():
        (folder / f"{module}.py").write_text(text)
