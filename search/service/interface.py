"""What can be asked of the service; the store beside us and a server far away answer alike."""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any
from typing import Protocol

from search.service.views import Checked
from search.service.views import EventView
from search.service.views import NamedView
from search.service.views import StatusView
from search.service.views import SupervisionView
from search.service.views import SweepDetail
from search.service.views import SweepPage
from search.service.views import TrialPage
from search.store import SweepState
from search.store import Verb


class Catalogue(Protocol):
    """What a spec may name where sweeps would run."""

    def datasets(self) -> list[NamedView]:
        """The data sets that have a name; a spec may name a path too."""
        ...

    def noise_models(self) -> list[NamedView]:
        """The noise models."""
        ...

    def backbones(self) -> list[NamedView]:
        """The networks that have a name of their own; a spec may name one of torchvision's too."""
        ...

    def spaces(self) -> list[NamedView]:
        """The search spaces that have a name."""
        ...

    def supervisions(self) -> list[SupervisionView]:
        """The supervisions, with their hyper-parameters."""
        ...


class Service(Catalogue, Protocol):
    """Sweeps: submit, watch, steer, export.

    Everything wrong with what is given is raised as trainers.errors.InvalidInput, with the same field errors from
    either; what a sweep cannot do in its state as search.errors.IllegalMove.
    """

    @property
    def location(self) -> str:
        """Where it is, for messages."""
        ...

    def address(self) -> str | None:
        """Where its pages are in a browser; None where no server runs."""
        ...

    def status(self) -> StatusView:
        """Who works, what runs and what waits."""
        ...

    def check(
        self, fields: Mapping[str, Any], *, priority: int = 0, request_key: str | None = None
    ) -> Checked:
        """Check a sweep's fields (one noise rate) as `submit` does; nothing is recorded."""
        ...

    def submit(
        self, fields: Mapping[str, Any], *, priority: int = 0, request_key: str | None = None
    ) -> SweepDetail:
        """Check a sweep's fields (one noise rate) and queue it; with a used key of ours, the sweep that there is."""
        ...

    def sweeps(
        self,
        *,
        states: Sequence[SweepState] = (),
        dataset: str | None = None,
        noise_rate: float | None = None,
        submitter: str | None = None,
        limit: int = 50,
        cursor: str | None = None,
    ) -> SweepPage:
        """Sweeps, newest first."""
        ...

    def sweep(self, sweep_id: str) -> SweepDetail:
        """One sweep, by its id or how that begins."""
        ...

    def trials(self, sweep_id: str, *, after: int = -1, limit: int = 500) -> TrialPage:
        """A sweep's trials, by number."""
        ...

    def events(self, sweep_id: str, *, after: int = 0, follow: bool = False) -> Iterator[EventView]:
        """A sweep's log, oldest first; following, until nothing of the sweep will run any more."""
        ...

    def ask(self, sweep_id: str, verb: Verb) -> SweepDetail:
        """Pause, cancel or resume a sweep; to ask again changes nothing."""
        ...

    def delete(self, sweep_id: str) -> None:
        """Delete a sweep that does not run, with its trials, log and figures."""
        ...

    def recommendation(self, sweep_id: str) -> dict[str, Any]:
        """What a sweep recommends, so far or for good: an object of `emphasis export --format json`."""
        ...

    def recommendations(
        self,
        dataset: str | None = None,
        noise_rate: float | None = None,
        *,
        backbone: str | None = None,
        supervision: str | None = None,
        noise_model: str | None = None,
        objective: str | None = None,
    ) -> list[dict[str, Any]]:
        """The objects of `emphasis export --format json`."""
        ...
