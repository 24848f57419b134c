import math
import pickle

import pytest
from optuna.distributions import CategoricalDistribution
from optuna.distributions import FloatDistribution
from optuna.distributions import IntDistribution
from pydantic import ValidationError

from spaces import BoxSpace
from spaces import Configuration
from spaces import Dimension
from spaces import GridSpace
from spaces import KappaSpace
from spaces import RangesSpace
from spaces import SearchSpace
from spaces import parse_space

SPACES = [
    KappaSpace(),
    BoxSpace(beta=(1, 30), lam=(0.5, 2)),
    GridSpace(points=({"beta": 8, "lam": 0.5}, {"beta": 12, "lam": 0.5})),
    RangesSpace(supervision="gr", dimensions={"beta": Dimension(low=1, high=30, log=True), "lam": [0, 2]}),
]


@pytest.mark.parametrize("space", SPACES, ids=lambda space: space.kind)
def test_json_form_reads_back_as_the_same_space(space: SearchSpace) -> None:
    assert parse_space(space.model_dump(mode="json")) == space


@pytest.mark.parametrize("space", SPACES, ids=lambda space: space.kind)
def test_corners_of_the_distributions_are_configurations_of_the_space(space: SearchSpace) -> None:
    for end in (0, -1):
        params: dict[str, float] = {}
        for name, distribution in space.distributions().items():
            if isinstance(distribution, CategoricalDistribution):
                ends = [float(str(choice)) for choice in distribution.choices]
            else:
                assert isinstance(distribution, FloatDistribution)
                ends = [distribution.low, distribution.high]
            params[name] = ends[end]
        assert space.params(space.configuration(params)) == pytest.approx(params, rel=1e-5)


@pytest.mark.parametrize("space", SPACES, ids=lambda space: space.kind)
def test_a_configuration_outside_has_no_coordinates(space: SearchSpace) -> None:
    assert space.params(Configuration.of("gr", beta=1000, lam=0.5)) is None
    assert space.params(Configuration.of("gr", beta=8, lam=3.5)) is None
    assert space.params(Configuration.of("gr", beta=8, lam=0.5, q=1)) is None
    assert space.params(Configuration("cce")) is None


@pytest.mark.parametrize("space", SPACES, ids=lambda space: space.kind)
@pytest.mark.parametrize(
    "params",
    [{}, {"lam": 1.0}, {"lam": math.nan, "kappa": 1.0, "beta": 8.0, "cell": math.nan}, {"cell": 0.5}],
)
def test_coordinates_that_are_no_point_are_refused(space: SearchSpace, params: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"params = .*Give "):
        space.configuration(params)


def test_sampled_values_are_recorded_with_few_digits_and_still_inside() -> None:
    space = BoxSpace(beta=(0, 2 / 3), lam=(0, 1))
    configuration = space.configuration({"beta": 2 / 3, "lam": 0.123456789})
    assert configuration == Configuration.of("gr", beta=0.666667, lam=0.123457)
    assert space.params(configuration) == {"beta": 2 / 3, "lam": 0.123457}


def test_ranges_are_drawn_evenly_in_a_value_or_in_its_logarithm() -> None:
    decay = {"low": 1e-5, "high": 1e-2, "log": True}
    space = parse_space({"kind": "ranges", "supervision": "gce", "dimensions": {"q": [0.1, 1], "weight_decay": decay}})
    assert space.distributions() == {
        "q": FloatDistribution(0.1, 1),
        "weight_decay": FloatDistribution(1e-5, 1e-2, log=True),
    }
    configuration = space.configuration({"q": 0.123456789, "weight_decay": 1.23456789e-4})
    assert configuration == Configuration.of("gce", q=0.123457, weight_decay=1.23457e-4)
    assert space.description == "gce, q in [0.1, 1], weight_decay in [1e-05, 0.01] (log)"


