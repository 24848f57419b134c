"""A living owner is told from a dead one."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta

import psutil
import pytest

from search.owner import is_alive
from search.owner import is_elsewhere
from search.owner import this_process
from search.store.processes import SILENT_SECONDS
from search.store.records import utc_now

LONG_AGO = utc_now() - timedelta(days=3)
CHILD = "from search.owner import this_process; print(this_process(), flush=True); input()"


@pytest.fixture
def child() -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Another process, waiting for a line of input, and the owner that it says it is."""
    with subprocess.Popen(
        [sys.executable, "-c", CHILD], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        yield process, process.stdout.readline().strip()
        process.kill()


def test_running_process_lives_however_old_its_heartbeat() -> None:
    assert is_alive(this_process(), LONG_AGO)


def test_another_process_lives_until_it_is_killed(child: tuple[subprocess.Popen[str], str]) -> None:
    process, owner = child
    assert is_alive(owner, LONG_AGO)
    process.kill()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert not is_alive(owner, utc_now())  # a zombie: nobody has taken its exit status yet
    process.wait()
    assert not is_alive(owner, utc_now())


def test_process_that_was_given_a_dead_ones_pid_is_not_it() -> None:
    host, pid, created, machine, uptime = this_process().split(":")
    assert not is_alive(f"{host}:{pid}:{float(created) - 3600:.2f}:{machine}", utc_now())
    assert not is_alive(f"{host}:{pid}:{float(created) - 3600:.2f}:{machine}:{float(uptime) - 3600:.2f}", utc_now())
    assert not is_alive(f"{host}:{pid}:{float(created) - 3600:.2f}", utc_now())
    # As earlier releases named it.
    assert is_alive(f"{host}:{pid}:{created}", LONG_AGO)
    assert is_alive(f"{host}:{pid}:{created}:{machine}", LONG_AGO)


def test_a_process_lives_on_when_the_clock_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    # What Linux does: a process began so many ticks after the boot, whose time is told by the clock that is set.
    began, booted = psutil.Process.create_time, psutil.boot_time
    owner = this_process()
    for step in (-3600, 3, 3600):
        monkeypatch.setattr(psutil.Process, "create_time", lambda self, step=step: began(self) + step)
        monkeypatch.setattr(psutil, "boot_time", lambda step=step: booted() + step)
        assert is_alive(owner, LONG_AGO)
        assert not is_elsewhere(owner)


def test_process_of_another_machine_of_the_same_name_is_not_looked_for_here() -> None:
    host, pid, created, *_ = this_process().split(":")
    assert not is_alive(f"{host}:{pid}:{created}:elsewher", LONG_AGO)
    assert is_alive(f"{host}:{pid}:{float(created) - 3600:.2f}:elsewher", utc_now())


def test_process_of_another_machine_lives_while_its_heartbeat_is_fresh() -> None:
    assert is_alive("elsewhere:1:2.0", utc_now())
    assert not is_alive("elsewhere:1:2.0", utc_now() - timedelta(seconds=SILENT_SECONDS + 5))


def test_process_of_this_machine_is_not_elsewhere_nor_one_of_before_it_was_booted() -> None:
    host, pid, created, *_ = this_process().split(":")
    assert not is_elsewhere(this_process())
    assert not is_elsewhere(f"{host}:{pid}:{psutil.boot_time() - 60:.2f}:elsewher")
    assert is_elsewhere(f"{host}:{pid}:{created}:elsewher")
    assert is_elsewhere("elsewhere:1:2.0")


def test_owner_of_another_form_is_judged_by_its_heartbeat() -> None:
    assert is_alive("somebody", utc_now())
    assert not is_alive("somebody", LONG_AGO)
