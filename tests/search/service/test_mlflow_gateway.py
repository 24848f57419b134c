"""The gateway: in front of a server that shows what it gets, and of a real MLflow."""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import os
import re
import subprocess
import sys
import threading
from collections.abc import AsyncIterator
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from playwright.sync_api import expect
from playwright.sync_api import sync_playwright
from serving import GatedMlflow
from serving import served
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.responses import RedirectResponse
from starlette.responses import Response
from starlette.responses import StreamingResponse
from starlette.routing import Route

from search.service import mlflow_gateway
from search.service.guard import Guard
from search.service.mlflow_gateway import gateway
from search.service.rate_limit import RateLimit
from search.service.tokens import hash_token
from search.service.tokens import new_token
from search.store import Role
from search.store import Store
from search.tracking.interface import gated_command
from trainers.errors import InvalidInput

PATIENCE = 120.0  # seconds
FILE = "/api/2.0/mlflow-artifacts/artifacts/file"


@dataclass(frozen=True)
class Tokens:
    """The text of two tokens."""

    submitter: str
    reader: str


def add_tokens(store: Store) -> Tokens:
    tokens = Tokens(new_token(), new_token())
    store.tokens.add("ann", Role.SUBMITTER, hash_token(tokens.submitter))
    store.tokens.add("rob", Role.READER, hash_token(tokens.reader))
    return tokens


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


class Upstream:
    """A server that shows what reached it, and whose streams wait for the other side."""

    def __init__(self) -> None:
        self.first_arrived, self.first_read, self.ended = threading.Event(), threading.Event(), threading.Event()
        self.app = Starlette(
            routes=[
                Route("/api/2.0/mlflow/runs/{rest:path}", self.show, methods=["GET", "POST", "DELETE"]),
                Route("/api/2.0/mlflow/experiments/get", self.redirect),
                Route(FILE, self.take, methods=["PUT"]),
                Route(FILE, self.give, methods=["GET"]),
            ]
        )

    async def show(self, request: Request) -> Response:
        shown = {
            "method": request.method,
            "path": request.scope["raw_path"].decode(),
            "query": request.scope["query_string"].decode(),
            "headers": [(name.decode(), value.decode()) for name, value in request.headers.raw],
            "body": (await request.body()).decode(),
        }
        return JSONResponse(shown, headers={"X-Own": "kept", "Keep-Alive": "timeout=5"})

    async def redirect(self, request: Request) -> Response:
        return RedirectResponse(f"{request.base_url}api/2.0/mlflow/runs/get")

    async def take(self, request: Request) -> Response:
        try:
            async for _ in request.stream():
                self.first_arrived.set()
        except ClientDisconnect:
            self.ended.set()
            raise
        return Response()

    async def give(self, request: Request) -> Response:
        async def parts() -> AsyncIterator[bytes]:
            try:
                yield b"first"
                while True:
                    await asyncio.sleep(0)  # a server that never waits does not notice that nobody listens
                    yield b"x" * 100_000
            finally:
                self.ended.set()

        return StreamingResponse(parts())


@pytest.fixture
def upstream() -> Upstream:
    return Upstream()


@pytest.fixture
def tokens(store: Store) -> Tokens:
    return add_tokens(store)


@pytest.fixture
def client(upstream: Upstream, store: Store, tokens: Tokens) -> Iterator[httpx.Client]:
    """Of a gateway to the upstream; it sends the submitter's token."""
    with ExitStack() as stack:
        private = stack.enter_context(served(upstream.app))
        public = stack.enter_context(served(gateway(private, Guard.of_service(store.tokens, "127.0.0.1"))))
        yield stack.enter_context(
            httpx.Client(base_url=public, headers=bearer(tokens.submitter), timeout=PATIENCE, trust_env=False)
        )


def seen(answer: httpx.Response) -> tuple[dict[str, Any], dict[str, str]]:
    """What the upstream saw, and of that the headers."""
    assert answer.status_code == 200, answer.text
    shown = answer.json()
    return shown, dict(shown["headers"])


