"""What a Ray cluster has for trials, node by node, and what its autoscaler may bring: plain values that travel."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import asdict
from dataclasses import dataclass
from typing import Any

from trainers.errors import FieldError
from trainers.errors import InvalidInput

_UNITS = ("CPU", "GPU")


@dataclass(frozen=True, slots=True)
class Nodes:
    """Nodes of a cluster that are alike.

    Args:
        cpus: CPU cores of each.
        gpus: GPUs of each.
        count: How many of them.
    """

    cpus: float
    gpus: float = 0.0
    count: int = 1

    def __str__(self) -> str:
        """As `parse_may_grow_to` reads it."""
        return f"CPU={self.cpus * self.count:g},GPU={self.gpus * self.count:g}"

    def room(self, cpus: float, gpus: float) -> int:
        """How many trials fit on them at once; a trial never runs on two nodes.

        Args:
            cpus: CPU cores of a trial.
            gpus: GPUs of a trial, or the share 1/n of one. One of the two is above 0.
        """
        fits = [math.floor(self.cpus / cpus + 1e-6)] if cpus else []
        if gpus:
            # Each whole GPU holds n trials of 1/n, whatever 1/n is in binary.
            whole = math.floor(self.gpus)
            fits.append(whole * round(1 / gpus) if gpus < 1 else math.floor(whole / gpus))
        return self.count * min(fits)


@dataclass(frozen=True, slots=True)
class ClusterResources:
    """What a Ray cluster has, and what it may come to have.

    Args:
        nodes: Those that it has.
        may_have: Those that it may have once its autoscaler has brought all it can; empty where nothing is known of
            an autoscaler.
    """

    nodes: tuple[Nodes, ...]
    may_have: tuple[Nodes, ...] = ()

    @staticmethod
    def of(nodes: Iterable[Mapping[str, float]], may_have: Sequence[Nodes] = ()) -> ClusterResources:
        """The resources of nodes that Ray names as ``{"CPU": 2.0, "GPU": 1.0, …}``, one mapping a node."""
        alike = Counter((float(node.get("CPU", 0.0)), float(node.get("GPU", 0.0))) for node in nodes)
        return ClusterResources(tuple(Nodes(*each, count) for each, count in sorted(alike.items())), tuple(may_have))

    def to_json(self) -> dict[str, Any]:
        """As plain values."""
        return asdict(self)

    @staticmethod
    def from_json(data: Mapping[str, Any]) -> ClusterResources:
        """What `to_json` made."""
        nodes, may_have = (tuple(Nodes(**each) for each in data[name]) for name in ("nodes", "may_have"))
        return ClusterResources(nodes, may_have)

    def __str__(self) -> str:
        """All that there is: ``2 CPUs``, ``64 CPUs, 8 GPUs``."""
        found = {unit: sum(getattr(each, f"{unit.lower()}s") * each.count for each in self.nodes) for unit in _UNITS}
        return ", ".join(amount(there, unit) for unit, there in found.items() if there) or "nothing"

    def room(self, cpus: float, gpus: float) -> int:
        """How many trials fit at once on what there is; as for `Nodes.room`."""
        return sum(each.room(cpus, gpus) for each in self.nodes)

    def room_when_grown(self, cpus: float, gpus: float) -> int:
        """How many trials may fit at once, sooner or later; as for `Nodes.room`."""
        return max(self.room(cpus, gpus), sum(each.room(cpus, gpus) for each in self.may_have))

    def shortage(self, cpus: float, gpus: float) -> str | None:
        """What a trial has to wait for, in words; None where there is room for one, taken or not."""
        if self.room(cpus, gpus):
            return None
        most = {
            "CPU": (cpus, max((each.cpus for each in self.nodes), default=0.0)),
            "GPU": (gpus, max((each.gpus for each in self.nodes), default=0.0)),
        }
        lacking = {unit: there for unit, (asked, there) in most.items() if asked > there}
        # Where each is there and both together are not, they have to come on one node.
        waited_for = [amount(asked, unit) for unit, (asked, _) in most.items() if asked and unit in (lacking or most)]
        has = "has none now" if lacking and not any(lacking.values()) else "has no such node now"
        if self.room_when_grown(cpus, gpus):
            hope = "its autoscaler may bring it"
        else:
            hope = "it goes on once such a node is added"
        return f"{' and '.join(waited_for)}: Ray {has}, {hope}"


def amount(asked: float, unit: str) -> str:
    """A number of CPUs or GPUs in words: ``1 CPU``, ``1/3 GPU``, ``2 GPUs``."""
    if asked < 1 and math.isclose(1 / asked, round(1 / asked)):
        return f"1/{round(1 / asked)} {unit}"
    return f"{asked:g} {unit}{'' if asked == 1 else 's'}"


def parse_may_grow_to(text: str) -> Nodes:
    """What a cluster may grow to, e.g. ``CPU=64,GPU=8``: an upper bound on all its nodes together.

    Raises:
        InvalidInput: The text does not say it.
    """
    found: dict[str, float] = {}
    for part in text.split(","):
        name, equals, value = (piece.strip() for piece in part.partition("="))
        unit = name.upper()
        if not equals or unit not in ("CPU", "GPU"):
            raise _not_a_size(text, f"{part.strip()!r} is not of the form CPU=64 or GPU=8")
        if unit in found:
            raise _not_a_size(text, f"it gives {unit} a second time")
        try:
            found[unit] = float(value)
        except ValueError:
            raise _not_a_size(text, f"{value!r} is no number of {unit}s") from None
        if not 0 <= found[unit] < math.inf:
            raise _not_a_size(text, f"{value} is no number of {unit}s that a cluster could have")
    if not found.get("CPU"):
        raise _not_a_size(text, "it gives no CPUs, and every trial takes some")
    return Nodes(found["CPU"], found.get("GPU", 0.0))


def _not_a_size(text: str, problem: str) -> InvalidInput:
    remedy = "Give what all nodes together may come to have, e.g. CPU=64,GPU=8."
    return InvalidInput(FieldError("may_grow_to", text, problem, remedy))
