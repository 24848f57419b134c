"""The folders in which a submitted sweep may name files, so that a service never looks at others."""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Sequence
from pathlib import Path

from search.spec import SweepSpec
from trainers.datasets import dataset_path
from trainers.errors import FieldError
from trainers.models.weights import is_weights_file


class DataRoots:
    """The allowed folders.

    Args:
        roots: The folders; with none, no file may be named.
    """

    def __init__(self, roots: Iterable[Path]) -> None:
        self._roots = [root.expanduser().resolve() for root in roots]

    def errors(self, spec: SweepSpec) -> list[FieldError]:
        """Every path of a spec that does not lie in one of the folders, links followed."""
        return [self._error(field, path) for field, path in _named_paths(spec) if not self._allows(path)]

    def _allows(self, path: Path) -> bool:
        try:
            resolved = path.expanduser().resolve()
        except (OSError, RuntimeError, ValueError):  # a link to itself, no such home folder, a NUL
            return False
        return any(resolved.is_relative_to(root) for root in self._roots)

    def _error(self, field: str, path: Path) -> FieldError:
        allowed = ", ".join(map(str, self._roots))
        problem = "is outside the folders that this service reads" if allowed else "this service reads no files"
        inside = f"Give a path in {allowed}, or let" if allowed else "Give a data set that needs none, or let"
        remedy = f"{inside} who runs the service allow its folder: `emphasis serve --data-root FOLDER`."
        return FieldError(field, str(path), problem, remedy)


def _named_paths(spec: SweepSpec) -> Iterator[tuple[str, Path]]:
    """Every path in a spec with the field that names it."""
    path = dataset_path(spec.dataset)
    if path is not None:
        yield "dataset", path
    for field, given in (("data_dir", spec.data_dir), ("noise_file", spec.noise_file)):
        if given is not None:
            yield field, given
    if spec.training.weights is not None and is_weights_file(spec.training.weights):
        yield "training.weights", Path(spec.training.weights)
    for name, value in spec.hyperparameters.items():
        yield from _paths_among(f"hyperparameters.{name}", [value])
    for cell in spec.searched_space.grid() or []:
        yield from _paths_among("space", [value for _, value in cell.hyperparameters])


def _paths_among(field: str, values: Sequence[object]) -> Iterator[tuple[str, Path]]:
    # A matrix may be 'true', 'estimated' or a file: what has a suffix or a folder is one.
    for value in values:
        if isinstance(value, str) and (Path(value).suffix or len(Path(value).parts) > 1 or value.startswith("~")):
            yield field, Path(value)
