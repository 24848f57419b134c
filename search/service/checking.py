"""The threads in which submissions are checked, which may take long: data is fetched and decoded meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from anyio import CapacityLimiter
from anyio import to_thread

from search.service.problems import Problem
from search.service.problems import Refused

Result = TypeVar("Result")

_AT_ONCE = 8
_MOST_WAITING = 56
_BUSY = Problem(
    "/problems/busy",
    "Too many submissions at once",
    503,
    "As many submissions as the service takes are being checked. Send this one again in a moment.",
)


class CheckingThreads:
    """A few threads apart from those that everything else is answered in, which therefore never waits for them."""

    def __init__(self) -> None:
        self._limiter = CapacityLimiter(_AT_ONCE)
        self._taken = 0

    async def run(self, check: Callable[[], Result]) -> Result:
        """Run a check in one of the threads, as soon as one is free.

        Raises:
            Refused: With 503: too many wait already.
        """
        if self._taken >= _AT_ONCE + _MOST_WAITING:
            raise Refused(_BUSY, {"Retry-After": "5"})
        self._taken += 1
        try:
            return await to_thread.run_sync(check, limiter=self._limiter)
        finally:
            self._taken -= 1
