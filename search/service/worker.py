"""A worker: takes queued sweeps from the store and runs each in a process of its own.

The worker itself holds no lease and no Ray. What a sweep's process cannot say when it dies, the store knows from its
owner's name and lease, and whichever worker looks next puts the sweep back into the queue.
"""

from __future__ import annotations

import importlib.metadata
import logging
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from types import FrameType
from typing import Any

from search.cluster_resources import ClusterResources
from search.cluster_resources import Nodes
from search.errors import StoreUnavailable
from search.home import Home
from search.machine import cores
from search.machine import this_machine
from search.owner import is_alive
from search.owner import is_elsewhere
from search.owner import living
from search.owner import this_process
from search.parent_summary import summarise
from search.service.cluster_probe import ClusterProbe
from search.service.fate_sharing import sharing_fate
from search.service.logs import LogFormat
from search.service.sweep_process import Ending
from search.service.sweep_process import sweep_command
from search.store import ProcessKind
from search.store import ProcessRecord
from search.store import Store
from search.store import SweepRecord
from search.tracking import Recorder
from trainers.errors import FieldError

_log = logging.getLogger(__name__)

# Signals and the ends of sweeps' processes are looked for this often; the store is asked less often.
_TICK = 0.2
_SECONDS_BETWEEN_SIGNS_OF_LIFE = 5.0
_SECONDS_BETWEEN_RECORDINGS = 10.0
# The process that ran a sweep goes on recording it for a while after it has let go of it.
_QUIET_SECONDS = 10.0
# Torch and Ray are imported before a sweep's process can claim it; meanwhile other workers leave it to this one.
_LONGEST_START = 120.0
_LONGEST_REST = 60.0
# To leave Ray takes seconds, and a last word to MLflow ten at most.
_LONGEST_STOP = 60.0


