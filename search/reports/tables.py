"""Tables: the leader board and recommendations, for a terminal (rich) and as Markdown."""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Sequence

from rich.box import SIMPLE_HEAD
from rich.console import JustifyMethod
from rich.table import Table
from rich.text import Text

from search.leaderboard import LeaderboardRow
from search.leaderboard import Mark
from search.recommend import Estimate
from search.recommend import Recommendation

LEADERBOARD_COLUMNS = ("#", "supervision", "λ", "β", "κ", "intact accuracy", "test accuracy", "seeds")
LEADERBOARD_NOTE = (
    "Final accuracies, eval mode, un-augmented: mean ± standard error over seeds. Intact accuracy "
    "(training set, original labels) ranks, test accuracy does not; fresh seeds played no part in the "
    "search. ★ recommended; ≈ not told apart from it by a paired t-test at 5%."
)
_MARKS = {Mark.RECOMMENDED: "★ ", Mark.TIE: "≈ ", Mark.BASELINE: "", Mark.NONE: ""}
_STYLES = {Mark.RECOMMENDED: "bold", Mark.TIE: "", Mark.BASELINE: "italic", Mark.NONE: ""}


def leaderboard_table(rows: Sequence[LeaderboardRow], title: str | None = None) -> Table:
    """The leader board as a rich renderable; the baseline stands below a line."""
    table = Table(
        title=title, title_justify="left", caption=LEADERBOARD_NOTE, caption_justify="left", box=SIMPLE_HEAD
    )
    for name in LEADERBOARD_COLUMNS:
        justify: JustifyMethod = "left" if name in ("supervision", "seeds") else "right"
        table.add_column(name, justify=justify)
    for row, following in zip(rows, [*rows[1:], None], strict=True):
        baseline_next = following is not None and following.mark is Mark.BASELINE
        # Text, not str: a plugin's supervision name in [brackets] must not be read as markup.
        cells = [Text(cell) for cell in _cells(row)]
        table.add_row(*cells, style=_STYLES[row.mark], end_section=baseline_next)
    return table


def leaderboard_markdown(rows: Sequence[LeaderboardRow], title: str | None = None) -> str:
    """The leader board as Markdown, with a line on how the numbers were taken."""
    heading = f"## {title}\n\n" if title else ""
    return f"{heading}{markdown_table(LEADERBOARD_COLUMNS, map(_cells, rows))}\n{LEADERBOARD_NOTE}\n"


def recommendations_markdown(recommendations: Sequence[Recommendation]) -> str:
    """One row a recommendation, beside its baseline; numbers rounded for reading."""
    columns = (
        "dataset",
        "noise rate",
        "backbone",
        "β",
        "λ",
        "intact accuracy",
        "test accuracy",
        "CCE intact",
        "CCE test",
        "not told apart from",
    )
    rows = []
    for each in recommendations:
        baseline = each.baseline
        rows.append(
            (
                each.dataset,
                f"{each.noise_rate:g} ({each.noise_model})",
                each.backbone,
                f"{each.recommended.beta:.4g}",
                f"{each.recommended.lam:.4g}",
                str(each.objective),
                str(each.test_accuracy or "–"),
                str(baseline.objective) if baseline else "–",
                str(baseline.test_accuracy or "–") if baseline else "–",
                _ties(each),
            )
        )
    note = (
        "Mean ± standard error over seeds; final epoch, eval mode, un-augmented; intact = training images "
        "with their original labels."
    )
    unconfirmed = [each for each in recommendations if not each.provenance.confirmed]
    if unconfirmed:
        note += " Not confirmed on fresh seeds: " + ", ".join(
            f"{each.dataset} at {each.noise_rate:g}" for each in unconfirmed
        )
        note += "; the best of a search on its own seeds is too good on average."
    return f"{markdown_table(columns, rows)}\n{note}\n"


def markdown_table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table; pipes and line breaks in cells are escaped."""
    lines = [_markdown_row(columns), _markdown_row(["---"] * len(columns))]
    return "\n".join([*lines, *map(_markdown_row, rows)]) + "\n"


def accuracy(estimate: Estimate | None) -> str:
    """Mean and standard error, e.g. ``0.951 ± 0.004``; the mean alone for one seed, a dash for none."""
    if estimate is None:
        return "–"
    return f"{estimate.mean:.3f}" + ("" if estimate.sem is None else f" ± {estimate.sem:.3f}")


def _cells(row: LeaderboardRow) -> list[str]:
    return [
        _MARKS[row.mark] + ("" if row.rank is None else str(row.rank)),
        row.supervision if row.beta is not None else row.label,
        *("" if value is None else f"{value:.3g}" for value in (row.lam, row.beta, row.kappa)),
        accuracy(row.objective),
        accuracy(row.test_accuracy),
        f"{row.objective.n} {'fresh' if row.confirmed else 'search'}",
    ]


def _ties(recommendation: Recommendation, shown: int = 4) -> str:
    ties = [f"({tie.beta:.3g}, {tie.lam:.3g})" for tie in recommendation.ties]
    more = f" and {len(ties) - shown} more" if len(ties) > shown else ""
    return "(β, λ) = " + ", ".join(ties[:shown]) + more if ties else "–"


def _markdown_row(cells: Sequence[str]) -> str:
    escaped = (cell.replace("\\", "\\\\").replace("|", "\\|").replace("\n", "<br>") for cell in cells)
    return f"| {' | '.join(escaped)} |"
