"""Which configuration is recommended, and what is said about it."""

from __future__ import annotations

import math
import subprocess
import sys
from itertools import product
from pathlib import Path

import pytest
from recorded_sweeps import RecordedSweep
from recorded_sweeps import RecordSweep
from scipy import stats

from search.display import recommendation_lines
from search.leaderboard import Mark
from search.leaderboard import best_so_far
from search.leaderboard import leaderboard
from search.newest_recommendations import recommend
from search.newest_recommendations import recommendations
from search.recommendation import Recommendation
from search.recommendation import choose
from search.reports.tables import recommendations_markdown
from search.standings import Estimate
from search.store import Store
from search.store import SweepState
from search.store import TrialState
from search.store import Verb
from spaces import Configuration
from trainers.errors import InvalidInput


def chosen(sweep: RecordedSweep) -> Recommendation:
    found = choose(sweep.record, sweep.trials)
    assert found is not None
    return found


def test_estimate_is_mean_and_standard_error_of_the_mean() -> None:
    values = [0.91, 0.95, 0.93, 0.99]
    estimate = Estimate.of(values)
    assert estimate.n == 4
    assert estimate.mean == pytest.approx(sum(values) / 4)
    assert estimate.sem == pytest.approx(stats.sem(values))


def test_estimate_of_one_seed_has_no_standard_error() -> None:
    assert Estimate.of([0.9]) == Estimate(mean=0.9, sem=None, n=1)


def test_fresh_seeds_decide_and_the_leader_of_the_search_does_not(confirmed_sweep: RecordedSweep) -> None:
    found = chosen(confirmed_sweep)
    assert (found.recommended.beta, found.recommended.lam) == (16, 1)
    assert found.objective.as_dict() == {
        "name": "intact_train_accuracy",
        "mean": pytest.approx(0.96),
        "sem": pytest.approx(0.01 / math.sqrt(3)),
        "n": 3,
    }
    assert found.provenance.confirmed


def test_test_accuracy_is_reported_and_never_guides(confirmed_sweep: RecordedSweep) -> None:
    found = chosen(confirmed_sweep)
    # (8, 0.5) has the higher test accuracy, and only that.
    assert found.test_accuracy is not None
    assert found.test_accuracy.mean == pytest.approx(0.94)
    assert [(tie.beta, tie.test_accuracy and tie.test_accuracy.mean) for tie in found.ties] == [
        (8, pytest.approx(0.99))
    ]


def test_ties_are_what_a_paired_t_test_cannot_tell_apart(record_sweep: RecordSweep) -> None:
    sweep = record_sweep()
    winner = (0.95, 0.97, 0.96, 0.95)
    # Paired: seeds move both alike, so a small steady difference shows although the groups overlap.
    others = {4.0: (0.93, 0.955, 0.94, 0.932), 8.0: (0.99, 0.91, 0.97, 0.93), 12.0: (0.94, 0.90, 0.95, 0.93)}
    sweep.confirmed((16, 1), *winner)
    for beta, objectives in others.items():
        sweep.confirmed((beta, 1), *objectives)
    expected = {beta for beta, values in others.items() if stats.ttest_rel(winner, values).pvalue >= 0.05}
    assert 0 < len(expected) < len(others)
    assert {tie.beta for tie in chosen(sweep).ties} == expected


def test_a_difference_that_every_seed_shows_exactly_alike_is_no_tie(record_sweep: RecordSweep) -> None:
    sweep = record_sweep()
    sweep.confirmed((16, 1), 0.75, 0.5, 0.625)
    sweep.confirmed((8, 1), 0.5, 0.25, 0.375)
    sweep.confirmed((4, 1), 0.75, 0.5, 0.625)
    assert [tie.beta for tie in chosen(sweep).ties] == [4]


