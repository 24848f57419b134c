import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st

from search.remedies import REMEDIES
from search.spec import Confirm
from search.spec import Resources
from search.spec import SweepSpec
from search.spec import Training
from search.spec_reading import parse_specs
from search.spec_reading import read_spec_file
from search.spec_reading import read_specs
from spaces import KappaSpace
from spaces import space_by_name
from trainers.errors import FieldError
from trainers.errors import InvalidInput
from trainers.supervision import supervision_names

SOUND: dict[str, Any] = {"dataset": "digits", "noise_rate": 0.4}
FIELDS_INSIDE = (
    *("kind", "lam", "beta", "q", "dimensions", "supervision", "points", "extra"),
    *("epochs", "milestones", "seeds", "gpus"),
)
GRID: dict[str, Any] = {"kind": "grid", "beta": [4], "lam": [1]}


def errors_of(fields: dict[str, Any]) -> tuple[FieldError, ...]:
    with pytest.raises(InvalidInput) as caught:
        parse_specs(fields)
    return caught.value.errors


def only_error(**fields: Any) -> FieldError:
    errors = errors_of({**SOUND, **fields})
    assert len(errors) == 1, errors
    return errors[0]


def test_dataset_and_noise_rate_are_enough() -> None:
    (spec,) = parse_specs(SOUND)
    assert spec.space is None
    assert spec.searched_space == KappaSpace()
    assert spec.resolved_sampler == "tpe"
    assert spec.number_of_configurations == 30
    assert spec.training == Training()


