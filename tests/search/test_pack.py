"""What the trials of a pack report from inside their process, run here without Ray."""

from __future__ import annotations

import json
import os
import textwrap
from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from search.pack import Answer
from search.pack import run_pack
from search.task import TaskSettings
from trainers.engines.checkpoint import checkpoint_path
from trainers.noise import make_noise_model
from trainers.training import train

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
        "judged": [],
        "alone": False,
        **others,
    }


class Driver:
    """Takes in what a pack reports, as it arrives on the other side of a process boundary.

    Args:
        orders: Handed out one by one, each in the place of a trial that has ended.
        stop: Trials to stop, each after this epoch of it was reported.
    """

    def __init__(self, orders: Sequence[dict[str, Any]] = (), stop: Mapping[str, int] | None = None) -> None:
        self._orders, self._stop = list(orders), dict(stop or {})
        self.reports: list[list[dict[str, Any]]] = []

    def report(self, news: list[dict[str, Any]]) -> Answer:
        self.reports.append(json.loads(json.dumps(news)))
        ids = [part["trial_id"] for part in news]
        assert len(set(ids)) == len(ids)
        last = {part["trial_id"]: max((epoch["epoch"] for epoch in part["epochs"]), default=0) for part in news}
        stopped = [trial_id for trial_id, epoch in self._stop.items() if last.get(trial_id, 0) >= epoch]
        for trial_id in stopped:
            del self._stop[trial_id]
        ended = stopped + [part["trial_id"] for part in news if part["ending"] is not None]
        orders, self._orders = self._orders[: len(ended)], self._orders[len(ended) :]
        return Answer(stopped, orders)

    def of(self, trial_id: str) -> list[dict[str, Any]]:
        """What was reported of a trial."""
        return [part for news in self.reports for part in news if part["trial_id"] == trial_id]

    def epochs(self, trial_id: str) -> list[int]:
        return [epoch["epoch"] for part in self.of(trial_id) for epoch in part["epochs"]]

    def endings(self) -> dict[str, str]:
        """The states of what has ended, in that order; each ends once."""
        ended = [part for news in self.reports for part in news if part["ending"] is not None]
        found = {part["trial_id"]: part["ending"]["state"] for part in ended}
        assert len(found) == len(ended)
        return found


def reports_of(settings: TaskSettings, **others: Any) -> list[dict[str, Any]]:
    """What a pack of one trial reports."""
    driver = Driver()
    run_pack(settings, [order(**others)], 1, driver.report)
    return driver.of("sweep-0000")


def ending_of(reports: list[dict[str, Any]]) -> dict[str, Any]:
    *earlier, last = reports
    assert all(report["ending"] is None for report in earlier)
    ending: dict[str, Any] = last["ending"]
    return ending


def facts_of(reports: list[dict[str, Any]]) -> dict[str, Any]:
    facts: dict[str, Any] = reports[0]["facts"]
    assert all(report["facts"] == facts for report in reports)
    return facts


def test_what_computes_a_trial_is_told_from_its_first_epoch(settings: TaskSettings) -> None:
    told = facts_of(reports_of(settings, judged=[1]))["computed_by"]
    assert told == {"host": os.uname().nodename, "engine": "solo", "device": "cpu", "precision": "fp32"}


@pytest.mark.parametrize(
    ("judged", "reported"), [([2, 3], [[1, 2], [3], [4]]), ([3], [[1, 2, 3], [4]]), ([], [[1, 2, 3, 4]])]
)
def test_a_trial_reports_at_once_after_each_epoch_that_it_may_be_stopped_for(
    settings: TaskSettings, judged: list[int], reported: list[list[int]]
) -> None:
    reports = reports_of(settings, judged=judged)
    assert [[epoch["epoch"] for epoch in report["epochs"]] for report in reports] == reported


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

    first = facts_of(reports_of(settings))
    other_seed = facts_of(reports_of(settings, seed=5))
    other_noise = facts_of(reports_of(settings, noise_seed=5))

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

    def die(news: list[dict[str, Any]]) -> Answer:
        raise Killed

    with pytest.raises(Killed):
        run_pack(settings, [order()], 1, die)
    again = reports_of(settings)

    assert [e["epoch"] for report in again for e in report["epochs"]] == list(range(1, EPOCHS + 1))
    assert ending_of(again)["final"] == ending_of(whole)["final"]


@pytest.fixture(params=["one by one", "fused"])
def either(request: pytest.FixtureRequest, settings: TaskSettings, monkeypatch: pytest.MonkeyPatch) -> TaskSettings:
    """Each way in which engines train the lanes of a pack; fused ones are of a network that can be."""
    if request.param == "one by one":
        return settings
    monkeypatch.setattr("search.pack.train", partial(train, engine="fused"))
    return replace(settings, backbone="resnet20", limit_train=60)


def orders(*numbers: int, **others: Any) -> list[dict[str, Any]]:
    return [order(trial_id=f"sweep-{number:04}", seed=number, **others) for number in numbers]


