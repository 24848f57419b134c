"""Search spaces: continuous ranges and explicit grids over the hyper-parameters of a supervision.

A space has two sides. Its *coordinates* are what a sampler draws (``distributions``); a *configuration* is
what is trained and recorded. ``configuration`` and ``params`` lead from one to the other and back.
"""

from __future__ import annotations

import math
from abc import ABC
from abc import abstractmethod
from collections import Counter
from collections.abc import Mapping
from collections.abc import Sequence
from functools import cached_property
from itertools import product
from typing import Annotated
from typing import Any
from typing import ClassVar
from typing import Literal
from typing import Self

from optuna.distributions import BaseDistribution
from optuna.distributions import CategoricalDistribution
from optuna.distributions import FloatDistribution
from optuna.distributions import IntDistribution
from pydantic import AfterValidator
from pydantic import AliasChoices
from pydantic import BaseModel
from pydantic import BeforeValidator
from pydantic import ConfigDict
from pydantic import Field
from pydantic import model_validator

from spaces.configuration import LONGEST_WORD
from spaces.configuration import Configuration
from spaces.configuration import in_python
from spaces.emphasis import beta_of
from spaces.emphasis import kappa_of
from spaces.refusal import refusal

_FEW_CELLS = 4
MOST_CELLS = 10_000
"""Cells of a grid: more could not be trained, and would only take memory."""
MOST_DIMENSIONS = 12
"""Ranges of one space: every combination of their ends is looked at."""
MOST_VALUES = 100
"""Hyper-parameters of one configuration."""
SIGNIFICANT_DIGITS = 6
"""Digits that sampled values are recorded with: finer than any measured effect, short enough to copy."""


def no_truth_value(value: Any) -> Any:
    """Refuse a truth value where a number is asked for."""
    # YAML reads yes, no, on and off as booleans, and Python counts those as 1 and 0.
    if isinstance(value, bool):
        raise refusal("value", value, "is a truth value, not a number", "Give a number.")
    return value


def _number_or_word(value: Any) -> Any:
    # YAML and the command line have their own ideas: true is a word here, and 1e-3, which YAML calls a text, is not.
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            if 0 < len(value) <= LONGEST_WORD:
                return value
    if not isinstance(value, int | float) or not math.isfinite(value):
        problem = "is neither a finite number nor a word"
        raise refusal("value", value, problem, f"Give a number, or a word of up to {LONGEST_WORD} characters.")
    return value


def _ordered(bounds: tuple[float, float]) -> tuple[float, float]:
    low, high = bounds
    if low < 0.0:
        raise refusal("range", bounds, "starts below 0", "Give [low, high] with 0 <= low <= high.")
    if low > high:
        raise refusal("range", bounds, "starts above its end", f"Write it as [{high:g}, {low:g}].")
    return bounds


Number = Annotated[float, BeforeValidator(no_truth_value)]
Magnitude = Annotated[Number, Field(ge=0)]
Given = Annotated[float | str, BeforeValidator(_number_or_word)]
"""The value of a hyper-parameter as users write it: a number, or a word."""
Hyperparameters = Annotated[dict[str, Given], Field(max_length=MOST_VALUES), AfterValidator(in_python)]
"""Values by name; ``lambda`` is accepted for ``lam``."""
Range = Annotated[tuple[Number, Number], AfterValidator(_ordered)]
"""Closed range [low, high] with 0 <= low <= high; a range of one value keeps that hyper-parameter fixed."""

_MOST_KAPPA, _MOST_LAM = 700.0, 1e6

_LAM = AliasChoices("lam", "lambda")