def test_nothing_of_a_caller_reaches_mlflow_that_is_not_meant_for_it(client: httpx.Client, tokens: Tokens) -> None:
    answer = client.post(
        "/api/2.0/mlflow/runs/search",
        json={"a": 1},
        headers={
            "Cookie": f"emphasis_token={tokens.reader}",
            "Origin": "http://other.example",
            "Referer": "http://other.example/secret",
            "X-Forwarded-For": "127.0.0.1",
            "X-Forwarded-Host": "evil.example",
            "X-Real-IP": "127.0.0.1",
            "Forwarded": "for=127.0.0.1",
            "Connection": "close, X-Named",
            "X-Named": "hop",
            "X-Kept": "kept",
            "Accept-Encoding": "identity",
        },
    )
    shown, headers = seen(answer)
    assert json.loads(shown["body"]) == {"a": 1}
    assert headers.pop("host").startswith("127.0.0.1:")
    assert headers.pop("x-forwarded-for") == "127.0.0.1"
    assert headers == {
        "accept": "*/*",
        "accept-encoding": "identity",
        "user-agent": client.headers["User-Agent"],
        "content-length": "7",
        "content-type": "application/json",
        "x-kept": "kept",
    }
    assert answer.headers["X-Own"] == "kept"
    assert "Keep-Alive" not in answer.headers
    assert len(answer.headers.get_list("Date")) == 1


def test_path_and_query_are_passed_on_to_the_letter(client: httpx.Client) -> None:
    shown, _ = seen(client.get("/api/2.0/mlflow/runs/%C3%A4%20b%2525?q=%2F%26&q=a+b&empty="))
    assert shown["path"] == "/api/2.0/mlflow/runs/%C3%A4%20b%2525"
    assert shown["query"] == "q=%2F%26&q=a+b&empty="


@pytest.mark.parametrize("path", ["/../x", "/%2e%2e/x", "/%2E/x", "//x", "/%2F/x", "/..%2Fx", "/%5c..%5cx"])
def test_path_cannot_be_bent_on_the_way(client: httpx.Client, path: str) -> None:
    # A client of our own would tidy the path up before it is sent.
    url = client.base_url
    import http.client

    connection = http.client.HTTPConnection(url.host, url.port, timeout=PATIENCE)
    connection.request("GET", "/api/2.0/mlflow/runs" + path, headers=dict(client.headers))
    assert connection.getresponse().status == 400
    connection.close()


def test_redirection_leads_back_to_the_gateway(client: httpx.Client) -> None:
    answer = client.get("/api/2.0/mlflow/experiments/get")
    assert answer.headers["Location"] == "/api/2.0/mlflow/runs/get"


def test_upload_is_passed_on_while_it_comes(client: httpx.Client, upstream: Upstream) -> None:
    def parts() -> Iterator[bytes]:
        yield b"first"
        assert upstream.first_arrived.wait(PATIENCE), "the gateway keeps the first part to itself"
        yield b"second"

    assert client.put(FILE, content=parts()).status_code == 200


def test_download_is_passed_on_while_it_comes_and_ends_when_nobody_reads(
    client: httpx.Client, upstream: Upstream
) -> None:
    with client.stream("GET", FILE) as answer:
        assert next(answer.iter_raw()).startswith(b"first")
        assert not upstream.ended.is_set()
    assert upstream.ended.wait(PATIENCE)


def test_upload_that_breaks_off_is_broken_off_for_mlflow_too(client: httpx.Client, upstream: Upstream) -> None:
    def parts() -> Iterator[bytes]:
        yield b"first"
        assert upstream.first_arrived.wait(PATIENCE)
        raise KeyError("the worker died")

    with pytest.raises(KeyError):
        client.put(FILE, content=parts())
    assert upstream.ended.wait(PATIENCE)


@pytest.mark.parametrize(
    ("method", "path", "limit"),
    [
        ("POST", "/api/2.0/mlflow/runs/search", "LARGEST_BODY"),
        ("POST", "/api/2.0/mlflow/experiments/create", "LARGEST_INSPECTED"),
        ("PUT", FILE, "LARGEST_FILE"),
    ],
)
def test_too_large_a_body_is_refused_whether_its_length_is_told_or_not(
    client: httpx.Client, monkeypatch: pytest.MonkeyPatch, method: str, path: str, limit: str
) -> None:
    monkeypatch.setattr(mlflow_gateway, limit, 1000)
    for content in (b"x" * 1001, iter([b"x" * 900, b"x" * 900])):
        answer = client.request(method, path, content=content)
        assert answer.status_code == 413
        assert answer.headers["Content-Type"] == "application/problem+json"


