"""The log-in page without a browser."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest
from serving import served
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.responses import Response
from starlette.routing import Route

from search.service.guard import Guard
from search.service.guarded import Guarded
from search.service.login import OPEN_REQUESTS
from search.service.login import login_routes
from search.service.tokens import hash_token
from search.service.tokens import new_token
from search.store import Role
from search.store import Store


async def whoami(request: Request) -> Response:
    return PlainTextResponse(request.state.identity.name)


@pytest.fixture
def client(store: Store) -> Iterator[httpx.Client]:
    """Of an application that tells who one is, behind a guard."""
    guard = Guard.of_service(store.tokens, "127.0.0.1")
    app = Starlette(routes=[*login_routes(guard), Route("/", whoami)])
    with (
        served(Guarded(app, guard, OPEN_REQUESTS, "/login")) as url,
        httpx.Client(base_url=url, trust_env=False, timeout=60) as client,
    ):
        yield client


@pytest.fixture
def token(store: Store) -> str:
    text = new_token()
    store.tokens.add("ann", Role.SUBMITTER, hash_token(text))
    return text


def test_log_in_sets_a_cookie_that_scripts_cannot_read_and_log_out_takes_it_away(
    client: httpx.Client, token: str
) -> None:
    assert client.get("/").status_code == 401
    answer = client.post("/login?next=/%3Fa%3D1", data={"token": f" {token}\n"})
    assert (answer.status_code, answer.headers["Location"]) == (303, "/?a=1")
    attributes = answer.headers["Set-Cookie"].lower()
    assert "httponly" in attributes
    assert "samesite=lax" in attributes
    assert "secure" not in attributes
    assert client.get("/").text == "ann"
    answer = client.post("/logout")
    assert (answer.status_code, answer.headers["Location"]) == (303, "/login")
    assert client.get("/").status_code == 401


def test_cookie_stays_on_https_where_it_was_set_there(client: httpx.Client, token: str) -> None:
    # uvicorn believes a proxy on this machine.
    answer = client.post("/login", data={"token": token}, headers={"X-Forwarded-Proto": "https"})
    assert "secure" in answer.headers["Set-Cookie"].lower()


def test_cookie_is_for_tls_where_users_come_by_it_whatever_the_proxy_says(store: Store, token: str) -> None:
    guard = Guard.of_service(store.tokens, "127.0.0.1")
    with served(Starlette(routes=[*login_routes(guard, tls=True)])) as url:
        assert "secure" in httpx.post(f"{url}/login", data={"token": token}).headers["Set-Cookie"].lower()


@pytest.mark.parametrize("token_text", ["", "emph_wrong", "emph_" + "x" * 43, "x" * 5000, "é"])
def test_wrong_token_sets_no_cookie_and_is_not_shown_again(client: httpx.Client, token: str, token_text: str) -> None:
    answer = client.post("/login", data={"token": token_text})
    assert answer.status_code == 401
    assert "Set-Cookie" not in answer.headers
    assert 'role="alert"' in answer.text
    assert not token_text or token_text not in answer.text


@pytest.mark.parametrize(
    "elsewhere",
    [
        "http://evil.example/",
        "//evil.example",
        "/\\evil.example",
        "/\t/evil.example",
        "\\\\evil.example",
        "javascript:alert(1)",
        "",
        "evil.example",
    ],
)
def test_log_in_leads_nowhere_else(client: httpx.Client, token: str, elsewhere: str) -> None:
    answer = client.post("/login", params={"next": elsewhere}, data={"token": token})
    assert answer.headers["Location"] == "/"


def test_path_that_was_asked_for_is_led_to_as_it_was(client: httpx.Client, token: str) -> None:
    sent = client.get("/a%20b/%C3%A4?q=%2F%26&r=a+b", headers={"Accept": "text/html"})
    assert sent.status_code == 303
    led = client.post(sent.headers["Location"], data={"token": token})
    assert led.headers["Location"] == "/a%20b/%C3%A4?q=%2F%26&r=a+b"


def test_another_site_cannot_log_a_browser_in_or_out(client: httpx.Client, token: str) -> None:
    evil = {"Origin": "http://evil.example"}
    assert client.post("/login", data={"token": token}, headers=evil).status_code == 403
    assert client.post("/logout", headers=evil).status_code == 403
    own = {"Origin": str(client.base_url).rstrip("/")}
    assert client.post("/login", data={"token": token}, headers=own).status_code == 303


def test_page_holds_no_script_and_asks_nothing_of_the_internet(client: httpx.Client, token: str) -> None:
    answer = client.get("/login")
    assert "<script" not in answer.text
    assert "http" not in answer.text
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
    assert answer.headers["Cache-Control"] == "no-store"


def test_open_service_asks_for_no_token(client: httpx.Client) -> None:
    answer = client.get("/login?next=/%3Fa")
    assert (answer.status_code, answer.headers["Location"]) == (303, "/?a")
    assert client.get("/").text == "local"
