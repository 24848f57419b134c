from __future__ import annotations

import copy
import dataclasses
import io
import logging
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.error import URLError

import pytest
import torch
import torchvision
from torch import nn

from trainers.datasets import Dataset
from trainers.errors import FieldError
from trainers.errors import InvalidInput
from trainers.models import backbone_names
from trainers.models import build_model
from trainers.models import check_backbone
from trainers.models import check_weights
from trainers.models import classifier_of
from trainers.models import fetch_weights
from trainers.models import find_backbone
from trainers.models import load_weights
from trainers.models import torchvision_names
from trainers.noise import symmetric_noise
from trainers.recipes import recipe_for
from trainers.recipes import training_task
from trainers.supervision import GradientRescaling
from trainers.training import Checkpoints
from trainers.training import Decision
from trainers.training import EpochReport
from trainers.training import Lane
from trainers.training import TrainingTask
from trainers.training import train

SMALL = (3, 64, 64)
# One of every family, small, and the least side that it is known to take.
FAMILIES = [
    ("alexnet", 64),
    ("convnext_tiny", 32),
    ("densenet121", 32),
    ("efficientnet_b0", 32),
    ("googlenet", 32),
    ("inception_v3", 96),
    ("maxvit_t", 224),
    ("mnasnet0_5", 32),
    ("mobilenet_v2", 32),
    ("mobilenet_v3_small", 32),
    ("regnet_x_400mf", 32),
    ("resnet18", 32),
    ("shufflenet_v2_x0_5", 32),
    ("squeezenet1_1", 32),
    ("swin_t", 32),
    ("swin_v2_t", 32),
    ("vgg11", 32),
    ("vit_b_32", 224),
]
# Small enough to be given values in a test.
LIGHT = ["googlenet", "mobilenet_v3_small", "regnet_x_400mf", "resnet18", "shufflenet_v2_x0_5", "squeezenet1_1"]


def seeded(backbone: str, num_classes: int = 5, seed: int = 0, **options: Any) -> nn.Module:
    torch.manual_seed(seed)
    return build_model(backbone, SMALL, num_classes, **options)


def only_error(attempt: Callable[[], object]) -> FieldError:
    with pytest.raises(InvalidInput) as caught:
        attempt()
    (error,) = caught.value.errors
    assert error.problem
    assert error.remedy
    return error


def same_values(one: nn.Module, other: nn.Module) -> dict[str, bool]:
    theirs = other.state_dict()
    return {name: torch.equal(tensor, theirs[name]) for name, tensor in one.state_dict().items()}


def large_images(examples: int = 24, side: int = 64, classes: int = 2, **fields: Any) -> Dataset:
    generator = torch.Generator().manual_seed(0)
    y = torch.arange(examples) % classes
    x = torch.randint(0, 256, (examples, 3, side, side), generator=generator, dtype=torch.uint8)
    return Dataset.from_tensors("large", x, y, x[:6].clone(), y[:6].clone(), classes, **fields)


# Networks


@pytest.mark.parametrize(("network", "side"), FAMILIES)
def test_every_family_ends_in_one_new_linear_layer_of_our_classes(network: str, side: int) -> None:
    found = find_backbone(f"torchvision:{network}")
    found.check((3, side, side))
    assert network in found.description
    # Regnet reckons its widths with tensors, which on the meta device have no values.
    with torch.device("cpu" if network.startswith("regnet") else "meta"):
        model = found.build((3, side, side), 5, 0.0).to("meta").eval()
    logits: list[torch.Tensor] = []
    classifier_of(model).register_forward_hook(lambda _, __, out: logits.append(out))
    out = model(torch.empty(2, 3, side, side, device="meta"))
    assert out.shape == (2, 5)
    assert [each.shape for each in logits] == [(2, 5)]


@pytest.mark.parametrize("network", LIGHT)
def test_logits_are_what_the_classifier_gives_and_every_parameter_learns(network: str) -> None:
    model = seeded(f"torchvision:{network}", dropout=0.3)
    classifier = classifier_of(model, num_classes=5)
    given: list[torch.Tensor] = []
    classifier.register_forward_pre_hook(lambda _, inputs: given.append(inputs[0]))
    logits = model(torch.randn(4, *SMALL))
    assert torch.allclose(nn.functional.linear(given[0], classifier.weight, classifier.bias), logits)
    logits.square().mean().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert bool(torch.isfinite(parameter.grad).all()), name


