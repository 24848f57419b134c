"""A transition matrix from a file: what is read, what is refused, and that it draws as the other models do."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from trainers.errors import InvalidInput
from trainers.noise import make_noise_model
from trainers.noise.matrix import MatrixNoise

ROWS = [[0.9, 0.1, 0.0], [0.2, 0.8, 0.0], [0.25, 0.25, 0.5]]


def write(path: Path, rows: object) -> Path:
    if path.suffix == ".npy":
        np.save(path, np.asarray(rows))
    else:
        separator = "," if path.suffix == ".csv" else "  "
        path.write_text("".join(separator.join(map(str, row)) + "\n" for row in rows))  # type: ignore[attr-defined]
    return path


@pytest.mark.parametrize("name", ["t.npy", "t.csv", "t.txt"])
def test_matrix_is_read_from_every_kind_of_file(tmp_path: Path, name: str) -> None:
    model = make_noise_model("matrix", file=write(tmp_path / name, ROWS))
    matrix = model.transition_matrix(3)
    assert matrix is not None
    assert matrix.numpy() == pytest.approx(np.array(ROWS), abs=1e-15)
    assert model.noise_rate == pytest.approx((0.1 + 0.2 + 0.5) / 3)
    model.check(3, 100)


def test_matrix_of_float32_is_taken_and_its_rows_sum_to_one_in_float64(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    rows = generator.random((100, 100)).astype(np.float32)
    rows /= rows.sum(1, keepdims=True)
    matrix = MatrixNoise.read(write(tmp_path / "t.npy", rows)).transition_matrix(100)
    assert matrix.sum(1).tolist() == pytest.approx([1] * 100, abs=1e-14)


@pytest.mark.parametrize(("name", "classes"), [("pair_flip", 7), ("asymmetric_cifar10", 10)])
def test_matrix_of_another_model_draws_that_models_labels(name: str, classes: int) -> None:
    intact = torch.arange(5000) * 7919 % classes
    model = make_noise_model(name, 0.4)
    matrix = model.transition_matrix(classes)
    assert matrix is not None
    theirs = model.draw(intact, classes, seed=12)
    ours = MatrixNoise(matrix).draw(intact, classes, seed=12)
    assert ours.fingerprint == theirs.fingerprint


def test_smaller_shares_of_wrong_labels_change_a_subset() -> None:
    intact = torch.arange(5000) % 3
    low_rows = 0.5 * torch.eye(3) + 0.5 * torch.tensor(ROWS)
    low = MatrixNoise(low_rows).draw(intact, 3, seed=1)
    high = MatrixNoise(torch.tensor(ROWS)).draw(intact, 3, seed=1)
    assert low.mask is not None
    assert high.mask is not None
    assert bool((high.mask | ~low.mask).all())
    assert 0 < int(low.mask.sum()) < int(high.mask.sum())


def test_probability_zero_is_never_drawn_and_one_always() -> None:
    permutation = torch.tensor([[0.0, 0.0, 1.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    intact = torch.arange(30_000) % 3
    drawn = MatrixNoise(permutation).draw(intact, 3, seed=0)
    assert torch.equal(drawn.labels, (intact + 2) % 3)


@pytest.mark.parametrize(
    ("name", "rows", "says"),
    [
        ("t.npy", [[0.5, 0.5], [0.6, 0.5]], r"row 1 .* sum 1.1"),
        ("t.npy", [[1.5, -0.5], [0.5, 0.5]], r"row 0, column 0 .* 1.5: not in \[0, 1\]"),
        ("t.npy", [[0.5, 0.5], [float("nan"), 0.5]], r"row 1, column 0 .* nan"),
        ("t.npy", [[0.5, 0.5]], r"\(1, 2\): not a square matrix"),
        ("t.npy", [0.5, 0.5], r"not a square matrix"),
        ("t.npy", [[1.0]], r"at least 2 classes"),
        ("t.npy", [["a", "b"], ["c", "d"]], r"not a square matrix of numbers"),
        ("t.npy", np.array([[1, 0], [0, None]], dtype=object), r"cannot be read as a matrix"),
        ("t.csv", [[0.5, 0.5], [0.5, "half"]], r"line 2: .*half"),
        ("t.txt", [[0.5, 0.5], [1.0]], r"line 2 has 1 numbers, the first 2"),
        ("t.csv", [], r"not a square matrix"),
        ("t.dat", [[0.5, 0.5], [0.5, 0.5]], r"unknown suffix '.dat'"),
    ],
)
def test_what_is_no_transition_matrix_is_refused(tmp_path: Path, name: str, rows: object, says: str) -> None:
    path = write(tmp_path / name, rows)
    with pytest.raises(InvalidInput, match=says) as caught:
        make_noise_model("matrix", file=path)
    (error,) = caught.value.errors
    assert (error.field, error.value) == ("noise_file", str(path))


def test_truncated_matrix_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "t.npy", ROWS)
    path.write_bytes(path.read_bytes()[:-8])
    with pytest.raises(InvalidInput, match="cannot be read"):
        make_noise_model("matrix", file=path)


def test_matrix_for_another_number_of_classes_is_refused_by_check_and_draw() -> None:
    model = MatrixNoise(torch.tensor(ROWS))
    with pytest.raises(InvalidInput, match="made for 3 classes; this data set has 10"):
        model.check(10, 100)
    with pytest.raises(InvalidInput, match="made for 3 classes; this data set has 10"):
        model.draw(torch.arange(10), 10, seed=0)


def test_matrix_given_as_a_tensor_is_checked_too() -> None:
    with pytest.raises(InvalidInput, match=r"matrix = .*sum 0\.5"):
        MatrixNoise(torch.tensor([[0.5, 0.0], [0.5, 0.5]]))
