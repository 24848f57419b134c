import csv
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st

from spaces import Configuration
from spaces import KappaSpace
from spaces import starting_points

PAPER = Path(__file__).parents[3] / "shared" / "paper"
needs_tables = pytest.mark.skipif(
    not PAPER.is_dir(), reason="the paper's tables are not beside this checkout"
)


@settings(deadline=None)
@given(noise_rate=st.floats(0, 1, exclude_max=True), num_classes=st.integers(2, 10_000))
def test_starting_points_are_distinct_and_inside_the_default_space(
    noise_rate: float, num_classes: int
) -> None:
    points = starting_points(noise_rate, num_classes)
    assert 3 <= len(set(points)) == len(points) <= 4
    space = KappaSpace()
    for point in points:
        params = space.params(point)
        assert params is not None
        assert space.configuration(params) == point


@needs_tables
@pytest.mark.parametrize("noise_rate", [0.2, 0.4, 0.6, 0.8])
def test_first_on_ten_classes_is_table_3s_best_final_intact_accuracy(noise_rate: float) -> None:
    with (PAPER / "table3_cifar10_resnet56.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if float(row["noise_rate"]) == noise_rate]
    best = max(rows, key=lambda row: float(row["train_intact_pct"]))
    expected = Configuration.of("gr", beta=float(best["beta"]), lam=float(best["lambda"]))
    assert starting_points(noise_rate, 10)[0] == expected


@needs_tables
@pytest.mark.parametrize("noise_rate", [0.2, 0.4, 0.6])
def test_first_on_a_hundred_classes_is_table_7s_best(noise_rate: float) -> None:
    with (PAPER / "table7_cifar100_resnet44_grid.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if float(row["noise_rate"]) == noise_rate]
    best = max(float(row["test_accuracy_pct"]) for row in rows)
    winners = [
        Configuration.of("gr", beta=float(row["best_beta"]), lam=float(row["lambda"]))
        for row in rows
        if float(row["test_accuracy_pct"]) == best
    ]
    assert starting_points(noise_rate, 100)[0] in winners


def test_nearest_noise_rate_and_number_of_classes_count() -> None:
    assert starting_points(0.45, 12) == starting_points(0.4, 10)
    assert starting_points(0.9, 31) == starting_points(0.8, 10)
    assert starting_points(0.9, 32) == starting_points(0.6, 100)
    assert starting_points(0.3, 10) == starting_points(0.2, 10)


@pytest.mark.parametrize("noise_rate", [-0.1, 1.0, float("nan")])
def test_noise_rate_outside_is_refused(noise_rate: float) -> None:
    with pytest.raises(ValueError, match="noise_rate = "):
        starting_points(noise_rate, 10)


def test_one_class_is_refused() -> None:
    with pytest.raises(ValueError, match="num_classes = 1"):
        starting_points(0.2, 1)
