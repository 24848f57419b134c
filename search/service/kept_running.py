"""Processes that a server keeps running: started again when they die, ended with it."""

from __future__ import annotations

import asyncio
import logging
import re
import signal
import time
from collections.abc import Mapping
from collections.abc import Sequence
from contextlib import suppress

from search.service.fate_sharing import sharing_fate

_log = logging.getLogger(__name__)

_LONGEST_REST = 30.0
_LONGEST_END = 5.0
# A process that has run for so long was not started in vain.
_LONG_ENOUGH = 60.0
# A line without an end would fill the memory.
_LONGEST_LINE = 2**16
# A library's own moment and level; there is none before a traceback's lines, for one.
_LINE = re.compile(r"(?:(?:[\d/:.-]+ )*(?P<level>DEBUG|INFO|WARNING|ERROR|CRITICAL):? )?(?P<text>.*)", re.DOTALL)


class KeptRunning:
    """A process that is kept running.

    Args:
        name: What it is, for the log.
        command: Its command line.
        environment: The whole environment to run it in; None for this process's own.
        relayed: Whether its output is written as lines of this process's log; otherwise it writes where we do.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        environment: Mapping[str, str] | None = None,
        *,
        relayed: bool = False,
    ) -> None:
        self._name, self._command, self._environment, self._relayed = name, command, environment, relayed
        self._process: asyncio.subprocess.Process | None = None
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Start it, and start it again whenever it ends; from the main thread, in its running loop."""
        self._task = asyncio.create_task(self._keep_running())

    async def stop(self, patience: float) -> None:
        """End it with SIGTERM, or with SIGKILL if it takes longer than ``patience`` seconds."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
        if self._process is None:
            return
        if self._process.returncode is None:
            self._process.send_signal(signal.SIGTERM)
        try:
            await asyncio.wait_for(self._process.wait(), patience)
        except TimeoutError:
            _log.warning("%s did not end within %.0f s and is killed", self._name, patience)
            self.kill()
            with suppress(TimeoutError):  # its output may be held open by who it has started
                await asyncio.wait_for(self._process.wait(), _LONGEST_END)

    def kill(self) -> None:
        """End it with SIGKILL."""
        if self._process is not None and self._process.returncode is None:
            self._process.kill()

    async def _keep_running(self) -> None:
        times = 0
        while True:
            began = time.monotonic()
            status = await self._run()
            if time.monotonic() - began >= _LONG_ENOUGH:
                times = 0
            rest = min(2.0**times, _LONGEST_REST)
            times += 1
            how = signal.Signals(-status).name if status < 0 else f"exit status {status}"
            _log.error("%s ended: %s", self._name, how, extra={"started_again_in_seconds": rest})
            await asyncio.sleep(rest)

    async def _run(self) -> int:
        # In a group of its own: Ctrl-C is for this process, which then ends the others in order.
        self._process = process = await asyncio.create_subprocess_exec(
            *sharing_fate(self._command),
            env=self._environment,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE if self._relayed else None,
            stderr=asyncio.subprocess.STDOUT if self._relayed else None,
            limit=_LONGEST_LINE,
            process_group=0,
        )
        if process.stdout is not None:
            await self._relay(process.stdout)
        return await process.wait()

    async def _relay(self, output: asyncio.StreamReader) -> None:
        log = logging.getLogger(self._name)
        log.setLevel(logging.INFO)
        while True:
            try:
                line = await output.readuntil()
            except asyncio.IncompleteReadError as error:
                line = error.partial
            except asyncio.LimitOverrunError as error:
                line = await output.readexactly(error.consumed)
            if not line:
                return
            found = _LINE.fullmatch(line.decode(errors="replace").strip())
            if found is not None and found["text"]:
                # As of our own processes: what a library only informs of is not repeated.
                level = logging.getLevelNamesMapping().get(found["level"] or "", logging.INFO)
                if not (found["level"] and level <= logging.INFO):
                    log.log(level, "%s", found["text"])
