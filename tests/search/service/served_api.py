"""The API as it is served: a real server on a port of this machine, with real tokens in a real store."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import uvicorn

from search.home import Home
from search.service.allowed_hosts import AllowedHosts
from search.service.api import create_app
from search.service.guard import Guard
from search.service.identity import Identity
from search.service.local import LocalService
from search.service.rate_limit import RateLimit
from search.service.tokens import hash_token
from search.service.tokens import new_token
from search.store import Role
from search.store import Store


@dataclass
class Served:
    """A service that listens."""

    service: LocalService
    url: str

    @property
    def store(self) -> Store:
        return self.service.store

    def token(self, name: str, role: Role = Role.SUBMITTER) -> str:
        text = new_token()
        self.store.tokens.add(name, role, hash_token(text))
        return text

    def client(self, name: str | None = None, role: Role = Role.SUBMITTER, **given: Any) -> httpx.Client:
        """Who asks: with a new token of that name, or without one."""
        headers = {"Authorization": f"Bearer {self.token(name, role)}"} if name else {}
        return httpx.Client(base_url=self.url, headers=headers, timeout=60, **given)


@contextmanager
def served(
    store: Store,
    folder: Path,
    *,
    required: bool = True,
    limit: RateLimit | None = None,
    data_roots: list[Path] | None = None,
    port: int = 0,
    **given: Any,
) -> Iterator[Served]:
    service = LocalService(store, Home.resolve(folder), data_roots=data_roots)

    def find(hash: str) -> Identity | None:
        record = store.tokens.find(hash)
        return None if record is None else Identity(record.name, record.role)

    limit = limit or RateLimit(rate=10_000, burst=10_000)
    guard = Guard(find, lambda: required, AllowedHosts("127.0.0.1"), limit)
    app = create_app(service, guard, **given)
    server = uvicorn.Server(uvicorn.Config(app, port=port, log_config=None, timeout_graceful_shutdown=1))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive(), "the server did not start"
            thread.join(0.01)
        (socket,) = server.servers[0].sockets
        yield Served(service, f"http://127.0.0.1:{socket.getsockname()[1]}")
    finally:
        server.should_exit = True
        thread.join()