@pytest.mark.parametrize(
    ("fields", "field", "value", "problem", "remedy"),
    [
        ({"dataset": ""}, "dataset", "", "at least 1 character", "emphasis datasets"),
        ({"noise_rate": 1.0}, "noise_rate", 1.0, "must be below 1", "e.g. 0.4"),
        ({"noise_rate": -0.1}, "noise_rate", -0.1, "must be 0 or more", "e.g. 0.4"),
        ({"noise_rate": float("nan")}, "noise_rate", None, "not a finite number", "e.g. 0.4"),
        ({"noise_rate": "much"}, "noise_rate", "much", "not a number", "e.g. 0.4"),
        ({"data_dir": 7}, "data_dir", 7, "not a", "folder"),
        ({"data_dir": "/a" * 3000}, "data_dir", "/a" * 40, "longer than a path", "Give the folder"),
        ({"dataset": "x" * 300}, "dataset", "x" * 80, "longer than a path", "emphasis datasets"),
        ({"dataset": "~nobody-here/x.npz"}, "dataset", "~nobody-here/x.npz", "home folder of nobody", "emphasis"),
        ({"resources": {"gpus": 5e-324}}, "resources.gpus", 5e-324, "less than 0.001 of a GPU", "e.g. 0.25"),
        ({"download": "maybe"}, "download", "maybe", "neither true nor false", "true or false"),
        ({"limit_train": 0}, "limit_train", 0, "must be above 0", "e.g. 5000"),
        ({"noise_model": "pair"}, "noise_model", "pair", "no such noise_model", "Did you mean pair_flip"),
        ({"backbone": 20}, "backbone", 20, "is not text", "emphasis backbones"),
        ({"supervision": "gc"}, "supervision", "gc", "no such supervision", "Did you mean gce"),
        ({"supervision": 7}, "supervision", 7, "is not text", "emphasis supervisions"),
        ({"hyperparameters": 7}, "hyperparameters", 7, "not a mapping", "{q: 0.7}"),
        ({"hyperparameters": {"beta": [1]}}, "hyperparameters.beta", [1], "neither a finite number", "{q: 0.7}"),
        ({"hyperparameters": {"beta": 8}}, "hyperparameters.beta", 8, "searched by the space too", "Leave it out"),
        ({"hyperparameters": {"q": 0.7}}, "hyperparameters.q", 0.7, "no such", "gr takes beta, lam"),
        (
            {"hyperparameters": {"transform": "identity"}},
            "hyperparameters.transform",
            "identity",
            "a field of the sweep itself",
            "Give it as transform",
        ),
        (
            {"transform": "identity"},
            "transform",
            "identity",
            "divides beta out",
            "Give normalise: none",
        ),
        (
            {"supervision": "d2l", "space": {"kind": "ranges", "dimensions": {"window": [4, 10]}}},
            "space.dimensions.window",
            [4, 10],
            "counts something",
            "window: {low: 4, high: 10, whole: true}",
        ),
        (
            {
                "supervision": "d2l",
                "space": {"kind": "ranges", "dimensions": {"k": {"low": 4, "high": 9.5, "whole": True}}},
            },
            "space.dimensions.k",
            [4, 9.5],
            "is to give whole numbers and does not end at such",
            "Give two whole numbers",
        ),
        (
            {"hyperparameters": {"dropout": 0.2}},
            "hyperparameters.dropout",
            0.2,
            "is a training field",
            "training.dropout",
        ),
        (
            {"supervision": "gce", "transform": "identity"},
            "transform",
            "identity",
            "belongs to gr, and gce is searched",
            "Leave it out",
        ),
        (
            {"supervision": "gce", "space": "kappa"},
            "space",
            None,
            "searches gr, and the sweep gce",
            "supervision: gr",
        ),
        ({"space": "l2"}, "space", None, "searches cce, and the sweep gr", "supervision: cce"),
        ({"space": [{"beta": 8, "lam": 1, "q": 0.5}]}, "space.points[0].q", 0.5, "no such hyper-parameter", "gr takes"),
        ({"space": [{"beta": 8}]}, "space", None, "lam is missing", "--set lam="),
        (
            {"supervision": "gce", "space": [{"q": 0.5}, {"q": 1.5}]},
            "space.points[1].q",
            1.5,
            "not a number in (0, 1]",
            "0.7",
        ),
        (
            {"supervision": "gce", "space": {"kind": "ranges", "dimensions": {"q": [0, 1]}}},
            "space.dimensions.q",
            0,
            "not a number in (0, 1]",
            "0.7",
        ),
        (
            {"supervision": "gce", "space": {"kind": "ranges", "dimensions": {"q": [1, 0.5]}}},
            "space.dimensions.q",
            [1, 0.5],
            "above its end",
            "[0.5, 1]",
        ),
        (
            {"supervision": "cce", "space": {"kind": "ranges", "dimensions": {"dropout": [0, 1]}}},
            "space.dimensions.dropout",
            1,
            "must be below 1",
            "e.g. 0.2",
        ),
        (
            {"supervision": "cce", "space": {"kind": "ranges", "dimensions": {"momentum": [0, 0.9]}}},
            "space.dimensions.momentum",
            0,
            "no such hyper-parameter",
            "weight_decay, dropout, learning_rate",
        ),
        (
            {"space": {"kind": "ranges", "dimensions": {"dropout": {"low": 0, "high": 0.5, "log": True}}}},
            "space.dimensions.dropout",
            None,
            "does not start above 0",
            "leave log out",
        ),
        (
            {"normalise": "none", "space": {"kind": "box", "beta": [0, 900]}},
            "space.beta",
            900,
            "overflows float32",
            "normalise='batch'",
        ),
        (
            {"space": {**GRID, "extra": [{"supervision": "gce", "hyperparameters": {"q": 7}}]}},
            "space.extra[0].hyperparameters.q",
            7,
            "not a number in (0, 1]",
            "0.7",
        ),
        ({"space": {**GRID, "extra": [{"supervision": "cc"}]}}, "space", "cc", "no such", "Did you mean"),
        ({"transform": "expo"}, "transform", "expo", "none of exp, identity", "Did you mean 'exp'?"),
        ({"normalise": "bach"}, "normalise", "bach", "none of batch, none", "Did you mean 'batch'?"),
        ({"space": "kapa"}, "space", "kapa", "no such space", "Did you mean 'kappa'?"),
        ({"space": 7}, "space", 7, "is no search space", "a list of cells"),
        ({"space": {"lam": [0, 1]}}, "space", {"lam": [0, 1]}, "which kind", "with kind: kappa"),
        ({"space": {"kind": "bix"}}, "space.kind", "bix", "none of kappa, box", "Did you mean 'box'?"),
        ({"space": {"kind": "kappa", "lam": [3, 1]}}, "space.lam", (3, 1), "above its end", "[1, 3]"),
        ({"space": {"kind": "kappa", "lambd": [0, 1]}}, "space.lambd", [0, 1], "no such field", "'lam'"),
        ({"space": [{"beta": -1, "lam": 1}]}, "space.points[0].beta", -1, "not a number in [0", "beta >= 0"),
        (
            {"space": {"kind": "grid", "extra": [{"supervision": "cce"}]}},
            "space",
            None,
            "no cell of gr",
            "Add cells",
        ),
        ({"sampler": "tpee"}, "sampler", "tpee", "none of tpe", "Did you mean 'tpe'?"),
        ({"learning-rate": 0.1}, "learning-rate", 0.1, "no such field", "training.learning_rate"),
        ({"limit-train": 100}, "limit-train", 100, "no such field", "Did you mean 'limit_train'?"),
        ({"sampler": "grid"}, "sampler", "grid", "needs a grid", "paper-figures-6-9"),
        ({"sampler": "gp", "space": "paper-table-2"}, "sampler", "gp", "needs a continuous", "space: kappa"),
        ({"trials": 2, "space": "paper-table-7"}, "trials", 2, "which has 30", "sampler: random"),
        (
            {"trials": 31, "space": "paper-table-7", "sampler": "tpe"},
            "trials",
            31,
            "exceeds the 30",
            "repeats",
        ),
        ({"trials": 0}, "trials", 0, "must be above 0", "e.g. 30"),
        ({"trials": True}, "trials", True, "truth value", "e.g. 30"),
        ({"trials": 2.5}, "trials", 2.5, "not a whole number", "e.g. 30"),
        ({"starting_points": "few"}, "starting_points", "few", "neither true nor false", "true or false"),
        ({"repeats": 0}, "repeats", 0, "must be above 0", "from 1 upwards"),
        ({"confirm": 3}, "confirm", 3, "not a mapping", "{top: 3, seeds: 3}"),
        ({"confirm": {"top": 0}}, "confirm.top", 0, "must be above 0", "best configurations"),
        ({"confirm": {"seeds": -1}}, "confirm.seeds", -1, "must be 0 or more", "leaves the confirmation out"),
        ({"concurrency": 0}, "concurrency", 0, "must be above 0", "at once"),
        ({"lanes": 0}, "lanes", 0, "must be above 0", "trains together"),
        ({"resources": {"cpus": 0}}, "resources.cpus", 0, "must be above 0", "e.g. 1"),
        ({"resources": {"gpus": 0.33}}, "resources.gpus", 0.33, "nor 1/n", "the nearest is 1/3"),
        ({"resources": {"gpus": 2}}, "resources.gpus", 2, "no trial trains on several GPUs", "Give 1"),
        ({"resources": {"gpus": "1/0"}}, "resources.gpus", "1/0", "not a number", "'1/3'"),
        ({"seed": -1}, "seed", -1, "must be 0 or more", "whole number"),
        ({"max_failure_rate": 0}, "max_failure_rate", 0, "must be above 0", "e.g. 0.5"),
        ({"early_stopping": "asah"}, "early_stopping", "asah", "none of none", "Did you mean"),
        ({"early_stopping": "wilcoxon"}, "early_stopping", "wilcoxon", "repeats is 1", "repeats: 4 or more"),
        ({"early_stopping": "asha", "sampler": "gp"}, "early_stopping", "asha", "would learn nothing", "sampler: tpe"),
        (
            {"early_stopping": "asha", "supervision": "label_optimisation"},
            "early_stopping",
            "asha",
            "label_optimisation has 2 stages",
            "early_stopping: none",
        ),
        ({"max_retries": -1}, "max_retries", -1, "must be 0 or more", "whole number"),
        ({"training": {"epochs": 0}}, "training.epochs", 0, "must be above 0", "e.g. 30"),
        ({"training": {"iterations": "x"}}, "training.iterations", "x", "not a whole number", "steps"),
        ({"training": {"batch_size": 1}}, "training.batch_size", 1, "must be 2 or more", "e.g. 128"),
        ({"training": {"learning_rate": 0}}, "training.learning_rate", 0, "must be above 0", "e.g. 0.1"),
        ({"training": {"momentum": 1}}, "training.momentum", 1, "must be below 1", "e.g. 0.9"),
        ({"training": {"weight_decay": -1}}, "training.weight_decay", -1, "must be 0 or more", "1e-4"),
        ({"training": {"dropout": 1}}, "training.dropout", 1, "must be below 1", "e.g. 0.2"),
        ({"training": {"decay_factor": 2}}, "training.decay_factor", 2, "must be 1 or less", "e.g. 0.1"),
        ({"training": {"evaluate_every": 0}}, "training.evaluate_every", 0, "must be above 0", "epochs"),
        ({"training": {"precision": "fp16"}}, "training.precision", "fp16", "none of auto", "Did you mean"),
        (
            {"training": {"augmentation": "flip"}},
            "training.augmentation",
            "flip",
            "none of none",
            "pad-crop-flip",
        ),
        (
            {"training": {"epochs": 2, "iterations": 9}},
            "training.iterations",
            9,
            "epochs = 2 is given too",
            "Keep one",
        ),
        (
            {"training": {"milestones": [0.5, 2]}},
            "training.milestones",
            [0.5, 2],
            "below 1",
            "set milestone_unit",
        ),
        (
            {"training": {"milestones": [0.7, 0.5]}},
            "training.milestones",
            [0.7, 0.5],
            "ascending",
            "[0.5, 0.7]",
        ),
        (
            {"training": {"milestones": [1.5], "milestone_unit": "epochs"}},
            "training.milestones",
            [1.5],
            "whole epochs",
            "fraction",
        ),
        (
            {"training": {"milestones": [5, 9], "milestone_unit": "epochs", "epochs": 9}},
            "training.milestones",
            [5, 9],
            "end of the budget (9 epochs)",
            "below 9",
        ),
        ({"noise_rate": None}, "noise_rate", None, "is missing", "Give the share of wrong labels"),
        ({"noise_rate": "unknown"}, "noise_rate", "unknown", "of a rate that is known", "noise_model: none or file"),
        ({"objective": "test"}, "objective", "test", "is none of", "noisy_validation"),
        ({"validation_fraction": 1}, "validation_fraction", 1, "must be below 1", "share between 0 and 1"),
        ({"training": {"epoch": 3}}, "training.epoch", 3, "no such field", "Did you mean 'epochs'?"),
        ({"epochs": 3}, "epochs", 3, "no such field", "training.epochs"),
        ({"trails": 3}, "trails", 3, "no such field", "Did you mean 'trials'?"),
    ],
)
def test_wrong_field_is_named_with_its_value_and_the_remedy(
    fields: dict[str, Any], field: str, value: object, problem: str, remedy: str
) -> None:
    error = only_error(**fields)
    assert error.field == field
    assert value is None or error.value == value
    assert problem in error.problem
    assert remedy in error.remedy


