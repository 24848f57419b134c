"""Tables: the leader board and recommendations, for a terminal (rich) and as Markdown."""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Sequence
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.console import JustifyMethod
from rich.table import Table
from rich.text import Text

from search.leaderboard import LeaderboardRow
from search.leaderboard import Mark
from search.naming import in_order
from search.naming import symbol
from search.naming import symbols
from search.recommendation import Recommendation
from search.recommendation import dataset_names
from search.standings import Estimate

_MARKS = {Mark.RECOMMENDED: "★ ", Mark.TIE: "≈ ", Mark.BASELINE: "", Mark.DEFAULTS: "", Mark.NONE: ""}
_STYLES = {
    Mark.RECOMMENDED: "bold",
    Mark.TIE: "",
    Mark.BASELINE: "italic",
    Mark.DEFAULTS: "italic",
    Mark.NONE: "",
}


def sign(row: LeaderboardRow) -> str:
    """What stands before a row: ``★ `` the recommended one, ``≈ `` what its seeds do not tell apart from that."""
    # With one seed nothing is told apart from anything, and no test was made.
    return "" if row.mark is Mark.TIE and row.objective.n == 1 else _MARKS[row.mark]


def mean_and_spread(rows: Sequence[LeaderboardRow]) -> str:
    """What the numbers of a leader board are, for a caption."""
    counted = any(row.objective.n == 1 and row.objective.sem is not None for row in rows)
    return f"mean ± standard error over seeds{', of one seed that of counting' if counted else ''}"


def leaderboard_table(rows: Sequence[LeaderboardRow], title: str | None = None) -> Table:
    """The leader board as a rich renderable; the baseline stands below a line."""
    table = Table(
        title=title,
        title_justify="left",
        caption=_note(rows),
        caption_justify="left",
        box=SIMPLE_HEAD,
        # Eighty columns are enough.
        pad_edge=False,
        collapse_padding=True,
    )
    names = _value_names(rows)
    for name in _leaderboard_columns(rows, names):
        justify: JustifyMethod = "left" if name in ("supervision", "seeds") else "right"
        table.add_column(name, justify=justify)
    for row, following in zip(rows, [*rows[1:], None], strict=True):
        baseline_next = row.rank is not None and following is not None and following.rank is None
        # Text, not str: a plugin's supervision name in [brackets] must not be read as markup.
        cells = [Text(cell) for cell in _cells(row, names, _shows_intact(rows))]
        table.add_row(*cells, style=_STYLES[row.mark], end_section=baseline_next)
    return table


def leaderboard_markdown(rows: Sequence[LeaderboardRow], title: str | None = None) -> str:
    """The leader board as Markdown, with a line on how the numbers were taken."""
    heading = f"## {title}\n\n" if title else ""
    names = _value_names(rows)
    table = markdown_table(_leaderboard_columns(rows, names), [_cells(row, names, _shows_intact(rows)) for row in rows])
    return f"{heading}{table}\n{_note(rows)}\n"


def recommendations_markdown(recommendations: Sequence[Recommendation]) -> str:
    """One row a recommendation, beside its baseline; numbers rounded for reading."""
    others_guide = any(each.objective.name != "intact_train_accuracy" for each in recommendations)
    columns = (
        "dataset",
        "noise rate",
        "backbone",
        "supervision",
        "recommended",
        "trained",
        *(["guided by"] if others_guide else []),
        "intact accuracy",
        "test accuracy",
        "CCE intact",
        "CCE test",
        "not told apart from",
    )
    rows = []
    datasets = dataset_names(recommendations)
    for each, dataset in zip(recommendations, datasets, strict=True):
        baseline = each.baseline
        rows.append(
            (
                dataset,
                f"{each.noise_rate:g} ({_noise(each)})",
                each.backbone,
                each.recommended.supervision,
                symbols(each.recommended.supervision, each.recommended.found, ", ") or "–",
                _trained(each),
                *([f"{each.objective.label} {each.objective}"] if others_guide else []),
                str(each.intact_accuracy or "–"),
                str(each.test_accuracy or "–"),
                str(baseline.intact_accuracy or "–") if baseline else "–",
                str(baseline.test_accuracy or "–") if baseline else "–",
                _ties(each),
            )
        )
    note = (
        "Mean ± standard error over seeds; final epoch, eval mode, un-augmented; intact = training images "
        "with their original labels."
    )
    note += "".join(
        f" {dataset} at {each.noise_rate:g}: {' '.join(each.caveats)}"
        for each, dataset in zip(recommendations, datasets, strict=True)
        if each.caveats
    )
    return f"{markdown_table(columns, rows)}\n{note}\n"