def test_whole_numbers_alone_are_drawn_where_that_is_asked_for() -> None:
    window, k = {"low": 4, "high": 11, "whole": True}, {"low": 1, "high": 100, "log": True, "whole": True}
    space = parse_space({"kind": "ranges", "supervision": "d2l", "dimensions": {"window": window, "k": k}})
    assert space.distributions() == {"window": IntDistribution(4, 11), "k": IntDistribution(1, 100, log=True)}
    assert parse_space(space.model_dump(mode="json")) == space
    assert isinstance(space, RangesSpace)
    assert space.description == "d2l, window in [4, 11] (whole), k in [1, 100] (log, whole)"
    assert space.centre() == Configuration.of("d2l", window=8, k=10)
    configuration = space.configuration({"window": 7, "k": 20})
    assert space.params(configuration) == {"window": 7, "k": 20}
    with pytest.raises(ValueError, match=r"window in \[4, 11\] \(whole\)"):
        space.configuration({"window": 6.5, "k": 20})


def test_configurations_of_whole_numbers_and_single_values_are_counted_and_listed() -> None:
    window = Dimension(low=4, high=6, whole=True)
    space = RangesSpace(supervision="d2l", dimensions={"window": window, "k": [0.5, 0.5]})
    assert space.size == 3
    assert space.configurations() == [Configuration.of("d2l", window=window, k=0.5) for window in (4, 5, 6)]
    assert BoxSpace(beta=(8, 8), lam=(0, 3)).size is None
    assert BoxSpace(beta=(8, 8), lam=(0, 3)).configurations() is None
    assert KappaSpace(lam=(0.5, 0.5), kappa=(3, 3)).size == 1
    many = RangesSpace(supervision="d2l", dimensions={"window": Dimension(low=1, high=1e6, whole=True)})
    assert (many.size, many.configurations()) == (1_000_000, None)
    assert GridSpace(beta=(4, 8), lam=(0.5,)).size == 2


def test_a_range_may_lie_below_zero() -> None:
    space = RangesSpace(supervision="mine", dimensions={"a": Dimension(low=-2, high=-1)})
    assert space.configuration({"a": -2.0}) == Configuration.of("mine", a=-2)
    assert space.params(Configuration.of("mine", a=-0.5)) is None


def test_corners_are_every_combination_of_the_ends_and_the_centre_lies_between() -> None:
    log = Dimension(low=0.01, high=1, log=True)
    space = RangesSpace(supervision="mine", dimensions={"a": Dimension(low=0, high=1), "b": log})
    assert {(each.as_dict()["a"], each.as_dict()["b"]) for each in space.corners()} == {
        (0, 0.01), (0, 1), (1, 0.01), (1, 1),
    }  # fmt: skip
    assert space.centre() == Configuration.of("mine", a=0.5, b=0.1)


def test_cells_hold_words_and_numbers_however_yaml_reads_them() -> None:
    points = [{"matrix": True}, {"matrix": "estimated"}, {"pretraining": "1e-1"}]
    space = parse_space({"kind": "grid", "supervision": "forward", "points": points})
    assert [str(cell) for cell in space.grid() or []] == [
        "forward(matrix=true)",
        "forward(matrix=estimated)",
        "forward(pretraining=0.1)",
    ]
    assert parse_space(space.model_dump(mode="json")) == space
    assert space.description == (
        "grid: forward(matrix=true), forward(matrix=estimated), forward(pretraining=0.1)"
    )


def test_range_of_one_value_keeps_it_fixed() -> None:
    space = KappaSpace(lam=(0.5, 0.5))
    assert space.configuration({"lam": 0.5, "kappa": 3.0}).as_dict()["lam"] == 0.5


def test_three_ways_of_writing_one_grid_have_the_same_cells() -> None:
    by_lambda = parse_space({"kind": "grid", "beta_by_lambda": {"0.5": [4, 8], 1: [4, 8]}})
    product = parse_space({"kind": "grid", "lambda": [0.5, 1], "beta": [4, 8]})
    points = parse_space([[4, 0.5], {"beta": 8, "lambda": 0.5}, {"beta": 4, "lam": 1}, (8, 1)])
    assert by_lambda.grid() == product.grid() == points.grid()
    assert [str(cell) for cell in points.grid() or []] == [
        "gr(beta=4, lam=0.5)",
        "gr(beta=8, lam=0.5)",
        "gr(beta=4, lam=1)",
        "gr(beta=8, lam=1)",
    ]


def test_extras_are_cells_after_the_grid() -> None:
    space = parse_space({"kind": "grid", "beta": [4], "lam": [1], "extra": [{"supervision": "cce"}]})
    assert [str(cell) for cell in space.grid() or []] == ["gr(beta=4, lam=1)", "cce"]
    assert space.configuration({"cell": 1}) == Configuration("cce")
    assert space.params(Configuration("cce")) == {"cell": 1}


