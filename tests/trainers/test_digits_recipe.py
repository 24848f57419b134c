"""What the digits recipe has to show: GR survives wrong labels that cross entropy memorises."""

from __future__ import annotations

from statistics import fmean

import pytest
import torch

from trainers.datasets import load_dataset
from trainers.noise import make_noise_model
from trainers.recipes import training_task
from trainers.supervision import Supervision
from trainers.supervision import make_supervision
from trainers.training import Lane
from trainers.training import train

SEEDS = (11, 12, 13)


def mean_intact_accuracy(supervision: Supervision, noise_rate: float) -> float:
    """Mean final accuracy on the intact training labels over the seeds, of noise and training both."""
    task = training_task(load_dataset("digits"), evaluate_every=60)
    accuracies = []
    for seed in SEEDS:
        labels = make_noise_model("symmetric", noise_rate).draw(task.dataset.y_train, 10, seed)
        (result,) = train(task, [Lane(f"seed-{seed}", supervision, labels, seed)])
        assert result.final is not None
        accuracies.append(result.final.intact_train)
    return fmean(accuracies)


@pytest.mark.parametrize(
    ("noise_rate", "beta", "lam", "at_least", "cce"), [(0.4, 20, 1, 0.93, 0.60), (0.6, 20, 1, 0.80, 0.40)]
)
def test_gradient_rescaling_keeps_what_cross_entropy_loses(
    noise_rate: float, beta: float, lam: float, at_least: float, cce: float
) -> None:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        rescaled = mean_intact_accuracy(make_supervision("gr", beta=beta, lam=lam), noise_rate)
        entropy = mean_intact_accuracy(make_supervision("cce"), noise_rate)
    finally:
        torch.set_num_threads(threads)

    assert rescaled >= at_least
    assert entropy == pytest.approx(cce, abs=0.05)
