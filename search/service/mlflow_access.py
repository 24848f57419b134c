"""What a role may ask of an MLflow server: the record of sweeps, and nothing else that MLflow can do.

MLflow has no users. Behind one door it keeps the record, but also an assistant that runs commands on the server, a
gateway to language models with the server's keys, jobs and web hooks. What is not named here is refused, also what
a later MLflow may add.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

from search.service.identity import Identity
from search.service.problems import Problem
from search.service.problems import Refused
from search.service.problems import forbidden

_READS = ("GET", "HEAD")
_API = re.compile(r"/(?:ajax-)?api/\d\.0/(?:mlflow/)?(?P<call>(?P<family>[a-z-]+)(?:/.*)?)")
_FILE = re.compile(r"/(?:ajax-)?api/2\.0/mlflow-artifacts/artifacts/.+")
_CREATE_EXPERIMENT = "experiments/create"
_GRAPHQL = "/graphql"

_PAGES = ("/", "/health", "/version", "/get-artifact", "/model-versions/get-artifact")
_READ_FAMILIES = (
    "artifacts",
    "datasets",
    "experiments",
    "gateway-proxy",  # the list of runs asks for it; without a target it answers that there is none
    "get-trace-artifact",
    "issues",
    "logged-models",
    "metrics",
    "mlflow-artifacts",
    "model-versions",
    "registered-models",
    "runs",
    "server-info",
    "traces",
    "ui-telemetry",  # tells the pages that telemetry is off
)
# Questions that are too long for an address: they change nothing, though they are POST.
_SEARCHES = (
    "datasets/search",
    "experiments/search",
    "experiments/search-datasets",
    "issues/search",
    "logged-models/search",
    "registered-models/get-latest-versions",
    "runs/search",
    "traces/batchGetInfos",
    "traces/calculate-filter-correlation",
    "traces/metrics",
    "traces/search",
)
_WRITE_FAMILIES = ("experiments", "logged-models", "mlflow-artifacts", "runs", "upload-artifact")


def check_path(identity: Identity, method: str, path: str) -> None:
    """Refuse what the caller may not ask of MLflow.

    Args:
        identity: Who asks.
        method: HTTP method.
        path: Path, decoded.

    Raises:
        Refused: With 400 or 403, and the reason.
    """
    parts = path.split("/")
    if "" in parts[1:-1] or "." in parts or ".." in parts or "\\" in path:
        # Each program on the way may read such a path as another one.
        raise Refused(Problem("/problems/ambiguous-path", "Ambiguous path", 400, "Leave out empty, . and .. segments."))
    found = _API.fullmatch(path)
    family, call = (found["family"], found["call"]) if found else ("", "")
    if method in _READS and (family in _READ_FAMILIES or path in _PAGES or path.startswith("/static-files/")):
        return
    if method == "POST" and (call in _SEARCHES or path == _GRAPHQL):
        return
    if method not in _READS and family in _WRITE_FAMILIES:
        if not identity.may_submit:
            raise Refused(forbidden("A reader's token changes nothing; use a submitter's."))
        return
    raise Refused(
        forbidden("This service offers of MLflow what records runs and shows them: experiments, runs, artifacts.")
    )


def is_file(path: str) -> bool:
    """Whether MLflow writes what is sent to a path to a file as it comes, and does not read it whole."""
    return _FILE.fullmatch(path) is not None


def is_inspected(path: str) -> bool:
    """Whether :func:`checked_body` must see the body of a POST to a path before it is passed on."""
    return path == _GRAPHQL or _creates_experiment(path)


def checked_body(path: str, body: bytes) -> bytes:
    """Return the body to pass on, after a look into it.

    It is written anew, so that MLflow cannot read anything else in it than was looked at here.

    Raises:
        Refused: With 400 or 403, and the reason.
    """
    try:
        content = json.loads(body)
        rewritten = json.dumps(content).encode()
    except (ValueError, RecursionError):
        content = None
    if not isinstance(content, dict):
        raise Refused(
            Problem("/problems/invalid-input", "The input cannot be used", 400, "The body is no JSON object.")
        )
    if _creates_experiment(path):
        _refuse_artifact_location(content)
    else:
        _refuse_mutation(content)
    return rewritten


def _creates_experiment(path: str) -> bool:
    found = _API.fullmatch(path)
    return found is not None and found["call"] == _CREATE_EXPERIMENT


def _refuse_artifact_location(content: Mapping[str, object]) -> None:
    # MLflow serves whatever lies there as artifacts, and a folder such as file:///etc is no exception.
    if content.get("artifact_location") or content.get("artifactLocation"):
        raise Refused(
            forbidden("Leave out artifact_location; the service keeps the artifacts of every experiment itself.")
        )


def _refuse_mutation(content: Mapping[str, object]) -> None:
    from graphql import GraphQLError
    from graphql import OperationDefinitionNode
    from graphql import OperationType
    from graphql import parse

    query = content.get("query")
    try:
        document = parse(query if isinstance(query, str) else "", no_location=True, max_tokens=10_000)
    except (GraphQLError, RecursionError):
        raise Refused(
            Problem("/problems/invalid-input", "The input cannot be used", 400, "The query is no GraphQL.")
        ) from None
    for definition in document.definitions:
        if isinstance(definition, OperationDefinitionNode) and definition.operation is not OperationType.QUERY:
            raise Refused(forbidden("GraphQL is open here to queries, and to nothing that changes the record."))
