"""A folder of real images, from the folder to an exported (beta, lambda), its labels noisy already."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from driver_process import DriverProcess
from driver_process import RayProcess
from driver_process import joining
from PIL import Image
from sweep_record import Record
from typer.testing import CliRunner

from search.cli import app
from search.home import Home
from search.store import Phase
from trainers.datasets import load_dataset
from trainers.noise import symmetric_noise

EXAMPLES = 400


def write_images(folder: Path) -> None:
    """Digits as PNG files in the folders of classes that are wrong for a fifth of them; one file is no image."""
    digits = load_dataset("digits")
    given = symmetric_noise(digits.y_train, 0.2, 10, 3).labels
    for part, images, labels in (
        ("train", digits.x_train[:EXAMPLES], given[:EXAMPLES]),
        ("test", digits.x_test[:100], digits.y_test[:100]),
    ):
        for number, (image, label) in enumerate(zip(images, labels, strict=True)):
            path = folder / part / str(int(label)) / f"{number:04d}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image[0].numpy()).save(path)
    (folder / "train" / "0" / "broken.png").write_bytes(b"no image")


@pytest.mark.long
def test_images_with_noisy_labels_are_searched_at_the_estimated_rate_and_exported(
    tmp_path: Path, cluster: RayProcess
) -> None:
    write_images(tmp_path / "pictures")
    arguments = (
        "run", "--dataset", str(tmp_path / "pictures"), "--noise-model", "none", "--noise-rate", "unknown",
        "--backbone", "mlp", "--learning-rate", "0.02", "--epochs", "20",
        "--trials", "2", "--confirm-top", "1", "--confirm-seeds", "2",
    )  # fmt: skip
    with DriverProcess(tmp_path / "home", *arguments, environment=joining(cluster)) as driver:
        assert driver.wait() == 0, driver.output
        output = driver.output
    record = Record(Home(tmp_path / "home"))

    assert "noisy labels of held-out training examples" in output
    assert "broken.png" in output
    estimate = record.sweep.facts["noise_estimate"]
    assert record.sweep.noise_rate == round(estimate["rate"], 4)
    assert 0.1 < record.sweep.noise_rate < 0.35
    assert record.sweep.facts["validation_examples"] == EXAMPLES // 10
    assert record.sweep.spec["objective"] == "noisy_validation"
    confirmed = [trial for trial in record.trials if trial.phase is Phase.CONFIRM]
    for trial in confirmed:
        assert trial.final is not None
        assert trial.objective == trial.final.validation  # noise of an unknown kind is not corrected
    done = CliRunner().invoke(
        app, ["export", "--home", str(tmp_path / "home"), "--dataset", str(tmp_path / "pictures")]
    )
    (found,) = json.loads(done.stdout)
    assert found["objective"]["name"] == "noisy_validation_accuracy"
    assert found["intact_accuracy"] is None
    assert found["recommended"]["beta"] == confirmed[0].hyperparameters["beta"]
