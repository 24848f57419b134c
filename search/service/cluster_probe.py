"""What a Ray cluster has, asked by a process that joins it for a moment and prints the answer.

A worker is not connected to Ray itself: Ray ends every process that is, once the head of the cluster is lost.
"""

from __future__ import annotations

import json
import logging
import subprocess
import sys
import time

from search.cluster_resources import ClusterResources
from search.cluster_resources import Nodes
from search.cluster_resources import parse_may_grow_to
from search.service.fate_sharing import sharing_fate
from trainers.errors import EmphasisError

_log = logging.getLogger(__name__)

# To join a cluster costs seconds of a processor; nodes come and go.
_SECONDS_BETWEEN_LOOKS = 300.0
_SECONDS_UNTIL_NEXT_TRY = 15.0
_LONGEST_LOOK = 120.0


class ClusterProbe:
    """Keeps known what a cluster has; to be asked from the main thread, often.

    Args:
        address: Of the cluster.
        may_grow_to: As for `search.cluster.ray_cluster`.
    """

    def __init__(self, address: str, may_grow_to: Nodes | None) -> None:
        self._address, self._may_grow_to = address, may_grow_to
        self._process: subprocess.Popen[str] | None = None
        self._began_at = self._next_at = 0.0
        self.resources: ClusterResources | None = None
        """What the cluster has; None while it does not answer."""
        self._problem: str | None = None

    def look(self) -> bool:
        """Go on looking; whether what is known has changed."""
        if self._process is None:
            if time.monotonic() >= self._next_at:
                self._begin()
            return False
        if self._process.poll() is None:
            if time.monotonic() - self._began_at > _LONGEST_LOOK:
                self._process.kill()
            return False
        said, _ = self._process.communicate()
        before, self.resources = self.resources, self._read(said, self._process.returncode)
        self._process = None
        wait = _SECONDS_UNTIL_NEXT_TRY if self.resources is None else _SECONDS_BETWEEN_LOOKS
        self._next_at = time.monotonic() + wait
        return before != self.resources

    def _begin(self) -> None:
        command = [sys.executable, "-m", "search.service.cluster_probe", self._address]
        command += [str(self._may_grow_to)] if self._may_grow_to is not None else []
        self._began_at = time.monotonic()
        self._process = subprocess.Popen(
            sharing_fate(command),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            process_group=0,
        )

    def _read(self, said: str, status: int) -> ClusterResources | None:
        before, self._problem = self._problem, None
        try:
            answer = json.loads(said.splitlines()[-1])
            if "error" not in answer:
                return ClusterResources.from_json(answer)
            self._problem = str(answer["error"])
        except (LookupError, ValueError, TypeError):
            self._problem = f"the process that asked it ended with status {status}"
        if self._problem != before:
            _log.warning(
                "no sweep is taken up while the Ray cluster at %s does not answer: %s",
                self._address,
                self._problem,
                extra={"next_try_seconds": _SECONDS_UNTIL_NEXT_TRY},
            )
        return None


def main(address: str, may_grow_to: str | None = None) -> None:
    """Print what a cluster has, or why it does not say."""
    from search.cluster import ray_cluster

    try:
        with ray_cluster(address, may_grow_to=parse_may_grow_to(may_grow_to) if may_grow_to else None) as cluster:
            answer = cluster.resources().to_json()
    except Exception as error:  # Ray's own say in many ways that a version or a token is wrong
        answer = {"error": str(error) if isinstance(error, EmphasisError) else f"{type(error).__name__}: {error}"}
    print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
