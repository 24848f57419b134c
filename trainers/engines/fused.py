"""Many lanes of one architecture at once, as one network: the engine for GPUs."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import torch
from torch import Tensor

from trainers.augmentation import augmented
from trainers.augmentation import drawn
from trainers.augmentation import unaugmented
from trainers.datasets.examples import on_device
from trainers.engines.chance import Purpose
from trainers.engines.chance import generator
from trainers.engines.checkpoint import LaneCheckpoint
from trainers.engines.checkpoint import identity_of
from trainers.engines.checkpoint import restored_report
from trainers.engines.cuda_graph import captured
from trainers.engines.fused_network import FusedCifarResNet
from trainers.engines.lane_emphasis import LaneEmphasis
from trainers.engines.lane_emphasis import row_of
from trainers.engines.precision import Arithmetic
from trainers.evaluation import Evaluation
from trainers.evaluation import RunningAccuracy
from trainers.evaluation import accuracy
from trainers.evaluation import outputs
from trainers.models import build_model
from trainers.models import find_backbone
from trainers.models.cifar_resnet import CifarResNet
from trainers.models.cifar_resnet import CifarResNetBackbone
from trainers.supervision import Supervision
from trainers.supervision.gradient import emphasised_loss
from trainers.training import Checkpoints
from trainers.training import Decision
from trainers.training import Ending
from trainers.training import EpochReport
from trainers.training import Lane
from trainers.training import LaneResult
from trainers.training import NextLane
from trainers.training import OnEnd
from trainers.training import OnEpoch
from trainers.training import TrainingTask

LANES = 8
"""Lanes that are fused unless somebody asks for another number.

