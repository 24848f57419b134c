"""The fields of a sweep as YAML: what `--dry-run` and `show` print, and what a file gives back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def spec_yaml(fields: Mapping[str, Any]) -> str:
    """Write fields as YAML without those that are null: leaving a field out means the same."""
    import yaml

    text: str = yaml.safe_dump(
        _without_nulls(fields), sort_keys=False, allow_unicode=True, default_flow_style=None
    )
    return text.rstrip()


def _without_nulls(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: _without_nulls(value) if isinstance(value, Mapping) else value
        for name, value in fields.items()
        if value is not None
    }
