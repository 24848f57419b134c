"""Which configuration a sweep recommends, how sure it is, and what else it cannot tell apart.

Everything but `recommend` and `recommendations` is a pure function of records that the store returned: the
same records give the same recommendation, during a sweep, after it, and years later.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from statistics import fmean
from statistics import stdev
from typing import Any
from typing import Self

from scipy.special import stdtr  # type: ignore[import-untyped, unused-ignore]

from search.dataset_file import dataset_file
from search.home import Home
from search.hyperparameters import SPEC_FIELDS
from search.naming import in_order
from search.naming import python_name
from search.naming import written_name
from search.objective import SearchObjective
from search.objective import objective_label
from search.owner import state_now
from search.store import Phase
from search.store import Store
from search.store import SweepRecord
from search.store import SweepState
from search.store import TrialRecord
from search.store import TrialState
from spaces import Value
from trainers.errors import FieldError
from trainers.errors import InvalidInput

SIGNIFICANCE = 0.05
NOISE_RATE_TOLERANCE = 1e-9
# Accuracies are ratios of counts: differences below this are rounding, not a difference of one example.
_ROUNDING = 1e-12

JSON = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean over seeds.

    Args:
        mean: Sample mean, an accuracy in [0, 1].
        sem: Standard error of the mean (sample standard deviation / sqrt(n)); None for a single seed.
        n: Number of seeds, >= 1.
    """

    mean: float
    sem: float | None
    n: int

    @classmethod
    def of(cls, values: Sequence[float]) -> Estimate:
        """Estimate from one value a seed; raises ValueError when there is none."""
        if not values:
            raise ValueError("values is empty: an estimate needs at least one seed.")
        n = len(values)
        return cls(fmean(values), stdev(values) / math.sqrt(n) if n > 1 else None, n)

    def as_dict(self) -> JSON:
        """JSON-ready form, as exported."""
        return {"mean": self.mean, "sem": self.sem, "n": self.n}

    @classmethod
    def from_dict(cls, told: JSON) -> Self:
        """The inverse of `as_dict`."""
        return cls(**told)

    def __str__(self) -> str:
        spread = "" if self.sem is None else f" ± {self.sem:.3f}"
        return f"{self.mean:.3f}{spread} (n={self.n})"


@dataclass(frozen=True, slots=True)
class Objective(Estimate):
    """The estimate that guides the search, under its name."""

    name: str = "intact_train_accuracy"

    @property
    def label(self) -> str:
        """How a table calls it, e.g. ``intact accuracy``."""
        return objective_label(self.name)

    def as_dict(self) -> JSON:
        """JSON-ready form, as exported."""
        return {"name": self.name, "mean": self.mean, "sem": self.sem, "n": self.n}


@dataclass(frozen=True, slots=True)
class Standing:
    """One configuration with the finished trials of one phase: its accuracies over seeds.

    Args:
        supervision: Name of the supervision.
        hyperparameters: Its hyper-parameters, (name, value) sorted by name.
        trials: Finished trials in the order of their numbers, one a pair of seeds.
        objective: What guides the search, over the trials: their final intact-training-set accuracy, or what
            `search.objective` says.
        test_accuracy: Final test accuracy over the same trials; None where there is no test set.
        intact_accuracy: Final intact-training-set accuracy over them; None where nobody knows the intact labels.
    """

    supervision: str
    hyperparameters: tuple[tuple[str, Any], ...]
    trials: tuple[TrialRecord, ...]
    objective: Objective
    test_accuracy: Estimate | None
    intact_accuracy: Estimate | None = None

    @property
    def beta(self) -> float | None:
        """Emphasis spread of GR; None elsewhere, and where the sweep fixed it."""
        return self._of_gradient_rescaling("beta")

    @property
    def lam(self) -> float | None:
        """Emphasis focus of GR; None elsewhere, and where the sweep fixed it."""
        return self._of_gradient_rescaling("lam")

    def _of_gradient_rescaling(self, name: str) -> float | None:
        value = dict(self.hyperparameters).get(name) if self.supervision == "gr" else None
        return value if isinstance(value, int | float) else None

    @property
    def objective_by_seeds(self) -> dict[tuple[int, int], float]:
        """The objective by (initialisation seed, noise seed)."""
        return {(trial.seed, trial.noise_seed): _objective(trial) for trial in self.trials}