On an H100 a lane's step of ResNet-56 takes 2.09 ms where eight are fused, 1.93 where sixteen are, 2.32 where four are,
and alone, as a CUDA graph, 5.5 (tests/benchmarks/results/gpu_step.json).
"""


def why_not_fused(task: TrainingTask, supervision: Supervision) -> str | None:
    """Why a lane of a task cannot be fused with others; None where it can."""
    if type(find_backbone(task.backbone)) is not CifarResNetBackbone:
        return f"{task.backbone} is none of resnet20 to resnet110"
    if row_of(supervision) is None:
        return f"{supervision.name} is no weight function"
    if task.dropout:
        return "dropout is drawn lane by lane"
    if not isinstance(task.dataset.x_train, Tensor):
        return "its images are files"
    return None


def train_fused(
    task: TrainingTask,
    next_lane: NextLane,
    places: int,
    on_epoch: OnEpoch,
    checkpoints: Checkpoints | None,
    on_end: OnEnd,
    on_suspect: Callable[[Lane], None],
) -> None:
    """Train lanes, ``places`` at a time, until there are no more; see `trainers.training.train`.

    Args:
        task: What the lanes share.
        next_lane: Asked for a lane between two epochs while a place is free; None for none now.
        places: K. A place that no lane takes is computed all the same.
        on_epoch: As for `train`.
        checkpoints: As for `train`.
        on_end: Called with the result of each lane as soon as it has ended.
        on_suspect: Called instead with a lane that was lost in the same step as another: whether by itself or by
            the other's numbers, which a device's kernels may let through, only training it alone can tell.
    """
    training = FusedTraining(task, places)
    try:
        _train_all(training, next_lane, on_epoch, checkpoints, on_end, on_suspect)
    finally:
        training.release()


def _train_all(
    training: FusedTraining,
    next_lane: NextLane,
    on_epoch: OnEpoch,
    checkpoints: Checkpoints | None,
    on_end: OnEnd,
    on_suspect: Callable[[Lane], None],
) -> None:
    places = training.places
    seated: dict[int, _FusedLane] = {}
    while True:
        for place in range(places):
            while place not in seated and (given := next_lane()) is not None:
                lane = _FusedLane(training, place, given, checkpoints)
                if lane.begin(on_epoch):
                    seated[place] = lane
                else:
                    training.network.clear(place)
                    on_end(lane.result(Ending.STOPPED))
        if not seated:
            return
        training.train_epoch(list(seated.values()))
        lost = Counter(lane.lost_at for lane in seated.values() if lane.has_diverged)
        for place, lane in sorted(seated.items()):
            if (ending := lane.end_epoch(on_epoch)) is not None:
                del seated[place]
                training.network.clear(place)
                if lost[lane.lost_at] > 1:
                    on_suspect(lane.lane)
                else:
                    on_end(lane.result(ending))


class FusedTraining:
    """The network of K lanes, their data, and the step that trains them all.

    Args:
        task: What the lanes share.
        places: K.
        dtype: Of parameters and losses: float32; float64 computes everything in it, to be compared.
    """

    def __init__(self, task: TrainingTask, places: int, dtype: torch.dtype = torch.float32) -> None:
        self.task, self.places = task, places
        template = self.drawn(0)
        arithmetic = Arithmetic.choose(task.device, task.precision, template)
        self.device = device = arithmetic.device
        self.computation = arithmetic.computation("fused")
        compute = torch.bfloat16 if arithmetic.autocast else dtype
        template = template.to(device, dtype).to(memory_format=arithmetic.memory_format)
        self.network = FusedCifarResNet(template, places, compute)
        self.rule = LaneEmphasis(places, device, dtype)
        data = task.dataset
        x_train = on_device(data.x_train, device)
        assert isinstance(x_train, Tensor)
        self.x_train, self.x_test, self.y_test = x_train, on_device(data.x_test, device), data.y_test.to(device)
        self.x_validation = None if data.x_validation is None else on_device(data.x_validation, device)
        self.intact = None if data.intact_train is None else data.intact_train.to(device)
        self.labels = torch.zeros(places, len(data.y_train), dtype=torch.int64, device=device)
        scale = 255.0 if data.x_train.dtype == torch.uint8 else 1.0
        self._shift = (data.mean * scale).to(device, dtype).view(1, -1, 1, 1)
        self._gain = (1 / (data.std * scale)).to(device, dtype).view(1, -1, 1, 1)
        self._weight_decay = torch.zeros(places, 1, dtype=dtype, device=device)
        # What a step is told, at places that stay.
        size = min(task.batch_size, len(data.y_train))
        self._chosen = torch.zeros(places, size, dtype=torch.int64, device=device)
        self._draws = torch.zeros(3, places, size, dtype=torch.int64, device=device)
        self._rates = torch.zeros(places, 1, dtype=dtype, device=device)
        self._predicted = torch.zeros_like(self._chosen)
        self._lost = torch.zeros(places, dtype=torch.bool, device=device)
        self._captured: Callable[[], object] | None = None
        # Seconds of the epoch that went into it, which are no lane's.
        self._capturing = 0.0

    def drawn(self, seed: int) -> CifarResNet:
        """A network as the solo engine draws it for a seed, on the CPU; the caller's generators are left alone."""
        task, data = self.task, self.task.dataset
        with torch.random.fork_rng(devices=[]):
            torch.set_rng_state(generator(seed, Purpose.INITIALISATION).get_state())
            network = build_model(task.backbone, task.network_input_shape, data.num_classes, 0.0, task.weights)
        assert isinstance(network, CifarResNet)
        return network

    def release(self) -> None:
        """Give up the captured step, and with it the device's memory: it refers to all of this, and this to it."""
        self._captured = None

    def seat(self, place: int, lane: Lane) -> None:
        """Give a place to a lane: its supervision, labels, weight decay and network."""
        self.rule.set(place, lane.supervision)
        self.labels[place] = lane.labels.labels.to(self.device)
        self._weight_decay[place] = lane.task(self.task).weight_decay
        self.network.load(place, self.drawn(lane.seed).state_dict())

    def train_epoch(self, lanes: Sequence[_FusedLane]) -> None:
        """An epoch of every lane, or what is left of its budget; each is told what came of it."""
        started = time.perf_counter()
        order, draws, rates = self._epoch_of(lanes)
        size = self.task.batch_size
        losses, predicted, lost = [], [], []
        steps = len(rates)
        for step in range(steps):
            at = slice(step * size, (step + 1) * size)
            count = order[:, at].shape[1]
            self._chosen[:, :count].copy_(order[:, at])
            self._draws[:, :, :count].copy_(draws[:, :, at])
            self._rates.copy_(rates[step])
            self._step(count)
            losses.append(self.rule.losses.clone())
            predicted.append(self._predicted[:, :count].clone())
            lost.append(self._lost.clone())
            for lane in lanes:
                if lane.steps == step + 1 < steps:
                    lane.keep()
        # The first look at the device since the epoch began.
        each_loss, each_lost = torch.stack(losses).double().cpu(), torch.stack(lost).cpu()
        for lane in lanes:
            lane.put_back()
            seen = order[lane.place, : lane.steps * size]
            right = torch.cat([batch[lane.place] for batch in predicted[: lane.steps]])
            mine = each_loss[: lane.steps, lane.place]
            lane.take(mine, each_lost[: lane.steps, lane.place], self._running(lane.place, right, seen))
            if lane.has_diverged:
                self.network.clear(lane.place)  # its running statistics too, which an evaluation computes with
        if due := [lane for lane in lanes if lane.evaluation_due]:
            self._evaluate(due)
        seconds = (time.perf_counter() - started - self._capturing) / len(lanes)
        self._capturing = 0.0
        for lane in lanes:
            lane.seconds += seconds

    def _epoch_of(self, lanes: Sequence[_FusedLane]) -> tuple[Tensor, Tensor, Tensor]:
        """Orders (K, n) of the epoch's examples, draws (3, K, n), and rates (steps, K, 1), on the device."""
        task, size = self.task, self.task.batch_size
        steps = max(lane.steps for lane in lanes)
        count = min(steps * size, len(self.labels[0]))
        order = torch.zeros(self.places, count, dtype=torch.int64)
        draws = torch.zeros(3, self.places, count, dtype=torch.int64)
        rates = torch.zeros(steps, self.places, 1, dtype=torch.float64)
        shape = task.dataset.example_shape
        for lane in lanes:
            order[lane.place] = torch.randperm(len(self.labels[0]), generator=lane.order)[:count]
            for step in range(lane.steps):
                at = slice(step * size, min((step + 1) * size, count))
                draws[:, lane.place, at] = drawn(task.augmentation, at.stop - at.start, shape, lane.augmentation)
                rates[step, lane.place] = lane.task.learning_rate_at(lane.iteration + step)
        return order.to(self.device), draws.to(self.device), rates.to(self._rates)

    def _step(self, count: int) -> None:
        """A step on batches of ``count`` examples a lane."""
        if count < self._chosen.shape[1]:
            # The last batch of an epoch: finding its fastest algorithms would take longer than it ever does.
            self._run(count)
            return
        if self._captured is None:
            started = time.perf_counter()
            state = [*self.network.state, self.rule.losses, self._lost, self._predicted]
            self._captured = captured(lambda: self._run(count), state, self.device)
            self._capturing = time.perf_counter() - started
        self._captured()

    def _run(self, count: int) -> None:
        """The step on the examples that were chosen."""
        chosen = self._chosen[:, :count]
        labels = self.labels.gather(1, chosen).flatten()
        raw = self.x_train.index_select(0, chosen.flatten())
        images = self._normalised(augmented(self.task.augmentation, raw, self._draws[:, :, :count].flatten(1)))
        predicted = self.update(images.unflatten(0, (self.places, -1)), labels, self._rates)  # type: ignore[no-untyped-call]
        self._predicted[:, :count] = predicted

    def update(self, images: Tensor, labels: Tensor, learning_rates: Tensor) -> Tensor:
        """One optimiser step of every lane on images as its network sees them.

        Args:
            images: Augmented and normalised, (K, B, C, H, W).
            labels: int64 (K * B,), lane after lane.
            learning_rates: (K, 1).

        Returns:
            The predicted classes, int64 (K, B). Losses are in ``rule``, gradients in the network's parameters.
        """
        parameters = self.network.parameters
        parameters.gather()
        logits = self.network.logits(images).flatten(0, 1)
        # Summed over lanes, never averaged.
        parameters.differentiate(emphasised_loss(logits.to(learning_rates.dtype), labels, self.rule))
        parameters.step(learning_rates, self.task.momentum, self._weight_decay)
        # A lane that has left the finite numbers is given zeros before its neighbours can meet them.
        finite = torch.isfinite(parameters.values).all(dim=1) & torch.isfinite(self.rule.losses)
        self._lost.copy_(~finite)
        parameters.clear(self._lost)
        return logits.detach().argmax(dim=1).view(self.places, -1)

    def _normalised(self, raw: Tensor) -> Tensor:
        return raw.to(self._shift.dtype).sub_(self._shift).mul_(self._gain)

    def _running(self, place: int, predicted: Tensor, seen: Tensor) -> RunningAccuracy:
        seen = seen[: len(predicted)]
        intact = math.nan if self.intact is None else accuracy(predicted, self.intact[seen])
        return RunningAccuracy(accuracy(predicted, self.labels[place][seen]), intact)

    def _evaluate(self, lanes: Sequence[_FusedLane]) -> None:
        self.network.parameters.gather()
        on_train, on_test = self._predictions(self.x_train), self._predictions(self.x_test)
        on_validation = None if self.x_validation is None else self._predictions(self.x_validation)
        for lane in lanes:
            mine, validation = on_train[:, lane.place], math.nan
            if on_validation is not None:
                validation = accuracy(on_validation[:, lane.place], lane.y_validation.to(self.device))
            lane.evaluation = Evaluation(
                epoch=lane.epoch,
                test=accuracy(on_test[:, lane.place], self.y_test),
                corrupted_train=accuracy(mine, self.labels[lane.place]),
                intact_train=math.nan if self.intact is None else accuracy(mine, self.intact),
                validation=validation,
            )

    def _predictions(self, examples: Any) -> Tensor:
        """Of every lane, (N, K); -1 for an image file that cannot be decoded."""

        def forward(raw: Tensor) -> Tensor:
            images = self._normalised(unaugmented(self.task.augmentation, raw.to(self.device)))
            logits = self.network.logits(images.expand(self.places, *images.shape), train=False)
            return logits.argmax(dim=2).t()

        return outputs(forward, examples, missing=-1, device=self.device)