def test_one_seed_tells_nothing_apart(record_sweep: RecordSweep) -> None:
    sweep = record_sweep()
    sweep.searched((16, 1), 0.9)
    sweep.searched((8, 1), 0.2)
    found = chosen(sweep)
    assert [tie.beta for tie in found.ties] == [8]
    assert (found.objective.n, found.objective.sem) == (1, None)


def test_pruned_failed_and_cce_trials_are_never_recommended(record_sweep: RecordSweep) -> None:
    sweep = record_sweep()
    sweep.searched((16, 1), 0.99, state=TrialState.PRUNED)
    sweep.searched((8, 1), None)
    sweep.searched(None, 0.98)
    assert choose(sweep.record, sweep.trials) is None
    sweep.searched((4, 1), 0.3)
    assert chosen(sweep).recommended.beta == 4
    assert chosen(sweep).ties == ()


def test_a_configuration_of_which_a_seed_was_stopped_early_is_not_recommended_for_its_others(
    record_sweep: RecordSweep,
) -> None:
    sweep = record_sweep()
    sweep.searched((16, 1), 0.99)
    sweep.searched((16, 1), 0.2, state=TrialState.PRUNED, first_repeat=1)
    assert choose(sweep.record, sweep.trials) is None
    sweep.searched((8, 1), 0.5)
    assert chosen(sweep).recommended.beta == 8


def test_a_configuration_that_diverged_on_a_seed_does_not_win_by_its_other_seeds(
    record_sweep: RecordSweep,
) -> None:
    sweep = record_sweep()
    sweep.confirmed((16, 1), 0.99, None, 0.99)
    sweep.confirmed((8, 1), 0.90, 0.91, 0.92)
    found = chosen(sweep)
    assert found.recommended.beta == 8
    assert found.ties == ()


def test_baseline_is_cce_on_the_seeds_of_the_recommended(record_sweep: RecordSweep) -> None:
    sweep = record_sweep()
    sweep.searched(None, 0.10)
    sweep.confirmed((16, 1), 0.95, 0.97)
    sweep.baseline(0.60, 0.62, 0.99)
    found = chosen(sweep)
    assert found.baseline is not None
    assert found.baseline.supervision == "cce"
    assert found.baseline.objective.mean == pytest.approx(0.61)
    assert found.provenance.baseline_seeds == found.provenance.seeds == (100, 101)


def test_where_the_recommended_is_better_than_cce_nothing_is_said_against_it(record_sweep: RecordSweep) -> None:
    sweep = record_sweep()
    sweep.confirmed((16, 1), 0.95, 0.97, 0.96)
    sweep.baseline(0.60, 0.62, 0.60)
    found = chosen(sweep)
    assert found.baseline is not None
    assert found.baseline.told_apart is True
    assert found.reservation is None


def test_a_recommendation_that_cce_beats_says_so_and_what_to_do(record_sweep: RecordSweep) -> None:
    sweep = record_sweep()
    sweep.confirmed((16, 1), 0.21, 0.23, 0.22)
    sweep.baseline(0.60, 0.63, 0.61)
    found = chosen(sweep)
    said = "CCE is better here, by 0.393: nothing that was tried helps. Train with CCE, or "
    assert str(found.reservation).startswith(said)
    assert f"  {found.reservation}" in recommendation_lines(found)
    assert f"digits at 0.4: {said}" in recommendations_markdown([found])
    assert Recommendation.from_dict(found.as_dict()) == found


@pytest.mark.parametrize("cce", [(0.50, 0.62, 0.60), (0.70, 0.55, 0.64)])
def test_a_recommendation_that_is_not_told_apart_from_cce_says_so(
    record_sweep: RecordSweep, cce: tuple[float, ...]
) -> None:
    sweep = record_sweep()
    sweep.confirmed((16, 1), 0.60, 0.61, 0.62)
    sweep.baseline(*cce)
    found = chosen(sweep)
    assert str(found.reservation).startswith("Not told apart from CCE by a paired t-test at 5%")


