"""Lanes trained as one network: each is what it is alone, whatever the others do."""

from __future__ import annotations

import dataclasses
import gc
import weakref
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.benchmarks.gpu.equality import SUPERVISIONS
from tests.benchmarks.gpu.equality import Lanes
from trainers.datasets import Dataset
from trainers.engines.choice import fastest_engine
from trainers.engines.fused import FusedTraining
from trainers.engines.fused_network import FusedCifarResNet
from trainers.engines.lane_parameters import LaneParameters
from trainers.engines.solo import LaneTraining
from trainers.errors import InvalidInput
from trainers.noise import symmetric_noise
from trainers.supervision import Batch
from trainers.supervision import CategoricalCrossEntropy
from trainers.supervision import Course
from trainers.supervision import GradientRescaling
from trainers.supervision import Setting
from trainers.supervision import Supervision
from trainers.supervision import make_supervision
from trainers.supervision.gradient import Relevance
from trainers.training import Checkpoints
from trainers.training import Decision
from trainers.training import Ending
from trainers.training import EpochReport
from trainers.training import Lane
from trainers.training import LaneResult
from trainers.training import TrainingTask
from trainers.training import lanes_at_once
from trainers.training import train


def images(examples: int = 44, classes: int = 4, side: int = 8) -> Dataset:
    """Small colour images with a little of their class in them."""
    generator = torch.Generator().manual_seed(0)
    y = torch.arange(examples) % classes
    x = torch.randint(0, 200, (examples, 3, side, side), generator=generator, dtype=torch.uint8)
    x[torch.arange(examples), y % 3] += (10 + 15 * y).to(torch.uint8)[:, None, None]
    return Dataset.from_tensors("images", x, y, x[:20].clone(), y[:20].clone(), classes)


def task_of(**fields: Any) -> TrainingTask:
    """Two epochs and a half, of two batches of 16 and one of 12."""
    settings: dict[str, Any] = {
        "dataset": images(),
        "backbone": "resnet20",
        "iterations": 8,
        "batch_size": 16,
        "learning_rate": 0.02,
        "milestones": (5,),
        "augmentation": "pad-crop-flip",
        "device": "cpu",
        "precision": "fp32",
    }
    return TrainingTask(**{**settings, **fields})


def lane_of(task: TrainingTask, seed: int = 0, supervision: Supervision | None = None, **fields: Any) -> Lane:
    labels = symmetric_noise(task.dataset.y_train, 0.25, task.dataset.num_classes, seed)
    lane = Lane(f"lane-{seed}", supervision or SUPERVISIONS[seed % len(SUPERVISIONS)], labels, seed)
    return dataclasses.replace(lane, **fields)


def assert_alike(fused: LaneResult, alone: LaneResult) -> None:
    """The same lane, in float32: rounding in another order, through a few steps, and an example's worth of accuracy."""
    assert (fused.lane_id, fused.ending, fused.reason) == (alone.lane_id, alone.ending, alone.reason)
    assert len(fused.reports) == len(alone.reports)
    for one, other in zip(fused.reports, alone.reports, strict=True):
        assert (one.epoch, one.iteration, one.learning_rate) == (other.epoch, other.iteration, other.learning_rate)
        assert one.train_loss == pytest.approx(other.train_loss, rel=2e-3)
        assert one.running is not None
        assert other.running is not None
        assert one.running.intact_train == pytest.approx(other.running.intact_train, abs=2.5 / 44)
        assert (one.evaluation is None) == (other.evaluation is None)
        if one.evaluation is not None and other.evaluation is not None:
            assert one.evaluation.intact_train == pytest.approx(other.evaluation.intact_train, abs=2.5 / 44)
            assert one.evaluation.test == pytest.approx(other.evaluation.test, abs=2.5 / 20)


def test_in_float64_every_weight_function_is_to_rounding_what_it_is_alone() -> None:
    # Losses, gradients, parameters and running statistics of 20 steps, all of them mixed in one batch, each lane with
    # its own images, learning rate and weight decay.
    lanes = Lanes(torch.device("cpu"), side=4)
    assert lanes.difference() < 1e-12


def test_a_lane_of_nan_leaves_the_others_what_they_are_to_the_last_bit() -> None:
    assert Lanes(torch.device("cpu"), side=4).spoilt(torch.float64) == 0


