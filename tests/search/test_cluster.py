"""The Ray that a sweep starts for itself."""

from __future__ import annotations

import pytest
from driver_process import RayProcess
from ray._private import node
from ray._private import services

from search.cluster import _quick_start

IDLE = ("monitor.py", "log_monitor.py", "dashboard.py")


def test_ray_is_started_without_servers_that_nobody_would_ask(cluster: RayProcess) -> None:
    servers = cluster.servers()

    assert any("raylet" in server for server in servers)
    assert not [server for server in servers if server.endswith(IDLE)]


def test_ray_is_left_as_it_was_and_may_call_its_servers_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(node.Node, "start_log_monitor")
    before = node.Node.start_monitor, services.start_api_server, services.get_node

    with _quick_start():
        assert (node.Node.start_monitor, services.start_api_server, services.get_node) != before

    assert (node.Node.start_monitor, services.start_api_server, services.get_node) == before
    assert not hasattr(node.Node, "start_log_monitor")
