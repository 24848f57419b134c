"""A sweep's driver as a real process, which tests watch and kill."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from multiprocessing import Pipe
from pathlib import Path
from types import TracebackType
from typing import Self
from typing import TypeVar

import psutil
from mlflow_tables import give_tables
from warm_process import start_emphasis

Found = TypeVar("Found")

# Ray and torch take seconds to start, and minutes where many others want the same two cores.
LONGEST_WAIT = 400.0

_REPOSITORY = Path(__file__).resolve().parents[2]


def eventually(look: Callable[[], Found | None], timeout: float = LONGEST_WAIT) -> Found:
    """What `look` returns once that is something; for what other processes do and nobody announces."""
    deadline = time.monotonic() + timeout
    pause = threading.Event()
    while True:
        found = look()
        if found:
            return found
        assert time.monotonic() < deadline, f"{look} found nothing within {timeout:.0f} s"
        pause.wait(0.05)


class DriverProcess:
    """`emphasis ARGUMENTS` in a process of its own; leaving the block leaves no process behind.

    Args:
        home: The home folder.
        arguments: Of the command.
        environment: Variables on top of the present ones.
    """

    def __init__(self, home: Path, *arguments: str, environment: dict[str, str] | None = None) -> None:
        give_tables(home / "mlflow.db")
        reader, writer = Pipe(duplex=False)
        variables = {**os.environ, "EMPHASIS_HOME": str(home), **(environment or {})}
        self._process = start_emphasis(arguments, variables, writer, _REPOSITORY)
        writer.close()
        self._output = os.fdopen(os.dup(reader.fileno()), encoding="utf-8")
        reader.close()
        self._said: list[str] = []
        self._news = threading.Condition()
        self._ended = False
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process in self.kill():
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()

    @property
    def _pid(self) -> int:
        assert self._process.pid is not None
        return self._process.pid

    @property
    def output(self) -> str:
        """What it has said so far."""
        with self._news:
            return "".join(self._said)

    def wait_for(self, text: str) -> None:
        """Wait until it has said the text."""
        with self._news:
            self._news.wait_for(lambda: self._ended or self._has_said(text), LONGEST_WAIT)
            assert self._has_said(text), f"never said {text!r}, but:\n{''.join(self._said)}"

    def wait(self) -> int:
        """Wait for its end; its exit status."""
        self._process.join(LONGEST_WAIT)
        status = self._process.exitcode
        assert status is not None, f"has not ended within {LONGEST_WAIT:.0f} s:\n{self.output}"
        self._reader.join(LONGEST_WAIT)
        return status

    def processes(self) -> list[psutil.Process]:
        """Ray's servers and workers, where this driver started them."""
        try:
            return psutil.Process(self._pid).children(recursive=True)
        except psutil.NoSuchProcess:
            return []

    def interrupt(self) -> None:
        """Ctrl-C, as a terminal sends it."""
        os.killpg(self._pid, signal.SIGINT)

    def terminate(self) -> None:
        """SIGTERM, as a scheduler or `kill` sends it."""
        self._process.terminate()

    def kill(self) -> list[psutil.Process]:
        """SIGKILL the driver, and only it; the processes that it leaves behind."""
        left = self.processes()
        self._process.kill()
        self._process.join()
        return left

    def _has_said(self, text: str) -> bool:
        return any(text in line for line in self._said)

    def _read(self) -> None:
        for line in self._output:
            with self._news:
                self._said.append(line)
                self._news.notify_all()
        with self._news:
            self._ended = True
            self._news.notify_all()


class RayProcess:
    """A Ray that runs already when sweeps join it, as on a shared installation.

    Args:
        environment: Variables on top of the present ones, for it and for the drivers that join it.
    """

    def __init__(self, environment: dict[str, str]) -> None:
        self.environment = environment
        script = (
            "import ray, sys\n"
            "ray.init(address='local', num_cpus=2, object_store_memory=2**27, include_dashboard=False)\n"
            "print('address', ray.get_runtime_context().gcs_address, flush=True)\n"
            "sys.stdin.read()\n"
            "ray.shutdown()\n"
        )
        self._process = subprocess.Popen(
            [sys.executable, "-c", script],
            cwd=_REPOSITORY,
            env={**os.environ, **environment},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        assert self._process.stdout is not None
        line = next((line for line in self._process.stdout if line.startswith("address ")), None)
        assert line is not None, "Ray did not start"
        self.address = line.split()[1]

    def stop(self) -> None:
        """End it."""
        self._process.communicate(timeout=LONGEST_WAIT)


def joining(cluster: RayProcess, **others: str) -> dict[str, str]:
    """The variables of a driver that joins a running Ray."""
    # Ray started by `ray.init` asks for the token that it has left in the user's home.
    return {"RAY_ADDRESS": cluster.address, "RAY_AUTH_MODE": "token", **cluster.environment, **others}
