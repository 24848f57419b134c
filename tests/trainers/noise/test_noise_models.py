"""What holds for every noise model that is drawn, and where each one sends the labels."""

from __future__ import annotations

import math
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from trainers.errors import InvalidInput
from trainers.noise import NoiseModel
from trainers.noise import make_noise_model
from trainers.noise import noise_model_descriptions
from trainers.noise import noise_model_names
from trainers.noise.class_maps import CIFAR100_SUPERCLASSES
from trainers.noise.matrix import MatrixNoise

CIFAR10 = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
CIFAR_N = Path(__file__).parents[4] / "shared" / "data" / "cifar_n"
# Model and number of classes.
RATED = [
    ("symmetric", 10),
    ("symmetric", 2),
    ("symmetric_inclusive", 10),
    ("symmetric_inclusive", 2),
    ("asymmetric_cifar10", 10),
    ("asymmetric_cifar100", 100),
    ("pair_flip", 7),
]
FROZEN = {
    "symmetric_inclusive": (10, "e951631cd5825465a0cc713e5ed9204cbecc5ffb9d61b9added88564bf43d59c"),
    "asymmetric_cifar10": (10, "f54ea586f500164a6df510daa5973cd31993c7726f0bd219d7ae6157977abf69"),
    "asymmetric_cifar100": (100, "c67397fcf63a8cabfef4c6a1c78465564fb1fb05620c8ec01a807c241cdd2694"),
    "pair_flip": (10, "b1334665732e37d0035e65bc7726b7e27e1168194aab240dc7acf3cd58fd0a75"),
    "matrix": (4, "9ce8a63745d311847574c09be3c0f54ab863a1a9df72bc28e40394a462918bb5"),
}


def uneven(n: int, classes: int) -> torch.Tensor:
    """Labels of which low classes are more frequent, in random order."""
    generator = np.random.default_rng(99)
    return torch.from_numpy((generator.random(n) ** 1.5 * classes).astype(np.int64))


def skewed_matrix() -> torch.Tensor:
    return torch.tensor(
        [[0.7, 0.1, 0.2, 0.0], [0.0, 1.0, 0.0, 0.0], [0.25, 0.25, 0.25, 0.25], [0.5, 0.0, 0.5, 0.0]],
        dtype=torch.float64,
    )


def drawn_models() -> list[tuple[NoiseModel, int]]:
    rated = [(make_noise_model(name, rate), classes) for name, classes in RATED for rate in (0.05, 0.4, 0.9)]
    return [*rated, (MatrixNoise(skewed_matrix()), 4)]


# --- what every model holds ---


@pytest.mark.parametrize(("model", "classes"), drawn_models(), ids=str)
def test_confusion_counts_lie_within_six_deviations_of_the_transition_matrix(model: NoiseModel, classes: int) -> None:
    intact = uneven(60_000, classes)
    drawn = model.draw(intact, classes, seed=17)
    counts = drawn.confusion_matrix(intact).double()
    matrix = model.transition_matrix(classes)
    assert matrix is not None
    sizes = torch.bincount(intact, minlength=classes).double()[:, None]
    # A cell is binomial (n_i, T_ij), with at least 18 counts expected where it can vary: by Bernstein's
    # inequality it is further off than six deviations and two counts less than once in a million draws.
    deviations = (sizes * matrix * (1 - matrix)).sqrt()
    assert bool(((counts - sizes * matrix).abs() <= 6 * deviations + 2 * (deviations > 0)).all())
    wrong = (sizes * (1 - matrix.diagonal()[:, None])).sum().item()
    spread = (sizes * (matrix.diagonal() * (1 - matrix.diagonal()))[:, None]).sum().sqrt().item()
    assert drawn.mask is not None
    assert abs(int(drawn.mask.sum()) - wrong) <= 5 * spread
    assert torch.equal(drawn.mask, drawn.labels != intact)


@pytest.mark.parametrize(("model", "classes"), drawn_models(), ids=str)
def test_transition_matrix_is_one_of_probabilities(model: NoiseModel, classes: int) -> None:
    matrix = model.transition_matrix(classes)
    assert matrix is not None
    assert matrix.dtype == torch.float64
    assert matrix.shape == (classes, classes)
    assert bool((matrix >= 0).all())
    assert matrix.sum(1).tolist() == pytest.approx([1] * classes, abs=1e-12)


@pytest.mark.parametrize(("name", "classes"), RATED)
def test_lower_rate_changes_a_subset_of_the_labels_in_the_same_way(name: str, classes: int) -> None:
    intact = uneven(5000, classes)
    low = make_noise_model(name, 0.15).draw(intact, classes, seed=4)
    high = make_noise_model(name, 0.45).draw(intact, classes, seed=4)
    assert low.mask is not None
    assert high.mask is not None
    assert bool((high.mask | ~low.mask).all())
    assert 0 < int(low.mask.sum()) < int(high.mask.sum())
    assert torch.equal(low.labels[low.mask], high.labels[low.mask])


