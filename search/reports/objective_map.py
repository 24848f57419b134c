"""The objective over two hyper-parameters, with the trials as points."""

from __future__ import annotations

import math
from collections.abc import Iterable
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.tri import LinearTriInterpolator
from matplotlib.tri import Triangulation
from numpy.typing import NDArray

from search.objective import SearchObjective
from search.recommendation import Choice
from search.recommendation import pick
from search.reports.appearance import BASELINE
from search.reports.appearance import COLOUR_MAP
from search.reports.appearance import GUIDE
from search.reports.appearance import about
from search.reports.appearance import finding
from search.reports.appearance import heading
from search.reports.appearance import logarithmic
from search.reports.appearance import new_figure
from search.reports.appearance import objective_axis
from search.reports.appearance import quiet
from search.reports.searched import Axis
from search.reports.searched import cut_short
from search.reports.searched import searched_standings
from search.store import SweepRecord
from search.store import TrialRecord
from search.store import TrialState
from spaces.emphasis import beta_of
from spaces.emphasis import kappa_of

# Fewer points than this say too little about what lies between them.
ENOUGH_TO_INTERPOLATE = 8
# The band that holds the good configurations on digits for every lambda >= 0.5 (method.md).
KAPPA_GUIDES = (3.0, 5.0)

Floats = NDArray[np.float64]
_Place = tuple[float, float]


def objective_map(sweep: SweepRecord, trials: Sequence[TrialRecord], axes_of: tuple[Axis, Axis]) -> Figure:
    """Final intact accuracy over two hyper-parameters.

    A point is one configuration, coloured by its mean over the search's seeds. A small triangle is a trial that was
    stopped early, coloured by what it had reached by then; a cross is one that failed. Between the points the colour
    is interpolated linearly (of GR in (lambda, kappa), where the objective varies least), and nothing is drawn outside
    their convex hull there. The recommended configuration is a star and those it cannot be told apart from are ringed.
    CCE's accuracy is a line in the colour bar; what is clearly below it has the darkest colour, so that collapsed
    trials leave the others theirs.

    Args:
        sweep: The sweep.
        trials: All its trials, any state.
        axes_of: What lies across and what upwards, both numbers (`search.reports.searched.searched_axes`).
    """
    figure = new_figure(7.6, 6.2)
    axes = quiet(figure.add_subplot())
    plane = _Plane(*axes_of, rescaled=sweep.supervision == "gr" and [axis.name for axis in axes_of] == ["lam", "beta"])
    choice = pick(sweep, trials)
    placed = [
        (place, standing.objective.mean)
        for standing in searched_standings(sweep, trials)
        if (place := plane.place(standing.hyperparameters)) is not None
    ]
    x = np.array([place[0] for place, _ in placed], dtype=float)
    y = np.array([place[1] for place, _ in placed], dtype=float)
    objective = np.array([mean for _, mean in placed], dtype=float)
    scale = _scale(objective, choice)

    unfinished = [
        (place, trial)
        for trial in cut_short(sweep, trials)
        if (place := plane.place(trial.hyperparameters.items())) is not None
    ]
    if placed or unfinished:
        across = _limits([*x, *(place[0] for place, _ in unfinished)], plane.across.log)
        upwards = _limits([*y, *(place[1] for place, _ in unfinished)], plane.upwards.log)
        if plane.across.log:
            logarithmic(axes.xaxis, *across)
        if plane.upwards.log:
            logarithmic(axes.yaxis, *upwards)
        axes.set_xlim(*across)
        axes.set_ylim(*upwards)
    if len(placed) >= ENOUGH_TO_INTERPOLATE:
        between = plane.between(x, y, objective, axes.get_xlim(), axes.get_ylim())
        if between is not None:
            axes.pcolormesh(
                *between, cmap=COLOUR_MAP, norm=scale, alpha=0.45, rasterized=True, gid="interpolated"
            )
    if plane.rescaled and _is_continuous(sweep):
        _draw_kappa_guides(figure)
    _draw_stopped(figure, sweep, unfinished, scale)
    failed = [place for place, trial in unfinished if trial.state is TrialState.FAILED]
    if failed:
        x_of, y_of = zip(*failed, strict=True)
        axes.scatter(x_of, y_of, marker="x", c=BASELINE, s=45, label="failed", zorder=3)
    axes.scatter(
        x,
        y,
        c=objective,
        cmap=COLOUR_MAP,
        norm=scale,
        s=48,
        edgecolors="white",
        linewidths=0.8,
        zorder=4,
        gid="configurations",
    )
    if placed:  # the legend's dot is grey: no one colour stands for all
        axes.scatter([], [], c=GUIDE, s=48, label="configuration")
    if choice is not None:
        _draw_choice(figure, choice, scale, plane)
    axes.set_xlabel(plane.across.label, fontsize=11)
    axes.set_ylabel(plane.upwards.label, fontsize=11)
    _draw_colour_bar(sweep, figure, scale, objective, choice)
    if axes.get_legend_handles_labels()[0]:
        figure.legend(loc="outside lower left", ncols=3, fontsize=9, frameon=False, handletextpad=0.4)
    heading(figure, about(sweep), finding(sweep, choice))
    return figure


