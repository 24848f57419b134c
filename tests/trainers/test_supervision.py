from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import mpmath
import pytest
import torch
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st
from torch import Tensor
from torch import nn
from torch.nn import functional

from trainers import CategoricalCrossEntropy
from trainers import GeneralisedCrossEntropy
from trainers import GradientRescaling
from trainers import MeanAbsoluteError
from trainers.errors import FieldError
from trainers.errors import InvalidInput
from trainers.supervision import Batch
from trainers.supervision import Setting
from trainers.supervision import Supervision
from trainers.supervision import WeightFunction
from trainers.supervision import make_supervision
from trainers.supervision import supervision_names


def gradient_of(supervision: Supervision, logits: Tensor, labels: Tensor) -> Tensor:
    leaf = logits.clone().requires_grad_()
    supervision(leaf, labels).backward()
    assert leaf.grad is not None
    assert leaf.grad.dtype == logits.dtype
    return leaf.grad


def by_definition(supervision: GradientRescaling, logits: Tensor, labels: Tensor) -> Tensor:
    """w / (2 (1 - p)) * dCCE/dz over the batch, as the paper defines it, in as many digits as it takes."""
    rows, weights = [], []
    for row, label in zip(logits.tolist(), labels.tolist(), strict=True):
        # 1 - p = exp(-20000), which logits of +1e4 and -1e4 make, shows in the 8686th digit.
        with mpmath.workdps(40 + int((max(row) - min(row)) / math.log(10))):
            exponentials = [mpmath.exp(mpmath.mpf(z)) for z in row]
            softmax = [e / mpmath.fsum(exponentials) for e in exponentials]
            p = softmax[label]
            weight = supervision.beta * p ** mpmath.mpf(supervision.lam) * (1 - p)
            weight = mpmath.exp(weight) if supervision.transform == "exp" else weight
            weights.append(weight)
            cce = [q - (1 if c == label else 0) for c, q in enumerate(softmax)]
            rows.append([weight / (2 * (1 - p)) * entry for entry in cce])
    size = len(rows) if supervision.normalise == "none" else mpmath.fsum(weights)
    return torch.tensor([[float(entry / size) for entry in row] for row in rows], dtype=torch.float64)


def assert_close(found: Tensor, expected: Tensor, rtol: float) -> None:
    smallest = torch.finfo(found.dtype).tiny
    torch.testing.assert_close(found.double(), expected, rtol=rtol, atol=smallest)


def batch(n: int = 16, classes: int = 7, scale: float = 3.0, seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    logits = scale * torch.randn(n, classes, generator=generator, dtype=torch.float64)
    return logits, torch.randint(0, classes, (n,), generator=generator)


def relevance(logits: Tensor, labels: Tensor) -> Tensor:
    return logits.softmax(dim=1).gather(1, labels.unsqueeze(1)).squeeze(1)


# The losses as their papers write them, for autograd to differentiate.
LITERAL_LOSSES: dict[str, tuple[Supervision, Callable[[Tensor, Tensor], Tensor]]] = {
    "cce": (CategoricalCrossEntropy(), functional.cross_entropy),
    "mae": (MeanAbsoluteError(), lambda z, y: (2 * (1 - relevance(z, y))).mean()),
    "gce": (GeneralisedCrossEntropy(), lambda z, y: ((1 - relevance(z, y) ** 0.7) / 0.7).mean()),
    "gce-0.2": (GeneralisedCrossEntropy(0.2), lambda z, y: ((1 - relevance(z, y) ** 0.2) / 0.2).mean()),
    "gce-1": (GeneralisedCrossEntropy(1), lambda z, y: (1 - relevance(z, y)).mean()),
}


@pytest.mark.parametrize("name", LITERAL_LOSSES)
def test_value_and_gradient_are_those_of_the_literal_loss(name: str) -> None:
    supervision, literal = LITERAL_LOSSES[name]
    logits, labels = batch()
    leaf = logits.clone().requires_grad_()
    expected = literal(leaf, labels)
    expected.backward()
    assert leaf.grad is not None
    value = supervision(logits, labels)
    assert value.shape == ()
    torch.testing.assert_close(value, expected.detach(), rtol=1e-13, atol=0)
    torch.testing.assert_close(gradient_of(supervision, logits, labels), leaf.grad, rtol=1e-11, atol=1e-16)


@pytest.mark.parametrize(
    ("identity", "loss"),
    [
        (GradientRescaling(2, 0, "identity", "none"), CategoricalCrossEntropy()),
        (GradientRescaling(4, 1, "identity", "none"), MeanAbsoluteError()),
        (GradientRescaling(2, 0.7, "identity", "none"), GeneralisedCrossEntropy(0.7)),
        (GradientRescaling(2, 0.3, "identity", "none"), GeneralisedCrossEntropy(0.3)),
    ],
)
def test_identity_gr_has_the_other_losses_as_special_cases(
    identity: GradientRescaling, loss: WeightFunction
) -> None:
    logits, labels = batch()
    found, expected = gradient_of(identity, logits, labels), gradient_of(loss, logits, labels)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=0)
    p = torch.linspace(0, 1, 101, dtype=torch.float64)
    torch.testing.assert_close(identity.weights(p), loss.weights(p), rtol=1e-12, atol=0)