@dataclass(frozen=True, slots=True)
class Point:
    """A supervision and its values by name; a training field that was searched, ``weight_decay`` say, is among them."""

    supervision: str
    hyperparameters: Mapping[str, Value]

    @property
    def beta(self) -> float:
        """The value of ``beta``, GR's emphasis spread.

        Raises:
            AttributeError: The supervision has none.
        """
        return self._number("beta")

    @property
    def lam(self) -> float:
        """The value of ``lam``, GR's emphasis focus.

        Raises:
            AttributeError: The supervision has none.
        """
        return self._number("lam")

    def as_dict(self) -> JSON:
        """JSON-ready form, as exported: GR's transform and normalise after its (beta, lambda)."""
        settings = SPEC_FIELDS if self.supervision == "gr" else ()
        pairs = in_order(self.hyperparameters)
        pairs.sort(key=lambda pair: settings.index(pair[0]) if pair[0] in settings else -1)
        return {"supervision": self.supervision, **{written_name(name): value for name, value in pairs}}

    @staticmethod
    def values_of(told: JSON) -> dict[str, Value]:
        """The values by their Python names, from `as_dict`."""
        return {python_name(name): value for name, value in told.items() if name != "supervision"}

    def _number(self, name: str) -> float:
        return float(self._value(name, (int, float)))

    def _value(self, name: str, kind: type | tuple[type, ...]) -> Any:
        value = self.hyperparameters.get(name)
        if not isinstance(value, kind):
            raise AttributeError(f"{self.supervision} has no {name}; what it has is in hyperparameters")
        return value


@dataclass(frozen=True, slots=True)
class RecommendedPoint(Point):
    """What to train with: `make_supervision(supervision, **hyperparameters)`, less the training fields among them.

    Args:
        supervision: Its name.
        hyperparameters: All its values by name, those that the sweep searched and those that it fixed; for GR the
            transform and normalise too.
        searched: Names of those that were searched, sorted.
    """

    searched: tuple[str, ...]

    @property
    def transform(self) -> str:
        """GR's transform of the weights' exponent.

        Raises:
            AttributeError: The supervision has none.
        """
        return str(self._value("transform", str))

    @property
    def normalise(self) -> str:
        """What GR's weights are divided by.

        Raises:
            AttributeError: The supervision has none.
        """
        return str(self._value("normalise", str))

    @property
    def found(self) -> dict[str, Value]:
        """The values that were searched, by name."""
        return {name: self.hyperparameters[name] for name in self.searched}


@dataclass(frozen=True, slots=True)
class Baseline:
    """What the usual loss reaches on the same seeds.

    Args:
        supervision: ``cce``.
        objective: As of the recommended configuration.
        test_accuracy: Likewise.
        intact_accuracy: Likewise.
        told_apart: Whether its objective differs from the recommended configuration's by the test of `choose`; None
            where they have fewer than two seeds in common, or are the same.
        lead: What the recommended configuration's objective has on its own, seed by seed over those that both have;
            None where there are none, or they are the same.
    """

    supervision: str
    objective: Objective
    test_accuracy: Estimate | None
    intact_accuracy: Estimate | None = None
    told_apart: bool | None = None
    lead: Estimate | None = None

    def as_dict(self) -> JSON:
        """JSON-ready form, as exported."""
        return {
            "supervision": self.supervision,
            "objective": self.objective.as_dict(),
            "test_accuracy": self.test_accuracy.as_dict() if self.test_accuracy else None,
            "intact_accuracy": self.intact_accuracy.as_dict() if self.intact_accuracy else None,
            "told_apart": self.told_apart,
            "lead": self.lead.as_dict() if self.lead else None,
        }

    @classmethod
    def from_dict(cls, told: JSON) -> Baseline:
        """The inverse of `as_dict`."""
        return cls(
            told["supervision"],
            Objective.from_dict(told["objective"]),
            _estimate(told["test_accuracy"]),
            _estimate(told["intact_accuracy"]),
            told.get("told_apart"),
            _estimate(told.get("lead")),
        )


