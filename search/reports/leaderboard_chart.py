"""The leader board drawn: accuracies with their standard errors."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from search.leaderboard import LeaderboardRow
from search.leaderboard import Mark
from search.reports.appearance import BASELINE
from search.reports.appearance import GUIDE
from search.reports.appearance import RECOMMENDED
from search.reports.appearance import draw_estimate
from search.reports.appearance import heading
from search.reports.appearance import named
from search.reports.appearance import new_figure
from search.reports.appearance import quiet
from search.reports.appearance import trained_on
from search.reports.tables import mean_and_spread
from search.reports.tables import sign
from search.store import SweepRecord


def leaderboard_chart(sweep: SweepRecord, rows: Sequence[LeaderboardRow]) -> Figure:
    """The objective (filled, it ranks) and test accuracy (open) of the top configurations and the baseline.

    Args:
        sweep: The sweep.
        rows: The leader board, best first, the baseline last.
    """
    figure = new_figure(8, 1.9 + 0.34 * max(len(rows), 3))
    axes = quiet(figure.add_subplot(), grid="x")
    places = list(range(len(rows)))
    for measure, offset, face, label in (
        ("objective", -0.13, None, rows[0].objective.label if rows else "objective"),
        ("test_accuracy", 0.13, "white", "test"),
    ):
        for place, row in zip(places, rows, strict=True):
            estimate = getattr(row, measure)
            if estimate is None:
                continue
            draw_estimate(axes, estimate, place + offset, _colour(row), measure, filled=not face)
        axes.plot([], [], "o" if not face else "s", color=GUIDE, markerfacecolor=face or GUIDE, label=label)
    for place, (above, below) in enumerate(pairwise(rows)):
        if above.confirmed != below.confirmed:  # means over different seeds: not to be read across the line
            axes.axhline(place + 0.5, color=GUIDE, linewidth=0.8, linestyle=":")
    axes.set_yticks(places, [_label(row) for row in rows], fontsize=10)
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.xaxis.set_major_locator(MaxNLocator(6))
    # Flush right: long names leave the axis less room than its label needs.
    axes.set_xlabel(f"final accuracy, {mean_and_spread(rows)}", fontsize=11, loc="right")
    figure.legend(loc="outside lower left", ncols=2, fontsize=10, frameon=False)
    heading(figure, f"{trained_on(sweep)}: leader board")
    return figure


def _colour(row: LeaderboardRow) -> str:
    return {Mark.RECOMMENDED: RECOMMENDED, Mark.BASELINE: BASELINE}.get(row.mark, GUIDE)


def _label(row: LeaderboardRow) -> str:
    kind = "fresh" if row.confirmed else "search"
    seeds = f"{row.objective.n} {kind} seed{'s' if row.objective.n > 1 else ''}"
    defaults = " (defaults)" if row.mark is Mark.DEFAULTS else ""
    return f"{sign(row)}{named(row.supervision, row.hyperparameters)}{defaults}, {seeds}"
