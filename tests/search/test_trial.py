"""What a trial reports from inside its process, run here without Ray."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from search.task import TaskSettings
from search.trial import run_trial
from trainers.engines.checkpoint import checkpoint_path
from trainers.noise import make_noise_model

EPOCHS = 4


@pytest.fixture
def settings(tmp_path: Path) -> TaskSettings:
    return TaskSettings(
        dataset="digits",
        data_dir=None,
        limit_train=400,
        backbone=None,
        noise_model="symmetric",
        noise_file=None,
        noise_column=None,
        objective=None,
        validation_fraction=0.1,
        training={"epochs": EPOCHS},
        seed=0,
        cpus=1,
        device="cpu",
        checkpoints=str(tmp_path / "checkpoints"),
    )


def order(**others: Any) -> dict[str, Any]:
    return {
        "trial_id": "sweep-0000",
        "supervision": "gr",
        "hyperparameters": {"beta": 8.0, "lam": 0.5, "transform": "exp", "normalise": "batch"},
        "noise_rate": 0.4,
        "seed": 1,
        "noise_seed": 2,
        "judged": False,
        **others,
    }


def reports_of(settings: TaskSettings, **others: Any) -> list[dict[str, Any]]:
    """What the trial reports, as it arrives on the other side of a process boundary."""
    reports: list[dict[str, Any]] = []
    run_trial(settings, order(**others), lambda report: reports.append(json.loads(json.dumps(report))))
    return reports


def ending_of(reports: list[dict[str, Any]]) -> dict[str, Any]:
    *earlier, last = reports
    assert all(report["ending"] is None for report in earlier)
    ending: dict[str, Any] = last["ending"]
    return ending


def labels_of(reports: list[dict[str, Any]]) -> dict[str, Any]:
    labels: dict[str, Any] = reports[0]["labels"]
    assert all(report["labels"] == labels for report in reports)
    return labels


def test_a_trial_that_may_be_stopped_reports_each_epoch_that_is_evaluated(settings: TaskSettings) -> None:
    each = reports_of(settings, judged=True)
    assert [[epoch["epoch"] for epoch in report["epochs"]] for report in each] == [[1], [2], [3], [4], []]

    every_other = reports_of(replace(settings, training={"epochs": 4, "evaluate_every": 2}), judged=True)
    assert [[epoch["epoch"] for epoch in report["epochs"]] for report in every_other] == [[1, 2], [3, 4], []]


def test_a_trial_reports_every_epoch_once_and_its_end_with_the_last(settings: TaskSettings) -> None:
    reports = reports_of(settings)

    epochs = [epoch for report in reports for epoch in report["epochs"]]
    assert [epoch["epoch"] for epoch in epochs] == list(range(1, EPOCHS + 1))
    for epoch in epochs:
        assert set(epoch["evaluation"]) == {"epoch", "test", "corrupted_train", "intact_train", "validation"}
        assert epoch["recorded_at"] > 0
    ending = ending_of(reports)
    assert (ending["state"], ending["reason"]) == ("done", None)
    assert ending["final"]["epoch"] == EPOCHS
    assert ending["final"]["intact_train"] == epochs[-1]["evaluation"]["intact_train"]
    assert ending["best"]["test"] == max(epoch["evaluation"]["test"] for epoch in epochs)
    assert ending["seconds"] == pytest.approx(epochs[-1]["seconds"])


def test_a_trial_says_which_noise_it_was_trained_on(settings: TaskSettings) -> None:
    task = settings.load().task
    expected = make_noise_model("symmetric", 0.4).draw(task.dataset.y_train, 10, 2)

    first = labels_of(reports_of(settings))
    other_seed = labels_of(reports_of(settings, seed=5))
    other_noise = labels_of(reports_of(settings, noise_seed=5))

    assert first["noise_hash"] == other_seed["noise_hash"] == expected.fingerprint
    assert first["realised_noise_rate"] == expected.realised_rate
    assert other_noise["noise_hash"] != first["noise_hash"]


def test_the_same_order_gives_the_same_result(settings: TaskSettings, tmp_path: Path) -> None:
    first = ending_of(reports_of(settings))
    checkpoint_path(Path(settings.checkpoints), "sweep-0000").unlink(missing_ok=True)
    second = ending_of(reports_of(settings))

    assert (first["final"], first["best"]) == (second["final"], second["best"])


@pytest.mark.parametrize("supervision", [("cce", {}), ("mae", {}), ("gce", {"q": 0.7})])
def test_every_supervision_can_be_ordered(settings: TaskSettings, supervision: tuple[str, dict[str, float]]) -> None:
    name, hyperparameters = supervision

    ending = ending_of(reports_of(settings, supervision=name, hyperparameters=hyperparameters))

    assert ending["state"] == "done"


def diverging(settings: TaskSettings) -> TaskSettings:
    return TaskSettings(
        **{
            **{name: getattr(settings, name) for name in TaskSettings.__slots__},
            "training": {"epochs": EPOCHS, "learning_rate": 1e30},
        }
    )


def test_a_diverging_trial_ends_as_failed_with_the_reason(settings: TaskSettings) -> None:
    ending = ending_of(reports_of(diverging(settings), supervision="cce", hyperparameters={}))

    assert ending["state"] == "failed"
    assert "finite" in ending["reason"]


def test_a_configuration_that_cannot_be_trained_is_reported_and_the_next_one_is_trained(
    settings: TaskSettings,
) -> None:
    wrong = ending_of(reports_of(settings, hyperparameters={"beta": -1.0, "lam": 0.5}))
    right = ending_of(reports_of(settings))

    assert wrong["state"] == "failed"
    assert "beta" in wrong["reason"]
    assert right["state"] == "done"


def test_a_searched_training_field_takes_the_place_of_the_sweeps_in_this_trial_alone(settings: TaskSettings) -> None:
    def final(**values: float) -> Any:
        return ending_of(reports_of(settings, supervision="gce", hyperparameters={"q": 0.7, **values}))["final"]

    plain = final()
    assert final(weight_decay=0.05, dropout=0.5) != plain
    assert final() == plain
    epochs = [
        epoch for report in reports_of(settings, hyperparameters={"beta": 8.0, "lam": 0.5, "learning_rate": 0.007})
        for epoch in report["epochs"]
    ]  # fmt: skip
    assert epochs[0]["learning_rate"] == pytest.approx(0.007)


def test_an_unforeseen_error_is_reported_with_its_place(settings: TaskSettings) -> None:
    ending = ending_of(reports_of(settings, hyperparameters=None))

    assert ending["state"] == "failed"
    assert ending["reason"].startswith("AttributeError: ")
    assert "Traceback" in ending["detail"]


def test_a_trial_that_was_cut_off_is_run_again_to_the_same_result_and_reports_all_its_epochs(
    settings: TaskSettings,
) -> None:
    whole = reports_of(settings)
    checkpoint_path(Path(settings.checkpoints), "sweep-0000").unlink(missing_ok=True)

    class Killed(BaseException):
        """As a SIGKILL: nothing of the trial runs afterwards."""

    def die(report: dict[str, Any]) -> None:
        raise Killed

    with pytest.raises(Killed):
        run_trial(settings, order(), die)
    again = reports_of(settings)

    assert [e["epoch"] for report in again for e in report["epochs"]] == list(range(1, EPOCHS + 1))
    assert ending_of(again)["final"] == ending_of(whole)["final"]