@settings(max_examples=80, deadline=None)
@given(data=st.data())
def test_gradient_of_gr_is_its_definition(data: st.DataObject) -> None:
    classes = data.draw(st.integers(2, 6))
    z = st.floats(-60, 60, allow_subnormal=False)
    rows = data.draw(st.lists(st.lists(z, min_size=classes, max_size=classes), min_size=1, max_size=5))
    labels = torch.tensor([data.draw(st.integers(0, classes - 1)) for _ in rows])
    supervision = GradientRescaling(
        beta=data.draw(st.one_of(st.just(0.0), st.floats(0.01, 30))),
        lam=data.draw(st.one_of(st.just(0.0), st.floats(0.01, 4))),
        # Identity weights can all be 0 at once; they have their own tests.
        transform="exp",
        normalise=data.draw(st.sampled_from(["batch", "none"])),
    )
    logits = torch.tensor(rows, dtype=torch.float64)
    expected = by_definition(supervision, logits, labels)
    assert_close(gradient_of(supervision, logits, labels), expected, rtol=1e-11)


EXTREMES = [
    [1e4, 0.0, -3.0],  # p = 1
    [-1e4, 0.0, -3.0],  # p = 0
    [1e4, -1e4, -1e4],  # the furthest apart
    [-1e4, 1e4, 1e4],
    [1e4, 1e4, 1e4],  # p = 1/3, far from 0
    [1e4, 10000.5, 9999.0],
    [-1e4, -10000.5, -9999.0],
    [69.5, 0.0, 0.0],  # 1 - p about 1e-30
    [-69.5, 0.0, 0.0],  # p about 1e-30
    [-200.0, 0.0, -1.0],  # p below float32, p**0.01 far from 0
    [0.25, -0.5, 1.5],
]


@pytest.mark.parametrize("normalise", ["batch", "none"])
@pytest.mark.parametrize("transform", ["exp", "identity"])
@pytest.mark.parametrize(
    ("beta", "lam"), [(12, 0.5), (0, 0), (0, 2), (6, 0), (30, 3), (8, 0.01), (8, 1e-3), (1e-3, 20)]
)
def test_gradient_of_gr_is_its_definition_at_the_ends_too(
    beta: float, lam: float, transform: Any, normalise: Any
) -> None:
    supervision = GradientRescaling(beta, lam, transform, normalise)
    logits = torch.tensor(EXTREMES, dtype=torch.float64)
    labels = torch.zeros(len(EXTREMES), dtype=torch.int64)
    if beta == 0 and transform == "identity":
        expected = torch.zeros_like(logits)  # by_definition would divide 0 by 0
    else:
        expected = by_definition(supervision, logits, labels)
    for dtype, rtol in ((torch.float64, 1e-11), (torch.float32, 1e-5)):
        # Every extreme is a float32, so both types see the same logits.
        found = gradient_of(supervision, logits.to(dtype), labels)
        assert_close(found, expected, rtol)


def test_logits_far_from_zero_cost_float32_no_precision() -> None:
    logits, labels = batch(64, 10, scale=2)
    near = (logits * 1024).round() / 1024
    far = near.float() + 8192  # exact
    for supervision in (GradientRescaling(12, 0.5), CategoricalCrossEntropy(), GeneralisedCrossEntropy()):
        assert torch.equal(
            gradient_of(supervision, far, labels), gradient_of(supervision, near.float(), labels)
        )


