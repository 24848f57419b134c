"""Supervisions side by side: paired over the same fresh seeds, finished sweeps reused, a picture of it."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from statistics import stdev
from typing import Any

import pytest
from matplotlib.figure import Figure

from search import SweepSpec
from search.compare import BASELINE
from search.compare import DEFAULTS
from search.compare import SEARCHED
from search.compare import ComparedRow
from search.compare import Comparison
from search.compare import compare
from search.compare import compared
from search.compare import plan
from search.estimate import estimate
from search.reports.comparison_chart import comparison_chart
from search.resolve import resolved
from search.store import Accuracies
from search.store import Phase
from search.store import Store
from search.store import SweepState
from search.store import TrialState
from search.task import TaskSettings
from trainers.errors import InvalidInput

CCE = [0.60, 0.62, 0.61]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(f"sqlite:///{tmp_path / 'emphasis.db'}")


def record(
    store: Store,
    supervision: str,
    values: dict[str, Any],
    reached: Sequence[float | None],
    *,
    defaults: Sequence[float | None] | None = None,
    rival: Sequence[float | None] = (),
    first_seed: int = 100,
    noise_hash: str = "labels",
) -> str:
    """A finished sweep with one configuration, confirmed; CCE on the same seeds."""
    spec = {"dataset": "digits", "noise_rate": 0.4, "confirm": {"defaults": defaults is not None}}
    sweep = store.create_sweep(
        id=f"of-{supervision}", spec=spec, dataset="digits", noise_rate=0.4, backbone="mlp", supervision=supervision,
        data_hash="hash", versions={},
    )  # fmt: skip
    trials = [(Phase.CONFIRM, 0, supervision, values, reached), (Phase.BASELINE, 0, "cce", {}, CCE)]
    trials.append((Phase.CONFIRM, 2, supervision, {"q": 0.9}, rival))
    if defaults is not None:
        trials.append((Phase.BASELINE, 1, supervision, {"q": 0.7}, defaults))
    for phase, index, name, hyperparameters, accuracies in trials:
        for repeat, accuracy in enumerate(accuracies):
            seed = first_seed + repeat
            trial = store.add_trial(
                sweep.id, phase=phase, configuration=index, repeat=repeat, supervision=name, noise_rate=0.4,
                hyperparameters=hyperparameters, params={}, seed=seed, noise_seed=seed + 50,
            )  # fmt: skip
            store.start_attempt(trial.id, "here", 1)
            if accuracy is None:
                store.finish_trial(trial.id, TrialState.FAILED, reason="the loss is not finite")
                continue
            final = Accuracies(epoch=3, test=accuracy - 0.01, corrupted_train=0.5, intact_train=accuracy)
            store.finish_trial(
                trial.id, TrialState.DONE, objective=accuracy, final=final, best=final, noise_hash=f"{noise_hash}{seed}"
            )
    store.finish_sweep(sweep.id, SweepState.DONE)
    return sweep.id


def row(comparison: Comparison, supervision: str, how: str = SEARCHED) -> ComparedRow:
    (found,) = [each for each in comparison.rows if (each.supervision, each.how) == (supervision, how)]
    return found


def test_differences_to_cce_are_taken_seed_by_seed(store: Store) -> None:
    reached = [0.90, 0.95, 0.91]
    comparison = compared(store, [record(store, "gce", {"q": 0.3}, reached, defaults=[0.7, 0.7, 0.8])])
    differences = [mine - theirs for mine, theirs in zip(reached, CCE, strict=True)]
    found = row(comparison, "gce").difference
    assert found is not None
    assert found.mean == pytest.approx(fmean(differences))
    assert found.sem == pytest.approx(stdev(differences) / math.sqrt(3))
    assert row(comparison, "gce").told_apart
    assert row(comparison, "gce", DEFAULTS).label == "gce(q=0.7)"
    assert row(comparison, "cce", BASELINE).difference is None


def test_rows_are_ranked_and_cce_stands_once_among_them(store: Store) -> None:
    ids = [record(store, "gce", {"q": 0.3}, [0.9, 0.9, 0.9]), record(store, "mae", {}, [0.5, 0.5, 0.5])]
    comparison = compared(store, ids)
    assert [each.supervision for each in comparison.rows] == ["gce", "cce", "mae"]
    assert comparison.seeds == ((100, 150), (101, 151), (102, 152))


@pytest.mark.parametrize(
    ("other", "words"),
    [({"first_seed": 200}, "share no fresh seeds"), ({"noise_hash": "other"}, "was trained on other labels")],
)
def test_sweeps_that_were_not_trained_on_the_same_seeds_and_labels_do_not_compare(
    other: dict[str, Any], words: str, store: Store
) -> None:
    ids = [record(store, "gce", {"q": 0.3}, [0.9, 0.9, 0.9]), record(store, "mae", {}, [0.5, 0.5, 0.5], **other)]
    with pytest.raises(InvalidInput, match=words):
        compared(store, ids)


def test_a_supervision_that_lost_a_seed_takes_none_from_the_others(store: Store) -> None:
    ids = [record(store, "gce", {"q": 0.3}, [0.95, 0.90, 0.70]), record(store, "mae", {}, [0.8, None, 0.9])]
    comparison = compared(store, ids)
    assert len(comparison.seeds) == 3
    found = row(comparison, "gce").objective
    assert found is not None
    assert (found.mean, found.n) == (pytest.approx(0.85), 3)
    lost = comparison.rows[-1]
    assert (lost.label, lost.objective) == ("mae", None)
    assert lost.problem == "1 of 3 fresh seeds failed; intact accuracy 0.850 ± 0.050 (n=2) on the others"


def test_a_winner_is_held_against_others_over_all_the_seeds_that_it_kept(store: Store) -> None:
    # Its sweep compared it with another candidate on the one seed that both kept.
    sweep = record(store, "gce", {"q": 0.3}, [None, 0.90, 0.90], rival=[0.97, None, 0.89])
    (lost,) = [each for each in compared(store, [sweep]).rows if each.objective is None]
    assert lost.problem == "1 of 3 fresh seeds failed; intact accuracy 0.900 ± 0.000 (n=2) on the others"


def test_defaults_that_diverge_are_a_row_of_their_own_that_says_so(store: Store) -> None:
    comparison = compared(store, [record(store, "gce", {"q": 0.3}, [0.9, 0.9, 0.9], defaults=[None, None, None])])
    assert [each.how for each in comparison.rows] == [SEARCHED, BASELINE]
    other = record(store, "mae", {}, [0.8, 0.8, 0.9], defaults=[None, 0.7, None])
    lost = compared(store, [other]).rows[-1]
    assert (lost.supervision, lost.how) == ("mae", DEFAULTS)
    assert lost.problem.startswith("2 of 3 fresh seeds failed; intact accuracy 0.700")


def test_supervisions_that_lost_different_seeds_still_compare_with_the_rest(store: Store) -> None:
    ids = [
        record(store, "gce", {"q": 0.3}, [None, 0.9, 0.9]),
        record(store, "mae", {}, [0.8, None, 0.8]),
        record(store, "bootstrap_hard", {"beta": 0.8}, [0.7, 0.7, None]),
    ]
    comparison = compared(store, ids)
    assert [(each.supervision, each.objective is None) for each in comparison.rows] == [
        ("cce", False), ("gce", True), ("mae", True), ("bootstrap_hard", True),
    ]  # fmt: skip


def test_a_sweep_whose_confirming_trials_all_failed_has_a_row_that_says_so(store: Store) -> None:
    ids = [record(store, "gce", {"q": 0.3}, [0.9, 0.9, 0.9]), record(store, "backward", {}, [])]
    comparison = compared(store, ids)
    assert comparison.rows[-1].supervision == "backward"
    assert "trained to the end" in comparison.rows[-1].problem


def test_a_failed_supervision_has_a_row_that_says_why(store: Store) -> None:
    failed = ComparedRow("d2l", SEARCHED, "d2l", None, None, None, None, False, "of-d2l", "5 of 6 trials failed")
    comparison = compared(store, [record(store, "gce", {"q": 0.3}, [0.9, 0.9, 0.9])], [failed])
    assert comparison.rows[-1] is failed
    assert "5 of 6 trials failed" in comparison.text("md")


def test_every_format_tells_the_same_numbers(store: Store) -> None:
    comparison = compared(store, [record(store, "gce", {"q": 0.3}, [0.90, 0.95, 0.91])])
    exact = json.loads(comparison.text("json"))["rows"]
    for found, known in zip(csv.DictReader(io.StringIO(comparison.text("csv"))), exact, strict=True):
        assert found["label"] == known["label"]
        assert float(found["objective.mean"]) == known["objective"]["mean"]
    assert "| gce(q=0.3) | searched | 0.920 ± 0.015 | 0.910 ± 0.015 |" in comparison.text("md")
    with pytest.raises(InvalidInput, match="Use one of md, csv, json"):
        comparison.text("xml")


def points(figure: Figure, measure: str) -> list[float]:
    drawn = [container[0] for container in figure.axes[0].containers]
    return sorted(float(line.get_xdata()[0]) for line in drawn if line.get_gid() == measure)


def test_the_figure_shows_every_row_with_objective_and_test_accuracy(store: Store) -> None:
    comparison = compared(store, [record(store, "gce", {"q": 0.3}, [0.90, 0.95, 0.91], defaults=[0.7, 0.7, 0.7])])
    figure = comparison_chart(comparison)
    assert points(figure, "objective") == pytest.approx([fmean(CCE), 0.7, 0.92])
    assert points(figure, "test_accuracy") == pytest.approx([fmean(CCE) - 0.01, 0.69, 0.91])
    labels = [text.get_text() for text in figure.axes[0].get_yticklabels()]
    assert labels == ["gce(q=0.3), searched", "gce, defaults", "cce, baseline"]


def specs(*supervisions: str, **fields: Any) -> list[SweepSpec]:
    shared = {
        "dataset": "digits", "noise_rate": 0.4, "limit_train": 200, "training": {"epochs": 3},
        "confirm": {"top": 1, "seeds": 2, "defaults": True}, **fields,
    }  # fmt: skip
    return [SweepSpec.model_validate({**shared, "supervision": name}) for name in supervisions]


@pytest.mark.long
def test_a_comparison_runs_what_is_missing_and_reuses_what_is_finished(tmp_path: Path) -> None:
    told: list[str] = []
    first = compare(specs("mae"), home=tmp_path, on_message=told.append)
    # What takes no hyper-parameters is its own best: one row.
    assert [(each.supervision, each.how) for each in first.rows if each.supervision == "mae"] == [("mae", SEARCHED)]
    both = compare(specs("mae", "forward", concurrency=1), home=tmp_path, on_message=told.append)
    assert told[0] == "mae (1 of 1): 5 trials"
    assert told[1].startswith("mae (1 of 2): reusing")
    assert told[2] == "forward (2 of 2): 8 trials"
    assert {each.supervision for each in both.rows} == {"mae", "forward", "cce"}
    assert row(both, "mae").objective == row(first, "mae").objective
    with Store.open(f"sqlite:///{tmp_path / 'emphasis.db'}") as store:
        assert [each.recorded is not None for each in plan(specs("mae", "forward"), store)] == [True, True]
        assert [each.recorded for each in plan(specs("mae", seed=1), store)] == [None]


@pytest.mark.parametrize(("supervision", "defaults"), [("gce", 2), ("gr", 2), ("mae", 0), ("cce", 0)])
def test_defaults_are_trained_of_what_has_some_and_an_estimate_counts_them_apart(
    store: Store, supervision: str, defaults: int
) -> None:
    (spec,) = specs(supervision)
    assert spec.number_of_trials().defaults == defaults
    trials = estimate(spec, store).lines()[1]
    assert trials.endswith("+ 2 CCE baseline + 2 defaults" if defaults else "+ 2 CCE baseline")
    assert trials.startswith(f"trials: {spec.number_of_trials().total} = ")
    (without,) = specs(supervision, confirm={"top": 1, "seeds": 2})
    assert spec.number_of_trials().total == without.number_of_trials().total + defaults


@pytest.mark.parametrize(("supervision", "reused"), [("gce", False), ("mae", True)])
def test_a_sweep_without_defaults_is_reused_of_what_has_none(store: Store, supervision: str, reused: bool) -> None:
    (spec,) = specs(supervision, confirm={"top": 1, "seeds": 2}, early_stopping="none")
    prepared = TaskSettings.of(spec, Path()).load()
    store.create_sweep(
        id="plain", spec=resolved(spec, prepared, 0.4).to_json_dict(), dataset="digits", noise_rate=0.4, backbone="mlp",
        supervision=supervision, data_hash=prepared.task.dataset.fingerprint, versions={},
    )  # fmt: skip
    store.finish_sweep("plain", SweepState.DONE)
    (found,) = plan(specs(supervision), store)
    assert (found.recorded is not None) == reused
    (asked,) = plan([spec], store)
    assert asked.recorded is not None


def test_all_are_trained_to_their_end_and_one_that_was_stopped_early_is_reused(store: Store) -> None:
    (spec,) = specs("gr", trials=30, training={}, limit_train=None)
    prepared = TaskSettings.of(spec, Path()).load()
    recorded = resolved(spec, prepared, 0.4)
    assert recorded.early_stopping == "asha"
    store.create_sweep(
        id="stopped-early", spec=recorded.to_json_dict(), dataset="digits", noise_rate=0.4, backbone="mlp",
        supervision="gr", data_hash=prepared.task.dataset.fingerprint, versions={},
    )  # fmt: skip
    assert [each.recorded for each in plan([spec], store)] == [None]
    store.finish_sweep("stopped-early", SweepState.DONE)

    (open_,) = plan([spec], store)
    (asked,) = plan([spec.model_copy(update={"early_stopping": "median"})], store)

    assert open_.recorded is not None
    assert open_.recorded.id == "stopped-early"
    assert open_.spec.early_stopping == "none"
    assert (asked.recorded, asked.spec.early_stopping) == (None, "median")


def test_sweeps_of_different_data_or_seeds_are_refused_before_anything_is_run(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="limit_train"):
        compare([*specs("mae"), *specs("gce", limit_train=300)], home=tmp_path)
    with pytest.raises(InvalidInput, match="3 or more fresh seeds"):
        compare(specs("mae", confirm={"seeds": 0}), home=tmp_path)