@dataclass(frozen=True, slots=True)
class Tie(Point):
    """A configuration that the sweep cannot tell apart from the recommended one, by the values that were searched."""

    objective: Objective
    test_accuracy: Estimate | None

    def as_dict(self) -> JSON:
        """JSON-ready form, as exported."""
        # Named, since a dataclass with slots is another class than the one that `super` was written in.
        return {
            **Point.as_dict(self),
            "objective": self.objective.as_dict(),
            "test_accuracy": self.test_accuracy.as_dict() if self.test_accuracy else None,
        }

    @classmethod
    def from_dict(cls, told: JSON) -> Tie:
        """The inverse of `as_dict`."""
        point = {name: value for name, value in told.items() if name not in ("objective", "test_accuracy")}
        objective = Objective.from_dict(told["objective"])
        return cls(told["supervision"], Point.values_of(point), objective, _estimate(told["test_accuracy"]))


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where the numbers of a recommendation come from.

    Args:
        sweep_id: The sweep.
        created: When it was submitted.
        finished: When it was done; None of one that is not, or has failed or been cancelled.
        confirmed: True if the numbers are from fresh seeds that played no part in the search; False if they
            are the search's own, of which the best is too good on average.
        candidates: How many configurations the recommended one was the best of, on these seeds.
        measured: How the accuracies were taken.
        epochs: Epochs of training behind each of them.
        limit_train: Training examples, where the sweep used only a part of them.
        seeds: Initialisation seeds of the recommended configuration's trials.
        noise_seeds: Seeds of their label noise, in the same order.
        noise_hashes: Fingerprints of their corrupted labels, in the same order.
        realised_noise_rates: Shares of labels really changed, in the same order.
        baseline_seeds: Initialisation seeds of the baseline's trials.
        data_hash: Fingerprint of the dataset.
        versions: Versions of what computed it.
    """

    sweep_id: str
    created: datetime
    finished: datetime | None
    confirmed: bool
    candidates: int
    measured: str
    epochs: int
    limit_train: int | None
    seeds: tuple[int, ...]
    noise_seeds: tuple[int, ...]
    noise_hashes: tuple[str | None, ...]
    realised_noise_rates: tuple[float | None, ...]
    baseline_seeds: tuple[int, ...]
    data_hash: str
    versions: Mapping[str, Any]

    def as_dict(self) -> JSON:
        """JSON-ready form, as exported; times in ISO 8601."""
        return {
            "sweep_id": self.sweep_id,
            "created": self.created.isoformat(),
            "finished": self.finished.isoformat() if self.finished else None,
            "confirmed": self.confirmed,
            "candidates": self.candidates,
            "measured": self.measured,
            "epochs": self.epochs,
            "limit_train": self.limit_train,
            "seeds": list(self.seeds),
            "noise_seeds": list(self.noise_seeds),
            "noise_hashes": list(self.noise_hashes),
            "realised_noise_rates": list(self.realised_noise_rates),
            "baseline_seeds": list(self.baseline_seeds),
            "data_hash": self.data_hash,
            "versions": dict(self.versions),
        }

    @classmethod
    def from_dict(cls, told: JSON) -> Provenance:
        """The inverse of `as_dict`."""
        lists = ("seeds", "noise_seeds", "noise_hashes", "realised_noise_rates", "baseline_seeds")
        return cls(
            **{
                **told,
                **{name: tuple(told[name]) for name in lists},
                "created": datetime.fromisoformat(told["created"]),
                "finished": datetime.fromisoformat(told["finished"]) if told["finished"] else None,
            }
        )


@dataclass(frozen=True, slots=True)
class Recommendation:
    """The configuration that a sweep recommends; its fields are those of the exported object.

    Args:
        dataset: Name of the dataset.
        noise_rate: Nominal noise rate.
        noise_model: Name of the label noise model.
        backbone: Name of the network.
        recommended: What to train with.
        objective: What guided the search, with its name: final intact-training-set accuracy where it is known.
        test_accuracy: Its final test accuracy: reported, never used to choose; None without a test set.
        intact_accuracy: Its final intact-training-set accuracy, whatever guided; None where it is not known.
        baseline: CCE on the same seeds; None if the sweep has no finished CCE trial.
        ties: Configurations that cannot be told apart from it, best first; see `choose` for the rule.
        provenance: Where the numbers come from.
    """

    dataset: str
    noise_rate: float
    noise_model: str
    backbone: str
    recommended: RecommendedPoint
    objective: Objective
    test_accuracy: Estimate | None
    intact_accuracy: Estimate | None
    baseline: Baseline | None
    ties: tuple[Tie, ...]
    provenance: Provenance

    @property
    def reservation(self) -> str | None:
        """What has to be said against it, in a sentence or two: that the baseline is not shown to be worse.

        None where the recommended configuration is better, or where the two have no seed in common.
        """
        baseline = self.baseline
        if baseline is None or (baseline.lead is None and baseline.told_apart is None):
            return None
        name = baseline.supervision.upper()
        # Early releases did not record the lead; where no seed was lost, it is the difference of the means.
        lead = baseline.lead.mean if baseline.lead else self.objective.mean - baseline.objective.mean
        if baseline.told_apart is None:
            ahead = f", and there {name} is ahead by {-lead:.3f}" if lead < 0 else ""
            return f"Compared with {name} on one seed alone, which shows nothing{ahead}."
        if not baseline.told_apart:
            return f"Not told apart from {name} by a paired t-test at 5%: it is not shown to help here."
        if lead > 0:
            return None
        remedy = "search other bounds, fewer epochs or a lower learning rate"
        return f"{name} is better here, by {-lead:.3f}: nothing that was tried helps. Train with {name}, or {remedy}."

    @property
    def headline(self) -> str:
        """How sure it is, in a word or three: ``Recommended`` by a sweep that is done, else ``Best so far``."""
        return "Recommended" if self.provenance.finished else "Best so far"

    @property
    def caveats(self) -> tuple[str, ...]:
        """Everything that has to be said against it, a sentence or two each."""
        unconfirmed = "Not confirmed on fresh seeds: the best of a search on its own seeds is too good on average."
        said = (self.reservation, None if self.provenance.confirmed else unconfirmed)
        return tuple(each for each in said if each)

    def as_dict(self) -> JSON:
        """JSON-ready form: one object of `emphasis export --format json`."""
        return {
            "dataset": self.dataset,
            "noise_rate": self.noise_rate,
            "noise_model": self.noise_model,
            "backbone": self.backbone,
            "recommended": self.recommended.as_dict(),
            "searched": [written_name(name) for name in self.recommended.searched],
            "objective": self.objective.as_dict(),
            "test_accuracy": self.test_accuracy.as_dict() if self.test_accuracy else None,
            "intact_accuracy": self.intact_accuracy.as_dict() if self.intact_accuracy else None,
            "baseline": self.baseline.as_dict() if self.baseline else None,
            "ties": [tie.as_dict() for tie in self.ties],
            "provenance": self.provenance.as_dict(),
        }

    @classmethod
    def from_dict(cls, told: JSON) -> Recommendation:
        """The inverse of `as_dict`; of an object that does not say what was searched, all but GR's settings was."""
        values = Point.values_of(told["recommended"])
        searched = told.get("searched", [name for name in values if name not in SPEC_FIELDS])
        return cls(
            dataset=told["dataset"],
            noise_rate=told["noise_rate"],
            noise_model=told["noise_model"],
            backbone=told["backbone"],
            recommended=RecommendedPoint(
                told["recommended"]["supervision"], values, tuple(python_name(name) for name in searched)
            ),
            objective=Objective.from_dict(told["objective"]),
            test_accuracy=_estimate(told["test_accuracy"]),
            intact_accuracy=_estimate(told["intact_accuracy"]),
            baseline=Baseline.from_dict(told["baseline"]) if told["baseline"] else None,
            ties=tuple(Tie.from_dict(tie) for tie in told["ties"]),
            provenance=Provenance.from_dict(told["provenance"]),
        )


