"""A step never waits for the device: how often values are read from it depends on the epochs alone."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from trainers.datasets import Dataset
from trainers.noise import symmetric_noise
from trainers.supervision import Criterion
from trainers.supervision import make_supervision
from trainers.training import Lane
from trainers.training import TrainingTask
from trainers.training import train

# Each makes a host wait for a GPU: the value, or the size of the result, is needed here.
WAITS = ("_local_scalar_dense", "nonzero", "masked_select", "_unique2", "bincount", "repeat_interleave")


class _Waits(TorchDispatchMode):
    """Counts operations that would make a host wait for a GPU."""

    def __init__(self) -> None:
        super().__init__()
        self.counts: Counter[str] = Counter()

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = function._schema.name.removeprefix("aten::")
        by_mask = name in ("index", "index_put_") and any(
            index is not None and index.dtype == torch.bool for index in args[1]
        )
        if name in WAITS or by_mask:
            self.counts[name] += 1
        return function(*args, **(kwargs or {}))


def waits(supervision: str, batch_size: int, **hyperparameters: float | str) -> Counter[str]:
    """Of two epochs on small images, augmented, with a convolutional network."""
    images = torch.randint(0, 256, (64, 3, 8, 8), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    labels = torch.arange(64) % 4
    data = Dataset.from_tensors("images", images, labels, images[:8], labels[:8], 4)
    task = TrainingTask(
        data,
        "resnet20",
        iterations=2 * 64 // batch_size,
        batch_size=batch_size,
        augmentation="pad-crop-flip",
        device="cpu",
    )
    lane = Lane("lane", make_supervision(supervision, **hyperparameters), symmetric_noise(labels, 0.4, 4, 0), 0)
    with _Waits() as seen:
        train(task, [lane])
    return seen.counts


@pytest.mark.parametrize(
    ("supervision", "hyperparameters"),
    [
        ("cce", {}),
        ("mae", {}),
        ("gce", {"q": 0.7}),
        ("gr", {"beta": 8.0, "lam": 0.5}),
        ("gce_truncated", {}),
        ("forward", {"matrix": "true"}),
        ("backward", {"matrix": "true"}),
        ("bootstrap_soft", {}),
        ("bootstrap_hard", {}),
        ("d2l", {}),
        ("s_adaptation", {}),
        ("label_optimisation", {"second_stage": 1.0}),
        ("masking", {"pretraining_steps": 2}),
    ],
)
def test_a_step_never_waits_for_the_device(supervision: str, hyperparameters: dict[str, float | str]) -> None:
    assert waits(supervision, 32, **hyperparameters) == waits(supervision, 8, **hyperparameters)


def test_a_call_that_checks_its_input_waits_once() -> None:
    logits, labels = torch.zeros(4, 10), torch.arange(4)
    criterion = make_supervision("gr", beta=8.0, lam=0.5)
    assert isinstance(criterion, Criterion)
    with _Waits() as seen:
        criterion(logits, labels)
    assert sum(seen.counts.values()) == 1
    with _Waits() as seen:
        criterion.loss(logits, labels)
    assert not seen.counts
