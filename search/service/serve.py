"""`emphasis serve`: the API, the page, the door to MLflow, MLflow itself and a worker, kept running by one process."""

from __future__ import annotations

import asyncio
import importlib.metadata
import ipaddress
import logging
import os
import signal
import socket
import tempfile
import time
from collections.abc import AsyncIterator
from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Sequence
from contextlib import AsyncExitStack
from contextlib import asynccontextmanager
from contextlib import contextmanager
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import uvicorn
from starlette.types import ASGIApp

from search.errors import StoreUnavailable
from search.home import Home
from search.owner import this_process
from search.service.allowed_hosts import is_host_name
from search.service.allowed_hosts import is_loopback
from search.service.api import create_app
from search.service.asking import MlflowPages
from search.service.guard import Guard
from search.service.kept_running import KeptRunning
from search.service.local import LocalService
from search.service.login import LOGIN_PATH
from search.service.login import OPEN_REQUESTS
from search.service.login import login_routes
from search.service.mlflow_gateway import gateway
from search.service.page import page_routes
from search.service.rate_limit import RateLimit
from search.service.web_address import web_address
from search.store import ProcessKind
from search.store import Store
from search.tracking.interface import gated_command
from search.tracking.interface import is_server
from trainers.errors import FieldError
from trainers.errors import InvalidInput

_log = logging.getLogger(__name__)

_WILDCARDS = ("0.0.0.0", "::")
_SECONDS_BETWEEN_SIGNS_OF_LIFE = 10.0
_SECONDS_BETWEEN_LOOKS = 0.2
# MLflow takes seconds to start, and more where many others want the same processors.
_LONGEST_START = 120.0
# A worker's sweeps leave Ray and have a last word with MLflow, which is ended after it.
_LONGEST_STOP = 70.0
_LONGEST_ANSWER = 5
_BURST_SECONDS = 6.0
_CREDENTIAL = "MLFLOW_TRACKING_TOKEN"


