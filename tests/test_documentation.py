"""What the documents say can be done, can be done: commands, links, fields, examples and dependencies."""

from __future__ import annotations

import ast
import doctest
import importlib
import re
import shlex
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
import typer.main

from search.cli import app
from search.cli.sweep_options import OPTIONS
from search.spec import SweepSpec

ROOT = Path(__file__).resolve().parents[1]
DOCUMENTS = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docker").glob("*.md"))]
PACKAGES = ("spaces", "trainers", "search")
EXAMPLES = (
    *("spaces.configuration", "spaces.space", "spaces.starting_points"),
    *("search.spec_reading", "trainers.supervision.weights"),
)
# Those have a file alone, as README says.
WITHOUT_OPTION = {"training.milestones", "training.milestone_unit", "training.decay_factor", "confirm.defaults"}


def command_lines() -> Iterator[tuple[str, list[str]]]:
    """Each line of a console in the documents that runs `emphasis`, and its words."""
    for document in DOCUMENTS:
        for line in re.findall(r"^\$ (.*\bemphasis .*)$", document.read_text(), re.MULTILINE):
            for part in re.split(r"; | && | \| ", re.sub(r"[\[\]]", "", line.partition("  #")[0])):
                words = shlex.split(part, comments=True)
                if "emphasis" in words:
                    yield f"{document.name}: {part}", words[words.index("emphasis") + 1 :]


def test_every_command_line_that_is_shown_names_a_command_and_options_that_there_are() -> None:
    commands = typer.main.get_command(app)
    shown = list(command_lines())
    assert len(shown) > 30
    for line, words in shown:
        command, names = commands, {name for parameter in commands.params for name in parameter.opts}
        for word in words:
            if word.startswith("-"):
                assert word.partition("=")[0].partition("|")[0] in names | {"--help"}, line
            elif word in getattr(command, "commands", {}):
                command = command.commands[word]
                names |= {name for each in command.params for name in (*each.opts, *each.secondary_opts)}
        assert command is not commands or not words or "--help" in words, line


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_link_leads_to_a_file(document: Path) -> None:
    links = re.findall(r"\]\((?!https?:|#|mailto:)([^)#\s]+)", document.read_text())
    assert [link for link in links if not (document.parent / link).exists()] == []


def test_every_field_of_a_sweep_has_an_option_and_a_word_in_readme_unless_it_says_otherwise() -> None:
    readme = (ROOT / "README.md").read_text()
    sections = ("training", "confirm", "resources")
    fields = {
        f"{name}.{inner}" if name in sections else name
        for name, field in SweepSpec.model_fields.items()
        for inner in (field.annotation.model_fields if name in sections else [""])  # type: ignore[union-attr]
    }
    assert fields - OPTIONS.keys() == WITHOUT_OPTION
    unnamed = [name for name in fields if not any(f"`{each}`" in readme for each in (name, name.rpartition(".")[2]))]
    assert unnamed == []


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_examples_of_a_module_give_what_they_show(name: str) -> None:
    names = {"torch": importlib.import_module("torch")}
    found = doctest.testmod(importlib.import_module(name), extraglobs=names)
    assert found.attempted > 0
    assert found.failed == 0


def imported() -> set[str]:
    """Top-level names of all that product code imports."""
    found: set[str] = set()
    for path in (path for package in PACKAGES for path in (ROOT / package).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                found |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                found.add(node.module.partition(".")[0])
    return found


def test_whatever_is_imported_is_declared() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    listed = [*project["dependencies"], *(each for extra in extras.values() for each in extra)]
    declared = {re.split(r"[^A-Za-z0-9._-]", text)[0].lower().replace("_", "-") for text in listed}
    distributions = packages_distributions()
    foreign = imported() - set(sys.stdlib_module_names) - set(PACKAGES)
    found = {name: {each.lower().replace("_", "-") for each in distributions.get(name, [name])} for name in foreign}
    assert {name for name, sources in found.items() if not sources & declared} == set()
