"""How each dataset is trained unless the user says otherwise."""

from __future__ import annotations

import math
from dataclasses import dataclass

from trainers.datasets import Dataset
from trainers.errors import FieldError
from trainers.errors import InvalidInput
from trainers.plugins import unknown_name
from trainers.training import Augmentation
from trainers.training import Precision
from trainers.training import TrainingTask
from trainers.training import steps_per_epoch

# A learning curve needs no more points; nothing is decided by what lies between them.
EVALUATIONS = 10
_MILESTONE_UNITS = ("fraction", "epochs", "iterations")


@dataclass(frozen=True, slots=True)
class Recipe:
    """Training settings of a dataset: a budget in epochs or in iterations, and the optimiser's constants.

    The learning rate drops at ``milestones`` (iterations) where there are some and the budget is the recipe's own,
    else at ``milestone_shares`` of the budget. ``weights`` are those of ``backbone``, and go with no other.
    """

    backbone: str
    epochs: int | None = None
    iterations: int | None = None
    milestones: tuple[int, ...] | None = None
    milestone_shares: tuple[float, ...] = (0.5, 0.75)
    batch_size: int = 128
    learning_rate: float = 0.1
    momentum: float = 0.9
    weight_decay: float = 1e-4
    decay_factor: float = 0.1
    dropout: float = 0.0
    augmentation: Augmentation = "none"
    precision: Precision = "auto"
    weights: str | None = None


# CIFAR: arXiv 1905.11233 with the iteration counts, drops, batch and weight decay of the authors' figures and
# code. Digits and the fallbacks: at 0.1 with momentum 0.9 the logits of an MLP under GR grow without bound,
# since GR's gradient keeps its length where p is 0 or 1; at 0.02 CCE still memorises and GR's good band is as
# the paper's (README, "What we measured"). Clothing1M: Table 5 of the paper.
_RECIPES = {
    "digits": Recipe("mlp", epochs=60, learning_rate=0.02),
    "cifar10": Recipe(
        "resnet56", iterations=100_000, milestones=(32_000, 48_000), augmentation="pad-crop-flip"
    ),
    "cifar100": Recipe(
        "resnet44",
        iterations=30_000,
        milestones=(15_000, 22_000),
        batch_size=256,
        weight_decay=5e-4,
        augmentation="pad-crop-flip",
    ),
    "clothing1m": Recipe(
        "torchvision:resnet50",
        epochs=10,
        milestone_shares=(0.5,),
        batch_size=64,
        learning_rate=1e-3,
        weight_decay=1e-3,
        augmentation="resize-crop-flip",
        weights="default",
    ),
}
_VECTORS = Recipe("mlp", epochs=60, learning_rate=0.02)
_IMAGES = Recipe("resnet20", epochs=60)
# The CIFAR networks keep the full resolution for a third of their depth: at 224 pixels resnet20 costs more than
# ResNet-18 and sees less of the picture. The learning rate is He et al.'s 0.1 for ImageNet, scaled from their batch
# of 256 (Goyal et al., arXiv 1706.02677, section 2.1); the smaller batch is what a CPU's or a small GPU's memory
# holds. Random weights, since others would have to be downloaded, which is for the user to ask for.
_LARGE_IMAGES = Recipe(
    "torchvision:resnet18", epochs=60, batch_size=64, learning_rate=0.025, augmentation="resize-crop-flip"
)
_SMALL_SIDE = 64


def recipe_for(dataset: Dataset) -> Recipe:
    """The recipe that was made for a dataset, else the one for examples of its shape.

    Args:
        dataset: What to train on.

    Raises:
        InvalidInput: The dataset names a recipe that does not exist.
    """
    if dataset.recipe is None:
        shape = dataset.example_shape
        if len(shape) != 3:
            return _VECTORS
        # Torchvision's networks are for colour images.
        return _LARGE_IMAGES if max(shape[1:]) > _SMALL_SIDE and shape[0] == 3 else _IMAGES
    if dataset.recipe not in _RECIPES:
        raise unknown_name("recipe", dataset.recipe, _RECIPES)
    return _RECIPES[dataset.recipe]


