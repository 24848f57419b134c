"""Every format carries the same facts."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace
from typing import Any

import pytest
import yaml
from recorded_sweeps import RecordedSweep
from recorded_sweeps import RecordSweep

from search.export import FORMATS
from search.export import export
from search.export import flatten
from search.newest_recommendations import recommendations
from search.recommendation import Recommendation
from search.store import Store
from spaces import Configuration
from trainers.errors import InvalidInput


@pytest.fixture
def exported(confirmed_sweep: RecordedSweep, record_sweep: RecordSweep, store: Store) -> list[Recommendation]:
    """One that is confirmed, and one without baseline or standard error and with an awkward name."""
    sparse = record_sweep("sparse", dataset='odd|"name", été\\', noise_rate=0.1 + 0.2)
    sparse.searched((1e-7, 1 / 3), 0.9)
    sparse.done()
    return recommendations(store)


def from_csv(text: str) -> list[dict[str, Any]]:
    return [dict(row) for row in csv.DictReader(io.StringIO(text))]


def from_markdown(text: str) -> list[dict[str, Any]]:
    tables = text.split("### ")[1:]
    found = []
    for table in tables:
        rows = [line for line in table.splitlines() if line.startswith("| `")]
        cells = [line.removeprefix("| ").removesuffix(" |").split(" | ", 1) for line in rows]
        found.append(
            {
                path.strip("`"): json.loads(value.replace("\\|", "|").replace("\\\\", "\\"))
                for path, value in cells
            }
        )
    return found


def test_json_is_the_list_of_objects(exported: list[Recommendation]) -> None:
    assert json.loads(export(exported, "json")) == [each.as_dict() for each in exported]
    assert list(json.loads(export(exported, "json"))[0]) == [
        "dataset", "noise_rate", "noise_model", "backbone", "recommended", "searched", "objective", "test_accuracy",
        "intact_accuracy", "baseline", "ties", "provenance",
    ]  # fmt: skip


def test_what_was_exported_is_read_back_as_it_was(
    exported: list[Recommendation], record_sweep: RecordSweep, store: Store
) -> None:
    other = record_sweep("other", supervision="gce", spec={"hyperparameters": {"q": 0.5}})
    other.searched(Configuration.of("gce", weight_decay=1e-4), 0.9, 0.8)
    other.done()
    found = recommendations(store)
    assert len(found) == len(exported) + 1
    for recommendation in found:
        told = json.loads(json.dumps(recommendation.as_dict()))
        assert Recommendation.from_dict(told) == recommendation
    (gce,) = (each for each in found if each.recommended.supervision == "gce")
    assert gce.as_dict()["searched"] == ["weight_decay"]


def test_an_export_of_a_release_that_did_not_say_what_was_searched_is_read(exported: list[Recommendation]) -> None:
    told = exported[0].as_dict()
    del told["searched"]
    assert Recommendation.from_dict(told) == exported[0]


def test_yaml_holds_what_json_holds(exported: list[Recommendation]) -> None:
    assert yaml.safe_load(export(exported, "yaml")) == json.loads(export(exported, "json"))


def test_csv_holds_what_json_holds(exported: list[Recommendation]) -> None:
    rows = from_csv(export(exported, "csv"))
    objects = json.loads(export(exported, "json"))
    assert len(rows) == len(objects)
    for row, wanted in zip(rows, objects, strict=True):
        for path, value in flatten(wanted).items():
            cell = row.pop(path)
            if value is None:
                assert cell == ""
            else:
                assert (cell if isinstance(value, str) else json.loads(cell)) == value
        # What is left are paths below a part that this one has not, such as its baseline.
        assert set(row.values()) <= {""}


def test_markdown_holds_what_json_holds(exported: list[Recommendation]) -> None:
    objects = json.loads(export(exported, "json"))
    assert from_markdown(export(exported, "md")) == [flatten(wanted) for wanted in objects]


def test_markdown_begins_with_a_table_to_read(confirmed_sweep: RecordedSweep, store: Store) -> None:
    text = export(recommendations(store), "md")
    header, _, row = text.splitlines()[:3]
    assert header.startswith("| dataset | noise rate | backbone | supervision | recommended | trained | intact")
    assert row.startswith("| digits | 0.4 (symmetric) | mlp | gr | β=16, λ=1 | 4 epochs | 0.960 ± 0.006 (n=3) |")
    assert "0.610 ± 0.006 (n=3)" in row
    assert "(β, λ) = (8, 0.5)" in row


def test_markdown_warns_of_numbers_that_no_fresh_seed_confirmed(exported: list[Recommendation]) -> None:
    confirmed, sparse = exported
    assert "Not confirmed" not in export([confirmed], "md")
    assert "Not confirmed on fresh seeds" in export([sparse], "md")
    lost = replace(confirmed, provenance=replace(confirmed.provenance, failed_seeds=2))
    assert "digits at 0.4: It failed on 2 fresh seeds, which the means leave out." in export([lost], "md")


@pytest.mark.parametrize("format", FORMATS)
def test_every_format_ends_with_one_newline(exported: list[Recommendation], format: str) -> None:
    text = export(exported, format)
    assert text.endswith("\n")
    assert not text.endswith("\n\n")


def test_unknown_format_is_refused_with_those_there_are(exported: list[Recommendation]) -> None:
    with pytest.raises(InvalidInput, match="json, yaml, csv, md"):
        export(exported, "xml")
