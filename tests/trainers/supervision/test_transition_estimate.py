from __future__ import annotations

import numpy as np
import pytest
import torch

from trainers.supervision import estimate_transition


def outputs(classes: int, n: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, classes, generator=generator).mul(2).softmax(dim=1)


@pytest.mark.parametrize(("classes", "n"), [(2, 50), (10, 1437), (12, 1437)])
def test_rows_are_outputs_of_the_surest_example_below_the_97th_percentile(classes: int, n: int) -> None:
    p = outputs(classes, n).numpy().astype(np.float64)
    expected = np.empty((classes, classes))
    for i in range(classes):
        threshold = np.percentile(p[:, i], 97, method="higher")
        below = [row for row in p if row[i] < threshold]
        expected[i] = max(below, key=lambda row: row[i])
    expected /= expected.sum(axis=1, keepdims=True)
    found = estimate_transition(outputs(classes, n))
    assert found.dtype == torch.float64
    torch.testing.assert_close(found, torch.from_numpy(expected), rtol=1e-12, atol=0)


def test_with_100_classes_nothing_is_passed_over() -> None:
    p = outputs(100, 500)
    found = estimate_transition(p)
    expected = torch.stack([p[p[:, i].argmax()] for i in range(100)]).double()
    torch.testing.assert_close(found, expected / expected.sum(dim=1, keepdim=True), rtol=1e-12, atol=0)


def test_a_rare_class_is_read_off_an_example_of_its_own() -> None:
    # Ten classes, of which the last has 1 % of the examples; the network fits them all.
    labels = torch.arange(1000) % 9
    labels[500:510] = 9
    p = outputs(10, 1000).double()
    p = 0.2 * p
    p[torch.arange(1000), labels] += 0.8
    found = estimate_transition(p)
    assert found.argmax(dim=1).tolist() == list(range(10))
    assert float(found.diagonal().min()) > 0.8


@pytest.mark.parametrize("classes", [14, 20, 33, 50, 100])
@pytest.mark.parametrize("share", [0.005, 0.025, 0.032, 0.04, 0.06, 0.1])
def test_no_class_is_read_off_another_ones_examples_however_rare_it_is(classes: int, share: float) -> None:
    labels = torch.arange(2000) % (classes - 1)
    labels[1000 : 1000 + round(2000 * share)] = classes - 1
    sureness = torch.empty(2000, dtype=torch.float64)  # of each class's examples from 0.2 to 1, evenly
    for label in range(classes):
        sureness[labels == label] = torch.linspace(0.2, 1, int((labels == label).sum()), dtype=torch.float64)
    p = ((1 - sureness) / (classes - 1)).unsqueeze(1).repeat(1, classes)
    p[torch.arange(2000), labels] = sureness
    # Of the surer half of a class's examples at most is passed over.
    assert float(estimate_transition(p).diagonal().min()) > 0.5


@pytest.mark.parametrize("examples", [2, 6, 10])
def test_a_rare_class_whose_surest_examples_are_equal_is_read_off_one_of_them(examples: int) -> None:
    p = outputs(10, 1000)
    p[:, 9] *= 1e-3
    p[:examples] = 0.0
    p[:examples, 9] = 1.0  # as float32 has what is very sure
    assert float(estimate_transition(p / p.sum(dim=1, keepdim=True))[9, 9]) == 1.0


def test_an_estimate_from_exact_outputs_is_the_matrix_itself() -> None:
    transition = torch.tensor([[0.7, 0.2, 0.1], [0.0, 0.9, 0.1], [0.25, 0.25, 0.5]])
    found = estimate_transition(transition[torch.arange(300) % 3])
    torch.testing.assert_close(found, transition.double(), rtol=1e-6, atol=0)
    spread = transition[torch.arange(300) % 3] * (1 - 1e-6 * torch.arange(300).unsqueeze(1) / 300)
    torch.testing.assert_close(estimate_transition(spread), transition.double(), rtol=1e-5, atol=1e-7)


def test_equal_outputs_give_equal_rows() -> None:
    p = torch.full((20, 4), 0.25)
    torch.testing.assert_close(estimate_transition(p), torch.full((4, 4), 0.25, dtype=torch.float64))
