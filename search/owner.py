"""Who runs a sweep: a name that tells a living process from a dead one, even where its pid was reused."""

from __future__ import annotations

import hashlib
import os
import socket
from collections.abc import Iterable
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path

import psutil

from search.store.processes import SILENT_SECONDS
from search.store.processes import Processes
from search.store.records import ProcessKind
from search.store.records import ProcessRecord
from search.store.records import SweepRecord
from search.store.records import SweepState
from search.store.records import utc_now
from search.store.states import once_stopped

# No pid is given out twice within this many seconds.
_SAME_START_SECONDS = 2.0


def this_process() -> str:
    """Name the present process as an owner: ``host:pid:createtime:machine:uptime``.

    The time is in seconds since 1970; the machine tells apart what may bear one host name; the uptime, which a clock
    that is set right does not move, is the machine's as the process began.
    """
    booted = psutil.boot_time()  # asked first: older releases of psutil count a start from when they were last asked
    found = psutil.Process()
    created = found.create_time()
    return f"{socket.gethostname()}:{found.pid}:{created:.2f}:{_machine()}:{created - booted:.2f}"


def is_alive(owner: str, heartbeat_at: datetime) -> bool:
    """Whether an owner still lives.

    On this machine the process table decides; a process of another one lives while its heartbeat is fresh.
    A name that was not made by `this_process` is judged by its heartbeat too.

    Args:
        owner: As `this_process` named it.
        heartbeat_at: When it last said that it lives (UTC).
    """
    process = _parse(owner)
    if process is None or not process.is_here:
        return (utc_now() - heartbeat_at).total_seconds() <= SILENT_SECONDS
    try:
        booted = psutil.boot_time()  # asked first, as above
        found = psutil.Process(process.pid)
        return process.began_as(found, booted) and found.status() != psutil.STATUS_ZOMBIE  # a zombie's work is over
    except psutil.NoSuchProcess:
        return False


def living(processes: Processes, kind: ProcessKind | None = None) -> list[ProcessRecord]:
    """The workers and servers of a store that live, oldest first.

    Args:
        processes: Of the store.
        kind: Only these.
    """
    return [each for each in processes.heard_from(kind) if is_alive(each.name, each.heartbeat_at)]


def is_elsewhere(owner: str) -> bool:
    """Whether an owner is of another machine, where it may be asleep for all that can be told here.

    Args:
        owner: As `this_process` named it.
    """
    process = _parse(owner)
    if process is None or process.is_here:
        return process is None
    was_here = process.host == socket.gethostname() and process.created < psutil.boot_time()
    return not was_here  # before this machine was booted anew


def state_now(sweep: SweepRecord) -> SweepState:
    """The state of a sweep as it is: one whose owner died without a word does not run."""
    if sweep.owner is None:
        return once_stopped(sweep.state, sweep.attended)
    if sweep.lease_expires_at is not None:
        alive = sweep.lease_expires_at >= utc_now() and is_alive(sweep.owner, utc_now())
    else:
        alive = is_alive(sweep.owner, sweep.heartbeat_at or sweep.created_at)
    return sweep.state if alive else once_stopped(sweep.state, sweep.attended)


def counts_now(counts: Mapping[SweepState, int], running: Iterable[SweepRecord]) -> dict[SweepState, int]:
    """How many sweeps are in each state as it is.

    Args:
        counts: By state on record.
        running: All that are on record as one of `search.store.states.RUNNING_STATES`.
    """
    found = dict(counts)
    for sweep in running:
        found[sweep.state] = max(0, found[sweep.state] - 1)
        found[state_now(sweep)] += 1
    return found


@dataclass(frozen=True, slots=True)
class _Process:
    host: str
    pid: int
    created: float
    machine: str | None = None  # earlier releases did not name it
    uptime: float | None = None  # nor this

    def began_as(self, found: psutil.Process, booted: float) -> bool:
        """Whether a process of this pid is the same, not one that got its pid later."""
        created = found.create_time()
        # Linux counts a start from the boot, whose time moves when the clock is set; other systems note the time.
        starts = [created - self.created]
        if self.uptime is not None:
            starts.append(created - booted - self.uptime)
        return any(abs(apart) <= _SAME_START_SECONDS for apart in starts)

    @property
    def is_here(self) -> bool:
        return self.host == socket.gethostname() and self.machine in (None, _machine())


@cache
def _machine() -> str:
    """What gives out pids: this machine since it was booted, and the container on it."""
    try:
        seen = Path("/proc/sys/kernel/random/boot_id").read_text() + os.readlink("/proc/self/ns/pid")
    except OSError:  # not Linux: the host name has to do
        seen = ""
    return hashlib.sha256(seen.encode()).hexdigest()[:8]


def _parse(owner: str) -> _Process | None:
    parts = owner.split(":")
    if not 3 <= len(parts) <= 5:
        return None
    host, pid, created, *_ = parts
    machine, uptime = (*parts[3:], None, None)[:2]
    try:
        return _Process(host, int(pid), float(created), machine, None if uptime is None else float(uptime))
    except ValueError:
        return None
