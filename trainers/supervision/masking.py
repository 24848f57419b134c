"""Masking: a generated transition matrix whose structure a critic compares with what people know of the noise."""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any
from typing import NamedTuple

import torch
from torch import Tensor
from torch import nn

from trainers.errors import FieldError
from trainers.errors import InvalidInput
from trainers.supervision.course import Batch
from trainers.supervision.course import Course
from trainers.supervision.course import NetworkView
from trainers.supervision.course import Setting
from trainers.supervision.course import Stage
from trainers.supervision.hyperparameters import count_error
from trainers.supervision.hyperparameters import interval_error
from trainers.supervision.log_probabilities import log_probabilities
from trainers.supervision.supervision import Supervision
from trainers.supervision.transition_estimate import estimate_transition

# All of the released code.
_GENERATOR_HIDDEN, _CRITIC_HIDDEN = (50, 50), (20,)
_CRITIC_STEPS = 5
_PRETRAINING_RATE, _PRETRAINING_BATCH = 1e-4, 128
# A transition counts as possible above 0.05 at ten classes, blurred by 0.005: half and a twentieth of 1 / C.
_POSSIBLE, _BLUR = 0.5, 0.05


@dataclass(frozen=True, slots=True)
class Masking(Supervision):
    """Masking: forward correction by a generated transition matrix, whose structure fits a prior mask.

    Stage one is CCE; from its predictions the transition matrix T is estimated as by Patrini et al., CVPR 2017, and
    the generator trained to give it. Stage two goes on with the same network: every example of a batch gets its own
    S = softmax(G(noise)), noise N(0, 1) of C dimensions, and the loss is -log (S^T p)_y. After every step of the
    network the generator G (C-50-50-C*C, ReLU) takes one step down that loss minus the critic's score of S, and the
    critic (C*C-20-1, sigmoid) five steps down score(S) - score(mask), with fresh noise. Of S the critic sees the
    structure sigmoid((S - 0.5/C) / (0.05/C)), which at ten classes are the source's 0.05 and 0.005. The network is
    used without S.

    Args:
        mask: The prior: "ones" (every transition possible, as under symmetric noise), or a file .npy, .csv or .txt
            of C x C zeros and ones, row: the intact class, column: the given one.
        first_stage: Length of stage one as a share of the task's budget, > 0. Source: as long as stage two. From
            a network that has memorised its labels T = I is estimated, which corrects nothing: make it shorter
            where the backbone can memorise.
        rate: RMSProp's learning rate for generator and critic, > 0; a tenth of it wherever the network's own
            learning rate comes down to it, and so on.
        pretraining_steps: RMSProp steps of the generator towards T, at 1e-4, >= 1.

    Raises:
        InvalidInput: A value is out of range.

    Source: Han et al., NeurIPS 2018, and their released code, which is followed where the paper leaves a choice:
    one S an example, ReLU and sigmoid, uniform Glorot initialisation, five critic steps, no clamp of the critic's
    weights (the code defines one and never runs it). Not followed: it estimates T without Patrini's filter of
    outliers; its generator steps also move the network, by RMSProp at 1e-5, which is left to the task's optimiser;
    generator and critic learn from the batch just seen, not from fresh ones; 0.05 and 0.005 do not depend on C.
    """

    mask: str = "ones"
    first_stage: float = 1.0
    rate: float = 1e-5
    pretraining_steps: int = 10_000

    def __post_init__(self) -> None:
        errors = [
            *interval_error("first_stage", self.first_stage, "(0, inf)", "Give a share of the budget, e.g. 1."),
            *interval_error("rate", self.rate, "(0, inf)", "Use 1e-5 as its authors do."),
            *count_error("pretraining_steps", self.pretraining_steps, 1, "Use 10000 as its authors do."),
        ]
        if not isinstance(self.mask, str) or (
            self.mask != "ones" and Path(self.mask).suffix not in (".npy", ".csv", ".txt")
        ):
            remedy = "Use 'ones', or a file .npy, .csv or .txt of zeros and ones."
            errors.append(FieldError("mask", self.mask, "no prior mask", remedy))
        if errors:
            raise InvalidInput(*errors)
        object.__setattr__(self, "first_stage", float(self.first_stage))
        object.__setattr__(self, "rate", float(self.rate))
        object.__setattr__(self, "pretraining_steps", int(self.pretraining_steps))

    @property
    def name(self) -> str:
        """``masking``."""
        return "masking"

    @property
    def stages(self) -> tuple[Stage, ...]:
        """CCE, then the correction, with the same network."""
        return (Stage(self.first_stage), Stage())

    def problems(self, setting: Setting) -> list[FieldError]:
        """A mask that cannot be read, or is not one of this many classes."""
        try:
            self.prior(setting.num_classes)
        except InvalidInput as refusal:
            return list(refusal.errors)
        return []

    def prior(self, num_classes: int) -> Tensor:
        """The prior mask: float32 (C, C), 1 where the row's class may be given the column's label.

        Raises:
            InvalidInput: The file cannot be read, or holds something else.
        """
        if self.mask == "ones":
            return torch.ones(num_classes, num_classes)
        remedy = f"Give a {num_classes} x {num_classes} file of zeros and ones, a one in every row."
        # Imported here since they need numpy, and whoever takes a loss alone need not have it.
        import numpy as np

        from trainers.class_matrix import read_class_matrix

        try:
            mask = read_class_matrix(Path(self.mask))
        except Exception as error:  # numpy raises many kinds for a file that is none of its own
            raise InvalidInput(FieldError("mask", self.mask, f"cannot be read ({error})", remedy)) from error
        problem = ""
        if mask.shape != (num_classes, num_classes):
            problem = f"has shape {mask.shape}, not {(num_classes, num_classes)}"
        elif not np.isin(mask, (0, 1)).all():
            problem = "holds other values than 0 and 1"
        elif not mask.any(axis=1).all():
            problem = f"row {int((~mask.any(axis=1)).argmax())} allows no label at all"
        if problem:
            raise InvalidInput(FieldError("mask", self.mask, problem, remedy))
        return torch.from_numpy(mask.astype(np.float32))

    def course(self, setting: Setting) -> Course:
        """Both stages, with the generator and the critic of this lane."""
        return _MaskingCourse(self, setting)