def test_identity_with_a_beta_that_is_not_searched_may_be_normalised_over_the_batch() -> None:
    space = {"kind": "ranges", "dimensions": {"lam": [0, 2]}}
    fields = {"dataset": "digits", "noise_rate": 0.4, "transform": "identity", "space": space}
    assert parse_specs({**fields, "hyperparameters": {"beta": 4}})
    assert [error.field for error in errors_of({**fields, "hyperparameters": {"beta": 0}})] == ["transform"]


def test_everything_wrong_is_reported_at_once_even_between_fields() -> None:
    errors = errors_of(
        {
            "noise_rate": 1.2,
            "trials": 2,
            "space": "paper-table-7",
            "seed": -1,
            "resources": {"gpus": 0.3},
            "training": {"epochs": 2, "iterations": 2, "momentum": 7},
        }
    )
    assert {error.field for error in errors} == {
        "dataset",
        "noise_rate",
        "trials",
        "seed",
        "resources.gpus",
        "training.iterations",
        "training.momentum",
    }


def test_a_wrong_field_is_not_blamed_a_second_time_through_another() -> None:
    assert only_error(space="paper-table-77", sampler="grid").field == "space"


def test_what_can_be_read_beside_a_wrong_field_is_read() -> None:
    reading = read_specs({"noise_rate": 0.2, "trials": 7, "seed": -1})
    assert reading.unread == {"dataset", "seed"}
    assert reading.specs[0].trials == 7