SUPERVISIONS: list[WeightFunction] = [
    CategoricalCrossEntropy(),
    MeanAbsoluteError(),
    GeneralisedCrossEntropy(),
    GradientRescaling(12, 0.5, normalise="none"),
    GradientRescaling(12, 0.5, normalise="batch"),
    GradientRescaling(0, 0, normalise="batch"),
    GradientRescaling(3, 2, "identity", "none"),
    GradientRescaling(3, 2, "identity", "batch"),
]


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    n=st.integers(1, 40),
    classes=st.integers(2, 12),
    supervision=st.sampled_from(SUPERVISIONS),
)
def test_each_example_sends_a_gradient_of_length_w(
    seed: int, n: int, classes: int, supervision: WeightFunction
) -> None:
    logits, labels = batch(n, classes, scale=2, seed=seed)
    w = supervision.weights(relevance(logits, labels))
    by_batch = isinstance(supervision, GradientRescaling) and supervision.normalise == "batch"
    gradient = gradient_of(supervision, logits, labels)
    lengths = gradient.abs().sum(dim=1)
    torch.testing.assert_close(lengths, w / (w.sum() if by_batch else n), rtol=1e-9, atol=0)
    # Raising the labelled logit is what lowers the loss; the row sums to nothing, as softmax ignores shifts.
    assert bool((gradient.gather(1, labels.unsqueeze(1)) < 0).all())
    assert gradient.sum(dim=1).abs().max() < 1e-13 * lengths.max()


@pytest.mark.parametrize("transform", ["exp", "identity"])
@pytest.mark.parametrize(("beta", "lam"), [(0, 0), (0, 1), (4, 0), (12, 0.5), (3, 2.5)])
def test_weights_of_gr_are_the_formula_from_end_to_end(beta: float, lam: float, transform: Any) -> None:
    p = [0.0, 1e-12, 0.25, 0.5, 1 - 1e-12, 1.0]
    inner = [beta * score**lam * (1 - score) for score in p]
    expected = [math.exp(value) for value in inner] if transform == "exp" else inner
    found = GradientRescaling(beta, lam, transform).weights(torch.tensor(p, dtype=torch.float64))
    assert found.tolist() == pytest.approx(expected, rel=1e-12, abs=0)


def test_weights_keep_the_shape_and_take_numbers_lists_and_half_types() -> None:
    supervision = GradientRescaling(60, 0)
    assert supervision.weights(0.5).shape == ()
    assert supervision.weights(1).item() == 1
    assert supervision.weights([0.0, 1.0]).shape == (2,)
    assert supervision.weights(torch.rand(2, 3)).shape == (2, 3)
    half = supervision.weights(torch.tensor([0.5], dtype=torch.float16))
    assert half.item() == pytest.approx(math.exp(30), rel=1e-5)  # no float16 holds it


@pytest.mark.parametrize("transform", ["exp", "identity"])
@pytest.mark.parametrize(
    ("beta", "lam"), [(1, 0), (12, 0.5), (8, 1), (40, 2), (2, 7), (0.1, 0.3)], ids=lambda value: f"{value}"
)
def test_focus_of_gr_is_where_its_weight_is_largest(beta: float, lam: float, transform: Any) -> None:
    assert_focus(GradientRescaling(beta, lam, transform))


@pytest.mark.parametrize(
    "supervision", [CategoricalCrossEntropy(), MeanAbsoluteError(), GeneralisedCrossEntropy(0.4)]
)
def test_focus_of_a_loss_is_where_its_weight_is_largest(supervision: WeightFunction) -> None:
    assert_focus(supervision)


def assert_focus(supervision: WeightFunction) -> None:
    grid = torch.linspace(0, 1, 100_001, dtype=torch.float64)
    largest = float(grid[supervision.weights(grid).argmax()])
    assert supervision.emphasis_focus == pytest.approx(largest, abs=1e-5)


def test_without_emphasis_every_example_weighs_the_same_and_there_is_no_focus() -> None:
    supervision = GradientRescaling(0, 0.5)
    assert supervision.emphasis_focus is None
    assert supervision.weights([0.0, 0.3, 1.0]).tolist() == [1, 1, 1]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("supervision", SUPERVISIONS)
