"""The noise rate of labels that nobody has checked, by confident learning (Northcutt et al., arXiv 1911.00068)."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from dataclasses import field
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainers.errors import FieldError
from trainers.errors import InvalidInput
from trainers.noise import CorruptedLabels
from trainers.out_of_fold import out_of_fold_probabilities
from trainers.supervision import CategoricalCrossEntropy
from trainers.supervision import Supervision
from trainers.training import TrainingTask

FOLDS = 5
RESAMPLES = 200
_COVERAGE = 0.95

Counts = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class NoiseEstimate:
    """How many of the given labels are wrong, and which class's they are, as estimated from the labels alone.

    Attributes:
        rate: Estimated share of wrong labels, in [0, 1]: 1 - trace of the joint.
        low: Lower end of the rate's 95% bootstrap interval. It covers the sampling of the examples that are counted;
            not the seeds of the networks, and not that a classifier errs, which biases the rate upwards: with one
            that has learnt little it comes close to 1 - ``accuracy``.
        high: Upper end.
        confusion: Estimated counts (C, C), a row an intact class and a column a given one, as
            `CorruptedLabels.confusion_matrix` has them: its column sums are the given classes' true counts.
        accuracy: Share of the examples whose given label is the networks' prediction, out of fold.
        folds: Folds of the cross-validation.
        seed: Of the folds, the networks and the bootstrap.
        supervision: What the networks were trained with.
        epochs: For how long.
        seconds: Wall time of everything.
        realised_rate: Share of wrong labels in truth, where the intact labels are known.
    """

    rate: float
    low: float
    high: float
    confusion: Counts = field(repr=False)
    accuracy: float
    folds: int
    seed: int
    supervision: str
    epochs: int
    seconds: float
    realised_rate: float | None = None

    @property
    def joint(self) -> NDArray[np.float64]:
        """P(intact = i, given = j), float64 (C, C)."""
        return np.asarray(self.confusion / self.confusion.sum(), dtype=np.float64)

    @property
    def given_counts(self) -> Counts:
        """Examples of each given class, (C,)."""
        return np.asarray(self.confusion.sum(0), dtype=np.int64)

    @property
    def examples(self) -> int:
        """How many labels were looked at."""
        return int(self.confusion.sum())

    def largest_confusions(self, count: int = 5) -> list[tuple[int, int, int]]:
        """The pairs (intact class, given class, estimated examples) with the most wrong labels; none without any."""
        wrong = self.confusion - np.diag(np.diag(self.confusion))
        order = np.argsort(-wrong, axis=None, kind="stable")[:count]
        pairs = [(int(at // len(wrong)), int(at % len(wrong))) for at in order]
        return [(i, j, int(wrong[i, j])) for i, j in pairs if wrong[i, j]]

    def summary(self) -> dict[str, Any]:
        """All but the matrices, which are large for many classes: what a sweep's record has of it, JSON-ready."""
        return {
            "rate": self.rate,
            "low": self.low,
            "high": self.high,
            "interval": "95% bootstrap over examples: sampling only, not the classifier's bias",
            "realised_rate": self.realised_rate,
            "examples": self.examples,
            "largest_confusions": [
                {"intact": intact, "given": given, "examples": examples}
                for intact, given, examples in self.largest_confusions()
            ],
            "accuracy": self.accuracy,
            "folds": self.folds,
            "seed": self.seed,
            "supervision": self.supervision,
            "epochs": self.epochs,
            "seconds": self.seconds,
        }

    def as_dict(self) -> dict[str, Any]:
        """Everything as JSON has it."""
        return {
            **self.summary(),
            "given_counts": self.given_counts.tolist(),
            "confusion": self.confusion.tolist(),
            "confusion_rows": "intact",
            "confusion_columns": "given",
            "joint": self.joint.tolist(),
        }


def estimate_noise(
    task: TrainingTask,
    labels: CorruptedLabels,
    *,
    folds: int = FOLDS,
    seed: int = 0,
    supervision: Supervision | None = None,
    on_fold: Callable[[int, int], None] | None = None,
) -> NoiseEstimate:
    """Estimate how many of a task's labels are wrong, from nothing but the examples and the labels.

    Args:
        task: What the networks that judge the labels are trained on and how. The settings of a search of the same
            data do.
        labels: The given labels of the task's training examples. Whether they are wrong is looked up for
            `NoiseEstimate.realised_rate` alone.
        folds: Each label is judged by a network trained without it, on the other folds.
        seed: Of the folds, the networks and the bootstrap.
        supervision: What the networks are trained with; by default cross entropy.
        on_fold: Told after every fold how many are done, and of how many.

    Raises:
        InvalidInput: The folds or the labels do not fit.
        EmphasisError: A network diverged.
    """
    started = time.perf_counter()
    chosen = CategoricalCrossEntropy() if supervision is None else supervision
    probabilities = out_of_fold_probabilities(task, chosen, labels, folds, seed, on_fold).double().numpy()
    estimate = count_noise(labels.labels.numpy(), probabilities, seed)
    return replace(
        estimate,
        folds=folds,
        supervision=repr(chosen),
        epochs=task.epochs,
        realised_rate=labels.realised_rate,
        seconds=time.perf_counter() - started,
    )


def count_noise(
    labels: Counts, probabilities: NDArray[np.float64], seed: int = 0, resamples: int = RESAMPLES
) -> NoiseEstimate:
    """The estimate from out-of-fold probabilities, wherever those come from; cleanlab counts.

    An example of given class j is counted as intact class i where p_i reaches t_i, the mean p_i over the examples
    that were given i (of several such classes the likeliest); the counts of each given class are scaled to its size.

    Args:
        labels: Given labels, int64 (N,) in 0...C - 1.
        probabilities: (N, C), each row of a network that was not trained on that example.
        seed: Of the bootstrap.
        resamples: Of the bootstrap, 1 or more.

    Raises:
        InvalidInput: The shapes do not fit, or a probability is NaN or infinite.
    """
    if probabilities.ndim != 2 or probabilities.shape[0] != len(labels) or not np.isfinite(probabilities).all():
        problem = f"{probabilities.shape}, not finite (N, C) for {len(labels)} labels"
        remedy = "Give one row of probabilities a label."
        raise InvalidInput(FieldError("probabilities", str(probabilities.dtype), problem, remedy))
    confusion = _confident_counts(labels, probabilities)
    generator = np.random.Generator(np.random.PCG64(seed))
    rates = np.empty(resamples)
    for resample in range(resamples):
        drawn = generator.integers(len(labels), size=len(labels))
        rates[resample] = _rate(_confident_counts(labels[drawn], probabilities[drawn]))
    low, high = np.quantile(rates, [(1 - _COVERAGE) / 2, (1 + _COVERAGE) / 2])
    return NoiseEstimate(
        rate=_rate(confusion),
        low=float(low),
        high=float(high),
        confusion=confusion,
        accuracy=float((probabilities.argmax(1) == labels).mean()),
        folds=0,
        seed=seed,
        supervision="",
        epochs=0,
        seconds=0.0,
    )


def _confident_counts(labels: Counts, probabilities: NDArray[np.float64]) -> Counts:
    """Calibrated counts (C, C), intact by given."""
    # With scikit-learn and pandas behind it, cleanlab takes seconds to import.
    from cleanlab.count import compute_confident_joint

    return np.asarray(compute_confident_joint(labels, probabilities), dtype=np.int64).T


def _rate(confusion: Counts) -> float:
    return 1 - int(confusion.trace()) / int(confusion.sum())
