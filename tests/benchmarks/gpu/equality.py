"""Do the forms compute the same numbers? In float64: each convolution as the loop, each fused lane as a solo one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from tests.benchmarks.gpu.convolution_forms import FORMS
from tests.benchmarks.gpu.convolution_forms import Case
from tests.benchmarks.gpu.convolution_shapes import convolutions
from trainers.datasets import Dataset
from trainers.engines.flat_parameters import flatten_parameters
from trainers.engines.fused import FusedTraining
from trainers.engines.sgd import MomentumSGD
from trainers.noise import symmetric_noise
from trainers.supervision import CategoricalCrossEntropy
from trainers.supervision import GeneralisedCrossEntropy
from trainers.supervision import GradientRescaling
from trainers.supervision import MeanAbsoluteError
from trainers.supervision import WeightFunction
from trainers.training import Lane
from trainers.training import Precision
from trainers.training import TrainingTask

# On a CPU. A GPU's algorithms add up in other orders, and some of them transform.
FORM_TOLERANCE, LANE_TOLERANCE = 1e-10, 1e-12
GPU_FORM_TOLERANCE, GPU_LANE_TOLERANCE = 1e-9, 1e-7

SUPERVISIONS: tuple[WeightFunction, ...] = (
    CategoricalCrossEntropy(),
    MeanAbsoluteError(),
    GeneralisedCrossEntropy(0.7),
    GradientRescaling(8, 0.5),
    GradientRescaling(16, 1),
    GradientRescaling(0, 0),
    GradientRescaling(2, 1, normalise="none"),
    GradientRescaling(4, 0.5, transform="identity"),
    GradientRescaling(3, 2, transform="identity", normalise="none"),
)
"""Every weight function there is, with every transform and normalisation: one a lane."""

_SIDE, _CLASSES, _BATCH, _STEPS, _MOMENTUM = 8, 4, 20, 20, 0.9


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


def relative_difference(found: Tensor, expected: Tensor) -> float:
    """The largest absolute difference, relative to the largest expected number; infinite where one is not finite."""
    assert found.shape == expected.shape, (found.shape, expected.shape)
    largest = expected.abs().max().clamp(min=torch.finfo(expected.dtype).tiny)
    difference = float((found - expected).abs().max() / largest)
    return difference if difference == difference else float("inf")


class Lanes:
    """Lanes that differ in everything a lane can differ in, and what each is shown in 20 steps.

    Args:
        device: Where they are trained.
        side: Height and width of the images.
    """

    def __init__(self, device: torch.device, side: int) -> None:
        self.device = device
        lanes = len(SUPERVISIONS)
        generator = torch.Generator().manual_seed(7)
        size = (_STEPS, lanes, _BATCH, 3, side, side)
        self.images = torch.randn(size, generator=generator, dtype=torch.float64).to(device)
        self.labels = torch.randint(0, _CLASSES, size[:3], generator=generator).to(device)
        pixels = torch.randint(0, 256, (_BATCH, 3, side, side), generator=generator, dtype=torch.uint8)
        classes = torch.arange(_BATCH) % _CLASSES
        data = Dataset.from_tensors("random", pixels, classes, pixels, classes, _CLASSES)
        # Small rates: what rounding makes of a lane must not grow by the lane's own doing.
        self.task = TrainingTask(data, "resnet20", _STEPS, _BATCH, device=str(device), precision="fp32")
        labels = symmetric_noise(classes, 0.0, _CLASSES, 0)
        self.lanes = [
            Lane(
                f"lane-{seed}",
                supervision,
                labels,
                seed,
                learning_rate=0.0004 + 0.0002 * seed,
                weight_decay=1e-4 * seed,
            )
            for seed, supervision in enumerate(SUPERVISIONS)
        ]

    def seated(self, dtype: torch.dtype, precision: Precision = "fp32") -> FusedTraining:
        """All of them, before their first step."""
        training = FusedTraining(replace(self.task, precision=precision), len(self.lanes), dtype)
        for place, lane in enumerate(self.lanes):
            training.seat(place, lane)
        return training

    def rates(self, dtype: torch.dtype) -> Tensor:
        """Their learning rates, (K, 1)."""
        return torch.tensor([[lane.learning_rate] for lane in self.lanes], dtype=dtype, device=self.device)

    def difference(self) -> float:
        """How far a fused lane is from the same lane alone, in float64.

        The largest difference, relative to the largest number of its tensor, of losses and gradients of every step,
        and of the parameters and running statistics after the last.
        """
        fused = self.seated(torch.float64)
        rates = self.rates(torch.float64)
        seen = []
        for images, labels in zip(self.images, self.labels, strict=True):
            fused.update(images, labels.flatten(), rates)
            seen.append((fused.rule.losses.clone(), fused.network.parameters.gradient.clone()))
        worst = 0.0
        for place, lane in enumerate(self.lanes):
            own = lane.task(self.task)
            network = fused.drawn(lane.seed).to(self.device, torch.float64).to(memory_format=torch.channels_last)
            parameters = flatten_parameters(network)
            optimiser = MomentumSGD(parameters, own.momentum, own.weight_decay)
            for step, (losses, gradients) in enumerate(seen):
                optimiser.zero_grad()
                loss = SUPERVISIONS[place].loss(network(self.images[step, place]), self.labels[step, place])
                loss.backward()  # type: ignore[no-untyped-call]
                # The update adds the weight decay in place.
                optimiser.step(own.learning_rate)
                assert parameters.grad is not None
                worst = max(worst, relative_difference(losses[place], loss.detach()))
                worst = max(worst, relative_difference(gradients[place], parameters.grad))
            state = network.state_dict()
            for name, tensor in fused.network.state_dict(place, _STEPS).items():
                worst = max(worst, relative_difference(tensor.double(), state[name].to(tensor.device).double()))
        return worst

    def spoilt(self, dtype: torch.dtype, precision: Precision = "fp32", bad: int = 1) -> int:
        """How many other lanes are not what they were after a step in which one of them is NaN all over.

        To the last bit in float64. In other types, whose kernels may add up in another order every time, a lane is
        what it was where all of it is finite.

        Args:
            dtype: Of parameters and losses.
            precision: Of the maps, where parameters are float32; as kernels are chosen now.
            bad: The lane of NaN.
        """
        losses, parameters = self._after_a_step(dtype, precision, bad)
        if dtype == torch.float64:
            sound, expected = self._after_a_step(dtype, precision)
            same = (losses == sound) & (parameters == expected).all(dim=1)
        else:
            # A lane whose parameters are not finite after the step is given zeros.
            same = losses.isfinite() & parameters.any(dim=1)
        same[bad] = True
        return int((~same).sum())

    def _after_a_step(
        self, dtype: torch.dtype, precision: Precision, bad: int | None = None
    ) -> tuple[Tensor, Tensor]:
        """The losses (K,) and the parameters (K, P), those of lane ``bad`` having been NaN."""
        fused = self.seated(dtype, precision)
        if bad is not None:
            fused.network.parameters.values[bad] = float("nan")
        fused.update(self.images[0].to(dtype), self.labels[0].flatten(), self.rates(dtype))
        return fused.rule.losses.clone(), fused.network.parameters.values.clone()


Report = Callable[[str], None]


def check_equality(device: torch.device, lanes: int, inductor: bool, say: Report) -> dict[str, Any]:
    """All of the above, printed; what the result file keeps of it.

    Raises:
        AssertionError: A form differs by more than its tolerance, or lanes in groups of their own touch each other.
    """
    gpu = device.type == "cuda"
    with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False):
        forms = form_differences(device, lanes, inductor)
        together = Lanes(device, _SIDE)
        fused, spoilt = together.difference(), together.spoilt(torch.float64)
    # As a sweep trains, with the kernels that are fastest.
    with torch.backends.cudnn.flags(enabled=True, benchmark=True, deterministic=False, allow_tf32=True):
        spoilt_in_bf16 = together.spoilt(torch.float32, "bf16") if gpu else None
    say("largest relative difference in float64")
    say("  of a form of convolution from the loop: " + _listed(forms))
    say(f"  of a fused lane after {_STEPS} steps from the same lane alone: {fused:.1e}")
    say(f"  other lanes that a lane of NaN spoils: {spoilt}")
    if spoilt_in_bf16 is not None:
        say(f"  and in bfloat16, by the fastest kernels: {spoilt_in_bf16}")
    bad = {name: value for name, value in forms.items() if value > (GPU_FORM_TOLERANCE if gpu else FORM_TOLERANCE)}
    assert not bad, f"not equal: {bad}"
    assert fused <= (GPU_LANE_TOLERANCE if gpu else LANE_TOLERANCE), f"lanes not equal: {fused}"
    # How a GPU's kernels compute groups is theirs to choose, and so a finding, not a requirement.
    assert gpu or not spoilt, f"not isolated: {spoilt} lanes"
    return {
        "forms": forms,
        "fused_lane": fused,
        "lanes_spoilt_by_one_of_nan": spoilt,
        "lanes_spoilt_in_bf16": spoilt_in_bf16,
    }


def _listed(differences: dict[str, float]) -> str:
    return ", ".join(f"{name} {value:.1e}" for name, value in differences.items())


