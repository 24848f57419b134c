from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor
from torch import nn
from torch.nn import functional

from trainers.engines.flat_parameters import flatten_parameters
from trainers.engines.sgd import MomentumSGD
from trainers.models import build_model


class Odd(nn.Module):
    """Layouts that no built-in backbone has: transposed, three-dimensional, a scalar, one frozen."""

    def __init__(self) -> None:
        super().__init__()
        self.transposed = nn.Parameter(torch.randn(7, 12).t())
        self.cube = nn.Parameter(torch.randn(2, 3, 2))
        self.scalar = nn.Parameter(torch.randn(()))
        self.frozen = nn.Parameter(torch.randn(12), requires_grad=False)
        self.tied = self.scalar

    def forward(self, images: Tensor) -> Tensor:
        flat = images.flatten(1)[:, :12] * self.frozen * self.cube.reshape(-1)
        return flat @ self.transposed * self.scalar + self.tied


def network_of(kind: str) -> nn.Module:
    torch.manual_seed(3)
    if kind == "odd":
        return Odd()
    network = build_model("mlp" if kind == "mlp" else "resnet20", (3, 8, 8), 7)
    layout = torch.channels_last if kind == "channels_last" else torch.contiguous_format
    return network.to(memory_format=layout)  # type: ignore[call-overload, no-any-return]


def batches(n: int) -> list[tuple[Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(0)
    return [
        (torch.randn(16, 3, 8, 8, generator=generator), torch.randint(0, 7, (16,), generator=generator))
        for _ in range(n)
    ]


KINDS = ["mlp", "resnet20", "channels_last", "odd"]


@pytest.mark.parametrize("kind", KINDS)
def test_steps_equal_those_of_plain_sgd_on_separate_parameters(kind: str) -> None:
    plain = network_of(kind)
    flattened = copy.deepcopy(plain)
    settings = {"lr": 0.1, "momentum": 0.9, "weight_decay": 1e-2}
    on_each = torch.optim.SGD([p for p in plain.parameters() if p.requires_grad], foreach=False, **settings)
    on_all = MomentumSGD(flatten_parameters(flattened), momentum=0.9, weight_decay=1e-2)
    for images, labels in batches(3):
        on_each.zero_grad()
        functional.cross_entropy(plain(images), labels).backward()
        on_each.step()
        on_all.zero_grad()
        functional.cross_entropy(flattened(images), labels).backward()
        on_all.step(0.1)
    moved = 0
    initial = dict(network_of(kind).named_parameters())
    for (name, one), other in zip(plain.named_parameters(), flattened.parameters(), strict=True):
        assert torch.equal(one, other), name
        moved += not torch.equal(one, initial[name])
    assert moved == sum(parameter.requires_grad for parameter in initial.values())


@pytest.mark.parametrize("kind", KINDS)
def test_parameters_keep_value_shape_and_layout(kind: str) -> None:
    before = network_of(kind)
    after = network_of(kind)
    flat = flatten_parameters(after)
    assert flat.shape == (sum(p.numel() for p in before.parameters() if p.requires_grad),)
    for (name, one), other in zip(before.named_parameters(), after.parameters(), strict=True):
        assert torch.equal(one, other), name
        assert one.stride() == other.stride(), name


@pytest.mark.parametrize("kind", KINDS)
def test_parameters_and_gradients_are_views_that_do_not_overlap(kind: str) -> None:
    network = network_of(kind)
    flat = flatten_parameters(network)
    assert flat.grad is not None
    own = [parameter for parameter in network.parameters() if parameter.requires_grad]
    with torch.no_grad():
        for number, parameter in enumerate(own, start=1):
            parameter.fill_(number)
            assert parameter.grad is not None
            parameter.grad.fill_(-number)
    counts = torch.bincount(flat.detach().long())[1:]
    assert counts.tolist() == [parameter.numel() for parameter in own]
    assert torch.equal(flat.grad, -flat)


def test_frozen_parameters_are_left_where_they_are() -> None:
    network = network_of("odd")
    assert isinstance(network, Odd)
    place = network.frozen.data_ptr()
    flatten_parameters(network)
    assert network.frozen.data_ptr() == place
    assert network.tied is network.scalar


def test_a_loaded_state_reaches_the_flat_parameter() -> None:
    source, target = network_of("channels_last"), network_of("channels_last")
    with torch.no_grad():
        for parameter in source.parameters():
            parameter.add_(1)
    flat = flatten_parameters(target)
    target.load_state_dict(source.state_dict())
    assert torch.equal(flat, flatten_parameters(source))
