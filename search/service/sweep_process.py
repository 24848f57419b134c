"""The process of one queued sweep: ``python -m search.service.sweep_process SWEEP``, started by a worker.

It claims the sweep, runs what is missing of it, and says by its exit status how that went. Whatever becomes of it,
the store is right: what it could not say itself, the next worker finds out.
"""

from __future__ import annotations

import argparse
import logging
import socket
import sys
from collections.abc import Sequence
from contextlib import suppress
from enum import IntEnum

from search.cluster_resources import Nodes
from search.cluster_resources import parse_may_grow_to
from search.collections_spared import spare_collections
from search.errors import IllegalMove
from search.errors import NotInstalledHere
from search.errors import StoreUnavailable
from search.errors import SweepBusy
from search.errors import SweepCancelled
from search.errors import SweepFailed
from search.errors import SweepInterrupted
from search.home import Home
from search.service.logs import LogFormat
from search.service.logs import SweepLog
from search.service.logs import copied_to_sweep
from search.service.logs import log_event
from search.service.logs import set_up_logging
from search.service.logs import take_over
from search.status import SweepStatus
from search.store import Store
from search.store import SweepState
from trainers.errors import EmphasisError
from trainers.errors import InvalidInput

_log = logging.getLogger("search.service.sweep_process")


class Ending(IntEnum):
    """How it went, as exit status; any other says that the process died."""

    DONE = 0
    FAILED = 10
    INTERRUPTED = 11
    PAUSED = 12
    CANCELLED = 13
    LOST_RACE = 14
    LEFT_TO_OTHERS = 15


def sweep_command(
    sweep_id: str,
    *,
    home: Home,
    lease_seconds: float,
    max_trials: int | None,
    ray_address: str | None,
    may_grow_to: Nodes | None,
    log_format: LogFormat,
) -> list[str]:
    """The command line that runs a queued sweep; see `search.orchestrator.run_queued_sweep`."""
    command = [sys.executable, "-m", "search.service.sweep_process", sweep_id, "--home", str(home.path)]
    command += ["--lease", str(lease_seconds), "--log-format", log_format]
    command += ["--trials", str(max_trials)] if max_trials is not None else []
    command += ["--ray-address", ray_address] if ray_address is not None else []
    return command + (["--may-grow-to", str(may_grow_to)] if may_grow_to is not None else [])


def main(arguments: Sequence[str] | None = None) -> Ending:
    """Run the sweep that is named."""
    parser = argparse.ArgumentParser()
    parser.add_argument("sweep")
    parser.add_argument("--home")
    parser.add_argument("--lease", type=float)
    parser.add_argument("--trials", type=int)
    parser.add_argument("--ray-address")
    parser.add_argument("--may-grow-to", type=parse_may_grow_to)
    parser.add_argument("--log-format", type=LogFormat)
    asked = parser.parse_args(arguments)
    set_up_logging(asked.log_format, sweep=asked.sweep)
    try:
        with Store.open(Home.resolve(asked.home).store_url) as store, copied_to_sweep(store, asked.sweep) as log:
            return _run(store, asked, log)
    except StoreUnavailable as error:
        _log.error("the store does not answer: %s", error)
        return Ending.INTERRUPTED


def _run(store: Store, asked: argparse.Namespace, log: SweepLog) -> Ending:
    # Ray sets up lines of its own when it is imported.
    import ray  # noqa: F401

    from search.orchestrator import run_queued_sweep

    take_over("ray")
    progress = _ProgressLog(store, asked.sweep)
    try:
        run_queued_sweep(
            asked.sweep,
            lease_seconds=asked.lease,
            max_trials=asked.trials,
            home=asked.home,
            ray_address=asked.ray_address,
            may_grow_to=asked.may_grow_to,
            on_claimed=log.write_to,
            on_status=progress.show,
            on_stuck=_say_stuck,
        )
    except SweepCancelled:
        ending = Ending.CANCELLED
    except SweepInterrupted:
        ending = Ending.INTERRUPTED
    except SweepFailed:
        ending = Ending.FAILED
    except NotInstalledHere as error:
        _log.warning("left to other workers than %s: %s", socket.gethostname(), error)
        return Ending.LEFT_TO_OTHERS
    except (SweepBusy, IllegalMove, InvalidInput) as error:
        # Another has it, or it is paused, cancelled or deleted by now.
        _log.info("not run: %s", error)
        return Ending.LOST_RACE
    else:
        ending = Ending.DONE
    with suppress(StoreUnavailable, InvalidInput):  # it may have been deleted since
        progress.show_events()  # the last of them says why
        if ending is Ending.INTERRUPTED and store.sweep(asked.sweep).state is SweepState.PAUSED:
            return Ending.PAUSED
    return ending


def _say_stuck(error: EmphasisError) -> None:
    _log.error("stopped: %s", error)


class _ProgressLog:
    """Logs what happens to the sweep: its events in the store, and what is being done in between."""

    def __init__(self, store: Store, sweep_id: str) -> None:
        self._store, self._sweep_id = store, sweep_id
        self._last = store.last_event_number(sweep_id)
        self._message = ""

    def show(self, status: SweepStatus) -> None:
        with suppress(StoreUnavailable):  # the sweep itself sees to what that means
            self.show_events()
        if status.message != self._message:
            self._message = status.message
            _log.info("%s (%d of %d trials)", status.message, status.progress.finished, status.planned)

    def show_events(self) -> None:
        for event in self._store.events(self._sweep_id, after=self._last):
            self._last = event.number
            log_event(event)


if __name__ == "__main__":
    spare_collections()
    sys.exit(main())
