"""Accuracy by epoch of the recommended configuration against CCE."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from matplotlib.typing import LineStyleType

from search.objective import ObjectiveKind
from search.objective import SearchObjective
from search.reports.appearance import BASELINE
from search.reports.appearance import GUIDE
from search.reports.appearance import RECOMMENDED
from search.reports.appearance import new_figure
from search.reports.appearance import quiet
from search.reports.appearance import trained_on
from search.store import EpochRecord
from search.store import SweepRecord

PANELS = {
    "corrupted_train_accuracy": "fitting: corrupted training labels",
    "intact_train_accuracy": "intact training labels",
    "validation_accuracy": "validation labels",
    "test_accuracy": "test",
}

Curves = Sequence[Sequence[EpochRecord]]


def learning_dynamics(
    sweep: SweepRecord,
    label: str,
    recommended: Curves,
    baseline_label: str,
    baseline: Curves,
    realised_noise_rate: float | None = None,
) -> Figure:
    """Accuracies by epoch: on corrupted and intact training labels, the validation and the test set, as there are.

    Solid is the recommended configuration and dashed the baseline; a thin line is one seed, a thick one their
    mean over the epochs at which every seed was evaluated. All in eval mode, un-augmented.

    Args:
        sweep: The sweep.
        label: Name of the recommended configuration.
        recommended: Its epochs, one sequence a seed.
        baseline_label: Name of the baseline.
        baseline: Its epochs, one sequence a seed; may be empty.
        realised_noise_rate: Share of the labels that are wrong, where it is known. Of some noise models it is not the
            nominal rate.

    Source: after Figure 2 of Wang et al., arXiv 1905.11233.
    """
    shown = [measure for measure in PANELS if _is_measured(measure, [*recommended, *baseline])] or ["test_accuracy"]
    figure = new_figure(3.7 * len(shown), 4.4)
    panels = figure.subplots(1, len(shown), sharex=True, sharey=True, squeeze=False)[0]
    objective = SearchObjective.recorded(sweep.spec, sweep.noise_rate, sweep.facts)
    guiding = "intact_train_accuracy" if objective.kind is ObjectiveKind.INTACT else "validation_accuracy"
    intact = 1 - (sweep.noise_rate if realised_noise_rate is None else realised_noise_rate)
    share = f"1 − r = {intact:.3g}" if realised_noise_rate is None else f"{intact:.3g}"
    panels[0].axhline(
        intact,
        color=GUIDE,
        linestyle=":",
        linewidth=1.4,
        label=f"share of labels that are intact, {share}",
        gid="share intact",
    )
    for axes, measure in zip(panels, shown, strict=True):
        quiet(axes, grid="y")
        _draw(axes, measure, baseline, baseline_label, BASELINE, (0, (4, 2)))
        _draw(axes, measure, recommended, label, RECOMMENDED, "-")
        title = f"objective: {PANELS[measure]}" if measure == guiding else PANELS[measure]
        if measure == guiding and objective.is_corrected:
            title = f"{PANELS[measure]}, as given"  # the objective is what they would be without the noise
        axes.set_title(title, loc="left", fontsize=11)
        axes.set_xlabel("epoch", fontsize=11)
    panels[0].set_ylabel("accuracy", fontsize=11)
    panels[0].set_ylim(0, 1.02)
    panels[0].margins(x=0.02)
    panels[0].xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    handles, labels = panels[0].get_legend_handles_labels()
    last_drawn_first = slice(None, None, -1)
    figure.legend(
        handles[last_drawn_first],
        labels[last_drawn_first],
        loc="outside lower left",
        ncols=3,
        fontsize=10,
        frameon=False,
    )
    figure.suptitle(
        f"{trained_on(sweep)}: learning dynamics",
        x=0.01,
        ha="left",
        fontsize=13,
        fontweight="bold",
    )
    return figure


def _draw(axes: Axes, measure: str, seeds: Curves, label: str, colour: str, dashes: LineStyleType) -> None:
    curves = [_evaluated(epochs, measure) for epochs in seeds]
    curves = [curve for curve in curves if curve]
    if not curves:
        return
    for curve in curves if len(curves) > 1 else ():
        axes.plot(
            list(curve),
            list(curve.values()),
            color=colour,
            linewidth=0.7,
            alpha=0.45,
            linestyle=dashes,
            gid="seed",
        )
    common = sorted(set.intersection(*(set(curve) for curve in curves)))
    means = [fmean(curve[epoch] for curve in curves) for epoch in common]
    few = "o" if len(common) < 10 else ""
    number = f"mean of {len(curves)} seeds" if len(curves) > 1 else "1 seed"
    axes.plot(
        common,
        means,
        color=colour,
        linewidth=2.2,
        linestyle=dashes,
        marker=few,
        markersize=4,
        label=f"{label}, {number}",
        gid="mean",
    )


def _is_measured(measure: str, seeds: Curves) -> bool:
    return any(_evaluated(epochs, measure) for epochs in seeds)


def _evaluated(epochs: Sequence[EpochRecord], measure: str) -> dict[int, float]:
    values = {record.epoch: getattr(record, measure) for record in epochs}
    return {epoch: value for epoch, value in sorted(values.items()) if value is not None}