@pytest.mark.parametrize("loss_scale", [1.0, 65536.0])
def test_half_types_are_computed_in_float32_and_rounded_once(
    supervision: WeightFunction, dtype: torch.dtype, loss_scale: float
) -> None:
    logits, labels = batch(n=5000, scale=4)
    half = logits.to(dtype).requires_grad_()
    full = half.detach().float().requires_grad_()
    value = supervision(half, labels)
    assert value.dtype == torch.float32
    assert torch.equal(value, supervision(full, labels))
    (loss_scale * value).backward()
    (loss_scale * supervision(full, labels)).backward()
    assert half.grad is not None
    assert full.grad is not None
    assert half.grad.dtype == dtype
    assert torch.equal(half.grad, full.grad.to(dtype))


def test_loss_scale_rescues_gradients_that_float16_cannot_hold() -> None:
    logits = torch.tensor([[12.0, 0.0], [0.0, 0.0]], dtype=torch.float16, requires_grad=True)
    loss = CategoricalCrossEntropy()(logits, torch.tensor([0, 0]))
    (2.0**16 * loss / 2**10).backward()
    assert logits.grad is not None
    unscaled = logits.grad.double() / 2**6
    expected = 1 / (1 + math.exp(12)) / 2
    assert unscaled[0, 1].item() == pytest.approx(expected, rel=1e-3)


