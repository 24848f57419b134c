"""Tables say what the leader board holds."""

from __future__ import annotations

from dataclasses import replace

from recorded_sweeps import RecordedSweep
from recorded_sweeps import RecordSweep
from rich.console import Console

from search.leaderboard import Mark
from search.leaderboard import leaderboard
from search.reports.leaderboard_chart import leaderboard_chart
from search.reports.tables import leaderboard_markdown
from search.reports.tables import leaderboard_table
from search.reports.tables import mean_and_spread
from spaces import Configuration


def rendered(sweep: RecordedSweep, width: int) -> str:
    console = Console(width=width, record=True, file=None, quiet=False)
    with console.capture() as captured:
        console.print(leaderboard_table(leaderboard(sweep.record, sweep.trials), "digits"))
    return captured.get()


def test_terminal_table_shows_the_numbers_and_the_baseline_last(confirmed_sweep: RecordedSweep) -> None:
    lines = [line.split() for line in rendered(confirmed_sweep, 110).splitlines()]
    (best,) = [line for line in lines if line[:2] == ["★", "1"]]
    assert best == [
        "★",
        "1",
        "gr",
        "1",
        "16",
        "4",
        "0.960",
        "±",
        "0.006",
        "0.940",
        "±",
        "0.006",
        "3",
        "fresh",
    ]
    tied = [line for line in lines if line[:2] == ["≈", "2"]]
    assert len(tied) == 1
    baseline = next(number for number, line in enumerate(lines) if line[:1] == ["cce"])
    last = next(number for number, line in enumerate(lines) if line[:1] == ["10"])
    assert baseline > last


def test_terminal_table_keeps_every_number_on_a_narrow_terminal(confirmed_sweep: RecordedSweep) -> None:
    text = rendered(confirmed_sweep, 80)
    assert "…" not in text
    assert "0.960" in text


def test_names_in_brackets_are_not_read_as_markup(record_sweep: RecordSweep) -> None:
    sweep = record_sweep()
    sweep.searched((8, 1), 0.9)
    trial = sweep.store.add_trial(
        sweep.id, phase=sweep.trials[0].phase, configuration=1, repeat=0, supervision="[bold]mine",
        hyperparameters={"q": 0.7}, params={}, noise_rate=0.4, seed=0, noise_seed=1000,
    )  # fmt: skip
    sweep.store.start_attempt(trial.id, "here", 1)
    final = sweep.trials[0].final
    sweep.store.finish_trial(trial.id, sweep.trials[0].state, objective=0.8, final=final, best=final)
    assert "[bold]mine(q=0.7)" in rendered(sweep, 110)


def test_the_values_of_another_supervision_have_a_column_each(record_sweep: RecordSweep) -> None:
    sweep = record_sweep(supervision="gce")
    sweep.searched(Configuration.of("gce", q=0.5, weight_decay=1e-3), 0.9)
    sweep.searched(Configuration.of("gce", q=0.7), 0.8)
    sweep.searched((8, 1), 0.7)
    text = leaderboard_markdown(leaderboard(sweep.record, sweep.trials))
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    assert rows[0] == "| # | supervision | q | weight_decay | intact accuracy | test accuracy | seeds |"
    assert rows[2].startswith("| ★ 1 | gce | 0.5 | 0.001 | 0.900 |")
    assert rows[3].startswith("| 2 | gce | 0.7 |  | 0.800 |")
    assert rows[4].startswith("| 3 | gr(beta=8, lam=1) |  |  | 0.700 |")


def test_one_seed_ties_with_nothing_and_its_spread_is_that_of_counting(record_sweep: RecordSweep) -> None:
    sweep = record_sweep()
    sweep.searched((16, 1), 0.9)
    sweep.searched((8, 1), 0.89)
    rows = leaderboard(sweep.record, sweep.trials)
    assert mean_and_spread(rows) == "mean ± standard error over seeds"
    rows = [replace(row, objective=replace(row.objective, sem=0.01)) for row in rows]
    assert [row.mark for row in rows] == [Mark.RECOMMENDED, Mark.TIE]
    text = leaderboard_markdown(rows)
    assert "| ≈" not in text
    assert "mean ± standard error over seeds, of one seed that of counting." in text
    assert mean_and_spread(rows) in leaderboard_chart(sweep.record, rows).axes[0].get_xlabel()


def test_markdown_table_has_a_row_for_each_and_says_how_it_was_measured(
    confirmed_sweep: RecordedSweep,
) -> None:
    text = leaderboard_markdown(leaderboard(confirmed_sweep.record, confirmed_sweep.trials, top=3), "digits")
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    assert len(rows) == 2 + 3 + 1
    assert rows[-1] == "|  | cce |  |  |  | 0.610 ± 0.006 | 0.590 ± 0.006 | 3 fresh |"
    assert "eval mode, un-augmented" in text
