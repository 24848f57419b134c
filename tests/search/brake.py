"""Holds trials back, so that what a test does to a sweep cannot come too late for it."""

from __future__ import annotations

import contextlib
import itertools
import os
import sys
from pathlib import Path

import psutil
from driver_process import eventually
from installed_package import write_package

_MODULE = Path(__file__).resolve().parent / "braked" / "emphasis_braked.py"

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
        entries = {
            "emphasis.supervisions": {"braked": f"{_MODULE.stem}:Braked"},
            "emphasis.spaces": {"braked": f"{_MODULE.stem}:SPACE"},
        }
        write_package(self.site_packages, "emphasis-braked", entries, {_MODULE.stem: _MODULE.read_text()})
        before = os.environ.get("PYTHONPATH")
        paths = [str(self.site_packages), *([before] if before else [])]
        self.environment = {"PYTHONPATH": os.pathsep.join(paths)}

    def close(self) -> None:
        """Hold every trial from now on, and forget those of earlier tests: who holds one still says so again."""
        for file in (*self._folder.glob("pass-*"), *self._folder.glob("held-*"), self._folder / "open"):
            file.unlink(missing_ok=True)

    def let(self, trials: int) -> None:
        """Let so many go on, now or when they come."""
        for _ in range(trials):
            (self._folder / f"pass-{next(self._numbers)}").touch()

    def open(self) -> None:
        """Let all go on from now on."""
        (self._folder / "open").touch()

    def held(self) -> list[psutil.Process]:
        """The living processes that hold a trial at this moment."""
        found = []
        for mark in self._folder.glob("held-*"):
            with contextlib.suppress(psutil.NoSuchProcess):  # it was killed meanwhile
                process = psutil.Process(int(mark.name.removeprefix("held-")))
                if process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
        return found

    def wait_until_held(self) -> list[psutil.Process]:
        """Wait until a trial is held; the processes that hold any."""
        return eventually(self.held)

    def __enter__(self) -> Brake:
        sys.path.insert(0, str(self.site_packages))
        return self

    def __exit__(self, *error: object) -> None:
        self.open()
        sys.path.remove(str(self.site_packages))
        sys.modules.pop(_MODULE.stem, None)
