"""Example weight w(p) by relevance score p: what the recommended configuration emphasises."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from matplotlib.figure import Figure
from matplotlib.typing import LineStyleType

from search.hyperparameters import split
from search.hyperparameters import supervision_with
from search.naming import noise
from search.recommendation import Recommendation
from search.reports.appearance import BASELINE
from search.reports.appearance import MEAN_ABSOLUTE_ERROR
from search.reports.appearance import RECOMMENDED
from search.reports.appearance import TIE
from search.reports.appearance import heading
from search.reports.appearance import named
from search.reports.appearance import new_figure
from search.reports.appearance import quiet
from spaces import Value
from trainers.supervision import CategoricalCrossEntropy
from trainers.supervision import MeanAbsoluteError
from trainers.supervision import WeightFunction

# As many ties are drawn as there are dashes to tell them by.
TIE_DASHES: tuple[LineStyleType, ...] = ((0, (1, 1)), (0, (3, 1, 1, 1)))


def weight_curves(recommendation: Recommendation) -> Figure | None:
    """w(p) of the recommended configuration, its first ties, CCE and MAE, each divided by its largest value.

    None where the supervision is no weight function, so that there is no w(p) to draw.

    The division lets the shapes compare; with normalise = "batch" the height of w has no effect on training
    anyway. A dot marks the emphasis focus, the p that weighs most.

    Source: after Figure 1 of Wang et al., arXiv 1905.11233.
    """
    point = recommendation.recommended
    chosen = supervision_with(point.supervision, point.hyperparameters)
    if not isinstance(chosen, WeightFunction):
        return None
    figure = new_figure(7.6, 5.0)
    axes = quiet(figure.add_subplot(), grid="both")
    _draw(figure, CategoricalCrossEntropy(), "CCE", BASELINE, (0, (5, 2)), 1.8)
    _draw(figure, MeanAbsoluteError(), "MAE", MEAN_ABSOLUTE_ERROR, (0, (5, 2, 1, 2)), 1.8)
    # With one seed every configuration ties: two of them would be picked by chance.
    shown = recommendation.ties[: len(TIE_DASHES)] if recommendation.objective.n > 1 else ()
    for tie, dashes in zip(shown, TIE_DASHES, strict=False):
        other = supervision_with(tie.supervision, {**point.hyperparameters, **tie.hyperparameters})
        if isinstance(other, WeightFunction):
            _draw(figure, other, f"tie: {_named(tie.supervision, tie.hyperparameters)}", TIE, dashes, 1.8)
    found = _named(point.supervision, point.found)
    _draw(figure, chosen, f"recommended: {found}", RECOMMENDED, "-", 2.8)
    focus = chosen.emphasis_focus
    if focus is not None:
        axes.axvline(focus, color=RECOMMENDED, linewidth=0.9, linestyle=":", zorder=1)
    axes.set_xlim(-0.01, 1.01)
    axes.set_ylim(0, 1.06)
    axes.set_xlabel("relevance score p  (softmax probability of the labelled class)", fontsize=11)
    axes.set_ylabel("example weight w(p) / max w", fontsize=11)
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles[::-1], labels[::-1], loc="outside lower left", ncols=2, fontsize=10, frameon=False)
    where = "every example weighs the same" if focus is None else f"the largest weight is at p = {focus:.2f}"
    trained_on = noise(recommendation.noise_rate, recommendation.noise_model)
    title = f"{recommendation.dataset}, {trained_on}: what is emphasised"
    heading(figure, title, f"{found}: {where}")
    return figure


def _named(supervision: str, values: Mapping[str, Value]) -> str:
    # A weight decay that was searched too has no part in w(p).
    own, _ = split(values)
    return named(supervision, own)


def _draw(
    figure: Figure, supervision: WeightFunction, label: str, colour: str, dashes: LineStyleType, width: float
) -> None:
    axes = figure.axes[0]
    focus = supervision.emphasis_focus
    # The focus itself is among the scores, so that the largest weight is found exactly.
    scores = np.union1d(np.linspace(0, 1, 501), [] if focus is None else [focus])
    weights = supervision.weights(torch.from_numpy(scores)).numpy()
    weights = weights / weights.max() if weights.max() > 0 else weights
    axes.plot(scores, weights, color=colour, linestyle=dashes, linewidth=width, label=label)
    if focus is not None:
        axes.plot([focus], [1.0], marker="o", markersize=7, color=colour, clip_on=False, gid="focus")
