from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from trainers.errors import InvalidInput
from trainers.noise import CorruptedLabels
from trainers.noise import make_noise_model
from trainers.noise import symmetric_noise


def labels_of(n: int, classes: int) -> torch.Tensor:
    return torch.arange(n) % classes


# --- saved and reloaded ---


def test_saved_labels_come_back_with_all_they_say(tmp_path: Path) -> None:
    drawn = symmetric_noise(labels_of(1000, 10), 0.4, 10, seed=2**62 + 1)
    path = tmp_path / "new" / "labels.npz"
    drawn.save(path)
    back = CorruptedLabels.load(path)
    assert torch.equal(back.labels, drawn.labels)
    assert torch.equal(back.mask, drawn.mask)
    assert (back.noise_model, back.noise_rate, back.num_classes, back.seed) == (
        "symmetric",
        0.4,
        10,
        2**62 + 1,
    )
    assert back.realised_rate == drawn.realised_rate
    assert back.fingerprint == drawn.fingerprint
    assert [entry.name for entry in path.parent.iterdir()] == ["labels.npz"]


def test_saving_again_replaces_the_file(tmp_path: Path) -> None:
    path = tmp_path / "labels.npz"
    symmetric_noise(labels_of(10, 2), 0.5, 2, seed=0).save(path)
    later = symmetric_noise(labels_of(1000, 10), 0.5, 10, seed=1)
    later.save(path)
    assert CorruptedLabels.load(path).fingerprint == later.fingerprint


def test_a_save_that_fails_leaves_the_old_file_and_no_remains(tmp_path: Path) -> None:
    path = tmp_path / "labels.npz"
    drawn = symmetric_noise(labels_of(10, 2), 0.5, 2, seed=0)
    drawn.save(path)
    broken = CorruptedLabels(drawn.labels, drawn.mask, "symmetric", 0.5, 2, seed=2**70)  # more than int64 holds
    with pytest.raises(OverflowError):
        broken.save(path)
    assert CorruptedLabels.load(path).fingerprint == drawn.fingerprint
    assert [entry.name for entry in tmp_path.iterdir()] == ["labels.npz"]


def damaged_files(folder: Path) -> dict[str, Path]:
    drawn = symmetric_noise(labels_of(1000, 10), 0.4, 10, seed=0)
    whole = folder / "whole.npz"
    drawn.save(whole)
    files = {"missing": folder / "missing.npz", "truncated": folder / "truncated.npz"}
    files["truncated"].write_bytes(whole.read_bytes()[:-200])
    contents = {
        "incomplete": {"labels": np.arange(3)},
        "objects": {"labels": np.array([1, "x"], dtype=object)},
        "out of range": {**dict(np.load(whole)), "num_classes": np.array(3)},
        "mask of another length": {**dict(np.load(whole)), "mask": np.zeros(3, dtype=bool)},
        "labels are not integers": {**dict(np.load(whole)), "labels": np.zeros(1000)},
    }
    for name, arrays in contents.items():
        files[name] = folder / f"{name}.npz"
        np.savez(files[name], **arrays)
    return files


def test_a_file_that_is_no_saved_draw_is_refused_by_name(tmp_path: Path) -> None:
    for what, path in damaged_files(tmp_path).items():
        with pytest.raises(InvalidInput) as caught:
            CorruptedLabels.load(path)
        (error,) = caught.value.errors
        assert error.field == "noise_file", what
        assert error.value == str(path), what


def test_labels_of_which_nobody_knows_the_wrong_ones_come_back_as_unknown(tmp_path: Path) -> None:
    drawn = make_noise_model("none").draw(labels_of(100, 10), 10, seed=3)
    drawn.save(tmp_path / "labels.npz")
    back = CorruptedLabels.load(tmp_path / "labels.npz")
    assert (back.mask, back.noise_rate, back.realised_rate) == (None, None, None)
    assert (back.noise_model, back.num_classes, back.seed) == ("none", 10, 3)
    assert back.fingerprint == drawn.fingerprint


def test_fingerprint_tells_known_from_unknown_and_one_mask_from_another() -> None:
    labels = labels_of(16, 4)
    masks = [None, torch.zeros(16, dtype=torch.bool), torch.arange(16) < 1]
    prints = {CorruptedLabels(labels, mask, "none", None, 4, 0).fingerprint for mask in masks}
    assert len(prints) == 3


# --- a part ---


def test_part_keeps_labels_and_mask_of_its_examples_in_their_order() -> None:
    drawn = symmetric_noise(labels_of(1000, 10), 0.4, 10, seed=0)
    indices = torch.tensor([7, 3, 999, 3])
    part = drawn.take(indices)
    assert torch.equal(part.labels, drawn.labels[indices])
    assert part.mask is not None
    assert torch.equal(part.mask, part.labels != labels_of(1000, 10)[indices])
    assert part.realised_rate == part.mask.double().mean().item()
    assert (part.noise_model, part.noise_rate, part.num_classes, part.seed) == ("symmetric", 0.4, 10, 0)