def test_the_random_start_is_torchvisions_own() -> None:
    torch.manual_seed(3)
    theirs = torchvision.models.resnet18(num_classes=5)
    ours = seeded("torchvision:resnet18", seed=3)
    assert all(same_values(ours, theirs).values())
    assert ours.state_dict().keys() == seeded("torchvision:resnet18", dropout=0.2).state_dict().keys()


def test_squeezenet_is_torchvisions_but_for_the_relu_on_its_logits() -> None:
    theirs = torchvision.models.squeezenet1_1(num_classes=5).eval()
    ours = seeded("torchvision:squeezenet1_1").eval()
    state = theirs.state_dict()
    nn.init.constant_(theirs.classifier[1].bias, 50.0)  # no logit below 0, so that the ReLU does nothing
    state["classifier.1.weight"] = state["classifier.1.weight"].flatten(1)
    ours.load_state_dict(state)
    images = torch.randn(2, *SMALL)
    with torch.no_grad():
        assert torch.allclose(ours(images), theirs(images), atol=1e-4)


@pytest.mark.parametrize("network", ["resnet18", "squeezenet1_1", "mobilenet_v3_small"])
def test_dropout_acts_right_before_the_classifier_in_training_only(network: str) -> None:
    model = seeded(f"torchvision:{network}", dropout=0.9)
    seen: list[torch.Tensor] = []
    classifier_of(model).register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    images = torch.randn(8, *SMALL)
    with torch.no_grad():
        model.train()(images)
        model.eval()(images)
        plain = seeded(f"torchvision:{network}")
        plain.load_state_dict(model.state_dict())
        assert torch.equal(plain.eval()(images), model(images))
    zeros = [float((features == 0).double().mean()) for features in seen]
    assert zeros[0] > 0.85
    assert zeros[1] < 0.7
    copied = copy.deepcopy(model).train()
    classifier_of(copied).dropout.p = 1.0  # type: ignore[union-attr]
    assert torch.equal(copied(images), classifier_of(copied).bias.expand(8, 5))
    assert not torch.equal(model(images), copied(images))


def test_every_classification_network_of_torchvision_has_a_name() -> None:
    names = torchvision_names()
    assert {"resnet50", "vit_b_16", "squeezenet1_0", "inception_v3"} <= set(names)
    assert not {"fasterrcnn_resnet50_fpn", "quantized_resnet50", "fcn_resnet50", "raft_large"} & set(names)
    assert not any(name.startswith("torchvision:") for name in backbone_names())


def test_an_unknown_network_is_answered_with_near_ones() -> None:
    error = only_error(lambda: build_model("torchvision:resnet55", SMALL, 5))
    assert (error.field, error.value) == ("backbone", "torchvision:resnet55")
    assert "torchvision:resnet50" in error.remedy.split("?")[0]
    assert "torchvision:resnet50 is torchvision's" in only_error(lambda: find_backbone("resnet50")).remedy
    assert "torchvision:NAME" in only_error(lambda: find_backbone("resnet21")).remedy


@pytest.mark.parametrize(
    ("network", "shape", "problem"),
    [
        ("resnet18", (64,), "images"),
        ("resnet18", (1, 64, 64), "3 channels"),
        ("alexnet", (3, 32, 32), "32x32"),
        ("inception_v3", (3, 64, 64), "64x64"),
        ("vit_b_32", (3, 64, 64), "Expected 224"),
    ],
)
def test_examples_that_a_network_cannot_take_are_refused(
    network: str, shape: tuple[int, ...], problem: str
) -> None:
    before = torch.get_rng_state()
    assert problem in only_error(lambda: check_backbone(f"torchvision:{network}", shape)).problem
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("backbone", ["mlp", "resnet20", "torchvision:resnet18"])
def test_the_classifier_is_found_in_every_backbone(backbone: str) -> None:
    model = seeded(backbone, 7)
    assert classifier_of(model) is classifier_of(model, 7)
    assert classifier_of(model).out_features == 7
    assert only_error(lambda: classifier_of(model, 8)).field == "backbone"
    assert only_error(lambda: classifier_of(nn.Conv2d(3, 3, 1))).field == "backbone"


