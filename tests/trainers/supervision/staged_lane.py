"""A small lane driven through epochs and stages: a real network on Gaussian clusters, and the view of it."""

from __future__ import annotations

import copy
import io
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch import nn

from trainers.noise import symmetric_noise
from trainers.supervision import Batch
from trainers.supervision import Setting
from trainers.supervision import Supervision

CLASSES, WIDTH, EXAMPLES, BATCH = 4, 6, 240, 40

EXTREMES = torch.tensor(
    [[1e4, 0.0, -3.0], [-1e4, 0.0, -3.0], [1e4, -1e4, -1e4], [-1e4, 1e4, 1e4], [1e4, 1e4, 1e4], [0.0, 0.0, 1e4]],
    dtype=torch.float64,
)
"""Logits whose p are 0, 1, and so far apart that float64 does not hold them."""


class StagedLane:
    """One lane; also the NetworkView that its course is given.

    Attributes:
        stepped: Called with the batch's logits and the chosen examples at every step.
    """

    def __init__(self, supervision: Supervision, epochs: int, noise_rate: float = 0.4, steps: int = 6) -> None:
        generator = torch.Generator().manual_seed(5)
        self.intact = torch.arange(EXAMPLES) % CLASSES
        centres = 2 * torch.randn(CLASSES, WIDTH, generator=generator)
        self.examples = centres[self.intact] + torch.randn(EXAMPLES, WIDTH, generator=generator)
        self.labels = symmetric_noise(self.intact, noise_rate, CLASSES, 0).labels
        self.supervision, self.budget, self.steps = supervision, epochs, steps
        self.course = supervision.course(Setting(self.labels, CLASSES, 0))
        self.order = torch.Generator().manual_seed(1)
        self.stage = self.epoch = 0
        self.stepped: Callable[[Tensor, Tensor], None] = lambda logits, chosen: None
        self._start_network()

    def _start_network(self) -> None:
        with torch.random.fork_rng():
            torch.manual_seed(7 + self.stage)
            layers = [nn.Linear(WIDTH, 64), nn.BatchNorm1d(64), nn.ReLU(), nn.Linear(64, CLASSES)]
            self.network = nn.Sequential(*layers)
        self.optimiser = torch.optim.SGD(self.network.parameters(), lr=0.1, momentum=0.9)

    @property
    def epochs(self) -> int:
        return max(1, round(self.supervision.stages[self.stage].share * self.budget))

    @torch.no_grad()
    def probabilities(self) -> Tensor:
        return self.network.eval()(self.examples).softmax(dim=1)

    @torch.no_grad()
    def features(self, chosen: Tensor) -> Tensor:
        return self.network.eval()[:-1](self.examples[chosen])

    def weights(self) -> dict[str, Tensor]:
        return copy.deepcopy(self.network.state_dict())

    def set_weights(self, weights: dict[str, Tensor]) -> None:
        self.network.load_state_dict(weights)

    @property
    def over(self) -> bool:
        return self.stage + 1 == len(self.supervision.stages) and self.epoch == self.epochs

    def train_epoch(self) -> None:
        self.course.begin_epoch(self)
        self.network.train()
        batches = torch.randperm(EXAMPLES, generator=self.order).split(BATCH)
        for chosen in batches[: self.steps]:
            logits = self.network(self.examples[chosen])
            self.stepped(logits.detach(), chosen)
            loss = self.course.loss(Batch(logits, self.labels[chosen], chosen))
            self.optimiser.zero_grad()
            loss.backward()
            self.optimiser.step()
            self.course.step(0.1)
        self.epoch += 1
        self.course.end_epoch(self)
        if self.epoch == self.epochs and not self.over:
            self.course.end_stage(self.stage, self)
            self.stage, self.epoch = self.stage + 1, 0
            if self.supervision.stages[self.stage].fresh_network:
                self._start_network()

    def train(self) -> None:
        while not self.over:
            self.train_epoch()

    def save(self) -> bytes:
        file = io.BytesIO()
        torch.save(
            {
                "place": (self.stage, self.epoch),
                "network": self.network.state_dict(),
                "optimiser": self.optimiser.state_dict(),
                "order": self.order.get_state(),
                "course": self.course.state_dict(),
            },
            file,
        )
        return file.getvalue()

    def load(self, saved: bytes) -> None:
        state: dict[str, Any] = torch.load(io.BytesIO(saved), weights_only=True)
        self.stage, self.epoch = state["place"]
        self.network.load_state_dict(state["network"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.order.set_state(state["order"])
        self.course.load_state_dict(state["course"])


def assert_resumes_exactly(supervision: Supervision, epochs: int, after: int) -> None:
    """A lane that is saved after so many epochs and loaded must end as the one that went on."""
    whole, resumed = (StagedLane(supervision, epochs) for _ in range(2))
    for _ in range(after):
        whole.train_epoch()
    resumed.load(whole.save())
    whole.train()
    resumed.train()
    for name, expected in whole.weights().items():
        assert torch.equal(resumed.weights()[name], expected), name


def value_and_gradient(loss: Callable[[Tensor], Tensor], logits: Tensor) -> tuple[Tensor, Tensor]:
    leaf = logits.clone().requires_grad_()
    value = loss(leaf)
    value.backward()
    assert leaf.grad is not None
    return value.detach(), leaf.grad


def double_batch(classes: int = CLASSES, count: int = 9) -> Batch:
    """Float64 logits, labels, and the first examples as those chosen."""
    generator = torch.Generator().manual_seed(3)
    logits = 3 * torch.randn(count, classes, generator=generator, dtype=torch.float64)
    return Batch(logits, torch.randint(0, classes, (count,), generator=generator), torch.arange(count))
