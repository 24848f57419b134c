"""Do the forms compute the same numbers? In float64: each convolution as the loop, each fused lane as a solo one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from dataclasses import field

import torch
from torch import Tensor

from tests.benchmarks.gpu.convolution_forms import FORMS
from tests.benchmarks.gpu.convolution_forms import Case
from tests.benchmarks.gpu.convolution_shapes import convolutions
from tests.benchmarks.gpu.fused_network import FusedCifarResNet
from tests.benchmarks.gpu.lane_emphasis import LaneEmphasis
from tests.benchmarks.gpu.steps import fused_update
from trainers.engines.flat_parameters import flatten_parameters
from trainers.engines.sgd import MomentumSGD
from trainers.models.cifar_resnet import CifarResNet
from trainers.supervision import CategoricalCrossEntropy
from trainers.supervision import GeneralisedCrossEntropy
from trainers.supervision import GradientRescaling
from trainers.supervision import MeanAbsoluteError
from trainers.supervision import WeightFunction

# On a CPU. A GPU's algorithms add up in other orders, and some of them transform.
FORM_TOLERANCE, LANE_TOLERANCE = 1e-10, 1e-12
GPU_FORM_TOLERANCE, GPU_LANE_TOLERANCE = 1e-9, 1e-7

SUPERVISIONS: tuple[WeightFunction, ...] = (
    CategoricalCrossEntropy(),
    MeanAbsoluteError(),
    GeneralisedCrossEntropy(0.7),
    GradientRescaling(8, 0.5),
    GradientRescaling(16, 1),
    GradientRescaling(2, 1, normalise="none"),
    GradientRescaling(4, 0.5, transform="identity"),
    GradientRescaling(3, 2, transform="identity", normalise="none"),
)
"""Every weight function there is, with every transform and normalisation: one a lane."""

_DEPTH, _SIDE, _BATCH, _CLASSES, _STEPS, _MOMENTUM = 8, 8, 6, 5, 20, 0.9


def form_differences(device: torch.device, lanes: int, inductor: bool) -> dict[str, float]:
    """Of each form of convolution, over all shapes of a small ResNet: the largest relative difference from the loop."""
    worst: dict[str, float] = {}
    for shape in convolutions(20, _SIDE):
        case = Case.random(shape, lanes, 2, device, torch.float64)
        reference = FORMS["loop"](case).result()
        for name, form in FORMS.items():
            if name == "loop" or (name == "inductor" and not inductor):
                continue
            result = form(case).result()
            found = [
                relative_difference(result.outputs, reference.outputs),
                relative_difference(result.weights, reference.weights),
            ]
            if reference.inputs is not None and result.inputs is not None:
                found.append(relative_difference(result.inputs, reference.inputs))
            assert (reference.inputs is None) == (result.inputs is None)
            worst[name] = max([worst.get(name, 0.0), *found])
    return worst


@dataclass
class LaneRun:
    """What a lane leaves of 20 steps: losses (steps,), gradients (steps, P), parameters (P,), running statistics."""

    losses: list[Tensor] = field(default_factory=list)
    gradients: list[Tensor] = field(default_factory=list)
    parameters: Tensor = field(default_factory=lambda: torch.empty(0))
    running: list[Tensor] = field(default_factory=list)

    def difference(self, other: LaneRun) -> float:
        """The largest difference of any of it, relative to the largest number of its tensor."""
        mine = [*self.losses, *self.gradients, self.parameters, *self.running]
        others = [*other.losses, *other.gradients, other.parameters, *other.running]
        return max(relative_difference(one, two) for one, two in zip(mine, others, strict=True))


def relative_difference(found: Tensor, expected: Tensor) -> float:
    """The largest absolute difference, relative to the largest expected number; infinite where one is not finite."""
    assert found.shape == expected.shape
    difference = float((found - expected).abs().max() / expected.abs().max())
    return difference if difference == difference else float("inf")


class _Lanes:
    """K lanes that differ in everything a lane can differ in, with their data."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        lanes = len(SUPERVISIONS)
        generator = torch.Generator().manual_seed(7)
        size = (_STEPS, lanes, _BATCH, 3, _SIDE, _SIDE)
        self.images = torch.randn(size, generator=generator, dtype=torch.float64).to(device)
        self.labels = torch.randint(0, _CLASSES, size[:3], generator=generator).to(device)
        self.learning_rates = [0.02 + 0.01 * lane for lane in range(lanes)]
        self.weight_decays = [1e-4 * lane for lane in range(lanes)]

    def networks(self) -> list[CifarResNet]:
        """Freshly drawn, the same at every call."""
        networks = []
        with torch.random.fork_rng(devices=[]):
            for lane in range(len(SUPERVISIONS)):
                torch.manual_seed(lane)
                networks.append(CifarResNet(_DEPTH, 3, _CLASSES).double().to(self.device))
        return networks

    def solo(self, lane: int) -> LaneRun:
        """A lane trained alone, of the parts that the solo engine has."""
        network = self.networks()[lane]
        parameters = flatten_parameters(network)
        optimiser = MomentumSGD(parameters, _MOMENTUM, self.weight_decays[lane])
        run = LaneRun()
        for images, labels in zip(self.images[:, lane], self.labels[:, lane], strict=True):
            optimiser.zero_grad()
            loss = SUPERVISIONS[lane].loss(network(images), labels)
            loss.backward()  # type: ignore[no-untyped-call]
            assert parameters.grad is not None
            # The update adds the weight decay in place.
            optimiser.step(self.learning_rates[lane])
            run.losses.append(loss.detach())
            run.gradients.append(parameters.grad.clone())
        run.parameters = parameters.detach()
        run.running = [
            buffer for name, buffer in network.named_buffers() if name.endswith(("running_mean", "running_var"))
        ]
        return run

    def fused(
        self, packed: bool, layout: torch.memory_format, spoilt: int | None = None, steps: int = _STEPS
    ) -> list[LaneRun]:
        """All lanes trained at once; ``spoilt`` names one whose parameters are made NaN before it begins."""
        lanes = len(SUPERVISIONS)
        packing = {shape: packed for shape in convolutions(_DEPTH, _SIDE)}
        network = FusedCifarResNet(self.networks(), _SIDE, packing, layout, torch.float64)
        if spoilt is not None:
            network.parameters.values[spoilt] = float("nan")
        rule = LaneEmphasis(SUPERVISIONS, self.device, torch.float64)
        rates, decays = (
            torch.tensor(values, dtype=torch.float64, device=self.device).unsqueeze(1)
            for values in (self.learning_rates, self.weight_decays)
        )
        runs = [LaneRun() for _ in range(lanes)]
        for images, labels in zip(self.images[:steps], self.labels[:steps], strict=True):
            fused_update(network, images, labels.flatten(), rule, rates, _MOMENTUM, decays)
            for lane, run in enumerate(runs):
                run.losses.append(rule.losses[lane].clone())
                run.gradients.append(network.parameters.gradient[lane].clone())
        for lane, run in enumerate(runs):
            run.parameters = network.parameters.values[lane]
            run.running = [
                statistic.view(lanes, -1)[lane] for pair in network.running.values() for statistic in pair
            ]
        return runs


