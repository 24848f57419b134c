"""Fixtures that more than one package's tests use."""

from __future__ import annotations

import fcntl
import getpass
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from installed_package import write_package

# One thread a process, those that tests start among them: two that wait for each other on a busy machine took 20 times
# as long. Read by torch and NumPy when they are imported.
for _library in ("OMP", "OPENBLAS", "MKL"):
    os.environ.setdefault(f"{_library}_NUM_THREADS", "1")

_UNPACKER = Path(__file__).resolve().parents[2] / "shared" / "data" / "unpack_cifar.py"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that run whole sweeps, so that no core is left alone with one of them at the end."""
    whole = {item.path for item in items if {"cluster", "nodes"} & set(getattr(item, "fixturenames", ()))}
    items.sort(key=lambda item: item.path not in whole)


@pytest.fixture(scope="session")
def cifar10_dir() -> Path:
    """Folder with the official CIFAR-10 python files, unpacked once a machine; read it, never write to it."""
    if not _UNPACKER.is_file():
        pytest.skip("the packed CIFAR-10 images (../shared/data) are not here")
    root = Path(tempfile.gettempdir()) / f"emphasis-tests-cifar10-{getpass.getuser()}"
    root.mkdir(exist_ok=True)
    # The unpacker leaves whole files alone, so under the lock a worker either finds all of them or is the one
    # to write what is missing, also after an interrupted run.
    with (root / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        command = [sys.executable, str(_UNPACKER), str(root)]
        done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return root


@pytest.fixture
def install_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Install, for one test, a package with entry points."""
    folder = tmp_path / "site-packages"

    def install(group: str, entries: dict[str, str], **modules: str) -> None:
        write_package(folder, "emphasis-example", {group: entries}, modules)
        for name in modules:
            monkeypatch.delitem(sys.modules, name, raising=False)
        monkeypatch.syspath_prepend(folder)

    return install