@pytest.mark.parametrize(("touching", "spoilt"), [(False, 0), (True, len(SUPERVISIONS) - 1)])
def test_lanes_are_spoilt_by_another_and_not_by_sums_in_another_order(
    touching: bool, spoilt: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    differentiate = LaneParameters.differentiate

    def otherwise(self: LaneParameters, loss: Tensor) -> None:
        differentiate(self, loss)
        self.gradient.mul_(1 + 1e-3 * torch.randn_like(self.gradient))  # as kernels that round anew every time
        if touching:
            self.gradient.add_(0 * self.gradient.sum(0))

    monkeypatch.setattr(LaneParameters, "differentiate", otherwise)
    assert Lanes(torch.device("cpu"), side=4).spoilt(torch.float32) == spoilt


def test_a_lane_that_has_left_the_finite_numbers_is_given_zeros_before_the_next_step() -> None:
    # A GPU's kernel for a group may compute with its neighbours' zeros, and zero times NaN is NaN.
    lanes = Lanes(torch.device("cpu"), side=4)
    training = lanes.seated(torch.float32)
    training.network.parameters.values[1, 0] = float("inf")
    training.update(lanes.images[0].float(), lanes.labels[0].flatten(), lanes.rates(torch.float32))
    assert not bool(training.network.parameters.values[1].any())
    assert not bool(training.network.parameters.velocity[1].any())
    assert bool(training.network.parameters.values[0].any())


@pytest.fixture(scope="module")
def alone() -> list[LaneResult]:
    task = task_of()
    return train(task, [lane_of(task, seed) for seed in range(5)], engine="solo")


@pytest.mark.parametrize("engine", ["fused", "graph"])
def test_the_engine_reports_what_the_solo_engine_reports(engine: Any, alone: list[LaneResult]) -> None:
    task = task_of()
    reported: list[str] = []
    results = train(
        task, [lane_of(task, seed) for seed in range(5)], lambda report: reported.append(report.lane_id), engine=engine
    )
    for result, expected in zip(results, alone, strict=True):
        assert_alike(result, expected)
    assert reported.count("lane-3") == 3


def test_a_lane_takes_the_place_of_one_that_has_ended(alone: list[LaneResult]) -> None:
    # Two places and five lanes: the first is stopped after an epoch, so the third begins while the second goes on.
    task = task_of()
    more = [lane_of(task, seed) for seed in (2, 3, 4)]
    epochs: list[tuple[str, int]] = []
    ended: list[LaneResult] = []

    def on_epoch(report: EpochReport) -> Decision | None:
        epochs.append((report.lane_id, report.epoch))
        return Decision.STOP if (report.lane_id, report.epoch) == ("lane-0", 1) else None

    returned = train(
        task,
        [lane_of(task, seed) for seed in (0, 1)],
        on_epoch,
        engine="fused",
        at_once=2,
        refill=lambda: more.pop(0) if more else None,
        on_end=ended.append,
    )
    assert returned == []  # who is told of each as it ends has them
    assert [result.lane_id for result in ended] == [f"lane-{seed}" for seed in range(5)]
    assert ended[0].ending is Ending.STOPPED
    assert ended[0].reason == "stopped after epoch 1 of 3"
    for result, expected in zip(ended[1:], alone[1:], strict=True):
        assert_alike(result, expected)
    assert epochs.index(("lane-2", 1)) < epochs.index(("lane-1", 2))


def test_a_lane_that_ends_within_an_epoch_of_the_others_is_what_it_was_then(
    alone: list[LaneResult], monkeypatch: pytest.MonkeyPatch
) -> None:
    # The last epoch of eight steps is two long; a lane that joins later has three steps in it.
    task = task_of()
    waiting = [lane_of(task, 1)]
    evaluated: list[dict[str, Tensor]] = []
    evaluate = FusedTraining._evaluate

    def look(self: FusedTraining, lanes: Any) -> None:
        evaluated.extend(self.network.state_dict(each.place, 0) for each in lanes if each.lane.id == "lane-2")
        evaluate(self, lanes)

    monkeypatch.setattr(FusedTraining, "_evaluate", look)

    def on_epoch(report: EpochReport) -> Decision | None:
        return Decision.STOP if report.lane_id == "lane-0" else None

    results = train(
        task,
        [lane_of(task, 0), lane_of(task, 2)],
        on_epoch,
        engine="fused",
        refill=lambda: waiting.pop() if waiting else None,
        at_once=2,
    )
    assert_alike(results[1], alone[2])
    assert_alike(results[2], alone[1])
    by_itself = LaneTraining(task, lane_of(task, 2))
    while not by_itself.finished:
        by_itself.reports.append(by_itself.train_epoch())
    # Accuracies hardly tell whether norms have seen a batch too many; what they keep does.
    for name, statistic in by_itself.network.state_dict().items():
        if name.endswith(("running_mean", "running_var")):
            apart = float((evaluated[-1][name] - statistic).norm() / statistic.norm())
            assert apart < 0.01


def test_a_lane_that_diverges_says_so_and_leaves_the_others_alone(alone: list[LaneResult]) -> None:
    task = task_of()
    lanes = [lane_of(task, 0), lane_of(task, 1, learning_rate=1e30), lane_of(task, 2), lane_of(task, 3)]
    results = train(task, lanes, engine="fused")
    (expected,) = train(task, [lanes[1]], engine="solo")
    assert results[1].ending is Ending.DIVERGED
    assert (results[1].reason, results[1].reports) == (expected.reason, expected.reports)
    assert "not finite" in results[1].reason
    for place in (0, 2, 3):
        assert_alike(results[place], alone[place])


def test_lanes_that_are_lost_in_the_same_step_are_trained_again_each_alone(
    alone: list[LaneResult], monkeypatch: pytest.MonkeyPatch
) -> None:
    # As a device's kernel may compute a group: with its neighbours' numbers too, times zero.
    logits = FusedCifarResNet.logits

    def mixed(self: FusedCifarResNet, *arguments: Any, **options: Any) -> Tensor:
        found = logits(self, *arguments, **options)
        return found + 0 * found.sum(dim=0, keepdim=True)

    monkeypatch.setattr(FusedCifarResNet, "logits", mixed)
    task = task_of()
    lanes = [lane_of(task, 0), lane_of(task, 1, learning_rate=1e30), lane_of(task, 2)]
    ended: list[LaneResult] = []
    train(task, lanes, engine="fused", on_end=ended.append)
    results = {result.lane_id: result for result in ended}
    assert len(ended) == 3
    assert results["lane-1"].ending is Ending.DIVERGED
    for seed in (0, 2):
        assert_alike(results[f"lane-{seed}"], alone[seed])


def test_lanes_lost_together_do_not_wait_for_all_that_are_still_to_come(monkeypatch: pytest.MonkeyPatch) -> None:
    task = task_of()
    lost = {"learning_rate": 1e30}  # both in their second step
    more = [lane_of(task, seed) for seed in (2, 3, 4)]
    ended: list[LaneResult] = []
    train(
        task,
        [lane_of(task, 0, **lost), lane_of(task, 1, **lost)],
        engine="fused",
        at_once=2,
        refill=lambda: more.pop(0) if more else None,
        on_end=ended.append,
    )
    assert [result.lane_id for result in ended] == [f"lane-{seed}" for seed in range(5)]
    assert [result.ending for result in ended] == [Ending.DIVERGED] * 2 + [Ending.COMPLETED] * 3


@pytest.mark.parametrize(("first", "second"), [("fused", "fused"), ("fused", "solo"), ("solo", "fused")])
def test_a_lane_goes_on_from_its_checkpoint_in_either_engine(
    first: Any, second: Any, tmp_path: Path, alone: list[LaneResult]
) -> None:
    task = task_of()
    lanes = [lane_of(task, seed) for seed in (2, 4)]

    def interrupt(report: EpochReport) -> None:
        if (report.lane_id, report.epoch) == ("lane-4", 2):
            raise KeyboardInterrupt

    checkpoints = Checkpoints(tmp_path, every_seconds=0)
    with pytest.raises(KeyboardInterrupt):
        train(task, lanes, interrupt, checkpoints, engine=first)
    again: list[tuple[str, int]] = []
    results = train(
        task, lanes, lambda report: again.append((report.lane_id, report.epoch)), checkpoints, engine=second
    )
    assert sorted(again) == [(f"lane-{seed}", epoch) for seed in (2, 4) for epoch in (1, 2, 3)]
    for result, seed in zip(results, (2, 4), strict=True):
        assert_alike(result, alone[seed])
        # Each epoch says what computed it, those before the checkpoint too.
        by = [report.computed_by.engine for report in result.reports if report.computed_by is not None]
        assert by[0] == first
        assert by[-1] == second
        assert len(by) == len(result.reports)


def test_what_cannot_be_fused_is_refused_by_name_and_trained_otherwise() -> None:
    task = task_of(iterations=2)
    other = lane_of(task, 1, make_supervision("bootstrap_soft"))
    with pytest.raises(InvalidInput, match=r"lane-1.*no weight function"):
        train(task, [lane_of(task, 0), other], engine="fused")
    with pytest.raises(InvalidInput, match="dropout"):
        train(task_of(dropout=0.5), [lane_of(task, 0)], engine="graph")
    assert [result.ending for result in train(task, [lane_of(task, 0), other])] == [Ending.COMPLETED] * 2


@dataclasses.dataclass(frozen=True, slots=True)
class Flipped(CategoricalCrossEntropy):
    """A weight function that somebody has made from one of ours."""

    def _weights(self, relevance: Relevance) -> Tensor:
        return 2 * relevance.p


class Told(Course):
    """A course that is told of every step."""

    def loss(self, batch: Batch) -> Tensor:
        return CategoricalCrossEntropy().loss(batch.logits, batch.labels)


@dataclasses.dataclass(frozen=True, slots=True)
class WithCourse(CategoricalCrossEntropy):
    """A weight function that somebody has given a course of its own."""

    def course(self, setting: Setting) -> Course:
        return Told()


def test_what_has_a_course_of_its_own_is_not_captured() -> None:
    assert fastest_engine(task_of(device="cuda"), WithCourse()) == "solo"
    assert fastest_engine(task_of(device="cuda", dropout=0.0), Flipped()) == "graph"
    with pytest.raises(InvalidInput, match="has a course of its own"):
        train(task_of(), [lane_of(task_of(), 0, WithCourse())], engine="graph")


def test_what_only_descends_from_a_weight_function_is_not_taken_for_it() -> None:
    assert lanes_at_once(task_of(device="cuda"), Flipped()) == 1
    with pytest.raises(InvalidInput, match="no weight function"):
        train(task_of(), [lane_of(task_of(), 0, Flipped())], engine="fused")


@pytest.mark.parametrize("engine", ["graph", "fused"])
def test_nothing_of_a_training_is_left_in_memory_after_it(engine: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    # On a GPU it would hold the data set and all that a step keeps; Python collects cycles when it likes.
    alive: weakref.WeakSet[Any] = weakref.WeakSet()
    for owner in (FusedTraining, LaneTraining):
        initialise = owner.__init__

        def begin(self: Any, *arguments: Any, initialise: Any = initialise) -> None:
            alive.add(self)
            initialise(self, *arguments)

        monkeypatch.setattr(owner, "__init__", begin)
    task = task_of(iterations=3)
    gc.disable()
    try:
        train(task, [lane_of(task, seed) for seed in (0, 1)], checkpoints=None, engine=engine)
        assert len(alive) == 0
    finally:
        gc.enable()


@pytest.mark.parametrize(
    ("field", "options"), [("engine", {"engine": "Fused"}), ("at_once", {"engine": "fused", "at_once": 0})]
)
def test_an_engine_that_there_is_not_is_refused(field: str, options: dict[str, Any]) -> None:
    task = task_of()
    with pytest.raises(InvalidInput) as refused:
        train(task, [lane_of(task)], **options)
    assert [error.field for error in refused.value.errors] == [field]


def test_a_lane_that_was_trained_already_is_not_taken_again() -> None:
    task = task_of(iterations=1)
    with pytest.raises(InvalidInput, match="trained already"):
        train(task, [lane_of(task)], refill=lambda: lane_of(task))


def test_a_gpu_fuses_what_can_be_fused_and_a_cpu_nothing() -> None:
    # Said without looking for the device: who hands out work need not have it.
    gr = GradientRescaling(8, 0.5)
    assert lanes_at_once(task_of(device="cuda"), gr) > 1
    assert lanes_at_once(task_of(device="cpu"), gr) == 1
    assert lanes_at_once(task_of(device="cuda"), make_supervision("bootstrap_soft")) == 1
    assert lanes_at_once(task_of(device="cuda", dropout=0.1), gr) == 1
    assert lanes_at_once(task_of(device="cuda", backbone="mlp"), gr) == 1
