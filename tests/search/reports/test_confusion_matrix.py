"""The confusion figure shows each intact class's shares, and reads at any number of classes."""

from __future__ import annotations

from io import BytesIO

import numpy as np
import pytest
from matplotlib.figure import Figure

from search.reports.confusion_matrix import confusion_figure
from search.reports.confusion_matrix import noise_estimate_figure


def counts_of(classes: int) -> np.ndarray:
    return 60 * np.eye(classes, dtype=np.int64) + 40 * np.roll(np.eye(classes, dtype=np.int64), 1, 1)


def shares(figure: Figure) -> np.ndarray:
    (image,) = [image for image in figure.axes[0].images if image.get_gid() == "shares"]
    return np.asarray(image.get_array())


def test_colours_are_shares_of_the_intact_class() -> None:
    counts = np.array([[6, 2, 0], [0, 50, 50], [0, 0, 0]])
    assert shares(confusion_figure(counts, "t")) == pytest.approx(np.array([[0.75, 0.25, 0], [0, 0.5, 0.5], [0, 0, 0]]))


def test_cells_say_their_share_at_the_given_label_and_the_intact_one() -> None:
    counts = np.array([[998, 2, 0], [0, 40, 0], [15, 15, 70]])
    axes = confusion_figure(counts, "t", ["cat", "dog", "frog"]).axes[0]
    cells = {(x, y): text.get_text() for text in axes.texts for x, y in [text.get_position()]}
    assert cells == {(0, 0): "1.00", (1, 0): "<.01", (1, 1): "1", (0, 2): ".15", (1, 2): ".15", (2, 2): ".70"}
    assert [label.get_text() for label in axes.get_yticklabels()] == ["cat", "dog", "frog"]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["cat", "dog", "frog"]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("given label", "intact label")


@pytest.mark.parametrize(("classes", "annotated"), [(2, True), (20, True), (21, False), (100, False)])
def test_numbers_stand_in_the_cells_only_where_they_can_be_read(classes: int, annotated: bool) -> None:
    figure = confusion_figure(counts_of(classes), "t")
    assert len(figure.axes[0].texts) == (2 * classes if annotated else 0)
    assert shares(figure).shape == (classes, classes)
    figure.savefig(BytesIO(), format="png")


def test_figure_says_how_many_labels_are_wrong() -> None:
    figure = confusion_figure(counts_of(10), "cifar10, pair_flip 0.4")
    assert figure.get_suptitle() == "cifar10, pair_flip 0.4"
    assert figure.axes[0].get_title(loc="left") == "400 of 1,000 labels are wrong: realised rate 0.4"


def test_estimated_counts_stand_beside_the_true_ones_where_these_are_known() -> None:
    estimated, truth = np.array([[50, 10], [0, 40]]), np.array([[45, 15], [5, 35]])
    alone = noise_estimate_figure(estimated, "t")
    both = noise_estimate_figure(estimated, "t", ["cat", "dog"], truth)
    assert [axes.get_title(loc="left") for axes in both.axes[:2]] == [
        "estimated, 10 of 100 labels are wrong",
        "in truth, 20 of 100 labels are wrong",
    ]
    drawn = [image for axes in both.axes for image in axes.images if image.get_gid() == "shares"]
    assert np.asarray(drawn[1].get_array()) == pytest.approx(np.array([[0.75, 0.25], [0.125, 0.875]]))
    assert shares(alone) == pytest.approx(np.asarray(drawn[0].get_array()))
    assert len([axes for axes in alone.axes if any(image.get_gid() == "shares" for image in axes.images)]) == 1
    both.savefig(BytesIO(), format="png")
