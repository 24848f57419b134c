"""docker/kubernetes.md: what it shows to copy."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from compose_file import FOLDER
from compose_file import Dockerfile

BLOCKS = re.findall(r"^```yaml\n(.*?)^```", (FOLDER / "kubernetes.md").read_text(), re.MULTILINE | re.DOTALL)
OBJECTS = [found for block in BLOCKS for found in yaml.safe_load_all(block)]
PROGRAMS = {"emphasis", "python", *(program.name for program in (FOLDER / "bin").iterdir())}


def containers(part: Any) -> Iterator[dict[str, Any]]:
    if isinstance(part, dict):
        if "image" in part:
            yield part
        for value in part.values():
            yield from containers(value)
    elif isinstance(part, list):
        for value in part:
            yield from containers(value)


def commands(part: Any) -> Iterator[list[str]]:
    if isinstance(part, dict):
        if "command" in part:
            yield part["command"]
        for value in part.values():
            yield from commands(value)
    elif isinstance(part, list):
        for value in part:
            yield from commands(value)


CONTAINERS = list(containers(OBJECTS))


@pytest.mark.parametrize("container", CONTAINERS, ids=lambda container: container["name"])
def test_container_is_probed_by_programs_that_the_image_has(container: dict[str, Any]) -> None:
    assert "readinessProbe" in container
    assert {command[0] for command in commands(container)} <= PROGRAMS


def test_pods_run_as_the_user_of_the_image() -> None:
    uid = int(Dockerfile.read(FOLDER / "Dockerfile").user.partition(":")[0])
    users = re.findall(r"runAsUser: (\d+)", "\n".join(BLOCKS))
    assert [int(user) for user in users] == [uid] * 3


def test_commands_are_those_of_compose() -> None:
    text = (FOLDER / "compose.yaml").read_text()
    for container in CONTAINERS:
        for word in container.get("command", []):
            option = word.partition("=")[0]
            if option.startswith("--") and not option.startswith(("--public", "--trusted", "--may-grow")):
                assert option in text, option