@dataclass(frozen=True, slots=True)
class ServeSettings:
    """What is served, and to whom.

    Args:
        home: Where sweeps are recorded.
        host: Address to listen on.
        port: TCP port of the API and the page; 0 for any that is free.
        mlflow_port: TCP port of MLflow's pages; 0 for any that is free.
        worker: Command line of the worker to keep running; None for none.
        data_roots: Folders that submitted sweeps may name files in.
        allowed_hosts: Names of this service beside those of its addresses, e.g. in a proxy's requests.
        public_url: Where users find the API, if not at host and port.
        public_mlflow_url: Where users find MLflow's pages, if not at host and port.
        rate_limit: Requests a second that one token may make for ever.
        trusted_proxies: Addresses or networks of proxies whose word is taken for whom they ask, and whether by TLS;
            those on this machine are always trusted.
    """

    home: Home
    host: str = "127.0.0.1"
    port: int = 8080
    mlflow_port: int = 5000
    worker: Sequence[str] | None = None
    data_roots: tuple[Path, ...] = ()
    allowed_hosts: tuple[str, ...] = ()
    public_url: str | None = None
    public_mlflow_url: str | None = None
    rate_limit: float = 50.0
    trusted_proxies: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where a service answers.

    Args:
        url: The API and the page.
        mlflow_url: MLflow's pages.
        store: Where the sweeps are, without a password.
        needs_token: Whether who asks needs a token.
    """

    url: str
    mlflow_url: str
    store: str
    needs_token: bool


def serve(settings: ServeSettings, on_ready: Callable[[Addresses], None]) -> None:
    """Serve until SIGTERM or SIGINT; from the main thread. A second signal kills what still runs.

    Args:
        settings: What is served.
        on_ready: Called once everything answers.

    Raises:
        InvalidInput: The addresses, the data roots or the store cannot be used.
    """
    if errors := _errors(settings):
        raise InvalidInput(*errors)
    with _open_store(settings.home) as store:
        _refuse_unguarded(settings.host, store)
        with (
            _listening(settings.host, settings.port, "port") as api,
            _listening(settings.host, settings.mlflow_port, "mlflow_port") as pages,
        ):
            asyncio.run(_Service(settings, store, api, pages).run(on_ready))


def _is_tls(url: str | None) -> bool:
    return url is not None and urlsplit(url).scheme == "https"


class _Service:
    def __init__(self, settings: ServeSettings, store: Store, api: socket.socket, pages: socket.socket) -> None:
        self._settings, self._store = settings, store
        self._sockets = api, pages
        mlflow_port = pages.getsockname()[1]
        self.addresses = Addresses(
            url=(settings.public_url or _url(settings.host, api.getsockname()[1])).rstrip("/"),
            mlflow_url=(settings.public_mlflow_url or _url(settings.host, mlflow_port)).rstrip("/"),
            store=store.location,
            needs_token=_needs_token(settings.host, store),
        )
        self._mlflow_pages = MlflowPages(settings.public_mlflow_url, mlflow_port)
        self._guard = self._make_guard()
        self._stop, self._kill = asyncio.Event(), asyncio.Event()

    async def run(self, on_ready: Callable[[Addresses], None]) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._on_signal)
        async with AsyncExitStack() as stack:
            upstream = await stack.enter_async_context(self._mlflow())
            tls = _is_tls(self._settings.public_mlflow_url)
            door = gateway(upstream, self._guard, os.environ.get(_CREDENTIAL), tls)
            servers = [
                await stack.enter_async_context(self._serving(app, listener))
                for app, listener in zip((self._app(), door), self._sockets, strict=True)
            ]
            await stack.enter_async_context(self._registered())
            await stack.enter_async_context(self._working())
            await self._until_ready(servers, upstream)
            if not self._stop.is_set():
                on_ready(self.addresses)
            await self._stop.wait()
            _log.info("the server stops")
        _log.info("the server has stopped")

    def _on_signal(self) -> None:
        (self._kill if self._stop.is_set() else self._stop).set()

    # What is served

    def _make_guard(self) -> Guard:
        settings = self._settings
        public = [urlsplit(url).hostname for url in (settings.public_url, settings.public_mlflow_url) if url]
        names = [*settings.allowed_hosts, *(name for name in public if name)]
        limit = RateLimit(settings.rate_limit, max(1.0, _BURST_SECONDS * settings.rate_limit))
        return Guard.of_service(self._store.tokens, settings.host, names, limit)

    def _app(self) -> ASGIApp:
        settings = self._settings
        service = LocalService(
            self._store, settings.home, data_roots=settings.data_roots, mlflow_url=self.addresses.mlflow_url
        )
        return create_app(
            service,
            self._guard,
            mlflow=self._mlflow_pages,
            pages=[*page_routes(), *login_routes(self._guard, _is_tls(settings.public_url))],
            open_requests=OPEN_REQUESTS,
            login_path=LOGIN_PATH,
        )

    @asynccontextmanager
    async def _serving(self, app: ASGIApp, listener: socket.socket) -> AsyncIterator[uvicorn.Server]:
        config = uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            server_header=False,
            forwarded_allow_ips=["127.0.0.1", "::1", *self._settings.trusted_proxies],
            timeout_graceful_shutdown=_LONGEST_ANSWER,
        )
        server = _Uvicorn(config)
        task = asyncio.create_task(server.serve(sockets=[listener]))
        task.add_done_callback(lambda task: self._stop.set())  # it never ends on its own, unless it is broken
        try:
            yield server
        finally:
            server.should_exit = True
            await task

    # What runs beside it

    @asynccontextmanager
    async def _mlflow(self) -> AsyncIterator[str]:
        """MLflow's server, if that is ours to run; where the gateway finds it."""
        home = self._settings.home
        if is_server(home.tracking_uri):
            yield home.tracking_uri.rstrip("/")
            return
        # In a folder that nobody else may enter; a socket's path must be short.
        with tempfile.TemporaryDirectory(prefix="emphasis-", ignore_cleanup_errors=True) as folder:
            address = f"unix:{folder}/mlflow.sock"
            artifacts = home.artifact_root or home.path / "artifacts"
            command, environment = gated_command(home.tracking_uri, artifacts, address)
            async with self._running(KeptRunning("mlflow", command, environment, relayed=True)):
                yield address

    @asynccontextmanager
    async def _working(self) -> AsyncIterator[None]:
        if self._settings.worker is None:
            yield
            return
        async with self._running(KeptRunning("worker", self._settings.worker)):
            yield

    @asynccontextmanager
    async def _running(self, process: KeptRunning) -> AsyncIterator[None]:
        process.start()
        try:
            yield
        finally:
            killer = asyncio.create_task(self._kill.wait())
            killer.add_done_callback(lambda task: None if task.cancelled() else process.kill())
            await process.stop(_LONGEST_STOP)
            killer.cancel()

    @asynccontextmanager
    async def _registered(self) -> AsyncIterator[None]:
        """This process among those that the store knows to live."""
        name = this_process()
        facts = {
            "url": self.addresses.url,
            "mlflow_url": self.addresses.mlflow_url,
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "version": importlib.metadata.version("emphasis"),
        }

        async def say() -> None:
            while True:
                try:
                    await asyncio.to_thread(self._store.processes.say, name, ProcessKind.SERVER, facts)
                except StoreUnavailable as error:
                    _log.warning("%s", error)
                except Exception:
                    _log.exception("this server goes on saying that it lives, since it would else count as dead")
                await asyncio.sleep(_SECONDS_BETWEEN_SIGNS_OF_LIFE)

        task = asyncio.create_task(say())
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
            with suppress(StoreUnavailable):
                self._store.processes.forget(name)

    async def _until_ready(self, servers: Sequence[uvicorn.Server], upstream: str) -> None:
        deadline = time.monotonic() + _LONGEST_START
        while not self._stop.is_set():
            if all(server.started for server in servers) and await _answers(upstream):
                return
            if time.monotonic() > deadline:
                _log.warning("MLflow does not answer yet; sweeps go on without it")
                return
            await asyncio.sleep(_SECONDS_BETWEEN_LOOKS)


