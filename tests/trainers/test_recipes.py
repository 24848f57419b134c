from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from trainers.datasets import Dataset
from trainers.datasets import load_dataset
from trainers.errors import InvalidInput
from trainers.recipes import recipe_for
from trainers.recipes import training_task


def dataset_of(shape: tuple[int, ...], examples: int = 320, **fields: Any) -> Dataset:
    x, y = torch.zeros(examples, *shape, dtype=torch.uint8), torch.arange(examples) % 10
    return Dataset.from_tensors("made", x, y, x[:10], y[:10], num_classes=10, **fields)


def test_bundled_digits_have_their_own_recipe_also_in_part() -> None:
    digits = load_dataset("digits")
    assert recipe_for(digits) is recipe_for(digits.limit_train(100))
    assert recipe_for(digits).backbone == "mlp"
    assert training_task(digits).epochs == 60


@pytest.mark.parametrize(("shape", "backbone"), [((3, 12, 12), "resnet20"), ((64,), "mlp")])
def test_a_users_own_digits_are_not_trained_as_the_bundled_ones(
    tmp_path: Path, shape: tuple[int, ...], backbone: str
) -> None:
    x = np.zeros((40, *shape[1:], *shape[:1]), np.uint8)
    y = np.arange(40) % 10
    path = tmp_path / "digits.npz"
    np.savez(path, x_train=x, y_train=y, x_test=x, y_test=y)
    own = load_dataset(str(path))
    assert own.name == "digits.npz"
    assert recipe_for(own) is not recipe_for(load_dataset("digits"))
    assert recipe_for(own) is recipe_for(dataset_of(shape))
    assert recipe_for(own).backbone == backbone


def test_cifar_is_trained_as_in_the_figures_of_the_paper() -> None:
    ten = training_task(dataset_of((3, 32, 32), recipe="cifar10"))
    assert (ten.backbone, ten.iterations, ten.milestones) == ("resnet56", 100_000, (32_000, 48_000))
    assert (ten.batch_size, ten.momentum, ten.weight_decay, ten.learning_rate) == (128, 0.9, 1e-4, 0.1)
    assert ten.augmentation == "pad-crop-flip"
    hundred = training_task(dataset_of((3, 32, 32), recipe="cifar100"))
    assert (hundred.backbone, hundred.batch_size, hundred.weight_decay) == ("resnet44", 256, 5e-4)
    assert (hundred.iterations, hundred.milestones) == (30_000, (15_000, 22_000))


def test_another_budget_moves_the_drops_to_a_half_and_three_quarters_of_it() -> None:
    cifar = dataset_of((3, 32, 32), recipe="cifar10")  # 3 steps an epoch
    assert training_task(cifar, epochs=40).iterations == 120
    assert training_task(cifar, epochs=40).milestones == (60, 90)
    assert training_task(cifar, iterations=1000).milestones == (500, 750)


def test_the_recipes_own_budget_keeps_its_own_drops_when_it_is_written_out() -> None:
    cifar = dataset_of((3, 32, 32), recipe="cifar10")
    assert training_task(cifar, iterations=100_000).milestones == (32_000, 48_000)


def test_the_shortest_budget_starts_at_the_full_learning_rate() -> None:
    task = training_task(dataset_of((64,)), iterations=1)
    assert task.learning_rate_at(0) == task.learning_rate


@pytest.mark.parametrize(
    ("unit", "milestones", "drops"),
    [
        ("fraction", (0.25, 0.5), (30, 60)),
        ("epochs", (10, 20.5), (30, 62)),
        ("iterations", (7, 100), (7, 100)),
    ],
)
def test_milestones_are_counted_in_the_unit_that_is_given(
    unit: str, milestones: tuple[float, ...], drops: tuple[int, ...]
) -> None:
    task = training_task(dataset_of((64,)), epochs=40, milestones=milestones, milestone_unit=unit)
    assert task.milestones == drops


def test_what_is_given_replaces_the_recipes_value() -> None:
    given: dict[str, Any] = {
        "backbone": "resnet32",
        "batch_size": 64,
        "learning_rate": 0.3,
        "momentum": 0.0,
        "weight_decay": 0.0,
        "decay_factor": 0.5,
        "dropout": 0.2,
        "augmentation": "none",
        "precision": "fp32",
        "evaluate_every": 7,
        "device": "cpu",
    }
    task = training_task(dataset_of((3, 32, 32), recipe="cifar100"), **given)
    assert {name: getattr(task, name) for name in given} == given
    # No falsy value was taken for one that is not given.
    assert training_task(load_dataset("digits"), weight_decay=0.0).weight_decay == 0.0


def test_a_smaller_batch_makes_more_steps_of_the_same_epochs() -> None:
    assert training_task(dataset_of((64,)), epochs=10, batch_size=32).iterations == 100
    # The last batch of one example is no step.
    assert training_task(dataset_of((64,), 321), epochs=10, batch_size=32).iterations == 100


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [
        ({"epochs": 3, "iterations": 9}, "iterations = 9"),
        ({"epochs": 0}, "epochs = 0"),
        ({"iterations": -1}, "iterations = -1"),
        ({"batch_size": 0}, "batch_size = 0"),
        ({"batch_size": 1}, "batch_size = 1"),
        ({"milestones": (0.5, 1.5)}, "milestones = 1.5"),
        ({"milestones": (float("nan"),), "milestone_unit": "epochs"}, "milestones = nan"),
        ({"milestones": (float("inf"),), "milestone_unit": "epochs"}, "milestones = inf"),
        ({"milestones": (-1,), "milestone_unit": "iterations"}, "milestones = -1"),
        ({"milestone_unit": "steps"}, "milestone_unit = 'steps'"),
        ({"learning_rate": float("nan")}, "learning_rate = nan"),
    ],
)
def test_a_budget_that_cannot_be_is_refused_by_its_own_name(fields: dict[str, Any], wrong: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        training_task(dataset_of((64,)), **fields)
    assert [str(error).startswith(wrong) for error in caught.value.errors] == [True], str(caught.value)
    assert caught.value.errors[0].remedy


def test_a_recipe_that_does_not_exist_is_refused_with_the_nearest() -> None:
    with pytest.raises(InvalidInput, match=r"recipe = 'cifar11'.*cifar10"):
        recipe_for(dataset_of((3, 32, 32), recipe="cifar11"))
