"""What a spec may name, as the service says it: what there is on its machine."""

from __future__ import annotations

from collections.abc import Sequence

from search import catalogue
from search.catalogue import Entry
from search.naming import written_name
from search.service.views import HyperparameterView
from search.service.views import NamedView
from search.service.views import SupervisionView


class LocalCatalogue:
    """What there is on this machine."""

    def datasets(self) -> list[NamedView]:
        """The data sets that have a name."""
        return _named(catalogue.datasets())

    def noise_models(self) -> list[NamedView]:
        """The noise models."""
        return _named(catalogue.noise_models())

    def backbones(self) -> list[NamedView]:
        """The networks that have a name of their own."""
        return _named(catalogue.backbones())

    def spaces(self) -> list[NamedView]:
        """The search spaces that have a name."""
        return _named(catalogue.spaces())

    def supervisions(self) -> list[SupervisionView]:
        """The supervisions, with their hyper-parameters."""
        return [
            SupervisionView(
                name=entry.name,
                description=entry.description,
                problem=entry.problem,
                hyperparameters=[
                    HyperparameterView(name=written_name(name), default=default)
                    for name, default in entry.hyperparameters.items()
                ],
            )
            for entry in catalogue.supervisions()
        ]


def _named(entries: Sequence[Entry]) -> list[NamedView]:
    return [NamedView(name=entry.name, description=entry.description, problem=entry.problem) for entry in entries]
