"""SweepSpec: what a user submits, one dataset and one noise rate."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING
from typing import Annotated
from typing import Any
from typing import Literal

from pydantic import AfterValidator
from pydantic import BaseModel
from pydantic import BeforeValidator
from pydantic import ConfigDict
from pydantic import Field
from pydantic import PlainSerializer
from pydantic import SerializeAsAny
from pydantic import ValidationInfo
from pydantic import ValidatorFunctionWrapHandler
from pydantic import WithJsonSchema
from pydantic import WrapValidator
from pydantic import field_validator
from pydantic import model_validator
from pydantic_core import PydanticCustomError

from search.cross_field import Problem
from search.cross_field import raise_all
from search.cross_field import said
from search.early_stopping import LEAST_SEEDS_OF_WILCOXON
from search.early_stopping import EarlyStoppingRule
from search.hyperparameters import SPEC_FIELDS
from search.hyperparameters import Hyperparameters
from search.remedies import REMEDIES
from search.supervision_check import SupervisionCheck
from spaces import AnySpace
from spaces import BoxSpace
from spaces import KappaSpace
from spaces import SearchSpace
from spaces import Value
from spaces import default_space
from spaces import narrowed
from spaces import refusal
from spaces.named import as_fields
from spaces.space import Hyperparameters as GivenHyperparameters
from spaces.space import Number
from spaces.space import no_truth_value
from trainers.plugins import unknown_name

Sampler = Literal["tpe", "random", "grid", "gp", "cmaes"]

DEFAULT_TRIALS = 30
"""Configurations that a search of a continuous space tries unless told otherwise."""

_CONTINUOUS_SAMPLERS = ("gp", "cmaes")

# Of Linux, in bytes: of one name, and of a whole path.
_LONGEST_NAME, _LONGEST_PATH = 255, 4095

_SMALLEST_SHARE = 1e-3


def _fraction(value: Any) -> Any:
    if isinstance(value, str) and "/" in value:
        try:
            return float(Fraction(value.replace(" ", "")))
        except (ValueError, ArithmeticError):
            return value
    return value


def _one_or_a_share(gpus: float) -> float:
    if gpus in (0.0, 1.0):
        return gpus
    if gpus > 1.0:
        problem = "is more than 1, and no trial trains on several GPUs"
        raise refusal("gpus", gpus, problem, "Give 1, and leave concurrency out: trials run on all GPUs there are.")
    if gpus < _SMALLEST_SHARE:
        raise refusal("gpus", gpus, f"is less than {_SMALLEST_SHARE:g} of a GPU", "Give a larger share, e.g. 0.25.")
    if gpus < 1.0 and abs(1.0 / gpus - round(1.0 / gpus)) < 1e-6:
        return gpus
    raise refusal(
        "gpus",
        gpus,
        "is neither a GPU nor 1/n of one",
        f"Give 1, or an equal share such as 0.5, 0.25 or '1/3'; the nearest is 1/{round(1 / gpus)}.",
    )


def _nameable(value: Path | str) -> Path | str:
    """What can be the path of a file, whether or not there is one."""
    text = str(value)
    try:
        path = Path(text).expanduser()
    except RuntimeError:
        raise refusal("value", text, "begins with the home folder of nobody", "Write the path in full.") from None
    encoded = os.fsencode(path)
    longest = max(map(len, encoded.split(b"/")))
    if b"\0" in encoded or len(encoded) > _LONGEST_PATH or longest > _LONGEST_NAME:
        raise refusal("value", text[:80], "is longer than a path can be, or holds a NUL", "Give a shorter path.")
    return value


UNKNOWN: Literal["unknown"] = "unknown"
"""A noise rate that is estimated before the search."""


def _or_unknown(value: Any, read: ValidatorFunctionWrapHandler) -> Any:
    return value if value is None or value == UNKNOWN else read(value)


Whole = Annotated[int, BeforeValidator(no_truth_value)]
Positive = Annotated[Whole, Field(gt=0)]
Share = Annotated[Number, Field(gt=0, lt=1)]
FilePath = Annotated[Path, AfterValidator(_nameable)]
if TYPE_CHECKING:
    NoiseRate = float | Literal["unknown"] | None
else:
    # Read as a number unless it is one of the two words, so that only what is wrong with the number is said.
    NoiseRate = Annotated[
        Annotated[Number, Field(ge=0, lt=1)],
        WrapValidator(_or_unknown),
        PlainSerializer(lambda rate: rate),
        WithJsonSchema(
            {"anyOf": [{"type": "number", "minimum": 0, "exclusiveMaximum": 1}, {"const": UNKNOWN}, {"type": "null"}]}
        ),
    ]


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Training(_Section):
    """How each trial trains. None everywhere means: as the dataset's recipe says (``trainers.recipes``).

    Args:
        epochs: Budget in passes over the training set, or
        iterations: Budget in optimiser steps; not both.
        batch_size: Examples a step, >= 2 (batch normalisation needs two).
        learning_rate: Initial learning rate.
        momentum: Of SGD.
        weight_decay: L2 coefficient.
        dropout: Rate before the classifier.
        milestones: Where the learning rate drops, ascending, in ``milestone_unit``; none in an empty list.
        milestone_unit: "fraction" of the budget, "epochs" or "iterations".
        decay_factor: What the learning rate is multiplied by at each milestone.
        augmentation: "none", "pad-crop-flip" or "resize-crop-flip" (images only).
        precision: "auto", "fp32" or "bf16".
        evaluate_every: Epochs between evaluations; the end is always evaluated.
        weights: What the network starts from: a file of its weights, "default" or another name of torchvision's, or
            "none" for random ones.
    """

    epochs: Positive | None = None
    iterations: Positive | None = None
    batch_size: Annotated[Whole, Field(ge=2)] | None = None
    learning_rate: Annotated[Number, Field(gt=0)] | None = None
    momentum: Annotated[Number, Field(ge=0, lt=1)] | None = None
    weight_decay: Annotated[Number, Field(ge=0)] | None = None
    dropout: Annotated[Number, Field(ge=0, lt=1)] | None = None
    milestones: tuple[Annotated[Number, Field(gt=0)], ...] | None = None
    milestone_unit: Literal["fraction", "epochs", "iterations"] = "fraction"
    decay_factor: Annotated[Number, Field(gt=0, le=1)] | None = None
    augmentation: Literal["none", "pad-crop-flip", "resize-crop-flip"] | None = None
    precision: Literal["auto", "fp32", "bf16"] | None = None
    evaluate_every: Positive | None = None
    weights: Annotated[str, Field(min_length=1), AfterValidator(_nameable)] | None = None

    @model_validator(mode="after")
    def _across_fields(self) -> Training:
        raise_all("training", self._problems())
        return self

    def _problems(self) -> list[Problem]:
        problems = []
        if self.epochs is not None and self.iterations is not None:
            problems.append(
                Problem(
                    "iterations",
                    self.iterations,
                    f"epochs = {self.epochs} is given too",
                    "Keep one of the two budgets.",
                    ("epochs", "iterations"),
                )
            )
        if self.milestones is None:
            return problems
        reads: tuple[str, ...] = ("milestones", "milestone_unit")
        given = list(self.milestones)
        unit = self.milestone_unit
        # In iterations two may fall on one step: so is a recipe's schedule recorded that has hardly any.
        ascending = sorted(given) if unit == "iterations" else sorted(set(given))
        if given != ascending:
            problems.append(
                Problem("milestones", given, "are not ascending", f"Write {ascending}.", ("milestones",))
            )
        if unit == "fraction" and any(milestone >= 1 for milestone in given):
            remedy = (
                "Give shares of the budget, e.g. [0.5, 0.75], or set milestone_unit to epochs or iterations."
            )
            problems.append(Problem("milestones", given, "are not all below 1", remedy, reads))
        if unit != "fraction" and any(milestone != round(milestone) for milestone in given):
            remedy = "Give whole numbers, or milestone_unit: fraction."
            problems.append(Problem("milestones", given, f"are not whole {unit}", remedy, reads))
        budget = {"epochs": self.epochs, "iterations": self.iterations}.get(unit)
        if budget is not None and any(milestone >= budget for milestone in given):
            remedy = f"Give milestones below {budget}, or a larger budget."
            problem = (
                f"reach to the end of the budget ({budget} {unit}) or past it, where nothing is left to train"
            )
            problems.append(Problem("milestones", given, problem, remedy, (*reads, unit)))
        return problems


class Confirm(_Section):
    """What is repeated with fresh seeds after the search, since the winner of one seed is often luck.

    Args:
        top: How many of the best configurations.
        seeds: Fresh seeds for each of them and for the CCE baseline; 0 leaves the confirmation out.
        defaults: Whether the supervision's own defaults (of gr, which has none, the paper's nearest setting) are
            trained on those seeds too; what takes no hyper-parameters is what is searched, and not trained again.
    """

    top: Positive = 3
    seeds: Annotated[Whole, Field(ge=0)] = 3
    defaults: bool = False


class Resources(_Section):
    """What the process of a trial gets; lanes that are trained together share one.

    Args:
        cpus: CPU cores, > 0.
        gpus: A GPU, or an equal share 1/n of one (``0.5``, ``"1/3"``): n processes then share it.
    """

    cpus: Annotated[Number, Field(gt=0)] = 1.0
    gpus: Annotated[Number, BeforeValidator(_fraction), Field(ge=0), AfterValidator(_one_or_a_share)] = 0.0


@dataclass(frozen=True, slots=True)
class TrialCounts:
    """How many trials a sweep runs.

    Args:
        search: Of the search.
        confirm: Of its best configurations, on fresh seeds.
        baseline: Of CCE, on those seeds.
        defaults: Of the supervision's own defaults, on those seeds.
    """

    search: int
    confirm: int
    baseline: int
    defaults: int

    @property
    def fresh(self) -> int:
        """Those on fresh seeds."""
        return self.confirm + self.baseline + self.defaults

    @property
    def total(self) -> int:
        """All of them."""
        return self.search + self.fresh


class SweepSpec(_Section):
    """A sweep: the best configuration of one supervision, on one dataset at one noise rate, is searched for.

    Args:
        dataset: A name (``emphasis datasets``), ``torchvision:NAME``, or a path: a folder of images, a ``.csv`` or
            ``.parquet`` manifest, a ``.npz`` file.
        noise_rate: Probability that a training label is changed, in [0, 1). Of labels that are noisy already their
            share of wrong ones, ``unknown`` to have it estimated, None where the intact labels tell.
        data_dir: Folder of the data, where the dataset needs one.
        download: Whether missing files may be fetched.
        limit_train: Train on this many examples only, drawn evenly over the classes.
        noise_model: How labels are changed, by name (`trainers.noise.noise_model_names`): drawn by a rate or a
            ``matrix``, read from a ``file``, or ``none`` where the data's own are noisy already.
        noise_file: The file of the noise models ``matrix`` and ``file``.
        noise_column: Its column, where it has several.
        objective: What guides the search: ``intact``, ``clean_validation`` or ``noisy_validation``; None for the first
            of these that the data allows.
        validation_fraction: Share of the training examples that ``noisy_validation`` holds out.
        backbone: The network; None for the recipe's.
        supervision: What is searched, by name: see ``emphasis supervisions``.
        hyperparameters: Values of the supervision that are fixed, and not searched, by name.
        transform: Of GR: g in w(p) = g(beta p^lam (1 - p)).
        normalise: Of GR: divisor of the gradient, "batch" the sum of the weights, "none" the number of examples.
        space: What is searched over: a name, ``{kind: kappa|box|ranges|grid, ...}`` or a list of cells; None for the
            supervision's own (`spaces.default_space`).
        sampler: None for "grid" on a grid and "tpe" elsewhere.
        trials: Configurations to search; None for every cell of a grid and 30 elsewhere, or as many as ranges of whole
            numbers hold.
        starting_points: Of GR: whether the paper's settings for the nearest noise rate are tried first.
        training: Budget and optimiser.
        repeats: Seeds per configuration in the search.
        early_stopping: Rule by which configurations are given up before their budget is spent
            (`search.early_stopping`); None for what `resolved_early_stopping` says. What was given up is never
            recommended.
        confirm: Repetition of the best with fresh seeds.
        concurrency: Trials at once; None for as many as the resources allow.
        lanes: Trials that one process trains together on its GPU; None for as many as the engine trains best at once: 8
            where the network can be fused and the trials have a share of a GPU, else 1.
        resources: Of one process: of a trial, or of the lanes that it trains together.
        seed: Of the sampler, noise, initialisation and everything else drawn.
        max_failure_rate: The sweep stops when more than this share of its trials fail, in (0, 1].
        max_retries: How often a trial is started again after its process died; lost nodes do not count.
    """

    dataset: Annotated[str, Field(min_length=1), AfterValidator(_nameable)]
    noise_rate: NoiseRate = None
    data_dir: FilePath | None = None
    download: bool = False
    limit_train: Positive | None = None
    noise_model: Annotated[str, Field(min_length=1)] = "symmetric"
    noise_file: FilePath | None = None
    noise_column: Annotated[str, Field(min_length=1)] | None = None
    objective: Literal["intact", "clean_validation", "noisy_validation"] | None = None
    validation_fraction: Share = 0.1
    backbone: Annotated[str, Field(min_length=1)] | None = None
    supervision: Annotated[str, Field(min_length=1)] = "gr"
    hyperparameters: GivenHyperparameters = {}
    transform: Literal["exp", "identity"] = "exp"
    normalise: Literal["batch", "none"] = "batch"
    space: SerializeAsAny[AnySpace] | None = None
    sampler: Sampler | None = None
    trials: Positive | None = None
    starting_points: bool = True
    training: Training = Training()
    repeats: Positive = 1
    early_stopping: EarlyStoppingRule | None = None
    confirm: Confirm = Confirm()
    concurrency: Positive | None = None
    lanes: Positive | None = None
    resources: Resources = Resources()
    seed: Annotated[Whole, Field(ge=0)] = 0
    max_failure_rate: Annotated[Number, Field(gt=0, le=1)] = 0.5
    max_retries: Annotated[Whole, Field(ge=0)] = 2

    @field_validator("space", mode="before")
    @classmethod
    def _written_short(cls, value: Any, info: ValidationInfo) -> Any:
        rate = info.data.get("noise_rate")
        known = rate if isinstance(rate, float) else None
        return None if value is None else as_fields(value, known, info.data.get("supervision"))

    @model_validator(mode="after")
    def _across_fields(self, info: ValidationInfo) -> SweepSpec:
        recorded = bool(info.context and info.context.get("recorded"))
        raise_all("", self._problems(recorded))
        return self

    @classmethod
    def recorded(cls, fields: Mapping[str, Any]) -> SweepSpec:
        """Read a spec as it was recorded, without asking whether its supervision can be trained here and now.

        Raises:
            ValidationError: It was written by another version, and means nothing here.
        """
        return cls.model_validate(fields, context={"recorded": True})

    @property
    def searched_space(self) -> SearchSpace:
        """The space; where none is given the supervision's own, less what is fixed."""
        if self.space is not None:
            return self.space
        unknown = () if self.knows_transition_matrix else (("matrix", "true"),)
        return narrowed(default_space(self.supervision), self.hyperparameters, unknown)

    @property
    def knows_transition_matrix(self) -> bool:
        """Whether the noise is drawn, so that its transition matrix is known."""
        return self.noise_model not in ("none", "file")

    @property
    def fixed(self) -> dict[str, Value]:
        """The values that every configuration of the searched supervision has unless it says otherwise."""
        own = {name: getattr(self, name) for name in SPEC_FIELDS} if self.supervision == "gr" else {}
        return {**own, **self.hyperparameters}

    @property
    def resolved_sampler(self) -> Sampler:
        """The sampler, chosen by the space where none is named."""
        return self.sampler or ("tpe" if self.searched_space.grid() is None else "grid")

    def resolved_early_stopping(self, objective: str) -> EarlyStoppingRule:
        """The rule; where none is named "asha" for the searches in which it was measured to lose little on average.

        Those are random or TPE searches of GR over (beta, lambda), 30 configurations or more of which a few are
        confirmed, by intact labels (README, "What early stopping saves and loses"). A third of
        them is left on average, a sixth almost always.

        Args:
            objective: What the spec's comes to on its data.
        """
        if self.early_stopping is not None:
            return self.early_stopping
        measured = (
            self.supervision == "gr"
            and isinstance(self.searched_space, KappaSpace | BoxSpace)
            and self.resolved_sampler in ("tpe", "random")
            and self.number_of_configurations >= max(DEFAULT_TRIALS, 6 * self.confirm.top)
            and objective == "intact"
        )
        return "asha" if measured else "none"

    @property
    def number_of_configurations(self) -> int:
        """How many configurations are searched."""
        space = self.searched_space
        cells = space.grid()
        most = DEFAULT_TRIALS if cells is None else len(cells)
        return self.trials or min(most, space.size or most)

    def number_of_trials(self) -> TrialCounts:
        """Count the trials: the search's, the confirming ones, the baseline's and the defaults'."""
        cells, size = self.searched_space.grid(), self.searched_space.size
        if cells is not None:
            size = sum(cell.supervision == self.supervision for cell in cells)
        searched = self.number_of_configurations
        confirmable = searched if size is None else min(searched, size)
        return TrialCounts(
            search=searched * self.repeats,
            confirm=min(self.confirm.top, confirmable) * self.confirm.seeds,
            baseline=self.confirm.seeds,
            defaults=self.confirm.seeds if self.trains_defaults else 0,
        )

    @property
    def trains_defaults(self) -> bool:
        """Whether the supervision's own defaults are trained on the fresh seeds: where asked for, and something else.

        Without hyper-parameters they are what is searched, unless the training is, or the baseline.
        """
        if not self.confirm.defaults or self.supervision == "cce":
            return False
        return bool(Hyperparameters.of(self.supervision).defaults) or self.searched_space.size != 1

    @property
    def settled_noise_rate(self) -> float:
        """The noise rate of a spec in which it is a number, as in every one that was recorded.

        Raises:
            ValueError: It is not.
        """
        if not isinstance(self.noise_rate, float):
            raise ValueError(f"noise_rate = {self.noise_rate!r}: not settled yet.")
        return self.noise_rate

    @property
    def shown_noise_rate(self) -> str:
        """The noise rate as a line of text says it."""
        if self.noise_rate is None:
            return "as its labels have it"
        return f"{self.noise_rate:g}" if isinstance(self.noise_rate, float) else self.noise_rate

    def to_json_dict(self) -> dict[str, Any]:
        """Return plain JSON; ``SweepSpec.model_validate`` reads it back."""
        return self.model_dump(mode="json")

    def _problems(self, recorded: bool) -> list[Problem]:
        try:
            space = self.searched_space
        except PydanticCustomError as error:
            wrong = error.context or {}
            return [Problem("supervision", self.supervision, wrong["problem"], wrong["remedy"], ("supervision",))]
        problems = [*self._noise_problems(), *self._sampler_problems(space)]
        problems += self._early_stopping_problems()
        if not recorded or space.grid() is not None:
            problems += self._trials_problems(space)
        if not recorded:
            problems += SupervisionCheck(self, space).problems()
        return problems

    def _noise_problems(self) -> list[Problem]:
        # torch, which takes seconds to import, is needed from here on.
        from trainers.noise import noise_model_names
        from trainers.noise import takes_rate

        model, reads = self.noise_model, ("noise_model", "noise_rate")
        if model not in noise_model_names():
            (wrong,) = unknown_name("noise_model", model, noise_model_names()).errors
            return [Problem("noise_model", *said(wrong), ("noise_model",))]
        problems = []
        if takes_rate(model) and self.noise_rate is None:
            problem = f"is missing: the noise of noise_model {model} is drawn by it"
            problems.append(Problem("noise_rate", None, problem, REMEDIES["noise_rate"], reads))
        if self.noise_rate == UNKNOWN and model not in ("none", "file"):
            problem = f"noise_model {model} draws noise of a rate that is known"
            remedy = "Give the rate, or noise_model: none or file for labels that are noisy already."
            problems.append(Problem("noise_rate", UNKNOWN, problem, remedy, reads))
        return problems

    def _sampler_problems(self, space: SearchSpace) -> list[Problem]:
        cells, reads = space.grid(), ("sampler", "space", "supervision")
        if self.sampler == "grid" and cells is None:
            remedy = (
                "Give a grid, e.g. space: paper-figures-6-9 or {kind: grid, beta: [4, 8], lam: [0.5, 1]}, "
                "or sampler: tpe."
            )
            problem = f"needs a grid, and the space is continuous ({space.kind})"
            return [Problem("sampler", self.sampler, problem, remedy, reads)]
        if self.sampler in _CONTINUOUS_SAMPLERS and cells is not None:
            problem = "needs a continuous space, and this one is a grid"
            remedy = "Give sampler: grid, random or tpe, or a space of ranges, e.g. space: kappa."
            return [Problem("sampler", self.sampler, problem, remedy, reads)]
        return []

    def _trials_problems(self, space: SearchSpace) -> list[Problem]:
        reads = ("trials", "sampler", "space", "supervision")
        if space.size is None or self.trials is None:
            return []
        if self.trials > space.size:
            problem, remedy = f"exceeds the {space.size} cells of the grid", "Leave trials out to try every cell"
            if space.grid() is None:
                problem, remedy = f"exceeds the {space.size} configurations in the ranges", f"Give {space.size}"
            remedy += "; repeats gives each of them more seeds."
            return [Problem("trials", self.trials, problem, remedy, reads)]
        if self.trials < space.size and self.resolved_sampler == "grid":
            remedy = f"Leave trials out to try every cell, or give sampler: random to draw {self.trials} of them."
            problem = f"leaves out cells of the grid, which has {space.size}"
            return [Problem("trials", self.trials, problem, remedy, reads)]
        return []

    def _early_stopping_problems(self) -> list[Problem]:
        rule = self.early_stopping
        if rule in ("none", None):
            return []
        problems = []
        if rule == "wilcoxon" and self.repeats < LEAST_SEEDS_OF_WILCOXON:
            problem = f"compares seeds of a configuration, and repeats is {self.repeats}"
            remedy = f"Give repeats: {LEAST_SEEDS_OF_WILCOXON} or more, or early_stopping: none."
            problems.append(Problem("early_stopping", rule, problem, remedy, ("early_stopping", "repeats")))
        if self.sampler in _CONTINUOUS_SAMPLERS:
            problem = f"sampler {self.sampler} would learn nothing of what is stopped"
            remedy = "Give sampler: tpe or random, or early_stopping: none."
            problems.append(Problem("early_stopping", rule, problem, remedy, ("early_stopping", "sampler")))
        return problems
