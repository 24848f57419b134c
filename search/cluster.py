"""Ray: starting it for one sweep or joining one that runs already, what it has, and whether it still runs."""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import threading
import time
from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Sequence
from contextlib import ExitStack
from contextlib import contextmanager
from typing import Any

import psutil

from search.cluster_resources import ClusterResources
from search.cluster_resources import Nodes
from search.errors import RayUnavailable
from search.machine import cores
from trainers.errors import FieldError
from trainers.errors import InvalidInput

# A sweep's objects are small dicts; Ray would reserve 30% of the memory.
_OBJECT_STORE_BYTES = 128 * 2**20
_logger = logging.getLogger(__name__)
_SERVERS = ("raylet", "gcs_server")
# The Ray that runs on this machine, and a new one.
_RAYS_OWN_WORDS = ("auto", "local")
# Ray gives its servers 30 s to start, fixed in its code; a machine that is busy needs longer now and then.
_MOST_STARTS = 4
_TO_CONNECT = {"RAY_raylet_client_connect_timeout_milliseconds": "50", "RAY_raylet_client_num_connect_attempts": "200"}
# A node registers in half a second where nothing else is done.
_NODE_REGISTERS_WITHIN = 5.0
_BETWEEN_LOOKS_FOR_A_NODE = 0.02
# A cluster's head may be started anew; Ray itself ends the process once it has been away for 60 s.
_PATIENCE_WITH_A_CLUSTER = 45.0


class Cluster:
    """A running Ray that this process is connected to.

    Args:
        servers: Its processes, where this process started them.
        address: ``host:port`` of its head, where another did.
        may_have: The nodes that it may have once its autoscaler has brought all it can.
    """

    def __init__(
        self,
        servers: Sequence[psutil.Process] = (),
        address: str | None = None,
        may_have: Sequence[Nodes] = (),
    ) -> None:
        self._may_have = may_have
        self._servers = {server.name(): server for server in servers}
        self._address = address
        self._answered_at = time.monotonic()

    def resources(self) -> ClusterResources:
        """What it has at this moment, and may come to have."""
        import ray

        alive = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        return ClusterResources.of(alive, self._may_have)

    def loss(self) -> str | None:
        """What of it has ended, in words; None while it runs. May be asked often, and from any thread."""
        for name, server in self._servers.items():
            if not _runs(server):
                return f"Ray ended: its process {name} ({server.pid}) was killed or crashed"
        if self._address is not None:
            if _answers(self._address):
                self._answered_at = time.monotonic()
            elif (silent := time.monotonic() - self._answered_at) >= _PATIENCE_WITH_A_CLUSTER:
                return f"the Ray cluster at {self._address} has not answered for {silent:.0f} s"
        return None


@contextmanager
def ray_cluster(
    address: str | None, meanwhile: Callable[[], object] | None = None, may_grow_to: Nodes | None = None
) -> Iterator[Cluster]:
    """A running Ray for the time of the block.

    Args:
        address: Of a cluster to join; None takes RAY_ADDRESS, and without that starts Ray on this machine and
            ends it afterwards. A Ray that this process is connected to already is used and left as it is.
        meanwhile: Done in another thread while Ray's servers start, which takes seconds of waiting.
        may_grow_to: What all nodes of a cluster that is joined may come to have together; None for what its
            autoscaler is known to bring. A Ray that is started here never grows.
    """
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_gcs_server_port_wait_time_s", "120")
    # Its processes try to connect a second after they have failed, ten times; one in three fails as Ray starts.
    if not any(name in os.environ for name in _TO_CONNECT):
        os.environ.update(_TO_CONNECT)
    # Tune starts processes of its own for trials; those that Ray would start ahead are never used.
    os.environ.setdefault("RAY_prestart_worker_first_driver", "0")
    import ray

    if ray.is_initialized():
        yield _joined(may_grow_to)
        return
    address = address or os.environ.get("RAY_ADDRESS")
    try:
        if address:
            _join_ray(address)
            yield _joined(may_grow_to)
        else:
            with _aside(meanwhile):
                servers = _start_ray()
            yield Cluster(servers)
    finally:
        ray.shutdown()


@contextmanager
def _aside(work: Callable[[], object] | None) -> Iterator[None]:
    if work is None:
        yield
        return
    thread = threading.Thread(target=work, name="emphasis-meanwhile", daemon=True)
    thread.start()
    yield
    thread.join()


def _joined(may_grow_to: Nodes | None) -> Cluster:
    import ray

    from search.autoscaler import nodes_it_may_have

    address = ray.get_runtime_context().gcs_address
    return Cluster(address=address, may_have=(may_grow_to,) if may_grow_to else nodes_it_may_have(address))


