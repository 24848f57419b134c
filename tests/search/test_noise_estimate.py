"""How many labels are wrong: the counting against its recipe, the estimate against the truth, and the command."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from typer.testing import CliRunner
from typer.testing import Result

from search.cli import app
from search.noise_estimate import NoiseEstimate
from search.noise_estimate import count_noise
from search.noise_estimate import estimate_noise
from trainers.datasets import load_dataset
from trainers.errors import InvalidInput
from trainers.noise import symmetric_noise
from trainers.recipes import training_task

Emphasis = Callable[..., Result]
Probabilities = NDArray[np.float64]
CIFAR_N = Path(__file__).resolve().parents[3] / "shared" / "data" / "cifar_n" / "CIFAR-10_human.pt"


@pytest.fixture
def emphasis(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Emphasis:
    monkeypatch.setenv("EMPHASIS_HOME", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "120")

    def call(options: str, *more: object) -> Result:
        texts = ["estimate-noise", *options.split(), *(str(argument) for argument in more)]
        return CliRunner().invoke(app, texts, catch_exceptions=False)

    return call


def drawn(
    examples: int, classes: int, rate: float, sharpness: float, seed: int = 0
) -> tuple[NDArray[np.int64], NDArray[np.int64], Probabilities]:
    """Intact labels, given ones under symmetric noise, and the posterior of the given ones by a good classifier."""
    generator = np.random.Generator(np.random.PCG64(seed))
    intact = generator.integers(classes, size=examples)
    wrong = generator.random(examples) < rate
    given = np.where(wrong, (intact + generator.integers(1, classes, size=examples)) % classes, intact)
    scores = generator.normal(size=(examples, classes))
    scores[np.arange(examples), intact] += sharpness
    of_intact = np.exp(sharpness * scores) / np.exp(sharpness * scores).sum(1, keepdims=True)
    transition = np.full((classes, classes), rate / (classes - 1))
    np.fill_diagonal(transition, 1 - rate)
    return intact, given, of_intact @ transition


def recipe_joint(labels: NDArray[np.int64], probabilities: Probabilities) -> Probabilities:
    """The recipe in plain loops: thresholds, counts of the likeliest class above its own, rows to label counts."""
    classes = probabilities.shape[1]
    thresholds = [probabilities[labels == j, j].mean() for j in range(classes)]
    counts = np.zeros((classes, classes))
    for label, row in zip(labels, probabilities, strict=True):
        above = [j for j in range(classes) if row[j] >= thresholds[j]]
        if above:
            counts[label, max(above, key=lambda j: row[j])] += 1
    sizes = np.bincount(labels, minlength=classes)
    return counts / counts.sum(1, keepdims=True) * sizes[:, None]


@pytest.mark.parametrize("sharpness", [1.0, 2.0, 4.0])
def test_counts_are_those_of_the_recipe_with_intact_classes_in_rows(sharpness: float) -> None:
    _, given, probabilities = drawn(3000, 6, 0.3, sharpness)
    # The likeliest of all classes stands for the likeliest of those above their thresholds: cleanlab's choice.
    estimate = count_noise(given, probabilities, resamples=1)
    expected = recipe_joint(given, probabilities)
    apart = np.abs(estimate.confusion - expected.T)
    assert apart.max() <= 1 + 0.02 * len(given) * (sharpness == 1.0)
    assert estimate.rate == pytest.approx(1 - expected.trace() / 3000, abs=0.01 if sharpness == 1.0 else 0.002)
    assert (estimate.given_counts == np.bincount(given, minlength=6)).all()
    assert estimate.joint.sum() == pytest.approx(1)


def test_direction_of_one_sided_noise_is_kept() -> None:
    generator = np.random.Generator(np.random.PCG64(1))
    intact = np.arange(3000) % 3
    given = np.where((intact == 0) & (generator.random(3000) < 0.4), 2, intact)
    probabilities = np.full((3000, 3), 0.01)
    probabilities[np.arange(3000), intact] = 0.98
    probabilities[intact == 0] = (0.6, 0.01, 0.39)
    estimate = count_noise(given, probabilities, resamples=1)
    moved = int((given != intact).sum())
    assert estimate.largest_confusions() == [(0, 2, pytest.approx(moved, abs=2))]


@pytest.mark.parametrize("rate", [0.0, 0.1, 0.4, 0.7])
def test_a_good_classifier_gives_the_true_rate_within_the_interval(rate: float) -> None:
    intact, given, probabilities = drawn(4000, 5, rate, 4.0)
    estimate = count_noise(given, probabilities)
    assert estimate.rate == pytest.approx(float((given != intact).mean()), abs=0.005)
    assert estimate.low <= estimate.rate <= estimate.high


def test_the_interval_is_the_bootstraps_and_shrinks_with_the_root_of_the_examples() -> None:
    widths = []
    for examples in (500, 8000):
        _, given, probabilities = drawn(examples, 4, 0.3, 4.0)
        estimate = count_noise(given, probabilities, seed=1)
        again = count_noise(given, probabilities, seed=1)
        assert (estimate.low, estimate.high) == (again.low, again.high)
        widths.append(estimate.high - estimate.low)
    # Of a share of 0.3 in 500 draws: 2 * 1.96 * sqrt(0.3 * 0.7 / 500).
    assert widths[0] == pytest.approx(0.080, rel=0.25)
    assert widths[0] / widths[1] == pytest.approx(4, rel=0.3)


def test_a_class_that_no_label_names_is_borne() -> None:
    _, given, probabilities = drawn(600, 4, 0.2, 4.0)
    wider = np.hstack([probabilities, np.full((600, 1), 1e-9)])
    estimate = count_noise(given, wider, resamples=20)
    assert estimate.confusion.shape == (5, 5)
    assert estimate.given_counts[4] == 0
    assert estimate.rate == pytest.approx(count_noise(given, probabilities, resamples=1).rate, abs=0.01)


def test_probabilities_that_do_not_fit_are_refused() -> None:
    _, given, probabilities = drawn(100, 3, 0.2, 2.0)
    with pytest.raises(InvalidInput, match="for 99 labels"):
        count_noise(given[:99], probabilities)
    probabilities[3, 1] = np.nan
    with pytest.raises(InvalidInput, match="not finite"):
        count_noise(given, probabilities)


@pytest.mark.parametrize("rate", [0.2, 0.4])
def test_digits_are_estimated_within_four_points_of_the_truth(rate: float) -> None:
    data = load_dataset("digits")
    labels = symmetric_noise(data.y_train, rate, data.num_classes, seed=0)
    estimate = estimate_noise(training_task(data, epochs=12), labels, folds=3)
    assert estimate.realised_rate == labels.realised_rate
    assert estimate.rate == pytest.approx(labels.realised_rate, abs=0.04)
    assert (estimate.folds, estimate.epochs, estimate.examples) == (3, 12, 1437)
    told = json.loads(json.dumps(estimate.as_dict(), allow_nan=False))
    assert np.asarray(told["confusion"]).sum() == 1437


def test_a_record_keeps_of_many_classes_the_largest_confusions_only() -> None:
    confusion = np.diag(np.full(1000, 50)) + 1
    confusion[7, 3], confusion[2, 999] = 40, 60
    estimate = NoiseEstimate(0.9, 0.8, 0.95, confusion, 0.5, 5, 0, "CategoricalCrossEntropy()", 30, 12.5)
    told = estimate.summary()
    assert told["largest_confusions"][:2] == [
        {"intact": 2, "given": 999, "examples": 60}, {"intact": 7, "given": 3, "examples": 40},
    ]  # fmt: skip
    assert (told["rate"], told["low"], told["high"], told["accuracy"], told["folds"]) == (0.9, 0.8, 0.95, 0.5, 5)
    assert len(json.dumps(told)) < 1000
    assert estimate.as_dict()["confusion"] == confusion.tolist()


class TestCommand:
    def test_says_the_rate_its_interval_and_the_truth_and_writes_a_figure(
        self, emphasis: Emphasis, tmp_path: Path
    ) -> None:
        done = emphasis("--dataset digits --noise-rate 0.4 --epochs 8 --folds 3 --cpus 1 --limit-train 900")
        assert done.exit_code == 0, done.stderr
        assert "digits, symmetric 0.4: mlp | 3/3 folds" in done.stdout
        folder = tmp_path / "figures" / "noise-digits-symmetric-0.4"
        told = json.loads((folder / "noise_estimate.json").read_text())
        assert f"Estimated noise rate: {told['rate']:.3f} (95% interval {told['low']:.3f}" in done.stdout
        assert f"in truth: {told['realised_rate']:.3f}" in done.stdout
        assert np.asarray(told["true_confusion"]).sum() == told["examples"] == 900
        assert (folder / "confusion.png").read_bytes().startswith(b"\x89PNG")
        assert " -> " in done.stdout

    def test_labels_of_a_file_are_those_of_the_whole_training_set(self, emphasis: Emphasis, tmp_path: Path) -> None:
        data = load_dataset("digits")
        labels = symmetric_noise(data.y_train, 0.3, 10, seed=0)
        labels.write_labels(tmp_path / "given.csv", data.y_train)
        options = "--dataset digits --noise-column label --limit-train 600 --epochs 8 --folds 2 --cpus 1 --json"
        done = emphasis(options, "--noise-file", tmp_path / "given.csv", "--output", tmp_path / "o")
        assert done.exit_code == 0, done.stderr
        told = json.loads(done.stdout)
        assert (told["examples"], told["noise_model"], told["folds"]) == (600, "file", 2)
        assert told["realised_rate"] == pytest.approx(0.3, abs=0.05)
        assert told["rate"] == pytest.approx(told["realised_rate"], abs=0.1)
        assert "2/2 folds" in done.stderr
        assert json.loads((tmp_path / "o" / "noise_estimate.json").read_text()) == told

    def test_the_datas_own_labels_are_not_taken_for_the_truth_about_themselves(
        self, emphasis: Emphasis, tmp_path: Path
    ) -> None:
        data = load_dataset("digits").limit_train(400)
        given = symmetric_noise(data.y_train, 0.3, 10, seed=0).labels
        x_train, x_test = data.x_train.flatten(1), data.x_test.flatten(1)
        arrays = {"x_train": x_train, "y_train": given, "x_test": x_test, "y_test": data.y_test}
        np.savez(tmp_path / "mine.npz", **{name: array.numpy() for name, array in arrays.items()})
        options = ("--epochs 8 --folds 2 --cpus 1 --dataset", tmp_path / "mine.npz")
        done = emphasis(*options)
        assert done.exit_code == 0, done.stderr
        assert "in truth" not in done.stdout
        np.savez(
            tmp_path / "mine.npz", intact_train=data.y_train.numpy(), **{name: a.numpy() for name, a in arrays.items()}
        )
        assert "in truth: 0." in emphasis(*options).stdout

    def test_classes_whose_names_are_no_utf_8_are_estimated_as_any(self, emphasis: Emphasis, tmp_path: Path) -> None:
        data = load_dataset("digits")
        shown = {0: "caf\\xe8", 1: "caf\\xe9"}
        for index, (image, label) in enumerate(zip(data.x_train[:300], data.y_train.tolist(), strict=False)):
            if label in shown:
                # A few of either are given as the other, so that the names are needed.
                folder = tmp_path / "train" / os.fsdecode(b"caf" + bytes([0xE8 + (label ^ (index % 5 == 0))]))
                folder.mkdir(parents=True, exist_ok=True)
                Image.fromarray(np.asarray(image)[0]).save(folder / f"{index}.png")
        options = "--epochs 8 --folds 2 --cpus 1 --backbone mlp --dataset"
        done = emphasis(options, tmp_path, "--output", tmp_path / "out")
        assert done.exit_code == 0, done.stderr
        assert f"{shown[0]} -> {shown[1]}" in done.stdout
        told = json.loads((tmp_path / "out" / "noise_estimate.json").read_text())
        assert told["class_names"] == list(shown.values())
        assert (tmp_path / "out" / "confusion.png").is_file()

    def test_an_estimate_is_said_even_where_its_files_cannot_be_written(
        self, emphasis: Emphasis, tmp_path: Path
    ) -> None:
        (tmp_path / "out" / "noise_estimate.json").mkdir(parents=True)
        done = emphasis("--dataset digits --limit-train 100 --epochs 1 --folds 2 --cpus 1 --output", tmp_path / "out")
        assert done.exit_code == 2
        assert "Estimated noise rate: " in done.stdout
        assert "output = " in done.stderr

    def test_everything_wrong_is_said_at_once(self, emphasis: Emphasis) -> None:
        done = emphasis("--dataset digit --noise-model symetric --folds 1 --cpus 0 --seed -1")
        assert (done.exit_code, done.stdout) == (2, "")
        said = {line.split(" = ")[0]: line for line in done.stderr.splitlines()}
        assert set(said) == {"dataset", "noise_model", "folds", "cpus", "seed"}
        assert "Did you mean digits?" in said["dataset"]

    def test_more_folds_than_examples_and_a_folder_that_is_a_file_are_bad_input(
        self, emphasis: Emphasis, tmp_path: Path
    ) -> None:
        few = emphasis("--dataset digits --limit-train 20 --folds 21")
        assert few.exit_code == 2
        assert "folds = 21: more than the 20 examples" in few.stderr
        (tmp_path / "file").write_text("")
        done = emphasis("--dataset digits --limit-train 60 --epochs 1 --folds 2 --output", tmp_path / "file")
        assert done.exit_code == 2
        assert done.stderr.startswith("output = ")


@pytest.mark.skipif(not CIFAR_N.is_file(), reason="CIFAR-N's labels (../shared/data) are not here")
def test_human_labels_of_part_of_cifar_are_judged(emphasis: Emphasis, cifar10_dir: Path) -> None:
    options = "--dataset cifar10 --noise-column worse_label --limit-train 100 --backbone resnet20 --epochs 1 --folds 2"
    done = emphasis(options, "--cpus", 1, "--data-dir", cifar10_dir, "--noise-file", CIFAR_N)
    assert done.exit_code == 0, done.stderr
    assert "cifar10, CIFAR-10_human worse_label: resnet20 | 2/2 folds" in done.stdout
    assert "in truth: 0." in done.stdout
