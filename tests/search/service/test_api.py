"""The HTTP API, asked as its callers ask it: over a socket, with tokens."""

from __future__ import annotations

import contextlib
import json
import logging
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import psycopg
import pytest
from driver_process import eventually
from recorded_sweeps import EPOCHS
from recorded_sweeps import RecordedSweep
from recorded_sweeps import RecordSweep
from served_api import Served
from served_api import served

from search.export import export
from search.newest_recommendations import recommendations
from search.preflight import check_submission
from search.service import followed_log
from search.service.asking import MlflowPages
from search.service.json_body import DEEPEST
from search.service.json_body import MOST_BYTES
from search.service.local import LocalService
from search.service.rate_limit import RateLimit
from search.store import Role
from search.store import Store
from search.store import SweepState
from search.store import TrackingRecord
from trainers.errors import InvalidInput

FIELDS: dict[str, Any] = {"dataset": "digits", "noise_rate": 0.4, "trials": 4}
OPEN = ("/api/v1/health/live", "/api/v1/health/ready")
STREAM = {"Accept": "text/event-stream"}


@pytest.fixture
def api(store: Store, tmp_path: Path) -> Iterator[Served]:
    with served(store, tmp_path) as running:
        yield running


@pytest.fixture
def ada(api: Served) -> Iterator[httpx.Client]:
    """Who may submit."""
    with api.client("ada") as client:
        yield client


def operations(client: httpx.Client) -> list[tuple[str, str, dict[str, Any]]]:
    """Every operation of the document: method, path with something in place of its parameters, and what it says."""
    paths = client.get("/api/v1/openapi.json").json()["paths"]
    return [
        (method.upper(), path.format(sweep="none", trial=0, figure="none"), operation)
        for path, methods in paths.items()
        for method, operation in methods.items()
    ]


def problem(answer: httpx.Response, status: int, kind: str) -> dict[str, Any]:
    told: dict[str, Any] = answer.json()
    assert (answer.status_code, told["status"]) == (status, status), told
    assert answer.headers["content-type"] == "application/problem+json"
    assert told["type"] == f"/problems/{kind}"
    assert told["title"]
    assert told["detail"]
    return told


# Who is heard


def test_without_a_token_nothing_is_told_but_that_the_service_works(api: Served, ada: httpx.Client) -> None:
    revoked = api.client("gone")
    api.store.tokens.revoke("gone")
    asked = operations(ada)
    assert len(asked) > 20
    for client in (api.client(), revoked):
        for method, path, _ in asked:
            answer = client.request(method, path)
            if path in OPEN:
                assert answer.status_code == 200
                asked_head = client.head(path)
                assert (asked_head.status_code, asked_head.content) == (200, b"")
            else:
                problem(answer, 401, "unauthenticated")
                assert answer.headers["www-authenticate"].startswith("Bearer")


def test_a_reader_reads_and_changes_nothing(api: Served, ada: httpx.Client) -> None:
    reader = api.client("rita", Role.READER)
    submitted = ada.post("/api/v1/sweeps", json=FIELDS).json()
    for method, path, _ in operations(ada):
        answer = reader.request(method, path, json=FIELDS)
        if method == "GET":
            assert answer.status_code != 403
        else:
            problem(answer, 403, "forbidden")
    for answer in (
        reader.post(f"/api/v1/sweeps/{submitted['id']}/cancel"),
        reader.delete(f"/api/v1/sweeps/{submitted['id']}"),
    ):
        problem(answer, 403, "forbidden")
    assert [(each.id, each.state) for each in api.store.sweeps()] == [(submitted["id"], SweepState.QUEUED)]


def test_another_name_than_the_services_is_refused(ada: httpx.Client) -> None:
    for path in ("/api/v1/sweeps", *OPEN):
        problem(ada.get(path, headers={"Host": "evil.example"}), 421, "wrong-host")


def test_who_asks_too_often_is_told_when_to_ask_again(store: Store, tmp_path: Path) -> None:
    with served(store, tmp_path, limit=RateLimit(rate=0.001, burst=3)) as api, api.client("ada") as ada:
        assert [ada.get("/api/v1/sweeps").status_code for _ in range(3)] == [200] * 3
        answer = ada.get("/api/v1/sweeps")
        problem(answer, 429, "too-many-requests")
        assert int(answer.headers["retry-after"]) >= 1
        # Others have a limit of their own.
        assert api.client("bo").get("/api/v1/sweeps").status_code == 200


