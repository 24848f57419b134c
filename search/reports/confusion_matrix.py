"""Which labels training was given, by intact class."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from numpy.typing import NDArray

from search.reports.appearance import COLOUR_MAP
from search.reports.appearance import GUIDE
from search.reports.appearance import heading
from search.reports.appearance import new_figure

# Beyond this, numbers and names in the cells cannot be read.
MOST_ANNOTATED = 20


def confusion_figure(matrix: NDArray[np.int64], title: str, class_names: Sequence[str] | None = None) -> Figure:
    """Shares of the given labels in each intact class, as colours; up to 20 classes also as numbers.

    The colour of 0.05 already differs clearly from that of 0 (power scale, exponent 1/2): what matters lies
    beside the diagonal, where the shares are small.

    Args:
        matrix: Counts (C, C), a row an intact class and a column a given one, as
            `CorruptedLabels.confusion_matrix` counts them.
        title: What the labels are, e.g. ``cifar10, asymmetric_cifar10 0.4``.
        class_names: Names of the C classes; numbers without.
    """
    counts = np.asarray(matrix, dtype=np.int64)
    side = _side(len(counts))
    figure = new_figure(side + 2.2, side + 1.6)
    axes = figure.add_subplot()
    _colour_bar(figure, _draw(axes, counts, class_names), [axes])
    heading(figure, title, _finding(counts))
    return figure


def noise_estimate_figure(
    estimated: NDArray[np.int64],
    title: str,
    class_names: Sequence[str] | None = None,
    truth: NDArray[np.int64] | None = None,
) -> Figure:
    """Estimated counts as `confusion_figure` shows them; beside them the true ones, where they are known.

    Args:
        estimated: Counts (C, C), a row an intact class and a column a given one, e.g. `NoiseEstimate.confusion`.
        title: What the labels are.
        class_names: Names of the C classes; numbers without.
        truth: Counts of the same labels against the intact ones.
    """
    shown = [("estimated", np.asarray(estimated, dtype=np.int64))]
    if truth is not None:
        shown.append(("in truth", np.asarray(truth, dtype=np.int64)))
    side = _side(len(estimated))
    figure = new_figure(len(shown) * (side + 0.9) + 1.3, side + 1.6)
    panels = [figure.add_subplot(1, len(shown), number) for number in range(1, len(shown) + 1)]
    for axes, (kind, counts) in zip(panels, shown, strict=True):
        image = _draw(axes, counts, class_names)
        axes.set_title(f"{kind}, {_wrong(counts)}", loc="left", fontsize=10, color=GUIDE)
    figure.suptitle(title, x=0.01, ha="left", fontsize=13, fontweight="bold")
    _colour_bar(figure, image, panels)
    return figure


def _side(classes: int) -> float:
    return min(max(0.58 * classes, 3.6), 9.0) if classes <= MOST_ANNOTATED else 7.0


def _draw(axes: Axes, counts: NDArray[np.int64], class_names: Sequence[str] | None) -> AxesImage:
    classes = len(counts)
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)  # a class without examples has an empty row
    image = axes.imshow(shares, cmap=COLOUR_MAP, norm=PowerNorm(0.5, 0, 1), interpolation="nearest", gid="shares")
    annotated = classes <= MOST_ANNOTATED
    if annotated:
        _annotate(axes, shares)
        names = [str(number) for number in range(classes)] if class_names is None else list(class_names)
        axes.set_xticks(range(classes), names, rotation=0 if max(map(len, names)) <= 3 else 45)
        axes.set_yticks(range(classes), names)
        if max(map(len, names)) > 3:
            for tick in axes.get_xticklabels():
                tick.set(ha="right", rotation_mode="anchor")
    axes.tick_params(labelsize=10, length=0 if annotated else 3)
    axes.spines[:].set_visible(False)
    axes.set_xlabel("given label", fontsize=11)
    axes.set_ylabel("intact label", fontsize=11)
    return image


def _colour_bar(figure: Figure, image: AxesImage, panels: Sequence[Axes]) -> None:
    bar = figure.colorbar(image, ax=panels, shrink=0.85, ticks=[0, 0.05, 0.2, 0.4, 0.6, 0.8, 1])
    bar.ax.tick_params(labelsize=10)
    bar.set_label("share of the intact class", fontsize=11)
    bar.outline.set_visible(False)


def _annotate(axes: Axes, shares: NDArray[np.float64]) -> None:
    for row, column in np.argwhere(shares > 0):
        share = float(shares[row, column])
        text = "1" if share == 1 else "<.01" if share < 0.005 else f"{share:.2f}".lstrip("0")
        colour = "black" if share > 0.35 else "white"
        axes.text(column, row, text, ha="center", va="center", fontsize=8, color=colour)


def _finding(counts: NDArray[np.int64]) -> str:
    total = int(counts.sum())
    if not total:
        return "no labels"
    return f"{_wrong(counts)}: realised rate {1 - int(counts.trace()) / total:.3g}"


def _wrong(counts: NDArray[np.int64]) -> str:
    total = int(counts.sum())
    return f"{total - int(counts.trace()):,} of {total:,} labels are wrong"
