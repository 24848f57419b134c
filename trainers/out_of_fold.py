"""Out-of-fold probabilities: what networks that did not see an example's label say of the example."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from trainers.errors import EmphasisError
from trainers.errors import FieldError
from trainers.errors import InvalidInput
from trainers.noise import CorruptedLabels
from trainers.supervision import Supervision
from trainers.training import Decision
from trainers.training import Ending
from trainers.training import EpochReport
from trainers.training import Lane
from trainers.training import TrainingTask
from trainers.training import epochs_of
from trainers.training import steps_per_epoch
from trainers.training import train_and_predict

Epoch = Literal["likeliest", "last"]
OnFold = Callable[[int, int], None]
"""Told how many folds are predicted, and of how many."""

# Epochs without improvement before a short training is given up; and what a probability of 0 counts as.
_LEAST_PATIENCE = 5
_LEAST_PROBABILITY = 1e-30


def out_of_fold_probabilities(
    task: TrainingTask,
    supervision: Supervision,
    labels: CorruptedLabels,
    folds: int = 5,
    seed: int = 0,
    on_fold: OnFold | None = None,
    *,
    epoch: Epoch = "likeliest",
) -> Tensor:
    """The class probabilities of every training example, from a network trained on the other folds.

    Each fold's network is trained with the task's settings for as many epochs as the task has, milestones at the
    same epochs, and predicts in eval mode and without augmentation. Pixels are normalised by the whole training
    set's mean and deviation, in which there is no label.

    A network that has memorised wrong labels is wrong, and sure of itself, on examples that it did not see either.
    The probabilities are therefore those of the epoch after which the held-out labels, as given, are likeliest: the
    likelihood is highest for the network that is closest to P(given | example). Training ends when a quarter of the
    budget has brought nothing better.

    Args:
        task: Data, backbone, optimiser and budget of training on the whole training set.
        supervision: What the networks are trained with.
        labels: The labels to train on, of the task's N training examples.
        folds: How many parts the examples are split into, see `stratified_folds`.
        seed: Of the split, and of the networks: fold k's seed is derived from it and k.
        on_fold: Told after every fold.
        epoch: "likeliest" as above; "last" trains to the end and predicts there.

    Returns:
        Probabilities, float32 (N, C), in the order of the training set.

    Raises:
        InvalidInput: The number of folds, the labels or the supervision do not fit.
        EmphasisError: The network of a fold diverged.
    """
    data = task.dataset
    if len(labels.labels) != len(data.y_train):
        problem = f"not one label for each of {len(data.y_train)} training examples"
        raise InvalidInput(FieldError("labels", len(labels.labels), problem, "Draw them from this dataset's labels."))
    fold_of = stratified_folds(labels.labels, folds, seed)
    probabilities = torch.empty(len(data.y_train), data.num_classes)
    for fold in range(folds):
        held_out, kept = (fold_of == fold).nonzero()[:, 0], (fold_of != fold).nonzero()[:, 0]
        part = _without(task, labels, kept, held_out)
        lane_seed = int(np.random.SeedSequence([seed, fold]).generate_state(1, np.uint64)[0] >> np.uint64(1))
        lane = Lane(f"fold-{fold}", supervision, labels.take(kept), lane_seed)
        predictions = _Predictions(labels.labels[held_out], epoch, epochs_of(part, supervision))
        result = train_and_predict(part, lane, part.dataset.x_test, predictions.add)
        if result.ending is Ending.DIVERGED:
            raise EmphasisError(
                f"The network of fold {fold + 1} of {folds} diverged: {result.reason}. "
                f"Lower the learning rate, which is {task.learning_rate:g}."
            )
        probabilities[held_out] = predictions.kept
        if on_fold is not None:
            on_fold(fold + 1, folds)
    return probabilities


class _Predictions:
    """Of the predictions after every epoch, those that are kept."""

    def __init__(self, labels: Tensor, epoch: Epoch, epochs: int) -> None:
        self._labels, self._epoch = labels, epoch
        self._patience = max(_LEAST_PATIENCE, epochs // 4)
        self._likelihood, self._best_epoch = -math.inf, 0
        self.kept = torch.empty(0)

    def add(self, report: EpochReport, probabilities: Tensor) -> Decision:
        """Take an epoch's predictions; says whether to go on."""
        if self._epoch == "last":
            self.kept = probabilities
            return Decision.CONTINUE
        of_labels = probabilities.gather(1, self._labels[:, None]).double()
        likelihood = float(of_labels.clamp(min=_LEAST_PROBABILITY).log().mean())
        if not self._best_epoch or likelihood > self._likelihood:
            self.kept, self._likelihood, self._best_epoch = probabilities, likelihood, report.epoch
        late = report.epoch - self._best_epoch >= self._patience
        return Decision.STOP if late else Decision.CONTINUE


def stratified_folds(labels: Tensor, folds: int, seed: int) -> Tensor:
    """The fold of each example, 0...folds - 1: a class has the same number of examples in every fold, within one.

    So have all classes together. A class with fewer examples than folds is absent from some of them.

    Args:
        labels: Labels by which to stratify, int64 (N,).
        folds: How many, 2...N.
        seed: Of the draw, by numpy's PCG64: the same split on every machine.

    Returns:
        int64 (N,).

    Raises:
        InvalidInput: ``folds`` is not in 2...N, so that no network could be trained or none would be asked; or the
            seed is negative.
    """
    problems = fold_problems(folds, len(labels))
    if seed < 0:
        problems.append(FieldError("seed", seed, "below 0", "Give a seed of 0 or more."))
    if problems:
        raise InvalidInput(*problems)
    order = np.random.Generator(np.random.PCG64(seed)).permutation(len(labels))
    # Dealt class by class in a random order, the next class where the last one ended.
    dealt = order[np.argsort(labels.cpu().numpy()[order], kind="stable")]
    fold_of = np.empty(len(labels), dtype=np.int64)
    fold_of[dealt] = np.arange(len(labels)) % folds
    return torch.from_numpy(fold_of)


def fold_problems(folds: int, examples: int | None = None) -> list[FieldError]:
    """What keeps the examples, if their number is known yet, from being split into so many folds."""
    if folds < 2:
        problem = "below 2: every network must be trained on examples other than those it predicts"
        return [FieldError("folds", folds, problem, "Give folds >= 2, e.g. 5.")]
    if examples is not None and folds > examples:
        return [FieldError("folds", folds, f"more than the {examples} examples", f"Give at most {examples}.")]
    return []


def _without(task: TrainingTask, labels: CorruptedLabels, kept: Tensor, held_out: Tensor) -> TrainingTask:
    """The task of a fold: trained on ``kept`` for as many epochs, its test set the examples held out."""
    data = task.dataset
    part = replace(
        data,
        x_train=data.x_train[kept],
        y_train=labels.labels[kept],
        intact_train=None,
        x_test=data.x_train[held_out],
        y_test=labels.labels[held_out],
        x_validation=None,
        y_validation=None,
    )
    shorter = steps_per_epoch(len(kept), task.batch_size) / task.steps_per_epoch
    iterations = max(1, round(task.iterations * shorter))
    return replace(
        task,
        dataset=part,
        iterations=iterations,
        milestones=tuple(round(milestone * shorter) for milestone in task.milestones),
        evaluate_every=iterations,  # the end alone: nobody looks at more
    )