@pytest.mark.parametrize(("name", "classes"), RATED)
def test_rate_zero_leaves_every_label(name: str, classes: int) -> None:
    intact = uneven(500, classes)
    assert torch.equal(make_noise_model(name, 0.0).draw(intact, classes, seed=1).labels, intact)


@pytest.mark.parametrize(("model", "classes"), drawn_models(), ids=str)
def test_draw_depends_on_its_arguments_alone(model: NoiseModel, classes: int) -> None:
    intact = uneven(2000, classes)
    kept = intact.clone()
    first = model.draw(intact, classes, seed=1)
    np.random.seed(3)
    torch.manual_seed(3)
    again = pickle.loads(pickle.dumps(model)).draw(intact.numpy(), classes, seed=1)
    assert again.fingerprint == first.fingerprint
    assert model.draw(intact, classes, seed=2).fingerprint != first.fingerprint
    assert torch.equal(intact, kept)


@pytest.mark.parametrize(("model", "classes"), drawn_models(), ids=str)
def test_what_becomes_of_an_example_does_not_depend_on_the_other_labels(model: NoiseModel, classes: int) -> None:
    intact = uneven(2000, classes)
    others = intact.clone()
    others[::2] = (others[::2] + 1) % classes
    drawn, elsewhere = (model.draw(labels, classes, seed=6).labels for labels in (intact, others))
    assert torch.equal(drawn[1::2], elsewhere[1::2])


@pytest.mark.parametrize("name", FROZEN)
def test_draws_are_those_that_were_recorded(name: str) -> None:
    # Frozen: if numpy's stream or our use of it changes, saved sweeps no longer describe their labels.
    classes, fingerprint = FROZEN[name]
    model = MatrixNoise(skewed_matrix()) if name == "matrix" else make_noise_model(name, 0.4)
    assert model.draw(torch.arange(1000) % classes, classes, seed=7).fingerprint == fingerprint


def test_mask_compares_with_intact_labels_where_the_given_ones_are_noisy_already() -> None:
    intact = torch.tensor([0, 0, 1, 1])
    noisy = torch.tensor([0, 1, 1, 0])
    drawn = make_noise_model("symmetric", 0.0).draw(noisy, 2, seed=0, intact=intact)
    assert torch.equal(drawn.labels, noisy)
    assert drawn.mask is not None
    assert drawn.mask.tolist() == [False, True, False, True]


# --- where each one sends the labels ---


@pytest.mark.parametrize("classes", [2, 10, 100])
def test_realised_rate_of_inclusive_noise_is_below_the_nominal_by_the_true_class(classes: int) -> None:
    n, rate = 50_000, 0.6
    drawn = make_noise_model("symmetric_inclusive", rate).draw(uneven(n, classes), classes, seed=2)
    expected = rate * (classes - 1) / classes
    assert drawn.realised_rate is not None
    assert abs(drawn.realised_rate - expected) < 5 * math.sqrt(expected * (1 - expected) / n)
    assert drawn.noise_rate == rate


def test_cifar10_changes_five_classes_into_the_one_each_is_taken_for() -> None:
    intact = uneven(20_000, 10)
    drawn = make_noise_model("asymmetric_cifar10", 0.999).draw(intact, 10, seed=3)
    pairs = {(CIFAR10[i], CIFAR10[j]) for i, j in zip(intact.tolist(), drawn.labels.tolist(), strict=True) if i != j}
    assert pairs == {
        ("truck", "automobile"), ("bird", "airplane"), ("deer", "horse"), ("cat", "dog"), ("dog", "cat"),
    }  # fmt: skip


def test_cats_that_became_dogs_are_not_changed_back() -> None:
    # Flips made one class after the other in place would send almost every cat back to cat.
    intact = torch.tensor([3, 5] * 10_000)
    drawn = make_noise_model("asymmetric_cifar10", 0.9).draw(intact, 10, seed=0)
    counts = drawn.confusion_matrix(intact)
    for here, there in ((3, 5), (5, 3)):
        assert abs(int(counts[here, there]) - 9000) < 5 * math.sqrt(10_000 * 0.9 * 0.1)
        assert int(counts[here, here] + counts[here, there]) == 10_000


def test_cifar100_cycles_through_the_five_classes_of_each_superclass() -> None:
    intact = torch.arange(100).repeat(200)
    drawn = make_noise_model("asymmetric_cifar100", 0.999).draw(intact, 100, seed=3)
    assert drawn.mask is not None
    successor = dict(zip(intact[drawn.mask].tolist(), drawn.labels[drawn.mask].tolist(), strict=True))
    assert sorted(successor) == list(range(100))
    for start in range(100):
        cycle = [start]
        while successor[cycle[-1]] != start:
            cycle.append(successor[cycle[-1]])
        assert len(cycle) == 5
        assert {CIFAR100_SUPERCLASSES[label] for label in cycle} == {CIFAR100_SUPERCLASSES[start]}
        rising = cycle[cycle.index(min(cycle)) :] + cycle[: cycle.index(min(cycle))]
        assert rising == sorted(rising)
    # beaver 4 -> dolphin 30 -> otter 55 -> seal 72 -> whale 95 -> beaver
    assert [successor[label] for label in (4, 30, 55, 72, 95)] == [30, 55, 72, 95, 4]


