"""Whether a sweep's noise, objective and supervision can be had on its data, and which objective that is."""

from __future__ import annotations

from collections.abc import Iterator

from search.hyperparameters import supervision_with
from search.label_agreement import LabelAgreement
from search.objective import ObjectiveKind
from search.objective import SearchObjective
from search.objective import objective_kind
from search.settled_rate import told_rate
from search.spec import UNKNOWN
from search.spec import SweepSpec
from search.task import FROM_FILE
from search.task import labelled
from search.task import labels_as_given
from search.task import noise_of
from spaces import ContinuousSpace
from trainers.datasets import Dataset
from trainers.errors import EmphasisError
from trainers.errors import FieldError
from trainers.errors import InvalidInput
from trainers.supervision import Setting
from trainers.supervision import Supervision


class DataCheck:
    """A sweep held against its data.

    Args:
        spec: The sweep, its fields known to be sound.
        dataset: Its data, as loaded.
    """

    def __init__(self, spec: SweepSpec, dataset: Dataset) -> None:
        self._spec = spec
        self._dataset = dataset
        self._labels_as_given = labels_as_given(dataset, spec.noise_model)
        self._wrong: list[FieldError] = []
        self._agreement: LabelAgreement | None = None
        try:
            self._dataset = labelled(dataset, spec.noise_model, spec.noise_file, spec.noise_column)
            self._noise = noise_of(spec.noise_model, self._given_rate, spec.noise_file, spec.noise_column)
            self._noise.check(dataset.num_classes, len(dataset.y_train))
            if spec.noise_model == FROM_FILE and dataset.intact_train is not None:
                self._agreement = LabelAgreement.of(self._dataset.y_train, dataset.intact_train, dataset.num_classes)
            if spec.noise_rate is None:
                told_rate(spec, self._dataset)
        except InvalidInput as error:
            self._wrong += error.errors
        except OSError as error:  # a folder that this user may not enter, say
            problem, file = f"cannot be read: {error.strerror or error}", str(spec.noise_file)
            self._wrong.append(FieldError("noise_file", file, problem, "Give a file that can be."))

    @property
    def _given_rate(self) -> float | None:
        return self._spec.noise_rate if isinstance(self._spec.noise_rate, float) else None

    def errors(self, unread: frozenset[str]) -> list[FieldError]:
        """Everything that is in the way.

        Args:
            unread: Fields whose values say nothing; what rests on them is left out.
        """
        errors = list(self._wrong)
        if "objective" not in unread:
            errors += self._objective_errors()
        if not self._wrong and unread.isdisjoint(("supervision", "space", "hyperparameters")):
            problems = [error for each in self._searched() for error in each.problems(self._setting())]
            errors += {str(error): error for error in problems}.values()
        return errors

    def notes(self) -> list[str]:
        """Which objective guides the search and why, and which of the labels that there are is trained on.

        Of labels of a file, how many are not the dataset's own; of noisy ones that the data brings beside intact ones,
        that drawn noise does not use them.
        """
        notes = [self.objective().sentence]
        given, intact = self._dataset.y_train, self._dataset.intact_train
        if self._noise.labels_count_as_intact and intact is not None and not given.equal(intact):
            unused = f"its own, of which {(given != intact).double().mean():.1%} are wrong, are not used"
            notes.append(f"Noise is drawn from the data's intact labels; {unused}: noise model none trains on them.")
        if self._agreement is not None:
            differing = f"{self._agreement.differing:.1%} of the labels in {self._spec.noise_file}"
            notes.append(f"{differing} differ from the dataset's.")
        return notes

    def warnings(self) -> list[str]:
        """What is likely to be a mistake, and may be meant."""
        if self._wrong:
            return []
        warnings = []
        if self._agreement is not None and self._agreement.doubt:
            doubt = f"noise_file = {self._spec.noise_file}: {self._agreement.doubt}"
            warnings.append(f"{doubt}. Are order and class numbers the dataset's?")
        if self._memorising_wins():
            warnings.append(
                "noise_rate = 0: the labels that guide the search are those that are trained on, which memorising "
                "wins. Give objective: noisy_validation to have some held out."
            )
        return warnings

    def _memorising_wins(self) -> bool:
        spec = self._spec
        if spec.noise_rate == UNKNOWN or self._objective_errors() or self.objective().kind is not ObjectiveKind.INTACT:
            return False
        rate = told_rate(spec, self._dataset) if self._given_rate is None else self._given_rate
        return rate == 0

    def objective(self) -> SearchObjective:
        """What guides the search.

        Raises:
            InvalidInput: The data lacks what was asked for.
        """
        spec, dataset = self._spec, self._dataset
        kind = objective_kind(spec.objective, dataset)
        train = len(dataset.y_train) if spec.limit_train is None else min(spec.limit_train, len(dataset.y_train))
        examples = {
            ObjectiveKind.INTACT: train,
            ObjectiveKind.CLEAN_VALIDATION: 0 if dataset.y_validation is None else len(dataset.y_validation),
            ObjectiveKind.NOISY_VALIDATION: max(1, round(spec.validation_fraction * train)),
        }[kind]
        rate = self._given_rate or 0.0
        return SearchObjective(
            kind, spec.noise_model, rate, dataset.num_classes, examples, self._labels_as_given
        )

    def _objective_errors(self) -> list[FieldError]:
        spec, dataset = self._spec, self._dataset
        try:
            if self.objective().kind is ObjectiveKind.NOISY_VALIDATION:
                whole = dataset if spec.limit_train is None else dataset.limit_train(spec.limit_train)
                whole.hold_out(spec.validation_fraction, spec.seed)
        except InvalidInput as error:
            names = {"fraction": "validation_fraction"}
            return [
                FieldError(names.get(each.field, each.field), each.value, each.problem, each.remedy)
                for each in error.errors
                if each.field != "limit_train"  # said already
            ]
        return []

    def _setting(self) -> Setting:
        matrix = self._noise.transition_matrix(self._dataset.num_classes)
        return Setting(self._dataset.y_train, self._dataset.num_classes, 0, matrix)

    def _searched(self) -> Iterator[Supervision]:
        spec, space = self._spec, self._spec.searched_space
        configurations = space.corners() if isinstance(space, ContinuousSpace) else space.grid() or []
        for each in configurations:
            fixed = spec.fixed if each.supervision == spec.supervision else {}
            try:
                yield supervision_with(each.supervision, {**fixed, **each.as_dict()})
            except EmphasisError:  # the check of the spec says what is wrong with it
                continue
