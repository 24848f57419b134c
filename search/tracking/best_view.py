"""The view of MLflow's list of runs that has the best configurations as columns.

MLflow shows tags, parameters and metrics only to who has asked for their columns, and remembers that in their browser.
A saved view is a tag of the experiment: everybody has it in the menu "Views", and it has an address.
"""

from __future__ import annotations

import json
from typing import Any

NAME = "Best (β, λ)"
_KEY = "emphasis-best"

# Tags, because they are there while a sweep runs, and parameters only at its end.
_COLUMNS = (
    ("tags.`best.beta`", 90),
    ("tags.`best.lambda`", 100),
    ("tags.`best.intact_train_accuracy`", 190),
    ("params.`noise_rate`", 90),
    ("params.`backbone`", 90),
    ("params.`supervision`", 100),
    ("tags.`emphasis.state`", 120),
)
_RUN_NAME = ("attributes.`Run Name`", 300)
_SAVED_AT = 1767225600000  # 2026-01-01 in ms; MLflow wants a moment, and one that changed would be written every time


def view_tags() -> dict[str, str]:
    """Return the tags that give an experiment the view."""
    state: dict[str, Any] = {
        "selectedColumns": [column for column, _ in _COLUMNS],
        "columnOrder": [column for column, _ in (_RUN_NAME, *_COLUMNS)],
        "columnWidths": dict((_RUN_NAME, *_COLUMNS)),
    }
    view = {"name": NAME, "createdAt": _SAVED_AT, "updatedAt": _SAVED_AT, "state": json.dumps(state)}
    return {f"mlflow.sharedViewState.{_KEY}": json.dumps(view, ensure_ascii=False)}
