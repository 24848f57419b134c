"""Holds trials back, so that what a test does to a sweep cannot come too late for it."""

from __future__ import annotations

import itertools
import os
import sys
from pathlib import Path

import psutil
from driver_process import eventually

_MODULES = Path(__file__).resolve().parent / "braked"

BRAKED = ("--supervision", "braked")


class Brake:
    """What sweeps of the supervision ``braked`` wait for: their trials train one epoch, and go on with a pass each.

    Its package is installed into a folder that `environment` adds to the paths of a process, Ray's among them; within
    a block this process has it too. What is still held at the block's end goes on.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._numbers = itertools.count()
        self.site_packages = folder / "site-packages"
        information = self.site_packages / "emphasis_braked-1.0.dist-info"
        information.mkdir(parents=True)
        (information / "METADATA").write_text("Metadata-Version: 2.1\nName: emphasis-braked\nVersion: 1.0\n")
        (information / "entry_points.txt").write_text(
            "[emphasis.supervisions]\nbraked = emphasis_braked:Braked\n"
            "[emphasis.spaces]\nbraked = emphasis_braked:SPACE\n"
        )
        for module in _MODULES.glob("*.py"):
            (self.site_packages / module.name).write_bytes(module.read_bytes())
        before = os.environ.get("PYTHONPATH")
        paths = [str(self.site_packages), *([before] if before else [])]
        self.environment = {"PYTHONPATH": os.pathsep.join(paths), "EMPHASIS_TEST_BRAKE": str(folder)}

    def close(self) -> None:
        """Hold every trial from now on."""
        for file in (*self._folder.glob("pass-*"), self._folder / "open"):
            file.unlink(missing_ok=True)

    def let(self, trials: int) -> None:
        """Let so many go on, now or when they come."""
        for _ in range(trials):
            (self._folder / f"pass-{next(self._numbers)}").touch()

    def open(self) -> None:
        """Let all go on from now on."""
        (self._folder / "open").touch()

    def wait_until_held(self, trials: int = 1) -> list[psutil.Process]:
        """Wait until so many are held at this moment, each in a living process; these processes."""

        def held() -> list[psutil.Process]:
            pids = [int(mark.name.removeprefix("held-")) for mark in self._folder.glob("held-*")]
            found = [psutil.Process(pid) for pid in pids if psutil.pid_exists(pid)]
            return found if len(found) >= trials else []

        return eventually(held)

    def __enter__(self) -> Brake:
        sys.path.insert(0, str(self.site_packages))
        return self

    def __exit__(self, *error: object) -> None:
        self.open()
        sys.path.remove(str(self.site_packages))
        sys.modules.pop("emphasis_braked", None)