def check_ray_address(address: str | None) -> None:
    """Refuse an address that no sweep can ever run at.

    Raises:
        InvalidInput: It is one of Ray Client, or no ``host:port``.
    """
    if address is None or address in _RAYS_OWN_WORDS:
        return
    remedy = "On a machine that is a node of the cluster, give its head's host:port, e.g. 10.0.0.1:6379."
    if address.startswith("ray://"):
        raise InvalidInput(FieldError("ray_address", address, "is for Ray Client, which cannot run a sweep", remedy))
    host, port = _host_and_port(address)
    if not host or "/" in host or not 0 < port < 65536:
        raise InvalidInput(FieldError("ray_address", address, "is no host:port", remedy))


def _join_ray(address: str) -> None:
    check_ray_address(address)
    remedy = (
        "Check that the cluster runs and can be reached from here; if it asks for a token, set "
        "RAY_AUTH_MODE=token. Or leave the address out to start Ray on this machine."
    )
    unavailable = RayUnavailable(FieldError("ray_address", address, "no Ray answers there", remedy))
    # Ray itself would wait many minutes for one that is not there.
    if address not in _RAYS_OWN_WORDS and not _answers(address):
        raise unavailable
    import ray

    _quieten()
    try:
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
    except ConnectionError as error:
        raise unavailable from error


def _start_ray() -> list[psutil.Process]:
    """Start Ray on this machine; its servers."""
    import ray

    _quieten()
    others = set(psutil.Process().children())
    for attempt in range(1, _MOST_STARTS + 1):
        try:
            with _quick_start():
                ray.init(
                    # "local" starts a new one, also where another user's Ray is running on this machine
                    address="local",
                    num_cpus=cores(),
                    object_store_memory=_OBJECT_STORE_BYTES,
                    include_dashboard=False,
                    log_to_driver=False,
                    logging_level=logging.ERROR,
                )
            break
        except BaseException as error:
            _kill_all(set(psutil.Process().children()) - others)
            # Ray says with a bare Exception that its servers have not started in time.
            if attempt == _MOST_STARTS or not isinstance(error, Exception):
                raise
    started = set(psutil.Process().children()) - others
    return [process for process in started if process.name() in _SERVERS]


@contextmanager
def _quick_start() -> Iterator[None]:
    """Have `ray.init` start no server that nobody would ask, and see without delay that the others run.

    Left out are the autoscaler, the server that sends workers' logs to the driver, and the dashboard's, which is
    started even where there is to be no dashboard; they would take a second of Ray's start and another of its end.
    ``ray start`` can leave out the first two and goes on where the third fails; ``ray.init`` does not ask. Whether its
    node has registered, Ray looks once a second. A later Ray that has no such names starts as it does for others.
    """
    from ray._private import node
    from ray._private import services
    from ray._private import utils

    def no_server(*given: Any, **named: Any) -> None:
        pass

    def no_dashboard(*given: Any, **named: Any) -> tuple[None, None]:
        return None, None  # neither an address nor a process

    look = getattr(services, "get_node", None)

    def look_when_registered(*given: Any, **named: Any) -> Any:
        # In vain, it leaves it to Ray to wait on and to say why.
        with contextlib.suppress(Exception):
            _wait_until_registered(*given, **named)
        return look(*given, **named)  # type: ignore[misc]

    instead = [
        (node.Node, "start_monitor", no_server),
        (node.Node, "start_log_monitor", no_server),
        (services, "get_node", look_when_registered),
    ]
    # Agents that have all that a dashboard needs would ask for it every second.
    if getattr(utils, "get_dashboard_dependency_error", lambda: None)() is not None:
        instead.append((services, "start_api_server", no_dashboard))
    with ExitStack() as replaced:
        for holder, name, other in instead:
            if original := getattr(holder, name, None):
                setattr(holder, name, other)
                replaced.callback(setattr, holder, name, original)
        yield


def _wait_until_registered(gcs_address: str, node_id: str) -> None:
    from ray import _raylet

    nodes = _raylet.GcsClient(address=gcs_address)  # type: ignore[attr-defined]
    for _ in range(round(_NODE_REGISTERS_WITHIN / _BETWEEN_LOOKS_FOR_A_NODE)):
        if any(found.hex() == node_id for found in nodes.get_all_node_info(timeout=1)):
            return
        time.sleep(_BETWEEN_LOOKS_FOR_A_NODE)


def _quieten() -> None:
    # Of processes and nodes that end Ray prints pages, whatever log_to_driver says; what matters of it a sweep says.
    from ray._private import worker

    worker.print_to_stdstream = lambda data, **options: _logger.debug("Ray: %s", "\n".join(data["lines"]))


def _kill_all(parents: set[psutil.Process]) -> None:
    for parent in parents:
        with contextlib.suppress(psutil.NoSuchProcess):
            for process in [*parent.children(recursive=True), parent]:
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()


def _runs(process: psutil.Process) -> bool:
    try:
        # Nobody collects the exit status of Ray's servers, so a dead one stays behind as a zombie.
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _answers(address: str) -> bool:
    try:
        with socket.create_connection(_host_and_port(address), timeout=2.0):
            return True
    except OSError:
        return False


def _host_and_port(address: str) -> tuple[str, int]:
    """The two parts of ``host:port``; the port 0 where it names none."""
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port) if port.isascii() and port.isdigit() else 0
