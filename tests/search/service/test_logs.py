"""Lines of the log: what each says, and that a sweep's log has what its process was warned of."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from dataclasses import replace
from datetime import UTC
from datetime import datetime
from typing import Any

import pytest
from recorded_sweeps import RecordSweep

from search.service.log_lines import log_line
from search.service.logs import LogFormat
from search.service.logs import copied_to_sweep
from search.service.sweep_views import event_view
from search.store import EventRecord
from search.store import Store


def lines_of(script: str, format: LogFormat, sweep: str | None = None) -> list[str]:
    """What a process of its own logs, since setting up logs changes all of a process."""
    begin = f"from search.service.logs import *; set_up_logging(LogFormat({str(format)!r}), sweep={sweep!r})\n"
    done = subprocess.run([sys.executable, "-c", begin + script], capture_output=True, text=True)
    assert done.stdout == ""
    return done.stderr.splitlines()


def objects_of(script: str, sweep: str | None = None) -> list[dict[str, Any]]:
    return [json.loads(line) for line in lines_of(script, LogFormat.JSON, sweep)]


def test_each_line_of_a_sweeps_process_says_which_sweep_and_which_trial() -> None:
    script = (
        "import logging\n"
        "log = logging.getLogger('search.tuning')\n"
        "log.info('started', extra={'trial': 's1-0003', 'beta': 12.5, 'loss': float('nan')})\n"
        "log.debug('unheard')\n"
        "logging.getLogger('elsewhere').info('unheard')\n"
        "logging.getLogger('elsewhere').warning('%s, \"twice\"\\nin two lines', 'said')\n"
    )
    first, second = objects_of(script, sweep="s1")

    assert datetime.fromisoformat(first.pop("ts")).tzinfo is not None
    about = {"sweep": "s1", "trial": "s1-0003"}
    said = {"level": "info", "logger": "search.tuning", "message": "started"}
    assert first == {**said, **about, "beta": 12.5, "loss": None}
    assert second["sweep"] == "s1"
    assert second["message"] == 'said, "twice"\nin two lines'
    text = lines_of(script, LogFormat.TEXT, sweep="s1")
    assert text[0].endswith("  info     s1-0003  started  beta=12.5 loss=nan")
    assert text[1].endswith('  warning  s1  elsewhere: said, "twice" in two lines')


def test_no_text_can_pass_for_another_line() -> None:
    script = (
        "import logging\n"
        "try: raise ValueError('x\\n2026-01-01 00:00:00  info')\n"
        "except ValueError: logging.getLogger('search').exception('a\\nb', extra={'who': 'x\\ny'})\n"
    )
    first, *more = lines_of(script, LogFormat.TEXT)
    assert first.endswith(r'  error    a b  who="x\ny"')
    assert {line[:4] for line in more} == {" " * 4}
    assert len(lines_of(script, LogFormat.JSON)) == 1


def test_warnings_uncaught_errors_and_what_libraries_log_are_lines_too() -> None:
    script = (
        "import logging, logging.config, threading, warnings\n"
        "logger = logging.getLogger('ray')\n"
        "logger.addHandler(logging.StreamHandler())\n"
        "logger.propagate = False\n"
        "take_over('ray')\n"
        "logger.error('a node is gone')\n"
        "warnings.warn('beta is large')\n"
        "thread = threading.Thread(target=lambda: 1 / 0)\n"
        "thread.start(); thread.join()\n"
        "raise ValueError('no such file')\n"
    )
    node, warning, thread, error = objects_of(script)
    assert (node["logger"], node["message"]) == ("ray", "a node is gone")
    assert (warning["level"], "beta is large" in warning["message"]) == ("warning", True)
    assert "ZeroDivisionError" in thread["exception"]
    assert error["level"] == "critical"
    assert error["exception"].endswith("ValueError: no such file")


@pytest.mark.parametrize("format", list(LogFormat))
def test_an_event_is_read_in_the_log_of_its_process_as_in_that_of_the_sweep(format: LogFormat) -> None:
    event = EventRecord(
        sweep_id="s1",
        number=7,
        at=datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
        level="warning",
        kind="trial_finished",
        message="failed: out of memory",
        trial_id="s1-0003",
        data={"lam": 0.123456, "objective": None, "name": "named as a field of Python's logging"},
    )
    (logged,) = lines_of(f"import datetime\nfrom search.store import EventRecord\nlog_event({event!r})", format)

    if format is LogFormat.JSON:
        told = json.loads(logged)
        assert (told["sweep"], told["trial"], told["event"], told["level"]) == ("s1", "s1-0003", 7, "warning")
        assert (told["logger"], told["lam"]) == ("search.sweep.trial_finished", 0.123456)
    else:
        read = log_line(event_view(replace(event, data={"lam": 0.123456})))
        assert read.endswith("  warning  s1-0003  failed: out of memory  lambda=0.1235")
        assert logged.partition("  ")[2] == read.partition("  ")[2] + " event=7"


def test_what_a_process_warns_of_is_in_its_sweeps_log_once(store: Store, record_sweep: RecordSweep) -> None:
    record_sweep("s1")
    log = logging.getLogger("search.tuning")
    with copied_to_sweep(store, "s1"):
        for _ in range(3):
            log.warning("a node is gone", extra={"trial": "s1-0000"})
        log.info("not worth keeping")
        logging.getLogger("search.sweep.trial_released").warning("comes from there")
        log.error("out of %s", "memory")
    log.warning("too late")

    found = [(event.level, event.message, event.trial_id) for event in store.events("s1") if event.kind == "log"]
    assert found == [("warning", "a node is gone", "s1-0000"), ("error", "out of memory", None)]


def test_what_a_process_warns_of_after_it_lost_its_sweep_is_not_in_the_sweeps_log(
    store: Store, record_sweep: RecordSweep
) -> None:
    record_sweep("s1")
    lease = store.claim_sweep("s1", "here:1:1", is_alive=lambda owner, heartbeat: True).lease
    log = logging.getLogger("search")
    with copied_to_sweep(store, "s1") as sweep_log:
        sweep_log.write_to(store.fenced(lease))
        log.warning("mine")
    with copied_to_sweep(store, "s1") as sweep_log:
        sweep_log.write_to(store.fenced(lease))
        store.claim_sweep("s1", "there:2:2", is_alive=lambda owner, heartbeat: False)
        log.warning("no longer mine")
    assert [event.message for event in store.events("s1") if event.kind == "log"] == ["mine"]


def test_a_warning_in_the_middle_of_a_write_does_not_wait_for_itself(store: Store, record_sweep: RecordSweep) -> None:
    record_sweep("s1")
    store.claim_sweep("s1", "here:1:1", is_alive=lambda owner, heartbeat: True)

    def is_alive(owner: str, heartbeat: object) -> bool:
        # Called with the sweep locked.
        logging.getLogger("search").warning("%s looks dead", owner)
        return False

    with copied_to_sweep(store, "s1"):
        store.claim_sweep("s1", "here:2:2", is_alive=is_alive)
    assert "here:1:1 looks dead" in [event.message for event in store.events("s1")]
