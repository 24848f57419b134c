from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from search import SweepSpec
from search.resolve import resolved
from search.spec import Training
from search.task import TaskSettings
from spaces import parse_space
from trainers.training import TrainingTask


def task_of(spec: SweepSpec) -> TrainingTask:
    return TaskSettings.of(spec, Path()).load().task


def written_out(spec: SweepSpec) -> SweepSpec:
    return resolved(spec, TaskSettings.of(spec, Path()).load(), spec.noise_rate)


def test_every_default_is_written_out_and_means_the_same() -> None:
    spec = SweepSpec(dataset="digits", noise_rate=0.4)
    written = written_out(spec)

    assert (written.backbone, written.sampler, written.trials) == ("mlp", "tpe", 30)
    assert written.early_stopping == "asha"
    assert written.training.epochs == 60
    assert written.training.learning_rate is not None
    assert task_of(written) == task_of(spec)
    assert written_out(written) == written


def test_a_grid_of_several_supervisions_is_drawn_from_at_random_and_written_out() -> None:
    space = {"kind": "grid", "beta": [*range(1, 32)], "lam": [1], "extra": [{"supervision": "s_adaptation"}]}
    fields = {"space": space, "sampler": "random"}
    written = written_out(SweepSpec.model_validate({"dataset": "digits", "noise_rate": 0.4, **fields}))
    # The other supervision has two stages, which no rule over epochs is allowed for.
    assert (written.trials, written.early_stopping) == (32, "none")


def test_the_space_and_the_values_that_it_leaves_to_their_defaults_are_written_out() -> None:
    spec = SweepSpec.model_validate({"dataset": "digits", "noise_rate": 0.4, "supervision": "gce"})
    written = written_out(spec)
    assert written.space == spec.searched_space
    assert written.hyperparameters == {}  # q is searched

    cell = spec.model_copy(update={"space": parse_space([{"weight_decay": 1e-3}, {"q": 0.5}], supervision="gce")})
    assert written_out(cell).hyperparameters == {"q": 0.7}
    assert written_out(written_out(cell)) == written_out(cell)

    of_gr = SweepSpec(dataset="digits", noise_rate=0.4)
    assert written_out(of_gr).hyperparameters == {}  # transform and normalise are fields of their own


@pytest.mark.parametrize("iterations", [1, 2, 3])
def test_the_shortest_budgets_resolve_though_no_milestone_fits_into_them(iterations: int) -> None:
    spec = SweepSpec(dataset="digits", noise_rate=0.4, training=Training(iterations=iterations))
    written = written_out(spec)

    assert task_of(written).iterations == iterations


@pytest.mark.parametrize(
    "training",
    [
        {"milestones": []},  # a rate that stays: nothing recorded would be the recipe's drops
        {"epochs": 3, "milestones": [0.01]},
        {"iterations": 3},  # both of the recipe's drops fall on its last step
        {"iterations": 300, "milestones": [10, 20], "milestone_unit": "epochs"},
        {"epochs": 7, "milestones": [0.5]},
    ],
)
def test_what_is_recorded_trains_at_the_learning_rates_that_were_asked_for(training: dict[str, Any]) -> None:
    spec = SweepSpec.model_validate({"dataset": "digits", "noise_rate": 0.4, "training": training})
    asked, recorded = task_of(spec), task_of(written_out(spec))
    steps = range(asked.iterations)
    assert [recorded.learning_rate_at(step) for step in steps] == [asked.learning_rate_at(step) for step in steps]
    assert written_out(written_out(spec)) == written_out(spec)


def test_one_budget_is_recorded_in_the_same_words_however_it_was_given() -> None:
    given = ({"epochs": 2}, {"iterations": 24})
    recorded = [
        written_out(SweepSpec.model_validate({"dataset": "digits", "noise_rate": 0.4, "training": training})).training
        for training in given
    ]
    assert recorded[0] == recorded[1]


def test_data_is_recorded_where_it_lies(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    spec = SweepSpec(dataset="digits", noise_rate=0.4, data_dir=Path("~/data"))

    assert written_out(spec).data_dir == tmp_path / "home" / "data"
    here = spec.model_copy(update={"data_dir": Path("data")})
    assert written_out(here).data_dir == tmp_path / "data"