@pytest.mark.parametrize(
    ("cce", "said"),
    [(0.62, "which shows nothing, and there CCE is ahead by 0.120."), (0.4, "which shows nothing.")],
)
def test_one_seed_shows_nothing_and_who_is_ahead_on_it_is_said(
    record_sweep: RecordSweep, cce: float, said: str
) -> None:
    sweep = record_sweep()
    sweep.confirmed((16, 1), 0.5)
    sweep.baseline(cce)
    found = chosen(sweep)
    assert found.baseline is not None
    assert found.baseline.told_apart is None
    assert str(found.reservation) == f"Compared with CCE on one seed alone, {said}"
    assert Recommendation.from_dict(found.as_dict()) == found


def test_the_lead_over_cce_is_that_on_the_seeds_that_both_have(record_sweep: RecordSweep) -> None:
    sweep = record_sweep()
    sweep.confirmed((16, 1), 0.90, 0.50, 0.901)
    sweep.baseline(0.80, None, 0.80)
    found = chosen(sweep)
    assert found.baseline is not None
    assert found.baseline.told_apart is True
    assert found.baseline.lead is not None
    assert (found.baseline.lead.mean, found.baseline.lead.n) == (pytest.approx(0.1005), 2)
    assert found.reservation is None  # though CCE's mean over its two seeds is the higher


def test_that_cce_failed_on_every_fresh_seed_is_said(record_sweep: RecordSweep) -> None:
    sweep = record_sweep()
    sweep.confirmed((16, 1), 0.90, 0.91)
    sweep.baseline(None, None)
    found = chosen(sweep)
    failed = "CCE failed on every fresh seed: there is nothing to compare with."
    assert found.caveats == (failed,)
    assert f"  {failed}" in recommendation_lines(found)
    assert Recommendation.from_dict(found.as_dict()) == found


def test_nothing_is_confirmed_while_some_that_may_be_better_are_still_searched_or_have_no_fresh_seeds(
    record_sweep: RecordSweep,
) -> None:
    sweep = record_sweep(spec={"confirm": {"top": 2, "seeds": 2}})
    sweep.searched((16, 1), 0.95)
    sweep.searched((4, 1), None, state=TrialState.WAITING)
    # The first is among the two best however the second turns out.
    sweep.confirmed((16, 1), 0.80, 0.80)
    assert not chosen(sweep).provenance.confirmed
    sweep.store.finish_trial(sweep.trials[1].id, TrialState.FAILED)
    assert chosen(sweep).provenance.confirmed
    sweep.searched((8, 1), 0.94)
    assert not chosen(sweep).provenance.confirmed
    sweep.confirmed((8, 1), 0.97)
    found = chosen(sweep)
    assert found.provenance.confirmed
    assert (found.recommended.beta, found.objective.n) == (8, 1)


def test_what_was_trained_for_less_is_recommended_beside_what_was_trained_for_longer(
    record_sweep: RecordSweep, store: Store, tmp_path: Path
) -> None:
    budgets = {"long": {"epochs": 60}, "short": {"epochs": 2}}
    for id, training in budgets.items():
        record_sweep(id, spec={"training": training}).confirmed((len(id), 1), 0.9, 0.9)
        store.finish_sweep(id, SweepState.DONE)
    part = record_sweep("part", spec={"training": budgets["long"], "limit_train": 200})
    part.confirmed((1, 1), 0.9, 0.9)
    part.done()
    found = [each.provenance.sweep_id for each in recommendations(store, "digits", 0.4)]
    assert found == ["long", "short", "part"]
    assert recommend("digits", 0.4, home=tmp_path).provenance.limit_train is None


def test_what_failed_on_every_fresh_seed_is_not_recommended_for_its_search(record_sweep: RecordSweep) -> None:
    sweep = record_sweep()
    sweep.searched((16, 1), 0.95)
    sweep.searched((8, 1), 0.90)
    sweep.confirmed((16, 1), None, None, None)
    found = chosen(sweep)
    assert (found.recommended.beta, found.provenance.confirmed) == (8, False)


