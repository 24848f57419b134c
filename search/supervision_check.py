"""Cross-check of supervision, space and fixed values of a sweep, before anything is trained."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from pydantic import ValidationError

from search.cross_field import Problem
from search.cross_field import said
from search.field_errors import field_errors
from search.hyperparameters import SPEC_FIELDS
from search.hyperparameters import TRAINING_FIELDS
from search.hyperparameters import Hyperparameters
from search.hyperparameters import supervision_with
from search.remedies import REMEDIES
from spaces import Configuration
from spaces import ContinuousSpace
from spaces import GridSpace
from spaces import RangesSpace
from spaces import SearchSpace
from spaces import Value
from trainers.errors import FieldError
from trainers.errors import InvalidInput

if TYPE_CHECKING:
    from search.spec import SweepSpec
    from search.spec import Training


class SupervisionCheck:
    """Whether a sweep's supervision takes what the space and the fixed values give it: it is asked itself."""

    def __init__(self, spec: SweepSpec, space: SearchSpace) -> None:
        self._spec, self._space = spec, space
        self._found: dict[str, Problem] = {}

    def problems(self) -> list[Problem]:
        """Everything wrong, each thing once."""
        spec, space = self._spec, self._space
        try:
            known = Hyperparameters.of(spec.supervision)
        except InvalidInput as error:
            return [Problem("supervision", *said(each), ("supervision",)) for each in error.errors]
        self._check_whose_space_it_is()
        self._check_fixed(known)
        self._check_whole(known)
        self._check_that_beta_matters()
        if not self._found:
            for place, configuration in _places(space):
                self._check(place, configuration)
        return list(self._found.values())

    def _add(self, field: str, value: object, problem: str, remedy: str, reads: tuple[str, ...]) -> None:
        self._found.setdefault(f"{field}: {problem}", Problem(field, value, problem, remedy, reads))

    def _check_whose_space_it_is(self) -> None:
        spec, space = self._spec, self._space
        cells = space.grid()
        searched = (
            {cell.supervision for cell in cells} if cells is not None else {str(getattr(space, "supervision", ""))}
        )
        if spec.supervision in searched:
            return
        problem = f"has no cell of {spec.supervision}, so nothing could be recommended"
        remedy = f"Add cells of {spec.supervision}"
        if cells is None:
            problem = f"searches {', '.join(searched)}, and the sweep {spec.supervision}"
            remedy = f"Give a space of {spec.supervision}, or leave space out for its own"
        others = sorted(searched - {"cce"}) or sorted(searched)
        remedy += f"; or give supervision: {others[0]}."
        self._add("space", space.description, problem, remedy, ("space", "supervision"))

    def _check_fixed(self, known: Hyperparameters) -> None:
        spec = self._spec
        everywhere = _searched_everywhere(self._space, spec.supervision)
        for name, value in spec.hyperparameters.items():
            field, reads = f"hyperparameters.{name}", ("hyperparameters", f"hyperparameters.{name}", "supervision")
            if name in TRAINING_FIELDS:
                self._add(field, value, "is a training field", f"Give it as training.{name}.", reads)
            elif spec.supervision == "gr" and name in SPEC_FIELDS:
                self._add(field, value, "is a field of the sweep itself", f"Give it as {name}.", reads)
            elif name not in known.defaults:
                self._add(field, value, "there is no such hyper-parameter", known.takes, reads)
            elif name in everywhere:
                remedy = "Leave it out, or give a space without it."
                self._add(field, value, "is searched by the space too", remedy, (*reads, "space"))
        for name in SPEC_FIELDS:
            value, default = getattr(spec, name), type(spec).model_fields[name].default
            if spec.supervision != "gr" and value != default:
                problem = f"belongs to gr, and {spec.supervision} is searched"
                self._add(name, value, problem, "Leave it out.", (name, "supervision"))

    def _check_whole(self, known: Hyperparameters) -> None:
        for name, axis in self._space.dimensions.items() if isinstance(self._space, RangesSpace) else ():
            default = known.defaults.get(name)
            if isinstance(default, int) and not isinstance(default, bool) and not axis.whole:
                problem = f"{name} counts something, and between the ends of a range lie others than whole numbers"
                ends = f"low: {math.ceil(axis.low)}, high: {math.floor(axis.high)}"
                remedy = f"Have whole numbers tried: {name}: {{{ends}, whole: true}}."
                self._add(f"space.dimensions.{name}", [axis.low, axis.high], problem, remedy, ("space", "supervision"))

    def _check_that_beta_matters(self) -> None:
        spec = self._spec
        if spec.supervision != "gr" or (spec.transform, spec.normalise) != ("identity", "batch"):
            return
        values = [cell.as_dict() for _, cell in _places(self._space) if cell.supervision == "gr"]
        betas = {each.get("beta", spec.hyperparameters.get("beta")) for each in values}
        if len(betas) > 1 or 0.0 in betas:
            problem = "with normalise batch, which divides beta out: all above 0 train alike, and 0 not at all"
            remedy = "Give normalise: none, or transform: exp; or keep beta fixed above 0 and search lam alone."
            self._add("transform", spec.transform, problem, remedy, ("normalise", "transform", "space"))

    def _check(self, place: str, configuration: Configuration) -> None:
        """Construct one configuration, ``place`` being where the user wrote its values."""
        spec = self._spec
        own = configuration.supervision == spec.supervision
        values, fixed = configuration.as_dict(), spec.fixed if own else {}
        reads = ("space", "supervision", "hyperparameters", *SPEC_FIELDS)
        try:
            known = Hyperparameters.of(configuration.supervision)
        except InvalidInput as error:
            for each in error.errors:
                self._add("space", *said(each), reads)
            return
        unknown = [name for name in values if name not in known.defaults and name not in TRAINING_FIELDS]
        missing = [name for name in known.required if name not in values and name not in fixed]
        for name in unknown:
            remedy = f"{known.takes} Of training, {', '.join(TRAINING_FIELDS)} can be searched."
            self._add(_at(place, name), values[name], "there is no such hyper-parameter", remedy, reads)
        for name in missing:
            why = f"{configuration.supervision} has no default for it, and it is neither searched nor fixed"
            remedy = f"Search it, or fix it: hyperparameters: {{{name}: ...}}, on the command line --set {name}=..."
            given = (*reads, f"hyperparameters.{name}")
            self._add("space", self._space.description, f"{name} is missing: {why}", remedy, given)
        for name in TRAINING_FIELDS:
            if name in values and (wrong := _training_error(type(spec.training), name, values[name])) is not None:
                self._add(_at(place, name), *said(wrong), reads)
        if unknown or missing:
            return
        try:
            stages = len(supervision_with(configuration.supervision, {**fixed, **values}).stages)
            if stages > 1 and spec.early_stopping in ("median", "asha", "hyperband"):
                problem = f"{configuration.supervision} has {stages} stages, and the first says little of the last"
                remedy = "Give early_stopping: none, or wilcoxon with several seeds."
                self._add("early_stopping", spec.early_stopping, problem, remedy, (*reads, "early_stopping"))
        except InvalidInput as error:
            for each in error.errors:
                name = each.field.rpartition(".")[2]
                if name in values:
                    self._add(_at(place, name), *said(each), reads)
                elif name in fixed:
                    field = name if name in SPEC_FIELDS else f"hyperparameters.{name}"
                    self._add(field, *said(each), (*reads, f"hyperparameters.{name}"))
                else:
                    self._add("space", *said(each), reads)


