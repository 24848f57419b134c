"""Write what a sweep found into a folder: figures, the leader board and the export file."""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from statistics import fmean

from matplotlib.figure import Figure

from search.export import export
from search.leaderboard import leaderboard
from search.recommendation import choose
from search.recommendation import pick
from search.reports.appearance import name
from search.reports.appearance import trained_on
from search.reports.figure_file import save_figure
from search.reports.leaderboard_chart import leaderboard_chart
from search.reports.learning_dynamics import learning_dynamics
from search.reports.objective_map import objective_map
from search.reports.objective_slices import objective_slices
from search.reports.searched import searched_axes
from search.reports.tables import leaderboard_markdown
from search.reports.weight_curves import weight_curves
from search.store import Store
from search.store import SweepRecord
from search.store import SweepState
from search.store import TrialRecord
from trainers.whole_files import replaced_whole


def write_figures(store: Store, sweep_id: str, folder: Path, *, finished_at: datetime | None = None) -> list[Path]:
    """Write a sweep's figures (PNG), ``leaderboard.md`` and ``recommendation.json``.

    Each file is written under a temporary name and renamed, so a reader never sees half of one, and writing
    again replaces it. The objective is drawn as a map where two numbers were searched, and against each of what was
    searched elsewhere; before the first trial has finished there is nothing else.

    Args:
        store: Where the sweep is.
        sweep_id: The sweep, or a unique beginning of its id.
        folder: Where to write; made if missing. What a killed process has left half written there is removed.
        finished_at: Of a sweep that is to be recorded as done next; by default it is what the store says it is.

    Returns:
        The files written, the recommendation first.

    Raises:
        InvalidInput: There is no such sweep.
    """
    sweep = store.sweep(sweep_id)
    if finished_at is not None:
        sweep = replace(sweep, state=SweepState.DONE, finished_at=finished_at)
    trials = store.trials(sweep.id)
    folder.mkdir(parents=True, exist_ok=True)
    for left in folder.glob(".*.part"):
        left.unlink(missing_ok=True)
    written = [*_write_texts(sweep, trials, folder)]
    for title, figure in _figures(store, sweep, trials):
        path = folder / f"{title}.png"
        save_figure(figure, path)
        written.append(path)
    return written


def _write_texts(sweep: SweepRecord, trials: Sequence[TrialRecord], folder: Path) -> Iterator[Path]:
    recommendation = choose(sweep, trials)
    if recommendation is None:
        return
    texts = {
        "recommendation.json": export([recommendation], "json"),
        "leaderboard.md": leaderboard_markdown(leaderboard(sweep, trials), trained_on(sweep)),
    }
    for file_name, text in texts.items():
        path = folder / file_name
        with replaced_whole(path) as file:
            file.write(text.encode())
        yield path


def _figures(store: Store, sweep: SweepRecord, trials: Sequence[TrialRecord]) -> Iterator[tuple[str, Figure]]:
    axes = searched_axes(sweep, trials)
    if len(axes) == 2 and not any(axis.words for axis in axes):
        yield "objective_map", objective_map(sweep, trials, (axes[0], axes[1]))
    elif slices := objective_slices(sweep, trials):
        yield "objective_slices", slices
    choice, recommendation = pick(sweep, trials), choose(sweep, trials)
    if choice is None or recommendation is None:
        return
    baseline = choice.baseline.trials if choice.baseline else ()
    realised = [
        trial.realised_noise_rate
        for trial in (*choice.winner.trials, *baseline)
        if trial.realised_noise_rate is not None
    ]
    yield (
        "learning_dynamics",
        learning_dynamics(
            sweep,
            name(choice.winner),
            [store.epochs(trial.id) for trial in choice.winner.trials],
            name(choice.baseline) if choice.baseline else "CCE",
            [store.epochs(trial.id) for trial in baseline],
            fmean(realised) if realised else None,
        ),
    )
    if curves := weight_curves(recommendation):
        yield "weight_curves", curves
    yield "leaderboard", leaderboard_chart(sweep, leaderboard(sweep, trials))
