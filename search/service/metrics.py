"""What Prometheus is told: sweeps and trials by state, workers, the queue's age, and the requests served."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client import CollectorRegistry
from prometheus_client import Counter
from prometheus_client import Histogram
from prometheus_client import generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from search.errors import StoreUnavailable
from search.owner import counts_now
from search.owner import living
from search.store import ProcessKind
from search.store import Store
from search.store import utc_now
from search.store.states import RUNNING_STATES


class Metrics:
    """The metrics of one server, in a registry of their own.

    Args:
        store: Where sweeps are recorded; it is asked when the metrics are read.
    """

    def __init__(self, store: Store) -> None:
        self._registry = CollectorRegistry()
        self._registry.register(_StoreMetrics(store))
        self._requests = Counter(
            "emphasis_http_requests", "Requests answered.", ["method", "route", "status"], registry=self._registry
        )
        self._seconds = Histogram(
            "emphasis_http_request_seconds",
            "Time until the answer began.",
            ["method", "route"],
            registry=self._registry,
        )

    def count(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count one request.

        Args:
            method: HTTP method.
            route: Template of its path.
            status: Of the answer.
            seconds: Until the answer began.
        """
        self._requests.labels(method, route, str(status)).inc()
        self._seconds.labels(method, route).observe(seconds)

    def text(self) -> bytes:
        """Everything in Prometheus's text format."""
        return generate_latest(self._registry)


class _StoreMetrics(Collector):
    def __init__(self, store: Store) -> None:
        self._store = store

    def collect(self) -> Iterator[Metric]:
        try:
            found = list(self._of_store())
        except StoreUnavailable:
            found = []
        yield GaugeMetricFamily("emphasis_store_up", "Whether the store answers.", value=float(bool(found)))
        yield from found

    def describe(self) -> Iterator[Metric]:
        # Without it the registry would ask the store to learn the names.
        return iter(())

    def _of_store(self) -> Iterator[Metric]:
        sweeps = GaugeMetricFamily("emphasis_sweeps", "Sweeps by state.", labels=["state"])
        for sweep_state, count in counts_now(
            self._store.sweep_counts(), self._store.sweeps(state=RUNNING_STATES)
        ).items():
            sweeps.add_metric([str(sweep_state)], count)
        yield sweeps
        trials = GaugeMetricFamily("emphasis_trials", "Trials by state.", labels=["state"])
        for trial_state, count in self._store.trial_counts().items():
            trials.add_metric([str(trial_state)], count)
        yield trials
        workers = living(self._store.processes, ProcessKind.WORKER)
        yield GaugeMetricFamily("emphasis_workers", "Workers that live.", value=len(workers))
        since = self._store.queue.oldest()
        age = 0.0 if since is None else max(0.0, (utc_now() - since).total_seconds())
        yield GaugeMetricFamily("emphasis_oldest_queued_seconds", "How long a sweep has waited at most.", value=age)
