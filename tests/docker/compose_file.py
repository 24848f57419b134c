"""docker/compose.yaml and docker/Dockerfile as they are read by Docker: defaults filled in, settings of the image."""

from __future__ import annotations

import json
import re
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

FOLDER = Path(__file__).resolve().parents[2] / "docker"

_VARIABLE = re.compile(r"\$\$|\$\{(?P<name>\w+)(?::-(?P<default>[^}]*))?\}")


@dataclass(frozen=True, slots=True)
class Dockerfile:
    """What the last stage of a Dockerfile says of the image."""

    instructions: list[tuple[str, str]]

    @classmethod
    def read(cls, path: Path) -> Dockerfile:
        text = re.sub(r"\\\n\s*", "", re.sub(r"^\s*#.*\n", "", path.read_text(), flags=re.MULTILINE))
        lines = [line.split(None, 1) for line in text.splitlines() if line.strip()]
        last_stage = max(number for number, (instruction, _) in enumerate(lines) if instruction == "FROM")
        return cls([(instruction, argument) for instruction, argument in lines[last_stage:]])

    @property
    def user(self) -> str:
        return self._arguments("USER")[-1]

    @property
    def environment(self) -> dict[str, str]:
        words = [word for argument in self._arguments("ENV") for word in shlex.split(argument)]
        return dict(word.split("=", 1) for word in words)

    @property
    def healthcheck(self) -> list[str]:
        command: list[str] = json.loads(self._arguments("HEALTHCHECK")[-1].partition("CMD")[2])
        return command

    @property
    def steps(self) -> str:
        """What is run while it is built."""
        return "\n".join(self._arguments("RUN"))

    def _arguments(self, name: str) -> list[str]:
        return [argument for instruction, argument in self.instructions if instruction == name]


@dataclass(frozen=True, slots=True)
class Service:
    """One service of the compose file."""

    name: str
    fields: dict[str, Any]

    @property
    def command(self) -> list[str]:
        command: list[str] = self.fields["command"]
        return command

    @property
    def environment(self) -> dict[str, str]:
        return dict(self.fields.get("environment", {}))

    @property
    def needs(self) -> dict[str, str]:
        """The services that are waited for, and until what."""
        return {name: needed["condition"] for name, needed in self.fields.get("depends_on", {}).items()}

    @property
    def ports(self) -> list[int]:
        """Those that others may connect to, as the container has them."""
        published = [text.rpartition(":")[2] for text in self.fields.get("ports", [])]
        return [int(port) for port in (*self.fields.get("expose", []), *published)]

    @property
    def volumes(self) -> dict[str, str]:
        """Place in the container by name of the volume."""
        mounts = [text.split(":") for text in self.fields.get("volumes", [])]
        return {mount[0]: mount[1] for mount in mounts if not mount[0].startswith(".")}

    @property
    def mounted_files(self) -> dict[str, str]:
        """Place in the container by path from the compose file."""
        mounts = [text.split(":") for text in self.fields.get("volumes", [])]
        return {mount[0]: mount[1] for mount in mounts if mount[0].startswith(".")}

    @property
    def networks(self) -> list[str]:
        networks: list[str] = self.fields["networks"]
        return networks

    @property
    def secrets(self) -> list[str]:
        secrets: list[str] = self.fields.get("secrets", [])
        return secrets


@dataclass(frozen=True, slots=True)
class ComposeFile:
    """A compose file, with every variable at its default."""

    fields: dict[str, Any]
    services: dict[str, Service]

    @classmethod
    def read(cls, path: Path = FOLDER / "compose.yaml") -> ComposeFile:
        fields = yaml.safe_load(_VARIABLE.sub(_default, path.read_text()))
        return cls(fields, {name: Service(name, service) for name, service in fields["services"].items()})

    @property
    def one_shots(self) -> set[str]:
        """Services that are to end by themselves."""
        return {
            name
            for service in self.services.values()
            for name, until in service.needs.items()
            if until == "service_completed_successfully"
        }


def _default(found: re.Match[str]) -> str:
    return "$" if found[0] == "$$" else found["default"] or ""