def test_candidates_that_lost_different_seeds_are_compared_on_those_that_they_share(record_sweep: RecordSweep) -> None:
    sweep = record_sweep()
    sweep.confirmed((16, 1), None, 0.90, 0.90)
    sweep.confirmed((8, 1), 0.97, None, 0.89)
    found = chosen(sweep)
    assert found.recommended.beta == 16
    assert (found.objective.mean, found.objective.n) == (0.90, 1)
    failed = "It failed on 1 fresh seed, which the means leave out."
    assert failed in found.caveats
    assert f"  {failed}" in recommendation_lines(found)
    assert Recommendation.from_dict(found.as_dict()) == found


def test_a_newer_sweep_that_confirmed_nothing_replaces_none_that_did(
    record_sweep: RecordSweep, confirmed_sweep: RecordedSweep, store: Store, tmp_path: Path
) -> None:
    quick = record_sweep("digits-quick")
    quick.searched((40, 3), 0.11)
    quick.done()
    (found,) = recommendations(store, "digits", 0.4)
    assert found.provenance.sweep_id == confirmed_sweep.id

    other = record_sweep("digits-other-network", backbone="resnet20")
    other.searched((1, 1), 0.3)
    other.done()
    assert recommend("digits", 0.4, home=tmp_path).provenance.sweep_id == confirmed_sweep.id

    better = record_sweep("digits-again")
    better.confirmed((9, 1), 0.90, 0.91)
    better.done()
    (found,) = recommendations(store, "digits", 0.4, "mlp")
    assert found.provenance.sweep_id == better.id


@pytest.mark.parametrize("cancelled", [True, False])
def test_what_did_not_end_well_has_a_best_so_far_and_recommends_nothing(
    record_sweep: RecordSweep, store: Store, cancelled: bool
) -> None:
    sweep = record_sweep()
    sweep.searched((16, 1), 0.5)
    if cancelled:
        store.ask(sweep.id, Verb.CANCEL)
    else:
        store.finish_sweep(sweep.id, SweepState.FAILED)
    assert sweep.record.finished_at is not None
    lines = recommendation_lines(chosen(sweep))
    assert lines[0].startswith("Best so far: ")
    assert lines[-1].startswith("  Not confirmed on fresh seeds")


def test_nothing_is_said_against_cce_for_being_no_better_than_itself(record_sweep: RecordSweep) -> None:
    sweep = record_sweep(supervision="cce")
    sweep.confirmed(None, 0.60, 0.63, 0.61)
    sweep.baseline(0.60, 0.63, 0.61)
    found = chosen(sweep)
    assert found.recommended.supervision == "cce"
    assert found.reservation is None


def test_an_export_of_an_earlier_release_says_nothing_of_cce(record_sweep: RecordSweep) -> None:
    sweep = record_sweep()
    sweep.confirmed((16, 1), 0.21, 0.23, 0.22)
    sweep.baseline(0.60, 0.63, 0.61)
    told = chosen(sweep).as_dict()
    del told["baseline"]["told_apart"], told["baseline"]["lead"]
    assert Recommendation.from_dict(told).reservation is None


def test_a_grid_that_holds_cce_gives_an_unconfirmed_sweep_its_baseline(record_sweep: RecordSweep) -> None:
    sweep = record_sweep()
    sweep.searched((16, 1), 0.95)
    assert chosen(sweep).baseline is None
    sweep.searched(None, 0.6)
    assert chosen(sweep).baseline is not None
    assert not chosen(sweep).provenance.confirmed