@dataclass(frozen=True, slots=True)
class Choice:
    """The recommended configuration and what it was chosen from, as standings.

    Args:
        winner: Best mean objective.
        ties: What cannot be told apart from it, best first.
        candidates: Everything it was chosen from, best first; the winner is the first.
        baseline: CCE on the winner's seeds, None without a finished CCE trial.
        confirmed: Whether these are trials of the confirm phase.
    """

    winner: Standing
    ties: tuple[Standing, ...]
    candidates: tuple[Standing, ...]
    baseline: Standing | None
    confirmed: bool


def standings(sweep: SweepRecord, trials: Iterable[TrialRecord], *phases: Phase) -> list[Standing]:
    """Group the trials of the given phases that trained to the full budget by configuration, best mean first.

    A configuration is its supervision and hyper-parameters. Two trials of one configuration on the same seeds
    are the same measurement, so only the first counts. Pruned and failed trials never appear, nor does what a
    configuration reached of which a seed was pruned.
    """
    groups: dict[tuple[str, tuple[tuple[str, Any], ...]], dict[tuple[int, int], TrialRecord]] = defaultdict(
        dict
    )
    given_up: set[tuple[str, tuple[tuple[str, Any], ...]]] = set()
    for trial in sorted(trials, key=lambda trial: trial.number):
        configuration = _configuration(trial)
        if trial.phase in phases and _is_complete(trial):
            groups[configuration].setdefault((trial.seed, trial.noise_seed), trial)
        elif trial.phase in phases and trial.state is TrialState.PRUNED:
            given_up.add(configuration)
    objective = SearchObjective.recorded(sweep.spec, sweep.noise_rate, sweep.facts)
    found = [
        _standing(objective, *configuration, tuple(group.values()))
        for configuration, group in groups.items()
        if configuration not in given_up
    ]
    return sorted(
        found, key=lambda standing: -standing.objective.mean
    )  # stable: of equals, the earlier trial


