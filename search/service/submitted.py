"""A sweep in the hands of who submitted it: to watch, to wait for, to steer, and to ask what it recommends."""

from __future__ import annotations

import time
from collections.abc import Callable
from collections.abc import Iterator
from contextlib import suppress
from typing import TYPE_CHECKING
from typing import Self

from pydantic import PrivateAttr

from search.errors import ServerUnavailable
from search.errors import SweepCancelled
from search.errors import SweepFailed
from search.errors import SweepInterrupted
from search.errors import WaitTimeout
from search.service.interface import Service
from search.service.views import EventView
from search.service.views import SweepDetail
from search.store import SweepState
from search.store import Verb
from trainers.errors import InvalidInput

if TYPE_CHECKING:
    from search.recommendation import Recommendation

OnProgress = Callable[[SweepDetail], None]

_FIRST_PAUSE, _LONGEST_PAUSE = 0.2, 2.0
# How long a server may be away from who waits for a sweep.
_AWAY_SECONDS = 900.0


class SubmittedSweep(SweepDetail):
    """A sweep as its service told it, and what can be done with it.

    The fields are those of the moment when it was asked for; `view` asks again.

    Example:
        >>> sweep = Client(url).submit({"dataset": "digits", "noise_rate": 0.4})  # doctest: +SKIP
        >>> sweep.wait().recommendation.recommended.beta  # doctest: +SKIP
    """

    _service: Service = PrivateAttr()

    @classmethod
    def of(cls, service: Service, sweep: SweepDetail) -> Self:
        """A sweep that a service told."""
        return cls.model_validate(sweep.model_dump()).bound_to(service)

    def bound_to(self, service: Service) -> Self:
        """This sweep, asking this service."""
        self._service = service
        return self

    def view(self) -> SubmittedSweep:
        """The sweep as it is now."""
        return SubmittedSweep.of(self._service, self._service.sweep(self.id))

    def wait(self, timeout: float | None = None, on_progress: OnProgress | None = None) -> SubmittedSweep:
        """Wait until the sweep is done; a server that is restarted meanwhile is waited for too.

        Args:
            timeout: Seconds, at most; None for as long as it takes.
            on_progress: Called with the sweep at once, and whenever something of it has changed.

        Returns:
            The sweep as it is then.

        Raises:
            SweepFailed: It cannot give a result.
            SweepCancelled: It was cancelled.
            SweepInterrupted: It was paused, and nobody has resumed it yet.
            WaitTimeout: It is not done yet.
            ServerUnavailable: The server stayed away.
        """
        ends_at = None if timeout is None else time.monotonic() + timeout
        pause, shown = _FIRST_PAUSE, None
        while True:
            sweep = self._view_or_wait(ends_at)
            if on_progress is not None and sweep != shown:
                on_progress(sweep)
            if sweep.state.stopped:
                break
            left = _LONGEST_PAUSE if ends_at is None else ends_at - time.monotonic()
            if left <= 0 and timeout is not None:
                raise WaitTimeout(self.id, sweep.state, timeout)
            # What changes is looked at often, and what stands still seldom.
            pause = _FIRST_PAUSE if sweep != shown else min(2 * pause, _LONGEST_PAUSE)
            shown = sweep
            time.sleep(min(pause, left))
        match sweep.state:
            case SweepState.FAILED:
                raise SweepFailed(self.id, sweep.message or "without a reason")
            case SweepState.CANCELLED:
                raise SweepCancelled(self.id)
            case SweepState.PAUSED:
                raise SweepInterrupted(self.id, sweep.message or "paused")
        return sweep

    def events(self, after: int = 0, follow: bool = True) -> Iterator[EventView]:
        """The sweep's log; by default until nothing of it will run any more."""
        return self._service.events(self.id, after=after, follow=follow)

    def cancel(self) -> SubmittedSweep:
        """Cancel the sweep, which is final."""
        return self._asked(Verb.CANCEL)

    def pause(self) -> SubmittedSweep:
        """Have the sweep stop; its finished trials are kept."""
        return self._asked(Verb.PAUSE)

    def resume(self) -> SubmittedSweep:
        """Have the sweep go on."""
        return self._asked(Verb.RESUME)

    @property
    def recommendation(self) -> Recommendation | None:
        """What it recommends, asked for now; None while no trial of it has trained to the full budget."""
        from search.recommendation import Recommendation

        self.view()  # It is there; what is refused from here on is that it recommends nothing.
        with suppress(InvalidInput):
            return Recommendation.from_dict(self._service.recommendation(self.id))
        return None

    def _asked(self, verb: Verb) -> SubmittedSweep:
        return SubmittedSweep.of(self._service, self._service.ask(self.id, verb))

    def _view_or_wait(self, ends_at: float | None) -> SubmittedSweep:
        away_until = time.monotonic() + _AWAY_SECONDS
        while True:
            try:
                return self.view()
            except ServerUnavailable:
                if time.monotonic() > min(away_until, ends_at or away_until):
                    raise
                time.sleep(_LONGEST_PAUSE)