@settings(max_examples=60, deadline=None)
@given(
    fields=st.dictionaries(
        st.sampled_from([*SweepSpec.model_fields, "other"]),
        st.recursive(
            st.none()
            | st.booleans()
            | st.integers(-3, 99)
            | st.floats()
            | st.sampled_from(["grid", "kappa", "gce", "ranges", "1/2", ""]),
            lambda inner: (
                st.lists(inner, max_size=3)
                | st.dictionaries(
                    st.sampled_from([1, *FIELDS_INSIDE]),
                    inner,
                    max_size=4,
                )
            ),
            max_leaves=6,
        ),
    )
)
def test_whatever_is_given_every_error_has_field_and_remedy(fields: dict[str, Any]) -> None:
    reading = read_specs(fields)
    assert reading.errors or SweepSpec.model_validate(reading.specs[0].to_json_dict()) == reading.specs[0]
    for error in reading.errors:
        assert error.field
        assert error.problem
        assert error.remedy


@pytest.mark.parametrize("name", supervision_names())
def test_every_supervision_takes_its_default_space(name: str) -> None:
    required = {"beta": 8, "lam": 0.5} if name == "gr" else {}
    spec = SweepSpec.model_validate({**SOUND, "supervision": name})
    cells = spec.searched_space.grid()
    assert spec.number_of_trials().search == (30 if cells is None else len(cells))
    assert not required or spec.searched_space == KappaSpace()


