"""Sweeps that release 0.1.0 recorded: their specs lack what came later, and mean what they meant."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from recorded_sweeps import RecordedSweep
from recorded_sweeps import RecordSweep
from typer.testing import CliRunner

from search.cli import app
from search.newest_recommendations import recommend
from search.plan import SweepPlan
from search.reports.figures import write_figures
from search.spec import SweepSpec
from search.spec_reading import parse_specs
from search.store import Phase
from search.store import Store
from search.store import TrialRecord
from search.store import TrialState
from search.submission import spec_of
from spaces import kappa_of

# As 0.1.0 wrote them with `resolved(spec, task).to_json_dict()`.
SPECS: dict[str, dict[str, Any]] = json.loads(
    (Path(__file__).parent / "assets" / "specs_0_1_0.json").read_text(encoding="utf-8")
)


@pytest.fixture
def recorded(record_sweep: RecordSweep) -> RecordedSweep:
    sweep = record_sweep("digits-old", spec=SPECS["kappa"])
    for beta, lam, reached in ((12, 0.5, 0.93), (16, 1, 0.95)):
        sweep.searched((beta, lam), reached, params={"lam": lam, "kappa": kappa_of(beta, lam)})
    return sweep


@pytest.mark.parametrize("name", SPECS)
def test_a_recorded_spec_is_read_and_asks_for_the_same(name: str) -> None:
    (spec,) = parse_specs(SPECS[name])
    assert spec == SweepSpec.recorded(SPECS[name])
    written = spec.to_json_dict()
    for section in ("training", "confirm"):
        written[section] = {field: written[section][field] for field in SPECS[name][section]}
    assert {field: written[field] for field in SPECS[name]} == SPECS[name]
    assert spec.fixed == {"transform": SPECS[name]["transform"], "normalise": SPECS[name]["normalise"]}


def test_a_recorded_sweep_is_listed_shown_exported_and_drawn(
    recorded: RecordedSweep, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EMPHASIS_HOME", str(tmp_path))
    recorded.confirmed((16, 1), 0.95, 0.96)
    recorded.baseline(0.6, 0.61)
    recorded.done()

    def emphasis(*arguments: str) -> str:
        done = CliRunner().invoke(app, arguments, catch_exceptions=False)
        assert done.exit_code == 0
        return done.stdout

    assert "digits-old  done   6/6     16  1  0.955" in emphasis("list")
    assert "Recommended: beta = 16, lambda = 1 for digits" in emphasis("show", "digits-old")
    (exported,) = json.loads(emphasis("export"))
    assert exported["recommended"] == {
        "supervision": "gr", "beta": 16, "lambda": 1, "transform": "exp", "normalise": "batch",
    }  # fmt: skip
    assert recommend("digits", 0.4, home=tmp_path).recommended.beta == 16
    names = {path.name for path in write_figures(recorded.store, recorded.id, tmp_path / "figures")}
    assert {"objective_map.png", "weight_curves.png"} <= names


def planned(store: Store, recorded: RecordedSweep, spec: SweepSpec) -> SweepPlan:
    return SweepPlan(
        store,
        recorded.id,
        spec,
        num_classes=10,
        epochs=4,
        evaluate_every=1,
        objective_of=lambda epoch: None,
    )


def test_a_recorded_sweep_goes_on_with_what_is_missing(recorded: RecordedSweep, store: Store) -> None:
    (spec,) = parse_specs(recorded.record.spec)
    plan = planned(store, recorded, spec)
    trial = plan.next()
    assert isinstance(trial, TrialRecord)
    assert (trial.phase, trial.configuration, trial.supervision) == (Phase.SEARCH, 2, "gr")
    assert trial.hyperparameters.keys() == {"beta", "lam"}


def test_a_recorded_sweep_that_knew_no_early_stopping_goes_on_without_it(
    recorded: RecordedSweep, store: Store
) -> None:
    (spec,) = parse_specs({**recorded.record.spec, "trials": 30, "sampler": "tpe"})
    assert spec.early_stopping is None
    plan = planned(store, recorded, spec)
    trial = plan.next()
    assert isinstance(trial, TrialRecord)
    assert plan.judged_epochs(trial) == []


def test_ranges_of_whole_numbers_that_were_to_be_gone_through_again_and_again_are_gone_through_once(
    record_sweep: RecordSweep,
) -> None:
    space = {"kind": "box", "beta": [8, 8], "lam": [0.5, 0.5]}
    sweep = record_sweep("whole", spec={**SPECS["kappa"], "space": space, "trials": 3})
    sweep.searched((8, 0.5), 0.9, params={"beta": 8, "lam": 0.5})
    first = sweep.trials[0]
    again = sweep.store.add_trial(
        sweep.id, phase=Phase.SEARCH, configuration=1, repeat=0, supervision="gr",
        hyperparameters=first.hyperparameters, params=first.params, noise_rate=0.4,
        seed=first.seed, noise_seed=first.noise_seed,
    )  # fmt: skip
    sweep.store.start_attempt(again.id, "here", 1)
    sweep.store.finish_trial(again.id, TrialState.DONE, objective=0.9, final=first.final, best=first.best)
    spec = spec_of(sweep.record)
    assert (spec.trials, SweepSpec.recorded(sweep.record.spec).trials) == (1, 3)
    plan = planned(sweep.store, sweep, spec)
    counts = spec.number_of_trials()
    assert plan.ready() == counts.baseline
    handed_out = [plan.next() for _ in range(counts.fresh)]
    assert [trial.phase for trial in handed_out if isinstance(trial, TrialRecord)] == [
        *[Phase.BASELINE] * counts.baseline,
        *[Phase.CONFIRM] * counts.confirm,
    ]
