"""Whole training steps that can be captured, in forms beside those of the engines."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch import nn

from tests.benchmarks.gpu.setting import Setting
from trainers.augmentation import crop_flip
from trainers.engines.flat_parameters import flatten_parameters
from trainers.engines.fused_network import FusedCifarResNet
from trainers.engines.fused_network import NormRelu
from trainers.engines.lane_emphasis import LaneEmphasis
from trainers.engines.sgd import MomentumSGD
from trainers.models.cifar_resnet import CifarResNet
from trainers.supervision import GradientRescaling
from trainers.supervision.gradient import emphasised_loss

LEARNING_RATE, MOMENTUM, WEIGHT_DECAY = 0.1, 0.9, 1e-4
CLASSES, CHANNELS = 10, 3
_PAD = 4
_DRAWN_STEPS = 64


@dataclass(frozen=True)
class Resident:
    """Images of CIFAR's kind on the device, random: for time they do as well as real ones.

    Attributes:
        images: uint8 (N, 3, H, W).
        labels: int64 (N,).
        shift: What is taken off a pixel, float32 (1, 3, 1, 1).
        gain: What the rest is multiplied by, as ``shift``.
    """

    images: Tensor
    labels: Tensor
    shift: Tensor
    gain: Tensor

    @classmethod
    def random(cls, setting: Setting) -> Resident:
        """The data set of a setting, the same in every process."""
        generator = torch.Generator().manual_seed(0)
        size = (setting.examples, CHANNELS, setting.side, setting.side)
        images = torch.randint(0, 256, size, generator=generator, dtype=torch.uint8)
        labels = torch.randint(0, CLASSES, (setting.examples,), generator=generator)
        shift = torch.full((1, CHANNELS, 1, 1), 127.5)
        tensors = (images, labels, shift, torch.full_like(shift, 1 / 73.9))
        return cls(*(tensor.to(setting.device) for tensor in tensors))


class Draws:
    """Which examples each lane takes, and where it crops: drawn ahead, and counted on the device.

    So a captured step needs neither a generator nor a word from the host: it looks its row up and moves on.

    Args:
        setting: Examples, batch size, device.
        lanes: K.
        seed: Of the draws.
    """

    def __init__(self, setting: Setting, lanes: int, seed: int) -> None:
        generator = torch.Generator().manual_seed(seed)
        size = (_DRAWN_STEPS, lanes * setting.batch_size)
        columns = [
            torch.randint(0, high, size, generator=generator)
            for high in (setting.examples, 2 * _PAD + 1, 2 * _PAD + 1, 2)
        ]
        self._rows = torch.stack(columns, dim=1).to(setting.device)  # (steps, 4, K * B)
        self._next = torch.zeros(1, dtype=torch.int64, device=setting.device)

    def batch(self, data: Resident) -> tuple[Tensor, Tensor]:
        """The next batch: augmented and normalised images, float32 (K * B, 3, H, W), and labels (K * B,)."""
        chosen, top, left, flips = self._rows.index_select(0, self._next)[0]
        self._next.add_(1).remainder_(_DRAWN_STEPS)
        images = crop_flip(data.images.index_select(0, chosen), top, left, flips > 0, _PAD)
        return images.float().sub_(data.shift).mul_(data.gain), data.labels.index_select(0, chosen)

    @property
    def state(self) -> list[Tensor]:
        """What changes from step to step."""
        return [self._next]


class SoloStep:
    """A step of the solo engine without what the host does in it, to be captured alone or beside others.

    bf16 autocast, channels_last, one flat parameter buffer. Norms do not count batches: their momentum is given.

    Args:
        setting: Depth, sizes, device.
        data: On the device.
        supervision: Of the lane.
        seed: Of initialisation and draws.
        compiled: Whether inductor makes the network's forward and backward pass.
    """

    def __init__(
        self, setting: Setting, data: Resident, supervision: GradientRescaling, seed: int, compiled: bool = False
    ) -> None:
        self._data, self._supervision = data, supervision
        self._device_type = setting.device.type
        network = initial_network(setting, seed).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._network: nn.Module = network.train()
        self._forward = torch.compile(network, dynamic=False) if compiled else network
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.num_batches_tracked = None
        self._parameters = flatten_parameters(network)
        self._optimiser = MomentumSGD(self._parameters, MOMENTUM, WEIGHT_DECAY)
        self._draws = Draws(setting, 1, seed)
        self.losses = torch.zeros(1, device=setting.device)

    def step(self) -> None:
        """One step; its loss is left in ``losses``, shape (1,)."""
        images, labels = self._draws.batch(self._data)
        images = images.contiguous(memory_format=torch.channels_last)
        self._optimiser.zero_grad()
        with torch.autocast(self._device_type, torch.bfloat16):
            logits = self._forward(images)
        loss = self._supervision.loss(logits.float(), labels)
        loss.backward()  # type: ignore[no-untyped-call]
        self._optimiser.step(LEARNING_RATE)
        self.losses.copy_(loss.detach())

    @property
    def state(self) -> list[Tensor]:
        """What changes from step to step."""
        velocity = self._optimiser.state_dict()["velocity"]
        return [self._parameters.data, velocity, *self._network.buffers(), *self._draws.state]


class FusedStep:
    """A step of K lanes at once in another form than the fused engine's.

    Args:
        setting: Depth, sizes, device.
        data: On the device.
        supervisions: One a lane.
        layout: Memory format of the maps.
        compute_dtype: Of the maps and matrices.
        compiled: Whether inductor makes the network's forward and backward pass.
        norm: What norms, shortcuts and activations are computed by; None for torch's operations.
    """

    def __init__(
        self,
        setting: Setting,
        data: Resident,
        supervisions: Sequence[GradientRescaling],
        layout: torch.memory_format,
        compute_dtype: torch.dtype = torch.bfloat16,
        compiled: bool = False,
        norm: NormRelu | None = None,
    ) -> None:
        device, lanes = setting.device, len(supervisions)
        self._data, self._lanes = data, lanes
        template = initial_network(setting, 0).to(memory_format=layout)  # type: ignore[call-overload]
        self._network = FusedCifarResNet(template, lanes, compute_dtype, norm)
        self._logits = torch.compile(self._network.logits, dynamic=False) if compiled else self._network.logits
        self._rule = LaneEmphasis(lanes, device, torch.float32)
        for lane, supervision in enumerate(supervisions):
            self._network.load(lane, initial_network(setting, lane).state_dict())
            self._rule.set(lane, supervision)
        self._learning_rate = torch.full((lanes, 1), LEARNING_RATE, device=device)
        self._weight_decay = torch.full((lanes, 1), WEIGHT_DECAY, device=device)
        self._draws = Draws(setting, lanes, seed=0)

    def step(self) -> None:
        """One step of every lane; the losses are left in ``losses``."""
        images, labels = self._draws.batch(self._data)
        parameters = self._network.parameters
        parameters.gather()
        logits = self._logits(images.unflatten(0, (self._lanes, -1))).flatten(0, 1)
        parameters.differentiate(emphasised_loss(logits.float(), labels, self._rule))
        parameters.step(self._learning_rate, MOMENTUM, self._weight_decay)

    @property
    def losses(self) -> Tensor:
        """Of each lane in the last step, shape (K,)."""
        return self._rule.losses

    @property
    def state(self) -> list[Tensor]:
        """What changes from step to step."""
        return [*self._network.state, *self._draws.state]


def initial_network(setting: Setting, seed: int) -> CifarResNet:
    """A freshly drawn network on the device; the caller's generator is left as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = CifarResNet(setting.depth, CHANNELS, CLASSES)
    return network.to(setting.device)


def replay_difference(step: SoloStep | FusedStep, replay: Callable[[], object], steps: int = 3) -> float:
    """Largest relative difference of the losses of a few replayed steps from the same steps done eagerly.

    Not zero on a GPU: bf16 gradients are summed in an order that varies. What it finds is a capture that misses
    something, e.g. draws that stand still or parameters that are not updated.
    """
    before = [tensor.clone() for tensor in step.state]
    histories = []
    for call in (step.step, replay):
        for tensor, saved in zip(step.state, before, strict=True):
            tensor.copy_(saved)
        losses = []
        for _ in range(steps):
            call()
            losses.append(step.losses.clone())
        histories.append(torch.stack(losses))
    eager, replayed = histories
    return float(((replayed - eager).abs() / eager.abs().clamp(min=1e-6)).max())
