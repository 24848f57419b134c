"""`emphasis serve` as a real process: what it starts, to whom it answers, and what is left of it."""

from __future__ import annotations

import asyncio
import os
import re
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from driver_process import DriverProcess
from driver_process import RayProcess
from driver_process import eventually
from driver_process import joining
from typer.testing import CliRunner

from search.cli import app
from search.home import Home
from search.owner import is_alive
from search.service import serve as serving_module
from search.service.serve import ServeSettings
from search.service.serve import _Service
from search.service.serve import serve
from search.store import ProcessKind
from search.store import Store
from trainers.errors import InvalidInput

SWEEP = {
    "dataset": "digits",
    "noise_rate": 0.4,
    "trials": 2,
    "starting_points": 0,
    "confirm": {"top": 1, "seeds": 1},
    "training": {"epochs": 2},
}


@dataclass
class Served:
    """A service that runs, and what it has said of itself."""

    process: DriverProcess
    home: Path
    token: str | None = None

    def __post_init__(self) -> None:
        self.process.wait_for("stop          Ctrl-C")
        self.url, self.mlflow = (self._said(name) for name in ("API and page", "MLflow"))

    def _said(self, name: str) -> str:
        found = re.search(rf"^{name} +http://[^:]+:(\d+)$", self.process.output, re.MULTILINE)
        assert found is not None, self.process.output
        return f"http://127.0.0.1:{found[1]}"

    def ask(self, method: str, url: str, token: str | None = None, **given: Any) -> httpx.Response:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        return httpx.request(method, url, headers=headers, timeout=60, **given)

    def store(self) -> Store:
        return Store.open(Home(self.home).store_url)


def serving(home: Path, *arguments: str, **environment: str) -> DriverProcess:
    """Start `emphasis serve` on ports that are free."""
    return DriverProcess(home, "serve", "--port", "0", "--mlflow-port", "0", *arguments, environment=environment)


def runs_of(answer: httpx.Response) -> list[Any]:
    return list(answer.raise_for_status().json().get("runs", []))


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def served(home: Path, cluster: RayProcess) -> Iterator[Served]:
    environment = {"EMPHASIS_ALLOWED_HOST": "sweeps sweeps.example", "EMPHASIS_PUBLIC_URL": "", **joining(cluster)}
    with serving(home, "--trials", "1", **environment) as process:
        yield Served(process, home)


def experiments(served: Served, mlflow: str) -> dict[str, str]:
    """MLflow's experiments by name, asked through the gateway."""
    answer = served.ask("POST", f"{mlflow}/api/2.0/mlflow/experiments/search", json={"max_results": 100})
    found = answer.raise_for_status().json().get("experiments", [])
    return {each["name"]: each["experiment_id"] for each in found}


def test_a_sweep_is_submitted_run_and_shown_in_mlflow(served: Served) -> None:
    assert served.ask("GET", f"{served.url}/api/v1/health/ready").json() == {"status": "ready"}
    assert "<title>" in served.ask("GET", f"{served.url}/").text
    with served.store() as store:
        (server,) = store.processes.heard_from(ProcessKind.SERVER)
        assert server.facts["url"] == served.url
        eventually(lambda: store.processes.heard_from(ProcessKind.WORKER))

    answer = served.ask("POST", f"{served.url}/api/v1/sweeps", json=SWEEP)
    assert answer.status_code == 201, answer.text
    sweep = f"{served.url}/api/v1/sweeps/{answer.json()['id']}"
    done = eventually(lambda: (now := served.ask("GET", sweep).json())["state"] in ("done", "failed") and now)
    assert (done["state"], done["progress"]["done"]) == ("done", 4)

    experiment = eventually(lambda: experiments(served, served.mlflow).get("emphasis/digits"))
    wanted = {"experiment_ids": [experiment], "filter": "tags.`emphasis.kind` = 'sweep'"}
    search = f"{served.mlflow}/api/2.0/mlflow/runs/search"

    def best() -> dict[str, str] | None:
        (run,) = runs_of(served.ask("POST", search, json=wanted))
        params = {each["key"]: each["value"] for each in run["data"]["params"]}
        return params if "best.beta" in params and "best.lambda" in params else None

    assert float(eventually(best)["best.beta"]) == pytest.approx(done["best"]["hyperparameters"]["beta"], rel=1e-3)