@dataclass(frozen=True, slots=True)
class WorkerSettings:
    """What a worker may do, and where.

    Args:
        home: Where sweeps are recorded.
        max_sweeps: Sweeps that it runs at once, >= 1.
        max_trials: Trials that it runs at once, over all its sweeps; None for as many as there is room for.
        lease_seconds: How long a sweep's process may be silent before another worker takes the sweep over.
        ray_address: Of the Ray cluster that its sweeps run on; None starts a Ray on this machine for each.
        may_grow_to: As for `search.cluster.ray_cluster`.
        log_format: How lines of the log are written.
        poll_seconds: How often it looks for a queued sweep while it could run one.
    """

    home: Home
    max_sweeps: int = 1
    max_trials: int | None = None
    lease_seconds: float = 60.0
    ray_address: str | None = None
    may_grow_to: Nodes | None = None
    log_format: LogFormat = LogFormat.TEXT
    poll_seconds: float = 1.0

    @property
    def trials_of_a_sweep(self) -> int | None:
        """Trials at once of each sweep; None for as many as there is room for."""
        if self.max_trials is not None:
            return max(1, self.max_trials // self.max_sweeps)
        if self.ray_address is None and self.max_sweeps > 1:
            # Each sweep's own Ray believes that it has the whole machine.
            return max(1, cores() // self.max_sweeps)
        return None


class Worker:
    """Runs queued sweeps of one store until it is told to stop.

    Args:
        settings: What it may do.
    """

    def __init__(self, settings: WorkerSettings) -> None:
        self._settings = settings
        self._name = this_process()
        self._running: dict[str, _Running] = {}  # by sweep
        self._cluster: ClusterProbe | None = None
        if settings.ray_address is not None:
            self._cluster = ClusterProbe(settings.ray_address, settings.may_grow_to)
        self._resources = this_machine() if self._cluster is None else None
        self._cannot_run: set[str] = set()  # with the resources there are
        self._cannot_read: set[str] = set()
        self._signals = 0
        self._clock = _Clock()
        self._store_rest, self._sweep_rest = _Rest(), _Rest()
        self._recording_error: str | None = None

    def run(self) -> None:
        """Work until SIGTERM or SIGINT; sweeps that run then go back to the queue. A second signal kills them.

        A store that does not answer is asked again for ever. To be called from the main thread.

        Raises:
            InvalidInput: The store's address cannot be used.
        """
        with self._listening():
            store = self._open_store()
            if store is not None:
                with store:
                    self._work(store)

    def _open_store(self) -> Store | None:
        while not self._signals:
            if self._store_rest.is_over():
                try:
                    return Store.open(self._settings.home.store_url)
                except StoreUnavailable as error:
                    _log.warning("%s", error, extra={"next_try_seconds": self._store_rest.begin()})
            time.sleep(_TICK)
        return None

    def _work(self, store: Store) -> None:
        recorder = self._recorder(store)
        settings, resources = self._settings, self._resources
        about = {"store": store.location, "sweeps_at_once": settings.max_sweeps, "trials_at_once": settings.max_trials}
        on = f"the Ray cluster at {settings.ray_address}" if resources is None else str(resources)
        _log.info("worker started on %s", on, extra=about)
        while not self._signals:
            if self._store_rest.is_over():
                try:
                    self._look(store, recorder)
                    self._store_rest.forget()
                except StoreUnavailable as error:
                    _log.warning("%s", error, extra={"next_try_seconds": self._store_rest.begin()})
                except Exception:  # whatever it is, the sweeps that run go on, and may be alone with it
                    _log.exception("unforeseen", extra={"next_try_seconds": self._store_rest.begin()})
            time.sleep(_TICK)
        _log.info("worker stops", extra={"sweeps": list(self._running)})
        self._stop_sweeps()
        with suppress(StoreUnavailable):
            store.processes.forget(self._name)
        recorder.close(_TICK)  # another worker goes on with what is left
        _log.info("worker stopped")

    def _look(self, store: Store, recorder: Recorder) -> None:
        has_ended = self._reap()
        if self._cluster is not None and self._cluster.look():
            self._resources = self._cluster.resources
            self._cannot_run.clear()
            self._say(store)
        if self._clock.is_time("life", _SECONDS_BETWEEN_SIGNS_OF_LIFE) or has_ended:
            self._say(store)
            for lost in store.release_lost(is_alive, may_sleep=is_elsewhere):
                _log.warning("%s: %s", lost.state, lost.message, extra={"sweep": lost.id})
        if self._clock.is_time("record", _SECONDS_BETWEEN_RECORDINGS):
            self._record(store, recorder)
        if self._clock.is_time("queue", self._settings.poll_seconds) or has_ended:
            self._take_sweeps(store)

    def _say(self, store: Store) -> None:
        store.processes.say(self._name, ProcessKind.WORKER, self._facts())

    def _facts(self) -> dict[str, Any]:
        settings = self._settings
        return {
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "version": importlib.metadata.version("emphasis"),
            "max_sweeps": settings.max_sweeps,
            "max_trials": settings.max_trials,
            "lease_seconds": settings.lease_seconds,
            "resources": self._resources.to_json() if self._resources is not None else None,
            "sweeps": list(self._running),
            # With the number of its last lease: once it has another, it is no longer starting.
            "starting": {each.sweep.id: each.sweep.fence for each in self._running.values() if each.is_new()},
        }

    # Sweeps

    def _take_sweeps(self, store: Store) -> None:
        while self._resources and len(self._running) < self._settings.max_sweeps and self._sweep_rest.is_over():
            sweep = self._next(store, self._resources)
            if sweep is None:
                return
            self._start(sweep)
            self._say(store)

    def _next(self, store: Store, resources: ClusterResources) -> SweepRecord | None:
        """The sweep to run next: the first that waits, fits this worker, and that no other is just starting."""
        taken = set(self._running)
        others: list[ProcessRecord] | None = None
        while (sweep := store.queue.next(self._cannot_run | self._cannot_read | taken)) is not None:
            others = living(store.processes, ProcessKind.WORKER) if others is None else others
            if any(other.facts.get("starting", {}).get(sweep.id) == sweep.fence for other in others):
                taken.add(sweep.id)
            elif errors := _too_large(sweep, resources):
                self._cannot_run.add(sweep.id)
                _log.info("left to other workers: %s", "; ".join(map(str, errors)), extra={"sweep": sweep.id})
            else:
                return sweep
        return None

    def _start(self, sweep: SweepRecord) -> None:
        settings = self._settings
        command = sweep_command(
            sweep.id,
            home=settings.home,
            lease_seconds=settings.lease_seconds,
            max_trials=settings.trials_of_a_sweep,
            ray_address=settings.ray_address,
            may_grow_to=settings.may_grow_to,
            log_format=settings.log_format,
        )
        # In a group of its own: Ctrl-C is for the worker, which then stops its sweeps in order.
        process = subprocess.Popen(sharing_fate(command), stdin=subprocess.DEVNULL, process_group=0)
        self._running[sweep.id] = _Running(sweep, process, time.monotonic())
        _log.info("taking up, submitted by %s", sweep.submitter, extra={"sweep": sweep.id, "child": process.pid})

    def _reap(self) -> bool:
        """Look which sweeps' processes have ended; whether any has."""
        has_ended = False
        for running in list(self._running.values()):
            status = running.process.poll()
            if status is None:
                continue
            has_ended = True
            del self._running[running.sweep.id]
            about: dict[str, Any] = {"sweep": running.sweep.id, "child": running.process.pid}
            if status == -signal.SIGTERM and self._signals:
                _log.info("stopped while it was starting", extra=about)
            elif status not in list(Ending):
                how = signal.Signals(-status).name if status < 0 else f"exit status {status}"
                about["next_sweep_seconds"] = self._sweep_rest.begin()
                _log.error("its process died: %s", how, extra=about)
            elif status == Ending.INTERRUPTED:
                # Ray or the store may be away: the sweep is not taken up at once only to be put back again.
                self._sweep_rest.begin()
                _log.info("%s", Ending(status).name.lower(), extra=about)
            else:
                if status == Ending.LEFT_TO_OTHERS:
                    self._cannot_read.add(running.sweep.id)
                self._sweep_rest.forget()
                _log.info("%s", Ending(status).name.lower().replace("_", " "), extra=about)
        return has_ended

    def _stop_sweeps(self) -> None:
        """Have the running sweeps go back to the queue; kill what takes too long, or at a second signal."""
        for running in self._running.values():
            running.process.terminate()
        deadline = time.monotonic() + _LONGEST_STOP
        while self._running:
            if self._signals > 1 or time.monotonic() > deadline:
                for running in self._running.values():
                    running.process.kill()
                    running.process.wait()
            self._reap()
            time.sleep(_TICK)

    # MLflow

    def _recorder(self, store: Store) -> Recorder:
        home = self._settings.home
        summary = partial(summarise, store, home)
        return Recorder(store, home.tracking_uri, artifact_root=home.artifact_root, summarise=summary)

    def _record(self, store: Store, recorder: Recorder) -> None:
        """Have MLflow told of sweeps that no process records; by one worker, since one is enough."""
        workers = living(store.processes, ProcessKind.WORKER)
        if workers and workers[0].name == self._name:
            recorder.catch_up(_QUIET_SECONDS)
        error = recorder.last_error
        if error and error != self._recording_error:
            _log.warning("sweeps go on, their record is completed later: %s", error)
        self._recording_error = error

    # Signals

    @contextmanager
    def _listening(self) -> Iterator[None]:
        before = {
            number: signal.signal(number, self._on_signal)
            for number in (signal.SIGINT, signal.SIGTERM)
            if signal.getsignal(number) is not signal.SIG_IGN
        }
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self._signals += 1


@dataclass(frozen=True, slots=True)
class _Running:
    """A sweep and the process that was started for it."""

    sweep: SweepRecord
    process: subprocess.Popen[bytes]
    started_at: float

    def is_new(self) -> bool:
        return time.monotonic() - self.started_at < _LONGEST_START


class _Clock:
    """Says when something is due that is done from time to time."""

    def __init__(self) -> None:
        self._done_at: dict[str, float] = {}

    def is_time(self, what: str, seconds: float) -> bool:
        """Whether it was not done within the last seconds; it is then taken for done."""
        now = time.monotonic()
        if now - self._done_at.get(what, -seconds) < seconds:
            return False
        self._done_at[what] = now
        return True


class _Rest:
    """A pause after what went wrong, longer every time in a row."""

    def __init__(self) -> None:
        self._times = 0
        self._until = 0.0

    def begin(self) -> float:
        """Begin a pause; its length in seconds."""
        length: float = min(2.0**self._times, _LONGEST_REST)
        self._times = min(self._times + 1, 10)
        self._until = time.monotonic() + length
        return length

    def is_over(self) -> bool:
        return time.monotonic() >= self._until

    def forget(self) -> None:
        """Say that it went well."""
        self._times = 0


def _too_large(sweep: SweepRecord, resources: ClusterResources) -> tuple[FieldError, ...]:
    """Why the Ray of this worker can never run a sweep; empty where it can."""
    from search.feasibility import feasibility
    from search.spec import SweepSpec

    try:
        spec = SweepSpec.recorded(sweep.spec)
    except ValueError:  # of another version: the process that is started for it says so
        return ()
    return feasibility(spec, [resources]).errors