def test_without_a_confirm_phase_the_repeats_of_the_search_are_used(record_sweep: RecordSweep) -> None:
    sweep = record_sweep()
    sweep.searched((8, 1), 0.9, 0.8)
    sweep.searched((16, 1), 0.86, 0.88)
    found = chosen(sweep)
    assert found.recommended.beta == 16
    assert found.objective.n == 2
    assert not found.provenance.confirmed


def test_a_round_of_fresh_seeds_under_way_does_not_favour_who_was_trained_first(
    record_sweep: RecordSweep,
) -> None:
    sweep = record_sweep()
    sweep.searched((16, 1), 0.9)
    sweep.searched((8, 1), 0.95)
    sweep.confirmed((16, 1), 0.97)
    sweep.confirmed((8, 1), None, state=TrialState.WAITING)
    assert chosen(sweep).recommended.beta == 8
    assert not chosen(sweep).provenance.confirmed


def test_a_configuration_sampled_twice_on_the_same_seed_counts_once(record_sweep: RecordSweep) -> None:
    sweep = record_sweep()
    sweep.searched((8, 1), 0.9)
    again = sweep.store.add_trial(
        sweep.id, phase=sweep.trials[0].phase, configuration=7, repeat=0, supervision="gr",
        hyperparameters={"lam": 1, "beta": 8}, params={}, noise_rate=0.4, seed=0, noise_seed=1000,
    )  # fmt: skip
    final = sweep.trials[0].final
    sweep.store.start_attempt(again.id, "here", 1)
    sweep.store.finish_trial(again.id, TrialState.DONE, objective=0.9, final=final, best=final)
    assert chosen(sweep).objective.n == 1


def test_provenance_names_sweep_seeds_noise_and_how_it_was_measured(confirmed_sweep: RecordedSweep) -> None:
    provenance = chosen(confirmed_sweep).as_dict()["provenance"]
    winners = [t for t in confirmed_sweep.trials if t.phase == "confirm" and t.hyperparameters["beta"] == 16]
    assert provenance["sweep_id"] == "digits-done"
    assert provenance["seeds"] == [100, 101, 102]
    assert provenance["noise_seeds"] == [1100, 1101, 1102]
    assert provenance["noise_hashes"] == [f"hash of {trial.id}" for trial in winners]
    assert provenance["data_hash"] == "data"
    assert provenance["versions"] == {"emphasis": "0.1.0", "torch": "2.11.0"}
    assert provenance["computed_by"] == ["solo, cpu, fp32"]
    assert provenance["candidates"] == 3
    assert provenance["epochs"] == 4
    assert provenance["source"] == "digits"
    assert "final epoch, eval mode, un-augmented" in provenance["measured"]


def test_recommended_carries_transform_and_normalise_of_the_sweep(record_sweep: RecordSweep) -> None:
    sweep = record_sweep(spec={"transform": "identity", "normalise": "none"})
    sweep.searched((8, 1), 0.9)
    recommended = chosen(sweep).as_dict()["recommended"]
    assert list(recommended.items()) == [
        ("supervision", "gr"), ("beta", 8), ("lambda", 1), ("transform", "identity"), ("normalise", "none"),
    ]  # fmt: skip


GCE = {q: Configuration.of("gce", q=q) for q in (0.3, 0.5, 0.7)}


def test_another_supervision_is_recommended_by_its_own_names(record_sweep: RecordSweep) -> None:
    space = {"kind": "ranges", "supervision": "gce", "dimensions": {"q": [0.1, 1]}}
    sweep = record_sweep(supervision="gce", spec={"space": space, "hyperparameters": {"made_up": "word"}})
    sweep.searched((16, 1), 0.99)  # a cell of another supervision is beside the search
    for q, objectives in ((0.3, (0.95, 0.96)), (0.5, (0.96, 0.94)), (0.7, (0.5, 0.6))):
        sweep.confirmed(GCE[q], *objectives)
    found = chosen(sweep).as_dict()
    assert found["recommended"] == {"supervision": "gce", "made_up": "word", "q": 0.3}
    assert (found["ties"][0]["supervision"], found["ties"][0]["q"]) == ("gce", 0.5)
    point = chosen(sweep).recommended
    assert (point.found, point.searched) == ({"q": 0.3}, ("q",))
    with pytest.raises(AttributeError, match="gce has no beta"):
        _ = point.beta


