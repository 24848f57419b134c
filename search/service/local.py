"""The service over the store beside us: what the HTTP API serves, and what the CLI uses without a server."""

from __future__ import annotations

import base64
import binascii
import copy
import shutil
import time
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING
from typing import Any
from typing import Self

from search.cluster_resources import ClusterResources
from search.dataset_file import dataset_file
from search.home import Home
from search.owner import counts_now
from search.owner import is_alive
from search.owner import living
from search.owner import state_now
from search.service.bounds import MOST_ITEMS
from search.service.bounds import check_limit
from search.service.bounds import check_priority
from search.service.bounds import check_request_key
from search.service.catalogue_views import LocalCatalogue
from search.service.sweep_views import SweepViews
from search.service.sweep_views import epoch_view
from search.service.sweep_views import event_view
from search.service.sweep_views import process_view
from search.service.sweep_views import standing_view
from search.service.sweep_views import trial_view
from search.service.views import Checked
from search.service.views import Curve
from search.service.views import EventPage
from search.service.views import EventView
from search.service.views import StandingView
from search.service.views import StatusView
from search.service.views import SweepDetail
from search.service.views import SweepPage
from search.service.views import TrialPage
from search.store import ProcessKind
from search.store import Store
from search.store import SweepRecord
from search.store import SweepState
from search.store import Verb
from search.store.states import RUNNING_STATES
from search.store.states import recorded_as
from trainers.errors import FieldError
from trainers.errors import InvalidInput

if TYPE_CHECKING:
    from search.preflight import Submission
    from search.spec import SweepSpec

MOST_SHOWN = 10
"""Sweeps that run, and sweeps that wait, of a status."""

# Of sweeps some of which may be left out.
_READ_AT_ONCE = 50

_POLL_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class Submitted:
    """What became of a submission.

    Args:
        sweep: The sweep.
        created: Whether it is new; False where its request key had been used for the same.
    """

    sweep: SweepDetail
    created: bool


