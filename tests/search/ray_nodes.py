"""A Ray cluster of several nodes on this machine, in a process of its own, whose nodes tests add and remove."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any
from typing import Self

from driver_process import LONGEST_WAIT

# Ray's own `AutoscalingCluster` would do, but for its `ray stop --force`, which ends every Ray on the machine, and for
# its configuration, which is not part of the package.
_SCRIPT = """
import json, psutil, sys
from ray.cluster_utils import Cluster

def add(**node):
    others = set(psutil.Process().children())
    for attempt in range(4):
        try:
            return cluster.add_node(**node)
        except Exception:  # Ray gives a node 30 s to start, fixed in its code: too few on a busy machine
            for process in set(psutil.Process().children()) - others:
                process.kill()
    raise SystemExit("no node of Ray started in time")

cluster, nodes = Cluster(), []
nodes.append(add(**json.loads(sys.argv[1])))
print(cluster.address, flush=True)
for line in sys.stdin:
    if line.startswith("{"):
        nodes.append(add(**json.loads(line)))
    else:
        verb, node = line.split()
        cluster.remove_node(nodes[int(node)], allow_graceful=verb == "remove")
    print(len(nodes) - 1, flush=True)
# The autoscaler's nodes would outlive it.
left = psutil.Process().children(recursive=True)
cluster.shutdown()
for process in left:
    if process.is_running():
        process.kill()
"""

_COMMANDS = ("cluster_synced_files", "rsync_exclude", "rsync_filter", "initialization_commands", "setup_commands")
_COMMANDS = (*_COMMANDS, "head_setup_commands", "worker_setup_commands")
_COMMANDS = (*_COMMANDS, "head_start_ray_commands", "worker_start_ray_commands")


class RayNodes:
    """A Ray cluster; it begins with a head that has no resources.

    Args:
        autoscaled: How many nodes of one CPU its autoscaler may bring; 0 for a cluster without one.
        environment: Variables of its processes on top of the present ones.
    """

    def __init__(self, autoscaled: int = 0, environment: Mapping[str, str] | None = None) -> None:
        # Short, as its sockets lie there.
        self._folder = Path(tempfile.mkdtemp(prefix="ray-"))
        head: dict[str, Any] = {"num_cpus": 0, "include_dashboard": False}
        if autoscaled:
            head["gcs_server_port"] = _free_port()
            head["autoscaling_config"] = str(self._autoscaling(autoscaled, head["gcs_server_port"]))
        self._process = subprocess.Popen(
            [sys.executable, "-c", _SCRIPT, json.dumps(head)],
            env={
                **os.environ,
                "RAY_TMPDIR": str(self._folder),
                "RAY_USAGE_STATS_ENABLED": "0",
                "RAY_FAKE_CLUSTER": "1",
                "AUTOSCALER_UPDATE_INTERVAL_S": "1",
                **(environment or {}),
            },
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self.address = self._answer()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.communicate(timeout=LONGEST_WAIT)
        shutil.rmtree(self._folder, ignore_errors=True)

    def add(self, cpus: int, gpus: int = 0) -> int:
        """Add a node; its number."""
        return int(self._ask(json.dumps({"num_cpus": cpus, "num_gpus": gpus})))

    def remove(self, node: int) -> None:
        """Take a node away, as an autoscaler or its owner does: Ray is told."""
        self._ask(f"remove {node}")

    def kill(self, node: int) -> None:
        """End all processes of a node at once, as when its machine is switched off: Ray notices seconds later."""
        self._ask(f"kill {node}")

    def _ask(self, line: str) -> str:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{line}\n")
        self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> str:
        assert self._process.stdout is not None
        answer = self._process.stdout.readline().strip()
        assert answer, "the Ray cluster did not start"
        return answer

    def _autoscaling(self, autoscaled: int, port: int) -> Path:
        import ray

        file = self._folder / "autoscaling.json"
        config = {
            "cluster_name": "tests",
            "max_workers": 8,
            "provider": {
                "type": "fake_multinode",
                "gcs_address": f"{ray.util.get_node_ip_address()}:{port}",
                "disable_node_updaters": True,
                "disable_launch_config_check": True,
            },
            "available_node_types": {
                "ray.head.default": {"resources": {"CPU": 0}, "node_config": {}, "max_workers": 0},
                "worker": {
                    "resources": {"CPU": 1, "object_store_memory": 150 * 2**20},
                    "node_config": {},
                    "max_workers": autoscaled,
                },
            },
            "head_node_type": "ray.head.default",
            "upscaling_speed": 1.0,
            "idle_timeout_minutes": 1,
            **{key: {} for key in ("auth", "docker", "file_mounts")},
            **{key: [] for key in _COMMANDS},
            "file_mounts_sync_continuously": False,
        }
        file.write_text(json.dumps(config))
        return file


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("", 0))
        port: int = free.getsockname()[1]
        return port
