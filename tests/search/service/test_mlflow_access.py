"""What each role may ask of MLflow."""

from __future__ import annotations

import json

import pytest

from search.service.identity import Identity
from search.service.mlflow_access import check_path
from search.service.mlflow_access import checked_body
from search.service.problems import Refused
from search.store import Role

READER, SUBMITTER = Identity("rob", Role.READER), Identity("ann", Role.SUBMITTER)


def status(identity: Identity, method: str, path: str) -> int:
    """The status a request is refused with; 200 where it may pass."""
    try:
        check_path(identity, method, path)
    except Refused as refused:
        return refused.problem.status
    return 200


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/"),
        ("HEAD", "/"),
        ("GET", "/static-files/static/js/main.js"),
        ("GET", "/get-artifact"),
        ("GET", "/api/2.0/mlflow/runs/get"),
        ("GET", "/ajax-api/2.0/mlflow/metrics/get-history-bulk-interval"),
        ("GET", "/api/2.0/mlflow-artifacts/artifacts/1/run/artifacts/figure.svg"),
        ("GET", "/ajax-api/3.0/mlflow/traces"),
        ("POST", "/api/2.0/mlflow/runs/search"),
        ("POST", "/ajax-api/2.0/mlflow/experiments/search-datasets"),
        ("POST", "/ajax-api/3.0/mlflow/traces/search"),
        ("POST", "/graphql"),
    ],
)
def test_everybody_reads(method: str, path: str) -> None:
    assert status(READER, method, path) == status(SUBMITTER, method, path) == 200


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/api/2.0/mlflow/experiments/create"),
        ("POST", "/api/2.0/mlflow/runs/create"),
        ("POST", "/ajax-api/2.0/mlflow/runs/delete"),
        ("POST", "/api/2.0/mlflow/runs/log-batch"),
        ("PUT", "/api/2.0/mlflow-artifacts/artifacts/1/run/artifacts/figure.svg"),
        ("DELETE", "/api/2.0/mlflow-artifacts/artifacts/1/run/artifacts/figure.svg"),
        ("POST", "/ajax-api/2.0/mlflow/upload-artifact"),
        ("PATCH", "/api/2.0/mlflow/logged-models/m-1"),
    ],
)
def test_submitters_alone_write(method: str, path: str) -> None:
    assert status(SUBMITTER, method, path) == 200
    assert status(READER, method, path) == 403


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/ajax-api/3.0/mlflow/assistant/config"),
        ("POST", "/ajax-api/3.0/mlflow/assistant/message"),
        ("POST", "/ajax-api/2.0/mlflow/gateway-proxy"),
        ("POST", "/api/3.0/mlflow/gateway/secrets/create"),
        ("POST", "/gateway/mlflow/v1/chat/completions"),
        ("GET", "/gateway/mlflow/v1/models"),
        ("POST", "/ajax-api/3.0/jobs/"),
        ("GET", "/ajax-api/3.0/jobs/1"),
        ("POST", "/api/2.0/mlflow/webhooks"),
        ("POST", "/api/2.0/mlflow/model-versions/create"),
        ("PATCH", "/api/2.0/mlflow/traces/1/tags"),
        ("POST", "/api/3.0/mlflow/mcp-servers"),
        ("POST", "/ajax-api/3.0/mlflow/genai/evaluate/invoke"),
        ("POST", "/ajax-api/3.0/mlflow/issues/invoke"),
        ("POST", "/v1/traces"),
        ("GET", "/graphql"),
        ("PUT", "/graphql"),
        ("POST", "/"),
        ("GET", "/metrics"),
        ("GET", "/api/2.0/mlflow/experiments\n"),
    ],
)
def test_nobody_reaches_what_else_mlflow_can_do(method: str, path: str) -> None:
    assert status(SUBMITTER, method, path) == 403


@pytest.mark.parametrize(
    "path",
    [
        "/api/2.0/mlflow-artifacts/artifacts/../../../../ajax-api/3.0/mlflow/assistant/message",
        "/static-files/../ajax-api/3.0/mlflow/assistant/config",
        "/static-files/./x",
        "/static-files/..",
        "//ajax-api/3.0/mlflow/assistant/config",
        "/api/2.0/mlflow-artifacts/artifacts//x",
        "/static-files/..\\x",
    ],
)
def test_path_that_two_programs_may_read_differently_is_refused(path: str) -> None:
    assert status(SUBMITTER, "GET", path) == 400


def body_status(path: str, body: object) -> int:
    try:
        checked_body(path, body if isinstance(body, bytes) else json.dumps(body).encode())
    except Refused as refused:
        return refused.problem.status
    return 200


@pytest.mark.parametrize("key", ["artifact_location", "artifactLocation"])
def test_nobody_chooses_where_artifacts_are_read_from(key: str) -> None:
    path = "/api/2.0/mlflow/experiments/create"
    assert body_status(path, {"name": "a", key: "file:///etc"}) == 403
    assert body_status(path, {"name": "a", key: ""}) == 200
    # MLflow also takes JSON in JSON; here it is no object.
    assert body_status(path, json.dumps({"name": "a", key: "/etc"})) == 400
    twice = f'{{"{key}": "/etc", "{key}": ""}}'.encode()
    assert json.loads(checked_body(path, twice)) == {key: ""}
    assert b"/etc" not in checked_body(path, twice)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("query GetRun { mlflowGetRun { run { info { runId } } } }", 200),
        ('{ test(inputString: "mutation") { output } }', 200),
        ('mutation { testMutation(inputString: "x") { output } }', 403),
        ("query A { test { output } } mutation B { testMutation { output } }", 403),
        ("subscription { x }", 403),
        ("query {", 400),
        ("{ x }" * 5000, 400),
        ("{ x " * 5000, 400),
        (None, 400),
        (["query { x }"], 400),
    ],
)
def test_graphql_is_open_to_queries_alone(query: object, expected: int) -> None:
    assert body_status("/graphql", {"query": query}) == expected


@pytest.mark.parametrize("body", [b"", b"null", b"[]", b"\xff", b"[" * 100_000])
def test_body_that_is_no_object_is_refused(body: bytes) -> None:
    assert body_status("/graphql", body) == 400
