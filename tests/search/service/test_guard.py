"""Who a request is from, and which are not heard at all."""

from __future__ import annotations

import base64
import re
import sys
from subprocess import run
from typing import NoReturn

import pytest

from search.errors import StoreUnavailable
from search.service.allowed_hosts import AllowedHosts
from search.service.guard import Call
from search.service.guard import Guard
from search.service.identity import LOCAL
from search.service.identity import Identity
from search.service.problems import Refused
from search.service.rate_limit import RateLimit
from search.service.tokens import hash_token
from search.service.tokens import new_token
from search.store import Role
from search.store import Store

HOST = "127.0.0.1:8080"


class Clock:
    """Time that passes when a test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def call(method: str = "GET", client: str = "127.0.0.1", **headers: str) -> Call:
    return Call(method, {"host": HOST, **headers}, client)


def refusal(guard: Guard, call: Call) -> Refused:
    with pytest.raises(Refused) as refused:
        guard.identify(call)
    return refused.value


def basic(password: str) -> str:
    return "Basic " + base64.b64encode(f"anybody:{password}".encode()).decode()


@pytest.fixture
def token(store: Store) -> str:
    """A submitter's, of Ann."""
    text = new_token()
    store.tokens.add("ann", Role.SUBMITTER, hash_token(text))
    return text


@pytest.fixture
def guard(store: Store) -> Guard:
    return Guard.of_service(store.tokens, "127.0.0.1")


def test_tokens_are_random_and_kept_as_hashes_alone() -> None:
    assert re.fullmatch(r"emph_[A-Za-z0-9_-]{43}", new_token())
    assert new_token() != new_token()
    assert hash_token("emph_a") == "49efb5657eade73bb42fb35c44b34e6597ac5bf5d561d12b18477853a59cfe0e"


def test_bearer_basic_password_and_cookie_all_carry_the_token(guard: Guard, token: str) -> None:
    ann = Identity("ann", Role.SUBMITTER)
    assert guard.identify(call(authorization=f"Bearer {token}")) == ann
    assert guard.identify(call(authorization=f"bearer  {token} ")) == ann
    assert guard.identify(call(authorization=basic(token))) == ann
    assert guard.identify(call(cookie=f"theme=dark; emphasis_token={token}")) == ann


@pytest.mark.parametrize(
    "authorization",
    ["", "Bearer", "Bearer ", "Bearer emph_" + "x" * 43, "Basic !", "Basic /w==", "Basic YQ==", "Negotiate abc", "é"],
)
def test_what_is_no_good_token_is_refused_with_a_challenge(guard: Guard, token: str, authorization: str) -> None:
    refused = refusal(guard, call(authorization=authorization))
    assert refused.problem.status == 401
    assert refused.headers["WWW-Authenticate"].startswith("Bearer")
    assert "revoked" in refused.problem.detail


def test_revoked_token_is_refused_at_the_next_request(guard: Guard, store: Store, token: str) -> None:
    store.tokens.add("bob", Role.READER, hash_token(new_token()))
    request = call(authorization=f"Bearer {token}")
    assert guard.identify(request).name == "ann"
    store.tokens.revoke("ann")
    assert refusal(guard, request).problem.status == 401


def test_no_token_is_needed_on_this_machine_until_there_is_one(guard: Guard, store: Store) -> None:
    assert guard.identify(call()) == LOCAL
    assert LOCAL.may_submit
    store.tokens.add("ann", Role.READER, hash_token(new_token()))
    refused = refusal(guard, call())
    assert refused.problem.status == 401
    assert "needs a token" in refused.problem.detail


@pytest.mark.parametrize("address", ["0.0.0.0", "::", "192.0.2.7", "server.example"])
def test_beyond_this_machine_a_token_is_needed_even_where_there_is_none(store: Store, address: str) -> None:
    guard = Guard.of_service(store.tokens, address, ["server.example"])
    assert refusal(guard, Call("GET", {"host": "server.example"}, "192.0.2.9")).problem.status == 401


def test_open_service_ignores_a_cookie_of_another_one_but_not_a_wrong_header(guard: Guard) -> None:
    stale = new_token()
    assert guard.identify(call(cookie=f"emphasis_token={stale}")) == LOCAL
    assert refusal(guard, call(authorization=f"Bearer {stale}")).problem.status == 401


def test_reader_may_not_submit() -> None:
    assert not Identity("rob", Role.READER).may_submit