def test_cells_and_ranges_are_of_the_sweeps_supervision_unless_they_say_otherwise() -> None:
    cells, ranges = ([{"q": 0.5}], {"kind": "ranges", "dimensions": {"q": [0.1, 1]}})
    for space in (cells, ranges):
        (spec,) = parse_specs({**SOUND, "supervision": "gce", "space": space})
        assert getattr(spec.space, "supervision", None) == "gce"


def test_a_fixed_value_is_one_of_every_configuration() -> None:
    (spec,) = parse_specs({**SOUND, **SPECS[-1]})
    assert spec.fixed == {"transform": "exp", "normalise": "batch", "lam": 0.5}


def test_a_recorded_spec_is_read_whatever_can_be_trained_here() -> None:
    fields = {**SOUND, "supervision": "of a plugin that has gone", "hyperparameters": {"gamma": 2}}
    assert SweepSpec.recorded(fields).number_of_trials().search == 1
    with pytest.raises(InvalidInput, match="no such supervision"):
        parse_specs(fields)


def test_several_noise_rates_make_one_sweep_each() -> None:
    specs = parse_specs({**SOUND, "noise_rate": [0.2, 0.6], "space": "paper-table-3"})
    assert [spec.noise_rate for spec in specs] == [0.2, 0.6]
    assert [spec.space for spec in specs] == [space_by_name("paper-table-3", rate) for rate in (0.2, 0.6)]


def test_the_papers_cells_are_those_of_all_its_rates_where_the_rate_is_yet_to_be_estimated() -> None:
    (spec,) = parse_specs({**SOUND, "noise_rate": "unknown", "noise_model": "none", "space": "paper-table-3"})
    assert spec.space == space_by_name("paper-table-3")


def test_error_in_one_of_several_noise_rates_names_its_place_and_others_are_said_once() -> None:
    errors = errors_of({"dataset": "digits", "noise_rate": [0.2, 2.0, 0.2], "trials": 0})
    assert sorted((error.field, error.problem) for error in errors) == [
        ("noise_rate[1]", "must be below 1"),
        ("noise_rate[2]", "is given twice"),
        ("trials", "must be above 0"),
    ]


def test_no_noise_rate_at_all_is_refused() -> None:
    assert only_error(noise_rate=[]).problem == "has no noise rate"