def test_no_token_is_written_to_a_log(api: Served, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    token = api.token("ada")
    for headers in ({"Authorization": f"Bearer {token}"}, {"Cookie": f"emphasis_token={token}"}):
        for path in (f"/api/v1/sweeps?dataset={token}", f"/api/v1/sweeps/{token}", f"/{token}"):
            httpx.get(api.url + path, headers={"Host": "localhost", **headers})
    # Starlette, uvicorn and we; what the test's own client logs is not the service's.
    served_by = [record for record in caplog.records if not record.name.startswith(("httpx", "httpcore", "uvicorn"))]
    assert token not in "".join(f"{record.getMessage()} {record.__dict__}" for record in served_by)
    ours = [record.__dict__ for record in served_by if record.name == "emphasis.api"]
    assert [(each["method"], each["route"], each["status"], each["token"]) for each in ours[:3]] == [
        ("GET", "/api/v1/sweeps", 200, "ada"),
        ("GET", "/api/v1/sweeps/{sweep}", 404, "ada"),
        ("GET", "-", 404, "ada"),
    ]
    assert all(each["ms"] >= 0 for each in ours)


# Submitting


def test_a_submission_is_answered_with_where_it_is_read(api: Served, ada: httpx.Client) -> None:
    answer = ada.post("/api/v1/sweeps", json=FIELDS, params={"priority": 5})
    assert answer.status_code == 201
    told = answer.json()
    assert (told["state"], told["submitter"], told["priority"]) == ("queued", "ada", 5)
    assert ada.get(answer.headers["location"]).json() == {**told, "notes": told["notes"][-1:]}
    assert api.store.sweep(told["id"]).spec == told["spec"]


def test_a_request_key_makes_one_sweep(ada: httpx.Client) -> None:
    key = {"Idempotency-Key": "0b6f"}
    first = ada.post("/api/v1/sweeps", json=FIELDS, headers=key)
    again = ada.post("/api/v1/sweeps", json=FIELDS, headers=key)
    assert (first.status_code, again.status_code) == (201, 200)
    assert again.headers["location"] == first.headers["location"]
    other = problem(ada.post("/api/v1/sweeps", json={**FIELDS, "trials": 5}, headers=key), 409, "request-key-used")
    assert (other["key"], other["sweep_id"]) == ("0b6f", first.json()["id"])


def test_what_is_wrong_is_said_as_the_command_line_says_it(ada: httpx.Client) -> None:
    wrong = {"dataset": "digitz", "noise_rate": 1.5, "trainig": {}, "confirm": {"seeds": -1}}
    with pytest.raises(InvalidInput) as caught:
        check_submission(wrong)
    expected = [
        {"field": each.field, "value": each.value, "problem": each.problem, "remedy": each.remedy}
        for each in caught.value.errors
    ]
    for path in ("/api/v1/sweeps", "/api/v1/validate"):
        told = problem(ada.post(path, json=wrong), 422, "invalid-input")
        assert told["errors"] == expected
    assert len(expected) == 4


def test_a_spec_is_checked_without_being_recorded(ada: httpx.Client) -> None:
    checked = ada.post("/api/v1/validate", json=FIELDS)
    assert (checked.status_code, checked.json()["trials"]) == (200, 16)
    assert ada.get("/api/v1/sweeps").json()["items"] == []


def test_a_link_out_of_the_data_roots_is_refused(store: Store, tmp_path: Path) -> None:
    inside = tmp_path / "data"
    inside.mkdir()
    (inside / "link.npz").symlink_to("/etc/passwd")
    with served(store, tmp_path, data_roots=[inside]) as api, api.client("ada") as ada:
        for path in (inside / "link.npz", "/etc/passwd", inside / ".." / "other.npz"):
            answer = ada.post("/api/v1/sweeps", json={**FIELDS, "dataset": str(path)})
            (error,) = problem(answer, 422, "invalid-input")["errors"]
            assert (error["field"], error["problem"]) == ("dataset", "is outside the folders that this service reads")


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "no JSON"),
        (b"{", "no JSON"),
        (b"\xff", "UTF-8"),
        (b"[]", "no object"),
        (b'"digits"', "no object"),
        (b'{"noise_rate": NaN}', "NaN is no number"),
        (b'{"noise_rate": 0.1, "noise_rate": 0.2}', "'noise_rate' is given twice"),
        (b'{"dataset": "\\ud800"}', "surrogate"),
        (b'{"dataset": "a\\u0000b"}', "NUL"),
        (b'{"seed": ' + b"9" * 10_000 + b"}", "no JSON"),
        (b'{"space": ' + b"[" * 2 * DEEPEST + b"]" * 2 * DEEPEST + b"}", "levels deep"),
        (b'{"space": ' + b"[" * 500_000, "levels deep"),
        (b'{"space": [' + b"1," * 200_000 + b"1]}", "values"),
        (json.dumps({f"field {number}": 0 for number in range(2000)}).encode(), "2,000 fields"),
    ],
    ids=lambda value: repr(value[:30]),
)
def test_a_body_that_is_no_plain_object_is_refused(ada: httpx.Client, body: bytes, said: str) -> None:
    answer = ada.post("/api/v1/sweeps", content=body, headers={"Content-Type": "application/json"})
    assert said in problem(answer, 400, "invalid-body")["detail"]


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_that_is_too_large_is_refused(ada: httpx.Client, chunked: bool) -> None:
    body = b" " * (MOST_BYTES + 1)
    content = iter([body]) if chunked else body
    answer = ada.post("/api/v1/sweeps", content=content, headers={"Content-Type": "application/json"})
    problem(answer, 413, "too-large")


