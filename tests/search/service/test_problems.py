"""Refusals as RFC 9457 has them."""

from __future__ import annotations

import json
from pathlib import Path

from search.service.problems import Problem
from search.service.problems import invalid_input
from search.service.problems import response
from trainers.errors import FieldError
from trainers.errors import InvalidInput


def test_every_wrong_field_is_named_with_its_value_and_remedy() -> None:
    error = InvalidInput(
        FieldError("noise_rate", 1.5, "is not below 1", "Give a rate in [0, 1)."),
        FieldError("trials", 0, "is not positive", "Give 1 or more."),
    )
    answer = response(invalid_input(error))
    assert answer.status_code == 422
    assert answer.headers["Content-Type"] == "application/problem+json"
    content = json.loads(answer.body)
    assert content["type"] == "/problems/invalid-input"
    assert content["status"] == 422
    assert content["errors"][0] == {
        "field": "noise_rate",
        "value": 1.5,
        "problem": "is not below 1",
        "remedy": "Give a rate in [0, 1).",
    }
    assert [each["field"] for each in content["errors"]] == ["noise_rate", "trials"]
    assert "Give 1 or more." in content["detail"]


def test_values_that_json_has_not_are_told_as_text() -> None:
    value = {"rate": float("nan"), 1: (Path("a"), {"b"}), "half": "\ud800"}
    problem = invalid_input(InvalidInput(FieldError("space", value, "is odd", "Give another.")))
    shown = json.loads(response(problem).body)["errors"][0]["value"]
    assert shown == {"rate": "nan", "1": ["a", ["b"]], "half": "\ud800"}


def test_members_without_a_value_are_left_out_and_extensions_added() -> None:
    answer = response(Problem("/problems/x", "X", 409, "No."), {"Retry-After": "3"}, {"error_code": "X"})
    assert json.loads(answer.body) == {
        "type": "/problems/x",
        "title": "X",
        "status": 409,
        "detail": "No.",
        "error_code": "X",
    }
    assert answer.headers["Retry-After"] == "3"
    assert answer.headers["Cache-Control"] == "no-store"
