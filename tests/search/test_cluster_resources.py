"""What a Ray has and may come to have, as a value: how many trials fit, what they wait for, how it is written down."""

from __future__ import annotations

import json
import math

import pytest

from search.cluster_resources import ClusterResources
from search.cluster_resources import Nodes
from search.cluster_resources import parse_may_grow_to
from search.packing import Packing
from search.packing import packing
from search.spec import Resources
from search.spec import SweepSpec
from search.waiting import Waiting
from trainers.errors import InvalidInput

TWO_SMALL = ClusterResources((Nodes(0), Nodes(1, count=2)))
A_GPU_ELSEWHERE = ClusterResources((Nodes(8), Nodes(1, gpus=1)))


def spec_of(**fields: object) -> SweepSpec:
    return SweepSpec.model_validate({"dataset": "digits", "noise_rate": 0.4, **fields})


@pytest.mark.parametrize(
    ("nodes", "cpus", "gpus", "room"),
    [
        ([Nodes(1, count=2)], 1, 0, 2),
        ([Nodes(1, count=2)], 2, 0, 0),
        ([Nodes(3, count=2)], 2, 0, 2),
        ([Nodes(0.5)], 1 / 6, 0, 3),
        ([Nodes(8, gpus=1)], 1, 1 / 3, 3),
        ([Nodes(2, gpus=1)], 1, 1 / 3, 2),
        ([Nodes(16, gpus=2)], 1, 1 / 7, 14),
        ([Nodes(16, gpus=1, count=2)], 1, 2, 0),
        ([Nodes(8), Nodes(1, gpus=1)], 4, 1, 0),
        ([], 1, 0, 0),
    ],
)
def test_a_trial_takes_its_place_on_one_node(nodes: list[Nodes], cpus: float, gpus: float, room: int) -> None:
    assert ClusterResources(tuple(nodes)).room(cpus, gpus) == room


def test_alike_nodes_are_counted_and_what_ray_has_besides_is_left_out() -> None:
    small = {"CPU": 2.0, "memory": 1e9, "node:10.0.0.1": 1.0}
    found = ClusterResources.of([{"memory": 1e9}, small, small, {"CPU": 8.0, "GPU": 4.0}])
    assert found == ClusterResources((Nodes(0), Nodes(2, count=2), Nodes(8, gpus=4)))


def test_a_worker_can_write_down_what_its_ray_has() -> None:
    has = ClusterResources((Nodes(2), Nodes(8, gpus=4, count=3)), (Nodes(64, gpus=8),))
    assert ClusterResources.from_json(json.loads(json.dumps(has.to_json()))) == has


@pytest.mark.parametrize(
    ("has", "cpus", "gpus", "said"),
    [
        (TWO_SMALL, 1, 0, None),
        (TWO_SMALL, 2, 0, "2 CPUs: Ray has no such node now, it goes on once such a node is added"),
        (TWO_SMALL, 1, 1 / 3, "1/3 GPU: Ray has none now, it goes on once such a node is added"),
        (
            ClusterResources((Nodes(2),), (Nodes(64, gpus=8),)),
            1,
            1,
            "1 GPU: Ray has none now, its autoscaler may bring it",
        ),
        (A_GPU_ELSEWHERE, 4, 1, "4 CPUs and 1 GPU: Ray has no such node now, it goes on once such a node is added"),
        (ClusterResources(()), 1, 0, "1 CPU: Ray has none now, it goes on once such a node is added"),
    ],
)
def test_what_is_short_is_said(has: ClusterResources, cpus: float, gpus: float, said: str | None) -> None:
    assert has.shortage(cpus, gpus) == said


@pytest.mark.parametrize(
    ("has", "fields", "at_once"),
    [
        (TWO_SMALL, {}, 2),
        (TWO_SMALL, {"concurrency": 1}, 1),
        (ClusterResources((Nodes(0),)), {}, 1),
        (ClusterResources((Nodes(2),), (Nodes(1, count=5),)), {}, 5),
        (ClusterResources((Nodes(2),), (Nodes(1000),)), {}, 16),
        (ClusterResources((Nodes(40),), (Nodes(1000),)), {}, 40),
    ],
)
def test_trials_at_once_count_what_may_come_within_bounds(
    has: ClusterResources, fields: dict[str, object], at_once: int
) -> None:
    assert packing(spec_of(**fields), has) == Packing(at_once)