def _at(place: str, name: str) -> str:
    return f"{place}.{name}" if place else "space"


def _places(space: SearchSpace) -> list[tuple[str, Configuration]]:
    """Every cell of a grid and every corner of ranges, each with where users write its values; "" for nowhere."""
    cells = space.grid()
    if isinstance(space, GridSpace) and cells is not None:
        points = len(cells) - len(space.extra)
        written = [f"space.points[{number}]" if space.points is not None else "" for number in range(points)]
        written += [f"space.extra[{number}].hyperparameters" for number in range(len(space.extra))]
        return list(zip(written, cells, strict=True))
    assert isinstance(space, ContinuousSpace)
    return [({"ranges": "space.dimensions", "box": "space"}.get(space.kind, ""), corner) for corner in space.corners()]


def _searched_everywhere(space: SearchSpace, supervision: str) -> set[str]:
    """Names of the values that every configuration of a supervision has from the space."""
    own = [set(each.as_dict()) for _, each in _places(space) if each.supervision == supervision]
    return set.intersection(*own) if own else set()


def _training_error(training: type[Training], name: str, value: Value) -> FieldError | None:
    try:
        training.model_validate({name: value})
    except ValidationError as error:
        return field_errors(error, training, {name: REMEDIES[f"training.{name}"]})[0]
    return None
