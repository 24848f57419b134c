"""A lane small enough for a test: a real network on Gaussian clusters, driven as an engine drives a course."""

from __future__ import annotations

import copy
import io
from typing import Any

import torch
from torch import Tensor
from torch import nn

from trainers.noise import symmetric_noise
from trainers.supervision import Batch
from trainers.supervision import Course
from trainers.supervision import Setting
from trainers.supervision import Supervision
from trainers.supervision import symmetric_transition

CLASSES, FEATURES, EXAMPLES = 4, 8, 480


def clusters(noise_rate: float = 0.3, seed: int = 0) -> tuple[Tensor, Tensor, Setting]:
    """Examples (N, F), intact labels, and the setting of a lane with symmetric noise."""
    generator = torch.Generator().manual_seed(seed)
    intact = torch.arange(EXAMPLES) % CLASSES
    centres = 2 * torch.randn(CLASSES, FEATURES, generator=generator)
    examples = centres[intact] + torch.randn(EXAMPLES, FEATURES, generator=generator)
    labels = symmetric_noise(intact, noise_rate, CLASSES, seed).labels
    return examples, intact, Setting(labels, CLASSES, seed, symmetric_transition(noise_rate, CLASSES))


class TinyLane:
    """One lane, and the view of its network that its course is given."""

    def __init__(self, supervision: Supervision, examples: Tensor, setting: Setting, epochs: int) -> None:
        self.examples, self.labels = examples, setting.labels
        self.supervision, self.budget = supervision, epochs
        self.course: Course = supervision.course(setting)
        self.order = torch.Generator().manual_seed(setting.seed)
        self.stage, self.epoch = 0, 0
        self.asked = 0
        self.start_network()

    def start_network(self) -> None:
        with torch.random.fork_rng():
            torch.manual_seed(7 + self.stage)
            self.network = nn.Sequential(nn.Linear(FEATURES, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Linear(32, CLASSES))
        self.optimiser = torch.optim.SGD(self.network.parameters(), lr=0.05, momentum=0.9)

    @property
    def epochs(self) -> int:
        return round(self.supervision.stages[self.stage].share * self.budget)

    @torch.no_grad()
    def probabilities(self) -> Tensor:
        self.asked += 1
        self.network.eval()
        self.last_probabilities = self.network(self.examples).softmax(dim=1)
        return self.last_probabilities

    def features(self, chosen: Tensor) -> Tensor:
        self.network.eval()
        return self.network[:-1](self.examples[chosen])

    def weights(self) -> dict[str, Tensor]:
        return copy.deepcopy(self.network.state_dict())

    def set_weights(self, weights: dict[str, Tensor]) -> None:
        self.network.load_state_dict(weights)

    def train_epoch(self) -> None:
        self.course.begin_epoch(self)
        self.network.train()
        for chosen in torch.randperm(len(self.labels), generator=self.order).split(32):
            self.optimiser.zero_grad()
            self.course.loss(Batch(self.network(self.examples[chosen]), self.labels[chosen], chosen)).backward()
            self.optimiser.step()
            self.course.step(0.05)
        self.epoch += 1
        self.course.end_epoch(self)
        if self.epoch == self.epochs and self.stage + 1 < len(self.supervision.stages):
            self.course.end_stage(self.stage, self)
            self.stage, self.epoch = self.stage + 1, 0
            if self.supervision.stages[self.stage].fresh_network:
                self.start_network()

    def train(self) -> None:
        """To the end of the last stage."""
        while self.stage + 1 < len(self.supervision.stages) or self.epoch < self.epochs:
            self.train_epoch()

    def accuracy(self, labels: Tensor) -> float:
        return float((self.probabilities().argmax(dim=1) == labels).float().mean())

    def state(self) -> dict[str, Any]:
        whole = {
            "place": (self.stage, self.epoch),
            "network": self.network.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "order": self.order.get_state(),
            "course": self.course.state_dict(),
        }
        return copy.deepcopy(whole)

    def restore(self, state: dict[str, Any]) -> None:
        self.stage, self.epoch = state["place"]
        self.network.load_state_dict(state["network"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.order.set_state(state["order"])
        self.course.load_state_dict(state["course"])


def numeric_gradient(loss: Any, logits: Tensor, step: float = 1e-5) -> Tensor:
    """Central differences of a scalar function of float64 logits."""
    gradient = torch.zeros_like(logits)
    for place in torch.cartesian_prod(*(torch.arange(size) for size in logits.shape)).tolist():
        change = torch.zeros_like(logits)
        change[tuple(place)] = step
        gradient[tuple(place)] = (loss(logits + change) - loss(logits - change)) / (2 * step)
    return gradient


def value_and_gradient(loss: Any, logits: Tensor) -> tuple[Tensor, Tensor]:
    leaf = logits.clone().requires_grad_()
    value = loss(leaf)
    value.backward()
    assert leaf.grad is not None
    return value.detach(), leaf.grad


def batch_of(classes: int = 5, n: int = 9, scale: float = 3.0) -> tuple[Tensor, Tensor]:
    """Float64 logits (n, classes) and labels."""
    generator = torch.Generator().manual_seed(3)
    logits = scale * torch.randn(n, classes, generator=generator, dtype=torch.float64)
    return logits, torch.randint(0, classes, (n,), generator=generator)


EXTREMES = torch.tensor(
    [[1e4, 0.0, -3.0], [-1e4, 0.0, -3.0], [1e4, -1e4, -1e4], [-1e4, 1e4, 1e4], [1e4, 1e4, 1e4], [0.0, 0.0, 1e4]],
    dtype=torch.float64,
)


def assert_resumes_exactly(supervision: Supervision, after: int, budget: int = 6) -> None:
    """A lane saved after so many epochs, loaded from bytes, must end as one that was never interrupted."""
    examples, _, setting = clusters()
    whole = TinyLane(supervision, examples, setting, budget)
    for _ in range(after):
        whole.train_epoch()
    file = io.BytesIO()
    torch.save(whole.state(), file)
    file.seek(0)
    resumed = TinyLane(supervision, examples, setting, budget)
    resumed.restore(torch.load(file, weights_only=True))
    whole.train()
    resumed.train()
    for name, expected in whole.weights().items():
        assert torch.equal(resumed.weights()[name], expected), name