@pytest.mark.parametrize("part", [pytest.param("mlflow", marks=pytest.mark.long), "search.cli"])
def test_a_part_that_is_killed_is_started_again(served: Served, part: str) -> None:
    def is_it(process: psutil.Process) -> bool:
        try:
            return part in " ".join(process.cmdline())
        except psutil.NoSuchProcess:  # some last for a moment: git, asked for the commit
            return False

    def running() -> psutil.Process | None:
        return next(filter(is_it, served.process.processes()), None)

    killed = eventually(running)
    killed.kill()
    killed.wait(60)
    assert eventually(running).pid != killed.pid
    eventually(lambda: served.ask("GET", f"{served.mlflow}/health").status_code == 200)
    with served.store() as store:
        eventually(lambda: [each for each in store.processes.heard_from(ProcessKind.WORKER) if each.name])


def test_names_of_the_service_may_be_given_in_the_environment(served: Served) -> None:
    asked = {
        name: httpx.get(f"{served.url}/api/v1/health/live", headers={"Host": name}, timeout=60).status_code
        for name in ("sweeps", "sweeps.example:8080", "other.example")
    }
    assert asked == {"sweeps": 200, "sweeps.example:8080": 200, "other.example": 421}


def test_mlflow_of_another_server_is_shown_where_the_environment_names_one(served: Served, tmp_path: Path) -> None:
    with serving(tmp_path, "--no-worker", MLFLOW_TRACKING_URI=served.mlflow) as process:
        second = Served(process, tmp_path)
        assert "emphasis/digits" in experiments(second, second.mlflow)
        assert second.process.processes() == []


def test_sigterm_leaves_nothing_running(served: Served) -> None:
    parts = served.process.processes()
    assert len(parts) >= 2
    served.process.terminate()

    assert served.process.wait() == 0, served.process.output
    assert not psutil.wait_procs(parts, timeout=60)[1]
    assert "Traceback" not in served.process.output
    with pytest.raises(httpx.ConnectError):
        served.ask("GET", served.url)
    with served.store() as store:
        # The worker that was killed before could not say that it has ended.
        assert [each.name for each in store.processes.heard_from() if is_alive(each.name, each.heartbeat_at)] == []


@pytest.mark.long
def test_beyond_this_machine_a_token_is_needed_and_a_killed_server_takes_all_with_it(tmp_path: Path) -> None:
    settings = ServeSettings(Home(tmp_path), host="0.0.0.0", port=0, mlflow_port=0)
    with pytest.raises(InvalidInput, match=r"host = .0\.0\.0\.0.*`emphasis token create NAME`"):
        serve(settings, on_ready=lambda addresses: None)
    emphasis = ["--home", str(tmp_path), "token"]
    created = CliRunner().invoke(app, [*emphasis, "create", "ada"])
    token = created.stdout.strip()

    with serving(tmp_path, "--no-worker", "--host", "0.0.0.0") as process:
        served = Served(process, tmp_path)
        assert token not in process.output
        for url in (f"{served.url}/api/v1/sweeps", f"{served.mlflow}/api/2.0/mlflow/experiments/search?max_results=1"):
            assert served.ask("GET", url).status_code == 401
            assert served.ask("GET", url, token).status_code == 200
        CliRunner().invoke(app, [*emphasis, "revoke", "ada"])
        assert served.ask("GET", f"{served.url}/api/v1/sweeps", token).status_code == 401
        left = process.kill()
        assert left
        assert not psutil.wait_procs(left, timeout=60)[1]


