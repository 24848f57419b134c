from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from trainers.errors import InvalidInput
from trainers.noise import symmetric_noise

FROZEN_LABELS = [0, 1, 2, 1, 5, 5, 0, 7, 8, 9, 1, 6]
FROZEN_FINGERPRINT = "7d712b20e46ee0b3129e1e7dd38ffe3d0981d8cd351982dd979f07dc5ebb8352"


def labels_of(n: int, classes: int) -> torch.Tensor:
    return torch.arange(n) % classes


def test_draw_is_the_one_that_was_recorded() -> None:
    # Frozen: if numpy's stream or our use of it changes, saved sweeps no longer describe their labels.
    drawn = symmetric_noise(labels_of(1000, 10), 0.4, 10, seed=7)
    assert drawn.labels[:12].tolist() == FROZEN_LABELS
    assert drawn.fingerprint == FROZEN_FINGERPRINT


def test_draw_ignores_global_random_state_and_the_kind_of_array() -> None:
    first = symmetric_noise(labels_of(500, 10), 0.3, 10, seed=1)
    np.random.seed(123)
    torch.manual_seed(123)
    second = symmetric_noise(labels_of(500, 10).numpy(), 0.3, 10, seed=1)
    assert torch.equal(first.labels, second.labels)
    assert torch.equal(first.mask, second.mask)
    assert first.fingerprint == second.fingerprint


def test_other_seeds_and_rates_draw_other_labels() -> None:
    prints = {
        symmetric_noise(labels_of(500, 10), rate, 10, seed).fingerprint for rate in (0.2, 0.4) for seed in (0, 1, 2)
    }
    assert len(prints) == 6


def test_labels_given_are_not_modified() -> None:
    intact = labels_of(500, 10)
    symmetric_noise(intact, 0.9, 10, seed=0)
    assert torch.equal(intact, labels_of(500, 10))


@pytest.mark.parametrize("classes", [2, 3, 10])
def test_mask_marks_exactly_the_changed_labels_and_none_keeps_its_class(classes: int) -> None:
    intact = labels_of(5000, classes)
    drawn = symmetric_noise(intact, 0.6, classes, seed=3)
    assert torch.equal(drawn.mask, drawn.labels != intact)
    assert drawn.mask.any()
    assert int(drawn.labels.min()) >= 0
    assert int(drawn.labels.max()) < classes
    assert drawn.labels.dtype == torch.int64
    assert drawn.mask.dtype == torch.bool


def test_changed_labels_are_uniform_over_the_other_classes() -> None:
    classes, per_class = 10, 20_000
    intact = labels_of(classes * per_class, classes)
    drawn = symmetric_noise(intact, 0.5, classes, seed=11)
    changed = drawn.mask
    shift = (drawn.labels[changed] - intact[changed]) % classes
    for label in range(classes):
        counts = torch.bincount(shift[intact[changed] == label], minlength=classes)[1:].double()
        expected = counts.sum() / (classes - 1)
        chi_square = float(((counts - expected) ** 2 / expected).sum())
        # 8 degrees of freedom; 34.3 is the quantile 1 - 3.6e-5: ten true nulls pass with 99.96 %.
        assert chi_square < 34.3, (label, counts)


@pytest.mark.parametrize("rate", [0.01, 0.2, 0.4, 0.6, 0.8, 0.99])
def test_realised_rate_lies_within_five_binomial_deviations(rate: float) -> None:
    n = 50_000
    drawn = symmetric_noise(labels_of(n, 10), rate, 10, seed=5)
    assert drawn.noise_rate == rate
    assert abs(drawn.realised_rate - rate) < 5 * math.sqrt(rate * (1 - rate) / n)
    assert drawn.realised_rate == drawn.mask.double().mean().item()


def test_rate_zero_changes_nothing() -> None:
    drawn = symmetric_noise(labels_of(1000, 10), 0.0, 10, seed=0)
    assert torch.equal(drawn.labels, labels_of(1000, 10))
    assert not drawn.mask.any()
    assert drawn.realised_rate == 0.0


def test_a_higher_rate_changes_more_of_the_same_examples_in_the_same_way() -> None:
    low = symmetric_noise(labels_of(1000, 10), 0.2, 10, seed=4)
    high = symmetric_noise(labels_of(1000, 10), 0.6, 10, seed=4)
    assert bool((high.mask | ~low.mask).all())
    assert torch.equal(low.labels[low.mask], high.labels[low.mask])


@pytest.mark.parametrize("rate", [-0.1, 1.0, 1.5, float("nan"), float("inf")])
def test_noise_rate_outside_its_range_is_refused(rate: float) -> None:
    with pytest.raises(InvalidInput, match=r"noise_rate = .*not in \[0, 1\)"):
        symmetric_noise(labels_of(10, 10), rate, 10, seed=0)


@pytest.mark.parametrize(
    "labels",
    [
        torch.tensor([0, 1, 10]),
        torch.tensor([-1, 0, 1]),
        torch.tensor([0.0, 1.0]),
        torch.zeros(2, 2, dtype=torch.int64),
        torch.zeros(0, dtype=torch.int64),
    ],
    ids=["too large", "negative", "float", "matrix", "empty"],
)
def test_unusable_labels_are_refused(labels: torch.Tensor) -> None:
    with pytest.raises(InvalidInput) as caught:
        symmetric_noise(labels, 0.4, 10, seed=0)
    assert [error.field for error in caught.value.errors] == ["labels"]


def test_everything_wrong_is_reported_at_once() -> None:
    with pytest.raises(InvalidInput) as caught:
        symmetric_noise(torch.tensor([0, 5]), 1.0, 1, seed=-1)
    assert [error.field for error in caught.value.errors] == ["noise_rate", "num_classes", "seed", "labels"]
