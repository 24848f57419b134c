"""Fifty clients that submit and read at once: what the service answers, how quickly, and how that grows.

    python -m tests.benchmarks.service_load

On SQLite and on PostgreSQL: `emphasis serve` without a worker; 50 clients submit 1,000 sweeps, each with its own
request key and every tenth request repeated under the same key, and read lists and single sweeps in between. No answer
may be an error and no sweep may be lost or doubled. Then lists and single sweeps are read, one client at a time and
fifty at once, with 10, 100 and 1,000 sweeps recorded, and with 1,000 sweeps that have 100 trials each. Times are of the
client, with HTTP, one request after the other in each client; everything shares the machine's cores, clients too.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
from sqlalchemy import insert

from search.store import Phase
from search.store import Store
from search.store import TrialState
from search.store import utc_now
from search.store.models import Trial
from tests.benchmarks.chaos import free_port
from tests.benchmarks.chaos import kill_tree
from tests.benchmarks.chaos import short_folder
from tests.benchmarks.chaos import start_postgresql
from tests.benchmarks.provenance import RESULTS
from tests.benchmarks.provenance import provenance
from tests.benchmarks.provenance import write_result

EMPHASIS = [sys.executable, "-c", "from search.cli import main; main()"]
SPEC = {"dataset": "digits", "noise_rate": 0.4, "trials": 96, "confirm": {"top": 1, "seeds": 2}}
CLIENTS = 50
SWEEPS = 1000
TRIALS_EACH = 100
READS = 200


@contextlib.contextmanager
def served(folder: Path, store_url: str | None) -> Iterator[str]:
    """A service without workers; its address."""
    port = free_port()
    environment = {**os.environ, "EMPHASIS_HOME": str(folder)}
    if store_url is not None:
        environment["EMPHASIS_STORE_URL"] = store_url
    log = (folder / "serve.log").open("ab")
    options = ["--port", str(port), "--mlflow-port", str(free_port()), "--no-worker", "--rate-limit", "100000"]
    process = subprocess.Popen([*EMPHASIS, "serve", *options], env=environment, stdout=log, stderr=log)
    url = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + 120
        while not _is_ready(url):
            assert process.poll() is None, (folder / "serve.log").read_text()
            assert time.monotonic() < deadline
            time.sleep(0.2)
        yield url
    finally:
        kill_tree(process.pid)


def _is_ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/api/v1/health/ready").status_code == 200
    except httpx.HTTPError:
        return False


class Load:
    """Clients of one service, what they were answered and how long that took."""

    def __init__(self, url: str) -> None:
        self._url = f"{url}/api/v1"
        self.seconds: dict[str, list[float]] = {}
        self.answers: Counter[tuple[str, int]] = Counter()
        self.ids: list[tuple[str, str]] = []
        self._lock = threading.Lock()

    def submit(self, first: int, last: int) -> None:
        """Submit the sweeps of these numbers from all clients at once, reading in between."""

        def one(client: httpx.Client, number: int) -> None:
            for _ in range(2 if number % 10 == 0 else 1):
                key = f"request-{number}"
                sent = self._ask("submit", client.post, "/sweeps", json=SPEC, headers={"Idempotency-Key": key})
                with self._lock:
                    self.ids.append((key, sent.json()["id"]))
            self._ask("list while submitting", client.get, "/sweeps", params={"limit": 50})
            self._ask("read while submitting", client.get, f"/sweeps/{sent.json()['id']}")

        self._together(one, range(first, last))

    def read(self, label: str, ids: list[str], clients: int) -> dict[str, Any]:
        """Read lists and single sweeps; their times in milliseconds."""

        def one(client: httpx.Client, number: int) -> None:
            self._ask(f"list {label}", client.get, "/sweeps", params={"limit": 50})
            self._ask(f"read {label}", client.get, f"/sweeps/{ids[number % len(ids)]}")

        self._together(one, range(READS), clients)
        return {kind: summary(self.seconds[f"{kind} {label}"]) for kind in ("list", "read")}

    def _ask(self, kind: str, call: Callable[..., httpx.Response], path: str, **given: Any) -> httpx.Response:
        began = time.perf_counter()
        answer = call(path, **given)
        seconds = time.perf_counter() - began
        with self._lock:
            self.seconds.setdefault(kind, []).append(seconds)
            self.answers[kind, answer.status_code] += 1
        assert answer.is_success, (kind, answer.status_code, answer.text[:500])
        return answer

    def _together(self, one: Callable[[httpx.Client, int], None], numbers: range, clients: int = CLIENTS) -> None:
        waiting = iter(numbers)

        def client(_: int) -> None:
            with httpx.Client(base_url=self._url, timeout=120.0) as http:
                while True:
                    with self._lock:
                        number = next(waiting, None)
                    if number is None:
                        return
                    one(http, number)

        with ThreadPoolExecutor(clients) as pool:
            list(pool.map(client, range(clients)))


def summary(seconds: list[float]) -> dict[str, float]:
    """Median and 95th percentile in milliseconds."""
    cuts = statistics.quantiles(seconds, n=20)
    return {"median_ms": round(1000 * statistics.median(seconds), 1), "p95_ms": round(1000 * cuts[-1], 1)}


def add_trials(store: Store) -> int:
    """Give every sweep a hundred trials, most of them done; how many there are."""
    moment = utc_now()
    total = 0
    for sweep in store.sweeps():
        rows = [
            {
                "id": f"{sweep.id}-{number:04d}",
                "sweep_id": sweep.id,
                "number": number,
                "phase": Phase.SEARCH,
                "configuration": number,
                "repeat": 0,
                "supervision": "gr",
                "hyperparameters": {"beta": 8.0 + number, "lam": 0.5},
                "params": {},
                "noise_rate": 0.4,
                "seed": number,
                "noise_seed": number,
                "state": TrialState.DONE if number < 90 else TrialState.WAITING,
                "objective": 0.5 + number / 1000 if number < 90 else None,
                "started_at": moment,
                "finished_at": moment if number < 90 else None,
            }
            for number in range(TRIALS_EACH)
        ]
        with store._writing() as session:
            session.execute(insert(Trial), rows)
        total += len(rows)
    return total


def measure(folder: Path, store_url: str | None) -> list[dict[str, Any]]:
    """All of it on one store; a row a measurement."""
    rows: list[dict[str, Any]] = []
    backend = "PostgreSQL" if store_url else "SQLite"
    with served(folder, store_url) as url, Store.open(store_url or f"sqlite:///{folder / 'emphasis.db'}") as store:
        load = Load(url)
        load.submit(0, 1)  # the first brings torch and the data into the server

        def look(trials: int) -> None:
            ids = [sweep.id for sweep in store.sweeps()]
            for clients in (1, CLIENTS):
                label = f"{len(ids)} sweeps {trials} trials {clients} clients"
                found = load.read(label, ids, clients)
                rows.append({"store": backend, "sweeps": len(ids), "trials": trials, "clients": clients, **found})
                print(rows[-1], flush=True)

        reached = 1
        for wanted in (10, 100, SWEEPS):
            load.submit(reached, wanted)
            reached = wanted
            look(trials=0)
        look(trials=add_trials(store))
        sweeps = store.sweeps()
        by_key: dict[str, set[str]] = {}
        for key, id in load.ids:
            by_key.setdefault(key, set()).add(id)
        assert all(len(ids) == 1 for ids in by_key.values())
        assert {id for ids in by_key.values() for id in ids} == {sweep.id for sweep in sweeps}
        assert len(sweeps) == SWEEPS
        for kind in ("submit", "list while submitting", "read while submitting"):
            times = load.seconds[kind]
            rows.append({"store": backend, "kind": kind, "requests": len(times), **summary(times)})
            print(rows[-1], flush=True)
        answers = sum(load.answers.values())
        print(f"{backend}: {answers:,} answers, no error; {len(sweeps):,} sweeps, none lost or doubled")
    return rows


def main() -> None:
    """Measure on both stores and write what was found."""
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    with tempfile.TemporaryDirectory() as folder:
        rows = measure(Path(folder), None)
    with short_folder() as folder:
        server = start_postgresql(folder / "pg")
        home = folder / "home"
        home.mkdir()
        try:
            rows += measure(home, server.get_uri())
        finally:
            server.cleanup()
    write_result(RESULTS / "service_load.json", {"provenance": provenance(), "rows": rows})


if __name__ == "__main__":
    main()