def test_server_goes_on_saying_that_it_lives_after_an_error_that_nobody_foresaw(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    said = threading.Event()
    say = store.processes.say
    errors = [RuntimeError("nobody foresaw this")]

    def failing_once(*given: Any) -> None:
        if errors:
            raise errors.pop()
        say(*given)
        said.set()

    async def live() -> None:
        settings = ServeSettings(Home(tmp_path), host="127.0.0.1", port=0, mlflow_port=0)
        with socket.create_server(("127.0.0.1", 0)) as api, socket.create_server(("127.0.0.1", 0)) as pages:
            async with _Service(settings, store, api, pages)._registered():
                assert await asyncio.to_thread(said.wait, 60)
                (server,) = store.processes.heard_from(ProcessKind.SERVER)
                assert server.facts["pid"] == os.getpid()

    monkeypatch.setattr(serving_module, "_SECONDS_BETWEEN_SIGNS_OF_LIFE", 0.0)
    monkeypatch.setattr(store.processes, "say", failing_once)
    asyncio.run(live())
    (logged,) = [record for record in caplog.records if record.exc_info]
    assert "nobody foresaw this" in str(logged.exc_info)
    assert store.processes.heard_from(ProcessKind.SERVER) == []


def test_a_port_that_is_taken_is_named_before_anything_starts(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        settings = ServeSettings(Home(tmp_path), port=0, mlflow_port=port)
        with pytest.raises(InvalidInput, match=rf"mlflow_port = {port}.*--mlflow-port"):
            serve(settings, on_ready=lambda addresses: None)


@pytest.mark.parametrize(
    ("settings", "field"),
    [
        ({"public_url": "foo"}, "public_url = 'foo'"),
        ({"public_mlflow_url": "ftp://mlflow.example"}, "public_mlflow_url = 'ftp://mlflow.example'"),
        ({"trusted_proxies": ("10.0.0.0/8", "proxy")}, "trusted_proxy = 'proxy'"),
        ({"trusted_proxies": ("10.0.0.5/8",)}, "trusted_proxy = '10.0.0.5/8'"),
        ({"public_url": "https://emphasis.example/tools"}, "public_url = 'https://emphasis.example/tools'"),
        ({"allowed_hosts": ("emphasis.example", "emphasis.example:8080")}, "allowed_host = 'emphasis.example:8080'"),
        ({"allowed_hosts": ("https://emphasis.example",)}, "allowed_host = 'https://emphasis.example'"),
        ({"allowed_hosts": ("*.example",)}, "allowed_host = '*.example'"),
        ({"allowed_hosts": ("emphasis.example.",)}, "allowed_host = 'emphasis.example.'"),
        ({"host": "a..b"}, "host = 'a..b': is no address"),
        ({"host": "nowhere.invalid"}, "host = 'nowhere.invalid': is no address"),
        ({"data_roots": (Path(__file__),)}, f"data_root = {__file__!r}: is no folder"),
    ],
)
def test_what_could_never_be_served_is_refused(tmp_path: Path, settings: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        serve(ServeSettings(Home(tmp_path), **settings), on_ready=lambda addresses: None)
    (error,) = refused.value.errors
    assert str(error).startswith(field)
    assert "e.g." in error.remedy


def test_what_could_never_be_served_is_refused_in_the_environment_too(tmp_path: Path) -> None:
    wrong = {
        "EMPHASIS_PUBLIC_URL": "foo",
        "EMPHASIS_PUBLIC_MLFLOW_URL": "ftp://mlflow.example",
        "EMPHASIS_TRUSTED_PROXY": "10.0.0.0/8 proxy",
    }
    with serving(tmp_path, **wrong) as process:
        assert process.wait() == 2
        for said in ("public_url = 'foo'", "public_mlflow_url = 'ftp://mlflow.example'", "trusted_proxy = 'proxy'"):
            assert said in process.output


def test_a_token_is_shown_once_and_on_the_standard_output_alone(tmp_path: Path) -> None:
    def emphasis(*arguments: str) -> Any:
        return CliRunner().invoke(app, ["--home", str(tmp_path), "token", *arguments])

    created = emphasis("create", "dashboard", "--role", "reader")
    text = created.stdout.strip()
    assert re.fullmatch(r"emph_\S{43}", text)
    assert text not in created.stderr
    assert "token revoke dashboard" in created.stderr
    assert "dashboard  reader" in emphasis("list").stdout
    assert text not in emphasis("list").output
    assert text.encode() not in (tmp_path / "emphasis.db").read_bytes()
    assert emphasis("revoke", "dashboard").exit_code == 0
    assert "revoked" in emphasis("list").stdout
    for arguments in (("dashboard",), ("local",), ("a b",), ("x", "--role", "god")):
        assert emphasis("create", *arguments).exit_code == 2