def lane_differences(device: torch.device) -> dict[str, float]:
    """Of each form of the fused network: the largest relative difference of any lane, after 20 steps, from it alone.

    Losses and gradients of every step, and the parameters and running statistics after the last.
    """
    lanes = _Lanes(device)
    alone = [lanes.solo(lane) for lane in range(len(SUPERVISIONS))]
    return {
        name: max(run.difference(solo) for run, solo in zip(lanes.fused(packed, layout), alone, strict=True))
        for name, packed, layout in _FUSED
    }


def lanes_spoilt_by_one(device: torch.device) -> dict[str, int]:
    """Of each form of the fused network: how many other lanes are no longer what they were where one is NaN."""
    lanes, bad = _Lanes(device), 1
    found = {}
    for name, packed, layout in _FUSED:
        sound, beside = (lanes.fused(packed, layout, spoilt, steps=2) for spoilt in (None, bad))
        pairs = [pair for lane, pair in enumerate(zip(beside, sound, strict=True)) if lane != bad]
        found[name] = sum(one.difference(other) > LANE_TOLERANCE for one, other in pairs)
    return found


_FUSED = (
    ("grouped NCHW", False, torch.contiguous_format),
    ("grouped channels_last", False, torch.channels_last),
    ("packed NCHW", True, torch.contiguous_format),
    ("packed channels_last", True, torch.channels_last),
)

Report = Callable[[str], None]


def check_equality(device: torch.device, lanes: int, inductor: bool, say: Report) -> dict[str, dict[str, float]]:
    """All of the above, printed; what the result file keeps of it.

    Raises:
        AssertionError: A form differs by more than its tolerance, or lanes in groups of their own touch each other.
    """
    gpu = device.type == "cuda"
    with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False):
        forms, fused = form_differences(device, lanes, inductor), lane_differences(device)
        spoilt = lanes_spoilt_by_one(device)
    say("largest relative difference in float64")
    say("  of a form of convolution from the loop: " + _listed(forms))
    say(f"  of a fused lane after {_STEPS} steps from a solo lane: " + _listed(fused))
    say("  other lanes that a lane of NaN spoils: " + ", ".join(f"{name} {count}" for name, count in spoilt.items()))
    bad = {name: value for name, value in forms.items() if value > (GPU_FORM_TOLERANCE if gpu else FORM_TOLERANCE)}
    bad |= {name: value for name, value in fused.items() if value > (GPU_LANE_TOLERANCE if gpu else LANE_TOLERANCE)}
    assert not bad, f"not equal: {bad}"
    # How a GPU's kernels compute groups is theirs to choose, and so a finding, not a requirement.
    assert gpu or not any(spoilt[name] for name in spoilt if name.startswith("grouped")), f"not isolated: {spoilt}"
    return {"forms": forms, "fused_lanes": fused, "lanes_spoilt_by_one_of_nan": {**spoilt}}


def _listed(differences: dict[str, float]) -> str:
    return ", ".join(f"{name} {value:.1e}" for name, value in differences.items())


