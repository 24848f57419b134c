"""Supervisions against each other as a picture."""

from __future__ import annotations

from textwrap import fill

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from search.compare import BASELINE as CCE
from search.compare import DEFAULTS
from search.compare import ComparedRow
from search.compare import Comparison
from search.reports.appearance import BASELINE
from search.reports.appearance import GUIDE
from search.reports.appearance import RECOMMENDED
from search.reports.appearance import draw_estimate
from search.reports.appearance import heading
from search.reports.appearance import new_figure
from search.reports.appearance import quiet


def comparison_chart(comparison: Comparison) -> Figure:
    """Final objective and test accuracy of every row with their standard errors, best first; CCE as a line.

    Args:
        comparison: The rows that failed are left out.
    """
    rows = [row for row in comparison.rows if row.objective is not None]
    figure = new_figure(10, 1.9 + 0.42 * max(len(rows), 3))
    axes = quiet(figure.add_subplot(), grid="x")
    label = rows[0].objective.label if rows and rows[0].objective else "objective"
    for measure, offset, marker, filled, name in (
        ("objective", -0.13, "o", True, label),
        ("test_accuracy", 0.13, "s", False, "test accuracy"),
    ):
        for place, row in enumerate(rows):
            estimate = getattr(row, measure)
            if estimate is None:
                continue
            draw_estimate(axes, estimate, place + offset, _colour(row), measure, filled)
        axes.plot([], [], marker, color=GUIDE, markerfacecolor=GUIDE if filled else "white", label=name)
    for row in rows:
        if row.how == CCE and row.objective is not None:
            axes.axvline(row.objective.mean, color=BASELINE, linestyle=(0, (4, 2)), linewidth=1, gid="CCE")
    axes.set_yticks(range(len(rows)), [_named(row) for row in rows], fontsize=9)
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.xaxis.set_major_locator(MaxNLocator(8))
    seeds = f"the same {len(comparison.seeds)} fresh seeds"
    axes.set_xlabel(f"final accuracy, mean ± standard error over {seeds}", fontsize=11)
    figure.legend(loc="outside lower left", ncols=2, fontsize=10, frameon=False)
    heading(figure, f"{comparison.title}: supervisions")
    return figure


def _named(row: ComparedRow) -> str:
    # Defaults have their values in the table, and may be many.
    return fill(f"{row.supervision}, {row.how}" if row.how == DEFAULTS else f"{row.label}, {row.how}", 46)


def _colour(row: ComparedRow) -> str:
    if row.how == CCE:
        return BASELINE
    return GUIDE if row.how == DEFAULTS else RECOMMENDED