SPECS: list[dict[str, Any]] = [
    {"supervision": "gce"},
    {"supervision": "gce", "space": [{"q": "0.5", "weight_decay": "1e-3"}, {"q": 1}]},
    {"supervision": "cce", "space": "l2", "sampler": "random"},
    {"hyperparameters": {"lambda": 0.5}, "space": {"kind": "ranges", "dimensions": {"beta": [0, 20]}}},
]


@pytest.mark.parametrize(
    "fields",
    [
        *SPECS,
        {},
        {"space": "paper-figures-6-9", "data_dir": "somewhere/else"},
        {"space": {"kind": "box", "beta": [0, 9], "lambda": [0, 1]}, "sampler": "gp"},
        {"space": [[8, 0.5], [12, 0.5]], "resources": {"gpus": "1/3", "cpus": 2}},
        {"training": {"epochs": 9, "milestones": [4, 6], "milestone_unit": "epochs"}},
    ],
)
def test_spec_survives_plain_json(fields: dict[str, Any]) -> None:
    (spec,) = parse_specs({**SOUND, **fields})
    assert SweepSpec.model_validate(json.loads(json.dumps(spec.to_json_dict()))) == spec


@settings(deadline=None)
@given(n=st.integers(1, 100))
def test_every_equal_share_of_a_gpu_is_accepted(n: int) -> None:
    assert Resources(gpus=1 / n).gpus == 1 / n
    assert Resources.model_validate({"gpus": f"1/{n}"}).gpus == 1 / n


def test_trials_are_counted_by_phase() -> None:
    spec = SweepSpec(dataset="digits", noise_rate=0.4, trials=10, repeats=2, confirm=Confirm(top=4, seeds=5))
    counts = spec.number_of_trials()
    assert (counts.search, counts.confirm, counts.baseline, counts.total) == (20, 20, 5, 45)


def whole(low: int, high: int) -> dict[str, Any]:
    beta = {"low": low, "high": high, "whole": True}
    return {**SOUND, "space": {"kind": "ranges", "supervision": "gr", "dimensions": {"beta": beta, "lam": [0.5, 0.5]}}}


@pytest.mark.parametrize(("high", "configurations", "confirmed"), [(10, 1, 1), (12, 3, 3), (39, 30, 3), (100, 30, 3)])
def test_whole_numbers_are_searched_once_each(high: int, configurations: int, confirmed: int) -> None:
    spec = SweepSpec.model_validate(whole(10, high))
    counts = spec.number_of_trials()
    assert spec.number_of_configurations == counts.search == configurations
    assert counts.confirm == confirmed * spec.confirm.seeds
    assert SweepSpec.model_validate({**whole(10, high), "trials": high - 9}).number_of_trials().search == high - 9


def test_more_trials_than_whole_numbers_are_refused() -> None:
    (error,) = errors_of({**whole(10, 12), "trials": 8})
    assert (error.field, error.value) == ("trials", 8)
    assert "exceeds the 3 configurations in the ranges" in str(error)
    assert "Give 3; repeats" in str(error)


def test_a_grid_is_searched_cell_by_cell_and_confirms_no_more_than_its_own_supervision_has() -> None:
    spec = SweepSpec.model_validate({**SOUND, "space": "paper-table-2"})
    assert spec.resolved_sampler == "grid"
    counts = spec.number_of_trials()
    assert (counts.search, counts.confirm, counts.baseline) == (3, 6, 3)


GRID_OF_30 = {"beta": list(range(1, 11)), "lam": [0.5, 1, 2]}