def training_task(
    dataset: Dataset,
    *,
    backbone: str | None = None,
    epochs: int | None = None,
    iterations: int | None = None,
    milestones: tuple[float, ...] | None = None,
    milestone_unit: str = "fraction",
    batch_size: int | None = None,
    learning_rate: float | None = None,
    momentum: float | None = None,
    weight_decay: float | None = None,
    decay_factor: float | None = None,
    dropout: float | None = None,
    augmentation: Augmentation | None = None,
    precision: Precision | None = None,
    evaluate_every: int | None = None,
    device: str = "auto",
    weights: str | None = None,
) -> TrainingTask:
    """The task of training on a dataset: its recipe, with what is given in place of the recipe's values.

    Args:
        dataset: What to train on.
        backbone: Name of the network.
        epochs: Budget in epochs, or
        iterations: Budget in optimiser steps; not both.
        milestones: Where the learning rate drops, in ``milestone_unit``. By default the recipe's own drops
            with the recipe's own budget, else at shares of the budget: most recipes' at 1/2 and 3/4.
        milestone_unit: "fraction" (of the budget), "epochs" or "iterations".
        batch_size: See `TrainingTask`, as for the arguments below.
        learning_rate: Initial learning rate.
        momentum: Of SGD.
        weight_decay: L2 coefficient.
        decay_factor: At each milestone.
        dropout: Rate before the classifier.
        augmentation: "none", "pad-crop-flip" or "resize-crop-flip".
        precision: "auto", "fp32" or "bf16".
        evaluate_every: Epochs between evaluations, each of which costs a quarter to a half of an epoch. By default as
            few as make ten of them at most in the length of the budget; what lies between is known by the running
            accuracy of the training batches.
        device: "auto" or a torch device.
        weights: "none" starts from random ones even where the recipe does not.

    Raises:
        InvalidInput: A value is out of range or unknown, or both budgets are given.
    """
    recipe = recipe_for(dataset)
    batch = recipe.batch_size if batch_size is None else batch_size
    errors = _budget_errors(epochs, iterations, batch, milestones, milestone_unit)
    if errors:
        raise InvalidInput(*errors)
    if epochs is None and iterations is None:
        epochs, iterations = recipe.epochs, recipe.iterations
    own_budget = (epochs, iterations) == (recipe.epochs, recipe.iterations)
    per_epoch = steps_per_epoch(len(dataset.y_train), batch)
    budget = iterations if iterations is not None else (epochs or 0) * per_epoch
    passes = -(-budget // per_epoch)
    if milestones is not None:
        unit = {"fraction": budget, "epochs": per_epoch, "iterations": 1}[milestone_unit]
        drops = tuple(_step(milestone * unit) for milestone in milestones)
    elif own_budget and recipe.milestones is not None:
        drops = recipe.milestones
    else:
        drops = tuple(_step(share * budget) for share in recipe.milestone_shares)
    if weights is None and backbone in (None, recipe.backbone):
        weights = recipe.weights

    return TrainingTask(
        dataset=dataset,
        backbone=recipe.backbone if backbone is None else backbone,
        iterations=budget,
        batch_size=batch,
        learning_rate=recipe.learning_rate if learning_rate is None else learning_rate,
        momentum=recipe.momentum if momentum is None else momentum,
        weight_decay=recipe.weight_decay if weight_decay is None else weight_decay,
        milestones=drops,
        decay_factor=recipe.decay_factor if decay_factor is None else decay_factor,
        dropout=recipe.dropout if dropout is None else dropout,
        augmentation=recipe.augmentation if augmentation is None else augmentation,
        precision=recipe.precision if precision is None else precision,
        evaluate_every=-(-passes // EVALUATIONS) if evaluate_every is None else evaluate_every,
        device=device,
        weights=None if weights == "none" else weights,
    )


def _step(milestone: float) -> int:
    # Never before the first step, however short the budget.
    return max(1, round(milestone))


def _budget_errors(
    epochs: int | None,
    iterations: int | None,
    batch_size: int,
    milestones: tuple[float, ...] | None,
    milestone_unit: str,
) -> list[FieldError]:
    """What is wrong with the values from which a task's budget is computed, before it is."""
    errors = []
    if epochs is not None and iterations is not None:
        problem = f"epochs = {epochs} is given too"
        errors.append(FieldError("iterations", iterations, problem, "Give one of the two."))
    given = (("epochs", epochs, 1), ("iterations", iterations, 1), ("batch_size", batch_size, 2))
    for name, value, low in given:
        if value is not None and not value >= low:
            errors.append(FieldError(name, value, f"below {low}", f"Give {name} >= {low}."))
    if milestone_unit not in _MILESTONE_UNITS:
        remedy = f"Use one of: {', '.join(_MILESTONE_UNITS)}."
        errors.append(FieldError("milestone_unit", milestone_unit, "unknown", remedy))
    highest = 1.0 if milestone_unit == "fraction" else math.inf
    for milestone in milestones or ():
        if not 0 <= milestone <= highest or math.isinf(milestone):
            problem = "not a share of the budget in [0, 1]" if highest == 1 else "not a finite number >= 0"
            remedy = f"It is counted as milestone_unit = {milestone_unit!r} says."
            errors.append(FieldError("milestones", milestone, problem, remedy))
    return errors
