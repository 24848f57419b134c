"""Recommendations as text: JSON, YAML, CSV and Markdown, all with the same facts at full precision."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from typing import Any

import yaml

from search.recommendation import Recommendation
from search.recommendation import dataset_names
from search.reports.tables import markdown_table
from search.reports.tables import recommendations_markdown
from trainers.errors import FieldError
from trainers.errors import InvalidInput

FORMATS = ("json", "yaml", "csv", "md")


def export(recommendations: Sequence[Recommendation], format: str = "json") -> str:
    """Write recommendations as text.

    * ``json``, ``yaml``: a list of objects (`Recommendation.as_dict`).
    * ``csv``: one row a recommendation; the columns are the paths into that object with dots
      (``recommended.beta``), a list is JSON in one cell, and an empty cell is null.
    * ``md``: a table to read, with rounded numbers, then for each recommendation a table of the same paths
      and their exact values as JSON.

    Args:
        recommendations: What to write, in this order.
        format: One of `FORMATS`.

    Returns:
        The text, ending in a newline.

    Raises:
        InvalidInput: Unknown format.
    """
    objects = [recommendation.as_dict() for recommendation in recommendations]
    match format:
        case "json":
            return json.dumps(objects, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
        case "yaml":
            return yaml.safe_dump(objects, sort_keys=False, allow_unicode=True)
        case "csv":
            return _csv(objects)
        case "md":
            return _markdown(recommendations)
        case _:
            raise InvalidInput(
                FieldError("format", format, "unknown export format", f"Use one of {', '.join(FORMATS)}.")
            )


def flatten(value: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """The leaves of nested dicts by their dotted paths; lists and empty dicts count as leaves."""
    flat: dict[str, Any] = {}
    for name, inner in value.items():
        path = f"{prefix}{name}"
        if isinstance(inner, dict) and inner:
            flat.update(flatten(inner, f"{path}."))
        else:
            flat[path] = inner
    return flat


def _csv(objects: Sequence[dict[str, Any]]) -> str:
    rows = [flatten(each) for each in objects]
    columns = list(dict.fromkeys(name for row in rows for name in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: _csv_cell(value) for name, value in row.items()} for row in rows)
    return text.getvalue()


def _csv_cell(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, allow_nan=False)


def _markdown(recommendations: Sequence[Recommendation]) -> str:
    parts = [recommendations_markdown(recommendations)]
    for each, dataset in zip(recommendations, dataset_names(recommendations), strict=True):
        rows = [
            (f"`{path}`", json.dumps(value, ensure_ascii=False, allow_nan=False))
            for path, value in flatten(each.as_dict()).items()
        ]
        about = f"{dataset}, noise rate {each.noise_rate:g}, {each.backbone}"
        heading = f"### {about}, {each.recommended.supervision}"
        parts.append(f"{heading}\n\n{markdown_table(('field', 'value'), rows)}")
    return "\n".join(parts)