class _Seen(NamedTuple):
    """What the generator learns from after the network's step."""

    log_p: Tensor
    labels: Tensor
    log_s: Tensor


class _MaskingCourse(Course):
    """State: generator, critic, their optimisers and the noise's generator; nothing before stage two."""

    def __init__(self, supervision: Masking, setting: Setting) -> None:
        self._supervision, self._setting = supervision, setting
        classes, device = setting.num_classes, setting.device
        self._prior = supervision.prior(classes).to(device)
        # On the CPU, so that every device has the same numbers and a lane can go on on another.
        self._noise = torch.Generator().manual_seed(setting.seed)
        initial = torch.Generator().manual_seed(setting.seed)
        cells = classes * classes
        self._generator = _perceptron((classes, *_GENERATOR_HIDDEN, cells), nn.ReLU, initial).to(device)
        self._critic = _perceptron((cells, *_CRITIC_HIDDEN, 1), nn.Sigmoid, initial).to(device)
        self._generator_optimiser = _rmsprop(self._generator.parameters(), supervision.rate)
        self._critic_optimiser = _rmsprop(self._critic.parameters(), supervision.rate)
        self._correcting = False
        self._seen: _Seen | None = None

    def loss(self, batch: Batch) -> Tensor:
        """See Masking."""
        log_p = log_probabilities(batch.logits)
        if not self._correcting:
            return -log_p.gather(1, batch.labels.unsqueeze(1)).mean()
        log_s = self._log_matrices(len(log_p))
        self._seen = _Seen(log_p.detach(), batch.labels, log_s)
        return corrected_loss(log_p, batch.labels, log_s.detach())

    def step(self, learning_rate: float) -> None:
        if self._seen is None:
            return
        seen, self._seen = self._seen, None
        rate = self._supervision.rate
        while 0 < learning_rate <= rate:
            rate /= 10
        score = self._critic(self._structure(seen.log_s)).mean()
        loss = corrected_loss(seen.log_p, seen.labels, seen.log_s) - score
        _descend(loss, self._generator, self._generator_optimiser, rate)
        for _ in range(_CRITIC_STEPS):
            with torch.no_grad():
                structure = self._structure(self._log_matrices(len(seen.labels)))
            loss = self._critic(structure).mean() - self._critic(self._prior.flatten()).mean()
            _descend(loss, self._critic, self._critic_optimiser, rate)

    def end_stage(self, number: int, network: NetworkView) -> None:
        self._correcting = True
        transition = estimate_transition(network.probabilities())
        self._pretrain(transition.to(self._setting.device, torch.float32))

    def state_dict(self) -> dict[str, Any]:
        if not self._correcting:
            return {"correcting": False}
        return {
            "correcting": True,
            "generator": self._generator.state_dict(),
            "critic": self._critic.state_dict(),
            "generator_optimiser": self._generator_optimiser.state_dict(),
            "critic_optimiser": self._critic_optimiser.state_dict(),
            "noise": self._noise.get_state(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._correcting = state["correcting"]
        if not self._correcting:
            return
        self._generator.load_state_dict(state["generator"])
        self._critic.load_state_dict(state["critic"])
        self._generator_optimiser.load_state_dict(state["generator_optimiser"])
        self._critic_optimiser.load_state_dict(state["critic_optimiser"])
        self._noise.set_state(state["noise"])

    def _log_matrices(self, count: int) -> Tensor:
        """log S for so many draws of noise, float32 (count, C, C)."""
        classes, device = self._setting.num_classes, self._setting.device
        noise = torch.randn(count, classes, generator=self._noise).to(device)
        # The network's forward pass may run in a half type; steps of 1e-5 would be lost in one.
        with torch.autocast(device.type, enabled=False):
            return torch.log_softmax(self._generator(noise).view(count, classes, classes), dim=2)

    def _structure(self, log_s: Tensor) -> Tensor:
        """Near 1 where S allows a transition, near 0 where not; shape (count, C*C)."""
        scaled = self._setting.num_classes * log_s.exp()
        return torch.sigmoid((scaled - _POSSIBLE) / _BLUR).flatten(start_dim=1)

    def _pretrain(self, transition: Tensor) -> None:
        """Train the generator to give this matrix whatever the noise."""
        optimiser = _rmsprop(self._generator.parameters(), _PRETRAINING_RATE)
        for _ in range(self._supervision.pretraining_steps):
            log_s = self._log_matrices(_PRETRAINING_BATCH)
            loss = -(transition * log_s).sum(dim=(1, 2)).mean()
            _descend(loss, self._generator, optimiser, _PRETRAINING_RATE)


def corrected_loss(log_p: Tensor, labels: Tensor, log_s: Tensor) -> Tensor:
    """Mean of -log (S^T p)_y over a batch, from logarithms: finite wherever they are.

    Args:
        log_p: Shape (B, C).
        labels: Given labels, int64 (B,).
        log_s: Logarithms of one transition matrix an example, shape (B, C, C), rows summing to 1.
    """
    rows = torch.arange(len(labels), device=labels.device)
    return -torch.logsumexp(log_p + log_s[rows, :, labels], dim=1).mean()


def _perceptron(widths: Sequence[int], activation: type[nn.Module], initial: torch.Generator) -> nn.Sequential:
    """Linear layers with an activation between them; uniform Glorot weights and biases of 0, as in the source."""
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(widths):
        # Made without torch's own initialisation, which would draw from the global generator.
        linear = nn.Linear(inputs, outputs, device="meta").to_empty(device="cpu")
        nn.init.xavier_uniform_(linear.weight, generator=initial)
        nn.init.zeros_(linear.bias)
        layers += [linear, activation()]
    return nn.Sequential(*layers[:-1])


def _rmsprop(parameters: Iterable[nn.Parameter], rate: float) -> torch.optim.RMSprop:
    """With TensorFlow's constants, as in the source: decay 0.9, epsilon 1e-10."""
    return torch.optim.RMSprop(parameters, lr=rate, alpha=0.9, eps=1e-10)


def _descend(loss: Tensor, network: nn.Module, optimiser: torch.optim.Optimizer, rate: float) -> None:
    """One step of these parameters alone down the loss."""
    parameters = list(network.parameters())
    for parameter, gradient in zip(parameters, torch.autograd.grad(loss, parameters), strict=True):
        parameter.grad = gradient
    for group in optimiser.param_groups:
        group["lr"] = rate
    optimiser.step()
