"""The data of a sweep: labels from a file, a part held out with its own noisy labels, the objective that fits."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from search import SweepSpec
from search.cli import app
from search.estimate import _examples
from search.estimate import _part_of
from search.estimate import estimate
from search.objective import ObjectiveKind
from search.preflight import check_submission
from search.preflight import examine
from search.settled_rate import settle_noise_rate
from search.store import Store
from search.task import PreparedTask
from search.task import TaskSettings
from search.task import file_hashes
from trainers.datasets import load_dataset
from trainers.errors import InvalidInput
from trainers.noise import make_noise_model


def spec_of(**fields: Any) -> SweepSpec:
    return SweepSpec.model_validate({"dataset": "digits", "noise_rate": 0.4, "limit_train": 400, **fields})


def prepared(**fields: Any) -> PreparedTask:
    return TaskSettings.of(spec_of(**fields), Path()).load()


@pytest.fixture
def label_file(tmp_path: Path) -> Path:
    """Pair-flipped labels of all of digits, as another program might leave them."""
    digits = load_dataset("digits")
    labels = make_noise_model("pair_flip", 0.3).draw(digits.y_train, 10, 5)
    path = tmp_path / "labels.csv"
    labels.write_labels(path)
    return path


@pytest.fixture
def without_intact(tmp_path: Path) -> str:
    """Digits with noisy labels whose intact ones nobody knows."""
    digits = load_dataset("digits")
    given = make_noise_model("symmetric", 0.3).draw(digits.y_train, 10, 5).labels
    with (tmp_path / "manifest.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "label", "split"])
        for part, images, labels in (
            ("train", digits.x_train[:300], given[:300]),
            ("test", digits.x_test[:60], digits.y_test[:60]),
        ):
            for index, (image, label) in enumerate(zip(images, labels.tolist(), strict=True)):
                name = f"{part}{index}.png"
                Image.fromarray(image[0].numpy()).save(tmp_path / name)
                writer.writerow([name, label, part])
    return str(tmp_path / "manifest.csv")


def test_held_out_examples_are_validated_on_their_own_noisy_labels_and_never_trained_on() -> None:
    found = prepared(objective="noisy_validation", validation_fraction=0.2)
    assert found.held_out is not None
    kept, held = found.held_out.train, found.held_out.validation
    assert sorted([*kept.tolist(), *held.tolist()]) == list(range(400))
    assert (len(held), len(found.task.dataset.y_train)) == (80, 320)
    whole = found.labels(0.4, 7)
    labels, validation = found.divided(whole)
    assert validation is not None
    assert torch.equal(labels.labels, whole.labels[kept])
    assert torch.equal(validation, whole.labels[held])
    wrong = (validation != found.whole.y_train[held]).double().mean()
    assert 0.2 < float(wrong) < 0.6


def test_every_trial_of_a_sweep_holds_out_the_same_examples_and_another_seed_others() -> None:
    first, again, other = (
        prepared(objective="noisy_validation", seed=seed).held_out for seed in (0, 0, 1)
    )
    assert first is not None
    assert again is not None
    assert other is not None
    assert torch.equal(first.validation, again.validation)
    assert not torch.equal(first.validation, other.validation)


def test_labels_of_a_file_take_the_place_of_the_datas_own_which_stay_the_intact_ones(label_file: Path) -> None:
    fields = {"noise_model": "file", "noise_file": str(label_file), "noise_rate": None}
    found = prepared(**fields)
    digits = load_dataset("digits")
    given = np.loadtxt(label_file, delimiter=",", skiprows=1, dtype=np.int64)[:, 1]
    whole = TaskSettings.of(spec_of(**fields, limit_train=None), Path()).load()
    assert np.array_equal(whole.whole.y_train.numpy(), given)
    assert whole.whole.intact_train is not None
    assert torch.equal(whole.whole.intact_train, digits.y_train)
    drawn = [found.labels(None, seed) for seed in (0, 1)]
    assert torch.equal(drawn[0].labels, drawn[1].labels)
    rate = settle_noise_rate(spec_of(**fields), found).value
    assert rate == pytest.approx(drawn[0].realised_rate)
    assert 0.2 < rate < 0.4


def test_a_matrix_tells_its_own_noise_rate(tmp_path: Path) -> None:
    matrix = np.full((10, 10), 0.25 / 9) + np.eye(10) * (0.75 - 0.25 / 9)
    np.savetxt(tmp_path / "matrix.csv", matrix, delimiter=",")
    fields = {"noise_model": "matrix", "noise_file": str(tmp_path / "matrix.csv"), "noise_rate": None}
    assert settle_noise_rate(spec_of(**fields), prepared(**fields)).value == pytest.approx(0.25)


def test_what_is_trained_before_the_search_needs_none_of_the_gpus_that_trials_get_elsewhere(
    label_file: Path, tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)  # whatever this machine has
    given = np.loadtxt(label_file, delimiter=",", skiprows=1, dtype=np.int64)[:, 1]
    digits = load_dataset("digits")
    np.savez(
        tmp_path / "noisy.npz",
        x_train=digits.x_train.flatten(1).numpy(), y_train=given, x_test=digits.x_test.flatten(1).numpy(),
        y_test=digits.y_test.numpy(),
    )  # fmt: skip
    fields = {
        "dataset": str(tmp_path / "noisy.npz"), "noise_model": "none", "noise_rate": "unknown",
        "limit_train": None, "backbone": "mlp", "resources": {"cpus": 1, "gpus": 1},
        "training": {"epochs": 5, "learning_rate": 0.02},
    }  # fmt: skip
    assert prepared(**fields).task.device == "cuda"
    rate = settle_noise_rate(spec_of(**fields), prepared(**fields))
    assert 0.2 < rate.value < 0.5
    estimate_on_record = rate.facts["noise_estimate"]
    assert estimate_on_record["low"] <= estimate_on_record["rate"] <= estimate_on_record["high"]
    assert len(json.dumps(estimate_on_record)) < 1000
    cost = estimate(spec_of(resources={"cpus": 1, "gpus": 1}), store)
    assert cost.seconds_per_trial > 0
    assert "on a CPU: this machine has no GPU" in cost.lines()[-1]


@pytest.mark.parametrize(
    ("fields", "field", "words"),
    [
        ({"noise_model": "file"}, "noise_file", "missing"),
        ({"noise_model": "file", "noise_file": "nowhere.csv"}, "noise_file", "no such file"),
        ({"noise_model": "asymmetric_cifar100"}, "noise_model", "classes"),
        ({"supervision": "backward", "noise_rate": 0.9}, "noise_rate", "no inverse"),
        ({"supervision": "forward", "noise_model": "none", "hyperparameters": {"matrix": "true"}}, "matrix", "true"),
        ({"objective": "clean_validation"}, "objective", "no labelled validation set"),
        ({"objective": "noisy_validation", "validation_fraction": 0.999}, "validation_fraction", "leaves fewer"),
    ],
)
def test_what_the_data_cannot_bear_is_said_before_anything_starts(
    fields: dict[str, Any], field: str, words: str
) -> None:
    with pytest.raises(InvalidInput) as caught:
        check_submission({"dataset": "digits", "noise_rate": 0.4, **fields})
    assert [error.field for error in caught.value.errors].count(field) == 1
    assert words in str(caught.value)


def test_the_objective_follows_what_the_data_has_and_is_said_in_one_sentence(without_intact: str) -> None:
    notes = examine([spec_of()]).notes
    assert notes == (
        "Objective: final accuracy on the intact labels of the training set (400 examples), since the data has them.",
    )
    fields = {"dataset": without_intact, "noise_model": "none", "noise_rate": 0.3, "limit_train": None}
    (note,) = examine([spec_of(**fields)]).notes
    assert "noisy labels of held-out training examples" in note
    assert "30 examples" in note
    assert prepared(**fields).objective is ObjectiveKind.NOISY_VALIDATION


def arrays_with_validation(path: Path, **more: np.ndarray) -> str:
    digits = load_dataset("digits")
    arrays = {name: images.flatten(1).numpy() for name, images in (("train", digits.x_train), ("test", digits.x_test))}
    labels = {"y_train": digits.y_train.numpy(), "y_test": digits.y_test.numpy(), "y_validation": digits.y_test.numpy()}
    examples = {"x_train": arrays["train"], "x_test": arrays["test"], "x_validation": arrays["test"]}
    np.savez(path, **examples, **labels, **more)
    return str(path)


def test_labels_said_to_be_noisy_are_called_clean_nowhere_unless_the_data_tells_them_from_intact_ones(
    tmp_path: Path,
) -> None:
    fields = {"noise_model": "none", "noise_rate": 0.2, "objective": "clean_validation", "limit_train": None}
    doubtful = {**fields, "dataset": arrays_with_validation(tmp_path / "doubtful.npz")}
    (note,) = examine([spec_of(**doubtful)]).notes
    assert "labels of the validation set, taken to be clean" in note
    assert "--objective noisy_validation" in note
    assert prepared(**doubtful).facts()["labels_as_given"] is True
    noisy = make_noise_model("symmetric", 0.2).draw(load_dataset("digits").y_train, 10, 5).labels
    known = {**fields, "dataset": arrays_with_validation(tmp_path / "known.npz", intact_train=noisy.numpy())}
    for sure in (known, {**doubtful, "noise_model": "symmetric"}):
        (note,) = examine([spec_of(**sure)]).notes
        assert "clean labels of the validation set" in note
        assert prepared(**sure).facts()["labels_as_given"] is False


def test_a_trial_is_timed_on_a_small_part_of_every_set_that_is_evaluated(tmp_path: Path) -> None:
    path = arrays_with_validation(tmp_path / "large.npz")
    with np.load(path) as saved:
        arrays = dict(saved)
    for name in ("x_validation", "y_validation"):
        arrays[name] = np.concatenate([arrays[name]] * 10)
    np.savez(path, **arrays)
    task = prepared(dataset=path, limit_train=None).task
    part = _part_of(task)
    assert part.y_validation is not None
    assert part.x_validation is not None
    assert len(part.y_validation) == len(part.x_validation) == len(part.y_test) == 256
    assert _examples(part) == 1024 + 256 + 256
    assert _examples(task.dataset) == 1437 + 360 + 3600


def test_intact_labels_that_nobody_knows_are_no_objective_and_tell_no_rate(without_intact: str) -> None:
    fields = {"dataset": without_intact, "noise_model": "none"}
    with pytest.raises(InvalidInput, match="no intact labels"):
        check_submission({**fields, "noise_rate": 0.3, "objective": "intact"})
    with pytest.raises(InvalidInput, match="'unknown' to have it estimated"):
        check_submission(fields)


def test_a_label_file_that_changes_is_read_again_by_the_same_process(tmp_path: Path) -> None:
    path = tmp_path / "labels.npy"
    digits = load_dataset("digits")
    fields = {"noise_model": "file", "noise_file": str(path), "noise_rate": None, "limit_train": None}
    np.save(path, digits.y_train.numpy())
    assert settle_noise_rate(spec_of(**fields), prepared(**fields)).value == 0
    np.save(path, make_noise_model("pair_flip", 0.5).draw(digits.y_train, 10, 0).labels.numpy().astype(np.int32))
    assert settle_noise_rate(spec_of(**fields), prepared(**fields)).value > 0.4


def test_labels_that_are_all_wrong_are_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "labels.npy", (load_dataset("digits").y_train.numpy() + 1) % 10)
    fields = {"noise_model": "file", "noise_file": str(tmp_path / "labels.npy")}
    with pytest.raises(InvalidInput, match="number the classes as the dataset does"):
        check_submission({"dataset": "digits", **fields})


def file_labels(labels: np.ndarray, path: Path) -> dict[str, Any]:
    np.save(path, labels)
    return {"dataset": "digits", "noise_model": "file", "noise_file": str(path)}


def test_labels_of_a_test_set_that_was_held_out_are_refused_as_such(tmp_path: Path) -> None:
    for number, (image, label) in enumerate(zip(load_dataset("digits").x_train[:200], range(200), strict=True)):
        path = tmp_path / "pictures" / "train" / str(label % 2) / f"{number:03d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image[0].numpy()).save(path)
    for labels, problem in (
        (np.arange(200) % 2, "has 200 labels, and 40 of these examples are the test set"),
        (np.arange(199) % 2, "has int64 (199,), not one integer for each of 160 examples"),
        (np.full(200, 2), "has int64 (200,), not one integer for each of 160 examples"),
    ):
        fields = file_labels(labels, tmp_path / "labels.npy")
        with pytest.raises(InvalidInput) as refused:
            check_submission({**fields, "dataset": str(tmp_path / "pictures"), "backbone": "mlp"})
        (error,) = refused.value.errors
        assert (error.field, error.problem) == ("noise_file", problem)


def test_the_share_of_a_files_labels_that_are_not_the_datasets_is_said(tmp_path: Path) -> None:
    digits = load_dataset("digits").y_train
    labels = make_noise_model("pair_flip", 0.5).draw(digits, 10, 0).labels
    found = check_submission(file_labels(labels.numpy(), tmp_path / "labels.npy"))
    share = float((labels != digits).double().mean())
    assert found.notes[1:] == (f"{share:.1%} of the labels in {tmp_path / 'labels.npy'} differ from the dataset's.",)
    assert found.warnings == ()


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        (lambda labels: np.random.default_rng(0).permutation(labels), "as in a random order"),
        (lambda labels: np.array([0, 2, 3, 4, 5, 6, 7, 8, 1, 9])[labels], "of 8 of 10 classes (1, 2, 3, 4, 5, …) an"),
        (lambda labels: np.where(labels == 3, 8, labels), "of class 3 another class is the most frequent label"),
    ],
)
def test_labels_of_a_file_that_are_hardly_those_of_the_data_are_warned_of(
    changed: Callable[[np.ndarray], np.ndarray], words: str, tmp_path: Path
) -> None:
    labels = changed(load_dataset("digits").y_train.numpy())
    for rate in ({}, {"noise_rate": 0.3}):
        (warning,) = check_submission({**file_labels(labels, tmp_path / "labels.npy"), **rate}).warnings
        assert words in warning
        assert warning.endswith("Are order and class numbers the dataset's?")


def noisy_beside_intact(path: Path) -> tuple[str, torch.Tensor]:
    """Digits with half of their labels wrong, and the intact ones beside them; and the wrong ones."""
    digits = load_dataset("digits")
    noisy = make_noise_model("symmetric", 0.5).draw(digits.y_train, 10, 9).labels
    arrays = {"x_train": digits.x_train, "y_train": noisy, "x_test": digits.x_test, "y_test": digits.y_test}
    images = {name: (each.permute(0, 2, 3, 1) if each.dim() == 4 else each).numpy() for name, each in arrays.items()}
    np.savez(path, **images, intact_train=digits.y_train.numpy())
    return str(path), noisy


def test_noise_is_drawn_from_the_intact_labels_where_the_data_brings_noisy_ones_beside_them(tmp_path: Path) -> None:
    path, noisy = noisy_beside_intact(tmp_path / "noisy.npz")
    found = prepared(dataset=path, limit_train=None)
    assert 0.35 < (found.labels(0.4, 3).realised_rate or 0) < 0.45
    kept = prepared(dataset=path, limit_train=None, noise_model="none")
    assert torch.equal(kept.labels(None, 3).labels, noisy)
    wrong = (noisy != load_dataset("digits").y_train).double().mean()
    (_, note) = examine([spec_of(dataset=path, limit_train=None)]).notes
    assert f"its own, of which {wrong:.1%} are wrong, are not used" in note
    assert len(examine([spec_of(dataset=path, limit_train=None, noise_model="none", noise_rate=None)]).notes) == 1


def test_labels_and_estimate_noise_draw_what_a_sweep_draws(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EMPHASIS_HOME", str(tmp_path))
    path, _ = noisy_beside_intact(tmp_path / "noisy.npz")
    trained_on = prepared(dataset=path, limit_train=None).labels(0.4, 3)
    noise = ["--dataset", path, "--noise-rate", "0.4"]
    labels = CliRunner().invoke(app, ["labels", *noise, "--noise-seed", "3", "-o", str(tmp_path / "labels.npy")])
    assert labels.exit_code == 0, labels.stderr
    assert np.array_equal(np.load(tmp_path / "labels.npy"), trained_on.labels.numpy())
    briefly = ["--epochs", "1", "--folds", "2", "--cpus", "1", "--json"]
    estimated = CliRunner().invoke(app, ["estimate-noise", *noise, "--seed", "3", *briefly])
    assert json.loads(estimated.stdout)["realised_rate"] == trained_on.realised_rate


def test_the_contents_of_files_that_a_spec_names_are_part_of_it(tmp_path: Path) -> None:
    matrix = tmp_path / "T.csv"
    np.savetxt(matrix, np.eye(10), delimiter=",")
    spec = spec_of(supervision="forward", hyperparameters={"matrix": str(matrix)})
    before = file_hashes(spec)
    assert list(before) == ["hyperparameters.matrix"]
    np.savetxt(matrix, np.eye(10)[::-1], delimiter=",")
    assert file_hashes(spec) != before


@pytest.mark.parametrize(
    ("fields", "cells"),
    [
        ({}, [{"matrix": "true"}, {"matrix": "estimated"}]),
        ({"hyperparameters": {"matrix": "estimated"}}, [{}]),
        ({"noise_model": "none"}, [{"matrix": "estimated"}]),
    ],
)
def test_the_default_space_leaves_out_what_is_fixed_and_what_cannot_be_had(
    fields: dict[str, Any], cells: list[dict[str, Any]]
) -> None:
    space = spec_of(supervision="forward", **fields).searched_space
    assert [cell.as_dict() for cell in space.grid() or ()] == cells


def test_fixing_one_of_several_ranges_leaves_the_others() -> None:
    space = spec_of(supervision="gce_truncated", hyperparameters={"k": 0.5}).searched_space
    assert list(space.distributions()) == ["q"]
    assert spec_of(supervision="gce", hyperparameters={"q": 0.5}).number_of_configurations == 1