def pick(sweep: SweepRecord, trials: Sequence[TrialRecord]) -> Choice | None:
    """Pick the best configuration from a sweep's trials; None while none of its supervision has finished.

    The rule is stated in `choose`.
    """
    confirm = [trial for trial in trials if trial.phase is Phase.CONFIRM]
    # A round of fresh seeds that is under way has measured only some of the candidates.
    under_way = {trial.repeat for trial in confirm if not trial.state.finished}
    rounds = [trial for trial in confirm if trial.repeat not in under_way]
    candidates = _equally_measured(sweep, standings(sweep, rounds, Phase.CONFIRM))
    confirmed = bool(candidates)
    if not confirmed:
        searched = standings(sweep, trials, Phase.SEARCH)
        # What failed on fresh seeds is not recommended for the seeds on which it was found.
        failed = {_configuration(trial) for trial in confirm if trial.state is TrialState.FAILED}
        held = [each for each in searched if (each.supervision, each.hyperparameters) not in failed]
        candidates = _equally_measured(sweep, held)
    if not candidates:
        return None
    winner, others = candidates[0], candidates[1:]
    ties = tuple(other for other in others if not told_apart(winner, other))
    return Choice(winner, ties, tuple(candidates), _baseline(sweep, trials, winner), confirmed)


def paired_differences(one: Standing, other: Standing) -> list[float]:
    """The objective of one configuration less the other's, on each pair of seeds that both were trained on."""
    mine, theirs = one.objective_by_seeds, other.objective_by_seeds
    return [mine[seeds] - theirs[seeds] for seeds in sorted(mine.keys() & theirs.keys())]


def told_apart(one: Standing, other: Standing) -> bool | None:
    """Whether the objectives of two configurations differ beyond what their seeds explain.

    Two-sided paired t-test at the 5% level on the differences over the seeds that both were trained on,
    without correction for the number of comparisons. None with fewer than two common seeds: nothing can be told
    apart then.
    """
    differences = paired_differences(one, other)
    n = len(differences)
    if n < 2:
        return None
    if stdev(differences) < _ROUNDING:  # the t statistic would be x/0: every seed says the same
        # On a small training set two seeds agree by chance, since accuracies are whole examples.
        return n > 2 and abs(fmean(differences)) > _ROUNDING
    t = fmean(differences) / (stdev(differences) / math.sqrt(n))
    # The distribution function alone: scipy.stats, which has the whole test, takes a second to import.
    return bool(2 * stdtr(n - 1, -abs(t)) < SIGNIFICANCE)