class _Uvicorn(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield  # they are for all of this process


async def _answers(upstream: str) -> bool:
    path = upstream.removeprefix("unix:") if upstream.startswith("unix:") else None
    transport = httpx.AsyncHTTPTransport(uds=path, trust_env=False)
    url = "http://localhost" if path is not None else upstream
    try:
        async with httpx.AsyncClient(transport=transport, trust_env=False, timeout=_LONGEST_ANSWER) as client:
            return (await client.get(f"{url}/health")).status_code < 500
    except httpx.TransportError:
        return False


@contextmanager
def _open_store(home: Home) -> Iterator[Store]:
    rest = 1.0
    while True:
        try:
            store = Store.open(home.store_url)
            break
        except StoreUnavailable as error:
            _log.warning("%s", error, extra={"next_try_seconds": rest})
            time.sleep(rest)
            rest = min(2 * rest, 30.0)
    with store:
        yield store


def _needs_token(host: str, store: Store) -> bool:
    return not is_loopback(host) or store.tokens.were_made()


def _errors(settings: ServeSettings) -> list[FieldError]:
    """What could never be served, or would silently mean nothing."""
    errors = []
    try:
        socket.getaddrinfo(settings.host, None)
    except (OSError, UnicodeError) as error:
        errors.append(_no_address(settings.host, error))
    for name, url in (("public_url", settings.public_url), ("public_mlflow_url", settings.public_mlflow_url)):
        remedy = "Give what users type, e.g. https://emphasis.example."
        found = None if url is None else web_address(url)
        if url is not None and found is None:
            errors.append(FieldError(name, url, "is no address that begins with http:// or https://", remedy))
        elif found is not None and (found.path != "/" or found.query or found.fragment):
            problem = "has more than a host and a port: pages and their links begin at /"
            errors.append(FieldError(name, url, problem, remedy))
    for host in settings.allowed_hosts:
        if not is_host_name(host):
            problem = "is not the name of a host alone, and no request would ever bear it"
            remedy = "Give the name without port, scheme or wildcard, e.g. emphasis.example; repeat it for several."
            errors.append(FieldError("allowed_host", host, problem, remedy))
    for proxy in settings.trusted_proxies:
        try:
            ipaddress.ip_network(proxy)  # strictly, as the server itself reads it
        except ValueError:
            remedy = "Give the proxy's address, or its network, e.g. 10.0.0.0/8."
            with suppress(ValueError):
                remedy = f"Give the proxy's address, or its network, e.g. {ipaddress.ip_network(proxy, strict=False)}."
            errors.append(FieldError("trusted_proxy", proxy, "is neither an IP address nor a network", remedy))
    for root in settings.data_roots:
        if not os.path.isdir(os.path.expanduser(root)):
            remedy = "Make the folder, or give one that is there, e.g. --data-root ~/data."
            errors.append(FieldError("data_root", str(root), "is no folder", remedy))
    return errors


def _no_address(host: str, error: OSError | UnicodeError) -> FieldError:
    reason = getattr(error, "strerror", None) or error
    return FieldError("host", host, f"is no address: {reason}", "Give e.g. 127.0.0.1.")


def _refuse_unguarded(host: str, store: Store) -> None:
    if not is_loopback(host) and not store.tokens.exist():
        raise InvalidInput(
            FieldError(
                "host",
                host,
                "is reached from other machines, and there is no token to keep strangers out",
                "Make one first: `emphasis token create NAME`. Or leave --host out to serve this machine alone.",
            )
        )


@contextmanager
def _listening(host: str, port: int, field: str) -> Iterator[socket.socket]:
    """A socket that listens, so that a port which is taken is known before anything is started."""
    option = f"--{field.replace('_', '-')}"
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, protocol)
    except OSError as error:
        raise InvalidInput(_no_address(host, error)) from error
    with listener:
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
            listener.listen(1024)
        except OSError as error:
            remedy = f"Give another with {option}, or end what listens there."
            raise InvalidInput(
                FieldError(field, port, f"cannot be listened on at {host}: {error.strerror}", remedy)
            ) from error
        yield listener


def _url(host: str, port: int) -> str:
    name = socket.gethostname() if host in _WILDCARDS else host
    return f"http://{f'[{name}]' if ':' in name else name}:{port}"