def test_a_beta_that_is_not_grs_is_shown_by_its_supervision(record_sweep: RecordSweep) -> None:
    sweep = record_sweep(supervision="bootstrap_soft")
    sweep.searched(Configuration.of("bootstrap_soft", beta=0.9), 0.9)
    (row,) = leaderboard(sweep.record, sweep.trials)
    assert (row.label, row.beta, row.kappa) == ("bootstrap_soft(beta=0.9)", None, None)
    assert chosen(sweep).recommended.beta == 0.9


def test_searched_training_fields_and_fixed_values_are_part_of_what_is_recommended(record_sweep: RecordSweep) -> None:
    sweep = record_sweep(spec={"hyperparameters": {"lam": 0.5}})
    sweep.searched(Configuration.of("gr", beta=8, weight_decay=1e-3), 0.9)
    assert list(chosen(sweep).recommended.as_dict().items()) == [
        ("supervision", "gr"), ("beta", 8), ("lambda", 0.5), ("weight_decay", 1e-3),
        ("transform", "exp"), ("normalise", "batch"),
    ]  # fmt: skip


def test_where_weight_decay_of_cce_is_searched_the_baseline_is_cce_without(record_sweep: RecordSweep) -> None:
    sweep = record_sweep(supervision="cce")
    for decay, objectives in ((1e-3, (0.9, 0.91, 0.92)), (1e-4, (0.8, 0.81, 0.82))):
        sweep.confirmed(Configuration.of("cce", weight_decay=decay), *objectives)
    sweep.baseline(0.95, 0.96, 0.97)
    found = chosen(sweep)
    assert found.recommended.as_dict() == {"supervision": "cce", "weight_decay": 1e-3}
    assert found.baseline is not None
    assert found.baseline.objective.mean == pytest.approx(0.96)
    assert [(row.label, row.mark) for row in leaderboard(sweep.record, sweep.trials)] == [
        ("cce(weight_decay=0.001)", Mark.RECOMMENDED),
        ("cce(weight_decay=0.0001)", Mark.NONE),
        ("cce", Mark.BASELINE),
    ]


def test_each_supervision_has_a_recommendation_of_its_own(record_sweep: RecordSweep, tmp_path: Path) -> None:
    for supervision, point in (("gr", (8, 1)), ("gce", GCE[0.5]), ("cce", None)):
        sweep = record_sweep(supervision, supervision=supervision)
        sweep.searched(point, 0.9)
        sweep.done()
    found = recommendations(sweep.store)
    assert [each.recommended.supervision for each in found] == ["cce", "gce", "gr"]
    assert len(recommendations(sweep.store, "digits", 0.4, "mlp", "gce")) == 1
    assert recommend("digits", 0.4, home=tmp_path).recommended.beta == 8
    assert recommend("digits", 0.4, home=tmp_path, supervision="gce").recommended.hyperparameters == {"q": 0.5}
    with pytest.raises(InvalidInput, match=r"of mae.*There is: digits at noise_rate 0\.4 with mlp: cce; .*: gce"):
        recommend("digits", 0.4, home=tmp_path, supervision="mae")