def choose(sweep: SweepRecord, trials: Sequence[TrialRecord]) -> Recommendation | None:
    """Recommend the best configuration of one sweep.

    The rule:

    * Only configurations of the sweep's supervision that trained to the full budget can be recommended: never a
      pruned or a failed trial, nor an extra cell of a grid. A configuration that lost some of its seeds (diverged
      there, say) is not compared with ones that kept all of theirs, since a mean over the seeds that went well
      flatters it. Where all have lost some, those that kept the most are compared over the seeds that they share.
    * The best mean objective (final intact-training-set accuracy, or that on a validation set; `search.objective`)
      over the fresh seeds of the confirm phase wins. Test accuracy is reported and never guides.
    * Ties are the candidates that cannot be told apart from the winner: a two-sided paired t-test over the
      common seeds does not reject equality at the 5% level, or there are fewer than two common seeds. With
      few seeds the test has little power, so a tie means "not shown to be worse", not "equal".
    * The baseline is CCE on the winner's seeds; if it has none of them, on its own, which `provenance` lists.
    * While the confirm phase runs, the fresh seeds count on which every candidate has ended. Without any
      (`confirm.seeds` = 0, or too early) the repeats of the search are used, of configurations that have not failed
      on a fresh seed; `provenance.confirmed` is False.

    Args:
        sweep: The sweep.
        trials: All trials of the sweep, any state.

    Returns:
        The recommendation, or None while no trial of the sweep's supervision has trained to the full budget.
    """
    choice = pick(sweep, trials)
    if choice is None:
        return None
    winner, spec = choice.winner, sweep.spec
    tried = winner.trials
    return Recommendation(
        dataset=sweep.dataset,
        noise_rate=sweep.noise_rate,
        noise_model=_noise_model(sweep),
        backbone=sweep.backbone,
        recommended=RecommendedPoint(
            winner.supervision,
            {**_fixed(sweep), **dict(winner.hyperparameters)},
            tuple(name for name, _ in in_order(winner.hyperparameters)),
        ),
        objective=winner.objective,
        test_accuracy=winner.test_accuracy,
        intact_accuracy=winner.intact_accuracy,
        baseline=_as_baseline(choice.baseline, winner),
        ties=tuple(
            Tie(tie.supervision, dict(tie.hyperparameters), tie.objective, tie.test_accuracy) for tie in choice.ties
        ),
        provenance=Provenance(
            sweep_id=sweep.id,
            created=sweep.created_at,
            finished=sweep.finished_at if sweep.state is SweepState.DONE else None,
            confirmed=choice.confirmed,
            candidates=len(choice.candidates),
            measured=SearchObjective.recorded(spec, sweep.noise_rate, sweep.facts).measured,
            epochs=max(trial.final.epoch for trial in tried if trial.final is not None),
            limit_train=spec.get("limit_train"),
            seeds=tuple(trial.seed for trial in tried),
            noise_seeds=tuple(trial.noise_seed for trial in tried),
            noise_hashes=tuple(trial.noise_hash for trial in tried),
            realised_noise_rates=tuple(trial.realised_noise_rate for trial in tried),
            baseline_seeds=tuple(trial.seed for trial in choice.baseline.trials) if choice.baseline else (),
            data_hash=sweep.data_hash,
            versions=dict(sweep.versions),
        ),
    )


def recommendations(
    store: Store,
    dataset: str | None = None,
    noise_rate: float | None = None,
    backbone: str | None = None,
    supervision: str | None = None,
    noise_model: str | None = None,
    objective: str | None = None,
) -> list[Recommendation]:
    """Recommendations of the newest finished sweep for each dataset, noise, backbone, supervision and objective.

    One that confirmed its best on fresh seeds goes before newer ones that did not: a short trial run replaces nothing.

    Args:
        store: Where the sweeps are.
        dataset: Only this dataset, by name. Of a ``.npz`` file its path; its name alone, where no such file lies in
            the present folder, means every file of that name.
        noise_rate: Only this nominal noise rate.
        backbone: Only this backbone.
        supervision: Only this supervision.
        noise_model: Only this noise model.
        objective: Only sweeps that this guided: ``intact``, ``clean_validation`` or ``noisy_validation``.

    Returns:
        At least one recommendation, ordered by dataset, noise rate, noise model, backbone, supervision and objective.

    Raises:
        InvalidInput: There is none; the message names what there is.
    """
    found: dict[tuple[str, float, tuple[str, ...], str, str, str, str], Recommendation] = {}
    for sweep in _newest_first(store.sweeps(state=SweepState.DONE)):
        if not _matches(sweep, dataset, noise_rate, backbone, supervision):
            continue
        guide = SearchObjective.recorded(sweep.spec, sweep.noise_rate, sweep.facts).kind.value
        if noise_model not in (None, _noise_model(sweep)) or objective not in (None, guide):
            continue
        # Two files of one name are two datasets.
        rate, source = round(sweep.noise_rate, 9), _source(sweep)
        noise = (_noise_model(sweep), *(str(sweep.spec.get(name) or "") for name in ("noise_file", "noise_column")))
        group = (sweep.dataset, rate, noise, sweep.backbone, sweep.supervision, guide, source)
        if group in found and found[group].provenance.confirmed:
            continue
        try:
            recommendation = choose(sweep, store.trials(sweep.id))
        except InvalidInput:  # it was deleted meanwhile
            continue
        if recommendation is not None and (group not in found or recommendation.provenance.confirmed):
            found[group] = recommendation
    if not found:
        raise _nothing_found(store.sweeps(), dataset, noise_rate, backbone, supervision)
    return [found[group] for group in sorted(found)]


