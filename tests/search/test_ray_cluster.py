"""Sweeps on Ray clusters of several nodes that come and go, all of them on this machine."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from brake import BRAKED
from brake import Brake
from driver_process import DriverProcess
from driver_process import eventually
from ray_nodes import RayNodes
from sweep_record import Record
from sweep_record import assert_complete

from search.autoscaler import nodes_it_may_have
from search.cluster import ray_cluster
from search.cluster_resources import ClusterResources
from search.cluster_resources import Nodes
from search.home import Home
from search.preflight import check
from search.spec import SweepSpec
from search.store import Store
from search.store import TrialState
from search.sweep_session import SweepSession
from trainers.errors import InvalidInput

ONE_CPU = "1 CPU: Ray has none now"


@pytest.fixture(scope="module")
def nodes(installed_brake: Brake) -> Iterator[RayNodes]:
    with RayNodes(environment=installed_brake.environment) as cluster:
        yield cluster


def spec_of(**fields: Any) -> SweepSpec:
    return SweepSpec.model_validate({"dataset": "digits", "noise_rate": 0.4, **fields})


def sweep_of(trials: int, epochs: int) -> tuple[str, ...]:
    arguments = ("run", "--dataset", "digits", "--noise-rate", "0.4", "--confirm-seeds", "0", "--max-retries", "0")
    return (*arguments, "--trials", str(trials), "--epochs", str(epochs))


def wait_until_held(brake: Brake, home: Home, trials: int, attempt: int) -> None:
    """Wait until so many trials are held at once, all that run, one of them at that attempt."""
    with Store.open(home.store_url) as store:
        (sweep,) = store.sweeps()

        def held() -> bool:
            running = [trial for trial in store.trials(sweep.id) if trial.state is TrialState.RUNNING]
            at_that = any(trial.attempts == attempt for trial in running)
            return len(running) == trials == len(brake.held()) and at_that

        eventually(held)


@pytest.mark.long
def test_a_sweep_outlives_its_nodes(nodes: RayNodes, brake: Brake, tmp_path: Path) -> None:
    home = Home(tmp_path)
    first, second = nodes.add(cpus=1), nodes.add(cpus=1)
    arguments = (*sweep_of(trials=2, epochs=2), *BRAKED, "--ray-address", nodes.address)
    # Ray Tune would soon warn of what it waits for.
    impatient = {**brake.environment, "TUNE_WARN_INSUFFICENT_RESOURCE_THRESHOLD_S": "0"}
    with DriverProcess(tmp_path, *arguments, environment=impatient) as driver:
        driver.wait_for("| searching |")
        wait_until_held(brake, home, trials=2, attempt=1)
        nodes.kill(second)
        # Its trial outlives it for a moment, and would take the pass.
        eventually(lambda: len(brake.held()) == 1)
        # The other node takes over, then goes too, and there is none until a new one comes.
        brake.let(1)
        wait_until_held(brake, home, trials=1, attempt=2)
        nodes.remove(first)
        driver.wait_for(f"waiting for {ONE_CPU}, it goes on once such a node is added")
        last = nodes.add(cpus=1)
        brake.open()
        assert driver.wait() == 0, driver.output
        output = driver.output
    nodes.remove(last)

    record = Record(home)
    assert_complete(record)
    assert len(record.trials) == 2
    lost = [attempt for each in record.attempts.values() for attempt in each[:-1]]
    # A trial that loses its node has done nothing wrong: that a dead process is not tried again (--max-retries 0)
    # does not matter to it.
    assert {attempt.reason for attempt in lost} == {"its node was lost"}
    assert {len(attempts) for attempts in record.attempts.values()} == {1, 3}
    for noise in ("Traceback", "(raylet)", "No trial is running"):
        assert noise not in output


class Meeting:
    """What trials are told to train: a third of a GPU each, so that three of them meet, and never four."""

    cpus = 1

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.checkpoints = str(folder)

    def load(self) -> Any:
        (self.folder / f"{os.getpid()}.here").touch()
        end = time.monotonic() + 300
        while len(list(self.folder.glob("*.here"))) < 3 and time.monotonic() < end:
            time.sleep(0.05)
        raise RuntimeError(f"GPU {os.environ['CUDA_VISIBLE_DEVICES']}")


class FourTrials:
    """A source of four trials that notes how many run at once, and how they end."""

    ended = False

    def __init__(self) -> None:
        self._left = list(range(4))
        self._running: set[str] = set()
        self.most = 0
        self.endings: list[str] = []

    def hand_out(self) -> Mapping[str, Any] | None:
        return {"trial_id": str(self._left.pop())} if self._left else {}

    def ready(self) -> int:
        return len(self._left)

    def take_start(self, trial_id: str) -> None:
        self._running.add(trial_id)
        self.most = max(self.most, len(self._running))

    def take_report(self, trial_id: str, result: Mapping[str, Any]) -> None:
        if trial_id in self._running:
            self._running.remove(trial_id)
            self.endings.append(result["ending"]["reason"])

    def take_death(self, trial_id: str, with_its_node: bool, alone: bool, said: str | None) -> None:
        self.endings.append("died")

    def look(self) -> None:
        pass


@pytest.mark.long
def test_three_trials_of_a_third_of_a_gpu_run_at_once_on_one(nodes: RayNodes, tmp_path: Path) -> None:
    from ray import cloudpickle

    from search.tuning import tune_trials

    cloudpickle.register_pickle_by_value(sys.modules[__name__])  # the trials' processes cannot import it
    # The GPU is one in name only, so what is shown is how Ray places trials, and not that they train on it.
    node = nodes.add(cpus=4, gpus=1)
    spec = spec_of(resources={"gpus": "1/3"}, concurrency=3)
    source = FourTrials()
    with ray_cluster(nodes.address) as cluster:
        check(spec, clusters=[cluster.resources()])
        tune_trials(
            source,
            Meeting(tmp_path),  # type: ignore[arg-type]
            concurrency=4,
            resources={"CPU": spec.resources.cpus, "GPU": spec.resources.gpus},
            notes=tmp_path / "notes",
        )
    nodes.remove(node)

    assert source.endings == ["RuntimeError: GPU 0"] * 4
    assert source.most == 3


def test_a_cluster_is_looked_at_node_by_node_and_says_what_it_may_have(nodes: RayNodes, tmp_path: Path) -> None:
    from ray._raylet import GcsClient
    from ray.core.generated.autoscaler_pb2 import ClusterConfig
    from ray.core.generated.autoscaler_pb2 import NodeGroupConfig

    added = [nodes.add(cpus=1), nodes.add(cpus=1)]
    with ray_cluster(nodes.address) as cluster:
        # Ray may take seconds to notice that an earlier test's nodes have gone.
        found = ClusterResources((Nodes(0), Nodes(1, count=2)))
        eventually(lambda: cluster.resources() == found)
        with pytest.raises(InvalidInput, match="no node of Ray has more than 1 CPU"):
            check(spec_of(resources={"cpus": 2}), clusters=[found])
        # A worker's sweep was accepted by somebody who may have seen more: it waits.
        with SweepSession(tmp_path, nodes.address, alone=False) as session:
            session.check(spec_of(resources={"cpus": 2}))
        # As an autoscaler tells it, if it does; Ray's own does not.
        groups = [NodeGroupConfig(resources={"CPU": 8, "GPU": 1}, max_count=3)]
        groups = [*groups, NodeGroupConfig(resources={"CPU": 2}, max_count=-1)]
        told = ClusterConfig(node_group_configs=groups)
        GcsClient(nodes.address).report_cluster_config(told.SerializeToString())
        assert nodes_it_may_have(nodes.address) == (Nodes(8, gpus=1, count=3), Nodes(2, count=1_000_000))
        GcsClient(nodes.address).report_cluster_config(ClusterConfig().SerializeToString())
        assert nodes_it_may_have(nodes.address) == ()
    with ray_cluster(nodes.address, may_grow_to=Nodes(64, gpus=8)) as cluster:
        assert cluster.resources().may_have == (Nodes(64, gpus=8),)
    for node in added:
        nodes.remove(node)


@pytest.mark.parametrize(
    "address",
    ["ray://head:10001", "head", "head:", "head:x", ":6379", "head:0", "head:65536", "http://head:8265"],
)
def test_an_address_that_no_sweep_can_run_at_is_refused(address: str) -> None:
    with pytest.raises(InvalidInput, match=f"ray_address = '{address}'.* e.g. 10.0.0.1:6379"), ray_cluster(address):
        pass


@pytest.mark.long
def test_what_an_autoscaler_brings_is_waited_for_in_words(tmp_path: Path) -> None:
    with RayNodes(autoscaled=2) as cluster:
        here = {"RAY_ADDRESS": cluster.address}
        with DriverProcess(tmp_path, *sweep_of(trials=1, epochs=2), environment=here) as driver:
            driver.wait_for(f"waiting for {ONE_CPU}, its autoscaler may bring it")
            assert driver.wait() == 0, driver.output
        with ray_cluster(cluster.address) as ray:
            found = ray.resources()
    assert_complete(Record(Home(tmp_path)))
    assert found.may_have == (Nodes(0), Nodes(1, count=2))
    check(spec_of(concurrency=2), clusters=[found])
    for fields, problem in (
        ({"concurrency": 3}, "Ray has room for 2 trials of 1 CPU at once"),
        ({"resources": {"cpus": 2}}, "no node of Ray has more than 1 CPU"),
        ({"resources": {"gpus": 1}}, "Ray has no GPU"),
    ):
        with pytest.raises(InvalidInput, match=problem):
            check(spec_of(**fields), clusters=[found])
