"""The service at an address, from Python."""

from __future__ import annotations

import json
import math
import secrets
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING
from typing import Any
from typing import Self
from typing import TypeVar
from urllib.parse import quote

import httpx
from pydantic import ValidationError

from search.errors import AnswerLost
from search.errors import ServerUnavailable
from search.service.bounds import check_limit
from search.service.bounds import check_priority
from search.service.bounds import check_request_key
from search.service.event_stream import MEDIA_TYPE
from search.service.event_stream import server_sent_events
from search.service.submitted import SubmittedSweep
from search.service.transport import Patience
from search.service.transport import Transport
from search.service.views import Checked
from search.service.views import EventView
from search.service.views import NamedView
from search.service.views import StatusView
from search.service.views import SupervisionView
from search.service.views import SweepPage
from search.service.views import TrialPage
from search.service.views import View
from search.store import SweepState
from search.store import Verb
from trainers.errors import FieldError
from trainers.errors import InvalidInput

if TYPE_CHECKING:
    from search.spec import SweepSpec

# The server reads the data before it answers, and may fetch it first.
_SUBMIT_SECONDS = 600.0

# How long a server may be away from who follows a sweep: an upgrade of the machine it runs on, say.
_AWAY_SECONDS = 900.0

_END = "end"

Told = TypeVar("Told", bound=View)