def recommend(
    dataset: str,
    noise_rate: float,
    *,
    home: Path | str | None = None,
    backbone: str | None = None,
    supervision: str = "gr",
    noise_model: str | None = None,
    objective: str | None = None,
) -> Recommendation:
    """What to use for a dataset at a noise rate, from the newest finished sweep: (beta, lambda) of GR, or another's.

    Example:
        >>> found = recommend("digits", 0.4)  # doctest: +SKIP
        >>> GradientRescaling(beta=found.recommended.beta, lam=found.recommended.lam)  # doctest: +SKIP

    Args:
        dataset: Name of the dataset, or path of a ``.npz`` file, as `recommendations` takes it.
        noise_rate: Nominal noise rate, in [0, 1).
        home: Home folder; by default ``EMPHASIS_HOME``, else ``.emphasis`` in the user's home directory.
        backbone: Network; by default whichever the newest finished sweep used.
        supervision: What was searched.
        noise_model: Of the sweep; by default whichever the newest finished sweep used.
        objective: What guided it; by default likewise.

    Raises:
        InvalidInput: No finished sweep answers it; the message names what there is.
    """
    store = Store.open(Home.resolve(home).store_url)
    try:
        found = recommendations(store, dataset, noise_rate, backbone, supervision, noise_model, objective)
        newest = {
            sweep.id: age for age, sweep in enumerate(_newest_first(store.sweeps(state=SweepState.DONE)))
        }
    finally:
        store.close()
    return min(found, key=lambda recommendation: newest[recommendation.provenance.sweep_id])


def _configuration(trial: TrialRecord) -> tuple[str, tuple[tuple[str, Any], ...]]:
    return trial.supervision, tuple(sorted(trial.hyperparameters.items()))


def _is_complete(trial: TrialRecord) -> bool:
    return (
        trial.state is TrialState.DONE
        and trial.final is not None
        and trial.objective is not None
        and math.isfinite(trial.objective)
    )


def _estimate(told: JSON | None) -> Estimate | None:
    return None if told is None else Estimate.from_dict(told)


def _objective(trial: TrialRecord) -> float:
    assert trial.objective is not None  # by _is_complete
    return trial.objective


def _standing(
    objective: SearchObjective,
    supervision: str,
    hyperparameters: tuple[tuple[str, Any], ...],
    trials: tuple[TrialRecord, ...],
) -> Standing:
    estimate = Estimate.of([_objective(trial) for trial in trials])
    sem = estimate.sem
    if sem is None and trials[0].final is not None:
        # Of one seed there is at least the error of counting validation examples.
        sem = objective.standard_error(trials[0].final)
    intact = [trial.final.intact_train for trial in trials if trial.final]
    tests = [trial.final.test for trial in trials if trial.final and math.isfinite(trial.final.test)]
    return Standing(
        supervision=supervision,
        hyperparameters=hyperparameters,
        trials=trials,
        objective=Objective(estimate.mean, sem, estimate.n, objective.metric),
        test_accuracy=Estimate.of(tests) if tests else None,
        intact_accuracy=Estimate.of(intact) if all(map(math.isfinite, intact)) else None,
    )


def _equally_measured(sweep: SweepRecord, found: Sequence[Standing]) -> list[Standing]:
    """Those of the searched supervision that kept the most seeds, best first, over the seeds that all of them kept."""
    searched = [standing for standing in found if standing.supervision == sweep.supervision]
    most = max((standing.objective.n for standing in searched), default=0)
    kept = [standing for standing in searched if standing.objective.n == most]
    seeds = [set(standing.objective_by_seeds) for standing in kept]
    common = set.intersection(*seeds) if seeds else set()
    if not common or len(common) == most:
        return kept
    trials = [trial for standing in kept for trial in standing.trials if (trial.seed, trial.noise_seed) in common]
    return standings(sweep, trials, *Phase)


def _baseline(sweep: SweepRecord, trials: Sequence[TrialRecord], winner: Standing) -> Standing | None:
    # A grid may hold CCE as one of its cells: then the search phase has the baseline on the search's seeds.
    tried = [trial for trial in trials if is_baseline(trial) and _is_complete(trial)]
    shared = [trial for trial in tried if (trial.seed, trial.noise_seed) in winner.objective_by_seeds]
    shown = shared or tried
    found = standings(sweep, shown, Phase.BASELINE) or standings(sweep, shown, Phase.SEARCH)
    return found[0] if found else None


