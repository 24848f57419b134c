"""The Ray that a sweep starts for itself."""

from __future__ import annotations

import subprocess
import sys

import pytest
from ray._private import node
from ray._private import services
from ray._private import utils

from search.cluster import _quick_start

# Prints what the processes of a Ray that is started here run, and what a task of it gives.
PROGRAM = """
import psutil, ray
from search import cluster
def no_look(*given):
    raise ImportError("a later Ray has no such thing")
if {broken}:
    cluster._wait_until_registered = no_look
with cluster.ray_cluster(None) as started:
    for process in psutil.Process().children(recursive=True):
        print(*process.cmdline()[:3])
    print("gives", ray.get(ray.remote(lambda: 6 * 7).remote()), started.loss())
"""
IDLE = ("monitor.py", "dashboard.py")


@pytest.mark.parametrize("broken", [False, True], ids=["", "its node cannot be looked at"])
def test_ray_is_started_without_servers_that_nobody_would_ask(broken: bool) -> None:
    command = [sys.executable, "-c", PROGRAM.format(broken=broken)]
    *servers, last = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()

    assert last == "gives 42 None"
    assert any("gcs_server" in server for server in servers)
    assert not [server for server in servers if server.endswith(IDLE)]


@pytest.mark.parametrize("dashboard_installed", [False, True])
def test_ray_is_left_as_it_was(dashboard_installed: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    problem = None if dashboard_installed else ImportError("no module named aiohttp_cors")
    monkeypatch.setattr(utils, "get_dashboard_dependency_error", lambda: problem)
    monkeypatch.delattr(node.Node, "start_log_monitor")  # a later Ray may call it otherwise
    names = ((node.Node, "start_monitor"), (services, "start_api_server"), (services, "get_node"))
    before = [getattr(*name) for name in names]

    with _quick_start():
        # Where all that a dashboard needs is installed, Ray's agents ask for it.
        kept = [getattr(*name) is theirs for name, theirs in zip(names, before, strict=True)]
    assert kept == [False, dashboard_installed, False]

    assert [getattr(*name) for name in names] == before
    assert not hasattr(node.Node, "start_log_monitor")