FOUR_GPUS = ClusterResources((Nodes(16, gpus=4),))


@pytest.mark.parametrize(
    ("fields", "max_trials", "trials", "lanes", "packs"),
    [
        ({"lanes": 3}, None, 12, 3, 4),
        ({"lanes": 3, "concurrency": 7}, None, 7, 3, 3),
        ({"lanes": 3, "concurrency": 2}, None, 2, 2, 1),
        ({"lanes": 3}, 2, 2, 2, 1),
        ({"lanes": 3}, 100, 12, 3, 4),
        ({}, None, 32, 8, 4),
        ({"resources": {"gpus": 0.5}, "trials": 80}, None, 64, 8, 8),
        # No more than the sweep has, on as many GPUs as there are.
        ({"resources": {"gpus": 0.5}}, None, 42, 6, 7),
        ({"trials": 2, "confirm": {"top": 1, "seeds": 1}}, None, 4, 1, 4),
        # Processes first: each GPU has as few of them as are asked for.
        ({"concurrency": 4}, None, 4, 1, 4),
        ({"concurrency": 6}, None, 6, 2, 3),
        ({}, 6, 6, 2, 3),
    ],
)
def test_lanes_fill_up_the_processes_that_there_is_room_for(
    fields: dict[str, object], max_trials: int | None, trials: int, lanes: int, packs: int
) -> None:
    spec = spec_of(**{"resources": {"gpus": 1}, **fields})
    found = packing(spec, FOUR_GPUS, fused=8, max_trials=max_trials)
    assert (found.trials, found.lanes, math.ceil(found.trials / found.lanes)) == (trials, lanes, packs)


@pytest.mark.parametrize(
    ("text", "nodes"),
    [("CPU=64,GPU=8", Nodes(64, gpus=8)), (" gpu = 1 , cpu = 4 ", Nodes(4, gpus=1)), ("CPU=2", Nodes(2))],
)
def test_what_a_cluster_may_grow_to_is_read(text: str, nodes: Nodes) -> None:
    assert parse_may_grow_to(text) == nodes


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("GPU=8", "no CPUs"),
        ("CPU=0", "no CPUs"),
        ("64", "'64' is not of the form"),
        ("CPU=64,", "'' is not of the form"),
        ("CPU=64,TPU=1", "'TPU=1' is not of the form"),
        ("CPU=64,CPU=8", "CPU a second time"),
        ("CPU=many", "'many' is no number"),
        ("CPU=-1", "-1 is no number"),
        ("CPU=inf", "inf is no number"),
        ("CPU=nan", "nan is no number"),
    ],
)
def test_what_a_cluster_cannot_grow_to_is_refused(text: str, problem: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        parse_may_grow_to(text)
    (error,) = caught.value.errors
    assert (error.field, error.value) == ("may_grow_to", text)
    assert problem in error.problem
    assert "CPU=64,GPU=8" in error.remedy


def test_a_sweep_waits_in_words_only_while_none_of_its_trials_runs() -> None:
    waiting = Waiting(Resources(), lambda: ClusterResources(()))
    assert waiting.reason(running=True) is None
    reason = waiting.reason(running=False)
    assert reason == "waiting for 1 CPU: Ray has none now, it goes on once such a node is added"
    assert waiting.reason(running=False) == reason
    assert waiting.reason(running=True) is None


def test_a_place_that_others_have_taken_is_waited_for_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("search.waiting._LONGEST_START", 0.0)
    assert Waiting(Resources(), lambda: TWO_SMALL).reason(running=False) == (
        "waiting for a place on Ray: others may use what it has"
    )


def test_a_ray_that_does_not_answer_for_a_moment_does_not_end_the_waiting() -> None:
    def silent() -> ClusterResources:
        raise ConnectionError

    assert Waiting(Resources(), silent).reason(running=False) is None
