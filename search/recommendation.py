"""Which configuration a sweep recommends, how sure it is, and what else it cannot tell apart.

Pure functions of records that the store returned: the same records give the same recommendation, during a sweep,
after it, and years later.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import field
from dataclasses import fields
from datetime import datetime
from typing import Any

from search.hyperparameters import SPEC_FIELDS
from search.naming import in_order
from search.naming import python_name
from search.naming import written_name
from search.objective import SearchObjective
from search.standings import JSON
from search.standings import Estimate
from search.standings import Objective
from search.standings import Standing
from search.standings import configuration_of
from search.standings import is_baseline
from search.standings import is_complete
from search.standings import paired_differences
from search.standings import standings
from search.standings import told_apart
from search.store import Phase
from search.store import SweepRecord
from search.store import SweepState
from search.store import TrialRecord
from search.store import TrialState
from spaces import Value


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
        failed_seeds: On how many fresh seeds the recommended configuration failed, which its means leave out.
        failed_baseline_seeds: On how many fresh seeds the baseline failed.
        computed_by: What computed the trials of the recommended configuration, each once, e.g. "fused, NVIDIA H100
            80GB HBM3, bf16"; empty for sweeps of earlier releases.
        source: The dataset as the sweep was asked for it: a name, or an absolute path. Like those that follow it is
            empty for objects of earlier releases.
        noise_file: File of the noise models that read one; None elsewhere.
        noise_column: Its column, where it has several.
        training: How each trial trained, by the fields of `search.spec.Training`; where weight decay or dropout was
            searched, ``recommended`` has its value, and this is what the baseline was trained with.
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
    failed_seeds: int = 0
    failed_baseline_seeds: int = 0
    computed_by: tuple[str, ...] = ()
    source: str = ""
    noise_file: str | None = None
    noise_column: str | None = None
    training: Mapping[str, Any] = field(default_factory=dict)

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
            "failed_seeds": self.failed_seeds,
            "failed_baseline_seeds": self.failed_baseline_seeds,
            "computed_by": list(self.computed_by),
            "source": self.source,
            "noise_file": self.noise_file,
            "noise_column": self.noise_column,
            "training": dict(self.training),
        }

    @classmethod
    def from_dict(cls, told: JSON) -> Provenance:
        """The inverse of `as_dict`; what only later releases know is left out."""
        known = {each.name for each in fields(cls)}
        lists = ("seeds", "noise_seeds", "noise_hashes", "realised_noise_rates", "baseline_seeds")
        return cls(
            **{
                **{name: value for name, value in told.items() if name in known},
                **{name: tuple(told[name]) for name in lists},
                "computed_by": tuple(told.get("computed_by", ())),
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
        return (*self.caveats_of_the_confirmed, *(() if self.provenance.confirmed else (unconfirmed,)))

    @property
    def caveats_of_the_confirmed(self) -> tuple[str, ...]:
        """The `caveats` less the one that it is not confirmed."""
        lost, lost_by_baseline = self.provenance.failed_seeds, self.provenance.failed_baseline_seeds
        failed = f"It failed on {lost} fresh seed{'s' if lost > 1 else ''}, which the means leave out."
        alone = "CCE failed on every fresh seed: there is nothing to compare with."
        said = (
            self.reservation,
            failed if lost else None,
            alone if lost_by_baseline and self.baseline is None else None,
        )
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


def dataset_names(recommendations: Sequence[Recommendation]) -> list[str]:
    """The dataset of each, with its path where another of that name is among them."""
    sources: dict[str, set[str]] = defaultdict(set)
    for each in recommendations:
        sources[each.dataset].add(each.provenance.source)
    return [
        f"{each.dataset} ({each.provenance.source})" if len(sources[each.dataset]) > 1 else each.dataset
        for each in recommendations
    ]


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


def pick(sweep: SweepRecord, trials: Sequence[TrialRecord]) -> Choice | None:
    """Pick the best configuration from a sweep's trials; None while none of its supervision has finished.

    The rule is stated in `choose`.
    """
    confirm = [trial for trial in trials if trial.phase is Phase.CONFIRM]
    candidates = _equally_measured(sweep, standings(sweep, _whole_rounds(sweep, trials), Phase.CONFIRM))
    confirmed = bool(candidates)
    if not confirmed:
        searched = standings(sweep, trials, Phase.SEARCH)
        # What failed on fresh seeds is not recommended for the seeds on which it was found.
        failed = {configuration_of(trial) for trial in confirm if trial.state is TrialState.FAILED}
        held = [each for each in searched if (each.supervision, each.hyperparameters) not in failed]
        candidates = _equally_measured(sweep, held)
    if not candidates:
        return None
    winner, others = candidates[0], candidates[1:]
    ties = tuple(other for other in others if not told_apart(winner, other))
    return Choice(winner, ties, tuple(candidates), _baseline(sweep, trials, winner), confirmed)


def _whole_rounds(sweep: SweepRecord, trials: Sequence[TrialRecord]) -> list[TrialRecord]:
    """Of the confirming trials those of fresh seeds that have measured all candidates, none while some are searched."""
    searched: dict[int, set[TrialState]] = defaultdict(set)
    configurations = {}
    rounds: dict[int, list[TrialRecord]] = defaultdict(list)
    for trial in trials:
        if trial.phase is Phase.SEARCH and trial.supervision == sweep.supervision:
            searched[trial.configuration].add(trial.state)
            configurations[trial.configuration] = configuration_of(trial)
        elif trial.phase is Phase.CONFIRM:
            rounds[trial.repeat].append(trial)
    # One that is sure to be among the best is confirmed while the others are still trained.
    if any(not state.finished for states in searched.values() for state in states):
        return []
    begun = len({trial.configuration for measured in rounds.values() for trial in measured})
    # As the plan confirms them: what was searched twice counts once.
    whole = len({configurations[each] for each, states in searched.items() if states == {TrialState.DONE}})
    candidates = min(whole, sweep.spec.get("confirm", {}).get("top", begun))
    return [
        trial
        for measured in rounds.values()
        if len(measured) >= candidates and all(each.state.finished for each in measured)
        for trial in measured
    ]


def choose(sweep: SweepRecord, trials: Sequence[TrialRecord]) -> Recommendation | None:
    """Recommend the best configuration of one sweep.

    The rule:

    * Only configurations of the sweep's supervision that trained to the full budget can be recommended: never a
      pruned or a failed trial, nor an extra cell of a grid. A configuration that lost some of its seeds (diverged
      there, say) is not compared with ones that kept all of theirs, since a mean over the seeds that went well
      flatters it. Where all have lost some, those that kept the most are compared over the seeds that they share,
      or, where they share none, each over its own; that it failed is said (`Recommendation.caveats`).
    * The best mean objective (final intact-training-set accuracy, or that on a validation set; `search.objective`)
      over the fresh seeds of the confirm phase wins. Test accuracy is reported and never guides.
    * Ties are the candidates that cannot be told apart from the winner: a two-sided paired t-test over the
      common seeds does not reject equality at the 5% level, or there are fewer than two common seeds. With
      few seeds the test has little power, so a tie means "not shown to be worse", not "equal".
    * The baseline is CCE on the winner's seeds; if it has none of them, on its own, which `provenance` lists.
    * While the confirm phase runs, the fresh seeds count on which every candidate has ended, once the search has told
      which they are. Without any (`confirm.seeds` = 0, or too early) the repeats of the search are used, of
      configurations that have not failed on a fresh seed; `provenance.confirmed` is False.

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
        noise_model=noise_model_of(sweep),
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
            failed_seeds=sum(
                trial.phase is Phase.CONFIRM
                and trial.state is TrialState.FAILED
                and configuration_of(trial) == (winner.supervision, winner.hyperparameters)
                for trial in trials
            ),
            failed_baseline_seeds=sum(
                trial.phase is Phase.BASELINE and trial.state is TrialState.FAILED and is_baseline(trial)
                for trial in trials
            ),
            computed_by=tuple(dict.fromkeys(_computation(trial.computed_by) for trial in tried if trial.computed_by)),
            source=source_of(sweep),
            noise_file=spec.get("noise_file"),
            noise_column=spec.get("noise_column"),
            training=dict(spec.get("training") or {}),
        ),
    )


def _computation(computed_by: Mapping[str, str]) -> str:
    return ", ".join(computed_by[name] for name in ("engine", "device", "precision") if name in computed_by)


def _estimate(told: JSON | None) -> Estimate | None:
    return None if told is None else Estimate.from_dict(told)


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
    tried = [trial for trial in trials if is_baseline(trial) and is_complete(trial)]
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


def _fixed(sweep: SweepRecord) -> dict[str, Value]:
    """The values that every configuration of the sweep's supervision has, as its spec was recorded."""
    own = {"transform": "exp", "normalise": "batch"} if sweep.supervision == "gr" else {}
    given = {name: sweep.spec.get(name, default) for name, default in own.items()}
    return {**sweep.spec.get("hyperparameters", {}), **given}


def source_of(sweep: SweepRecord) -> str:
    """The dataset as a recorded sweep was asked for it: a name, or the absolute path of a file or folder."""
    return str(sweep.spec.get("dataset", sweep.dataset))


def noise_model_of(sweep: SweepRecord) -> str:
    """Name of the noise model of a recorded sweep."""
    return str(sweep.spec.get("noise_model", "symmetric"))
