"""The objective over (lambda, beta), with the trials as points."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.tri import LinearTriInterpolator
from matplotlib.tri import Triangulation
from numpy.typing import NDArray

from search.recommend import Choice
from search.recommend import Standing
from search.recommend import pick
from search.recommend import standings
from search.reports.appearance import BASELINE
from search.reports.appearance import COLOUR_MAP
from search.reports.appearance import GUIDE
from search.reports.appearance import heading
from search.reports.appearance import new_figure
from search.reports.appearance import quiet
from search.store import Phase
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


def objective_map(sweep: SweepRecord, trials: Sequence[TrialRecord]) -> Figure:
    """Final intact accuracy over (lambda, beta).

    A point is one configuration, coloured by its mean over the search's seeds; pruned and failed ones are
    crosses. Between the points the colour is interpolated linearly in (lambda, kappa), where the objective
    varies least, and nothing is drawn outside the points' convex hull there. The recommended configuration
    is a star and those it cannot be told apart from are ringed. CCE's accuracy is a line in the colour bar;
    what is clearly below it has the darkest colour, so that collapsed trials leave the others theirs.

    Args:
        sweep: The sweep.
        trials: All its trials, any state.
    """
    figure = new_figure(7.6, 6.2)
    axes = quiet(figure.add_subplot())
    choice = pick(trials)
    points = [standing for standing in _searched(trials) if standing.is_gradient_rescaling]
    lam = np.array([point.lam for point in points], dtype=float)
    beta = np.array([point.beta for point in points], dtype=float)
    objective = np.array([point.objective.mean for point in points], dtype=float)
    scale = _scale(objective, choice)

    unfinished = _unfinished(trials)
    all_lam = np.concatenate([lam, [x for x, _, _ in unfinished]])
    all_beta = np.concatenate([beta, [y for _, y, _ in unfinished]])
    if len(all_lam):
        axes.set_xlim(*_limits(all_lam))
        axes.set_ylim(*_limits(all_beta))
    if len(points) >= ENOUGH_TO_INTERPOLATE:
        between = _between(lam, beta, objective, axes.get_xlim(), axes.get_ylim())
        if between is not None:
            axes.pcolormesh(
                *between, cmap=COLOUR_MAP, norm=scale, alpha=0.45, rasterized=True, gid="interpolated"
            )
    if _is_continuous(sweep):
        _draw_kappa_guides(figure)
    for state, label in ((TrialState.PRUNED, "stopped early"), (TrialState.FAILED, "failed")):
        crosses = [(x, y) for x, y, reached in unfinished if reached is state]
        if crosses:
            marker = "x" if state is TrialState.FAILED else "1"
            colour = BASELINE if state is TrialState.FAILED else GUIDE
            x, y = zip(*crosses, strict=True)
            axes.scatter(x, y, marker=marker, c=colour, s=45, label=label, zorder=3)
    axes.scatter(
        lam,
        beta,
        c=objective,
        cmap=COLOUR_MAP,
        norm=scale,
        s=48,
        edgecolors="white",
        linewidths=0.8,
        zorder=4,
        gid="configurations",
    )
    if points:  # the legend's dot is grey: no one colour stands for all
        axes.scatter([], [], c=GUIDE, s=48, label="configuration")
    if choice is not None:
        _draw_choice(figure, choice, scale)
    axes.set_xlabel("λ  (emphasis focus at p = λ / (1 + λ))", fontsize=11)
    axes.set_ylabel("β  (emphasis spread)", fontsize=11)
    _draw_colour_bar(figure, scale, objective, choice)
    if axes.get_legend_handles_labels()[0]:
        figure.legend(loc="outside lower left", ncols=5, fontsize=9, frameon=False, handletextpad=0.4)
    heading(figure, f"{sweep.dataset}, noise rate {sweep.noise_rate:g}, {sweep.backbone}", _finding(choice))
    return figure


def _searched(trials: Sequence[TrialRecord]) -> list[Standing]:
    # Search trials share their seeds, so their colours compare; a confirmed mean is from other seeds.
    return standings(trials, Phase.SEARCH) or standings(trials, Phase.CONFIRM)


def _unfinished(trials: Sequence[TrialRecord]) -> list[tuple[float, float, TrialState]]:
    ended = (TrialState.PRUNED, TrialState.FAILED)
    return [
        (trial.hyperparameters["lam"], trial.hyperparameters["beta"], trial.state)
        for trial in trials
        if trial.state in ended and trial.supervision == "gr"
    ]


def _scale(objective: Floats, choice: Choice | None) -> Normalize:
    if choice is None or not len(objective):
        return Normalize(0, 1)
    high = max(float(objective.max()), choice.winner.objective.mean)
    # Collapsed configurations must not take the colours away from those worth comparing: what is below CCE,
    # or below the median where few are above CCE, shares the darkest colour.
    low = float(np.median(objective)) if choice.baseline else float(objective.min())
    if choice.baseline is not None:
        low = min(low, choice.baseline.objective.mean)
    return Normalize(max(low - 0.08 * (high - low), 0), max(high, low + 0.01))


def _limits(values: Floats) -> tuple[float, float]:
    low, high = float(values.min()), float(values.max())
    margin = 0.06 * (high - low) or 0.5
    return low - margin, high + margin


def _between(
    lam: Floats,
    beta: Floats,
    objective: Floats,
    lam_limits: tuple[float, float],
    beta_limits: tuple[float, float],
) -> tuple[Floats, Floats, Floats] | None:
    kappa = np.array([kappa_of(b, x) for b, x in zip(beta, lam, strict=True)])
    wide, high = np.ptp(lam), np.ptp(kappa)
    if wide == 0 or high == 0:
        return None
    try:
        triangles = Triangulation(lam / wide, kappa / high)
    except (RuntimeError, ValueError):  # Qhull: all points on one line
        return None
    columns = np.linspace(max(lam_limits[0], 0), lam_limits[1], 400)
    rows = np.linspace(max(beta_limits[0], 0), beta_limits[1], 400)
    at_lam, at_beta = np.meshgrid(columns, rows)
    per_beta = np.array([kappa_of(1.0, x) for x in columns])  # kappa is proportional to beta
    interpolate = LinearTriInterpolator(triangles, objective)
    return columns, rows, interpolate(at_lam / wide, at_beta * per_beta / high)


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


def _draw_choice(figure: Figure, choice: Choice, scale: Normalize) -> None:
    axes = figure.axes[0]
    # With one seed every configuration ties: rings around all of them would say nothing.
    if choice.ties and choice.winner.objective.n > 1:
        axes.scatter(
            [tie.lam or 0.0 for tie in choice.ties],
            [tie.beta or 0.0 for tie in choice.ties],
            s=150,
            marker="o",
            facecolors="none",
            edgecolors="black",
            linewidths=1.6,
            zorder=5,
            label="cannot be told apart from it",
            gid="ties",
        )
    axes.scatter(
        [choice.winner.lam or 0.0],
        [choice.winner.beta or 0.0],
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


def _draw_colour_bar(figure: Figure, scale: Normalize, objective: Floats, choice: Choice | None) -> None:
    pointed = len(objective) > 0 and float(objective.min()) < (scale.vmin or 0)
    bar = figure.colorbar(
        ScalarMappable(scale, COLOUR_MAP), ax=figure.axes[0], pad=0.02, extend="min" if pointed else "neither"
    )
    bar.set_label("final intact-training-set accuracy", fontsize=11)
    bar.ax.tick_params(labelsize=10)
    if choice is not None and choice.baseline is not None:
        reached = choice.baseline.objective.mean
        bar.ax.axhline(reached, color=BASELINE, linewidth=2.5)
        bar.ax.annotate(
            f"CCE {reached:.2f}",
            (0, reached),
            xytext=(-3, 2),
            textcoords="offset points",
            color=BASELINE,
            fontsize=9,
            ha="right",
            va="bottom",
            fontweight="bold",
            annotation_clip=False,
        )


def _finding(choice: Choice | None) -> str:
    if choice is None:
        return "no configuration has finished yet"
    seeds = "fresh seeds" if choice.confirmed else "the search's own seeds"
    winner = choice.winner
    return f"best on {seeds}: β = {winner.beta:.3g}, λ = {winner.lam:.3g}, intact {winner.objective}"
