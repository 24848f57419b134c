"""Whether the trials of a sweep could ever run on the Rays there are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from search.cluster_resources import ClusterResources
from search.cluster_resources import amount
from search.spec import SweepSpec
from trainers.errors import FieldError


@dataclass(frozen=True, slots=True)
class Feasibility:
    """What was found.

    Args:
        errors: Why no Ray could ever run the sweep; empty where one could.
        wait: What its trials will have to wait for, a sentence; None where a Ray has room for one.
    """

    errors: tuple[FieldError, ...]
    wait: str | None


def feasibility(
    spec: SweepSpec, clusters: Sequence[ClusterResources], unread: frozenset[str] = frozenset()
) -> Feasibility:
    """Hold what a sweep's trials take against the Rays that may run it; it runs on one of them.

    Args:
        spec: The sweep.
        clusters: What each Ray has: at least one.
        unread: Fields whose values say nothing; what rests on them is left out.
    """
    found = [_errors(spec, each, _called(clusters), unread) for each in clusters]
    if all(found):
        return Feasibility(min(found, key=len), None)
    if not unread.isdisjoint(("resources", "resources.cpus", "resources.gpus")):
        return Feasibility((), None)
    shortages = [
        each.shortage(spec.resources.cpus, spec.resources.gpus)
        for each, errors in zip(clusters, found, strict=True)
        if not errors
    ]
    wait = None if None in shortages else f"The trials will wait for {shortages[0]}."
    return Feasibility((), wait)


def _called(clusters: Sequence[ClusterResources]) -> str:
    return "Ray" if len(clusters) == 1 else f"the best suited of the {len(clusters)} workers' Rays"


def _errors(
    spec: SweepSpec, cluster: ClusterResources, called: str, unread: frozenset[str]
) -> tuple[FieldError, ...]:
    nodes = (*cluster.nodes, *cluster.may_have)
    several = sum(each.count for each in nodes) > 1
    nothing = {"cpus": 0.0, "gpus": 0.0}
    errors: list[FieldError] = []
    possible = dict(nothing)
    for name, unit in (("cpus", "CPU"), ("gpus", "GPU")):
        asked = float(getattr(spec.resources, name))
        if asked == 0.0 or not unread.isdisjoint(("resources", f"resources.{name}")):
            continue
        if any(each.room(**{**nothing, name: asked}) for each in nodes):
            possible[name] = asked
        else:
            most = max((float(getattr(each, name)) for each in nodes), default=0.0)
            errors.append(_lacking(name, unit, getattr(spec.resources, name), most, called, several))
    if not any(possible.values()):
        return tuple(errors)
    room = cluster.room_when_grown(**possible)
    counted = " and ".join(
        amount(possible[name], unit) for name, unit in (("cpus", "CPU"), ("gpus", "GPU")) if possible[name]
    )
    if room == 0:
        errors.append(
            FieldError(
                "resources",
                counted,
                f"no node of {called} has both, so no trial could ever start",
                "Give less of one of them, or run on a cluster that has such a node.",
            )
        )
    elif spec.concurrency is not None and unread.isdisjoint(("concurrency", "lanes")):
        # Here nothing is known of the network. Whether an engine would fuse its lanes is not guessed: trials that have
        # no process of their own are accepted where their number of lanes is given.
        lanes = spec.lanes or 1
        most = room * lanes
        if spec.concurrency > most:
            each = f"trials of {counted}" if lanes == 1 else f"processes of {lanes} trials and {counted}"
            fewer = "fewer resources a trial"
            other = f"{fewer}, or more lanes a process" if spec.resources.gpus else f"or {fewer}"
            errors.append(
                FieldError(
                    "concurrency",
                    spec.concurrency,
                    f"{called} has room for {room} {each} at once",
                    f"Give {most} or less, {other}.",
                )
            )
    return tuple(errors)


def _lacking(name: str, unit: str, asked: float, most: float, called: str, several: bool) -> FieldError:
    if not most:
        has = f"{called} has no {unit}"
        remedy = "Give gpus: 0" if name == "gpus" else "Add nodes"
    else:
        there = amount(most, unit)
        has = f"no node of {called} has more than {there}" if several else f"{called} has {there}"
        remedy = f"Give {most:g} or less"
    return FieldError(
        f"resources.{name}",
        asked,
        f"{has}, so no trial could ever start",
        f"{remedy}, or run on a cluster that has more; what an autoscaler may bring, --may-grow-to says.",
    )