@dataclass(frozen=True, slots=True)
class _Plane:
    """Two hyper-parameters, and the coordinates in which colours are interpolated between them."""

    across: Axis
    upwards: Axis
    rescaled: bool

    def place(self, values: Iterable[tuple[str, Any]]) -> tuple[float, float] | None:
        """Where a configuration lies; None where it lacks one of the two."""
        known = dict(values)
        if self.across.name not in known or self.upwards.name not in known:
            return None
        return float(known[self.across.name]), float(known[self.upwards.name])

    def coordinates(self, x: Floats, y: Floats) -> tuple[Floats, Floats]:
        """Those of the interpolation, same shapes; of GR (lambda, kappa), kappa being proportional to beta."""
        if self.rescaled:
            exponents, where = np.unique(x, return_inverse=True)
            per_beta = np.array([kappa_of(1.0, lam) for lam in exponents])
            return x, y * per_beta[where].reshape(x.shape)
        return np.log(x) if self.across.log else x, np.log(y) if self.upwards.log else y

    def between(
        self, x: Floats, y: Floats, objective: Floats, x_limits: tuple[float, float], y_limits: tuple[float, float]
    ) -> tuple[Floats, Floats, Floats] | None:
        """Columns, rows and interpolated objective; None where the points span no area."""
        u, v = self.coordinates(x, y)
        wide, high = np.ptp(u), np.ptp(v)
        if wide == 0 or high == 0:
            return None
        try:
            triangles = Triangulation(u / wide, v / high)
        except (RuntimeError, ValueError):  # Qhull: all points on one line
            return None
        columns, rows = self._ticks(x_limits, self.across.log), self._ticks(y_limits, self.upwards.log)
        at_u, at_v = self.coordinates(*np.meshgrid(columns, rows))
        return columns, rows, LinearTriInterpolator(triangles, objective)(at_u / wide, at_v / high)

    def _ticks(self, limits: tuple[float, float], log: bool) -> Floats:
        low, high = limits
        if log:
            return np.geomspace(low, high, 400)
        return np.linspace(max(low, 0) if self.rescaled else low, high, 400)


def _scale(objective: Floats, choice: Choice | None) -> Normalize:
    if choice is None or not len(objective):
        return Normalize(0, 1)
    high = max(float(objective.max()), choice.winner.objective.mean)
    # Collapsed configurations must not take the colours away from those worth comparing: what is below CCE,
    # or below the median where few are above CCE, shares the darkest colour.
    low = float(np.median(objective)) if choice.baseline else float(objective.min())
    if choice.baseline is not None:
        low = min(low, choice.baseline.objective.mean)
    # Where all are equal, they have the colour of the best.
    low = max(min(low - 0.08 * (high - low), high - 0.01), 0)
    return Normalize(low, max(high, low + 0.01))


def _limits(values: Sequence[float], log: bool) -> tuple[float, float]:
    if log:
        low, high = _limits([math.log(value) for value in values], log=False)
        return math.exp(low), math.exp(high)
    low, high = min(values), max(values)
    margin = 0.06 * (high - low) or 0.5
    return low - margin, high + margin


def _is_continuous(sweep: SweepRecord) -> bool:
    space = sweep.spec.get("space")
    return isinstance(space, dict) and space.get("kind") in ("kappa", "box")