class Dimension(BaseModel):
    """The range of one coordinate, written ``[low, high]`` or ``{low: 1e-5, high: 1e-2, log: true}``.

    Args:
        low: Its smallest value.
        high: Its largest; the same as ``low`` keeps it fixed.
        log: Whether equal ratios count alike, and not equal differences; ``low`` is above 0 then.
        whole: Whether only whole numbers are drawn, as for what counts something; both ends are whole then.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    low: Number
    high: Number
    log: bool = False
    whole: bool = False

    @model_validator(mode="before")
    @classmethod
    def _written_short(cls, value: Any) -> Any:
        if isinstance(value, Sequence) and not isinstance(value, str):
            if len(value) != 2:
                raise refusal("range", list(value), "is no pair of numbers", "Give [low, high].")
            return {"low": value[0], "high": value[1]}
        return value

    @model_validator(mode="after")
    def _ordered(self) -> Dimension:
        if self.low > self.high:
            problem, remedy = "starts above its end", f"Write it as [{self.high:g}, {self.low:g}]."
            raise refusal("range", [self.low, self.high], problem, remedy)
        if self.log and self.low <= 0:
            remedy = "Start it above 0, or leave log out."
            raise refusal("range", [self.low, self.high], "is logarithmic and does not start above 0", remedy)
        if self.whole and not (self.low.is_integer() and self.high.is_integer()):
            remedy = "Give two whole numbers, or leave whole out."
            raise refusal("range", [self.low, self.high], "is to give whole numbers and does not end at such", remedy)
        return self

    @property
    def distribution(self) -> BaseDistribution:
        """What a sampler draws from: uniform in the value or in its logarithm."""
        if self.whole:
            return IntDistribution(int(self.low), int(self.high), log=self.log)
        return FloatDistribution(self.low, self.high, log=self.log)

    @property
    def size(self) -> int | None:
        """How many values it has; None where that is any number between its ends."""
        if self.low == self.high:
            return 1
        return int(self.high) - int(self.low) + 1 if self.whole else None

    @property
    def middle(self) -> float:
        """The value halfway between its ends."""
        middle = math.sqrt(self.low * self.high) if self.log else (self.low + self.high) / 2
        return float(round(middle)) if self.whole else middle

    def inside(self, value: float) -> float | None:
        """The value, pulled onto a bound that it misses by no more than rounding; None where it misses by more."""
        slack = max(abs(self.low), abs(self.high)) * 10.0**-SIGNIFICANT_DIGITS * 5
        if not self.low - slack <= value <= self.high + slack or (self.whole and not float(value).is_integer()):
            return None
        return min(max(float(value), self.low), self.high)

    def __str__(self) -> str:
        kinds = ", ".join(kind for kind, is_so in (("log", self.log), ("whole", self.whole)) if is_so)
        return f"[{self.low:g}, {self.high:g}]" + (f" ({kinds})" if kinds else "")


class SearchSpace(BaseModel, ABC):
    """What may be searched. Spaces are data: they are read from YAML, stored as JSON and never change."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    kind: str

    @abstractmethod
    def distributions(self) -> dict[str, BaseDistribution]:
        """Return the sampler's coordinates by name."""

    @abstractmethod
    def configuration(self, params: Mapping[str, float]) -> Configuration:
        """Return the configuration at these coordinates.

        Raises:
            ValueError: a coordinate is missing or outside the space.
        """

    @abstractmethod
    def params(self, configuration: Configuration) -> dict[str, float] | None:
        """Return the coordinates of a configuration, or None when it lies outside the space."""

    def grid(self) -> list[Configuration] | None:
        """Return the configurations of a list of them in the order they are tried; None of ranges."""
        return None

    @property
    @abstractmethod
    def size(self) -> int | None:
        """How many configurations there are; None where no range ends that."""

    @abstractmethod
    def configurations(self) -> list[Configuration] | None:
        """Return all configurations; None where they are more than ``MOST_CELLS``."""

    @property
    @abstractmethod
    def description(self) -> str:
        """The space in one line."""


