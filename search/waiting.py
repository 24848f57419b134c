"""Why no trial of a sweep runs, in words, so that waiting for Ray does not look like hanging."""

from __future__ import annotations

import time
from collections.abc import Callable

from search.cluster_resources import ClusterResources
from search.spec import Resources

_SECONDS_BETWEEN_LOOKS = 1.0
# A trial's process imports torch, which takes seconds, and longer on a machine that is busy.
_LONGEST_START = 30.0


class Waiting:
    """What a sweep waits for.

    Args:
        resources: Of one trial.
        ask: What Ray has at this moment.
    """

    def __init__(self, resources: Resources, ask: Callable[[], ClusterResources]) -> None:
        self._resources, self._ask = resources, ask
        self._since: float | None = None
        self._looked_at = 0.0
        self._reason: str | None = None

    def reason(self, running: bool) -> str | None:
        """What is waited for; None while trials run, or start. May be asked often."""
        now = time.monotonic()
        if running:
            self._since = self._reason = None
            return None
        self._since = self._since or now
        if now - self._looked_at >= _SECONDS_BETWEEN_LOOKS:
            self._looked_at = now
            self._reason = self._find(now - self._since)
        return self._reason

    def _find(self, waited: float) -> str | None:
        try:
            shortage = self._ask().shortage(self._resources.cpus, self._resources.gpus)
        except Exception:
            return self._reason  # its head may be starting anew; that it is lost, others notice
        if shortage is not None:
            return f"waiting for {shortage}"
        if waited >= _LONGEST_START:
            return "waiting for a place on Ray: others may use what it has"
        return None
