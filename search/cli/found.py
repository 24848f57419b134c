"""What a sweep found, as commands that run one, wait for one or show one say it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from search.cli.streams import output
from search.cli.streams import say

if TYPE_CHECKING:
    from search.leaderboard import LeaderboardRow
    from search.recommendation import Recommendation
    from search.store import SweepRecord


def show_found(
    sweep: SweepRecord,
    rows: Sequence[LeaderboardRow],
    recommendation: Recommendation | None,
    stopped_early: int,
    title: str | None = None,
) -> None:
    """Print the leader board, what is recommended, and how many trials were given up early.

    Args:
        sweep: The sweep.
        rows: Its leader board.
        recommendation: What it recommends.
        stopped_early: How many of its trials a rule stopped.
        title: Of the leader board.
    """
    from search.display import recommendation_lines
    from search.reports.tables import leaderboard_table

    if rows:
        output().print(leaderboard_table(rows, title))
    for line in recommendation_lines(recommendation):
        say(line)
    if stopped_early:
        rule = sweep.spec["early_stopping"]
        say(f"  {stopped_early} trials stopped early by {rule}; with --early-stopping none all go to their end")