def test_part_of_labels_of_which_nobody_knows_the_wrong_ones_is_unknown_too() -> None:
    drawn = make_noise_model("none").draw(labels_of(100, 10), 10, seed=0)
    assert drawn.take(torch.arange(5)).mask is None


@pytest.mark.parametrize("indices", [[], [-1], [1000], [0.5], [[1]]])
def test_indices_that_are_none_are_refused(indices: list[object]) -> None:
    drawn = symmetric_noise(labels_of(1000, 10), 0.4, 10, seed=0)
    with pytest.raises(InvalidInput, match="indices"):
        drawn.take(torch.tensor(indices))


# --- confusion matrix ---


def test_confusion_matrix_counts_intact_classes_in_rows_and_given_ones_in_columns() -> None:
    given = CorruptedLabels(torch.tensor([0, 1, 1, 2, 0]), None, "none", None, 3, 0)
    counts = given.confusion_matrix(torch.tensor([0, 0, 1, 2, 2]))
    assert counts.tolist() == [[1, 1, 0], [0, 1, 0], [1, 0, 1]]
    assert counts.dtype == torch.int64


def test_realised_rate_is_the_share_beside_the_confusion_matrixs_diagonal() -> None:
    intact = labels_of(5000, 10)
    drawn = symmetric_noise(intact, 0.3, 10, seed=8)
    counts = drawn.confusion_matrix(intact)
    assert int(counts.sum()) == 5000
    assert drawn.realised_rate == 1 - int(counts.trace()) / 5000


@pytest.mark.parametrize("intact", [[0, 1], [0, 1, 3], [0, 1, -1], [0.0, 1.0, 2.0]])
def test_intact_labels_that_do_not_fit_are_refused(intact: list[float]) -> None:
    given = CorruptedLabels(torch.tensor([0, 1, 1]), None, "none", None, 3, 0)
    with pytest.raises(InvalidInput, match="intact"):
        given.confusion_matrix(torch.tensor(intact))


# --- exported ---


def test_exported_labels_are_plain_files(tmp_path: Path) -> None:
    given = CorruptedLabels(torch.tensor([2, 0, 1]), None, "none", None, 3, 0)
    given.write_labels(tmp_path / "deep" / "labels.npy")
    given.write_labels(tmp_path / "deep" / "labels.csv")
    given.write_labels(tmp_path / "deep" / "both.csv", intact=torch.tensor([2, 1, 1]))
    assert np.load(tmp_path / "deep" / "labels.npy").tolist() == [2, 0, 1]
    assert (tmp_path / "deep" / "labels.csv").read_text() == "index,label\n0,2\n1,0\n2,1\n"
    assert (tmp_path / "deep" / "both.csv").read_text() == "index,label,intact_label\n0,2,2\n1,0,1\n2,1,1\n"
    assert {path.name for path in (tmp_path / "deep").iterdir()} == {"labels.npy", "labels.csv", "both.csv"}


@pytest.mark.parametrize("name", ["labels.npy", "labels.csv", "labels.npz"])
def test_exported_labels_can_be_given_back(tmp_path: Path, name: str) -> None:
    intact = labels_of(1000, 10)
    drawn = symmetric_noise(intact, 0.4, 10, seed=5)
    path = tmp_path / name
    if path.suffix == ".npz":
        drawn.save(path)
    else:
        drawn.write_labels(path)
    back = make_noise_model("file", file=path).draw(intact, 10, seed=0, intact=intact)
    assert torch.equal(back.labels, drawn.labels)
    assert back.fingerprint == drawn.fingerprint
    assert back.realised_rate == drawn.realised_rate
    assert (back.noise_model, back.noise_rate) == ("file", None)


def test_export_that_would_not_say_what_it_was_asked_to_is_refused(tmp_path: Path) -> None:
    given = CorruptedLabels(torch.tensor([2, 0, 1]), None, "none", None, 3, 0)
    with pytest.raises(InvalidInput, match=r"neither \.npy nor \.csv"):
        given.write_labels(tmp_path / "labels.txt")
    with pytest.raises(InvalidInput, match=r"one column"):
        given.write_labels(tmp_path / "labels.npy", intact=torch.tensor([2, 1, 1]))
    with pytest.raises(InvalidInput, match="intact"):
        given.write_labels(tmp_path / "labels.csv", intact=torch.tensor([2, 1]))
    assert not list(tmp_path.iterdir())
