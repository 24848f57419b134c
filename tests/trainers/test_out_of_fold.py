"""Every example is judged by a network that did not see it, and the networks that judge have not memorised."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from trainers.datasets import Dataset
from trainers.datasets import load_dataset
from trainers.errors import EmphasisError
from trainers.errors import InvalidInput
from trainers.noise import CorruptedLabels
from trainers.noise import make_noise_model
from trainers.noise import symmetric_noise
from trainers.out_of_fold import out_of_fold_probabilities
from trainers.out_of_fold import stratified_folds
from trainers.recipes import training_task
from trainers.supervision import CategoricalCrossEntropy
from trainers.training import Decision
from trainers.training import EpochReport
from trainers.training import Lane
from trainers.training import TrainingTask
from trainers.training import train
from trainers.training import train_and_predict

CCE = CategoricalCrossEntropy()


def coin_flips(examples: int = 120) -> tuple[TrainingTask, CorruptedLabels]:
    """Labels that have nothing to do with the examples: right more often than half is who has seen them."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(examples, 64, generator=generator)
    y = torch.randint(0, 2, (examples,), generator=generator)
    data = Dataset.from_tensors("coins", x, y, x.clone(), y.clone(), 2)
    return training_task(data, epochs=25, batch_size=20, learning_rate=0.1), make_noise_model("none").draw(y, 2, 0)


def noisy_digits(rate: float, epochs: int, **settings: Any) -> tuple[TrainingTask, CorruptedLabels]:
    data = load_dataset("digits").limit_train(500)
    return training_task(data, epochs=epochs, **settings), symmetric_noise(data.y_train, rate, 10, seed=1)


def accuracy(probabilities: Tensor, labels: Tensor) -> float:
    return float((probabilities.argmax(1) == labels).float().mean())


def test_no_example_is_predicted_by_a_network_that_saw_its_label() -> None:
    task, labels = coin_flips()
    seen: list[Tensor] = []
    lane = Lane("all", CCE, labels, seed=0)
    train_and_predict(task, lane, task.dataset.x_train, lambda report, predicted: seen.append(predicted))
    assert accuracy(seen[-1], labels.labels) == 1.0
    # Of 120 fair coins 75 fall right once in 200 times; with one of five folds seen it would be 72 more.
    assert accuracy(out_of_fold_probabilities(task, CCE, labels, epoch="last"), labels.labels) < 0.63


def test_every_example_is_predicted_once_and_in_the_order_of_the_training_set() -> None:
    task, labels = noisy_digits(0.0, epochs=6)
    probabilities = out_of_fold_probabilities(task, CCE, labels, folds=3)
    assert probabilities.shape == (500, 10)
    assert torch.allclose(probabilities.sum(1), torch.ones(500))
    assert accuracy(probabilities, task.dataset.y_train) > 0.85


def test_same_seed_gives_the_same_probabilities_and_another_seed_others() -> None:
    task, labels = noisy_digits(0.2, epochs=2)
    first = out_of_fold_probabilities(task, CCE, labels, folds=2, seed=3)
    torch.manual_seed(99)
    assert torch.equal(first, out_of_fold_probabilities(task, CCE, labels, folds=2, seed=3))
    assert not torch.equal(first, out_of_fold_probabilities(task, CCE, labels, folds=2, seed=4))


def test_the_kept_epoch_is_one_before_wrong_labels_are_memorised() -> None:
    task, labels = noisy_digits(0.4, epochs=40)
    intact = task.dataset.y_train
    kept = out_of_fold_probabilities(task, CCE, labels, folds=2)
    last = out_of_fold_probabilities(task, CCE, labels, folds=2, epoch="last")
    assert accuracy(kept, intact) > accuracy(last, intact) + 0.1

    def log_likelihood(probabilities: Tensor) -> float:
        return float(probabilities.double().gather(1, labels.labels[:, None]).log().mean())

    assert log_likelihood(kept) > log_likelihood(last) + 0.2


def test_predictions_come_after_every_epoch_and_can_end_the_training() -> None:
    task, labels = coin_flips(40)
    epochs: list[int] = []

    def follow(report: EpochReport, predicted: Tensor) -> Decision:
        epochs.append(report.epoch)
        return Decision.STOP if report.epoch == 3 else Decision.CONTINUE

    train_and_predict(task, Lane("a", CCE, labels, 0), task.dataset.x_test, follow)
    assert epochs == [1, 2, 3]