def test_mlflow_that_is_down_is_said_to_be(store: Store, tokens: Tokens, tmp_path: Path) -> None:
    guard = Guard.of_service(store.tokens, "127.0.0.1")
    for address in (f"unix:{tmp_path / 'nothing'}", "http://127.0.0.1:9"):
        with served(gateway(address, guard)) as public:
            answer = httpx.get(f"{public}/health", headers=bearer(tokens.reader), trust_env=False)
            assert answer.status_code == 502
            assert answer.json()["type"] == "/problems/mlflow-down"
            assert "sweeps go on" in answer.json()["detail"]
            assert "127.0.0.1:9" not in answer.text


def test_rate_limit_answers_when_to_come_back(store: Store, tokens: Tokens) -> None:
    now = [0.0]
    limit = RateLimit(rate=0.1, burst=2, clock=lambda: now[0])
    with (
        served(gateway("http://127.0.0.1:9", Guard.of_service(store.tokens, "127.0.0.1", limit=limit))) as public,
        httpx.Client(base_url=public, headers=bearer(tokens.reader), trust_env=False) as client,
    ):
        assert [client.get("/health").status_code for _ in range(3)] == [502, 502, 429]
        answer = client.get("/health")
        assert answer.headers["Retry-After"] == "10"
        assert answer.json()["error_code"] == "REQUEST_LIMIT_EXCEEDED"
        now[0] += 10
        assert client.get("/health").status_code == 502


def test_web_socket_is_refused(client: httpx.Client) -> None:
    answer = client.get(
        "/",
        headers={
            "Connection": "Upgrade",
            "Upgrade": "websocket",
            "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
        },
    )
    assert answer.status_code in (403, 404)


def test_store_that_does_not_answer_is_said_to(store: Store, tokens: Tokens) -> None:
    from search.errors import StoreUnavailable

    def find(hash: str) -> None:
        raise StoreUnavailable("no answer")

    guard = Guard.of_service(store.tokens, "127.0.0.1")
    guard._find = find
    with served(gateway("http://127.0.0.1:9", guard)) as public:
        for answer in (
            httpx.get(public, headers=bearer(tokens.reader), trust_env=False),
            httpx.post(f"{public}/login", data={"token": tokens.reader}, trust_env=False),
        ):
            assert answer.status_code == 503
            assert answer.headers["Retry-After"] == "5"


@pytest.mark.parametrize(
    ("method", "path"), [("PUT", "/login"), ("OPTIONS", "/login"), ("GET", "/logout"), ("DELETE", "/logout")]
)
def test_only_what_the_log_in_page_answers_needs_no_token(client: httpx.Client, method: str, path: str) -> None:
    answer = client.request(method, path, headers={"Authorization": ""})
    assert (answer.status_code, answer.json()["error_code"]) == (401, "UNAUTHENTICATED")
    assert client.request(method, path).status_code == 403  # nothing of MLflow's is there


# From here on MLflow is real.


class Logged(logging.Handler):
    """Everything that is logged in this process, but for what the tests' own thread asks and logs."""

    def __init__(self) -> None:
        super().__init__(level=0)
        self.lines: list[str] = []
        self._tests = threading.get_ident()

    def emit(self, record: logging.LogRecord) -> None:
        if record.thread != self._tests:
            self.lines.append(f"{record.name} {record.getMessage()} {record.exc_info}")