# Weights


@pytest.mark.parametrize("backbone", ["mlp", "resnet20", "torchvision:resnet18", "torchvision:squeezenet1_1"])
def test_weights_of_a_local_file_are_all_taken(backbone: str, tmp_path: Path) -> None:
    saved = seeded(backbone, dropout=0.5)
    torch.save(saved.state_dict(), tmp_path / "own.pt")
    file = str(tmp_path / "own.pt")
    assert check_weights(backbone, SMALL, 5, file) == file
    assert all(same_values(seeded(backbone, seed=1, weights=file), saved).values())
    assert load_weights(seeded(backbone, seed=1), file) == ()


@pytest.mark.parametrize("backbone", ["mlp", "resnet20", "torchvision:resnet18"])
def test_a_classifier_of_other_classes_stays_random_and_that_is_logged(
    backbone: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    saved = seeded(backbone, num_classes=9)
    torch.save(saved.state_dict(), tmp_path / "nine.pth")
    file = str(tmp_path / "nine.pth")
    with caplog.at_level(logging.INFO, "trainers"):
        model = seeded(backbone, seed=1, weights=file)
    fresh = same_values(model, seeded(backbone, seed=1))
    left_out = load_weights(model, file)
    assert [name.rpartition(".")[2] for name in left_out] == ["weight", "bias"]
    assert all(fresh[name] for name in left_out)
    theirs = saved.state_dict()
    assert all(
        torch.equal(tensor, theirs[name]) for name, tensor in model.state_dict().items() if name not in left_out
    )
    assert len(caplog.records) == 1
    assert left_out[0] in caplog.text


@pytest.mark.parametrize(
    ("network", "theirs"),
    [
        # With auxiliary classifiers, and a classifier that is a convolution.
        ("googlenet", lambda: torchvision.models.googlenet(num_classes=5, aux_logits=True, init_weights=False)),
        ("squeezenet1_1", lambda: torchvision.models.squeezenet1_1(num_classes=5)),
    ],
)
def test_files_of_torchvisions_own_networks_are_taken(
    network: str, theirs: Callable[[], nn.Module], tmp_path: Path
) -> None:
    saved = theirs().state_dict()
    torch.save(saved, tmp_path / "theirs.pth")
    model = seeded(f"torchvision:{network}", weights=str(tmp_path / "theirs.pth"))
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, saved[name].reshape(tensor.shape)), name


def test_names_of_older_files_are_understood(tmp_path: Path) -> None:
    """DenseNet's published file has dots in its layers' names, and no counters of batches."""
    densenet = seeded("torchvision:densenet121")
    old = {
        name.replace("norm1.", "norm.1.").replace("conv2.", "conv.2.") if "denselayer" in name else name: tensor
        for name, tensor in densenet.state_dict().items()
        if not name.endswith("num_batches_tracked")
    }
    assert "features.denseblock1.denselayer1.norm.1.weight" in old
    torch.save(old, tmp_path / "old.pth")
    model = seeded("torchvision:densenet121", seed=1, weights=str(tmp_path / "old.pth"))
    assert all(same_values(model, densenet).values())


@pytest.mark.parametrize("spoil", ["architecture", "shape", "missing"])
def test_weights_of_another_network_are_refused_with_what_differs(spoil: str, tmp_path: Path) -> None:
    state = seeded("torchvision:resnet18").state_dict()
    if spoil == "architecture":
        state = seeded("resnet20").state_dict()
    elif spoil == "shape":
        state["layer1.0.conv1.weight"] = torch.zeros(64, 64, 1, 1)
    else:
        del state["layer1.0.conv1.weight"]
    file = str(tmp_path / "other.pt")
    torch.save(state, file)
    error = only_error(lambda: check_weights("torchvision:resnet18", SMALL, 5, file))
    assert (error.field, error.value) == ("weights", file)
    if spoil == "architecture":
        assert "missing: conv1.weight" in error.problem
        assert "unknown: conv.weight" in error.problem
        assert len(error.problem) < 400
    elif spoil == "shape":
        assert "layer1.0.conv1.weight is (64, 64, 1, 1), not (64, 64, 3, 3)" in error.problem
        assert "missing" not in error.problem
    else:
        assert "1 missing: layer1.0.conv1.weight" in error.problem


