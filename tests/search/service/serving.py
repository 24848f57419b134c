"""Servers as they really run: an ASGI application under uvicorn, and MLflow as a process behind a gateway."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import uvicorn
from driver_process import eventually
from mlflow_tables import give_tables
from starlette.types import ASGIApp

from search.tracking.interface import gated_command


@contextmanager
def served(app: ASGIApp, log_level: str = "info") -> Iterator[str]:
    """Serve an application on a free loopback port and give its address."""
    listening = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(app, log_config=None, log_level=log_level, timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    try:
        eventually(lambda: server.started or not thread.is_alive())
        assert server.started
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()


class GatedMlflow:
    """A real MLflow server process on a socket of its own.

    Args:
        folder: For its database, artifacts and output.
    """

    def __init__(self, folder: Path) -> None:
        self.output = folder / "mlflow.log"
        # pytest's own temporary folders are too deep for the address of a socket.
        self._socket_folder = tempfile.TemporaryDirectory(prefix="emphasis-mlflow-")
        self._socket = Path(self._socket_folder.name) / "socket"
        self.address = f"unix:{self._socket}"
        give_tables(folder / "mlflow.db")
        command, environment = gated_command(f"sqlite:///{folder / 'mlflow.db'}", folder / "artifacts", self.address)
        self._process = subprocess.Popen(
            command,
            env=environment,
            cwd=folder,
            stdout=self.output.open("w"),
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def wait(self) -> None:
        """Return once it answers."""
        eventually(self._answers)

    def _answers(self) -> bool:
        assert self._process.poll() is None, self.output.read_text()
        with httpx.Client(transport=httpx.HTTPTransport(uds=str(self._socket)), timeout=60) as client:
            try:
                return client.get("http://localhost/health").text == "OK"
            except httpx.TransportError:
                return False

    def kill(self) -> None:
        """End it and what it started."""
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        self._socket_folder.cleanup()