def _noise(found: Recommendation) -> str:
    told = found.provenance
    file = None if told.noise_file is None else Path(told.noise_file).name
    return " ".join(part for part in (found.noise_model, file, told.noise_column) if part)


def _trained(found: Recommendation) -> str:
    epochs, limit = found.provenance.epochs, found.provenance.limit_train
    return f"{epochs} epoch{'' if epochs == 1 else 's'}{'' if limit is None else f' of {limit:,} examples'}"


def markdown_table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table; pipes and line breaks in cells are escaped."""
    lines = [_markdown_row(columns), _markdown_row(["---"] * len(columns))]
    return "\n".join([*lines, *map(_markdown_row, rows)]) + "\n"


def accuracy(estimate: Estimate | None) -> str:
    """Mean and standard error, e.g. ``0.951 ± 0.004``; the mean alone for one seed, a dash for none."""
    if estimate is None:
        return "–"
    return f"{estimate.mean:.3f}" + ("" if estimate.sem is None else f" ± {estimate.sem:.3f}")


def _note(rows: Sequence[LeaderboardRow]) -> str:
    return (
        f"Final accuracies, eval mode, un-augmented: {mean_and_spread(rows)}. The first accuracy "
        "ranks, test accuracy does not (intact: training set, original labels); fresh seeds played no part in the "
        "search. ★ recommended; ≈ not told apart from it by a paired t-test at 5%."
    )


_GRADIENT_RESCALING = ("lam", "beta", "kappa")


def _value_names(rows: Sequence[LeaderboardRow]) -> list[str]:
    """The values that get a column each: those of the supervision that is searched, whose rows come first."""
    if not rows:
        return []
    searched = [row for row in rows if row.supervision == rows[0].supervision]
    names = sorted({name for row in searched for name, _ in row.hyperparameters})
    if rows[0].supervision != "gr":
        return names
    return [*_GRADIENT_RESCALING, *(name for name in names if name not in _GRADIENT_RESCALING)]


def _leaderboard_columns(rows: Sequence[LeaderboardRow], names: Sequence[str]) -> list[str]:
    shown = ["κ" if name == "kappa" else symbol(rows[0].supervision, name) for name in names]
    measured = [rows[0].objective.label if rows else "objective", *(["intact accuracy"] if _shows_intact(rows) else [])]
    return ["#", "supervision", *shown, *measured, "test accuracy", "seeds"]


def _shows_intact(rows: Sequence[LeaderboardRow]) -> bool:
    """Whether intact accuracy is known and did not guide the search."""
    guided = any(row.objective.name == "intact_train_accuracy" for row in rows)
    return not guided and any(row.intact_accuracy is not None for row in rows)


def _cells(row: LeaderboardRow, names: Sequence[str], shows_intact: bool) -> list[str]:
    values = dict(row.hyperparameters)
    if row.kappa is not None:
        values["kappa"] = row.kappa
    name = row.supervision if values.keys() <= set(names) else row.label
    return [
        sign(row) + ("" if row.rank is None else str(row.rank)),
        f"{name} (defaults)" if row.mark is Mark.DEFAULTS else name,
        *(_cell(values[name]) if name in values and values.keys() <= set(names) else "" for name in names),
        accuracy(row.objective),
        *([accuracy(row.intact_accuracy)] if shows_intact else []),
        accuracy(row.test_accuracy),
        f"{row.objective.n} {'fresh' if row.confirmed else 'search'}",
    ]


def _cell(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, int | float) else str(value)


def _ties(recommendation: Recommendation, shown: int = 4) -> str:
    supervision, ties = recommendation.recommended.supervision, recommendation.ties
    if not ties or recommendation.objective.n == 1:
        return "–"
    more = f" and {len(ties) - shown} more" if len(ties) > shown else ""
    names = sorted(ties[0].hyperparameters)
    listed = ["(" + ", ".join(_cell(value) for _, value in in_order(tie.hyperparameters)) + ")" for tie in ties[:shown]]
    if any(sorted(tie.hyperparameters) != names for tie in ties[:shown]):
        return ", ".join(f"({symbols(supervision, tie.hyperparameters, ', ')})" for tie in ties[:shown]) + more
    return f"({', '.join(symbol(supervision, name) for name in names)}) = {', '.join(listed)}{more}"


def _markdown_row(cells: Sequence[str]) -> str:
    escaped = (cell.replace("\\", "\\\\").replace("|", "\\|").replace("\n", "<br>") for cell in cells)
    return f"| {' | '.join(escaped)} |"
