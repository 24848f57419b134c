"""How every figure looks: sizes, colours and how a configuration is named in a title."""

from __future__ import annotations

from collections.abc import Mapping

from matplotlib.axes import Axes
from matplotlib.axis import XAxis
from matplotlib.axis import YAxis
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator
from matplotlib.ticker import NullFormatter
from matplotlib.ticker import StrMethodFormatter

from search.naming import Values
from search.naming import equations
from search.naming import in_order
from search.naming import noise
from search.naming import symbol
from search.naming import with_fixed
from search.objective import SearchObjective
from search.objective import objective_label
from search.recommendation import Choice
from search.recommendation import noise_model_of
from search.standings import Estimate
from search.standings import Standing
from search.store import SweepRecord
from spaces import Value

DPI = 150

# Okabe and Ito's palette: told apart with any colour vision; every figure also differs in dash or marker.
RECOMMENDED = "#0072B2"
BASELINE = "#D55E00"
MEAN_ABSOLUTE_ERROR = "#009E73"
TIE = "#56B4E9"
GUIDE = "#5A5A5A"
COLOUR_MAP = "viridis"

_TWO_DECADES = 100.0


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


def logarithmic(axis: XAxis | YAxis, low: float, high: float) -> None:
    """Make an axis logarithmic, with ticks that are written out and do not run into each other.

    Args:
        axis: Of a panel.
        low: The smallest value that it shows, above 0.
        high: The largest.
    """
    axis.axes.set(**{f"{axis.axis_name}scale": "log"})
    steps = (1.0, 2.0, 5.0) if high / low < _TWO_DECADES else (1.0,)
    axis.set_major_locator(LogLocator(subs=steps))
    axis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axis.set_minor_formatter(NullFormatter())


def draw_estimate(axes: Axes, estimate: Estimate, place: float, colour: str, measure: str, filled: bool = True) -> None:
    """A mean with its standard error in a row of a chart: a dot for what ranks, an empty square beside it.

    Args:
        axes: Where.
        estimate: The mean over seeds.
        place: Height.
        colour: Of dot and error.
        measure: What it is, the dot's gid.
        filled: Whether it is what ranks.
    """
    axes.errorbar(
        estimate.mean,
        place,
        xerr=estimate.sem or None,
        color=colour,
        marker="o" if filled else "s",
        markersize=6,
        markerfacecolor=colour if filled else "white",
        capsize=3,
        linestyle="none",
        gid=measure,
    )


def heading(figure: Figure, first: str, second: str = "") -> None:
    """A title over the whole figure: what it is, and below it smaller what it says."""
    axes = figure.axes[0]
    axes.set_title(second, loc="left", fontsize=10, color=GUIDE)
    figure.suptitle(first, x=0.01, ha="left", fontsize=13, fontweight="bold")


def about(sweep: SweepRecord) -> str:
    """What a sweep is, for a title; that GR was searched goes without saying."""
    text = trained_on(sweep)
    return text if sweep.supervision == "gr" else f"{text}: {sweep.supervision}"


def trained_on(sweep: SweepRecord) -> str:
    """What a sweep trained and on which labels, for a title."""
    return f"{sweep.dataset}, {noise(sweep.noise_rate, noise_model_of(sweep))}, {sweep.backbone}"


def name(standing: Standing) -> str:
    """A configuration for a legend, e.g. ``GR(β=12, λ=0.5)``."""
    return named(standing.supervision, standing.hyperparameters)


def named(supervision: str, values: Values | Mapping[str, Value]) -> str:
    """A configuration by its supervision and values, e.g. ``GR(β=12, λ=0.5)``, ``GCE(q=0.7)``."""
    texts = [
        f"{symbol(supervision, name)}={f'{value:.3g}' if isinstance(value, int | float) else value}"
        for name, value in in_order(values)
    ]
    return f"{supervision.upper()}({', '.join(texts)})" if texts else supervision.upper()


def objective_axis(sweep: SweepRecord) -> str:
    """The objective of a sweep as an axis is labelled, e.g. ``final intact accuracy``."""
    objective = SearchObjective.recorded(sweep.spec, sweep.noise_rate, sweep.facts)
    return f"final {objective_label(objective.metric)}{', corrected' if objective.is_corrected else ''}"


def finding(sweep: SweepRecord, choice: Choice | None) -> str:
    """What was chosen and on which seeds, in one line."""
    if choice is None:
        return "no configuration has finished yet"
    seeds = "fresh seeds" if choice.confirmed else "the search's own seeds"
    winner = choice.winner
    point = equations(winner.supervision, winner.hyperparameters, greek=True, digits=3)
    point += with_fixed(winner.supervision, sweep.spec.get("hyperparameters", {}), greek=True, digits=3)
    return f"best on {seeds}: {point}, {winner.objective.label} {winner.objective}"
