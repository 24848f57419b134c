"""What each sampler proposes, and that a rebuilt study goes on where the last one was."""

from __future__ import annotations

from itertools import combinations
from typing import get_args

import numpy as np
import optuna
import pytest

from search.sampler import ConfigurationSampler
from search.sampler import Proposal
from search.spec import Sampler
from spaces import BoxSpace
from spaces import Configuration
from spaces import GridSpace
from spaces import KappaSpace
from spaces import RangesSpace
from spaces import SearchSpace

CONTINUOUS = [name for name in get_args(Sampler) if name != "grid"]


def sampler(name: str = "tpe", space: SearchSpace | None = None, **given: object) -> ConfigurationSampler:
    values = {"seed": 0, **given}
    return ConfigurationSampler(space or KappaSpace(), name, **values)  # type: ignore[arg-type]


def objective(proposal: Proposal) -> float:
    """Highest at lam = 0.6, kappa = 4, as on digits."""
    return 1 - 0.1 * (proposal.params["kappa"] - 4) ** 2 - 0.1 * (proposal.params["lam"] - 0.6) ** 2


def searched(name: str, trials: int, seed: int = 0) -> list[Proposal]:
    chosen = sampler(name, seed=seed)
    proposals = []
    for _ in range(trials):
        proposals.append(chosen.ask())
        chosen.tell(proposals[-1].index, objective(proposals[-1]))
    return proposals


@pytest.mark.parametrize("name", CONTINUOUS)
def test_every_continuous_sampler_proposes_new_configurations_of_the_space(name: str) -> None:
    proposals = searched(name, 16)

    assert [proposal.index for proposal in proposals] == list(range(16))
    assert len({proposal.configuration for proposal in proposals}) == 16
    for proposal in proposals:
        assert KappaSpace().configuration(proposal.params) == proposal.configuration
        assert KappaSpace().params(proposal.configuration) is not None


@pytest.mark.parametrize("name", CONTINUOUS)
def test_the_same_seed_proposes_the_same_and_another_seed_something_else(name: str) -> None:
    first = [proposal.configuration for proposal in searched(name, 12, seed=3)]

    assert [proposal.configuration for proposal in searched(name, 12, seed=3)] == first
    assert [proposal.configuration for proposal in searched(name, 12, seed=4)] != first


@pytest.mark.parametrize("name", ["tpe", "gp", "cmaes"])
def test_a_model_comes_nearer_to_the_best_than_its_first_points(name: str) -> None:
    values = [objective(proposal) for proposal in searched(name, 40)]

    assert np.mean(values[-10:]) > np.mean(values[:10]) + 0.1


def test_starting_points_come_first_and_those_outside_the_space_are_left_out() -> None:
    points = [
        Configuration.of("gr", beta=16, lam=1),
        Configuration.of("gr", beta=1000, lam=0.5),
        Configuration.of("gr", beta=12, lam=0.5),
        Configuration.of("cce"),
    ]
    box = BoxSpace(beta=(0, 20), lam=(0, 2))
    chosen = sampler("random", box, starting_points=points)

    assert [chosen.ask().configuration for _ in range(2)] == [points[0], points[2]]
    assert chosen.ask().configuration not in points


def test_a_grid_is_walked_in_order_with_its_extras_last_and_what_it_is_told_changes_nothing() -> None:
    grid = GridSpace(beta=(4, 8), lam=(0.5, 1), extra=({"supervision": "cce"},))
    chosen = sampler("grid", grid, starting_points=[Configuration.of("gr", beta=8, lam=1)])
    proposals = []
    for _ in range(5):
        proposals.append(chosen.ask())
        chosen.tell(proposals[-1].index, 0.5)

    assert [proposal.configuration for proposal in proposals] == grid.grid()
    assert all(proposal.params == {} for proposal in proposals)


def test_a_restored_grid_goes_on_with_the_next_cell() -> None:
    grid = GridSpace(beta=(4, 8, 12), lam=(0.5,))
    chosen = sampler("grid", grid, restored=2)
    chosen.restore(0, {})
    chosen.restore(1, {})
    chosen.tell(0, 0.5)

    assert chosen.ask() == Proposal(2, Configuration.of("gr", beta=12, lam=0.5), {})


@pytest.mark.parametrize("name", ["random", "tpe"])
def test_cells_drawn_from_a_grid_are_all_different(name: str) -> None:
    grid = GridSpace(beta=(2, 4, 8, 12, 16, 20), lam=(0.5, 1))
    chosen = sampler(name, grid)
    drawn = []
    for _ in range(12):
        drawn.append(chosen.ask())
        chosen.tell(drawn[-1].index, 1.0 if drawn[-1].params["cell"] == 3 else 0.1)

    assert {proposal.configuration for proposal in drawn} == set(grid.grid())


@pytest.mark.parametrize("name", CONTINUOUS)
def test_whole_numbers_are_each_proposed_once(name: str) -> None:
    dimensions = {"beta": {"low": 1, "high": 30, "whole": True, "log": True}, "lam": {"low": 0.5, "high": 0.5}}
    chosen = sampler(name, RangesSpace.model_validate({"supervision": "gr", "dimensions": dimensions}))
    proposals = []
    for _ in range(30):
        proposals.append(chosen.ask())
        chosen.tell(proposals[-1].index, 1 / proposals[-1].params["beta"])

    assert {proposal.configuration for proposal in proposals} == {
        Configuration.of("gr", beta=beta, lam=0.5) for beta in range(1, 31)
    }


