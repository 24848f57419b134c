"""What a person sees of a running sweep."""

from __future__ import annotations

import io
import math
import re
from dataclasses import replace

import pytest
from recorded_sweeps import RecordedSweep
from recorded_sweeps import RecordSweep
from rich.console import Console

from search.display import duration
from search.display import panel
from search.display import progress_display
from search.display import recommendation_lines
from search.leaderboard import best_so_far
from search.recommendation import choose
from search.status import SweepStatus
from search.store import Progress
from search.store import SweepState
from spaces import Configuration

STATUS = SweepStatus(
    sweep_id="digits-r40-x",
    dataset="digits",
    noise_rate=0.4,
    state=SweepState.RUNNING,
    progress=Progress(running=2),
    planned=42,
    best=None,
    baseline_objective=None,
    elapsed_seconds=3.0,
    remaining_seconds=None,
    message="searching",
)


def shown(*statuses: SweepStatus, terminal: bool) -> str:
    console = Console(file=io.StringIO(), force_terminal=terminal, width=100, color_system=None)
    with progress_display(console) as display:
        for status in statuses:
            display.show(status)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_without_a_terminal_each_finished_trial_or_change_of_state_is_one_line() -> None:
    later = replace(STATUS, elapsed_seconds=4.0, progress=Progress(running=1, waiting=1))
    finished = replace(STATUS, progress=Progress(running=2, done=1))
    confirming = replace(finished, message="confirming")
    lines = shown(STATUS, STATUS, later, finished, finished, confirming, terminal=False).splitlines()
    assert [line.split(" | ")[1:3] for line in lines] == [
        ["searching", "0/42 trials, 2 running"],
        ["searching", "1/42 trials, 2 running"],
        ["confirming", "1/42 trials, 2 running"],
    ]
    assert not any("\x1b" in line for line in lines)


def test_a_line_names_the_best_point_the_baseline_and_the_times(confirmed_sweep: RecordedSweep) -> None:
    status = replace(
        STATUS,
        progress=Progress(running=1, done=14, failed=3, pruned=6),
        best=best_so_far(confirmed_sweep.record, confirmed_sweep.trials),
        baseline_objective=0.61,
        elapsed_seconds=72,
        remaining_seconds=33.3,
    )
    line = shown(status, terminal=False)
    assert "23/42 trials, 1 running, 6 stopped early, 3 failed" in line
    assert "best β=16 λ=1 intact accuracy 0.960 ± 0.006 on fresh seeds | CCE 0.610" in line
    assert "1 min 12 s | about 33 s left" in line


def test_what_is_left_is_said_while_trials_are_missing_and_a_rate_once_it_is_known() -> None:
    console = Console(file=io.StringIO(), width=100)
    over = replace(STATUS, progress=Progress(done=42), remaining_seconds=0.0, noise_rate=math.nan)
    console.print(panel(over))
    assert isinstance(console.file, io.StringIO)
    text, plain = console.file.getvalue(), shown(over, terminal=False)
    assert "remaining" not in text
    assert "left" not in plain
    assert "digits, noise rate unknown" in text
    assert "digits r=unknown | searching" in plain


def test_terminal_shows_trials_by_state_and_clocks_that_run_on(confirmed_sweep: RecordedSweep) -> None:
    status = replace(
        STATUS,
        progress=Progress(running=2, done=14, failed=3, pruned=6),
        best=best_so_far(confirmed_sweep.record, confirmed_sweep.trials),
        remaining_seconds=60.0,
    )
    console = Console(file=io.StringIO(), width=100)
    console.print(panel(status, seconds_since=20.0))
    assert isinstance(console.file, io.StringIO)
    text = console.file.getvalue()
    assert "done 14   stopped early 6   running 2   failed 3" in text
    assert "23/42 trials" in text
    assert "best so far: β=16 λ=1 intact accuracy 0.960" in text
    assert "CCE: not yet measured" in text
    assert "elapsed 23 s   remaining about 40 s" in text


def test_live_display_leaves_nothing_behind_on_the_terminal() -> None:
    written = shown(STATUS, terminal=True)
    assert "0/42 trials" in written
    rows = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", written.rsplit("\x1b[2K", 1)[-1])
    assert rows.strip() == ""


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.04, "0.0 s"),
        (9.94, "9.9 s"),
        (9.96, "10 s"),
        (59.4, "59 s"),
        (59.6, "1 min 00 s"),
        (3599.4, "59 min 59 s"),
        (3599.6, "1 h 00 min"),
        (86_340, "23 h 59 min"),
        (86_399, "1 d 00 h"),
        (100 * 3600, "4 d 04 h"),
    ],
)
def test_durations_are_read_at_a_glance(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_recommendation_says_which_of_beta_and_lambda_was_not_searched_and_of_one_seed_no_ties(
    record_sweep: RecordSweep,
) -> None:
    sweep = record_sweep(spec={"hyperparameters": {"lam": 0.5}})
    for beta in (12, 8):
        sweep.searched(Configuration.of("gr", beta=beta), 0.9)
    told = recommendation_lines(choose(sweep.record, sweep.trials))
    assert "beta = 12 with lambda = 0.5 fixed for digits" in told[0]
    assert not [line for line in told if "≈" in line]


@pytest.mark.parametrize(("labels_as_given", "lines"), [(True, 2), (False, 0)])
def test_test_labels_that_may_be_noisy_too_are_called_as_given(
    labels_as_given: bool, lines: int, record_sweep: RecordSweep
) -> None:
    spec = {"noise_model": "none", "objective": "clean_validation"}
    sweep = record_sweep(spec=spec, facts={"labels_as_given": labels_as_given})
    sweep.confirmed((16, 1), 0.95, 0.97)
    sweep.baseline(0.60, 0.62)
    told = recommendation_lines(choose(sweep.record, sweep.trials))
    assert len([line for line in told if line.endswith("(n=2) on the labels as given")]) == lines
