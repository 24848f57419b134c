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
VARIABLE = re.compile(r"\bEMPHASIS_[A-Z_]*[A-Z]\b")
# Packages show in their own docstrings what they are for; those need what the reader has.
EXAMPLES = [
    ".".join(path.relative_to(ROOT).with_suffix("").parts)
    for path in sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
    if path.name != "__init__.py" and re.search(r">>> (?!.*\+SKIP)", path.read_text())
]


def command_lines() -> Iterator[tuple[str, list[str]]]:
    """What the documents show of `emphasis`, in consoles and in sentences: the text, and the words after that name."""
    for document in DOCUMENTS:
        text = document.read_text()
        consoles = re.findall(r"^\$ (.*)$", text, re.MULTILINE)
        prose = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
        shown = [part for line in consoles for part in re.split(r"; | && | \| ", line.partition("  #")[0])]
        for part in [*shown, *re.findall(r"`(emphasis\s[^`]+)`", prose)]:
            words = shlex.split(re.sub(r"[\[\]]", "", part), comments=True)
            if "emphasis" in words:
                yield f"{document.name}: {part}", words[words.index("emphasis") + 1 :]


def refusal(words: list[str]) -> str | None:
    """What the command line does not know of these words; values may be placeholders."""
    command = typer.main.get_command(app)
    rest = iter(words)
    for word in rest:
        name, equals, _ = word.partition("=")
        if word == "--help":
            return None
        if word.startswith("-"):
            options = {each: option for option in command.params for each in (*option.opts, *option.secondary_opts)}
            if name not in options:
                return f"no option {name} of {command.name}"
            if not getattr(options[name], "is_flag", False) and not equals:
                next(rest, None)
        elif hasattr(command, "commands"):
            if word not in command.commands:
                return f"no command {word} of {command.name}"
            command = command.commands[word]
        elif not any(each.param_type_name == "argument" for each in command.params):
            return f"no argument {word} of {command.name}"
    return f"no command of {command.name} is named" if hasattr(command, "commands") else None


def test_every_command_line_that_is_shown_names_a_command_and_options_that_there_are() -> None:
    shown = list(command_lines())
    assert len(shown) > 70
    assert {line: refusal(words) for line, words in shown if refusal(words)} == {}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_link_leads_to_a_file(document: Path) -> None:
    links = re.findall(r"\]\((?!https?:|#|mailto:)([^)#\s]+)", document.read_text())
    assert [link for link in links if not (document.parent / link).exists()] == []


def test_every_field_of_a_sweep_has_an_option_unless_readme_says_otherwise_and_a_row_there() -> None:
    readme = (ROOT / "README.md").read_text()
    sections = ("training", "confirm", "resources")
    fields = {
        f"{name}.{inner}" if name in sections else name
        for name, field in SweepSpec.model_fields.items()
        for inner in (field.annotation.model_fields if name in sections else [""])  # type: ignore[union-attr]
    }
    # Of `training` the documents give the names alone.
    full = {field.removeprefix("training."): field for field in fields}
    (without,) = re.findall(r"but for ([^()]*), which a file has", " ".join(readme.split()))
    assert fields - OPTIONS.keys() == {full[name] for name in re.findall(r"`(.*?)`", without)}
    # A row names its fields in its first cell; that of `training.*` in its last.
    (rows,) = re.findall(r"^\| field \|.*\n((?:\|.*\n)+)", readme, re.MULTILINE)
    cells = [row if row.startswith("| `training.*`") else row.split("|")[1] for row in rows.splitlines()]
    assert full.keys() - {name for cell in cells for name in re.findall(r"`(.*?)`", cell)} == set()


def test_every_variable_of_the_environment_that_is_read_is_named() -> None:
    paths = (path for folder in (*PACKAGES, "docker") for path in (ROOT / folder).rglob("*"))
    # Secrets are nobody's to read, and bytecode may be of yesterday's code.
    files = (path for path in paths if path.is_file() and not {"secrets", "__pycache__"} & set(path.parts))
    texts = [path.read_text() for path in files if path.suffix != ".md"]
    read = {name for text in texts for name in VARIABLE.findall(text)}
    named = set(VARIABLE.findall("".join((ROOT / name / "README.md").read_text() for name in (".", "docker"))))
    assert len(read) > 10
    assert read - named == set()


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
    # Those of developers are not there where it is installed to be used.
    listed = [*project["dependencies"], *(each for name in extras.keys() - {"dev"} for each in extras[name])]
    declared = {re.split(r"[^A-Za-z0-9._-]", text)[0].lower().replace("_", "-") for text in listed}
    distributions = packages_distributions()
    foreign = imported() - set(sys.stdlib_module_names) - set(PACKAGES)
    found = {name: {each.lower().replace("_", "-") for each in distributions.get(name, [name])} for name in foreign}
    assert {name for name, sources in found.items() if not sources & declared} == set()