def _as_baseline(standing: Standing | None, winner: Standing) -> Baseline | None:
    if standing is None:
        return None
    return Baseline(
        standing.supervision,
        standing.objective,
        standing.test_accuracy,
        standing.intact_accuracy,
        None if is_baseline(winner) else told_apart(winner, standing),
        None if is_baseline(winner) or not (leads := paired_differences(winner, standing)) else Estimate.of(leads),
    )


def defaults_standing(sweep: SweepRecord, trials: Sequence[TrialRecord]) -> Standing | None:
    """The supervision's own defaults on the fresh seeds; None where `confirm.defaults` did not ask for them."""
    if not sweep.spec.get("confirm", {}).get("defaults"):
        return None
    tried = [trial for trial in trials if trial.phase is Phase.BASELINE and not is_baseline(trial)]
    found = standings(sweep, tried, Phase.BASELINE)
    return found[0] if found else None


def is_baseline(configuration: Standing | TrialRecord) -> bool:
    """Whether it is CCE trained as the sweep says, without a searched weight decay or dropout."""
    return configuration.supervision == "cce" and not configuration.hyperparameters


def _fixed(sweep: SweepRecord) -> dict[str, Value]:
    """The values that every configuration of the sweep's supervision has, as its spec was recorded."""
    own = {"transform": "exp", "normalise": "batch"} if sweep.supervision == "gr" else {}
    given = {name: sweep.spec.get(name, default) for name, default in own.items()}
    return {**sweep.spec.get("hyperparameters", {}), **given}


def _noise_model(sweep: SweepRecord) -> str:
    return str(sweep.spec.get("noise_model", "symmetric"))


def _source(sweep: SweepRecord) -> str:
    """The dataset as the sweep was asked for it: a name, or the absolute path of a file."""
    return str(sweep.spec.get("dataset", sweep.dataset))


def _is_dataset(sweep: SweepRecord, dataset: str) -> bool:
    file = dataset_file(dataset)
    return sweep.dataset == dataset if file is None else _source(sweep) == file


def _newest_first(sweeps: Iterable[SweepRecord]) -> list[SweepRecord]:
    return sorted(sweeps, key=lambda sweep: (sweep.finished_at or sweep.created_at, sweep.id), reverse=True)


def _matches(
    sweep: SweepRecord,
    dataset: str | None,
    noise_rate: float | None,
    backbone: str | None,
    supervision: str | None,
) -> bool:
    return (
        (dataset is None or _is_dataset(sweep, dataset))
        and (noise_rate is None or abs(sweep.noise_rate - noise_rate) <= NOISE_RATE_TOLERANCE)
        and (backbone is None or sweep.backbone == backbone)
        and (supervision is None or sweep.supervision == supervision)
    )


def _nothing_found(
    sweeps: Sequence[SweepRecord],
    dataset: str | None,
    noise_rate: float | None,
    backbone: str | None,
    supervision: str | None,
) -> InvalidInput:
    wanted = {"dataset": dataset, "noise_rate": noise_rate, "backbone": backbone}
    given = {field: value for field, value in wanted.items() if value is not None}
    if not given and supervision is not None:
        given = {"supervision": supervision}
    unfinished = [
        sweep
        for sweep in sweeps
        if sweep.state is not SweepState.DONE and _matches(sweep, dataset, noise_rate, backbone, supervision)
    ]
    finished = sorted(
        {(s.dataset, s.noise_rate, s.backbone, s.supervision) for s in sweeps if s.state is SweepState.DONE},
    )
    remedy = ""
    if unfinished:
        listed = ", ".join(f"{sweep.id} ({state_now(sweep).value})" for sweep in unfinished[:5])
        remedy = f"Not finished yet: {listed}; `emphasis resume SWEEP` completes one that has stopped. "
    if finished:
        remedy += "There is: " + "; ".join(
            f"{name} at noise_rate {rate:g} with {network}: {searched}"
            for name, rate, network, searched in finished[:20]
        )
        remedy += f"; and {len(finished) - 20} more." if len(finished) > 20 else "."
    elif not unfinished:
        remedy = "There are no finished sweeps here; start one with `emphasis run --dataset NAME --noise-rate R`."
    searching = f"of {supervision} " if supervision is not None else ""
    problem = f"no finished sweep {searching}recommends anything for it"
    field = next(iter(given), "dataset")
    return InvalidInput(FieldError(", ".join(given) or field, _shown(given), problem, remedy.strip()))


def _shown(given: Mapping[str, object]) -> object:
    return next(iter(given.values())) if len(given) == 1 else tuple(given.values()) or None