class LocalService(LocalCatalogue):
    """The service over a store; may be used from several threads.

    Args:
        store: Where sweeps are recorded.
        home: Where figures and checkpoints lie.
        submitter: Who asks; sweeps and their logs bear this name.
        data_roots: Folders that a sweep's files must lie in; None allows every file that this process can read.
        mlflow_url: Where MLflow's pages are served; None where nobody knows.
    """

    def __init__(
        self,
        store: Store,
        home: Home,
        *,
        submitter: str = "local",
        data_roots: Iterable[Path] | None = None,
        mlflow_url: str | None = None,
    ) -> None:
        self.store, self.home = store, home
        self._submitter = submitter
        self._data_roots = None if data_roots is None else tuple(data_roots)
        self._mlflow_url = mlflow_url
        self._views = SweepViews(store)

    def asked_by(self, submitter: str, mlflow_url: str | None = None) -> Self:
        """The same service for another who asks, and who may find MLflow's pages elsewhere."""
        other = copy.copy(self)
        other._submitter = submitter
        other._mlflow_url = mlflow_url or self._mlflow_url
        return other

    @property
    def location(self) -> str:
        """Where it is, for messages."""
        return self.store.location

    def address(self) -> str | None:
        """Where its pages are in a browser; None where no server runs."""
        servers = living(self.store.processes, ProcessKind.SERVER)
        return next((str(server.facts["url"]) for server in servers if "url" in server.facts), None)

    def status(self) -> StatusView:
        """Who works, what runs and what waits."""
        processes = [process_view(each) for each in living(self.store.processes)]
        on_record = self.store.sweeps(state=RUNNING_STATES)
        running = [sweep for sweep in on_record if state_now(sweep) in RUNNING_STATES][:MOST_SHOWN]
        told = self._views.sweeps([*running, *self.store.queue.first(MOST_SHOWN)], self._mlflow_url)
        return StatusView(
            workers=[each for each in processes if each.kind is ProcessKind.WORKER],
            servers=[each for each in processes if each.kind is ProcessKind.SERVER],
            sweeps=counts_now(self.store.sweep_counts(), on_record),
            running=told[: len(running)],
            queue=told[len(running) :],
            waiting=self.store.queue.length(),
        )

    def check(
        self, fields: Mapping[str, Any], *, priority: int = 0, request_key: str | None = None
    ) -> Checked:
        """Check a sweep's fields as `submit` does, without recording or downloading anything.

        Raises:
            InvalidInput: Everything that is wrong.
            RequestKeyUsed: The key was used for other fields.
        """
        known = self._submitted_before(fields, priority, request_key)
        if known is not None:
            told = self._told(known)
            return Checked(
                dataset=str(known.spec["dataset"]),
                noise_rate=told.noise_rate,
                supervision=known.supervision,
                trials=told.progress.planned,
                warnings=[],
                notes=[],
            )
        submission = self._checked(fields, fetch=False)
        (spec,) = submission.specs
        return Checked(
            dataset=spec.dataset,
            noise_rate=spec.noise_rate if isinstance(spec.noise_rate, float) else None,
            supervision=spec.supervision,
            trials=spec.number_of_trials().total,
            warnings=list(submission.warnings),
            notes=list(submission.notes),
        )

    def _submitted_before(
        self, fields: Mapping[str, Any], priority: int, request_key: str | None
    ) -> SweepRecord | None:
        """The sweep of a request key: what was accepted once stays so, whatever has become of data and workers."""
        check_priority(priority)
        check_request_key(request_key)
        if request_key is None:
            return None
        return self.store.requested(self._submitter, request_key, fields, priority)

    def submit(self, fields: Mapping[str, Any], *, priority: int = 0, request_key: str | None = None) -> SweepDetail:
        """Check a sweep's fields and queue it; see `submission`."""
        return self.submission(fields, priority=priority, request_key=request_key).sweep

    def submission(
        self, fields: Mapping[str, Any], *, priority: int = 0, request_key: str | None = None
    ) -> Submitted:
        """Check a sweep's fields and queue it, unless the same was queued before with this key.

        Args:
            fields: Of `search.spec.SweepSpec`, with one noise rate.
            priority: Higher is run first.
            request_key: The submitter's own key, under which a sweep is submitted once however often it is asked for.

        Raises:
            InvalidInput: Everything that is wrong.
            RequestKeyUsed: The key was used for other fields.
        """
        known = self._submitted_before(fields, priority, request_key)
        if known is not None:
            return Submitted(self._told(known), created=False)
        submission = self._checked(fields, fetch=True)
        # Imported here since they need torch, which takes seconds, and reading sweeps does not.
        from search.settled_rate import settle_noise_rate
        from search.spec import UNKNOWN
        from search.submission import new_id
        from search.submission import record_sweep
        from search.task import TaskSettings

        (spec,) = submission.specs
        prepared = TaskSettings.of(spec, self.home.path).load(spec.download)
        rate = None if spec.noise_rate == UNKNOWN else settle_noise_rate(spec, prepared)
        new = new_id(prepared.task.dataset.name, rate)
        sweep = record_sweep(
            self.store,
            spec,
            prepared,
            rate,
            id=new,
            priority=priority,
            submitter=self._submitter,
            request_key=request_key,
            request=fields,
        )
        notes = (*submission.warnings, *submission.notes)
        return Submitted(self._told(sweep, notes), created=sweep.id == new)

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
        """Sweeps, newest first.

        Raises:
            InvalidInput: The limit or the cursor cannot be used.
        """
        check_limit(limit)
        file = None if dataset is None else dataset_file(dataset)
        before = None if cursor is None else _read_cursor(cursor)
        found: list[SweepRecord] = []
        more, reading = True, max(limit + 1, _READ_AT_ONCE)
        while more and len(found) <= limit:
            read = self.store.sweeps(
                dataset=dataset if file is None else None,
                source=file,
                noise_rate=noise_rate,
                state=recorded_as(states) if states else None,
                submitter=submitter,
                limit=reading,
                before=before,
            )
            found += [sweep for sweep in read if not states or state_now(sweep) in states]
            more = len(read) == reading
            before = (read[-1].created_at, read[-1].id) if more else None
        shown = found[:limit]
        following = _cursor(shown[-1].created_at, shown[-1].id) if len(found) > limit else None
        return SweepPage(items=self._views.sweeps(shown, self._mlflow_url), next=following)

    def sweep(self, sweep_id: str) -> SweepDetail:
        """One sweep, by its id or how that begins."""
        return self._told(self.store.sweep(sweep_id))

    def trials(self, sweep_id: str, *, after: int = -1, limit: int = 500) -> TrialPage:
        """A sweep's trials, by number."""
        check_limit(limit)
        found = self.store.trials(self.store.sweep(sweep_id).id, after=after, limit=limit + 1)
        shown = found[:limit]
        more = shown[-1].number if len(found) > limit else None
        return TrialPage(items=[trial_view(trial) for trial in shown], next=more)

    def curve(self, sweep_id: str, number: int) -> Curve:
        """The learning curve of one of a sweep's trials, by its number."""
        id = self.store.sweep(sweep_id).id
        found = self.store.trials(id, after=number - 1, limit=1)
        if not found or found[0].number != number:
            raise InvalidInput(
                FieldError("trial", number, f"sweep {id} has no such trial", "Its trials are numbered from 0.")
            )
        epochs = self.store.epochs(found[0].id)
        return Curve(trial_id=found[0].id, items=[epoch_view(epoch) for epoch in epochs])

    def leaderboard(self, sweep_id: str, *, top: int = 10) -> list[StandingView]:
        """A sweep's best configurations, as `emphasis show` lists them, and the CCE baseline as the last row."""
        from search.leaderboard import leaderboard

        sweep = self.store.sweep(sweep_id)
        return [standing_view(row) for row in leaderboard(sweep, self.store.trials(sweep.id), top)]

    def recommendation(self, sweep_id: str) -> dict[str, Any]:
        """What a sweep recommends, so far or for good: an object as `emphasis export --format json` has it.

        Raises:
            InvalidInput: Nothing, or there is no such sweep.
        """
        # Imported here since it needs scipy and Optuna, which take seconds.
        from search.recommendation import choose

        sweep = self.store.sweep(sweep_id)
        found = choose(sweep, self.store.trials(sweep.id))
        if found is None:
            problem = "recommends nothing: no trial of what it searches has trained to the full budget"
            remedy = f"`emphasis show {sweep.id}` tells how it stands."
            raise InvalidInput(FieldError("sweep", sweep.id, problem, remedy))
        return found.as_dict()

    def log(self, sweep_id: str, *, after: int = 0, limit: int = MOST_ITEMS) -> EventPage:
        """What a sweep's log has after the event of a number, and whether more will come."""
        check_limit(limit)
        sweep = self.store.sweep(sweep_id)
        # The state was read before the log, so what is stopped has said everything that it will say.
        stopped = state_now(sweep).stopped
        found = self.store.events(sweep.id, after=after, limit=limit + 1)
        shown = [event_view(event) for event in found[:limit]]
        return EventPage(
            items=shown, next=shown[-1].number if shown else after, ended=stopped and len(found) <= limit
        )

    def events(self, sweep_id: str, *, after: int = 0, follow: bool = False) -> Iterator[EventView]:
        """A sweep's log, oldest first; following, until nothing of the sweep will run any more."""
        return self._following(self.store.sweep(sweep_id).id, after, follow)

    def ask(self, sweep_id: str, verb: Verb) -> SweepDetail:
        """Pause, cancel or resume a sweep; to ask again changes nothing."""
        return self._told(self.store.ask(self._left_by_the_dead(sweep_id), verb, by=self._submitter))

    def delete(self, sweep_id: str) -> None:
        """Delete a sweep that does not run, with its trials, log, figures and checkpoints."""
        id = self._left_by_the_dead(sweep_id)
        self.store.delete_sweep(id)
        for folder in (self.home.figures(id), self.home.checkpoints(id)):
            shutil.rmtree(folder, ignore_errors=True)

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
        from search.newest_recommendations import recommendations

        found = recommendations(self.store, dataset, noise_rate, backbone, supervision, noise_model, objective)
        return [each.as_dict() for each in found]

    def figures(self, sweep_id: str) -> list[str]:
        """Names of the files that a sweep's figures and tables are in."""
        folder = self.home.figures(self.store.sweep(sweep_id).id)
        return sorted(file.name for file in folder.iterdir() if file.is_file()) if folder.is_dir() else []

    def figure(self, sweep_id: str, name: str) -> Path:
        """One of a sweep's figures or tables.

        Raises:
            InvalidInput: There is none of that name.
        """
        names = self.figures(sweep_id)
        if name not in names:
            remedy = f"Use one of {', '.join(names)}." if names else "They are drawn when the sweep has ended."
            raise InvalidInput(FieldError("figure", name, "the sweep has no such file", remedy))
        return self.home.figures(self.store.sweep(sweep_id).id) / name

    def mlflow_page(self, sweep_id: str) -> str:
        """Where a sweep's page in MLflow is.

        Raises:
            InvalidInput: It is not there yet, or nobody knows where MLflow is.
        """
        sweep = self._told(self.store.sweep(sweep_id))
        if sweep.mlflow_url is None:
            problem = "is not recorded in MLflow yet" if self._mlflow_url else "has no pages of MLflow here"
            raise InvalidInput(FieldError("sweep", sweep.id, problem, "Ask again once its first trial has started."))
        return sweep.mlflow_url

    def _left_by_the_dead(self, sweep_id: str) -> str:
        """The full id of a sweep, which nobody has any more whose process has died or long been silent."""
        id = self.store.sweep(sweep_id).id
        self.store.release_lost(is_alive, sweep_id=id)  # its user asks for it, wherever it ran
        return id

    def _told(self, sweep: SweepRecord, notes: Sequence[str] = ()) -> SweepDetail:
        return self._views.sweep(sweep, notes, self._mlflow_url)

    def _checked(self, fields: Mapping[str, Any], fetch: bool) -> Submission:
        # Imported here since it needs torch, which takes seconds.
        from search.preflight import check_submission
        from search.spec_reading import read_specs

        fields, several = _with_one_rate(fields)
        reading = read_specs(fields)
        # Before anything of the files is looked at: whether one exists elsewhere is nobody's business here.
        beforehand = [*several, *self._outside_roots(reading.specs[0])]
        if beforehand:
            raise InvalidInput(*reading.errors, *beforehand)
        workers = living(self.store.processes, ProcessKind.WORKER)
        # A worker that has not found out yet what its cluster has may have anything.
        resources = [worker.facts.get("resources") for worker in workers]
        clusters = [ClusterResources.from_json(each) for each in resources if each]
        return check_submission(
            fields,
            clusters=clusters if len(clusters) == len(workers) else (),
            free_disk_bytes=shutil.disk_usage(self.home.path).free,
            fetch=fetch,
        )

    def _outside_roots(self, spec: SweepSpec) -> list[FieldError]:
        from search.service.data_roots import DataRoots

        return [] if self._data_roots is None else DataRoots(self._data_roots).errors(spec)

    def _following(self, sweep_id: str, after: int, follow: bool) -> Iterator[EventView]:
        while True:
            page = self.log(sweep_id, after=after)
            yield from page.items
            if page.ended or not (follow or page.items):
                return
            if not page.items:
                time.sleep(_POLL_SECONDS)
            after = page.next