def test_gradient_scales_with_what_is_done_to_the_loss_and_flows_into_the_network() -> None:
    inputs, labels = batch(16, 7)
    weight = torch.randn(7, 5, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    labels = labels % 5
    supervision = GradientRescaling(8, 0.5)
    weight.requires_grad_()
    (-2.5 * supervision(inputs @ weight, labels)).backward()
    expected = -2.5 * inputs.t() @ gradient_of(supervision, (inputs @ weight).detach(), labels)
    assert weight.grad is not None
    torch.testing.assert_close(weight.grad, expected, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("beta", [1e3, 1e6, 1e30])
@pytest.mark.parametrize("transform", ["exp", "identity"])
def test_huge_beta_stays_finite_when_the_batch_normalises_it(beta: float, transform: Any) -> None:
    logits, labels = batch(32)
    gradient = gradient_of(GradientRescaling(beta, 0.5, transform), logits.float(), labels)
    assert bool(torch.isfinite(gradient).all())
    assert gradient.abs().sum().item() == pytest.approx(1, rel=1e-5)
    if transform == "exp":  # all of the weight is the largest weight's
        exponent = relevance(logits, labels) ** 0.5 * (1 - relevance(logits, labels))
        assert gradient.abs().sum(dim=1).argmax() == exponent.argmax()


@pytest.mark.parametrize("normalise", ["batch", "none"])
def test_examples_that_fit_perfectly_get_no_gradient_from_the_identity_and_all_of_it_from_exp(
    normalise: Any,
) -> None:
    logits = 1e4 * torch.eye(3)
    labels = torch.arange(3)
    identity = gradient_of(GradientRescaling(8, 0.5, "identity", normalise), logits, labels)
    assert torch.equal(identity, torch.zeros(3, 3))
    lengths = gradient_of(GradientRescaling(8, 0.5, "exp", normalise), logits, labels).abs().sum(dim=1)
    torch.testing.assert_close(lengths, torch.full((3,), 1 / 3))


def test_value_of_gr_is_the_mean_cross_entropy_whatever_its_hyperparameters() -> None:
    logits, labels = batch()
    expected = functional.cross_entropy(logits, labels)
    made = GradientRescaling(0, 0), GradientRescaling(12, 0.5), GradientRescaling(4, 1, "identity")
    for supervision in made:
        torch.testing.assert_close(supervision(logits, labels), expected, rtol=1e-13, atol=0)


@pytest.mark.parametrize("supervision", SUPERVISIONS)
def test_values_are_finite_at_the_ends(supervision: WeightFunction) -> None:
    logits = torch.tensor(EXTREMES)
    labels = torch.zeros(len(EXTREMES), dtype=torch.int64)
    assert bool(torch.isfinite(supervision(logits, labels)))
    assert bool(torch.isfinite(gradient_of(supervision, logits, labels)).all())


@pytest.mark.parametrize("dtype", [torch.int8, torch.uint8, torch.int16, torch.int32, torch.int64])
def test_labels_of_any_integer_type_will_do(dtype: torch.dtype) -> None:
    logits, labels = batch()
    supervision = GradientRescaling(8, 0.5)
    assert torch.equal(supervision(logits, labels.to(dtype)), supervision(logits, labels))


@pytest.mark.parametrize(
    ("dtype", "classes"), [(torch.int8, 128), (torch.int8, 200), (torch.uint8, 256), (torch.uint8, 300)]
)
def test_labels_of_a_narrow_type_will_do_for_more_classes_than_it_holds(dtype: torch.dtype, classes: int) -> None:
    logits, labels = torch.randn(3, classes), torch.tensor([0, 1, 100])
    supervision = GradientRescaling(8, 0.5)
    assert torch.equal(supervision(logits, labels.to(dtype)), supervision(logits, labels))


def test_a_class_masked_by_minus_infinity_is_as_one_that_there_is_not() -> None:
    logits, labels = torch.randn(6, 5, dtype=torch.float64), torch.tensor([0, 1, 2, 3, 0, 1])
    supervision = GradientRescaling(8, 0.5)
    fewer = logits[:, :4].clone().requires_grad_()
    supervision.loss(fewer, labels).backward()  # type: ignore[no-untyped-call]
    masked = logits.clone()
    masked[:, 4] = -math.inf
    masked.requires_grad_()
    supervision.loss(masked, labels).backward()  # type: ignore[no-untyped-call]
    assert masked.grad is not None
    assert fewer.grad is not None
    assert torch.equal(masked.grad, torch.cat([fewer.grad, torch.zeros(6, 1, dtype=torch.float64)], dim=1))
    with pytest.raises(InvalidInput, match=r"masked by -inf.*call criterion\.loss"):
        supervision(masked, labels)


def test_an_overflow_of_a_logit_is_one_of_the_gradient_except_at_the_label() -> None:
    supervision = GradientRescaling(8, 0.5, normalise="none")
    logits = torch.tensor([[math.inf, 0, 1], [0, math.inf, 1]])
    logits.requires_grad_()
    supervision.loss(logits, torch.tensor([0, 0])).backward()  # type: ignore[no-untyped-call]
    assert logits.grad is not None
    assert logits.grad[0].isfinite().all()
    assert logits.grad[1].isnan().all()


def test_trusted_loss_is_the_checked_one() -> None:
    logits, labels = batch()
    supervision = GradientRescaling(8, 0.5)
    assert torch.equal(supervision.loss(logits, labels), supervision(logits, labels))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
@pytest.mark.parametrize("supervision", SUPERVISIONS)
def test_loss_and_gradient_of_a_course_are_what_autograd_says(supervision: WeightFunction, dtype: torch.dtype) -> None:
    logits, labels = torch.tensor(EXTREMES, dtype=dtype, requires_grad=True), torch.zeros(len(EXTREMES)).long()
    course = supervision.course(Setting(labels, 3, seed=0))
    loss, gradient = course.loss_and_gradient(Batch(logits, labels, torch.arange(len(labels))))
    assert torch.equal(loss, supervision(logits, labels).detach())
    assert torch.equal(gradient, gradient_of(supervision, logits.detach(), labels))
    assert gradient.dtype == dtype
    assert not loss.requires_grad
    assert not gradient.requires_grad


class Doubled(CategoricalCrossEntropy):
    """Somebody's own loss, made from one of ours."""

    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        return 2 * super().loss(logits, labels)


def test_a_course_asks_a_loss_that_overrides_ours() -> None:
    logits, labels = batch()
    course = Doubled().course(Setting(labels, 7, seed=0))
    loss, gradient = course.loss_and_gradient(Batch(logits, labels, labels))
    torch.testing.assert_close(loss, 2 * CategoricalCrossEntropy()(logits, labels))
    torch.testing.assert_close(gradient, 2 * gradient_of(CategoricalCrossEntropy(), logits, labels))


@pytest.mark.parametrize("gradients_of", ["weights", "inputs"])
def test_a_second_derivative_through_a_network_is_refused_rather_than_wrong(gradients_of: str) -> None:
    network = nn.Sequential(nn.Linear(5, 8), nn.Tanh(), nn.Linear(8, 10))
    inputs = torch.randn(6, 5, requires_grad=True)
    wanted = list(network.parameters()) if gradients_of == "weights" else [inputs]
    loss = CategoricalCrossEntropy()(network(inputs), torch.arange(6))
    with pytest.raises(RuntimeError, match=r"create_graph=True.*no second derivative"):
        torch.autograd.grad(loss, wanted, create_graph=True)
    # Without it, and however often, the gradient is had.
    again = [torch.autograd.grad(loss, wanted, retain_graph=True) for _ in range(2)]
    assert all(torch.equal(one, other) for one, other in zip(*again, strict=True))


def test_logits_may_be_changed_between_loss_and_backward() -> None:
    # As torch's own cross entropy has it: nothing of them is needed any more.
    network, inputs, labels = nn.Linear(5, 10), torch.randn(6, 5), torch.arange(6)
    supervision = GradientRescaling(8, 0.5)
    logits = network(inputs)
    loss = supervision(logits, labels)
    logits.detach().clamp_(min=0)
    (changed,) = torch.autograd.grad(loss, [network.weight])
    (expected,) = torch.autograd.grad(supervision(network(inputs), labels), [network.weight])
    assert torch.equal(changed, expected)


Z = torch.zeros(4, 3)
Y = torch.tensor([0, 1, 2, 0])


@pytest.mark.parametrize(
    ("logits", "labels", "field", "named"),
    [
        (torch.zeros(4), Y, "logits", "(4,)"),
        (torch.zeros(2, 4, 3), Y, "logits", "(2, 4, 3)"),
        (torch.zeros(4, 1), Y, "logits", "(4, 1)"),
        (torch.zeros(0, 3), Y[:0], "logits", "(0, 3)"),
        (Z.long(), Y, "logits", "int64"),
        (Z, Y.float(), "labels", "float32"),
        (Z, Y.bool(), "labels", "bool"),
        (Z, Y[:3], "labels", "(3,)"),
        (Z, Y.unsqueeze(1), "labels", "(4, 1)"),
        (Z, torch.eye(4, 3), "labels", "(4, 3)"),
        (Z, Y + 1, "labels", "3"),
        (Z, Y - 1, "labels", "-1"),
        (torch.tensor([[0.0, 1.0], [0.0, math.nan]]), Y[:2], "logits", "row 1: [0.0, nan]"),
        (torch.tensor([[0.0, math.inf]]), Y[:1], "logits", "row 0: [0.0, inf]"),
    ],
)
@pytest.mark.parametrize("supervision", [CategoricalCrossEntropy(), GradientRescaling(8, 0.5)])
def test_a_batch_that_cannot_be_supervised_is_refused(
    supervision: WeightFunction, logits: Tensor, labels: Tensor, field: str, named: str
) -> None:
    error = only_error(lambda: supervision(logits, labels))
    assert error.field == field
    assert named in str(error.value)


@pytest.mark.parametrize("p", [-0.1, 1.5, math.nan, [0.5, 2.0]])
def test_weights_refuse_what_is_no_probability(p: Any) -> None:
    error = only_error(lambda: CategoricalCrossEntropy().weights(p))
    assert error.field == "p"
    assert str(error.value) == str(p[1] if isinstance(p, list) else p)


@pytest.mark.parametrize("field", ["beta", "lam"])
@pytest.mark.parametrize("value", [-1, -1e-9, math.nan, math.inf, 1e31, "8", None])
def test_gr_refuses_hyperparameters_outside_its_definition(field: str, value: Any) -> None:
    error = only_error(lambda: GradientRescaling(**{"beta": 8, "lam": 0.5, field: value}))
    assert (error.field, str(error.value)) == (field, str(value))
    assert f"Give {field} >= 0" in error.remedy


@pytest.mark.parametrize("q", [0, -0.5, 1.01, math.nan, "0.7"])
def test_gce_refuses_q_outside_its_definition(q: Any) -> None:
    error = only_error(lambda: GeneralisedCrossEntropy(q))
    assert (error.field, str(error.value)) == ("q", str(q))


@pytest.mark.parametrize("field", ["transform", "normalise"])
def test_gr_refuses_unknown_choices(field: str) -> None:
    error = only_error(lambda: GradientRescaling(8, 0.5, **{field: "sum"}))
    assert (error.field, error.value) == (field, "sum")
    assert "Use '" in error.remedy


def test_everything_wrong_with_gr_is_said_at_once() -> None:
    wrong: dict[str, Any] = {"beta": -1, "lam": math.nan, "transform": "log", "normalise": "mean"}
    with pytest.raises(InvalidInput) as caught:
        GradientRescaling(**wrong)
    assert [error.field for error in caught.value.errors] == list(wrong)


@pytest.mark.parametrize(("beta", "lam"), [(89, 0), (250, 0.5), (600, 2)])
def test_a_weight_that_overflows_is_refused_without_normalisation_alone(beta: float, lam: float) -> None:
    error = only_error(lambda: GradientRescaling(beta, lam, normalise="none"))
    assert (error.field, error.value) == ("beta", beta)
    assert "normalise='batch'" in error.remedy
    assert GradientRescaling(beta, lam, normalise="batch").beta == beta
    assert GradientRescaling(beta, lam, "identity", "none").beta == beta


@pytest.mark.parametrize(("beta", "lam"), [(88.5, 0), (229, 0.5), (595, 2)])
def test_the_largest_weight_that_is_accepted_does_not_overflow(beta: float, lam: float) -> None:
    supervision = GradientRescaling(beta, lam, normalise="none")
    grid = torch.linspace(0, 1, 2001).clamp(1e-30)
    logits = torch.stack([grid.log(), (1 - grid).clamp(1e-30).log()], dim=1)
    gradient = gradient_of(supervision, logits, torch.zeros(len(grid), dtype=torch.int64))
    assert bool(torch.isfinite(gradient).all())
    assert gradient.max() > 1e30


def test_supervisions_are_made_by_name() -> None:
    assert supervision_names()[:4] == ["cce", "mae", "gce", "gr"]
    made = [
        make_supervision("cce"),
        make_supervision("mae"),
        make_supervision("gce", q=0.5),
        make_supervision("gr", beta=8, lam=0.5, normalise="none"),
    ]
    assert made == [
        CategoricalCrossEntropy(),
        MeanAbsoluteError(),
        GeneralisedCrossEntropy(0.5),
        GradientRescaling(8, 0.5, "exp", "none"),
    ]
    assert [supervision.name for supervision in made] == supervision_names()[:4]


@pytest.mark.parametrize("name", [name for name in supervision_names() if name != "gr"])
def test_all_but_gr_have_the_settings_of_their_sources_as_defaults(name: str) -> None:
    assert make_supervision(name).name == name
    assert make_supervision("gce") == GeneralisedCrossEntropy(0.7)


def test_equal_hyperparameters_of_other_number_types_make_the_same_record() -> None:
    numpy_like = torch.tensor(8.0, dtype=torch.float64).numpy()[()]
    assert repr(GradientRescaling(8, 0)) == repr(GradientRescaling(numpy_like, 0.0))
    assert repr(GeneralisedCrossEntropy(1)) == repr(GeneralisedCrossEntropy(1.0))


@pytest.mark.parametrize(
    ("name", "hyperparameters", "field", "remedy"),
    [
        ("gcee", {}, "supervision", "gce"),
        ("bootstrap", {}, "supervision", "bootstrap_soft or bootstrap_hard"),
        ("gr", {"beta": 8}, "gr.lam", "Give it a value"),
        ("gr", {"beta": 8, "lam": 1, "kappa": 3}, "gr.kappa", "beta, lam, transform, normalise"),
        ("cce", {"beta": 8}, "cce.beta", "no hyper-parameters"),
        ("gr", {"beta": -8, "lam": 1}, "beta", "Give beta >= 0"),
    ],
)
def test_unknown_names_and_hyperparameters_are_refused_with_what_there_is(
    name: str, hyperparameters: dict[str, Any], field: str, remedy: str
) -> None:
    error = only_error(lambda: make_supervision(name, **hyperparameters))
    assert error.field == field
    assert remedy in error.remedy


def only_error(attempt: Callable[[], object]) -> FieldError:
    with pytest.raises(InvalidInput) as caught:
        attempt()
    (error,) = caught.value.errors
    assert str(error) == str(caught.value)
    assert error.problem
    assert error.remedy
    return error