class ContinuousSpace(SearchSpace):
    """A box of named dimensions for one supervision.

    A subclass names its dimensions; where these are not the hyper-parameters themselves it also says how to
    get from one to the other (``_to_hyperparameters`` and ``_to_dimensions``).
    """

    supervision: str

    @abstractmethod
    def axes(self) -> dict[str, Dimension]:
        """Return the range of each coordinate by name."""

    def distributions(self) -> dict[str, BaseDistribution]:
        """Return one distribution a dimension."""
        return {name: axis.distribution for name, axis in self.axes().items()}

    def configuration(self, params: Mapping[str, float]) -> Configuration:
        """Return the configuration at these coordinates, its values cut to ``SIGNIFICANT_DIGITS``.

        Raises:
            ValueError: a coordinate is missing or outside its range.
        """
        axes = self.axes()
        inside = self._inside(params) if params.keys() >= axes.keys() else None
        if inside is None:
            ranges = ", ".join(f"{name} in {axis}" for name, axis in axes.items())
            raise refusal("params", dict(params), "lies outside the search space", f"Give {ranges}.")
        return Configuration(self.supervision, tuple(self._to_hyperparameters(inside).items()))

    def params(self, configuration: Configuration) -> dict[str, float] | None:
        """Return the coordinates of a configuration, or None when it lies outside the space."""
        if configuration.supervision != self.supervision:
            return None
        values = configuration.as_dict()
        numbers = {name: value for name, value in values.items() if isinstance(value, float)}
        dimensions = self._to_dimensions(numbers) if numbers.keys() == values.keys() else None
        return None if dimensions is None else self._inside(dimensions)

    @property
    def size(self) -> int | None:
        """How many configurations there are, of whole numbers and ranges of one value; None of other ranges."""
        sizes = [axis.size for axis in self.axes().values()]
        return None if None in sizes else math.prod(size for size in sizes if size is not None)

    def configurations(self) -> list[Configuration] | None:
        """Return all configurations; None where they are more than ``MOST_CELLS``."""
        if self.size is None or self.size > MOST_CELLS:
            return None
        axes = self.axes()
        values = [[axis.low + step for step in range(axis.size or 0)] for axis in axes.values()]
        return [self.configuration(dict(zip(axes, point, strict=True))) for point in product(*values)]

    def corners(self) -> list[Configuration]:
        """Return the configurations at the ends of the ranges, every combination of them."""
        axes = self.axes()
        ends = [(axis.low, axis.high) for axis in axes.values()]
        return list(
            dict.fromkeys(self.configuration(dict(zip(axes, corner, strict=True))) for corner in product(*ends))
        )

    def centre(self) -> Configuration:
        """Return the configuration in the middle of every range."""
        return self.configuration({name: axis.middle for name, axis in self.axes().items()})

    def _inside(self, values: Mapping[str, float]) -> dict[str, float] | None:
        """Return ``values`` on the dimensions, pulled onto a bound they miss by no more than rounding."""
        inside: dict[str, float] = {}
        for name, axis in self.axes().items():
            value = axis.inside(values[name]) if name in values else None
            if value is None:
                return None
            inside[name] = value
        return inside

    def _to_hyperparameters(self, dimensions: dict[str, float]) -> dict[str, float]:
        return {name: _recorded(value) for name, value in dimensions.items()}

    def _to_dimensions(self, hyperparameters: dict[str, float]) -> dict[str, float] | None:
        return hyperparameters if hyperparameters.keys() == self.axes().keys() else None


class RangesSpace(ContinuousSpace):
    """Ranges of the hyper-parameters of any supervision, and of the training fields that are searched with them.

    Args:
        supervision: Its name.
        dimensions: Ranges by name, e.g. ``{q: [0.1, 1], weight_decay: {low: 1e-5, high: 1e-2, log: true}}``.

    Example:
        >>> RangesSpace(supervision="gce", dimensions={"q": [0.1, 1]}).description
        'gce, q in [0.1, 1]'
    """

    kind: Literal["ranges"] = "ranges"
    dimensions: Annotated[
        dict[str, Dimension], Field(min_length=1, max_length=MOST_DIMENSIONS), AfterValidator(in_python)
    ]

    def axes(self) -> dict[str, Dimension]:
        """Return the dimensions."""
        return self.dimensions

    @property
    def description(self) -> str:
        """The space in one line."""
        return f"{self.supervision}, " + ", ".join(f"{name} in {axis}" for name, axis in self.dimensions.items())