class _Hostile:
    def __init__(self, witness: Path) -> None:
        self.witness = witness

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return Path.touch, (self.witness,)


def _write(kind: str, file: Path) -> None:
    whole = io.BytesIO()
    torch.save(seeded("mlp").state_dict(), whole)
    if kind == "truncated":
        file.write_bytes(whole.getvalue()[: len(whole.getvalue()) // 2])
    elif kind == "empty":
        file.write_bytes(b"")
    elif kind == "text":
        file.write_text("weights")
    elif kind == "pickle":
        file.write_bytes(pickle.dumps({"weight": _Hostile(file.with_name("touched"))}))
    elif kind == "hostile":
        torch.save({"weight": _Hostile(file.with_name("touched"))}, file)
    elif kind == "module":
        torch.save(seeded("mlp"), file)
    elif kind == "nested":
        torch.save({"epoch": 3, "state_dict": seeded("mlp").state_dict()}, file)
    elif kind == "folder":
        file.mkdir()


@pytest.mark.parametrize(
    "kind", ["absent", "folder", "empty", "text", "truncated", "pickle", "hostile", "module", "nested"]
)
def test_a_file_that_is_no_state_dict_is_refused_before_anything_starts(kind: str, tmp_path: Path) -> None:
    file = tmp_path / "weights.pt"
    _write(kind, file)
    error = only_error(lambda: TrainingTask(large_images(), "mlp", iterations=1, weights=str(file)))
    assert (error.field, error.value) == ("weights", str(file))
    assert "torch.save" in error.remedy
    assert ("'state_dict'" in error.problem) == (kind == "nested")
    assert not (tmp_path / "touched").exists()
    assert only_error(lambda: load_weights(seeded("mlp"), file)) == error
    assert only_error(lambda: seeded("mlp", weights=str(file))) == error


def test_a_file_that_changed_is_looked_at_again(tmp_path: Path) -> None:
    file = tmp_path / "weights.pt"
    torch.save(seeded("mlp").state_dict(), file)
    check_weights("mlp", SMALL, 5, str(file))
    file.write_bytes(file.read_bytes()[:-100])
    assert only_error(lambda: check_weights("mlp", SMALL, 5, str(file))).field == "weights"


def test_published_weights_are_known_by_torchvisions_names() -> None:
    assert check_weights("torchvision:resnet50", SMALL, 5, "default") == "IMAGENET1K_V2"
    assert check_weights("torchvision:resnet50", SMALL, 5, "imagenet1k_v1") == "IMAGENET1K_V1"
    error = only_error(lambda: check_weights("torchvision:resnet50", SMALL, 5, "IMAGENET1K_V3"))
    assert "imagenet1k_v2" in error.remedy.lower()
    assert ".pth" in error.remedy
    for backbone in ("mlp", "resnet20"):
        error = only_error(lambda backbone=backbone: check_weights(backbone, SMALL, 5, "default"))  # type: ignore[misc]
        assert (error.field, error.value) == ("weights", "default")


def test_published_weights_are_read_from_torchs_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    weights = torchvision.models.ShuffleNet_V2_X0_5_Weights.DEFAULT
    saved = torchvision.models.shufflenet_v2_x0_5(num_classes=1000)
    (tmp_path / "checkpoints").mkdir()
    torch.save(saved.state_dict(), tmp_path / "checkpoints" / weights.url.rpartition("/")[2])
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    backbone = "torchvision:shufflenet_v2_x0_5"
    fetch_weights(backbone, "default")
    model = seeded(backbone, weights="default")
    assert [name for name, same in same_values(model, saved).items() if not same] == ["fc.weight", "fc.bias"]
    assert all(same_values(seeded(backbone, num_classes=1000, weights="default"), saved).values())


def test_weights_that_cannot_be_fetched_are_an_error_with_where_to_put_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def offline(*_: object, **__: object) -> None:
        raise URLError("no network")

    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr("torch.hub.download_url_to_file", offline)
    error = only_error(lambda: fetch_weights("torchvision:resnet18", "IMAGENET1K_V1"))
    assert (error.field, error.value) == ("weights", "IMAGENET1K_V1")
    assert str(tmp_path) in error.remedy
    assert "no network" in error.problem


# Training


def small_task(**fields: Any) -> TrainingTask:
    settings: dict[str, Any] = {
        "dataset": large_images(examples=16),
        "backbone": "torchvision:resnet18",
        "iterations": 4,
        "batch_size": 8,
        "learning_rate": 0.01,
        "dropout": 0.2,
        "device": "cpu",
        "precision": "fp32",
    }
    return TrainingTask(**{**settings, **fields})


def lane_of(task: TrainingTask) -> Lane:
    labels = symmetric_noise(task.dataset.y_train, 0.2, task.dataset.num_classes, 0)
    return Lane("lane", GradientRescaling(4, 0.5), labels, 0)


def test_an_interrupted_training_goes_on_to_the_same_numbers(tmp_path: Path) -> None:
    weights = tmp_path / "start.pth"
    torch.save(seeded("torchvision:resnet18", num_classes=9, seed=5).state_dict(), weights)
    task = small_task(weights=str(weights))
    (whole,) = train(task, [lane_of(task)])
    assert all(torch.isfinite(torch.tensor(report.train_loss)) for report in whole.reports)
    assert whole.final is not None

    class Interrupted(Exception):
        pass

    def interrupt(report: EpochReport) -> Decision | None:
        if report.epoch == 2:  # the first epoch's checkpoint is written by then
            raise Interrupted
        return None

    checkpoints = Checkpoints(tmp_path / "checkpoints", every_seconds=0)
    with pytest.raises(Interrupted):
        train(task, [lane_of(task)], interrupt, checkpoints)
    (resumed,) = train(task, [lane_of(task)], None, checkpoints)
    untimed = [[dataclasses.replace(report, seconds=0.0) for report in each.reports] for each in (whole, resumed)]
    assert untimed[0] == untimed[1]
    random = dataclasses.replace(task, weights=None, iterations=2)
    with pytest.raises(InvalidInput, match="another configuration"):
        train(random, [lane_of(random)], None, checkpoints)
    (other,) = train(random, [lane_of(random)])
    assert other.reports[0].train_loss != whole.reports[0].train_loss


@pytest.mark.parametrize("network", ["googlenet", "squeezenet1_1", "swin_t"])
def test_other_families_train(network: str) -> None:
    dataset = large_images(examples=6, side=32)
    task = small_task(dataset=dataset, backbone=f"torchvision:{network}", iterations=2, batch_size=3)
    (result,) = train(task, [lane_of(task)])
    assert torch.isfinite(torch.tensor([report.train_loss for report in result.reports])).all()


# Recipes


def test_clothing1m_is_trained_as_in_table_5() -> None:
    clothing = large_images(examples=640, classes=14, recipe="clothing1m")
    task = training_task(clothing)
    assert (task.backbone, task.weights) == ("torchvision:resnet50", "IMAGENET1K_V2")
    assert (task.iterations, task.milestones, task.decay_factor) == (100, (50,), 0.1)
    assert (task.batch_size, task.learning_rate, task.momentum, task.weight_decay) == (64, 1e-3, 0.9, 1e-3)
    assert (task.augmentation, task.precision, task.dropout) == ("resize-crop-flip", "auto", 0.0)
    assert training_task(clothing, epochs=4).milestones == (20,)


def test_the_recipes_weights_go_with_its_own_backbone_alone() -> None:
    clothing = large_images(classes=14, recipe="clothing1m")
    assert training_task(clothing, backbone="torchvision:resnet18").weights is None
    assert training_task(clothing, backbone="torchvision:resnet50").weights == "IMAGENET1K_V2"
    assert training_task(clothing, weights="none").weights is None
    assert training_task(clothing, weights="IMAGENET1K_V1").weights == "IMAGENET1K_V1"


def test_large_colour_images_get_a_network_that_was_made_for_them() -> None:
    assert recipe_for(large_images(side=65)).backbone == "torchvision:resnet18"
    assert training_task(large_images(side=65)).weights is None
    assert recipe_for(large_images(side=64)).backbone == "resnet20"
    grey = torch.zeros(4, 1, 80, 80, dtype=torch.uint8)
    labels = torch.tensor([0, 1, 0, 1])
    assert training_task(Dataset.from_tensors("grey", grey, labels, grey, labels, 2)).backbone == "resnet20"