@dataclass(frozen=True)
class Real:
    """A real MLflow behind a gateway.

    Args:
        url: Of the gateway.
        store: Its tokens.
        tokens: A submitter's and a reader's.
        mlflow: The server.
        logged: What the gateway's process logs.
    """

    url: str
    store: Store
    tokens: Tokens
    mlflow: GatedMlflow
    logged: Logged

    def get(self, path: str, **headers: str) -> httpx.Response:
        return httpx.get(self.url + path, headers=headers, timeout=PATIENCE, trust_env=False)

    def post(self, path: str, content: object, token: str) -> httpx.Response:
        return httpx.post(self.url + path, json=content, headers=bearer(token), timeout=PATIENCE, trust_env=False)


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Real]:
    folder = tmp_path_factory.mktemp("gateway")
    logged = Logged()
    # A root that hears everything hears httpx and uvicorn too.
    root = logging.getLogger()
    level = root.level
    with ExitStack() as stack:
        mlflow = GatedMlflow(folder)
        stack.callback(mlflow.kill)
        store = stack.enter_context(Store.open(f"sqlite:///{folder / 'emphasis.db'}"))
        tokens = add_tokens(store)
        root.addHandler(logged)
        stack.callback(root.removeHandler, logged)
        root.setLevel(1)
        stack.callback(root.setLevel, level)
        guard = Guard.of_service(store.tokens, "127.0.0.1", limit=RateLimit(rate=1000, burst=1000))
        url = stack.enter_context(served(gateway(mlflow.address, guard), "trace"))
        mlflow.wait()
        yield Real(url, store, tokens, mlflow, logged)


_LOG_A_RUN = """
import hashlib, sys, tempfile
from pathlib import Path
from mlflow import MlflowClient
from mlflow.entities import Metric

client = MlflowClient(sys.argv[1])
experiment = client.create_experiment("emphasis/digits", tags={"mlflow.experimentKind": "custom_model_development"})
parent = client.create_run(experiment, run_name="digits-r40").info.run_id
client.log_param(parent, "best.beta", "12")
client.log_param(parent, "best.lambda", "0.5")
child = client.create_run(experiment, run_name="first trial", tags={"mlflow.parentRunId": parent}).info.run_id
client.log_batch(child, [Metric("intact_train_accuracy", 0.1 * step, 1700000000000, step) for step in range(8)])
with tempfile.TemporaryDirectory() as folder:
    # So long that Python makes it in an instant, and no two parts of it are the same.
    content = b"".join(hashlib.sha256(str(number).encode()).digest() for number in range(20 * 2**20 // 32))
    file = Path(folder) / "large.bin"
    file.write_bytes(content)
    client.log_artifact(parent, str(file))
    client.log_text(parent, "it fits", "note.txt")
    back = Path(client.download_artifacts(parent, "large.bin", folder + "/..")).read_bytes()
client.set_terminated(parent)
client.set_terminated(child)
print()
print(experiment, parent, len(back), hashlib.sha256(back).hexdigest() == hashlib.sha256(content).hexdigest())
"""

_READ_THEN_WRITE = """
import sys
from mlflow import MlflowClient

client = MlflowClient(sys.argv[1])
(experiment,) = [found for found in client.search_experiments() if found.name == "emphasis/digits"]
print(sorted(run.info.run_name for run in client.search_runs([experiment.experiment_id])))
client.create_run(experiment.experiment_id)
"""


