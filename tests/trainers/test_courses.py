"""Every supervision in the one training loop: stages, hooks, and an exact resume at any epoch."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from trainers.datasets import Dataset
from trainers.datasets import load_dataset
from trainers.errors import InvalidInput
from trainers.noise import symmetric_noise
from trainers.supervision import Batch
from trainers.supervision import CategoricalCrossEntropy
from trainers.supervision import Course
from trainers.supervision import NetworkView
from trainers.supervision import Setting
from trainers.supervision import Stage
from trainers.supervision import Supervision
from trainers.supervision import make_supervision
from trainers.supervision import supervision_names
from trainers.training import Checkpoints
from trainers.training import Ending
from trainers.training import EpochReport
from trainers.training import Lane
from trainers.training import LaneResult
from trainers.training import TrainingTask
from trainers.training import epochs_of
from trainers.training import train

VALUES: dict[str, dict[str, Any]] = {"gr": {"beta": 12.0, "lam": 0.5}, "masking": {"pretraining_steps": 100}}
# Word for word a second way to be supervised, or moments that the defaults have only in a longer training.
VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    "forward, estimated": ("forward", {"matrix": "estimated"}),
    "backward, estimated": ("backward", {"matrix": "estimated"}),
    "gce_truncated, chosen seldom": ("gce_truncated", {"every": 0.4}),
}


class Interrupted(Exception):
    """Stands for anything that ends a process between two epochs."""


@pytest.fixture(scope="module")
def task() -> TrainingTask:
    """Ten epochs on 200 digits, with dropout, momentum and a drop of the learning rate."""
    data = load_dataset("digits").limit_train(200)
    return TrainingTask(
        data, "mlp", iterations=40, batch_size=50, learning_rate=0.05, milestones=(24,), dropout=0.2, device="cpu"
    )


def lane_of(task: TrainingTask, supervision: Supervision, noise_rate: float = 0.3) -> Lane:
    data = task.dataset
    return Lane("lane", supervision, symmetric_noise(data.y_train, noise_rate, data.num_classes, 1), seed=3)


def untimed(result: LaneResult) -> list[EpochReport]:
    return [dataclasses.replace(report, seconds=0.0) for report in result.reports]


def every_supervision() -> dict[str, Supervision]:
    made = {name: make_supervision(name, **VALUES.get(name, {})) for name in supervision_names()}
    return {**made, **{words: make_supervision(name, **values) for words, (name, values) in VARIANTS.items()}}


@pytest.mark.parametrize("words", [*supervision_names(), *VARIANTS])
def test_a_lane_of_any_supervision_that_is_interrupted_at_any_epoch_goes_on_to_the_last_bit(
    words: str, task: TrainingTask, tmp_path: Path
) -> None:
    supervision = every_supervision()[words]
    lane = lane_of(task, supervision)
    (whole,) = train(task, [lane])
    epochs = epochs_of(task, supervision)
    assert (whole.ending, len(whole.reports)) == (Ending.COMPLETED, epochs)

    told: list[EpochReport] = []

    def die_after_every_third_epoch(report: EpochReport) -> None:
        if report.epoch > len(told):
            told.append(report)
            # The checkpoint of an epoch is written after it is reported: what is lost is one epoch.
            if report.epoch % 3 == 2:
                raise Interrupted

    for _ in range(epochs):
        try:
            (result,) = train(task, [lane], die_after_every_third_epoch, Checkpoints(tmp_path, every_seconds=0))
            break
        except Interrupted:
            continue
    assert untimed(result) == untimed(whole)


class Diary(Course):
    """Cross entropy that notes what the loop calls and what the view shows."""

    def __init__(self, setting: Setting) -> None:
        self.setting = setting
        self.notes: list[Any] = []
        self.steps: list[float] = []
        self.seen: list[Tensor] = []

    def begin_epoch(self, network: NetworkView) -> None:
        self.notes.append(("begin", network.epoch, network.epochs))

    def loss(self, batch: Batch) -> Tensor:
        self.seen.append(batch.chosen)
        assert torch.equal(batch.labels, self.setting.labels[batch.chosen])
        return torch.nn.functional.cross_entropy(batch.logits, batch.labels)

    def step(self, learning_rate: float) -> None:
        self.steps.append(learning_rate)

    def end_epoch(self, network: NetworkView) -> None:
        self.notes.append(("end", network.epoch, network.epochs))

    def end_stage(self, number: int, network: NetworkView) -> None:
        self.notes.append(("stage", number))
        self.probabilities = network.probabilities()
        self.weights = network.weights()


@dataclasses.dataclass(frozen=True)
class Kept(Supervision):
    """Two stages, of which the second begins anew where ``fresh``; its courses can be looked at."""

    fresh: bool
    courses: list[Diary] = dataclasses.field(default_factory=list, compare=False)

    @property
    def name(self) -> str:
        return "kept"

    @property
    def stages(self) -> tuple[Stage, ...]:
        return (Stage(share=0.5), Stage(share=0.25, fresh_network=self.fresh, rate_factor=2.0, milestones=(0.5,)))

    def course(self, setting: Setting) -> Course:
        self.courses.append(Diary(setting))
        return self.courses[-1]


def test_the_loop_calls_a_course_at_its_moments_with_each_stages_own_epochs_and_rate(task: TrainingTask) -> None:
    supervision = Kept(fresh=True)
    (result,) = train(task, [lane_of(task, supervision)])
    (course,) = supervision.courses
    first = [(moment, epoch + (moment == "end"), 5) for epoch in range(5) for moment in ("begin", "end")]
    second = [(moment, epoch + (moment == "end"), 3) for epoch in range(3) for moment in ("begin", "end")]
    assert course.notes == [*first, ("stage", 0), *second]
    # 40 steps at 0.05 with a drop at 24: half of it drops at 12; a quarter, at twice the rate, at its half.
    assert course.steps == pytest.approx([0.05] * 12 + [0.005] * 8 + [0.1] * 5 + [0.01] * 5)
    assert [report.epoch for report in result.reports] == list(range(1, 9))
    assert result.reports[-1].iteration == 30
    for epoch in range(5):
        passed = torch.cat(course.seen[4 * epoch : 4 * epoch + 4])
        assert torch.equal(passed.sort().values, torch.arange(200))


def test_the_view_shows_the_network_in_eval_mode_and_takes_weights_back(task: TrainingTask) -> None:
    continued, anew = Kept(fresh=False), Kept(fresh=True)
    ends = [train(task, [lane_of(task, supervision)])[0] for supervision in (continued, anew)]
    probabilities = continued.courses[0].probabilities
    assert probabilities.shape == (200, 10)
    assert torch.allclose(probabilities.sum(dim=1), torch.ones(200))
    fifth = ends[0].reports[4].evaluation
    assert fifth is not None
    agree = (probabilities.argmax(dim=1) == task.dataset.y_train).double().mean()
    assert float(agree) == pytest.approx(fifth.intact_train)
    assert untimed(ends[0])[:5] == untimed(ends[1])[:5]
    # A network that goes on knows more after one more epoch than one that begins.
    sixth = [result.reports[5].evaluation for result in ends]
    assert sixth[0] is not None
    assert sixth[1] is not None
    assert sixth[0].intact_train > sixth[1].intact_train


def test_what_keeps_a_supervision_from_a_lane_is_said_before_anything_is_trained(task: TrainingTask) -> None:
    told: list[EpochReport] = []
    lane = lane_of(task, make_supervision("backward"), noise_rate=0.9)
    with pytest.raises(InvalidInput, match="noise_rate"):
        train(task, [dataclasses.replace(lane_of(task, CategoricalCrossEntropy()), id="first"), lane], told.append)
    assert told == []


def test_an_unknown_matrix_is_not_a_true_one(task: TrainingTask) -> None:
    lane = lane_of(task, make_supervision("forward"))
    lane = dataclasses.replace(lane, labels=dataclasses.replace(lane.labels, transition_matrix=None))
    with pytest.raises(InvalidInput, match="matrix"):
        train(task, [lane])


def test_features_are_what_the_last_layer_is_given(task: TrainingTask) -> None:
    @dataclasses.dataclass(frozen=True)
    class Watching(Supervision):
        shapes: list[tuple[int, ...]] = dataclasses.field(default_factory=list, compare=False)

        @property
        def name(self) -> str:
            return "watching"

        def course(self, setting: Setting) -> Course:
            shapes = self.shapes

            class Watch(Diary):
                def begin_epoch(self, network: NetworkView) -> None:
                    chosen = torch.tensor([7, 3, 150])
                    features, weights = network.features(chosen), network.weights()
                    logits = features @ weights["classifier.weight"].T + weights["classifier.bias"]
                    assert torch.allclose(logits.softmax(1), network.probabilities()[chosen], atol=1e-6)
                    shapes.append(tuple(features.shape))

            return Watch(setting)

    watching = Watching()
    train(task, [lane_of(task, watching)])
    assert watching.shapes == [(3, 256)] * 10


def test_images_have_features_too() -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randint(0, 256, (60, 3, 8, 8), generator=generator, dtype=torch.uint8)
    y = torch.arange(60) % 4
    data = Dataset.from_tensors("random", x, y, x[:8].clone(), y[:8].clone(), 4)
    image_task = TrainingTask(data, "resnet20", iterations=4, batch_size=30, device="cpu")
    lane = Lane("lane", make_supervision("d2l"), symmetric_noise(y, 0.2, 4, 0), seed=0)
    (result,) = train(image_task, [lane])
    assert result.ending is Ending.COMPLETED