def _with_one_rate(fields: Mapping[str, Any]) -> tuple[Mapping[str, Any], list[FieldError]]:
    """The fields with one noise rate, to look at the others, and what is wrong where there were several."""
    rates = fields.get("noise_rate")
    if not isinstance(rates, list | tuple) or len(rates) < 2:
        return fields, []
    problem = f"are {len(rates):,} noise rates, and a sweep has one"
    wrong = FieldError("noise_rate", list(rates[:10]), problem, "Submit a sweep for each.")
    return {**fields, "noise_rate": rates[0]}, [wrong]


def _cursor(created_at: datetime, sweep_id: str) -> str:
    return base64.urlsafe_b64encode(f"{created_at.isoformat()} {sweep_id}".encode()).decode()


def _read_cursor(cursor: str) -> tuple[datetime, str]:
    try:
        moment, _, sweep_id = base64.urlsafe_b64decode(cursor.encode()).decode().partition(" ")
        created_at = datetime.fromisoformat(moment)
        # No database takes a NUL.
        if created_at.tzinfo is None or not sweep_id or "\x00" in sweep_id:
            raise ValueError(cursor)
        # In another zone a moment can lie outside all years that there are.
        created_at = created_at.astimezone(UTC)
    except (ValueError, OverflowError, binascii.Error):
        remedy = "Give what the page before said as next, or leave it out to begin with the newest."
        raise InvalidInput(FieldError("cursor", cursor, "is not the place of a page", remedy)) from None
    return created_at, sweep_id
