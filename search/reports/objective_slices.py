"""The objective against each hyper-parameter that was searched, a panel each."""

from __future__ import annotations

import math
from collections.abc import Mapping
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from search.recommendation import Choice
from search.recommendation import pick
from search.reports.appearance import BASELINE
from search.reports.appearance import GUIDE
from search.reports.appearance import RECOMMENDED
from search.reports.appearance import TIE
from search.reports.appearance import about
from search.reports.appearance import finding
from search.reports.appearance import heading
from search.reports.appearance import logarithmic
from search.reports.appearance import new_figure
from search.reports.appearance import objective_axis
from search.reports.appearance import quiet
from search.reports.searched import Axis
from search.reports.searched import cut_short
from search.reports.searched import searched_axes
from search.reports.searched import searched_standings
from search.store import SweepRecord
from search.store import TrialRecord
from spaces import Value

_PANELS_A_ROW = 3


def objective_slices(sweep: SweepRecord, trials: Sequence[TrialRecord]) -> Figure | None:
    """The objective against each searched hyper-parameter; None where nothing was searched.

    A dot is one configuration, at its mean over the search's seeds; a cross at the foot one that failed or was stopped.
    The recommended configuration is a star at the mean that it was chosen by, with its standard error and a thin line
    to its dot; the dots of those that it cannot be told apart from are ringed. The dashed line is CCE.

    Args:
        sweep: The sweep.
        trials: All its trials, any state.
    """
    found = searched_axes(sweep, trials)
    if not found:
        return None
    choice = pick(sweep, trials)
    columns = min(len(found), _PANELS_A_ROW)
    rows = math.ceil(len(found) / columns)
    figure = new_figure(max(7.6, 3.9 * columns), 1.2 + 3.6 * rows)
    panels = np.atleast_1d(figure.subplots(rows, columns, sharey=True)).ravel()
    for number, (axes, axis) in enumerate(zip(panels, found, strict=False)):
        quiet(axes, grid="y")
        _draw(axes, axis, sweep, trials, choice)
        axes.set_xlabel(axis.label, fontsize=11)
        if number % columns == 0:
            axes.set_ylabel(objective_axis(sweep), fontsize=11)
    for axes in panels[len(found) :]:
        axes.set_visible(False)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower left", ncols=3, fontsize=9, frameon=False, handletextpad=0.4)
    if len(found) == 1:
        heading(figure, about(sweep), finding(sweep, choice))
    else:  # a title of the first panel would push the others away
        figure.suptitle(f"{about(sweep)}\n{finding(sweep, choice)}", x=0.01, ha="left", fontsize=12)
    return figure


def _draw(
    axes: Axes, axis: Axis, sweep: SweepRecord, trials: Sequence[TrialRecord], choice: Choice | None
) -> None:
    if axis.words:
        axes.set_xticks(range(len(axis.words)), axis.words)
        axes.set_xlim(-0.5, len(axis.words) - 0.5)
    points = {
        standing.hyperparameters: (place, standing.objective.mean)
        for standing in searched_standings(sweep, trials)
        if (place := _place(axis, dict(standing.hyperparameters))) is not None
    }
    fresh = choice is not None and choice.confirmed
    if points:
        x, y = zip(*points.values(), strict=True)
        if axis.log:
            logarithmic(axes.xaxis, min(x), max(x))
        label = f"configuration{' (search)' if fresh else ''}"
        axes.scatter(x, y, s=48, c=GUIDE, edgecolors="white", label=label, gid="configurations")
    lost = [place for trial in cut_short(sweep, trials) if (place := _place(axis, trial.hyperparameters)) is not None]
    if lost:
        foot = axes.get_xaxis_transform()
        axes.scatter(lost, [0.02] * len(lost), marker="x", c=BASELINE, s=45, transform=foot, label="failed or stopped")
    if choice is None:
        return
    if choice.baseline is not None:
        reached = choice.baseline.objective.mean
        axes.axhline(reached, color=BASELINE, linestyle=(0, (4, 2)), linewidth=1.6, label=f"CCE {reached:.3f}")
    # With one seed every configuration ties: rings around all of them would say nothing.
    for tie in choice.ties if choice.winner.objective.n > 1 else ():
        if tie.hyperparameters in points:
            said = None if tie is not choice.ties[0] else "cannot be told apart from it"
            axes.plot(*points[tie.hyperparameters], "o", markersize=10, markerfacecolor="none", color=TIE, label=said)
    place, found = _place(axis, dict(choice.winner.hyperparameters)), choice.winner.objective
    if place is not None:
        _, searched = points.get(choice.winner.hyperparameters, (place, found.mean))
        axes.plot([place, place], [searched, found.mean], color=RECOMMENDED, linewidth=0.8)
        axes.errorbar(
            [place],
            [found.mean],
            yerr=found.sem or None,
            marker="*",
            markersize=17,
            markeredgecolor="black",
            color=RECOMMENDED,
            capsize=3,
            linestyle="none",
            label=f"recommended{' (fresh seeds)' if fresh else ''}",
        )


def _place(axis: Axis, values: Mapping[str, Value]) -> float | None:
    """Where a configuration stands on an axis; None where it has no such value."""
    value = values.get(axis.name)
    if value is None:
        return None
    return float(axis.words.index(str(value))) if axis.words else float(value)