@pytest.mark.parametrize("kind", ["application/x-yaml", "application/python-pickle", "text/plain", ""])
def test_nothing_but_json_is_read(ada: httpx.Client, kind: str) -> None:
    answer = ada.post("/api/v1/sweeps", content=b"dataset: digits", headers={"Content-Type": kind})
    problem(answer, 415, "not-json")


def test_only_so_many_mistakes_are_listed(ada: httpx.Client) -> None:
    flood = {**FIELDS, **{f"x{number}": 0 for number in range(150)}}
    assert len(problem(ada.post("/api/v1/sweeps", json=flood), 422, "invalid-input")["errors"]) == 100


@pytest.mark.parametrize("backend", ["sqlite", "postgresql"])
def test_clients_at_once_make_one_sweep_a_key_and_lose_none(
    backend: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    url = f"sqlite:///{tmp_path / 'many.db'}" if backend == "sqlite" else request.getfixturevalue("postgresql_url")
    clients = 20
    together = threading.Barrier(clients)
    with Store.open(url) as store, served(store, tmp_path) as api, api.client("ada") as ada:

        def submit(number: int) -> list[tuple[int, str, str]]:
            shared, own = f"shared-{number % 5}", f"own-{number}"
            together.wait()
            answers = [
                (key, ada.post("/api/v1/sweeps", json=FIELDS, headers={"Idempotency-Key": key}))
                for key in (shared, own, shared)
            ]
            assert ada.get("/api/v1/sweeps").status_code == 200
            return [(answer.status_code, key, answer.json()["id"]) for key, answer in answers]

        with ThreadPoolExecutor(clients) as threads:
            answers = [each for one in threads.map(submit, range(clients)) for each in one]
        assert {status for status, _, _ in answers} == {200, 201}
        keys = {key for _, key, _ in answers}
        assert len(keys) == 5 + clients
        assert len({(key, sweep_id) for _, key, sweep_id in answers}) == 5 + clients
        assert Counter(key for status, key, _ in answers if status == 201) == dict.fromkeys(keys, 1)
        assert {each.id for each in store.sweeps()} == {sweep_id for _, _, sweep_id in answers}


# Reading


def test_sweeps_are_listed_page_by_page_and_filtered(ada: httpx.Client, record_sweep: RecordSweep) -> None:
    for number in range(5):
        record_sweep(f"sweep-{number}", submitter="bo" if number % 2 else "ada")
    record_sweep("other", dataset="cifar10", noise_rate=0.2).done()
    seen: list[str] = []
    cursor = None
    while True:
        params = {"limit": 2, **({"cursor": cursor} if cursor else {})}
        page = ada.get("/api/v1/sweeps", params=params).json()
        seen += [each["id"] for each in page["items"]]
        if (cursor := page["next"]) is None:
            break
    assert seen == ["other", *(f"sweep-{number}" for number in reversed(range(5)))]

    def ids(**params: Any) -> list[str]:
        return [each["id"] for each in ada.get("/api/v1/sweeps", params=params).json()["items"]]

    assert ids(state=["done", "failed"]) == ["other"]
    assert ids(submitter="bo") == ["sweep-3", "sweep-1"]
    assert ids(dataset="cifar10", noise_rate=0.2) == ["other"]


@pytest.mark.parametrize(
    ("params", "field"),
    [
        ({"state": "asleep"}, "state"),
        ({"limit": 501}, "limit"),
        ({"limit": "many"}, "limit"),
        ({"noise_rate": "nan"}, "noise_rate"),
        ({"dataset": "a\0b"}, "dataset"),
        ({"cursor": "x"}, "cursor"),
    ],
)
def test_a_question_that_means_nothing_names_what_is_wrong(
    ada: httpx.Client, params: dict[str, Any], field: str
) -> None:
    told = problem(ada.get("/api/v1/sweeps", params=params), 422, "invalid-input")
    assert {error["field"] for error in told["errors"]} == {field}


@pytest.mark.parametrize("path", ["none", "%00", "none/trials", "none/events", "none/figures", "none/trials/0/epochs"])
def test_what_is_not_there_is_404(ada: httpx.Client, path: str) -> None:
    told = problem(ada.get(f"/api/v1/sweeps/{path}"), 404, "not-found")
    assert told["errors"][0]["field"] == "sweep"


def test_a_sweep_its_trials_and_curves_are_read(ada: httpx.Client, confirmed_sweep: RecordedSweep) -> None:
    told = ada.get("/api/v1/sweeps/digits-d").json()
    assert told["best"]["hyperparameters"] == {"beta": 16.0, "lambda": 1.0}
    page = ada.get("/api/v1/sweeps/digits-done/trials", params={"limit": 3, "after": 1}).json()
    assert [trial["number"] for trial in page["items"]] == [2, 3, 4]
    assert page["next"] == 4
    curve = ada.get("/api/v1/sweeps/digits-done/trials/2/epochs").json()
    assert [epoch["epoch"] for epoch in curve["items"]] == list(range(1, EPOCHS + 1))
    for number in ("1000", "-1", "x", str(2**40)):
        told = problem(ada.get(f"/api/v1/sweeps/digits-done/trials/{number}/epochs"), 404, "not-found")
        assert told["errors"][0]["field"] == "trial"


def test_recommendations_are_the_objects_of_the_export(
    api: Served, ada: httpx.Client, confirmed_sweep: RecordedSweep
) -> None:
    found = ada.get("/api/v1/recommendations", params={"dataset": "digits", "noise_rate": 0.4})
    assert found.json() == json.loads(export(recommendations(api.store, "digits", 0.4), "json"))
    nothing = problem(ada.get("/api/v1/recommendations", params={"dataset": "cifar10"}), 404, "not-found")
    assert "There is: digits at noise_rate 0.4" in nothing["errors"][0]["remedy"]


def test_a_recommendation_is_that_of_the_sweep_though_a_newer_one_is_there(
    ada: httpx.Client, confirmed_sweep: RecordedSweep, record_sweep: RecordSweep
) -> None:
    where = "/api/v1/sweeps/{}/recommendation"
    (exported,) = ada.get("/api/v1/recommendations").json()
    newer = record_sweep("newer")
    nothing = problem(ada.get(where.format("newer")), 404, "not-found")
    assert "recommends nothing" in nothing["detail"]
    newer.searched((8, 0.5), 0.99)
    newer.done()

    assert ada.get(where.format(confirmed_sweep.id)).json() == exported
    told = ada.get(where.format("newer")).json()
    assert (told["provenance"]["sweep_id"], told["recommended"]["beta"]) == ("newer", 8)
    problem(ada.get(where.format("nothing")), 404, "not-found")


def test_what_a_spec_may_name_is_listed(ada: httpx.Client) -> None:
    datasets, spaces, supervisions, noise_models, backbones = (
        {each["name"]: each for each in ada.get(f"/api/v1/{path}").json()}
        for path in ("datasets", "spaces", "supervisions", "noise-models", "backbones")
    )
    assert datasets["digits"]["description"]
    assert spaces["kappa"]["description"]
    assert noise_models["pair_flip"]["description"]
    assert backbones["resnet56"]["description"]
    assert supervisions["gce"]["hyperparameters"] == [{"name": "q", "default": 0.7}]


def test_figures_are_served_and_nothing_beside_them(
    api: Served, ada: httpx.Client, confirmed_sweep: RecordedSweep
) -> None:
    folder = api.service.home.figures(confirmed_sweep.id)
    folder.mkdir(parents=True)
    kinds = {"map.png": "image/png", "recommendation.json": "application/json", "x.html": "application/octet-stream"}
    for name in kinds:
        (folder / name).write_bytes(b"[]")
    (folder.parent / "secret.png").write_bytes(b"secret")
    where = f"/api/v1/sweeps/{confirmed_sweep.id}/figures"
    assert ada.get(where).json() == sorted(kinds)
    for name, kind in kinds.items():
        answer = ada.get(f"{where}/{name}")
        assert (answer.content, answer.headers["content-type"]) == (b"[]", kind)
        assert "sandbox" in answer.headers["content-security-policy"]
        assert answer.headers["x-content-type-options"] == "nosniff"
    for name in ("..%2fsecret.png", "%2e%2e%2fsecret.png", "..", ".", "%2e%2e", "..%5csecret.png", "none.png"):
        # Not by httpx, which would tidy the path.
        connection = HTTPConnection(str(ada.base_url.host), ada.base_url.port)
        connection.request("GET", f"{where}/{name}", headers=dict(ada.headers))
        answered = connection.getresponse()
        assert (answered.status, json.load(answered)["type"]) == (404, "/problems/not-found")
        connection.close()


def test_the_page_in_mlflow_is_on_the_host_that_was_asked(
    store: Store, tmp_path: Path, record_sweep: RecordSweep
) -> None:
    record_sweep("sweep")
    with served(store, tmp_path, mlflow=MlflowPages(port=5000)) as api, api.client("ada") as ada:
        problem(ada.get("/api/v1/sweeps/sweep/mlflow"), 404, "not-found")
        browser = ada.get("/api/v1/sweeps/sweep/mlflow", headers={"Accept": "text/html,*/*"})
        assert (browser.status_code, str(browser.next_request.url)) == (302, f"{api.url}/#/sweeps/sweep")  # type: ignore[union-attr]
        assert ada.get("/api/v1/sweeps/sweep").json()["mlflow_url"] is None
        store.tracking.save("sweep", TrackingRecord("sweep", "0123abcd"))
        answer = ada.get("/api/v1/sweeps/sweep/mlflow")
        page = "http://127.0.0.1:5000/#/runs/0123abcd"
        assert (answer.status_code, answer.headers["location"]) == (302, page)
        assert ada.get("/api/v1/sweeps/sweep").json()["mlflow_url"] == page
        told = ada.get("/api/v1/sweeps/sweep", headers={"Host": "localhost:8080"}).json()
        assert told["mlflow_url"] == "http://localhost:5000/#/runs/0123abcd"


def test_everybody_can_ask_who_they_are(api: Served, ada: httpx.Client, store: Store, tmp_path: Path) -> None:
    assert ada.get("/api/v1/me").json() == {"name": "ada", "role": "submitter", "logged_in": True}
    with api.client("ben", Role.READER) as ben:
        assert ben.get("/api/v1/me").json() == {"name": "ben", "role": "reader", "logged_in": True}
    with served(store, tmp_path, required=False) as service:
        told = httpx.get(f"{service.url}/api/v1/me").json()
        assert told == {"name": "local", "role": "submitter", "logged_in": False}


# The log


def test_a_log_is_followed_as_it_grows_and_ends_with_the_sweep(
    api: Served, ada: httpx.Client, record_sweep: RecordSweep
) -> None:
    sweep = record_sweep("sweep")
    with ada.stream("GET", "/api/v1/sweeps/sweep/events", headers=STREAM) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        lines = answer.iter_lines()
        assert [next(lines), next(lines)] == ["id: 1", "event: submitted"]
        assert json.loads(next(lines).removeprefix("data: "))["message"] == "submitted by local"
        api.store.add_event("sweep", "two\nlines", level="warning", data={"loss": 0.5})
        assert [next(lines) for _ in range(3)] == ["", "id: 2", "event: log"]
        assert json.loads(next(lines).removeprefix("data: ")) == {
            **api.service.log("sweep", after=1).items[0].model_dump(mode="json"),
            "message": "two\nlines",
            "data": {"loss": 0.5},
        }
        sweep.done()
        rest = "\n".join(lines)
    assert "id: 3\nevent: state\n" in rest
    assert rest.endswith('event: end\ndata: {"ended": true}\n')


def test_a_log_goes_on_where_it_was_cut_off(ada: httpx.Client, record_sweep: RecordSweep) -> None:
    sweep = record_sweep("sweep")
    sweep.searched((8, 0.5), 0.9)
    sweep.done()
    where = "/api/v1/sweeps/sweep/events"

    def numbers(text: str) -> list[int]:
        return [int(line.removeprefix("id: ")) for line in text.splitlines() if line.startswith("id: ")]

    everything = numbers(ada.get(where, headers=STREAM).text)
    assert everything == [1, 2, 3, 4]
    assert numbers(ada.get(where, headers={**STREAM, "Last-Event-ID": "2"}).text) == [3, 4]
    assert numbers(ada.get(where, headers=STREAM, params={"after": 3}).text) == [4]
    assert numbers(ada.get(where, headers={**STREAM, "Last-Event-ID": "9" * 5000}).text) == everything
    # A browser reconnects for ever unless it is told that there is nothing.
    nothing = ada.get(where, headers={**STREAM, "Last-Event-ID": "4"})
    assert (nothing.status_code, nothing.text) == (204, "")


def test_a_log_is_read_without_waiting_for_more(ada: httpx.Client, record_sweep: RecordSweep) -> None:
    record_sweep("sweep")
    answer = ada.get("/api/v1/sweeps/sweep/events", params={"follow": False}, headers=STREAM)
    assert answer.text.endswith('event: end\ndata: {"ended": false}\n\n')
    page = ada.get("/api/v1/sweeps/sweep/events", headers={"Accept": "application/json"}).json()
    assert ([each["number"] for each in page["items"]], page["next"], page["ended"]) == ([1], 1, False)


def test_a_quiet_log_says_that_it_is_still_there(
    ada: httpx.Client, record_sweep: RecordSweep, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(followed_log, "_HEARTBEAT_SECONDS", 0.0)
    record_sweep("sweep")
    with ada.stream("GET", "/api/v1/sweeps/sweep/events", headers=STREAM) as answer:
        lines = answer.iter_lines()
        assert next(line for line in lines if line.startswith(":")) == ": still here"


def test_a_token_that_was_revoked_reads_a_log_no_longer_than_a_stream_lasts(
    ada: httpx.Client, store: Store, record_sweep: RecordSweep, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(followed_log, "_LONGEST_SECONDS", 0.1)
    record_sweep("sweep")
    where = "/api/v1/sweeps/sweep/events"
    told = ada.get(where, headers=STREAM).text
    assert "event: submitted" in told
    assert "event: end" not in told
    store.tokens.revoke("ada")
    problem(ada.get(where, headers=STREAM), 401, "unauthenticated")


def test_checks_that_take_long_keep_nobody_from_reading(
    ada: httpx.Client, monkeypatch: pytest.MonkeyPatch, record_sweep: RecordSweep
) -> None:
    record_sweep("sweep")
    enough = threading.Event()
    check = LocalService.check
    slow = lambda service, fields, **given: (enough.wait(60), check(service, fields, **given))[1]  # noqa: E731
    monkeypatch.setattr(LocalService, "check", slow)
    clients = 70
    with ThreadPoolExecutor(clients) as threads:
        checks = [threads.submit(httpx.post, f"{ada.base_url}/api/v1/validate", json=FIELDS, headers=ada.headers,
                                 timeout=60) for _ in range(clients)]  # fmt: skip
        try:
            # Those that can neither be checked nor wait are told at once.
            eventually(lambda: sum(asked.done() for asked in checks) == 6)
            for path in ("health/live", "health/ready", "sweeps", "sweeps/sweep"):
                assert httpx.get(f"{ada.base_url}/api/v1/{path}", headers=ada.headers, timeout=20).status_code == 200
        finally:
            enough.set()
        answers = [asked.result() for asked in checks]
    busy = [answer for answer in answers if answer.status_code == 503]
    assert [(problem(answer, 503, "busy")["type"], answer.headers["retry-after"]) for answer in busy] == [
        ("/problems/busy", "5")
    ] * 6


def test_a_list_is_told_although_a_sweep_of_it_is_deleted_meanwhile(
    api: Served, ada: httpx.Client, store: Store, record_sweep: RecordSweep, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("stays", "goes"):
        record_sweep(name).done()
    progress_of = Store.progress_of

    def then_delete(self: Store, ids: list[str]) -> dict[str, Any]:
        found = progress_of(self, ids)
        with contextlib.suppress(InvalidInput):
            store.delete_sweep("goes")
        return found

    monkeypatch.setattr(Store, "progress_of", then_delete)
    told = ada.get("/api/v1/sweeps").json()["items"]
    assert {each["id"]: each["best"] for each in told} == {"stays": None, "goes": None}


def test_many_who_follow_leave_room_for_others(ada: httpx.Client, record_sweep: RecordSweep) -> None:
    sweep = record_sweep("sweep")

    where = f"{ada.base_url}/api/v1/sweeps/sweep/events"

    def follow(number: int) -> str:
        with httpx.stream("GET", where, headers=ada.headers, timeout=60) as answer:
            begun.release()
            return "".join(answer.iter_text())

    begun = threading.Semaphore(0)
    with ThreadPoolExecutor(60) as threads:
        followers = [threads.submit(follow, number) for number in range(60)]
        for _ in followers:
            assert begun.acquire(timeout=60)
        assert ada.get("/api/v1/sweeps/sweep").status_code == 200
        sweep.done()
        assert all("event: end" in follower.result(60) for follower in followers)


# Steering


def test_verbs_may_be_repeated_and_what_cannot_be_is_refused_with_the_reason(
    ada: httpx.Client, record_sweep: RecordSweep
) -> None:
    record_sweep("sweep")
    for verb, state in (("pause", "paused"), ("resume", "queued"), ("cancel", "cancelled")):
        for _ in range(2):
            answer = ada.post(f"/api/v1/sweeps/sweep/{verb}")
            assert (answer.status_code, answer.json()["state"]) == (200, state)
    refused = problem(ada.post("/api/v1/sweeps/sweep/resume"), 409, "illegal-move")
    assert (refused["sweep_id"], refused["asked"], refused["state"]) == ("sweep", "resume", "cancelled")
    assert refused["remedy"] in refused["detail"]


def test_a_sweep_is_deleted_once(ada: httpx.Client, record_sweep: RecordSweep) -> None:
    record_sweep("sweep")
    answer = ada.delete("/api/v1/sweeps/sweep")
    assert (answer.status_code, answer.content) == (204, b"")
    problem(ada.delete("/api/v1/sweeps/sweep"), 404, "not-found")


# Keeping it running


def test_metrics_count_sweeps_trials_and_requests(
    api: Served, ada: httpx.Client, confirmed_sweep: RecordedSweep, record_sweep: RecordSweep
) -> None:
    record_sweep("waiting")
    left = record_sweep("left")  # by a worker that died
    left.store.claim_sweep(left.id, "elsewhere:1:1.0", is_alive=lambda owner, at: True, lease_seconds=-1)
    for path in ("/api/v1/sweeps/digits-done", "/api/v1/sweeps/waiting", "/api/v1/sweeps/none", "/anything"):
        ada.get(path)
    ada.request("BREW", "/api/v1/sweeps")
    text = ada.get("/metrics").text
    for line in (
        'emphasis_sweeps{state="done"} 1.0',
        'emphasis_sweeps{state="queued"} 2.0',
        'emphasis_sweeps{state="running"} 0.0',
        'emphasis_trials{state="failed"} 1.0',
        "emphasis_workers 0.0",
        "emphasis_store_up 1.0",
        'emphasis_http_requests_total{method="GET",route="/api/v1/sweeps/{sweep}",status="200"} 2.0',
        'emphasis_http_requests_total{method="GET",route="/api/v1/sweeps/{sweep}",status="404"} 1.0',
        'emphasis_http_requests_total{method="GET",route="-",status="404"} 1.0',
        'emphasis_http_requests_total{method="OTHER",route="/api/v1/sweeps",status="405"} 1.0',
        'emphasis_http_request_seconds_count{method="GET",route="/api/v1/sweeps/{sweep}"} 3.0',
    ):
        assert line in text
    age = next(line for line in text.splitlines() if line.startswith("emphasis_oldest_queued_seconds "))
    assert float(age.split()[1]) > 0


def test_a_store_that_is_away_is_said_and_nothing_of_it_is_told(postgresql_url: str, tmp_path: Path) -> None:
    name = urlsplit(postgresql_url).path.removeprefix("/")
    other = postgresql_url.replace(f"/{name}?", "/postgres?")
    with Store.open(postgresql_url) as store, served(store, tmp_path, required=False) as api, api.client() as client:
        assert client.get("/api/v1/health/ready").json() == {"status": "ready"}
        with psycopg.connect(other, autocommit=True) as connection:
            connection.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (name,)
            )
            for path in ("/api/v1/health/ready", "/api/v1/sweeps", "/api/v1/sweeps/x/events"):
                answer = client.get(path)
                told = problem(answer, 503, "store-unavailable")
                assert answer.headers["retry-after"]
                assert name not in json.dumps(told)
            assert client.get("/api/v1/health/live").json() == {"status": "live"}
            assert "emphasis_store_up 0.0" in client.get("/metrics").text
            connection.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
        assert client.get("/api/v1/health/ready").status_code == 200


def test_a_mistake_in_the_service_is_a_problem_too_and_tells_nothing(
    api: Served, ada: httpx.Client, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*given: Any, **named: Any) -> Any:
        raise RuntimeError("a password")

    caplog.set_level(logging.INFO)
    monkeypatch.setattr(type(api.service), "sweeps", fail)
    answer = ada.get("/api/v1/sweeps")
    assert "password" not in json.dumps(problem(answer, 500, "internal"))

    def logged() -> list[tuple[str, int]]:
        ours = [record.__dict__ for record in caplog.records if record.name == "emphasis.api"]
        return [(each["route"], each["status"]) for each in ours]

    def told() -> bool:
        return any(record.exc_info and "a password" in str(record.exc_info[1]) for record in list(caplog.records))

    # The server's thread writes its lines once the answer is on its way.
    eventually(lambda: logged() and told())
    assert logged() == [("/api/v1/sweeps", 500)]


# The document


def test_paths_and_methods_that_are_not_there_are_problems(ada: httpx.Client) -> None:
    for path in ("/nothing", "/api/v1", "/api/v1/sweeps/", "/docs", "/redoc", "/api/docs"):
        problem(ada.get(path), 404, "not-found")
    answer = ada.put("/api/v1/sweeps/sweep")
    problem(answer, 405, "method-not-allowed")
    assert answer.headers["allow"] == "DELETE, GET"


def test_every_operation_is_described_with_examples_and_its_problems(ada: httpx.Client) -> None:
    for method, path, operation in operations(ada):
        assert operation["summary"], path
        assert operation["description"], path
        answers = operation["responses"]
        assert {"401", "403", "421", "429", "503"} <= set(answers), path
        for status, answer in answers.items():
            kinds = set(answer.get("content", {}))
            if int(status) >= 400:
                assert kinds == {"application/problem+json"}, (method, path, status)
            elif "application/json" in kinds and "figures/" not in path:
                assert "example" in answer["content"]["application/json"], (method, path)
    ids = [operation["operationId"] for _, _, operation in operations(ada)]
    assert len(set(ids)) == len(ids)


def test_making_the_api_imports_nothing_heavy() -> None:
    heavy = ("torch", "ray", "mlflow", "optuna", "scipy", "matplotlib", "pandas", "sklearn")
    code = f"import sys, search.service.api; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
