"""Recording in the background: a thread that brings MLflow up to the store on news."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from search.store import Store
from search.tracking.interface import without_password
from search.tracking.interface import without_password_of
from search.tracking.projection import Projection
from search.tracking.projection import Summarise


@dataclass(slots=True)
class _Failure:
    """Why a sweep could not be recorded, how many times in a row, and when it is tried again."""

    error: str = ""
    times: int = 0
    retry_at: float = 0.0


class Recorder:
    """Records sweeps in MLflow without ever holding up or failing the sweep.

    Args:
        store: Where sweeps and trials are recorded; the record is made from it.
        tracking_uri: SQLAlchemy URL of MLflow's database, or ``http(s)://`` of an MLflow server.
        artifact_root: Folder for figures and files where the database is our own; not used with a server.
        summarise: Gives what a stopped sweep found, from its id.
        interval: Least time between two passes, in seconds; news in between is recorded together.
        first_retry: Wait after a sweep could not be recorded, in seconds; doubled after every further time.
        longest_retry: Longest wait until it is tried again, in seconds.
    """

    def __init__(
        self,
        store: Store,
        tracking_uri: str,
        *,
        artifact_root: Path | None = None,
        summarise: Summarise | None = None,
        interval: float = 5.0,
        first_retry: float = 1.0,
        longest_retry: float = 60.0,
    ) -> None:
        self.projection = Projection(store, tracking_uri, artifact_root, summarise)
        self._store = store
        self._uri, self._address = tracking_uri, without_password(tracking_uri)
        self._interval = interval
        self._first_retry = first_retry
        self._longest_retry = longest_retry
        self._changed = threading.Condition()
        self._pending: dict[str, None] = {}  # sweep ids, in the order in which they came
        self._working_on: set[str] = set()
        self._waiters = 0
        self._awaited: set[str] = set()
        self._closing = False
        self._abandoned = False
        self._failed: dict[str, _Failure] = {}  # by sweep: one that cannot be recorded must not delay the others
        self._thread: threading.Thread | None = None

    @property
    def behind(self) -> tuple[str, ...]:
        """Ids of the sweeps that have news which is not in MLflow yet."""
        with self._changed:
            return tuple(sorted({*self._pending, *self._working_on}))

    @property
    def last_error(self) -> str | None:
        """Why a sweep could not be recorded when that was last tried; None where all could be."""
        with self._changed:
            return next((failure.error for failure in self._failed.values()), None)

    def error_of(self, sweep_id: str) -> str | None:
        """Why a sweep could not be recorded when that was last tried; None where it could be, or was not tried."""
        with self._changed:
            failure = self._failed.get(sweep_id)
            return failure.error if failure is not None else None

    def notify(self, sweep_id: str) -> None:
        """Say that the store has news of a sweep. Returns at once; never raises."""
        with self._changed:
            self._pending[sweep_id] = None
            if self._thread is None and not self._closing:
                # A daemon: a tracking server that does not answer must not keep the process from ending.
                self._thread = threading.Thread(target=self._work, name="emphasis-recorder", daemon=True)
                self._thread.start()
            self._changed.notify_all()

    def catch_up(self, quiet_seconds: float = 0.0) -> None:
        """Have every sweep recorded that nobody runs and whose record no process has finished.

        Args:
            quiet_seconds: As for `search.store.tracking.TrackingCursors.behind`.
        """
        for sweep_id in self._store.tracking.behind(quiet_seconds):
            self.notify(sweep_id)

    def flush(self, sweep_id: str, timeout: float) -> bool:
        """Wait until all that is known of a sweep is in MLflow, trying at once and then often.

        Args:
            sweep_id: The sweep; of others, none but the one that is being recorded holds it up.
            timeout: Longest wait, in seconds.

        Returns:
            Whether it is recorded. If not, the recorder goes on trying.
        """
        with self._changed:
            if failure := self._failed.get(sweep_id):
                failure.times = 0
            self._awaited.add(sweep_id)
            try:
                return self._wait_for(lambda: sweep_id not in {*self._pending, *self._working_on}, timeout)
            finally:
                self._awaited.discard(sweep_id)

    def close(self, timeout: float = 30.0) -> bool:
        """Record what is left, then stop.

        What could not be recorded before, since somebody has deleted its experiment, say, is tried just once more.

        Args:
            timeout: Longest wait, in seconds.

        Returns:
            Whether everything is recorded. What is not can be recorded from the store by a later process.
        """
        with self._changed:
            failed = set(self._failed)
            for failure in self._failed.values():
                failure.times = 0
            self._wait_for(lambda: self._has_only(failed), timeout)
            recorded = not self._pending and not self._working_on
            self._closing = True
            self._abandoned = not recorded
            self._changed.notify_all()
        if recorded and self._thread is not None:
            self._thread.join()
        return recorded

    def _wait_for(self, done: Callable[[], bool], timeout: float) -> bool:
        """Have everything tried at once until it is done; called and returning with the lock held."""
        self._waiters += 1
        self._changed.notify_all()
        try:
            return self._changed.wait_for(done, timeout)
        finally:
            self._waiters -= 1

    def _has_only(self, failed: set[str]) -> bool:
        """Whether nothing is left but what has failed before, and again since."""
        left = self._pending.keys() - {each for each in failed if each in self._failed and self._failed[each].times}
        return not left and not self._working_on

    def _work(self) -> None:
        started = -float("inf")
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._pending or self._closing)
                self._rest(started)
                if self._closing and (self._abandoned or not self._pending):
                    return
                now = time.monotonic()
                everything = self._waiters or self._closing
                due = [each for each in self._pending if everything or self._due(each, started) <= now]
                due.sort(key=lambda each: each not in self._awaited)
            started = time.monotonic()
            for sweep_id in due:
                with self._changed:
                    if self._abandoned or (sweep_id not in self._awaited and self._another_is_awaited()):
                        break  # it stays pending
                    del self._pending[sweep_id]
                    self._working_on = {sweep_id}
                error = self._record(sweep_id)
                with self._changed:
                    failure = self._failed.pop(sweep_id, _Failure())
                    if error is not None:
                        self._pending[sweep_id] = None
                        self._failed[sweep_id] = self._failed_again(failure, error)
                    self._working_on = set()
                    self._changed.notify_all()

    def _another_is_awaited(self) -> bool:
        """Whether somebody waits for a sweep that has not been tried since; called with the lock held."""
        return any(not self._failed.get(each, _Failure()).times for each in self._awaited & self._pending.keys())

    def _record(self, sweep_id: str) -> str | None:
        """Bring MLflow up to the store for one sweep; why that failed, None where it did not."""
        try:
            self.projection.sync_sweep(sweep_id)
        except Exception as problem:  # whatever it is, the sweep goes on; the record is tried again
            said = without_password_of(self._uri, str(problem))  # MLflow quotes the whole address
            return f"{type(problem).__name__} from MLflow at {self._address}: {said}"
        return None

    def _due(self, sweep_id: str, started: float) -> float:
        failure = self._failed.get(sweep_id)
        return failure.retry_at if failure is not None and failure.times else started + self._interval

    def _failed_again(self, failure: _Failure, error: str) -> _Failure:
        wait = min(self._first_retry * 2 ** min(failure.times, 30), self._longest_retry)
        return _Failure(error, failure.times + 1, time.monotonic() + wait)

    def _rest(self, started: float) -> None:
        """Wait for the next pass to be due; called and returning with the lock held."""
        due_for_waiters = time.monotonic() + self._first_retry
        while not self._closing:
            if self._waiters and not any(failure.times for failure in self._failed.values()):
                return  # nobody who waits has seen a failure yet
            if self._another_is_awaited():
                return  # what fails is none of its business
            due = min(self._due(sweep_id, started) for sweep_id in self._pending)
            wait = (min(due, due_for_waiters) if self._waiters else due) - time.monotonic()
            if wait <= 0:
                return
            self._changed.wait(wait)
