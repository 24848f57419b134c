"""What the autoscaler of a Ray cluster may bring, as far as Ray or a file of this machine tells."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psutil
import yaml

from search.cluster_resources import Nodes

_UNBOUNDED = 1_000_000


def nodes_it_may_have(gcs_address: str) -> tuple[Nodes, ...]:
    """The nodes that a cluster may have once its autoscaler has brought all it can; empty where nothing tells.

    An autoscaler may tell Ray its node groups. Ray's own does not: it is started with a file that names its node
    types, on the head's machine. That of KubeRay has neither, and `--may-grow-to` is how it is told.

    Args:
        gcs_address: ``host:port`` of the cluster that this process is connected to.
    """
    return _told_to_ray() or _configured(gcs_address)


def _told_to_ray() -> tuple[Nodes, ...]:
    from ray._private.state import state

    config = state.get_cluster_config()
    groups = config.node_group_configs if config is not None else ()
    return tuple(
        # Below 0: as many as are asked for.
        Nodes(
            float(group.resources.get("CPU", 0)),
            float(group.resources.get("GPU", 0)),
            group.max_count if group.max_count >= 0 else _UNBOUNDED,
        )
        for group in groups
    )


def _configured(gcs_address: str) -> tuple[Nodes, ...]:
    file = _file_of_autoscaler(gcs_address)
    if file is None:
        return ()
    try:
        return _node_types(yaml.safe_load(file.read_text()))
    except (OSError, LookupError, ValueError, TypeError, AttributeError, yaml.YAMLError):
        return ()  # another's file, or of another form than Ray's is today


def _file_of_autoscaler(gcs_address: str) -> Path | None:
    """The file that the cluster's autoscaler was started with, if it runs on this machine."""
    for process in psutil.process_iter(["cmdline"]):
        words = process.info["cmdline"] or ()
        arguments = dict(word.split("=", 1) for word in words if word.startswith("--") and "=" in word)
        if arguments.get("--gcs-address") == gcs_address and "--autoscaling-config" in arguments:
            return Path(arguments["--autoscaling-config"]).expanduser()
    return None


def _node_types(config: Mapping[str, Any]) -> tuple[Nodes, ...]:
    most = int(config["max_workers"])
    nodes = []
    for name, kind in config["available_node_types"].items():
        is_head = name == config["head_node_type"]
        count = min(most, int(kind.get("max_workers", 0 if is_head else most))) + is_head
        resources = kind["resources"]
        nodes.append(Nodes(float(resources.get("CPU", 0)), float(resources.get("GPU", 0)), count))
    return tuple(nodes)
