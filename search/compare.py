"""Supervisions side by side: a sweep of each, and their best on the same fresh seeds and the same noise."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from search.cluster_resources import Nodes
from search.errors import SweepFailed
from search.home import Home
from search.naming import label
from search.objective import SearchObjective
from search.orchestrator import run_sweep
from search.recommendation import defaults_standing
from search.recommendation import pick
from search.reports.tables import accuracy
from search.reports.tables import markdown_table
from search.resolve import resolved
from search.settled_rate import SettledRate
from search.settled_rate import settle_noise_rate
from search.spec import SweepSpec
from search.standings import Estimate
from search.standings import Objective
from search.standings import Standing
from search.standings import is_baseline
from search.standings import paired_differences
from search.standings import standings
from search.standings import told_apart
from search.status import OnStatus
from search.store import Phase
from search.store import Store
from search.store import SweepRecord
from search.store import SweepState
from search.sweep_session import OnStuck
from search.task import TaskSettings
from search.task import file_hashes
from trainers.errors import FieldError
from trainers.errors import InvalidInput

# What does not change what is found.
_OF_NO_ACCOUNT = ("concurrency", "lanes", "resources", "max_failure_rate", "max_retries", "download", "data_dir")
SEARCHED, DEFAULTS, BASELINE = "searched", "defaults", "baseline"
FORMATS = ("md", "csv", "json")


@dataclass(frozen=True, slots=True)
class ComparedRow:
    """One supervision with its defaults or its own best, or why there is nothing to compare.

    Args:
        supervision: Its name.
        how: ``searched``, ``defaults``, or ``baseline`` for CCE as the recipe trains it.
        label: The configuration, e.g. ``gce(q=0.7)``.
        objective: Over the fresh seeds; None where it failed.
        intact_accuracy: Final intact-training-set accuracy over them; None where it is not known.
        test_accuracy: Final test accuracy over them.
        difference: Of the objective to CCE's, seed by seed.
        told_apart: Whether a paired t-test at 5% tells it from CCE.
        sweep_id: The sweep that trained it.
        problem: Why it failed, on one fresh seed or on all; empty where it did not.
    """

    supervision: str
    how: str
    label: str
    objective: Objective | None
    intact_accuracy: Estimate | None
    test_accuracy: Estimate | None
    difference: Estimate | None
    told_apart: bool
    sweep_id: str | None
    problem: str = ""

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready form."""
        estimates = {
            name: value.as_dict() if (value := getattr(self, name)) is not None else None
            for name in ("objective", "intact_accuracy", "test_accuracy", "difference")
        }
        return {
            "supervision": self.supervision,
            "how": self.how,
            "label": self.label,
            **estimates,
            "told_apart": self.told_apart,
            "sweep_id": self.sweep_id,
            "problem": self.problem,
        }