class _FusedLane:
    """One lane, at its place among the others: what it draws, has reported and has come to."""

    def __init__(self, training: FusedTraining, place: int, lane: Lane, checkpoints: Checkpoints | None) -> None:
        self._training, self.place, self.lane = training, place, lane
        self.task = lane.task(training.task)
        self.order = generator(lane.seed, Purpose.ORDER)
        self.augmentation = generator(lane.seed, Purpose.AUGMENTATION)
        self.reports: list[EpochReport] = []
        self.iteration = 0
        self.seconds = 0.0
        self.evaluation: Evaluation | None = None
        self._kept: dict[str, Tensor] | None = None
        self._reason = ""
        # The step of the epoch, from 0, in which it left the finite numbers; None while it has not.
        self.lost_at: int | None = None
        self._loss, self._running = math.nan, RunningAccuracy(math.nan, math.nan)
        labels = training.task.dataset.y_validation if lane.validation_labels is None else lane.validation_labels
        self._validation_labels = labels
        training.seat(place, lane)
        self._checkpoint = None if checkpoints is None else LaneCheckpoint(checkpoints, lane.id)

    @property
    def y_validation(self) -> Tensor:
        assert self._validation_labels is not None
        return self._validation_labels

    @property
    def epoch(self) -> int:
        """The epoch that is trained, from 1."""
        return len(self.reports) + 1

    @property
    def steps(self) -> int:
        """Of the epoch that is trained."""
        return min(self.task.steps_per_epoch, self.task.iterations - self.iteration)

    @property
    def evaluation_due(self) -> bool:
        last = self.iteration + self.steps == self.task.iterations
        return not self._reason and (last or self.epoch % self.task.evaluate_every == 0)

    @property
    def has_diverged(self) -> bool:
        """Whether it has left the finite numbers."""
        return bool(self._reason)

    def begin(self, on_epoch: OnEpoch) -> bool:
        """Go on from the checkpoint that there is; whether there is anything left to train."""
        if self._checkpoint is not None:
            self._checkpoint.load(self)
        done, self.reports = self.reports, []
        for report in done:
            self.reports.append(report)
            if on_epoch(report) is Decision.STOP:
                return False
        return True

    def keep(self) -> None:
        """The lane has done its last step: its network is kept as it is from the steps that others still do."""
        self._kept = self._training.network.state_dict(self.place, self.iteration)

    def put_back(self) -> None:
        """Where the network was kept, it is what it was again."""
        if self._kept is not None:
            self._training.network.load(self.place, self._kept)
            self._kept = None

    def take(self, losses: Tensor, lost: Tensor, running: RunningAccuracy) -> None:
        """What the epoch came to: losses (steps,), after which step the lane was lost (steps,)."""
        self._loss, self._running = float(losses.mean()), running
        bad = ~torch.isfinite(losses)
        if bool((bad | lost).any()):
            self.lost_at = int((bad | lost).nonzero()[0])
        if bool(bad.any()):
            first = self.iteration + int(bad.nonzero()[0]) + 1
            self._reason = f"loss not finite at iteration {first} (epoch {self.epoch})"
        elif bool(lost.any()):
            last = int(lost.nonzero()[0]) + 1
            if last < self.steps:
                # What the next loss would have been, had the lane not been given zeros.
                self._reason = f"loss not finite at iteration {self.iteration + last + 1} (epoch {self.epoch})"
            else:
                self._reason = f"parameters not finite after iteration {self.iteration + last}"

    def end_epoch(self, on_epoch: OnEpoch) -> Ending | None:
        """Report the epoch; how the lane has ended, None where it goes on."""
        if self._reason:
            return Ending.DIVERGED
        steps = self.steps
        self.iteration += steps
        report = EpochReport(
            lane_id=self.lane.id,
            epoch=self.epoch,
            iteration=self.iteration,
            train_loss=self._loss,
            learning_rate=self.task.learning_rate_at(self.iteration - 1),
            evaluation=self.evaluation,
            seconds=self.seconds,
            running=self._running,
            computed_by=self._training.computation,
        )
        self.evaluation = None
        self.reports.append(report)
        if on_epoch(report) is Decision.STOP:
            return Ending.STOPPED
        if self.iteration == self.task.iterations:
            return Ending.COMPLETED
        if self._checkpoint is not None:
            self._checkpoint.save_if_due(self)
        return None

    def result(self, ending: Ending) -> LaneResult:
        """The lane as it ended."""
        reason = self._reason
        if ending is Ending.STOPPED:
            reason = f"stopped after epoch {self.reports[-1].epoch} of {self.task.epochs}"
        return LaneResult(self.lane.id, ending, reason, tuple(self.reports))

    def identity(self) -> str:
        """See `trainers.engines.checkpoint.Resumable`."""
        return identity_of(self.task, self.lane)

    def state(self) -> dict[str, Any]:
        """As the solo engine writes it: a lane may go on in either."""
        network = self._training.network
        begun = generator(self.lane.seed, Purpose.INITIALISATION)
        return {
            "identity": self.identity(),
            "iteration": self.iteration,
            "stage": (0, self.iteration, len(self.reports)),
            "course": {},
            "seconds": self.seconds,
            "reports": [asdict(report) for report in self.reports],
            "network": network.state_dict(self.place, self.iteration),
            "optimiser": {"velocity": network.parameters.velocity[self.place].clone()},
            "order": self.order.get_state(),
            "augmentation": self.augmentation.get_state(),
            # Of dropout, which is not fused.
            "random": begun.get_state(),
            "cuda_random": None,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Become the lane that ``state`` was taken from."""
        network = self._training.network
        self.iteration, self.seconds = state["iteration"], state["seconds"]
        self.reports = [restored_report(saved) for saved in state["reports"]]
        network.load(self.place, state["network"])
        network.parameters.velocity[self.place].copy_(state["optimiser"]["velocity"])
        self.order.set_state(state["order"])
        self.augmentation.set_state(state["augmentation"])
