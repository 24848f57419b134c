"""How every figure looks: sizes, colours and how a configuration is named in a title."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from search.recommend import Standing

DPI = 150

# Okabe and Ito's palette: told apart with any colour vision; every figure also differs in dash or marker.
RECOMMENDED = "#0072B2"
BASELINE = "#D55E00"
MEAN_ABSOLUTE_ERROR = "#009E73"
TIE = "#56B4E9"
GUIDE = "#5A5A5A"
COLOUR_MAP = "viridis"


def new_figure(width: float, height: float) -> Figure:
    """An empty figure in inches, on the Agg canvas; pyplot's global state is not safe in threads."""
    figure = Figure(figsize=(width, height), dpi=DPI, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def quiet(axes: Axes, grid: str | None = None) -> Axes:
    """Take away what carries no data; `grid` is "x", "y", "both" or None."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=10)
    if grid in ("x", "y", "both"):
        axes.grid(axis=grid, color="#D9D9D9", linewidth=0.6)  # type: ignore[arg-type]
        axes.set_axisbelow(True)
    return axes


def heading(figure: Figure, first: str, second: str = "") -> None:
    """A title over the whole figure: what it is, and below it smaller what it says."""
    axes = figure.axes[0]
    axes.set_title(second, loc="left", fontsize=10, color=GUIDE)
    figure.suptitle(first, x=0.01, ha="left", fontsize=13, fontweight="bold")


def name(standing: Standing) -> str:
    """A configuration for a legend, e.g. ``GR(β=12, λ=0.5)``."""
    if standing.beta is None or standing.lam is None:
        return standing.supervision.upper()
    return f"{standing.supervision.upper()}(β={standing.beta:.3g}, λ={standing.lam:.3g})"