def as_client(script: str, real: Real, token: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a script as somebody's own, with nothing of ours but the token."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_")}
    environment["MLFLOW_TRACKING_TOKEN"] = token
    return subprocess.run(
        [sys.executable, "-c", script, real.url],
        env=environment | {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0", "MLFLOW_DISABLE_TELEMETRY": "true"},
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=300,
    )


@pytest.fixture(scope="module")
def run(real: Real, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """Ids of an experiment and a run that a submitter's MLflow client logged through the gateway."""
    folder = tmp_path_factory.mktemp("submitter")
    done = as_client(_LOG_A_RUN, real, real.tokens.submitter, folder)
    assert done.returncode == 0, done.stderr
    experiment, run, length, same = done.stdout.splitlines()[-1].split()
    assert int(length) == 20 * 2**20
    assert same == "True"
    return experiment, run


def test_submitters_mlflow_client_logs_through_the_gateway(real: Real, run: tuple[str, str]) -> None:
    found = real.get(f"/api/2.0/mlflow/runs/get?run_id={run[1]}", **bearer(real.tokens.reader))
    data = found.json()["run"]["data"]
    assert {each["key"]: each["value"] for each in data["params"]} == {"best.beta": "12", "best.lambda": "0.5"}
    # Uploads go through the server, so that a worker elsewhere needs no disk in common with it.
    assert found.json()["run"]["info"]["artifact_uri"].startswith("mlflow-artifacts:/")
    address = f"/get-artifact?path=large.bin&run_uuid={run[1]}"
    large = real.get(address, **bearer(real.tokens.reader))
    assert len(large.content) == 20 * 2**20
    expected = hashlib.sha256(b"0").digest() + hashlib.sha256(b"1").digest()
    assert large.content.startswith(expected)


def test_readers_mlflow_client_reads_and_is_refused_to_write(real: Real, run: tuple[str, str], tmp_path: Path) -> None:
    done = as_client(_READ_THEN_WRITE, real, real.tokens.reader, tmp_path)
    assert "['digits-r40', 'first trial']" in done.stdout
    assert done.returncode != 0
    assert "PERMISSION_DENIED: A reader's token changes nothing; use a submitter's." in done.stderr


def test_without_a_token_programs_get_401_and_browsers_the_log_in_page(real: Real) -> None:
    answer = real.get("/")
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")
    assert answer.json()["type"] == "/problems/unauthenticated"
    assert answer.json()["error_code"] == "UNAUTHENTICATED"  # which MLflow's clients show
    answer = real.get("/get-artifact?path=a&run_uuid=b", Accept="text/html,*/*;q=0.8")
    assert answer.status_code == 303
    assert answer.headers["Location"] == "/login?next=%2Fget-artifact%3Fpath%3Da%26run_uuid%3Db"
    assert real.get("/graphql", Accept="application/json").status_code == 401


def test_token_that_is_revoked_is_refused_at_once(real: Real) -> None:
    token = new_token()
    real.store.tokens.add("carl", Role.READER, hash_token(token))
    with httpx.Client(base_url=real.url, headers=bearer(token), timeout=PATIENCE, trust_env=False) as client:
        assert client.get("/version").status_code == 200
        real.store.tokens.revoke("carl")
        assert client.get("/version").status_code == 401


def test_another_host_name_is_refused(real: Real) -> None:
    answer = real.get("/version", Host="evil.example", **bearer(real.tokens.submitter))
    assert answer.status_code == 421
    assert real.get("/version", Host="localhost", **bearer(real.tokens.submitter)).status_code == 200


def test_pages_graphql_queries_are_open_to_readers_and_mutations_to_nobody(real: Real, run: tuple[str, str]) -> None:
    query = "query GetRun($data: MlflowGetRunInput!) { mlflowGetRun(input: $data) { run { info { runName } } } }"
    answer = real.post("/graphql", {"query": query, "variables": {"data": {"runId": run[1]}}}, real.tokens.reader)
    assert answer.json()["data"]["mlflowGetRun"]["run"]["info"]["runName"] == "digits-r40"
    mutation = 'mutation { testMutation(inputString: "x") { output } }'
    assert real.post("/graphql", {"query": mutation}, real.tokens.submitter).status_code == 403


def test_no_file_of_the_server_can_be_made_an_artifact(real: Real) -> None:
    refused = real.post(
        "/api/2.0/mlflow/experiments/create",
        {"name": "passwords", "artifactLocation": "file:///etc"},
        real.tokens.submitter,
    )
    assert refused.status_code == 403
    found = real.get("/api/2.0/mlflow/experiments/get-by-name?experiment_name=passwords", **bearer(real.tokens.reader))
    assert found.status_code == 404


def test_assistant_that_trusts_its_own_machine_is_not_reached(real: Real) -> None:
    answer = real.get("/ajax-api/3.0/mlflow/assistant/config", **bearer(real.tokens.submitter))
    assert answer.status_code == 403
    assert "experiments, runs, artifacts" in answer.json()["message"]


def test_no_token_gets_into_a_log(real: Real, run: tuple[str, str]) -> None:
    unknown = new_token()
    for token in (real.tokens.submitter, unknown):
        real.get("/version", **bearer(token))
        httpx.get(f"{real.url}/version", auth=("any", token), trust_env=False)
        real.get("/version", Cookie=f"emphasis_token={token}")
        httpx.post(f"{real.url}/login?next=/", data={"token": token}, trust_env=False)
        httpx.put(f"{real.url}{FILE}", content=b"x", headers=bearer(token), trust_env=False)
    lines = real.logged.lines
    assert any("uvicorn" in line and "/login" in line for line in lines), "nothing was captured"
    everything = "\n".join([*lines, real.mlflow.output.read_text()])
    for secret in (real.tokens.submitter, real.tokens.reader, unknown):
        assert secret not in everything
        assert secret.removeprefix("emph_") not in everything


def test_browser_logs_in_by_keyboard_and_lands_on_the_run_list_it_was_sent_to(
    real: Real, run: tuple[str, str], tmp_path: Path
) -> None:
    with (
        sync_playwright() as playwright,
        playwright.chromium.launch(
            executable_path="/usr/bin/chromium",
            args=["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"],
        ) as browser,
    ):
        page = browser.new_page()
        refused: set[str] = set()
        page.on("response", lambda each: refused.add(urlsplit(each.url).path) if each.status == 403 else None)
        page.set_default_timeout(PATIENCE * 1000)
        expect.set_options(timeout=PATIENCE * 1000)
        # A link to the runs of one experiment, as it stands in a message.
        page.goto(f"{real.url}/#/experiments/{run[0]}/runs")
        expect(page).to_have_title("Log in to Emphasis")
        page.screenshot(path=tmp_path / "login.png")

        expect(page.get_by_label("Token")).to_be_focused()
        page.keyboard.type(new_token())
        page.keyboard.press("Enter")
        expect(page.get_by_role("alert")).to_contain_text("unknown or was revoked")
        expect(page.get_by_label("Token")).to_have_accessible_description(re.compile("unknown or was revoked"))
        page.screenshot(path=tmp_path / "wrong.png")

        page.keyboard.type(real.tokens.reader)
        page.keyboard.press("Tab")
        expect(page.get_by_role("button", name="Log in")).to_be_focused()
        # The last thing that the list of runs asks for.
        with page.expect_response(lambda each: "/gateway-proxy" in each.url):
            page.keyboard.press("Enter")
        expect(page.get_by_role("link", name="digits-r40")).to_be_visible()
        assert f"/#/experiments/{run[0]}/runs" in page.url
        page.screenshot(path=tmp_path / "runs.png")
        # MLflow's pages get along without these; anything else refused would be an error over the list.
        assert refused <= {
            "/ajax-api/2.0/mlflow/users/current",
            "/ajax-api/3.0/mlflow/assistant/config",
            "/ajax-api/3.0/mlflow/assistant/providers",
        }
        expect(page.get_by_text("PERMISSION_DENIED")).to_have_count(0)

        (cookie,) = [each for each in page.context.cookies() if each["name"] == "emphasis_token"]
        assert cookie["httpOnly"]
        assert cookie["sameSite"] == "Lax"
        assert "emphasis_token" not in page.evaluate("document.cookie")


def test_mlflow_behind_the_gateway_has_nothing_switched_on_by_the_machine(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("MLFLOW_SERVER_ENABLE_JOB_EXECUTION", "true")
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "false")
    monkeypatch.setenv("MLFLOW_SERVER_DISABLE_SECURITY_MIDDLEWARE", "true")
    command, environment = gated_command("postgresql://me:secret@db/mlflow", tmp_path, "http://127.0.0.1:5001")
    assert environment["MLFLOW_SERVER_ENABLE_JOB_EXECUTION"] == "false"
    assert environment["MLFLOW_DISABLE_TELEMETRY"] == "true"
    assert environment["MLFLOW_SERVER_DISABLE_SECURITY_MIDDLEWARE"] == "false"
    assert environment["MLFLOW_BACKEND_STORE_URI"] == "postgresql://me:secret@db/mlflow"
    assert not [word for word in command if "secret" in word]
    assert command[command.index("--allowed-hosts") + 1] == "127.0.0.1:5001"
    assert command[command.index("--host") + 1] == "127.0.0.1"
    assert command[command.index("--port") + 1] == "5001"
    with pytest.raises(InvalidInput):
        gated_command("http://tracking.example:5000", tmp_path, "http://127.0.0.1:5001")