def trials(*numbers: int) -> list[str]:
    return [f"sweep-{number:04}" for number in numbers]


def test_a_lane_that_has_ended_is_followed_by_the_next_until_there_is_none(either: TaskSettings) -> None:
    driver = Driver(orders(4, 5, 6))

    run_pack(either, orders(1, 2, 3), 3, driver.report)

    assert driver.endings() == dict.fromkeys(trials(1, 2, 3, 4, 5, 6), "done")
    for trial_id in driver.endings():
        assert driver.epochs(trial_id) == list(range(1, EPOCHS + 1))


def test_the_trials_of_a_pack_end_as_they_do_alone(either: TaskSettings, tmp_path: Path) -> None:
    own = [
        {"hyperparameters": {"q": 0.7, "learning_rate": 0.007}},
        {"hyperparameters": {"q": 0.3, "weight_decay": 0.05}, "noise_seed": 9, "noise_rate": 0.2},
        {"hyperparameters": {}, "supervision": "cce"},
    ]
    ordered = [order(**{"trial_id": f"sweep-{n}", "supervision": "gce", **each}) for n, each in enumerate(own)]
    together = Driver()
    run_pack(either, ordered, 3, together.report)

    for each in ordered:
        alone = Driver()
        run_pack(replace(either, checkpoints=str(tmp_path / "alone")), [each], 1, alone.report)
        said = [
            (part[-1]["facts"], part[-1]["ending"]["final"])
            for part in (alone.of(each["trial_id"]), together.of(each["trial_id"]))
        ]
        assert said[0] == said[1]
    assert together.of("sweep-0")[0]["epochs"][0]["learning_rate"] == pytest.approx(0.007)


def test_a_judged_lane_is_stopped_at_the_epoch_that_it_is_stopped_for_and_the_others_go_on(
    either: TaskSettings,
) -> None:
    driver = Driver(orders(4), stop={"sweep-0002": 2})

    run_pack(either, orders(1, 2, 3, judged=[2]), 3, driver.report)

    assert driver.epochs("sweep-0002") == [1, 2]
    # Nobody asked for the ending of what was stopped.
    assert driver.endings() == dict.fromkeys(trials(1, 3, 4), "done")


def test_a_lane_that_is_stopped_while_another_reports_ends_with_its_next_epoch(settings: TaskSettings) -> None:
    driver = Driver()

    def report(news: list[dict[str, Any]]) -> Answer:
        driver.report(news)
        return Answer(stopped=["sweep-0002"] if "sweep-0001" in driver.endings() else [])

    run_pack(settings, orders(1, 2, 3), 3, report)

    assert driver.of("sweep-0002") == []
    assert driver.endings() == dict.fromkeys(trials(1, 3), "done")


@pytest.mark.parametrize(("seconds_between", "reports"), [(0.0, 3 * (EPOCHS + 1)), (1e9, 3)])
def test_a_pack_reports_all_its_lanes_once_in_a_while(
    either: TaskSettings, monkeypatch: pytest.MonkeyPatch, seconds_between: float, reports: int
) -> None:
    monkeypatch.setattr("search.pack._SECONDS_BETWEEN_REPORTS", seconds_between)
    driver = Driver()

    run_pack(either, orders(1, 2, 3), 3, driver.report)

    assert len(driver.reports) == reports
    assert [driver.epochs(trial_id) for trial_id in trials(1, 2, 3)] == [list(range(1, EPOCHS + 1))] * 3


def test_a_lane_that_cannot_be_trained_fails_alone(either: TaskSettings) -> None:
    wrong = {"beta": -1.0, "lam": 0.5}
    driver = Driver(orders(5, hyperparameters=wrong) + orders(6))

    run_pack(either, [*orders(1), *orders(2, hyperparameters=wrong), *orders(3)], 3, driver.report)

    assert driver.endings() == {**dict.fromkeys(trials(1, 3, 6), "done"), **dict.fromkeys(trials(2, 5), "failed")}
    assert "beta" in driver.of("sweep-0002")[-1]["ending"]["reason"]


def test_a_damaged_checkpoint_has_its_lane_alone_start_over(either: TaskSettings) -> None:
    damaged = checkpoint_path(Path(either.checkpoints), "sweep-0002")
    damaged.parent.mkdir(parents=True)
    damaged.write_bytes(b"cut off")
    driver = Driver()

    run_pack(either, orders(1, 2, 3), 3, driver.report)

    assert driver.endings() == dict.fromkeys(trials(1, 2, 3), "done")
    assert [part["ending"]["reason"] for news in driver.reports for part in news if part["ending"]] == [None] * 3
    assert driver.epochs("sweep-0002") == list(range(1, EPOCHS + 1))


