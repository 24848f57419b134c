import csv
import json
from collections.abc import Callable
from collections.abc import Iterator
from pathlib import Path

import pytest

from spaces import Configuration
from spaces import KappaSpace
from spaces import default_space
from spaces import parse_space
from spaces import space_by_name
from spaces import space_names
from spaces.paper import table_3
from spaces.supervisions import SPACES

PAPER = Path(__file__).parents[3] / "shared" / "paper"
needs_tables = pytest.mark.skipif(
    not PAPER.is_dir(), reason="the paper's tables are not beside this checkout"
)


def cells(name: str, noise_rate: float | None = None) -> list[Configuration]:
    grid = space_by_name(name, noise_rate).grid()
    assert grid is not None
    return grid


def rows_of(table: str) -> Iterator[tuple[dict[str, str], Configuration]]:
    with (PAPER / table).open() as file:
        for row in csv.DictReader(file):
            if row["supervision"] == "cce":
                yield row, Configuration("cce")
            else:
                yield row, Configuration.of("gr", beta=float(row["beta"]), lam=float(row["lambda"] or 0))


def test_figures_6_to_9_have_18_configurations() -> None:
    grid = cells("paper-figures-6-9")
    assert len(set(grid)) == 18
    assert grid[-2:] == [Configuration("cce"), Configuration.of("gr", beta=0, lam=0)]


@needs_tables
def test_figures_6_to_9_are_those_of_the_paper() -> None:
    written = json.loads((PAPER / "grids.json").read_text())["figures_6_to_9"]["beta_by_lambda"]
    expected = {
        Configuration.of("gr", beta=beta, lam=float(lam)) for lam, betas in written.items() for beta in betas
    }
    assert set(cells("paper-figures-6-9")[:16]) == expected


@needs_tables
def test_table_2_is_that_of_the_paper() -> None:
    assert set(cells("paper-table-2")) == {configuration for _, configuration in rows_of("table2_clean.csv")}


@needs_tables
@pytest.mark.parametrize("noise_rate", [0.2, 0.4, 0.6, 0.8])
def test_table_3_at_one_noise_rate_is_that_of_the_paper(noise_rate: float) -> None:
    rows = rows_of("table3_cifar10_resnet56.csv")
    expected = {configuration for row, configuration in rows if float(row["noise_rate"]) == noise_rate}
    assert set(cells("paper-table-3", noise_rate)) == expected


@needs_tables
@pytest.mark.parametrize("noise_rate", [None, 0.3])
def test_table_3_at_no_rate_of_its_own_is_all_of_it(noise_rate: float | None) -> None:
    expected = {configuration for _, configuration in rows_of("table3_cifar10_resnet56.csv")}
    assert set(cells("paper-table-3", noise_rate)) == expected


@needs_tables
def test_table_7_is_the_grid_that_the_paper_searched() -> None:
    written = json.loads((PAPER / "grids.json").read_text())["table_7"]
    expected = {Configuration.of("gr", beta=b, lam=lam) for b in written["beta"] for lam in written["lambda"]}
    assert set(cells("paper-table-7")) == expected
    with (PAPER / "table7_cifar100_resnet44_grid.csv").open() as file:
        best = {
            Configuration.of("gr", beta=float(row["best_beta"]), lam=float(row["lambda"]))
            for row in csv.DictReader(file)
        }
    assert best <= expected


def test_table_3_takes_a_computed_noise_rate() -> None:
    assert table_3(0.1 + 0.5) == table_3(0.6)


@pytest.mark.parametrize("name", space_names())
def test_named_space_survives_json(name: str) -> None:
    space = space_by_name(name)
    assert parse_space(name) == space
    assert parse_space(json.loads(json.dumps(space.model_dump(mode="json")))) == space
    assert "\n" not in space.description


@pytest.mark.parametrize("name", SPACES)
def test_a_default_space_is_of_its_supervision_alone(name: str) -> None:
    space = default_space(name)
    configurations = space.grid() or getattr(space, "corners", list)()
    assert {configuration.supervision for configuration in configurations} == {name}
    assert space_by_name(name) == space


def test_table_6_searches_weight_decay_and_dropout_of_cce() -> None:
    for name, field, paper in (("l2", "weight_decay", 1e-4), ("dropout", "dropout", 0.2)):
        space = space_by_name(name)
        assert space.params(Configuration.of("cce", **{field: paper})) == {field: paper}


def test_a_supervision_that_nobody_has_a_space_for_is_searched_in_the_cell_of_its_defaults() -> None:
    assert default_space("unheard of").grid() == [Configuration("unheard of")]


def test_an_installed_package_adds_a_space_and_a_broken_one_harms_no_other(
    install_package: Callable[..., None],
) -> None:
    install_package(
        "emphasis.spaces",
        {
            "focal": "example_spaces:FOCAL",
            "broken": "example_missing:SPACE",
            "nothing": "example_spaces:NOTHING",
            "kappa": "example_spaces:FOCAL",
        },
        example_spaces=(
            "from spaces import Dimension, RangesSpace\n"
            "NOTHING = 3\n"
            "FOCAL = RangesSpace(supervision='focal', dimensions={'gamma': Dimension(low=0, high=5)})\n"
        ),
    )
    assert {"focal", "broken", "kappa"} <= set(space_names())
    assert space_names().count("kappa") == 1
    assert default_space("focal").configuration({"gamma": 2.0}) == Configuration.of("focal", gamma=2)
    assert space_by_name("kappa") == KappaSpace()
    with pytest.raises(ValueError, match=r"plugin emphasis-example .*does not load: ModuleNotFoundError"):
        space_by_name("broken")
    with pytest.raises(ValueError, match=r"gives a int, which is no space"):
        default_space("nothing")


def test_unknown_name_is_refused_with_the_nearest() -> None:
    with pytest.raises(
        ValueError, match=r"'paper-table-33'.*Did you mean 'paper-table-3'\?.*There are: kappa, box"
    ):
        space_by_name("paper-table-33")
