"""How often one caller may ask: a token bucket each, in memory."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable


class RateLimit:
    """Token buckets by caller; safe to use from several threads.

    Args:
        rate: Requests a second that a caller may make for ever, > 0.
        burst: Requests that a caller may make at once after a rest, >= 1.
        clock: Seconds that never go back.
    """

    def __init__(self, rate: float, burst: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate, self._burst, self._clock = rate, burst, clock
        self._lock = threading.Lock()
        # By caller, the longest at rest first: how many requests were left, and when.
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def wait(self, caller: str) -> float:
        """Count one request, and return 0; or count none, and return the seconds to wait for the next."""
        with self._lock:
            now = self._clock()
            self._forget_rested(now)
            left, since = self._left.get(caller, (self._burst, now))
            left = min(self._burst, left + (now - since) * self._rate)
            if left < 1:
                return (1 - left) / self._rate
            self._left[caller] = (left - 1, now)
            self._left.move_to_end(caller)
            return 0.0

    def _forget_rested(self, now: float) -> None:
        # After this long a bucket is full again, as it is for a caller never seen: memory stays bounded by
        # the callers of the last seconds.
        full_after = self._burst / self._rate
        while self._left:
            caller, (_, since) = next(iter(self._left.items()))
            if now - since < full_after:
                return
            del self._left[caller]