def test_what_takes_a_pack_down_fails_the_one_lane_that_it_belongs_to(
    settings: TaskSettings, install_package: Callable[..., None]
) -> None:
    source = """
        from dataclasses import dataclass

        from trainers.supervision import GeneralisedCrossEntropy


        @dataclass(frozen=True, slots=True)
        class Raising(GeneralisedCrossEntropy):
            def course(self, setting):
                raise RuntimeError("no course")
    """
    install_package("emphasis.supervisions", {"raising": "raising:Raising"}, raising=textwrap.dedent(source))
    driver = Driver(orders(4))
    wrong = orders(2, supervision="raising", hyperparameters={"q": 0.7})

    run_pack(settings, [*orders(1), *wrong, *orders(3)], 3, driver.report)

    assert driver.endings() == {**dict.fromkeys(trials(1, 3, 4), "done"), "sweep-0002": "failed"}
    said = {trial_id: driver.of(trial_id)[-1]["ending"] for trial_id in driver.endings()}
    together = "trained alone, since 2 trials that were trained together ended with RuntimeError: no course"
    assert said["sweep-0002"]["reason"] == f"RuntimeError: no course\n{together}"
    assert "Traceback" in said["sweep-0002"]["detail"]
    assert [said[trial_id]["reason"] for trial_id in trials(1, 3, 4)] == [None, together, None]


def test_of_lanes_that_do_not_fit_a_gpus_memory_half_as_many_are_trained_at_a_time(
    settings: TaskSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_once = []

    def on_a_small_gpu(task: Any, lanes: Any, *arguments: Any, **options: Any) -> Any:
        at_once.append((len(lanes), options["engine"]))
        if len(lanes) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return train(task, lanes, *arguments, **options)

    monkeypatch.setattr("search.pack.train", on_a_small_gpu)
    driver = Driver(orders(6))
    run_pack(settings, orders(1, 2, 3, 4, 5), 5, driver.report)

    assert at_once == [(5, "auto"), (2, "auto")]
    assert driver.endings() == dict.fromkeys(trials(1, 2, 3, 4, 5, 6), "done")
    reasons = {trial_id: driver.of(trial_id)[-1]["ending"]["reason"] for trial_id in driver.endings()}
    note = "trained 2 at a time, since 5 ran out of memory"
    assert reasons == {**dict.fromkeys(trials(1, 2, 3, 4, 5), note), "sweep-0006": None}


def test_what_the_engine_of_a_gpu_cannot_train_is_tried_by_the_reference_engine(
    settings: TaskSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A capture that fails, as far as a pack can tell.
    def on_a_gpu(*arguments: Any, engine: str, **options: Any) -> Any:
        if engine != "solo":
            raise RuntimeError("operation not permitted when stream is capturing")
        return train(*arguments, engine=engine, **options)

    monkeypatch.setattr("search.pack.train", on_a_gpu)
    monkeypatch.setattr("search.pack.fastest_engine", lambda task, supervision: "graph")
    driver = Driver()
    run_pack(settings, orders(1), 1, driver.report)

    assert driver.endings() == {"sweep-0001": "done"}
    assert "its first try ended with RuntimeError" in driver.of("sweep-0001")[-1]["ending"]["reason"]


def test_a_process_that_has_lost_its_gpu_ends_and_reports_nothing_of_its_trials(
    settings: TaskSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lost(*arguments: Any, **options: Any) -> Any:
        raise torch.AcceleratorError("CUDA error: an illegal memory access was encountered")

    monkeypatch.setattr("search.pack.train", lost)
    driver = Driver()
    with pytest.raises(torch.AcceleratorError):
        run_pack(settings, orders(1, 2), 2, driver.report)
    assert driver.reports == []


def test_the_last_try_is_made_by_the_reference_engine(
    settings: TaskSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As torch says it, of a step that waits for the host. Whatever a process does after it may go wrong too.
    def on_a_gpu(*arguments: Any, engine: str, **options: Any) -> Any:
        if engine != "solo":
            raise torch.AcceleratorError("CUDA error: operation not permitted when stream is capturing")
        return train(*arguments, engine=engine, **options)

    monkeypatch.setattr("search.pack.train", on_a_gpu)
    driver = Driver()
    with pytest.raises(torch.AcceleratorError):
        run_pack(settings, orders(1), 1, driver.report)
    run_pack(settings, orders(1, alone=True), 1, driver.report)
    assert driver.endings() == {"sweep-0001": "done"}


def test_a_last_try_that_goes_wrong_is_not_made_again(
    settings: TaskSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries = []

    def failing(*arguments: Any, engine: str, **options: Any) -> Any:
        tries.append(engine)
        raise RuntimeError("no")

    monkeypatch.setattr("search.pack.train", failing)
    monkeypatch.setattr("search.pack.fastest_engine", lambda task, supervision: "fused")
    driver = Driver()
    run_pack(settings, orders(1, alone=True), 1, driver.report)
    assert tries == ["solo"]
    assert driver.of("sweep-0001")[-1]["ending"]["reason"] == "RuntimeError: no"


def test_a_task_that_cannot_be_loaded_fails_every_order(settings: TaskSettings) -> None:
    driver = Driver(orders(3))

    run_pack(replace(settings, backbone="nothing"), orders(1, 2), 2, driver.report)

    assert driver.endings() == dict.fromkeys(trials(1, 2, 3), "failed")