def test_cifar100_superclasses_are_the_official_ones() -> None:
    if not CIFAR_N.is_dir():
        pytest.skip("CIFAR-N's labels (../shared/data) are not here")
    zeros = np.zeros(50_000, dtype=np.int64)
    path = CIFAR_N / "CIFAR-100_human.pt"
    fine, coarse = (
        make_noise_model("file", file=path, column=column).draw(zeros, 100, seed=0).labels
        for column in ("clean_label", "clean_coarse_label")
    )
    assert torch.equal(torch.tensor(CIFAR100_SUPERCLASSES)[fine], coarse)


def test_pair_flip_goes_to_the_next_class_and_from_the_last_to_the_first() -> None:
    intact = uneven(5000, 7)
    drawn = make_noise_model("pair_flip", 0.5).draw(intact, 7, seed=3)
    assert drawn.mask is not None
    assert torch.equal(drawn.labels, torch.where(drawn.mask, (intact + 1) % 7, intact))


def test_none_leaves_the_labels_and_knows_no_rate_without_intact_ones() -> None:
    model = make_noise_model("none")
    labels = torch.tensor([0, 1, 2, 0])
    drawn = model.draw(labels, 3, seed=0)
    assert torch.equal(drawn.labels, labels)
    assert (drawn.mask, drawn.realised_rate, drawn.noise_rate) == (None, None, None)
    assert model.transition_matrix(3) is None
    known = model.draw(labels, 3, seed=0, intact=torch.tensor([0, 1, 2, 1]))
    assert known.realised_rate == 0.25
    drawn.labels[0] = 2  # a copy
    assert labels[0] == 0


# --- by name ---


def test_every_model_has_a_name_and_one_line_about_it() -> None:
    assert noise_model_names() == [
        "symmetric", "symmetric_inclusive", "asymmetric_cifar10", "asymmetric_cifar100", "pair_flip",
        "matrix", "file", "none",
    ]  # fmt: skip
    assert list(noise_model_descriptions()) == noise_model_names()
    for line in noise_model_descriptions().values():
        assert line
        assert "\n" not in line


@pytest.mark.parametrize(
    ("name", "arguments", "fields"),
    [
        ("symetric", {"noise_rate": 0.4}, ["noise_model"]),
        ("symmetric", {}, ["noise_rate"]),
        (
            "symmetric",
            {"noise_rate": 1.0, "file": "a.npy", "column": "c"},
            ["noise_rate", "noise_file", "noise_column"],
        ),
        ("pair_flip", {"noise_rate": float("nan")}, ["noise_rate"]),
        ("none", {"noise_rate": 0.4}, ["noise_rate"]),
        ("none", {"file": "a.npy"}, ["noise_file"]),
        ("matrix", {"noise_rate": 0.4, "column": "c"}, ["noise_rate", "noise_file", "noise_column"]),
        ("matrix", {"file": "missing.npy"}, ["noise_file"]),
        ("file", {}, ["noise_file"]),
        ("file", {"file": "missing.npy", "column": "c"}, ["noise_column", "noise_file"]),
        ("file", {"file": "missing.xls"}, ["noise_file", "noise_file"]),
    ],
)
def test_arguments_that_are_wrong_missing_or_of_no_use_are_refused(
    name: str, arguments: dict[str, float | str], fields: list[str]
) -> None:
    with pytest.raises(InvalidInput) as caught:
        make_noise_model(name, **arguments)  # type: ignore[arg-type]
    assert [error.field for error in caught.value.errors] == fields
    assert all(error.remedy for error in caught.value.errors)


def test_unknown_model_is_refused_with_the_nearest() -> None:
    with pytest.raises(InvalidInput, match="Did you mean symmetric"):
        make_noise_model("symetric", 0.4)


@pytest.mark.parametrize(("name", "classes"), [("asymmetric_cifar10", 100), ("asymmetric_cifar100", 10)])
def test_model_of_one_data_set_refuses_another_number_of_classes(name: str, classes: int) -> None:
    model = make_noise_model(name, 0.4)
    for use in (lambda: model.check(classes, 500), lambda: model.draw(uneven(500, classes), classes, seed=0)):
        with pytest.raises(InvalidInput) as caught:
            use()
        (error,) = caught.value.errors
        assert (error.field, error.value) == ("noise_model", name)
        assert f"has {classes}" in error.problem
    model.check(110 - classes, 500)
