"""Every format carries the same facts."""

from __future__ import annotations

import csv
import io
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from recorded_sweeps import RecordedSweep
from recorded_sweeps import RecordSweep

import trainers
from search.export import FORMATS
from search.export import export
from search.export import flatten
from search.newest_recommendations import recommendations
from search.recommendation import Recommendation
from search.store import Store
from spaces import Configuration
from trainers import GradientRescaling
from trainers.errors import InvalidInput
from trainers.supervision import Criterion

TRAINING = {"epochs": 4, "learning_rate": 0.02, "milestones": [6.0, 9.0], "augmentation": "none", "weights": "none"}


@pytest.fixture
def exported(confirmed_sweep: RecordedSweep, record_sweep: RecordSweep, store: Store) -> list[Recommendation]:
    """One that is confirmed, and one without baseline or standard error and with an awkward name.

    Of the second it is known how it was trained.
    """
    sparse = record_sweep("sparse", dataset='odd|"name", été\\', noise_rate=0.1 + 0.2, spec={"training": TRAINING})
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


def test_an_export_of_another_release_is_read(exported: list[Recommendation]) -> None:
    earlier = exported[1].as_dict()
    for name in ("source", "noise_file", "noise_column", "training"):
        del earlier["provenance"][name]
    found = Recommendation.from_dict(earlier)
    assert found == replace(exported[1], provenance=replace(exported[1].provenance, source="", training={}))
    assert export([found], "md").splitlines()[2].startswith("| odd")
    later = exported[1].as_dict()
    later["provenance"]["weather"] = "fair"
    assert Recommendation.from_dict(later) == exported[1]


def test_yaml_holds_what_json_holds_in_the_same_order_and_letters(exported: list[Recommendation]) -> None:
    text = export(exported, "yaml")
    told = yaml.safe_load(text)
    objects = json.loads(export(exported, "json"))
    assert told == objects
    for mine, wanted in zip(told, objects, strict=True):
        assert list(flatten(mine)) == list(flatten(wanted))
    assert "été" in text


def test_every_format_says_how_was_trained_and_on_what(record_sweep: RecordSweep, store: Store) -> None:
    labels = {"noise_model": "file", "noise_file": "/data/human.pt", "noise_column": "worst"}
    sweep = record_sweep(spec={"dataset": "/data/digits", "training": TRAINING, **labels})
    sweep.searched((8, 1), 0.9)
    sweep.done()
    found = recommendations(store)
    (told,) = json.loads(export(found, "json"))
    provenance = told["provenance"]
    assert provenance["training"] == TRAINING
    assert (provenance["source"], provenance["noise_file"], provenance["noise_column"]) == (
        "/data/digits", "/data/human.pt", "worst",
    )  # fmt: skip
    (row,) = from_csv(export(found, "csv"))
    assert (row["provenance.training.learning_rate"], row["provenance.training.milestones"]) == ("0.02", "[6.0, 9.0]")
    text = export(found, "md")
    assert "| `provenance.training.milestones` | [6.0, 9.0] |" in text
    assert text.splitlines()[2].startswith("| digits | 0.4 (file human.pt worst) | mlp | gr | β=8, λ=1 | 4 epochs | ")


def test_what_is_empty_stays_a_field(exported: list[Recommendation]) -> None:
    assert exported[0].as_dict()["provenance"]["training"] == {}
    assert flatten(exported[0].as_dict())["provenance.training"] == {}
    rows = from_csv(export(exported, "csv"))
    assert [row["provenance.training"] for row in rows] == ["{}", ""]
    assert [row["provenance.training.epochs"] for row in rows] == ["", "4"]
    assert "| `provenance.training` | {} |" in export(exported, "md")


def test_two_label_files_are_two_kinds_of_noise(record_sweep: RecordSweep, store: Store) -> None:
    for number, (file, column) in enumerate([("/a.pt", "worst"), ("/a.pt", "random"), ("/b.pt", "worst")]):
        labels = {"noise_model": "file", "noise_file": file, "noise_column": column}
        sweep = record_sweep(f"s{number}", spec=labels)
        sweep.searched((8, 1), 0.9)
        sweep.done()
    found = json.loads(export(recommendations(store), "json"))
    named = {(each["provenance"]["noise_file"], each["provenance"]["noise_column"]) for each in found}
    assert named == {("/a.pt", "worst"), ("/a.pt", "random"), ("/b.pt", "worst")}


def test_markdown_tells_two_folders_of_one_name_apart(record_sweep: RecordSweep, store: Store) -> None:
    for folder in ("/a/my pics", "/b/my pics"):
        sweep = record_sweep(folder[1], dataset="my pics", spec={"dataset": folder})
        sweep.searched((8, 1), 0.9)
        sweep.done()
    both = export(recommendations(store), "md")
    for folder in ("/a/my pics", "/b/my pics"):
        assert f"\n| my pics ({folder}) | 0.4" in both
        assert f"### my pics ({folder}), noise rate 0.4" in both
        assert f" my pics ({folder}) at 0.4: Not confirmed" in both
        assert "\n| my pics | 0.4" in export(recommendations(store, folder), "md")


def test_markdown_counts_one_epoch(exported: list[Recommendation]) -> None:
    short = replace(exported[0], provenance=replace(exported[0].provenance, epochs=1, limit_train=1500))
    assert "| 1 epoch of 1,500 examples |" in export([short], "md")


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


def test_an_export_is_trained_with_as_the_readme_says(
    exported: list[Recommendation], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    readme = (Path(__file__).parents[2] / "README.md").read_text()
    (code,) = [block for block in re.findall(r"```python\n(.*?)```", readme, re.DOTALL) if "best.json" in block]
    (tmp_path / "best.json").write_text(export(exported, "json"))
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {"GradientRescaling": GradientRescaling}
    exec(code, names)
    assert names["criterion"] == GradientRescaling(beta=16, lam=1, transform="exp", normalise="batch")
    (called,) = re.findall(r"^(`\w+`.*?) are called likewise", readme, re.MULTILINE)
    likewise = set(re.findall(r"`(\w+)`", called))
    losses = {name for name in trainers.__all__ if issubclass(getattr(trainers, name), Criterion)}
    assert losses == {"GradientRescaling", *likewise}


@pytest.mark.parametrize("format", FORMATS)
def test_every_format_ends_with_one_newline(exported: list[Recommendation], format: str) -> None:
    text = export(exported, format)
    assert text.endswith("\n")
    assert not text.endswith("\n\n")


def test_unknown_format_is_refused_with_those_there_are(exported: list[Recommendation]) -> None:
    with pytest.raises(InvalidInput, match="json, yaml, csv, md"):
        export(exported, "xml")