class Client:
    """The service at an address: submit sweeps, watch them, steer them, read what they recommend.

    Every request is made again while the server is away for a moment, and does no harm when it is made twice. One
    client may be used from several threads.

    Args:
        url: Address of the server; None is EMPHASIS_SERVER.
        token: None is EMPHASIS_TOKEN, else what the file holds that EMPHASIS_TOKEN_FILE names, else none.
        patience_seconds: How long a request is made again before ServerUnavailable is raised.

    Raises:
        InvalidInput: The address or the token cannot be used.

    Example:
        >>> client = Client("http://127.0.0.1:8080")  # doctest: +SKIP
        >>> client.submit({"dataset": "digits", "noise_rate": 0.4}).wait().recommendation  # doctest: +SKIP
    """

    def __init__(self, url: str | None = None, token: str | None = None, *, patience_seconds: float = 10.0) -> None:
        self._transport = Transport(url, token, patience_seconds)

    def close(self) -> None:
        """Close every connection."""
        self._transport.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Client({self._transport.url!r})"

    @property
    def location(self) -> str:
        """Where it is, for messages."""
        return self._transport.url

    def address(self) -> str:
        """Where its pages are in a browser."""
        return self._transport.url

    def status(self) -> StatusView:
        """Who works, what runs and what waits."""
        return self._told(StatusView, self._get("/status"))

    def check(
        self, fields: SweepSpec | Mapping[str, Any], *, priority: int = 0, request_key: str | None = None
    ) -> Checked:
        """Check a sweep as `submit` does; nothing is recorded."""
        check_priority(priority)
        check_request_key(request_key)
        answer = self._transport.call(
            "POST",
            "/validate",
            params={"priority": priority or None},
            content=_json(fields),
            headers=None if request_key is None else {"Idempotency-Key": request_key},
            answer_seconds=_SUBMIT_SECONDS,
        )
        return self._told(Checked, answer)

    def submit(
        self, fields: SweepSpec | Mapping[str, Any], *, priority: int = 0, request_key: str | None = None
    ) -> SubmittedSweep:
        """Check a sweep and queue it.

        Args:
            fields: A spec, or its fields, with one noise rate. Paths are the server's.
            priority: Higher is run first.
            request_key: Your own key for it: submitted again with the key, the sweep that there is is returned.
                Without one the client makes one, so that a request that it repeats cannot queue two sweeps.

        Raises:
            InvalidInput: Everything that is wrong.
            RequestKeyUsed: The key was used for other fields.
            ServerUnavailable: The server could not be reached.
            AnswerLost: It did not answer; the message names the key under which to submit again.
            NotAllowed: The token does not allow it.
        """
        check_priority(priority)
        check_request_key(request_key)
        key = secrets.token_urlsafe() if request_key is None else request_key
        try:
            answer = self._transport.call(
                "POST",
                "/sweeps",
                params={"priority": priority or None},
                content=_json(fields),
                headers={"Idempotency-Key": key},
                answer_seconds=_SUBMIT_SECONDS,
            )
        except AnswerLost as error:
            known = f"It may have been queued: submitted again with the request key {key}, it is so once."
            raise AnswerLost(error.url, error.problem, f"{known} {error.remedy}") from error
        return self._sweep(answer)

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
        check_limit(limit)
        return self._told(
            SweepPage,
            self._get(
                "/sweeps",
                state=[str(state) for state in states],
                dataset=dataset,
                noise_rate=noise_rate,
                submitter=submitter,
                limit=limit,
                cursor=cursor,
            ),
        )

    def sweep(self, sweep_id: str) -> SubmittedSweep:
        """One sweep, by its id or how that begins."""
        return self._sweep(self._get(_path(sweep_id)))

    def trials(self, sweep_id: str, *, after: int = -1, limit: int = 500) -> TrialPage:
        """A sweep's trials, by number."""
        check_limit(limit)
        return self._told(TrialPage, self._get(f"{_path(sweep_id)}/trials", after=after, limit=limit))

    def events(self, sweep_id: str, *, after: int = 0, follow: bool = False) -> Iterator[EventView]:
        """A sweep's log, oldest first; following, until nothing of the sweep will run any more.

        A server that goes away and comes back, or a connection that is lost, leaves no gap and repeats nothing.

        Raises:
            InvalidInput: There is no such sweep.
            ServerUnavailable: The server stayed away.
        """
        # Asked here and not at the first event, so that what is wrong is said at once.
        return self._events(self.sweep(sweep_id).id, after, follow)

    def ask(self, sweep_id: str, verb: Verb) -> SubmittedSweep:
        """Pause, cancel or resume a sweep; to ask again changes nothing."""
        return self._sweep(self._transport.call("POST", f"{_path(sweep_id)}/{verb}"))

    def delete(self, sweep_id: str) -> None:
        """Delete a sweep that does not run, with its trials, log and figures."""
        sweep = self.sweep(sweep_id)
        # It is there; where it is not a moment later, a request whose answer was lost has deleted it.
        with suppress(InvalidInput):
            self._transport.call("DELETE", _path(sweep.id))

    def recommendation(self, sweep_id: str) -> dict[str, Any]:
        """What a sweep recommends, so far or for good: an object of `emphasis export --format json`.

        Raises:
            InvalidInput: Nothing, or there is no such sweep.
        """
        found: dict[str, Any] = self._get(f"{_path(sweep_id)}/recommendation")
        return found

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
        found: list[dict[str, Any]] = self._get(
            "/recommendations",
            dataset=dataset,
            noise_rate=noise_rate,
            backbone=backbone,
            supervision=supervision,
            noise_model=noise_model,
            objective=objective,
        )
        return found

    def datasets(self) -> list[NamedView]:
        """The data sets that have a name on the server; a spec may name a path too."""
        return [self._told(NamedView, each) for each in self._get("/datasets")]

    def noise_models(self) -> list[NamedView]:
        """The noise models that the server has."""
        return [self._told(NamedView, each) for each in self._get("/noise-models")]

    def backbones(self) -> list[NamedView]:
        """The networks that have a name of their own on the server; a spec may name one of torchvision's too."""
        return [self._told(NamedView, each) for each in self._get("/backbones")]

    def spaces(self) -> list[NamedView]:
        """The search spaces that have a name on the server."""
        return [self._told(NamedView, each) for each in self._get("/spaces")]

    def supervisions(self) -> list[SupervisionView]:
        """The supervisions that the server has, with their hyper-parameters."""
        return [self._told(SupervisionView, each) for each in self._get("/supervisions")]

    def _events(self, sweep_id: str, after: int, follow: bool) -> Iterator[EventView]:
        patience = Patience(_AWAY_SECONDS)
        while True:
            headers = {"Accept": MEDIA_TYPE, "Last-Event-ID": str(after)}
            try:
                with self._transport.stream(f"{_path(sweep_id)}/events", {"follow": follow}, headers) as response:
                    if response.status_code == httpx.codes.NO_CONTENT:
                        return
                    patience = Patience(_AWAY_SECONDS)  # it is there, whatever cuts the stream, and however often
                    for sent in server_sent_events(response.iter_lines()):
                        if sent.name == _END:
                            return
                        event = self._told(EventView, sent.data)
                        after = event.number
                        yield event
                lost = ServerUnavailable(self.location, "ended the stream of events", "Follow the sweep again.")
            except ServerUnavailable as error:
                lost = error
            patience.wait_or_raise(lost)

    def _get(self, path: str, **params: Any) -> Any:
        return self._transport.call("GET", path, params=params)

    def _sweep(self, body: Any) -> SubmittedSweep:
        return self._told(SubmittedSweep, body).bound_to(self)

    def _told(self, kind: type[Told], body: Any) -> Told:
        try:
            return kind.model_validate_json(body) if isinstance(body, str) else kind.model_validate(body)
        except ValidationError as error:
            raise self._transport.misunderstood() from error


def _path(sweep_id: str) -> str:
    if "/" in sweep_id or not sweep_id.strip("."):
        # Part of an address these would mean something else, and no sweep is called so.
        raise InvalidInput(
            FieldError("sweep", sweep_id, "there is no such sweep", "See them with `emphasis list`.")
        )
    return f"/sweeps/{quote(sweep_id, safe='')}"


def _json(fields: SweepSpec | Mapping[str, Any]) -> bytes:
    return json.dumps(_plain(fields if isinstance(fields, Mapping) else fields.to_json_dict())).encode()


def _plain(value: Any) -> Any:
    """What YAML and Python have and JSON has not, as text: the server then says what is wrong with it."""
    if isinstance(value, Mapping):
        return {str(name): _plain(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(inner) for inner in value]
    if value is None or isinstance(value, str | bool | int) or (isinstance(value, float) and math.isfinite(value)):
        return value
    return str(value)
