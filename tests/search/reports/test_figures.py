"""Figures carry the sweep's data, and files appear whole."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.image import imread
from recorded_sweeps import RecordedSweep
from recorded_sweeps import RecordSweep

from search.leaderboard import leaderboard
from search.newest_recommendations import recommendations
from search.recommendation import choose
from search.reports.appearance import DPI
from search.reports.appearance import RECOMMENDED
from search.reports.appearance import objective_axis
from search.reports.figures import write_figures
from search.reports.leaderboard_chart import leaderboard_chart
from search.reports.learning_dynamics import learning_dynamics
from search.reports.objective_map import objective_map
from search.reports.objective_slices import objective_slices
from search.reports.searched import searched_axes
from search.reports.weight_curves import weight_curves
from search.store import EpochRecord
from search.store import Store
from search.store import SweepRecord
from search.store import TrialRecord
from search.store import TrialState
from spaces import Configuration
from trainers.supervision import GradientRescaling


def drawn_map(sweep: SweepRecord, trials: Sequence[TrialRecord]) -> Figure:
    across, upwards = searched_axes(sweep, trials)
    return objective_map(sweep, trials, (across, upwards))


def points(axes: Axes, gid: str) -> set[tuple[float, float]]:
    drawn = [artist for artist in axes.collections if artist.get_gid() == gid]
    assert all(isinstance(artist, PathCollection) for artist in drawn)
    return {(float(x), float(y)) for artist in drawn for x, y in np.asarray(artist.get_offsets())}


def test_objective_map_shows_every_configuration_the_star_and_the_ties(
    confirmed_sweep: RecordedSweep,
) -> None:
    axes = drawn_map(confirmed_sweep.record, confirmed_sweep.trials).axes[0]
    searched = {
        (trial.hyperparameters["lam"], trial.hyperparameters["beta"])
        for trial in confirmed_sweep.trials
        if trial.phase == "search" and trial.state is TrialState.DONE
    }
    assert points(axes, "configurations") == searched
    assert points(axes, "recommended") == {(1, 16)}
    assert points(axes, "ties") == {(0.5, 8)}


def test_objective_map_colours_points_by_the_objective_of_the_search(confirmed_sweep: RecordedSweep) -> None:
    axes = drawn_map(confirmed_sweep.record, confirmed_sweep.trials).axes[0]
    (drawn,) = [artist for artist in axes.collections if artist.get_gid() == "configurations"]
    values = np.asarray(drawn.get_array())
    offsets = [tuple(map(float, offset)) for offset in np.asarray(drawn.get_offsets())]
    assert values[offsets.index((0.5, 12.0))] == pytest.approx(0.99)
    assert values[offsets.index((1.0, 16.0))] == pytest.approx(0.95)


def test_objective_map_interpolates_inside_the_trials_and_nowhere_else(
    confirmed_sweep: RecordedSweep,
) -> None:
    axes = drawn_map(confirmed_sweep.record, confirmed_sweep.trials).axes[0]
    (drawn,) = [artist for artist in axes.collections if artist.get_gid() == "interpolated"]
    values = np.ma.asarray(drawn.get_array())
    objectives = [
        t.objective for t in confirmed_sweep.trials if t.phase == "search" and t.objective is not None
    ]
    assert 0 < values.count() < values.size
    assert min(objectives) - 1e-9 <= values.min()
    assert values.max() <= max(objectives) + 1e-9


def test_objective_map_of_a_few_trials_does_not_guess_between_them(record_sweep: RecordSweep) -> None:
    sweep = record_sweep()
    for number in range(5):
        sweep.searched((float(number), 0.5 * number), 0.9)
    axes = drawn_map(sweep.record, sweep.trials).axes[0]
    assert not [artist for artist in axes.collections if artist.get_gid() == "interpolated"]


def test_objective_map_of_trials_on_one_line_is_drawn_without_background(record_sweep: RecordSweep) -> None:
    sweep = record_sweep(spec={"space": {"kind": "grid", "points": []}})
    for number in range(12):
        sweep.searched((2.0 * number, 1.0), 0.5 + 0.03 * number)
    axes = drawn_map(sweep.record, sweep.trials).axes[0]
    assert len(points(axes, "configurations")) == 12
    assert not [artist for artist in axes.collections if artist.get_gid() == "interpolated"]
    assert not [line for line in axes.lines if str(line.get_gid()).startswith("kappa")]


def test_objective_map_of_a_continuous_space_has_the_kappa_band(confirmed_sweep: RecordedSweep) -> None:
    axes = drawn_map(confirmed_sweep.record, confirmed_sweep.trials).axes[0]
    lines = {line.get_gid(): line for line in axes.lines}
    lam, beta = (np.asarray(values) for values in lines["kappa=3"].get_data())
    at_one = np.interp(1.0, lam, beta)
    assert at_one == pytest.approx(12, rel=1e-3)
    assert "kappa=5" in lines


def test_objective_map_marks_failed_and_stopped_trials(record_sweep: RecordSweep) -> None:
    sweep = record_sweep()
    sweep.searched((40, 3), None)
    sweep.searched((2, 1), 0.3, state=TrialState.PRUNED)
    axes = drawn_map(sweep.record, sweep.trials).axes[0]
    assert axes.get_legend_handles_labels()[1] == ["stopped early: accuracy then", "failed"]


def test_objective_map_colours_what_was_stopped_by_what_it_had_reached(confirmed_sweep: RecordedSweep) -> None:
    confirmed_sweep.searched((2, 1), 0.7, state=TrialState.PRUNED)
    confirmed_sweep.searched((9, 1), 0.8, state=TrialState.PRUNED)
    *others, never_begun = confirmed_sweep.trials
    axes = drawn_map(confirmed_sweep.record, [*others, replace(never_begun, final=None)]).axes[0]
    assert points(axes, "stopped") == {(1, 2), (1, 9)}
    (stopped,) = [artist for artist in axes.collections if artist.get_gid() == "stopped"]
    values = np.ma.filled(np.ma.asarray(stopped.get_array()), np.nan)
    np.testing.assert_array_equal(values, [0.7, np.nan])
    assert (2, 1) not in points(axes, "configurations")


def test_objective_map_of_equal_configurations_has_the_colour_of_the_best(record_sweep: RecordSweep) -> None:
    sweep = record_sweep()
    for beta in (8, 12, 16):
        sweep.searched((beta, 1), 0.9)
    axes = drawn_map(sweep.record, sweep.trials).axes[0]
    for drawn in axes.collections:
        if drawn.get_gid() in ("configurations", "recommended"):
            assert drawn.norm.vmin < drawn.norm.vmax == 0.9


def test_objective_map_shows_the_baseline_in_the_colour_bar(confirmed_sweep: RecordedSweep) -> None:
    bar = drawn_map(confirmed_sweep.record, confirmed_sweep.trials).axes[1]
    assert "CCE 0.61" in [text.get_text() for text in bar.texts]


@pytest.mark.filterwarnings("error")
def test_objective_map_keeps_its_room_where_the_baseline_is_above_all_configurations(
    record_sweep: RecordSweep, tmp_path: Path
) -> None:
    sweep = record_sweep()
    for number in range(6):
        sweep.searched((4.0 + 3 * number, 0.3 * number), 0.10 + 0.001 * number)
    sweep.baseline(0.61, 0.61, 0.61)
    figure = drawn_map(sweep.record, sweep.trials)
    figure.savefig(tmp_path / "map.png")
    (label,) = [text for text in figure.axes[1].texts if text.get_text().startswith("CCE")]
    assert label.get_text() == "CCE 0.61\nabove all"
    assert figure.bbox.contains(*label.get_window_extent().get_points()[1])
    assert figure.axes[0].get_position().height > 0.5


def test_objective_map_of_an_empty_sweep_can_be_drawn(record_sweep: RecordSweep) -> None:
    sweep = record_sweep()
    figure = drawn_map(sweep.record, [])
    assert "no configuration has finished yet" in figure.axes[0].get_title(loc="left")


EXPONENT = {"low": 0.1, "high": 1, "log": False}
GCE: dict[str, Any] = {"kind": "ranges", "supervision": "gce", "dimensions": {"q": EXPONENT}}
DECAY = {"low": 1e-5, "high": 1e-2, "log": True}


def gce(q: float, **others: float) -> Configuration:
    return Configuration.of("gce", q=q, **others)


def test_objective_of_one_hyperparameter_is_drawn_against_it(record_sweep: RecordSweep) -> None:
    sweep = record_sweep(supervision="gce", spec={"space": GCE})
    for q, reached in ((0.2, 0.9), (0.5, 0.8), (0.8, 0.7)):
        sweep.searched(gce(q), reached)
    sweep.searched(gce(0.9), None)
    sweep.searched((8, 1), 0.99)
    sweep.confirmed(gce(0.5), 0.84, 0.86)
    sweep.confirmed(gce(0.2), 0.83, 0.86)
    sweep.baseline(0.6, 0.62)
    figure = objective_slices(sweep.record, sweep.trials)
    assert figure is not None
    (axes,) = figure.axes
    assert axes.get_xlabel() == "q"
    assert points(axes, "configurations") == {(0.2, 0.9), (0.5, 0.8), (0.8, 0.7)}
    (star,) = [bar for bar in axes.containers if bar.get_label() == "recommended (fresh seeds)"]
    assert np.asarray(star.lines[0].get_data()).ravel() == pytest.approx([0.5, 0.85])
    (ring,) = [line for line in axes.lines if line.get_label() == "cannot be told apart from it"]
    assert np.asarray(ring.get_data()).ravel() == pytest.approx([0.2, 0.9])  # about its dot, though confirmed at .845
    shown = {"CCE 0.610", "failed or stopped", "configuration (search)"}
    assert shown <= set(axes.get_legend_handles_labels()[1])


def test_objective_of_words_has_a_place_for_each(record_sweep: RecordSweep) -> None:
    sweep = record_sweep(supervision="forward")
    for matrix, reached in (("true", 0.9), ("estimated", 0.8)):
        sweep.searched(Configuration.of("forward", matrix=matrix), reached)
    figure = objective_slices(sweep.record, sweep.trials)
    assert figure is not None
    assert [text.get_text() for text in figure.axes[0].get_xticklabels()] == ["estimated", "true"]
    assert points(figure.axes[0], "configurations") == {(0, 0.8), (1, 0.9)}


def test_objective_of_more_than_two_hyperparameters_has_a_panel_for_each(record_sweep: RecordSweep) -> None:
    sweep = record_sweep()
    sweep.searched(Configuration.of("gr", beta=8, lam=1, weight_decay=1e-3, dropout=0.1), 0.9)
    figure = objective_slices(sweep.record, sweep.trials)
    assert figure is not None
    labels = [axes.get_xlabel().split()[0] for axes in figure.axes if axes.get_visible()]
    assert labels == ["λ", "β", "dropout", "weight_decay"]


def test_objective_map_of_any_two_hyperparameters_has_their_scales(record_sweep: RecordSweep) -> None:
    dimensions = {**GCE["dimensions"], "weight_decay": DECAY}
    sweep = record_sweep(supervision="gce", spec={"space": {**GCE, "dimensions": dimensions}})
    for number in range(12):
        sweep.searched(gce(0.1 + 0.07 * number, weight_decay=10 ** -(2 + (5 * number % 7) / 3)), 0.5 + 0.03 * number)
    axes = drawn_map(sweep.record, sweep.trials).axes[0]
    assert (axes.get_xlabel(), axes.get_xscale()) == ("q", "linear")
    assert (axes.get_ylabel(), axes.get_yscale()) == ("weight_decay", "log")
    assert len(points(axes, "configurations")) == 12
    (drawn,) = [artist for artist in axes.collections if artist.get_gid() == "interpolated"]
    assert 0 < np.ma.asarray(drawn.get_array()).count() < np.ma.asarray(drawn.get_array()).size
    assert not [line for line in axes.lines if str(line.get_gid()).startswith("kappa")]


def test_write_figures_leaves_out_what_a_supervision_has_not(record_sweep: RecordSweep, tmp_path: Path) -> None:
    sweep = record_sweep(supervision="cce")
    sweep.searched(None, 0.9)
    names = {path.name for path in write_figures(sweep.store, sweep.id, tmp_path / "f")}
    assert not {name for name in names if name.startswith("objective")}
    assert {"leaderboard.png", "weight_curves.png"} <= names  # CCE has weights, and nothing was searched


def test_weight_curves_of_gce_are_its_own_without_the_training_fields(record_sweep: RecordSweep) -> None:
    sweep = record_sweep(supervision="gce", spec={"space": GCE})
    sweep.searched(gce(0.5, weight_decay=1e-3), 0.9)
    recommendation = choose(sweep.record, sweep.trials)
    assert recommendation is not None
    figure = weight_curves(recommendation)
    assert figure is not None
    (line,) = [line for line in figure.axes[0].lines if line.get_label() == "recommended: GCE(q=0.5)"]
    p, drawn = (np.asarray(values) for values in line.get_data())
    expected = p**0.5 * (1 - p)
    assert drawn == pytest.approx(expected / expected.max(), abs=1e-6)


def test_learning_dynamics_draws_each_seed_and_their_mean(
    confirmed_sweep: RecordedSweep, store: Store
) -> None:
    winners = [t for t in confirmed_sweep.trials if t.phase == "confirm" and t.hyperparameters["beta"] == 16]
    curves = [store.epochs(trial.id) for trial in winners]
    figure = learning_dynamics(confirmed_sweep.record, "GR", curves, "CCE", [])
    corrupted, intact, test = figure.axes
    means = [line for line in intact.lines if line.get_gid() == "mean"]
    assert len([line for line in intact.lines if line.get_gid() == "seed"]) == 3
    (mean,) = means
    assert list(np.asarray(mean.get_xdata())) == [2, 4]  # the epochs that were evaluated
    assert np.asarray(mean.get_ydata()) == pytest.approx([0.48, 0.96])
    (mean,) = [line for line in test.lines if line.get_gid() == "mean"]
    assert np.asarray(mean.get_ydata()) == pytest.approx([0.47, 0.94])
    (share,) = [line for line in corrupted.lines if line.get_gid() == "share intact"]
    assert np.asarray(share.get_ydata()) == pytest.approx([0.6, 0.6])


def test_learning_dynamics_of_a_few_epochs_marks_whole_ones(confirmed_sweep: RecordedSweep, store: Store) -> None:
    curves = [store.epochs(trial.id)[:2] for trial in confirmed_sweep.trials[:1]]
    figure = learning_dynamics(confirmed_sweep.record, "GR", curves, "CCE", [])
    figure.draw_without_rendering()
    assert all(float(tick).is_integer() for tick in figure.axes[0].get_xticks())


def test_learning_dynamics_has_a_line_at_the_share_of_labels_that_are_intact(record_sweep: RecordSweep) -> None:
    # Of asymmetric noise at r = 0.4 half of the classes' labels are changed.
    sweep = record_sweep(spec={"noise_model": "asymmetric_cifar10"})
    figure = learning_dynamics(sweep.record, "GR", [], "CCE", [], realised_noise_rate=0.2)
    (share,) = [line for line in figure.axes[0].lines if line.get_gid() == "share intact"]
    assert np.asarray(share.get_ydata()) == pytest.approx([0.8, 0.8])
    assert share.get_label() == "share of labels that are intact, 0.8"


def test_what_is_corrected_for_noise_is_not_drawn_as_the_objective(record_sweep: RecordSweep) -> None:
    sweep = record_sweep(spec={"objective": "noisy_validation"})
    record = replace(sweep.record, facts={"num_classes": 10})
    measured = [EpochRecord("t", epoch, 9, 1.0, 0.1, 0.5, 0.5, None, 1.0, validation_accuracy=0.55) for epoch in (1, 2)]
    figure = learning_dynamics(record, "GR", [measured], "CCE", [])
    assert "validation labels, as given" in [axes.get_title(loc="left") for axes in figure.axes]
    assert objective_axis(record) == "final noisy validation accuracy, corrected"


def test_learning_dynamics_is_solid_for_the_recommended_and_dashed_for_cce(
    confirmed_sweep: RecordedSweep, store: Store
) -> None:
    by_phase = {
        phase: [store.epochs(trial.id) for trial in confirmed_sweep.trials if trial.phase == phase]
        for phase in ("confirm", "baseline")
    }
    figure = learning_dynamics(confirmed_sweep.record, "GR", by_phase["confirm"], "CCE", by_phase["baseline"])
    styles = {
        str(line.get_label()): line.get_linestyle()
        for line in figure.axes[0].lines
        if line.get_gid() == "mean"
    }
    assert styles == {"CCE, mean of 3 seeds": "--", "GR, mean of 9 seeds": "-"}


def test_weight_curves_are_the_weights_divided_by_their_largest(
    confirmed_sweep: RecordedSweep, store: Store
) -> None:
    (recommendation,) = recommendations(store)
    figure = weight_curves(recommendation)
    assert figure is not None
    axes = figure.axes[0]
    lines = {str(line.get_label()): line for line in axes.lines}
    p, drawn = (np.asarray(values) for values in lines["recommended: GR(β=16, λ=1)"].get_data())
    expected = GradientRescaling(16, 1).weights(p.tolist()).numpy()
    assert drawn == pytest.approx(expected / expected.max(), rel=1e-5)
    p, drawn = (np.asarray(values) for values in lines["CCE"].get_data())
    assert drawn == pytest.approx(1 - p)
    assert {"MAE", "tie: GR(β=8, λ=0.5)"} <= set(lines)


def test_weight_curves_mark_the_emphasis_focus(confirmed_sweep: RecordedSweep, store: Store) -> None:
    (recommendation,) = recommendations(store)
    figure = weight_curves(recommendation)
    assert figure is not None
    axes = figure.axes[0]
    focus = [
        line
        for line in axes.lines
        if line.get_gid() == "focus" and to_hex(line.get_color()) == RECOMMENDED.lower()
    ]
    assert [tuple(np.asarray(line.get_data()).ravel()) for line in focus] == [(0.5, 1.0)]


def test_weight_curves_of_beta_zero_are_flat(record_sweep: RecordSweep) -> None:
    sweep = record_sweep()
    sweep.searched((0.0, 0.0), 0.9)
    recommendation = choose(sweep.record, sweep.trials)
    assert recommendation is not None
    figure = weight_curves(recommendation)
    assert figure is not None
    axes = figure.axes[0]
    (line,) = [line for line in axes.lines if str(line.get_label()).startswith("recommended")]
    assert set(np.asarray(line.get_ydata())) == {1.0}


def test_leaderboard_chart_draws_means_with_their_standard_errors(confirmed_sweep: RecordedSweep) -> None:
    rows = leaderboard(confirmed_sweep.record, confirmed_sweep.trials)
    axes = leaderboard_chart(confirmed_sweep.record, rows).axes[0]
    bars = [bar for bar in axes.containers if bar.lines[0].get_gid() == "objective"]
    assert len(bars) == len(rows)
    line, _, (error,) = bars[0].lines
    assert np.asarray(line.get_xdata()) == pytest.approx([0.96])
    (segment,) = error.get_segments()
    assert np.ptp(segment[:, 0]) / 2 == pytest.approx(rows[0].objective.sem)
    assert axes.get_yticklabels()[-1].get_text() == "CCE, 3 fresh seeds"


def test_leaderboard_chart_of_long_names_holds_all_that_is_written_below_it(record_sweep: RecordSweep) -> None:
    sweep = record_sweep()
    values = {"beta": 12.34, "lam": 0.543, "learning_rate": 0.0123, "weight_decay": 0.000543, "dropout": 0.123}
    sweep.searched(Configuration.of("gr", **values), 0.9)
    figure = leaderboard_chart(sweep.record, leaderboard(sweep.record, sweep.trials))
    figure.draw_without_rendering()
    label = figure.axes[0].xaxis.get_label().get_window_extent()
    assert 0 <= label.x0 <= label.x1 <= figure.bbox.width


def test_titles_say_how_labels_were_drawn_and_what_was_not_searched(record_sweep: RecordSweep) -> None:
    spec = {"noise_model": "asymmetric_cifar10", "hyperparameters": {"lam": 0.5}}
    sweep = record_sweep(spec=spec)
    for beta in (8, 12):
        sweep.searched(Configuration.of("gr", beta=beta), 0.9)
    slices = objective_slices(sweep.record, sweep.trials)
    chart = leaderboard_chart(sweep.record, leaderboard(sweep.record, sweep.trials))
    dynamics = learning_dynamics(sweep.record, "GR", [], "CCE", [])
    curves = weight_curves(found) if (found := choose(sweep.record, sweep.trials)) else None
    for figure in (slices, chart, dynamics, curves):
        assert figure is not None
        assert "digits, noise rate 0.4 (asymmetric_cifar10)" in figure.get_suptitle()
    assert slices is not None
    assert "β = 8 with λ = 0.5 fixed" in slices.axes[0].get_title(loc="left")


def test_write_figures_writes_everything_and_nothing_else(
    confirmed_sweep: RecordedSweep, store: Store, tmp_path: Path
) -> None:
    folder = tmp_path / "figures" / "deep"
    written = write_figures(store, confirmed_sweep.id, folder)
    assert {path.name for path in written} == {
        "objective_map.png", "learning_dynamics.png", "weight_curves.png", "leaderboard.png",
        "leaderboard.md", "recommendation.json",
    }  # fmt: skip
    assert sorted(folder.iterdir()) == sorted(written)
    for path in written:
        if path.suffix == ".png":
            height, width = imread(path).shape[:2]
            assert 4 * DPI <= width <= 12 * DPI
            assert 3 * DPI <= height <= 12 * DPI
    (found,) = json.loads((folder / "recommendation.json").read_text(encoding="utf-8"))
    assert found == recommendations(store)[0].as_dict()
    assert "★ 1 | gr | 1 | 16 | 4 | 0.960 ± 0.006" in (folder / "leaderboard.md").read_text(encoding="utf-8")


def test_write_figures_replaces_what_an_earlier_moment_showed(
    record_sweep: RecordSweep, tmp_path: Path
) -> None:
    sweep = record_sweep()
    (only,) = write_figures(sweep.store, sweep.id, tmp_path / "f")
    assert only.name == "objective_map.png"
    before = only.read_bytes()
    sweep.searched((8, 1), 0.9)
    assert len(write_figures(sweep.store, sweep.id, tmp_path / "f")) == 6
    assert only.read_bytes() != before


def test_write_figures_removes_what_a_killed_process_left_half_written(
    confirmed_sweep: RecordedSweep, store: Store, tmp_path: Path
) -> None:
    folder = tmp_path / "f"
    folder.mkdir()
    (folder / ".objective_map.png.0123abcd.part").write_bytes(b"half")
    written = write_figures(store, confirmed_sweep.id, folder)
    assert sorted(folder.iterdir()) == sorted(written)


def test_write_figures_leaves_the_old_file_when_writing_fails(
    confirmed_sweep: RecordedSweep, store: Store, tmp_path: Path
) -> None:
    folder = tmp_path / "f"
    (folder / "objective_map.png").mkdir(parents=True)  # a file cannot replace a folder
    with pytest.raises(OSError, match="objective_map"):
        write_figures(store, confirmed_sweep.id, folder)
    assert sorted(path.name for path in folder.iterdir()) == [
        "leaderboard.md", "objective_map.png", "recommendation.json",
    ]  # fmt: skip
