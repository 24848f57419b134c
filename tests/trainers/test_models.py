from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn

from trainers.errors import InvalidInput
from trainers.models import backbone_names
from trainers.models import build_model
from trainers.models import check_backbone
from trainers.models import find_backbone
from trainers.models.cifar_resnet import subsampled

CIFAR = (3, 32, 32)
InstallPackage = Callable[..., None]


def parameters_of(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


@pytest.mark.parametrize(
    ("backbone", "count"),
    [
        ("resnet20", 269_722),
        ("resnet32", 464_154),
        ("resnet44", 658_586),
        ("resnet56", 853_018),
        ("resnet110", 1_727_962),
    ],
)
def test_residual_networks_have_the_published_number_of_parameters(backbone: str, count: int) -> None:
    assert parameters_of(build_model(backbone, CIFAR, 10)) == count


def test_mlp_is_two_hidden_layers_of_256() -> None:
    model = build_model("mlp", (1, 8, 8), 10)
    widths = [tuple(layer.weight.shape) for layer in model.modules() if isinstance(layer, nn.Linear)]
    assert widths == [(256, 64), (256, 256), (10, 256)]
    assert sum(isinstance(layer, nn.BatchNorm1d) for layer in model.modules()) == 2


@pytest.mark.parametrize("backbone", ["mlp", "resnet20", "resnet32", "resnet44", "resnet56", "resnet110"])
@pytest.mark.parametrize(("shape", "classes"), [((3, 32, 32), 100), ((1, 8, 8), 10)])
def test_every_backbone_gives_finite_logits_and_gradients(
    backbone: str, shape: tuple[int, ...], classes: int
) -> None:
    torch.manual_seed(0)
    model = build_model(backbone, shape, classes, dropout=0.2)
    logits = model(torch.randn(4, *shape))
    assert logits.shape == (4, classes)
    logits.square().mean().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert bool(torch.isfinite(parameter.grad).all()), name
        assert bool(parameter.grad.any()), name


def test_flat_examples_go_through_the_mlp() -> None:
    assert build_model("mlp", (12,), 3)(torch.randn(5, 12)).shape == (5, 3)


def test_the_default_generator_decides_the_weights() -> None:
    def weights(seed: int) -> torch.Tensor:
        torch.manual_seed(seed)
        return torch.cat(
            [parameter.flatten() for parameter in build_model("resnet20", CIFAR, 10).parameters()]
        )

    assert torch.equal(weights(1), weights(1))
    assert not torch.equal(weights(1), weights(2))


def test_convolutions_are_initialised_as_he_et_al_do() -> None:
    torch.manual_seed(0)
    for layer in build_model("resnet56", CIFAR, 10).modules():
        if isinstance(layer, nn.Conv2d) and layer.weight.numel() > 2000:
            fan_in = layer.weight[0].numel()
            assert layer.weight.var().item() == pytest.approx(2 / fan_in, rel=0.15)
            assert abs(layer.weight.mean().item()) < 0.15 * (2 / fan_in) ** 0.5


def test_shortcuts_subsample_and_pad_with_zeros() -> None:
    model = build_model("resnet20", CIFAR, 10).eval()
    stage = next(
        block for block in model.modules() if getattr(block, "stride", None) == 2 and hasattr(block, "norm2")
    )
    nn.init.zeros_(stage.norm2.weight)  # silences the branch: what is left is the shortcut
    images = torch.rand(2, 16, 8, 8)
    with torch.no_grad():
        out = stage(images)
    assert torch.equal(out[:, 8:24], images[:, :, ::2, ::2])
    assert not out[:, :8].any()
    assert not out[:, 24:].any()


def test_channels_last_is_kept_through_the_network_and_changes_no_number() -> None:
    torch.manual_seed(0)
    model = build_model("resnet20", CIFAR, 10).eval()
    images = torch.randn(4, *CIFAR)
    with torch.no_grad():
        expected = model(images)
    model = model.to(memory_format=torch.channels_last)
    strayed: list[str] = []

    def watch(module: nn.Module, _: object, out: torch.Tensor) -> None:
        if out.ndim == 4 and not out.is_contiguous(memory_format=torch.channels_last):
            strayed.append(type(module).__name__)

    for module in model.modules():
        module.register_forward_hook(watch)
    with torch.no_grad():
        actual = model(images.contiguous(memory_format=torch.channels_last))
    assert strayed == []
    assert torch.allclose(actual, expected, atol=1e-4)


def test_channels_last_is_kept_by_the_gradients_between_blocks_and_changes_no_number() -> None:
    # In the other layout, what follows takes many times as long on a CPU.
    torch.manual_seed(0)
    model = build_model("resnet20", CIFAR, 10)
    images = torch.randn(4, *CIFAR)
    model(images).square().sum().backward()
    expected = [parameter.grad for parameter in model.parameters()]
    model.zero_grad()
    model = model.to(memory_format=torch.channels_last)
    kept: list[bool] = []

    def watch(_: nn.Module, taken: tuple[torch.Tensor]) -> None:
        taken[0].register_hook(lambda grad: kept.append(grad.is_contiguous(memory_format=torch.channels_last)))

    for block in model.blocks:
        block.register_forward_pre_hook(watch)
    model(images.contiguous(memory_format=torch.channels_last)).square().sum().backward()

    assert kept == [True] * 9
    for parameter, gradient in zip(model.parameters(), expected, strict=True):
        torch.testing.assert_close(parameter.grad, gradient, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("shape", [(2, 3, 8, 8), (2, 3, 7, 5)])
def test_subsampling_is_a_slice_in_value_and_gradient(shape: tuple[int, ...]) -> None:
    maps = torch.randn(shape, dtype=torch.float64, requires_grad=True)
    sliced = maps[:, :, ::2, ::2]
    chosen = subsampled(maps, 2)
    weights = torch.randn_like(sliced)

    assert torch.equal(chosen, sliced)
    assert subsampled(maps, 1) is maps
    assert torch.equal(*(torch.autograd.grad((each * weights).sum(), maps)[0] for each in (chosen, sliced)))


@pytest.mark.parametrize("backbone", ["mlp", "resnet20"])
def test_dropout_acts_before_the_classifier_in_training_only(backbone: str) -> None:
    torch.manual_seed(0)
    model = build_model(backbone, CIFAR, 10, dropout=0.5)
    seen: list[torch.Tensor] = []
    model.get_submodule("classifier").register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    images = torch.randn(64, *CIFAR)
    with torch.no_grad():
        model.train()(images)
        model.eval()(images)
        plain = build_model(backbone, CIFAR, 10)
        plain.load_state_dict(model.state_dict())
        assert torch.equal(plain.eval()(images), model(images))
    zeros = [float((features == 0).double().mean()) for features in seen[:2]]
    assert zeros[0] > zeros[1] + 0.2


def test_unknown_backbone_names_the_nearest() -> None:
    with pytest.raises(InvalidInput) as caught:
        build_model("resnet21", CIFAR, 10)
    (error,) = caught.value.errors
    assert error.field == "backbone"
    assert error.value == "resnet21"
    assert "resnet20" in error.remedy.split("?")[0]


@pytest.mark.parametrize("shape", [(64,), (3, 2, 2)])
def test_examples_that_a_resnet_cannot_take_are_refused_before_building(shape: tuple[int, ...]) -> None:
    check_backbone("mlp", shape)
    with pytest.raises(InvalidInput, match="Use mlp"):
        check_backbone("resnet20", shape)


@pytest.mark.parametrize("dropout", [-0.1, 1.0, float("nan")])
def test_dropout_outside_its_range_is_refused(dropout: float) -> None:
    with pytest.raises(InvalidInput, match="dropout"):
        build_model("mlp", (64,), 10, dropout=dropout)


def test_every_backbone_describes_itself_in_one_line() -> None:
    for name in backbone_names():
        description = find_backbone(name).description
        assert description
        assert "\n" not in description


def test_an_installed_package_adds_a_backbone_and_a_broken_one_harms_no_other(
    install_package: InstallPackage,
) -> None:
    install_package(
        "emphasis.backbones",
        {
            "linear": "example_backbones:Linear",
            "broken": "example_missing:Linear",
            "nothing": "example_backbones:NOTHING",
            "mlp": "example_missing:Linear",
        },
        example_backbones=(
            "from torch import nn\n"
            "NOTHING = 3\n"
            "class Linear:\n"
            "    description = 'one linear layer'\n"
            "    def check(self, example_shape): pass\n"
            "    def build(self, example_shape, num_classes, dropout):\n"
            "        return nn.Linear(example_shape[0], num_classes)\n"
        ),
    )
    assert {"linear", "broken", "mlp"} <= set(backbone_names())
    assert backbone_names().count("mlp") == 1
    assert isinstance(build_model("linear", (12,), 3), nn.Linear)
    assert build_model("mlp", (12,), 3)(torch.randn(2, 12)).shape == (2, 3)
    with pytest.raises(InvalidInput, match=r"emphasis-example .*example_missing"):
        build_model("broken", (12,), 3)
    with pytest.raises(InvalidInput, match="lacks"):
        build_model("nothing", (12,), 3)


def test_what_a_backbone_of_an_installed_package_raises_names_the_package(install_package: InstallPackage) -> None:
    install_package(
        "emphasis.backbones",
        {
            "strict": "example_strict:Strict",
            "unbuilt": "example_strict:Unbuilt",
            "published": "example_strict:Published",
        },
        example_strict=(
            "class Unbuilt:\n"
            "    description = 'cannot be built'\n"
            "    def check(self, example_shape): pass\n"
            "    def build(self, example_shape, num_classes, dropout): return self.width\n"
            "class Strict(Unbuilt):\n"
            "    def check(self, example_shape): raise ValueError('images only')\n"
            "class Published:\n"
            "    description = 'has weights somewhere'\n"
            "    def check(self, example_shape): pass\n"
            "    def build(self, example_shape, num_classes, dropout):\n"
            "        from torch import nn\n"
            "        return nn.Linear(12, 3)\n"
            "    weight_names = ['V1', 'V2']\n"
            "    default_weights = 'V2'\n"
            "    def published_weights(self, name): raise NotImplementedError\n"
        ),
    )
    strict = "check of the plugin emphasis-example (example_strict:Strict) fails: ValueError: images only"
    unbuilt = "build of the plugin emphasis-example (example_strict:Unbuilt) fails: AttributeError: "
    for ask, name, problem in (
        (lambda: check_backbone("strict", (12,)), "strict", strict),
        (lambda: build_model("strict", (12,), 3), "strict", strict),
        (lambda: build_model("unbuilt", (12,), 3), "unbuilt", unbuilt),
    ):
        with pytest.raises(InvalidInput) as caught:
            ask()
        (error,) = caught.value.errors
        assert (error.field, error.value) == ("backbone", name)
        assert error.problem.startswith(problem)
    with pytest.raises(InvalidInput) as caught:
        build_model("published", (12,), 3, weights="V1")
    (error,) = caught.value.errors
    assert (error.field, error.value) == ("weights", "V1")
    assert error.problem.endswith("(example_strict:Published) fails: NotImplementedError")