@pytest.mark.parametrize(
    ("fields", "objective", "rule"),
    [
        ({}, "intact", "asha"),
        ({"sampler": "random", "trials": 100, "repeats": 3}, "intact", "asha"),
        ({"space": {"kind": "box", "beta": [1, 20], "lam": [0, 2]}, "confirm": {"top": 5}}, "intact", "asha"),
        # Nothing is known of what it would lose here.
        ({"trials": 29}, "intact", "none"),
        ({"sampler": "gp"}, "intact", "none"),
        ({"space": "paper-figures-6-9"}, "intact", "none"),
        ({"space": {"kind": "grid", **GRID_OF_30}, "sampler": "random"}, "intact", "none"),
        (
            {"space": {"kind": "ranges", "dimensions": {"beta": [1, 20], "lam": [0, 2], "learning_rate": [0.01, 0.1]}}},
            "intact",
            "none",
        ),
        ({"confirm": {"top": 6}}, "intact", "none"),
        ({"supervision": "gce"}, "intact", "none"),
        ({}, "noisy_validation", "none"),
        # Whoever asks is given it.
        ({"early_stopping": "none"}, "intact", "none"),
        ({"early_stopping": "median", "trials": 5}, "clean_validation", "median"),
    ],
)
def test_early_stopping_is_the_default_where_it_was_measured_to_lose_nothing(
    fields: dict[str, Any], objective: str, rule: str
) -> None:
    (spec,) = parse_specs({**SOUND, **fields})
    assert spec.resolved_early_stopping(objective) == rule


def test_without_confirmation_there_is_no_baseline() -> None:
    counts = SweepSpec(dataset="digits", noise_rate=0.4, confirm=Confirm(seeds=0)).number_of_trials()
    assert (counts.confirm, counts.baseline) == (0, 0)


def test_every_field_has_a_remedy() -> None:
    for name, field in SweepSpec.model_fields.items():
        assert name in REMEDIES
        if field.annotation in (Training, Confirm, Resources):
            assert {f"{name}.{inner}" for inner in field.annotation.model_fields} <= REMEDIES.keys()


def test_yaml_file_is_read(tmp_path: Path) -> None:
    file = tmp_path / "sweep.yaml"
    file.write_text(
        "dataset: digits\nnoise_rate: [0.2, 0.4]\ntraining:\n  weight_decay: 1e-4\n  epochs: 5\n"
        "space:\n  kind: grid\n  beta_by_lambda:\n    0.5: [4, 8]\n"
    )
    specs = parse_specs(read_spec_file(file))
    assert [spec.noise_rate for spec in specs] == [0.2, 0.4]
    assert specs[0].training.weight_decay == 1e-4
    assert [str(cell) for cell in specs[0].space.grid() or []] == [
        "gr(beta=4, lam=0.5)",
        "gr(beta=8, lam=0.5)",
    ]


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "is empty"),
        (b"- digits\n", "holds a list"),
        (b"dataset: [digits\n", "no valid YAML at line 2"),
        (b"trials: 3\ntrials: 4\n", "no valid YAML at line 2, column 1: trials is given twice"),
        (b"a: !!python/object/apply:os.getcwd []\n", "no valid YAML"),
        (b"\xff\xfe\x00dataset", "not UTF-8"),
        (b"? [a, b]\n: 1\n", "no valid YAML at line 1, column 3"),
        (b"1: 2\n", "there is no such field"),
    ],
)
def test_file_that_holds_no_spec_is_refused(tmp_path: Path, content: bytes, problem: str) -> None:
    file = tmp_path / "sweep.yaml"
    file.write_bytes(content)
    with pytest.raises(InvalidInput) as caught:
        parse_specs(read_spec_file(file))
    assert any(problem in error.problem for error in caught.value.errors), caught.value.errors


def test_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"no-such.yaml.*cannot be read: No such file"):
        read_spec_file(tmp_path / "no-such.yaml")


DECAYS = {"kind": "ranges", "dimensions": {"weight_decay": {"low": 1e-5, "high": 1e-2, "log": True}}}


@pytest.mark.parametrize(
    ("fields", "trained"),
    [
        ({"supervision": "gr"}, True),
        ({"supervision": "cce"}, False),  # the baseline
        ({"supervision": "mae"}, False),  # all that is searched
        ({"supervision": "mae", "space": DECAYS}, True),
    ],
)
def test_defaults_are_trained_where_they_are_something_else_than_what_is_searched(
    fields: dict[str, Any], trained: bool
) -> None:
    (spec,) = parse_specs({**SOUND, **fields, "confirm": {"seeds": 2, "defaults": True}})
    assert spec.trains_defaults is trained
    assert spec.number_of_trials().defaults == (2 if trained else 0)