class KappaSpace(ContinuousSpace):
    """GR over lam and kappa = beta * c(lam), the logarithm of the largest weight: the default.

    Good configurations lie in one band of kappa whatever lam (``spaces.emphasis``, README "What we measured"):
    in these coordinates they form a band parallel to an axis.

    Args:
        lam: Range of the emphasis focus.
        kappa: Range of the logarithm of the largest weight.
    """

    kind: Literal["kappa"] = "kappa"
    supervision: Literal["gr"] = "gr"
    lam: Range = Field(default=(0.0, 3.0), validation_alias=_LAM)
    kappa: Range = (0.0, 6.0)

    @model_validator(mode="after")
    def _finite(self) -> KappaSpace:
        if self.kappa[1] > _MOST_KAPPA:
            problem = "ends where the largest weight, e^kappa, is no number any more"
            raise refusal("kappa", self.kappa, problem, f"End it at {_MOST_KAPPA:g} at the most; good ones are 3 to 5.")
        if self.lam[1] > _MOST_LAM:
            raise refusal("lam", self.lam, "ends beyond any use", f"End it at {_MOST_LAM:g} at the most.")
        return self

    def axes(self) -> dict[str, Dimension]:
        """Return the ranges of lam and kappa."""
        return {"lam": _linear(self.lam), "kappa": _linear(self.kappa)}

    @property
    def description(self) -> str:
        """The space in one line."""
        return (
            f"gr, lam in {_interval(self.lam)}, kappa (log of the largest weight) in {_interval(self.kappa)}"
        )

    def _to_hyperparameters(self, dimensions: dict[str, float]) -> dict[str, float]:
        # beta is taken at the recorded lam, so that the two recorded numbers give kappa back.
        lam = _recorded(dimensions["lam"])
        return {"beta": _recorded(beta_of(dimensions["kappa"], lam)), "lam": lam}

    def _to_dimensions(self, hyperparameters: dict[str, float]) -> dict[str, float] | None:
        if hyperparameters.keys() != {"beta", "lam"}:
            return None
        beta, lam = hyperparameters["beta"], hyperparameters["lam"]
        return {"lam": lam, "kappa": kappa_of(beta, lam)} if beta >= 0.0 and lam >= 0.0 else None


class BoxSpace(ContinuousSpace):
    """GR over beta and lam themselves.

    Args:
        beta: Range of the emphasis spread. The default holds the paper's choices and the good ones on digits.
        lam: Range of the emphasis focus.
    """

    kind: Literal["box"] = "box"
    supervision: Literal["gr"] = "gr"
    beta: Range = (0.0, 40.0)
    lam: Range = Field(default=(0.0, 3.0), validation_alias=_LAM)

    def axes(self) -> dict[str, Dimension]:
        """Return the ranges of beta and lam."""
        return {"beta": _linear(self.beta), "lam": _linear(self.lam)}

    @property
    def description(self) -> str:
        """The space in one line."""
        return f"gr, beta in {_interval(self.beta)}, lam in {_interval(self.lam)}"


