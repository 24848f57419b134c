"""Noise models by name, as a sweep asks for them."""

from __future__ import annotations

from pathlib import Path

from trainers.errors import FieldError
from trainers.errors import InvalidInput
from trainers.noise.class_maps import AsymmetricCifar10
from trainers.noise.class_maps import AsymmetricCifar100
from trainers.noise.class_maps import PairFlip
from trainers.noise.given_labels import GivenLabels
from trainers.noise.label_file import LabelFile
from trainers.noise.matrix import MatrixNoise
from trainers.noise.noise_model import NoiseModel
from trainers.noise.noise_model import RatedNoise
from trainers.noise.noise_model import rate_problems
from trainers.noise.symmetric import Symmetric
from trainers.noise.symmetric import SymmetricInclusive
from trainers.plugins import unknown_name

_RATED: dict[str, type[RatedNoise]] = {
    model.name: model for model in (Symmetric, SymmetricInclusive, AsymmetricCifar10, AsymmetricCifar100, PairFlip)
}
_FROM_FILES: dict[str, type[NoiseModel]] = {model.name: model for model in (MatrixNoise, LabelFile)}
_MODELS: dict[str, type[NoiseModel]] = {**_RATED, **_FROM_FILES, GivenLabels.name: GivenLabels}


def noise_model_names() -> list[str]:
    """The names that `make_noise_model` knows."""
    return list(_MODELS)


def takes_rate(name: str) -> bool:
    """Whether the labels of a noise model are drawn by a rate, which has to be given."""
    return name in _RATED


def noise_model_descriptions() -> dict[str, str]:
    """One line on each noise model, by name."""
    return {name: model.description for name, model in _MODELS.items()}


def make_noise_model(
    name: str, noise_rate: float | None = None, file: Path | str | None = None, column: str | None = None
) -> NoiseModel:
    """The noise model called ``name``.

    Args:
        name: One of `noise_model_names`.
        noise_rate: Nominal noise rate in [0, 1), for the models that are drawn by a rate; the others take none.
        file: File of the models ``matrix`` and ``file``.
        column: Column of the file, for ``file``.

    Raises:
        InvalidInput: The name is unknown, or an argument is missing, not used by this model, or unusable.
    """
    if name not in _MODELS:
        raise unknown_name("noise_model", name, _MODELS)
    problems = []
    if name in _RATED:
        problems += rate_problems(noise_rate)
    elif noise_rate is not None:
        problems.append(_not_used("noise_rate", noise_rate, name))
    if name in _FROM_FILES and file is None:
        remedy = "Give the file of the matrix." if name == MatrixNoise.name else "Give the file of the labels."
        problems.append(FieldError("noise_file", None, f"missing: noise_model {name} reads one", remedy))
    if name not in _FROM_FILES and file is not None:
        problems.append(_not_used("noise_file", str(file), name))
    if name != LabelFile.name and column is not None:
        problems.append(_not_used("noise_column", column, name))
    if problems:
        raise InvalidInput(*problems)
    if name in _RATED:
        assert noise_rate is not None
        return _RATED[name](noise_rate)
    if file is None:
        return GivenLabels()
    return MatrixNoise.read(file) if name == MatrixNoise.name else LabelFile(Path(file), column)


def _not_used(field: str, value: object, name: str) -> FieldError:
    return FieldError(field, value, f"noise_model {name} takes none", "Leave it out, or choose another noise_model.")