def test_what_is_recommended_is_read_as_the_readme_says(
    record_sweep: RecordSweep, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sweep = record_sweep()
    sweep.confirmed((16, 1), 0.9, 0.91)
    sweep.done()
    # In a process of its own: here the package's modules have all been imported, whatever their names.
    script = """
from search import SweepSpec, recommend, run_sweep
import search
best = recommend("digits", 0.4).recommended
print(best.beta, best.lam, best.transform, best.normalise)
assert not [name for name in search.__all__ if type(getattr(search, name)).__name__ == "module"]
"""
    monkeypatch.setenv("EMPHASIS_HOME", str(tmp_path))
    said = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    assert said.stdout.split() == ["16.0", "1.0", "exp", "batch"]


def test_leaderboard_ranks_confirmed_before_searched_and_ends_with_cce(
    confirmed_sweep: RecordedSweep,
) -> None:
    rows = leaderboard(confirmed_sweep.record, confirmed_sweep.trials, top=5)
    assert [(row.rank, row.beta, row.confirmed) for row in rows] == [
        (1, 16, True), (2, 8, True), (3, 12, True), (4, 28, False), (5, 25, False), (None, None, True),
    ]  # fmt: skip
    assert [row.mark for row in rows] == [
        Mark.RECOMMENDED, Mark.TIE, Mark.NONE, Mark.NONE, Mark.NONE, Mark.BASELINE,
    ]  # fmt: skip
    assert rows[0].kappa == pytest.approx(4)


def test_best_so_far_follows_a_sweep_from_nothing_to_its_recommendation(record_sweep: RecordSweep) -> None:
    sweep = record_sweep()
    assert best_so_far(sweep.record, sweep.trials) is None
    sweep.searched((8, 1), 0.9)
    sweep.searched((16, 1), 0.95)
    first = best_so_far(sweep.record, sweep.trials)
    assert first is not None
    assert (first.beta, first.confirmed) == (16, False)
    sweep.confirmed((8, 1), 0.93, 0.94)
    sweep.confirmed((16, 1), 0.91, 0.92)
    last = best_so_far(sweep.record, sweep.trials)
    assert last is not None
    assert (last.beta, last.confirmed, last.objective.n) == (8, True, 2)


def test_recommend_answers_from_the_newest_finished_sweep(record_sweep: RecordSweep, tmp_path: Path) -> None:
    for number, beta in enumerate((4.0, 8.0, 12.0)):
        sweep = record_sweep(f"sweep-{number}")
        sweep.searched((beta, 1), 0.9)
        if number < 2:
            sweep.done()
    assert recommend("digits", 0.4, home=tmp_path).recommended.beta == 8
    assert recommend("digits", 0.1 + 0.3, home=tmp_path).recommended.beta == 8


def test_recommendations_hold_one_for_each_dataset_rate_and_backbone(
    record_sweep: RecordSweep, store: Store
) -> None:
    for number, (dataset, rate, backbone) in enumerate(product(("moons", "digits"), (0.6, 0.2), ("mlp",))):
        sweep = record_sweep(f"s{number}", dataset=dataset, noise_rate=rate, backbone=backbone)
        sweep.searched((8, 1), 0.9)
        sweep.done()
    other = record_sweep("other", noise_rate=0.2, backbone="resnet20")
    other.searched((8, 1), 0.9)
    other.done()
    assert [(r.dataset, r.noise_rate, r.backbone) for r in recommendations(store)] == [
        ("digits", 0.2, "mlp"),
        ("digits", 0.2, "resnet20"),
        ("digits", 0.6, "mlp"),
        ("moons", 0.2, "mlp"),
        ("moons", 0.6, "mlp"),
    ]
    assert len(recommendations(store, "digits", 0.2)) == 2
    assert len(recommendations(store, noise_rate=0.2, backbone="resnet20")) == 1


def test_asking_for_what_was_never_swept_names_what_there_is(
    confirmed_sweep: RecordedSweep, tmp_path: Path
) -> None:
    with pytest.raises(InvalidInput, match=r"digits at noise_rate 0\.4 with mlp") as refusal:
        recommend("digits", 0.2, home=tmp_path)
    (error,) = refusal.value.errors
    assert error.field == "dataset, noise_rate"
    assert error.value == ("digits", 0.2)


def test_what_there_is_is_listed_with_an_unusual_noise_model_or_objective_and_without_what_recommends_nothing(
    confirmed_sweep: RecordedSweep, record_sweep: RecordSweep, store: Store
) -> None:
    unusual = record_sweep("unusual", spec={"noise_model": "pair_flip", "objective": "noisy_validation"})
    unusual.searched((8, 1), 0.9)
    unusual.done()
    fruitless = record_sweep("fruitless", supervision="gce", spec={"noise_model": "asymmetric_cifar10"})
    fruitless.searched(GCE[0.5], None)
    fruitless.done()
    record_sweep("waiting", spec={"objective": "clean_validation"})
    there_is = (
        "There is: digits at noise_rate 0.4 (pair_flip) with mlp: gr, guided by noisy_validation; "
        "digits at noise_rate 0.4 with mlp: gr."
    )
    no_result = "Finished without a recommendation: fruitless; `emphasis show SWEEP` tells why."
    not_yet = "Not finished yet: waiting (queued); `emphasis resume SWEEP` completes one that has stopped."
    for asked, remedy in (
        ({"noise_model": "symmetric_inclusive"}, there_is),
        ({"noise_model": "pair_flip", "objective": "intact"}, there_is),
        ({"noise_model": "asymmetric_cifar10"}, f"{no_result} {there_is}"),
        ({"objective": "clean_validation"}, f"{not_yet} {there_is}"),
    ):
        with pytest.raises(InvalidInput) as refusal:
            recommendations(store, **asked)
        (error,) = refusal.value.errors
        assert (error.field, error.remedy) == (", ".join(asked), remedy)


def test_two_files_of_one_name_are_two_datasets(
    record_sweep: RecordSweep, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    betas = {"a": 8.0, "b": 20.0}
    for folder, beta in betas.items():
        path = tmp_path / folder / "arrays.npz"
        path.parent.mkdir()
        path.touch()
        sweep = record_sweep(folder, dataset="arrays.npz", spec={"dataset": str(path)})
        sweep.searched((beta, 1), 0.9)
        sweep.done()

    for folder, beta in betas.items():
        path = tmp_path / folder / "arrays.npz"
        assert recommend(str(path), 0.4, home=tmp_path).recommended.beta == beta
        monkeypatch.chdir(path.parent)
        assert recommend("arrays.npz", 0.4, home=tmp_path).recommended.beta == beta
    monkeypatch.chdir(tmp_path)
    assert [found.recommended.beta for found in recommendations(store, "arrays.npz")] == [8, 20]
    there_is = rf"There is: arrays\.npz \({tmp_path}/a/arrays\.npz\) at noise_rate 0\.4 .*; arrays\.npz \({tmp_path}/b"
    with pytest.raises(InvalidInput, match=there_is):
        recommend(str(tmp_path / "c" / "arrays.npz"), 0.4, home=tmp_path)


def test_asking_for_an_unfinished_sweep_names_the_finished_ones_too(
    confirmed_sweep: RecordedSweep, record_sweep: RecordSweep, tmp_path: Path
) -> None:
    record_sweep("halfway", noise_rate=0.2)
    with pytest.raises(InvalidInput, match=r"halfway \(queued\).*There is: digits at noise_rate 0\.4"):
        recommend("digits", 0.2, home=tmp_path)


def test_asking_for_an_interrupted_sweep_says_how_to_complete_it(
    record_sweep: RecordSweep, tmp_path: Path
) -> None:
    sweep = record_sweep("halfway")
    sweep.searched((8, 1), 0.9)
    sweep.store.ask("halfway", Verb.PAUSE)
    with pytest.raises(InvalidInput, match=r"halfway \(paused\).*emphasis resume"):
        recommend("digits", 0.4, home=tmp_path)


def test_asking_an_empty_store_says_how_to_start(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"Nothing is recommended here yet; start a sweep with `emphasis run"):
        recommend("digits", 0.4, home=tmp_path)