def test_cells_are_made_once_and_are_a_grids_own() -> None:
    space = GridSpace(beta=(4, 8), lam=(0.5, 1))
    first = space.grid()
    first.clear()
    cells = space.grid()
    assert [str(cell) for cell in cells[:2]] == ["gr(beta=4, lam=0.5)", "gr(beta=8, lam=0.5)"]
    assert all(one is other for one, other in zip(cells, space.grid(), strict=True))
    assert pickle.loads(pickle.dumps(space)) == space == parse_space(space.model_dump(mode="json"))
    assert [str(cell) for cell in space.model_copy(update={"beta": (4.0,)}).grid()] == [
        "gr(beta=4, lam=0.5)",
        "gr(beta=4, lam=1)",
    ]


def test_continuous_space_has_no_grid() -> None:
    assert KappaSpace().grid() is None


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"kind": "kappa", "lam": [3, 1]}, r"starts above its end. Write it as \[1, 3\]"),
        ({"kind": "kappa", "kappa": [-1, 1]}, r"starts below 0"),
        ({"kind": "kappa", "kappa": [0, 1e308]}, r"e\^kappa, is no number any more. End it at 700"),
        ({"kind": "kappa", "lam": [0, 1e308]}, r"ends beyond any use. End it at 1e\+06"),
        ({"kind": "box", "beta": [0, math.inf]}, "finite"),
        ({"kind": "box", "beta": [0, True]}, "truth value"),
        ({"kind": "box", "betta": [0, 1]}, "betta"),
        ({"kind": "grid"}, "has no cells"),
        ({"kind": "grid", "points": []}, "has no cells"),
        ({"kind": "grid", "beta": [1]}, "has no lam"),
        ({"kind": "grid", "beta": [1, 1], "lam": [1]}, r"gr\(beta=1, lam=1\).*twice"),
        ({"kind": "grid", "beta": [1], "lam": [1], "points": [{"beta": 1, "lam": 2}]}, "more than one way"),
        ({"kind": "grid", "beta": list(range(101)), "lam": list(range(101))}, "has 10,201 cells"),
        ({"kind": "grid", "points": [{f"x{n}": 1 for n in range(101)}]}, "at most 100"),
        (
            {"kind": "ranges", "supervision": "gce", "dimensions": {f"x{n}": [0, 1] for n in range(13)}},
            "at most 12",
        ),
        ({"kind": "grid", "points": [{"beta": math.nan}]}, "neither a finite number nor a word"),
        ({"kind": "grid", "points": [{"beta": "inf"}]}, "neither a finite number nor a word"),
        ({"kind": "grid", "points": [{"beta": [1]}]}, "neither a finite number nor a word"),
        ({"kind": "grid", "points": [{"matrix": "x" * 1001}]}, "neither a finite number nor a word"),
        ({"kind": "grid", "supervision": "gce", "beta": [1], "lam": [1]}, "has no beta and lam"),
        ({"kind": "ranges", "dimensions": {"q": [0, 1]}}, "supervision"),
        ({"kind": "ranges", "supervision": "gce"}, "dimensions"),
        ({"kind": "ranges", "supervision": "gce", "dimensions": {}}, "at least 1"),
        ({"kind": "ranges", "supervision": "gce", "dimensions": {"q": [0, 1, 2]}}, "no pair of numbers"),
        ({"kind": "ranges", "supervision": "gce", "dimensions": {"q": [1, 0]}}, r"Write it as \[0, 1\]"),
        ({"kind": "ranges", "supervision": "gce", "dimensions": {"q": {"low": 0, "high": 1, "log": True}}}, "above 0"),
        ({"kind": "sphere"}, "kind"),
        (7, "Give a name"),
    ],
)
def test_what_is_no_space_is_refused_with_the_reason(value: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_space(value)


def test_everything_wrong_with_a_space_is_reported_at_once() -> None:
    with pytest.raises(ValidationError) as caught:
        parse_space({"kind": "kappa", "lam": [3, 1], "kappa": [-1, 1]})
    assert caught.value.error_count() == 2