@pytest.mark.parametrize(
    ("bound", "host", "allowed"),
    [
        ("127.0.0.1", "127.0.0.1:8080", True),
        ("127.0.0.1", "localhost", True),
        ("127.0.0.1", "LOCALHOST:1", True),
        ("127.0.0.1", "[::1]:8080", True),
        ("127.0.0.1", "extra.example:8080", True),
        ("127.0.0.1", "evil.example:8080", False),
        ("127.0.0.1", "localhost.evil.example", False),
        ("127.0.0.1", "evil@127.0.0.1.example", False),
        ("127.0.0.1", "192.0.2.7", False),
        ("127.0.0.1", "", False),
        ("192.0.2.7", "192.0.2.7:8080", True),
        ("192.0.2.7", "192.0.2.8:8080", False),
        ("0.0.0.0", "192.0.2.7:8080", True),
        ("0.0.0.0", "evil.example", False),
        ("::", "[2001:db8::7]:8080", True),
        ("::", "", False),
        ("2001:db8::7", "[2001:DB8::7]", True),
    ],
)
def test_service_is_asked_under_its_own_names_only(bound: str, host: str, allowed: bool) -> None:
    assert AllowedHosts(bound, ["extra.example"]).allows(host) is allowed


def test_wrong_host_is_refused_before_the_token_is_looked_at(guard: Guard, token: str) -> None:
    refused = refusal(guard, call(authorization=f"Bearer {token}", host="evil.example"))
    assert refused.problem.status == 421
    assert "--allowed-host" in refused.problem.detail


@pytest.mark.parametrize("origin", ["http://evil.example", "http://127.0.0.1:3000", "null", "http://[", ""])
def test_page_of_another_site_changes_nothing_with_what_the_browser_adds(guard: Guard, token: str, origin: str) -> None:
    for credential in ({"cookie": f"emphasis_token={token}"}, {"authorization": basic(token)}):
        assert refusal(guard, call("POST", origin=origin, **credential)).problem.status == 403
        assert guard.identify(call("GET", origin=origin, **credential)).name == "ann"
    # Only who has the token can put it into this header.
    assert guard.identify(call("POST", origin=origin, authorization=f"Bearer {token}")).name == "ann"


def test_page_of_another_site_changes_nothing_on_an_open_service(guard: Guard) -> None:
    assert refusal(guard, call("POST", origin="http://evil.example")).problem.status == 403
    assert guard.identify(call("POST", origin=f"http://{HOST}")) == LOCAL
    assert guard.identify(call("POST")) == LOCAL


def test_own_page_may_change_things_also_behind_a_proxy_that_speaks_https(guard: Guard, token: str) -> None:
    own = call("DELETE", cookie=f"emphasis_token={token}", origin=f"https://{HOST}")
    assert guard.identify(own).name == "ann"


def test_what_needs_no_token_is_heard_while_the_store_is_away() -> None:
    def away(*asked: object) -> NoReturn:
        raise StoreUnavailable("no answer")

    guard = Guard(away, away, AllowedHosts("127.0.0.1"), RateLimit(rate=1, burst=3, clock=Clock()))
    guard.hear(call())
    guard.hear(call(authorization=f"Bearer {new_token()}"))
    for wrong, status in (
        (call(host="evil.example"), 421),
        (call("POST", origin="http://evil.example"), 403),
        (call(), 429),
    ):
        with pytest.raises(Refused) as refused:
            guard.hear(wrong)
        assert refused.value.problem.status == status


def limited(store: Store, clock: Clock) -> Guard:
    return Guard.of_service(store.tokens, "127.0.0.1", limit=RateLimit(rate=2, burst=3, clock=clock))


def test_each_token_has_a_rate_of_its_own_and_is_told_when_to_come_back(store: Store, token: str) -> None:
    clock = Clock()
    guard = limited(store, clock)
    other = new_token()
    store.tokens.add("bob", Role.READER, hash_token(other))
    ann, bob = (call(authorization=f"Bearer {text}") for text in (token, other))
    for _ in range(3):
        guard.identify(ann)
    refused = refusal(guard, ann)
    assert refused.problem.status == 429
    assert refused.headers["Retry-After"] == "1"
    assert guard.identify(bob).name == "bob"
    clock.now += 0.5
    assert guard.identify(ann).name == "ann"
    assert refusal(guard, ann).problem.status == 429


def test_guessing_tokens_is_limited_by_address(store: Store, token: str) -> None:
    guard = limited(store, Clock())
    statuses = [refusal(guard, call(authorization=f"Bearer {new_token()}")).problem.status for _ in range(4)]
    assert statuses == [401, 401, 401, 429]
    assert refusal(guard, call(authorization="Bearer x", client="192.0.2.1")).problem.status == 401
    assert guard.identify(call(authorization=f"Bearer {token}")).name == "ann"


def test_callers_at_rest_are_forgotten() -> None:
    clock = Clock()
    limit = RateLimit(rate=2, burst=3, clock=clock)
    for number in range(1000):
        assert limit.wait(f"address {number}") == 0
    clock.now += 1.5
    limit.wait("another")
    assert list(limit._left) == ["another"]


def test_service_imports_neither_torch_nor_ray_nor_mlflow() -> None:
    check = (
        "import sys, search.service.mlflow_gateway;"
        "sys.exit(', '.join({'torch', 'ray', 'mlflow', 'optuna'} & set(sys.modules)) or 0)"
    )
    done = run([sys.executable, "-c", check], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