class Extra(BaseModel):
    """One more cell of a grid, of any supervision: ``{supervision: cce}``.

    Args:
        supervision: Its name.
        hyperparameters: Its hyper-parameters by name; none for CCE.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    supervision: str
    hyperparameters: Hyperparameters = {}


class GridSpace(SearchSpace):
    """A finite list of configurations: cells given in one of three ways, and extras.

    Args:
        points: Cells one by one: ``[{beta: 8, lam: 0.5}, ...]``, ``[{matrix: true}, {matrix: estimated}]``.
        beta_by_lambda: Betas for each lam: ``{0.5: [4, 8], 1: [8, 12]}``.
        beta: Together with ``lam``: every beta with every lam.
        lam: See ``beta``.
        extra: Cells of other supervisions, or of GR outside the grid; tried last.
        supervision: The supervision of ``points``.
        name: What the grid is called, where it has a name.
    """

    COORDINATE: ClassVar[str] = "cell"

    kind: Literal["grid"] = "grid"
    supervision: str = "gr"
    name: str | None = None
    points: tuple[Hyperparameters, ...] | None = None
    beta_by_lambda: dict[Magnitude, tuple[Magnitude, ...]] | None = None
    beta: tuple[Magnitude, ...] | None = None
    lam: tuple[Magnitude, ...] | None = Field(default=None, validation_alias=_LAM)
    extra: tuple[Extra, ...] = ()

    @model_validator(mode="after")
    def _distinct_cells(self) -> GridSpace:
        product_given = self.beta is not None or self.lam is not None
        ways = [self.points is not None, self.beta_by_lambda is not None, product_given]
        if sum(ways) > 1:
            raise refusal(
                "space",
                sorted(self.model_fields_set),
                "gives its cells in more than one way",
                "Keep one of: points, beta_by_lambda, or beta with lam.",
            )
        if product_given and (self.beta is None or self.lam is None):
            missing = "beta" if self.beta is None else "lam"
            raise refusal(
                "space",
                sorted(self.model_fields_set),
                f"has no {missing}",
                "Give a list for beta and one for lam.",
            )
        if (self.beta_by_lambda is not None or product_given) and self.supervision != "gr":
            raise refusal("supervision", self.supervision, "has no beta and lam", "Give its cells as points.")
        if self.size > MOST_CELLS:
            remedy = f"Give at most {MOST_CELLS:,}, or ranges in place of a grid."
            raise refusal("space", sorted(self.model_fields_set), f"has {self.size:,} cells", remedy)
        cells = self.grid()
        if not cells:
            raise refusal(
                "space",
                sorted(self.model_fields_set),
                "has no cells",
                "Give points, beta_by_lambda, beta with lam, or extra.",
            )
        twice = next((cell for cell, times in Counter(cells).items() if times > 1), None)
        if twice is not None:
            raise refusal("space", twice.key, "is a cell that the grid has twice", "Remove one of them.")
        return self

    @property
    def size(self) -> int:
        """How many cells it has."""
        listed = len(self.points or ()) + sum(map(len, (self.beta_by_lambda or {}).values()))
        return listed + len(self.beta or ()) * len(self.lam or ()) + len(self.extra)

    def grid(self) -> list[Configuration]:
        """Return every cell: the grid first, then the extras."""
        return list(self._cells)

    def configurations(self) -> list[Configuration]:
        """Return every cell."""
        return self.grid()

    @cached_property
    def _cells(self) -> tuple[Configuration, ...]:
        # Thousands of them take long to make, and a sampler asks for them at every proposal.
        if self.points is not None:
            cells = [Configuration(self.supervision, tuple(point.items())) for point in self.points]
        else:
            pairs: list[tuple[float, float]] = []
            if self.beta_by_lambda is not None:
                pairs = [(beta, lam) for lam, betas in self.beta_by_lambda.items() for beta in betas]
            elif self.beta is not None and self.lam is not None:
                pairs = [(beta, lam) for lam, beta in product(self.lam, self.beta)]
            cells = [Configuration.of(self.supervision, beta=beta, lam=lam) for beta, lam in pairs]
        return (*cells, *(Configuration(each.supervision, tuple(each.hyperparameters.items())) for each in self.extra))

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """Return a copy, with other values of some fields."""
        copied = super().model_copy(update=update, deep=deep)
        copied.__dict__.pop("_cells", None)  # its own may be others
        return copied

    def distributions(self) -> dict[str, BaseDistribution]:
        """Return one categorical coordinate, the number of the cell: cells need not share an axis."""
        return {self.COORDINATE: CategoricalDistribution(tuple(range(len(self.grid()))))}

    def configuration(self, params: Mapping[str, float]) -> Configuration:
        """Return the cell with this number.

        Raises:
            ValueError: there is no such cell.
        """
        cells = self.grid()
        number = params.get(self.COORDINATE)
        if number is None or number not in range(len(cells)):
            raise refusal(
                "params", dict(params), "is no cell of the grid", f"Give cell from 0 to {len(cells) - 1}."
            )
        return cells[int(number)]

    def params(self, configuration: Configuration) -> dict[str, float] | None:
        """Return the number of the cell, or None when the grid does not have it."""
        cells = self.grid()
        return {self.COORDINATE: cells.index(configuration)} if configuration in cells else None

    @property
    def description(self) -> str:
        """The space in one line."""
        cells = self.grid()
        if len(cells) <= _FEW_CELLS and self.name is None:
            return f"grid: {', '.join(cell.key for cell in cells)}"
        counts = Counter(cell.supervision for cell in cells)
        parts = ", ".join(f"{count} {supervision}" for supervision, count in counts.items())
        return f"{self.name or 'grid'}: {len(cells)} {'cell' if len(cells) == 1 else 'cells'} ({parts})"


AnySpace = Annotated[KappaSpace | BoxSpace | RangesSpace | GridSpace, Field(discriminator="kind")]
"""Any space, as a field of a pydantic model: ``kind`` tells which."""


def _recorded(value: float) -> float:
    return float(f"{value:.{SIGNIFICANT_DIGITS}g}")


def _linear(bounds: tuple[float, float]) -> Dimension:
    return Dimension(low=bounds[0], high=bounds[1])


def _interval(bounds: tuple[float, float]) -> str:
    return f"[{bounds[0]:g}, {bounds[1]:g}]"