def test_a_network_that_gets_no_better_is_trained_no_further() -> None:
    batches: list[int] = []

    class Counted(CategoricalCrossEntropy):
        def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
            batches.append(len(labels))
            return super().loss(logits, labels)

    task, labels = coin_flips(80)
    out_of_fold_probabilities(replace(task, iterations=160), Counted(), labels, folds=2)
    # Of coins nothing can be learnt: the best comes at once, and a quarter of the 40 epochs is waited.
    assert 2 * 10 * 40 < sum(batches) < 2 * 25 * 40


def test_predicting_leaves_the_training_as_it_is_and_agrees_with_its_evaluation() -> None:
    task, labels = noisy_digits(0.2, epochs=3, dropout=0.2)
    lane = Lane("a", CCE, labels, seed=5)
    predicted: list[Tensor] = []
    result = train_and_predict(task, lane, task.dataset.x_test, lambda report, found: predicted.append(found))
    (plain,) = train(task, [lane])
    assert [report.train_loss for report in result.reports] == [report.train_loss for report in plain.reports]
    assert len(predicted) == 3
    for report, found in zip(plain.reports, predicted, strict=True):
        assert report.evaluation is not None
        assert accuracy(found, task.dataset.y_test) == pytest.approx(report.evaluation.test)


def test_folds_are_told_one_by_one() -> None:
    task, labels = noisy_digits(0.2, epochs=1)
    told: list[tuple[int, int]] = []
    out_of_fold_probabilities(task, CCE, labels, 3, on_fold=lambda done, folds: told.append((done, folds)))
    assert told == [(1, 3), (2, 3), (3, 3)]


@pytest.mark.parametrize("folds", [2, 3, 5, 7])
def test_classes_and_folds_are_even_within_one_example(folds: int) -> None:
    labels = torch.cat([torch.full((count,), label) for label, count in enumerate((37, 5, 1, 60, 0, 22))])
    fold_of = stratified_folds(labels, folds, seed=2)
    counts = torch.zeros(6, folds, dtype=torch.int64)
    counts.index_put_((labels, fold_of), torch.tensor(1), accumulate=True)
    assert int((counts.amax(1) - counts.amin(1)).max()) <= 1
    assert int(counts.sum(0).max() - counts.sum(0).min()) <= 1


def test_the_split_is_the_seeds_and_does_not_follow_the_order_of_the_data() -> None:
    labels = torch.arange(60) % 3
    first = stratified_folds(labels, 4, seed=0)
    assert torch.equal(first, stratified_folds(labels, 4, seed=0))
    assert not torch.equal(first, stratified_folds(labels, 4, seed=1))
    assert len(set(first[labels == 0][:5].tolist())) > 1


def test_a_class_with_fewer_examples_than_folds_is_predicted_all_the_same() -> None:
    task, _ = coin_flips(40)
    y = torch.cat([torch.tensor([1]), torch.zeros(39, dtype=torch.int64)])
    task = replace(task, dataset=replace(task.dataset, y_train=y, intact_train=y))
    probabilities = out_of_fold_probabilities(task, CCE, make_noise_model("none").draw(y, 2, 0))
    assert bool(torch.isfinite(probabilities).all())
    assert float(probabilities[0, 1]) < 0.5


@pytest.mark.parametrize(("folds", "problem"), [(1, "below 2"), (0, "below 2"), (41, "more than the 40 examples")])
def test_impossible_folds_are_refused(folds: int, problem: str) -> None:
    task, labels = coin_flips(40)
    with pytest.raises(InvalidInput, match=problem) as refused:
        out_of_fold_probabilities(task, CCE, labels, folds)
    assert [error.field for error in refused.value.errors] == ["folds"]


def test_negative_seed_and_labels_of_other_data_are_refused() -> None:
    task, labels = coin_flips(40)
    with pytest.raises(InvalidInput, match="seed = -1"):
        out_of_fold_probabilities(task, CCE, labels, seed=-1)
    with pytest.raises(InvalidInput, match="not one label for each of 40"):
        out_of_fold_probabilities(task, CCE, labels.take(torch.arange(39)))


def test_a_diverged_fold_is_an_error_that_says_what_to_do() -> None:
    task, labels = noisy_digits(0.2, epochs=5, learning_rate=1e30)
    with pytest.raises(EmphasisError, match=r"fold 1 of 5 diverged: .*Lower the learning rate"):
        out_of_fold_probabilities(task, CCE, labels)