def test_a_restored_draw_from_a_grid_does_not_repeat_cells() -> None:
    grid = GridSpace(beta=(2, 4, 8, 12, 16, 20), lam=(0.5,))
    before = sampler("random", grid)
    drawn = [before.ask() for _ in range(3)]
    after = sampler("random", grid, restored=3)
    for proposal in drawn:
        after.restore(proposal.index, proposal.params)
        after.tell(proposal.index, 0.5)
    drawn += [after.ask() for _ in range(3)]

    assert {proposal.configuration for proposal in drawn} == set(grid.grid())


@pytest.mark.parametrize("name", CONTINUOUS)
def test_a_resumed_search_does_not_propose_its_first_points_again(name: str) -> None:
    before = searched(name, 6)
    after = sampler(name, restored=6)
    for proposal in before:
        after.restore(proposal.index, proposal.params)
        after.tell(proposal.index, objective(proposal))
    asked = [after.ask() for _ in range(4)]

    assert [proposal.index for proposal in asked] == [6, 7, 8, 9]
    assert not {each.configuration for each in before} & {each.configuration for each in asked}
    nearest = min(
        abs(old.params["kappa"] - new.params["kappa"]) + abs(old.params["lam"] - new.params["lam"])
        for old in before
        for new in asked
    )
    assert nearest > 1e-6


def test_a_resumed_model_has_learnt_what_the_first_had() -> None:
    before = searched("tpe", 40)
    after = sampler("tpe", restored=40)
    for proposal in before:
        after.restore(proposal.index, proposal.params)
    for proposal in before:
        after.tell(proposal.index, objective(proposal))
    asked = [after.ask() for _ in range(8)]

    assert np.mean([objective(proposal) for proposal in asked]) > np.mean(
        [objective(proposal) for proposal in before[:10]]
    )


def test_a_resumed_search_goes_on_with_the_starting_points_that_are_left() -> None:
    points = [Configuration.of("gr", beta=beta, lam=0.5) for beta in (8, 12, 15)]
    before = sampler("tpe", starting_points=points)
    first = before.ask()
    after = sampler("tpe", starting_points=points, restored=1)
    after.restore(first.index, first.params)

    assert [after.ask().configuration for _ in range(2)] == points[1:]


@pytest.mark.parametrize("name", CONTINUOUS)
def test_asked_many_times_at_once_a_model_spreads_its_proposals(name: str) -> None:
    chosen = sampler(name)
    for _ in range(24):
        proposal = chosen.ask()
        chosen.tell(proposal.index, objective(proposal))
    batch = [chosen.ask() for _ in range(8)]

    points = [(each.params["lam"] / 3, each.params["kappa"] / 6) for each in batch]
    distances = [np.hypot(a[0] - b[0], a[1] - b[1]) for a, b in combinations(points, 2)]
    assert min(distances) > 1e-4
    assert max(distances) > 0.02


def told_states(chosen: ConfigurationSampler) -> list[optuna.trial.TrialState]:
    return [trial.state for trial in chosen._study.get_trials()]


def test_what_failed_and_what_was_stopped_is_told_as_such_and_has_no_value() -> None:
    chosen = sampler("random")
    for index, (value, pruned) in enumerate([(None, False), (float("nan"), False), (0.7, True), (0.5, False)]):
        chosen.ask()
        chosen.tell(index, value, pruned=pruned)
    states = optuna.trial.TrialState

    assert told_states(chosen) == [states.FAIL, states.FAIL, states.PRUNED, states.COMPLETE]
    assert chosen._study.best_value == 0.5


@pytest.mark.parametrize("name", ["tpe", "gp"])
def test_a_model_proposes_once_ten_results_are_there_however_many_trials_run_at_once(name: str) -> None:
    def after(results: int, name: str) -> list[dict[str, float]]:
        chosen = sampler(name)
        running = [chosen.ask() for _ in range(16)]
        for proposal in running[:results]:
            chosen.tell(proposal.index, objective(proposal))
        return [dict(chosen.ask().params) for _ in range(4)]

    # Whatever they were told, the first proposals are the same draws.
    assert after(9, name) == after(5, name)
    assert after(10, name) != after(9, name)


def test_tpe_knows_the_best_and_the_latest_of_many_trials_so_that_a_proposal_costs_no_more() -> None:
    chosen = sampler("tpe")
    running, told = [chosen.ask(), chosen.ask()], []
    for _ in range(1100):
        running.append(chosen.ask())
        proposal = running.pop(0)
        told.append((objective(proposal), dict(proposal.params)))
        chosen.tell(proposal.index, told[-1][0], pruned=len(told) % 3 == 0)

    known = chosen._study.get_trials(deepcopy=False)
    assert len(known) <= 320 + 3
    assert [trial.params for trial in known if not trial.state.is_finished()] == [dict(each.params) for each in running]
    finished = [value for number, (value, _) in enumerate(told, start=1) if number % 3]
    best = sorted(finished)[-25:]
    assert sorted(trial.value for trial in known if trial.value is not None)[-25:] == best
    assert [trial.params for trial in known if trial.state.is_finished()][-100:] == [point for _, point in told[-100:]]
    assert len({proposal.configuration for proposal in running}) == 2
    # It still models: what it proposes is near the best.
    assert np.median([value for value, _ in told[-20:]]) > 0.95