def _draw_kappa_guides(figure: Figure) -> None:
    axes = figure.axes[0]
    (left, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
    lam = np.linspace(max(left, 0), right, 200)
    for kappa in KAPPA_GUIDES:
        beta = np.array([beta_of(kappa, x) for x in lam])
        axes.plot(lam, beta, linestyle=":", color=GUIDE, linewidth=1.2, zorder=2, gid=f"kappa={kappa:g}")
        inside = np.flatnonzero(
            (beta < bottom + 0.97 * (top - bottom)) & (lam < left + 0.97 * (right - left))
        )
        if len(inside):
            end = inside[-1]
            axes.annotate(
                f"κ = {kappa:g}",
                (lam[end], beta[end]),
                fontsize=9,
                color=GUIDE,
                ha="right",
                va="bottom",
                xytext=(-7, 4),
                textcoords="offset points",
                zorder=5,
            )


def _draw_stopped(
    figure: Figure, sweep: SweepRecord, unfinished: Sequence[tuple[_Place, TrialRecord]], scale: Normalize
) -> None:
    objective = SearchObjective.recorded(sweep.spec, sweep.noise_rate, sweep.facts)
    stopped = [(place, trial.final) for place, trial in unfinished if trial.state is TrialState.PRUNED]
    if not stopped:
        return
    reached = [None if final is None else objective.value(final) for _, final in stopped]
    x_of, y_of = zip(*(place for place, _ in stopped), strict=True)
    style: dict[str, Any] = {"marker": "v", "s": 26, "edgecolors": GUIDE, "linewidths": 0.8}
    axes = figure.axes[0]
    axes.scatter(
        x_of,
        y_of,
        c=np.array(reached, dtype=float),
        cmap=COLOUR_MAP,
        norm=scale,
        plotnonfinite=True,
        zorder=3,
        gid="stopped",
        **style,
    )
    # Grey like the dot of the configurations.
    axes.scatter([], [], c=GUIDE, label="stopped early: accuracy then", **style)


def _draw_choice(figure: Figure, choice: Choice, scale: Normalize, plane: _Plane) -> None:
    axes = figure.axes[0]
    ties = [place for tie in choice.ties if (place := plane.place(tie.hyperparameters)) is not None]
    # With one seed every configuration ties: rings around all of them would say nothing.
    if ties and choice.winner.objective.n > 1:
        x_of, y_of = zip(*ties, strict=True)
        axes.scatter(
            x_of,
            y_of,
            s=150,
            marker="o",
            facecolors="none",
            edgecolors="black",
            linewidths=1.6,
            zorder=5,
            label="cannot be told apart from it",
            gid="ties",
        )
    winner = plane.place(choice.winner.hyperparameters)
    if winner is None:
        return
    axes.scatter(
        [winner[0]],
        [winner[1]],
        c=[choice.winner.objective.mean],
        cmap=COLOUR_MAP,
        norm=scale,
        s=330,
        marker="*",
        edgecolors="black",
        linewidths=1.4,
        zorder=6,
        label="recommended",
        gid="recommended",
    )


def _draw_colour_bar(
    sweep: SweepRecord, figure: Figure, scale: Normalize, objective: Floats, choice: Choice | None
) -> None:
    pointed = len(objective) > 0 and float(objective.min()) < (scale.vmin or 0)
    bar = figure.colorbar(
        ScalarMappable(scale, COLOUR_MAP), ax=figure.axes[0], pad=0.02, extend="min" if pointed else "neither"
    )
    bar.set_label(objective_axis(sweep), fontsize=11)
    bar.ax.tick_params(labelsize=10)
    if choice is not None and choice.baseline is not None:
        reached, highest = choice.baseline.objective.mean, float(scale.vmax or 1)
        # A label beyond the bar's end would leave no room for the map.
        height, above = min(reached, highest), reached > highest
        bar.ax.axhline(height, color=BASELINE, linewidth=2.5)
        bar.ax.annotate(
            f"CCE {reached:.2f}" + ("\nabove all" if above else ""),
            (0, height),
            xytext=(-3, -2 if above else 2),
            textcoords="offset points",
            color=BASELINE,
            fontsize=9,
            ha="right",
            va="top" if above else "bottom",
            fontweight="bold",
            annotation_clip=False,
        )
