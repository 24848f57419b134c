"""The API keeps to its own OpenAPI document, whatever it is asked: a property-based run of schemathesis."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import httpx
from recorded_sweeps import RecordedSweep
from recorded_sweeps import RecordSweep
from served_api import served

from search.service.asking import MlflowPages
from search.store import Store
from search.store import TrackingRecord

# What the document cannot say is not checked: that fields which are sound by themselves fit each other and the data
# (positive_data_acceptance), and that numbers may be written as texts, as in a file (negative_data_rejection).
CHECKS = (
    "not_a_server_error,status_code_conformance,content_type_conformance,response_headers_conformance,"
    "response_schema_conformance,unsupported_method,allow_header_conformance,use_after_free,"
    "ensure_resource_availability,ignored_auth"
)
CONFIG = """
max-redirects = 0
request-timeout = 60
parameters = {{ "path.sweep" = {{ dictionary = "sweeps", probability = 0.7 }} }}

[dictionaries.sweeps]
values = ["{done}", "waiting", "running", "none"]

# A log that is followed does not end before its sweep.
[[operations]]
include-operation-id = "read_events"
parameters = {{ "query.follow" = false, "path.sweep" = {{ dictionary = "sweeps", probability = 0.7 }} }}

# Every field of a spec by every value would take minutes; the other phases draw them at random.
[[operations]]
include-operation-id = ["submit_sweep", "validate_sweep"]
phases.coverage.enabled = false
"""


def test_no_request_is_answered_with_a_500_or_in_an_undeclared_way(
    store: Store, tmp_path: Path, confirmed_sweep: RecordedSweep, record_sweep: RecordSweep
) -> None:
    record_sweep("waiting")
    record_sweep("running").searched((8, 0.5), 0.9)
    store.claim_sweep("running", "elsewhere:1:1.0", is_alive=lambda owner, at: True, lease_seconds=3600)
    store.tracking.save(confirmed_sweep.id, TrackingRecord(confirmed_sweep.id, "0123abcd"))
    config = tmp_path / "schemathesis.toml"
    config.write_text(CONFIG.format(done=confirmed_sweep.id))
    # Without data roots no example can make the service read a file or fetch one.
    with served(store, tmp_path, data_roots=[], mlflow=MlflowPages(port=5000)) as api:
        figures = api.service.home.figures(confirmed_sweep.id)
        figures.mkdir(parents=True)
        (figures / "leaderboard.md").write_text("| β | λ |")
        authorization = f"Authorization: Bearer {api.token('schemathesis')}"
        with api.client("first") as client:
            # Torch is loaded for the first of them, which takes seconds.
            assert client.post("/api/v1/sweeps", json={"dataset": "digits", "noise_rate": 0.4}).status_code == 201
        command = [sys.executable, "-m", "schemathesis.cli", "--config-file", str(config)]
        command += ["run", f"{api.url}/api/v1/openapi.json", "--header", authorization, "--checks", CHECKS]
        command += ["--max-examples", "8", "--generation-deterministic"]
        command += ["--workers", "2", "--warnings", "off", "--no-color"]
        environment = {**os.environ, "COLUMNS": "200"}
        done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=environment)
        assert done.returncode == 0, done.stdout[-20_000:] + done.stderr
        assert httpx.get(f"{api.url}/api/v1/health/ready").status_code == 200