@dataclass(frozen=True, slots=True)
class Comparison:
    """Supervisions on the same fresh seeds and noise, best objective first.

    Args:
        dataset: Name of the dataset.
        noise_rate: Nominal noise rate.
        noise_model: Name of the noise model.
        backbone: Name of the network.
        measured: How accuracies are taken.
        seeds: (initialisation seed, noise seed) that all rows were trained on.
        rows: The supervisions; those that failed last.
    """

    dataset: str
    noise_rate: float
    noise_model: str
    backbone: str
    measured: str
    seeds: tuple[tuple[int, int], ...]
    rows: tuple[ComparedRow, ...]

    @property
    def title(self) -> str:
        """What is compared, in one line."""
        return f"{self.dataset}, noise rate {self.noise_rate:g} ({self.noise_model}), {self.backbone}"

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready form."""
        return {
            "dataset": self.dataset,
            "noise_rate": self.noise_rate,
            "noise_model": self.noise_model,
            "backbone": self.backbone,
            "measured": self.measured,
            "seeds": [{"seed": seed, "noise_seed": noise} for seed, noise in self.seeds],
            "rows": [row.as_dict() for row in self.rows],
        }

    def table(self) -> tuple[list[str], list[list[str]]]:
        """(column names, cells) as a reader wants them."""
        first = next((row.objective for row in self.rows if row.objective is not None), None)
        guided = first is None or first.name == "intact_train_accuracy"
        measures = ["intact accuracy"] if guided else [first.label if first else "objective", "intact accuracy"]
        columns = ["supervision", "", *measures, "test accuracy", "to CCE"]
        return columns, [_cells(row, guided) for row in self.rows]

    def text(self, format: str) -> str:
        """The comparison as ``md``, ``csv`` or ``json``, ending in a newline.

        Raises:
            InvalidInput: Another format.
        """
        columns, cells = self.table()
        match format:
            case "md":
                return f"{markdown_table(columns, cells)}\n{self.note}\n"
            case "csv":
                written = io.StringIO()
                rows = [_flat(row.as_dict()) for row in self.rows]
                writer = csv.DictWriter(written, list(rows[0]) if rows else [], lineterminator="\n")
                writer.writeheader()
                writer.writerows(rows)
                return written.getvalue()
            case "json":
                return json.dumps(self.as_dict(), indent=2, ensure_ascii=False, allow_nan=False) + "\n"
        raise InvalidInput(FieldError("format", format, "unknown format", f"Use one of {', '.join(FORMATS)}."))

    @property
    def note(self) -> str:
        """How the numbers were taken."""
        return (
            f"{self.title}: {self.measured}. Mean ± standard error over the same {len(self.seeds)} fresh seeds and "
            "noise draws for all; differences to CCE are paired, * told from 0 by a t-test at 5%, not corrected for "
            "the number of rows. Searched: the best of its sweep, whose mean is slightly optimistic."
        )


@dataclass(frozen=True, slots=True)
class Plan:
    """What a comparison would do for one supervision.

    Args:
        spec: Its sweep.
        recorded: A finished sweep that is the same; None where one has to be run.
        rate: What its noise rate comes to.
    """

    spec: SweepSpec
    recorded: SweepRecord | None
    rate: SettledRate


def plan(
    specs: Sequence[SweepSpec],
    store: Store,
    on_message: Callable[[str], None] | None = None,
    rate: SettledRate | None = None,
) -> list[Plan]:
    """Find out which of the sweeps have been run already.

    Args:
        specs: One a supervision, with the same data, noise and seeds.
        store: Where finished sweeps are looked for.
        on_message: Told what is done, where that takes long: estimating an unknown noise rate, once for all.
        rate: What their noise rate comes to, where that is known.

    Raises:
        InvalidInput: They differ in what they have to share, or their data cannot be used.
    """
    _check_alike(specs)
    prepared = TaskSettings.of(specs[0], Path()).load(specs[0].download)
    rate = rate or settle_noise_rate(specs[0], prepared, on_message)
    done = store.sweeps(dataset=prepared.task.dataset.name, state=SweepState.DONE)
    same_data = [sweep for sweep in done if sweep.data_hash == prepared.task.dataset.fingerprint]
    plans = []
    for spec in specs:
        # All alike: where no rule is asked for, only GR would be stopped early. One that has been is what it is.
        to_its_end = spec.model_copy(update={"early_stopping": spec.early_stopping or "none"})
        wanted = resolved(to_its_end, prepared, rate.value)
        left_open = ("early_stopping",) if spec.early_stopping is None else ()
        found = next((sweep for sweep in same_data if _agrees(wanted, sweep, left_open)), None)
        plans.append(Plan(to_its_end, found, rate))
    return plans


def compare(
    specs: Sequence[SweepSpec],
    *,
    home: Home | str | Path | None = None,
    ray_address: str | None = None,
    may_grow_to: Nodes | None = None,
    on_status: OnStatus | None = None,
    on_stuck: OnStuck | None = None,
    on_message: Callable[[str], None] | None = None,
) -> Comparison:
    """Run a sweep of each supervision, or reuse a finished one, and hold their best against each other.

    What is finished when it is interrupted is reused the next time. A supervision whose sweep fails has a row that
    says why.

    Args:
        specs: One a supervision, with the same data, noise and seeds.
        home: Where it is recorded; see `Home.resolve`.
        ray_address: As for `run_sweep`.
        may_grow_to: As for `run_sweep`.
        on_status: As for `run_sweep`.
        on_stuck: As for `run_sweep`.
        on_message: As for `plan`; also told which sweep is run or reused.

    Raises:
        InvalidInput: The sweeps do not compare, or cannot be run.
        SweepInterrupted: By Ctrl-C or SIGTERM.
    """
    say = on_message or (lambda text: None)
    home = home if isinstance(home, Home) else Home.resolve(home)
    with Store.open(home.store_url) as store:
        plans = plan(specs, store, say)
    ids: list[str] = []
    failed: list[ComparedRow] = []
    for number, each in enumerate(plans, start=1):
        name = f"{each.spec.supervision} ({number} of {len(plans)})"
        if each.recorded is not None:
            say(f"{name}: reusing {each.recorded.id}")
            ids.append(each.recorded.id)
            continue
        say(f"{name}: {each.spec.number_of_trials().total} trials")
        try:
            outcome = run_sweep(
                each.spec,
                home=home,
                ray_address=ray_address,
                may_grow_to=may_grow_to,
                on_status=on_status,
                on_stuck=on_stuck,
                on_message=say,
                noise_rate=each.rate,
            )
        except SweepFailed as error:
            say(f"{name}: failed, {error.reason}")
            failed.append(_failed(each.spec.supervision, error.sweep_id, error.reason))
        else:
            ids.append(outcome.sweep.id)
            if outcome.interrupted:
                raise KeyboardInterrupt
    with Store.open(home.store_url) as store:
        return compared(store, ids, failed)


def compared(store: Store, sweep_ids: Sequence[str], failed: Sequence[ComparedRow] = ()) -> Comparison:
    """Hold finished sweeps against each other.

    Args:
        store: Where they are.
        sweep_ids: One a supervision, at least one.
        failed: Rows of those that failed.

    Raises:
        InvalidInput: They were not trained on the same fresh seeds and noise.
    """
    sweeps = [store.sweep(sweep_id) for sweep_id in sweep_ids]
    found, lost = [], list(failed)
    for sweep in sweeps:
        if standings_of_it := list(_standings(store, sweep)):
            found += [(sweep, how, standing) for how, standing in standings_of_it]
        else:
            problem = "no configuration was trained to the end on the fresh seeds"
            lost.append(_failed(sweep.supervision, sweep.id, problem))
    if not found:
        reasons = "; ".join(f"{row.supervision}: {row.problem}" for row in lost)
        raise InvalidInput(FieldError("supervision", [row.supervision for row in lost], reasons, "Mend it first."))
    _check_same_labels(found)
    seeds = _fresh_seeds(store, [sweep for sweep, _, _ in found])
    whole = []
    for sweep, how, standing in found:
        over, missing = _over(seeds, sweep, standing)
        if over is not None and not missing:
            whole.append((sweep, how, over))
        else:
            # A mean over the seeds that went well would flatter it, and fewer seeds for all would cost the others.
            reached = f"; {over.objective.label} {over.objective} on the others" if over is not None else ""
            problem = f"{missing} of {len(seeds)} fresh seeds failed{reached}"
            lost.append(_failed(standing.supervision, sweep.id, problem, how, _label(standing)))
    baseline = next((standing for _, how, standing in whole if how == BASELINE), None)
    rows: list[ComparedRow] = []
    for sweep, how, standing in whole:
        if any((row.supervision, row.label) == (standing.supervision, _label(standing)) for row in rows):
            continue  # CCE is the same in every sweep, and what takes nothing is its own best
        rows.append(_row(sweep, how, standing, baseline))
    rows.sort(key=lambda row: -(row.objective.mean if row.objective else 0.0))
    first = sweeps[0]
    return Comparison(
        dataset=first.dataset,
        noise_rate=first.noise_rate,
        noise_model=first.spec.get("noise_model", "symmetric"),
        backbone=first.backbone,
        measured=SearchObjective.recorded(first.spec, first.noise_rate, first.facts).measured,
        seeds=tuple(sorted(seeds)),
        rows=(*rows, *_once(lost)),
    )


def _standings(store: Store, sweep: SweepRecord) -> Iterator[tuple[str, Standing]]:
    trials = store.trials(sweep.id)
    choice = pick(sweep, trials)
    if choice is None or not choice.confirmed:
        return
    # Each over all of its seeds, also those that another lost.
    for baseline in standings(sweep, filter(is_baseline, trials), Phase.BASELINE):
        yield BASELINE, baseline
    (winner,) = [
        standing
        for standing in standings(sweep, trials, Phase.CONFIRM)
        if (standing.supervision, standing.hyperparameters)
        == (choice.winner.supervision, choice.winner.hyperparameters)
    ]
    yield SEARCHED, winner
    if defaults := defaults_standing(sweep, trials):
        yield DEFAULTS, defaults


def _check_alike(specs: Sequence[SweepSpec]) -> None:
    shared = ("dataset", "noise_rate", "noise_model", "noise_column", "limit_train", "backbone", "training", "seed")
    for name in (*shared, "objective", "validation_fraction"):
        values = {str(getattr(spec, name)) for spec in specs}
        if len(values) > 1:
            problem = "differs between the sweeps, which then do not compare"
            raise InvalidInput(FieldError(name, sorted(values), problem, "Give one value for all."))
    if any(spec.confirm.seeds < 1 for spec in specs):
        raise InvalidInput(
            FieldError("confirm.seeds", 0, "leaves nothing to compare on", "Give 3 or more fresh seeds.")
        )


def _check_same_labels(found: Sequence[tuple[SweepRecord, str, Standing]]) -> None:
    """Refuse sweeps in which the same pair of seeds means other labels."""
    labels: dict[tuple[int, int], str | None] = {}
    for sweep, _, standing in found:
        for trial in standing.trials:
            seeds = (trial.seed, trial.noise_seed)
            if labels.setdefault(seeds, trial.noise_hash) != trial.noise_hash:
                problem = f"was trained on other labels than {found[0][0].id} under noise seed {trial.noise_seed}"
                raise InvalidInput(FieldError("sweep", sweep.id, problem, "Compare sweeps of the same data."))


def _fresh_seeds(store: Store, sweeps: Sequence[SweepRecord]) -> set[tuple[int, int]]:
    """The pairs of seeds that every sweep tried its configurations on, whether or not a training survived there.

    Raises:
        InvalidInput: There are none.
    """
    tried = [
        {(t.seed, t.noise_seed) for t in store.trials(sweep.id) if t.phase in (Phase.CONFIRM, Phase.BASELINE)}
        for sweep in sweeps
    ]
    if common := set.intersection(*tried):
        return common
    problem = "share no fresh seeds"
    remedy = "Give them one seed and as many confirm.seeds."
    raise InvalidInput(FieldError("sweep", [sweep.id for sweep in sweeps], problem, remedy))


def _over(seeds: set[tuple[int, int]], sweep: SweepRecord, standing: Standing) -> tuple[Standing | None, int]:
    """A standing over these seeds, None where it has none of them; and how many of them it lost."""
    trials = [trial for trial in standing.trials if (trial.seed, trial.noise_seed) in seeds]
    return (standings(sweep, trials, *Phase)[0] if trials else None), len(seeds) - len(trials)


def _label(standing: Standing) -> str:
    return label(standing.supervision, standing.hyperparameters)


def _row(sweep: SweepRecord, how: str, standing: Standing, baseline: Standing | None) -> ComparedRow:
    difference = None
    if baseline is not None and standing is not baseline:
        differences = paired_differences(standing, baseline)
        difference = Estimate.of(differences) if differences else None
    return ComparedRow(
        supervision=standing.supervision,
        how=how,
        label=_label(standing),
        objective=standing.objective,
        intact_accuracy=standing.intact_accuracy,
        test_accuracy=standing.test_accuracy,
        difference=difference,
        told_apart=difference is not None and baseline is not None and bool(told_apart(standing, baseline)),
        sweep_id=sweep.id,
    )


def _failed(
    supervision: str, sweep_id: str, problem: str, how: str = SEARCHED, label: str | None = None
) -> ComparedRow:
    return ComparedRow(supervision, how, label or supervision, None, None, None, None, False, sweep_id, problem)


def _once(rows: Sequence[ComparedRow]) -> list[ComparedRow]:
    """The rows less those that say again what another does, as each sweep does of CCE."""
    return list({(row.supervision, row.label, row.how): row for row in rows}.values())


def _agrees(wanted: SweepSpec, sweep: SweepRecord, left_open: Sequence[str]) -> bool:
    try:
        recorded = SweepSpec.recorded(sweep.spec).to_json_dict()
    except ValueError:  # written by another version
        return False
    asked = wanted.to_json_dict()
    hashes = sweep.facts.get("files", {})
    if any(hashes.get(field) != found for field, found in file_hashes(wanted).items()):
        return False
    if not wanted.trains_defaults:
        # That some were trained does no harm; what takes no hyper-parameters is compared as what is searched.
        recorded["confirm"]["defaults"] = asked["confirm"]["defaults"]
    return all(recorded[name] == value for name, value in asked.items() if name not in (*_OF_NO_ACCOUNT, *left_open))


def _cells(row: ComparedRow, guided_by_intact: bool) -> list[str]:
    if row.objective is None:
        return [row.label, "failed", row.problem.splitlines()[0], *[""] * (2 if guided_by_intact else 3)]
    difference = "–"
    if row.difference is not None:
        spread = "" if row.difference.sem is None else f" ± {row.difference.sem:.3f}"
        difference = f"{row.difference.mean:+.3f}{spread}{' *' if row.told_apart else ''}"
    intact = [] if guided_by_intact else [accuracy(row.intact_accuracy)]
    return [row.label, row.how, accuracy(row.objective), *intact, accuracy(row.test_accuracy), difference]


def _flat(values: dict[str, Any]) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in values.items():
        if name in ("objective", "intact_accuracy", "test_accuracy", "difference"):
            flat |= {f"{name}.{part}": (value or {}).get(part) for part in ("mean", "sem", "n")}
        else:
            flat[name] = value
    return flat
