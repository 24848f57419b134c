"""A figure as a file."""

from __future__ import annotations

from pathlib import Path

from matplotlib.figure import Figure

from search.reports.appearance import DPI
from trainers.whole_files import replaced_whole


def save_figure(figure: Figure, path: Path) -> None:
    """Write a figure as PNG, whole or not at all."""
    with replaced_whole(path) as file:
        figure.savefig(file, format="png", dpi=DPI)
