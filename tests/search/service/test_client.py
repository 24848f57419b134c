"""The client over real HTTP: what it does when a server is away, slow, refuses, or is no such server."""

from __future__ import annotations

import json
import pickle
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from answering import Answer
from answering import answering
from answering import losing_answers
from recorded_sweeps import RecordedSweep
from recorded_sweeps import RecordSweep
from served_api import Served
from served_api import served
from typer.testing import CliRunner

from search.cli import app
from search.errors import AnswerLost
from search.errors import NotAllowed
from search.errors import ServerUnavailable
from search.errors import SweepCancelled
from search.errors import SweepFailed
from search.errors import SweepInterrupted
from search.errors import UnencryptedToken
from search.errors import UnexpectedAnswer
from search.errors import WaitTimeout
from search.service.client import Client
from search.service.local import LocalService
from search.service.rate_limit import RateLimit
from search.service.submitted import SubmittedSweep
from search.spec import SweepSpec
from search.store import Role
from search.store import Store
from search.store import SweepState
from search.store import Verb
from trainers.errors import InvalidInput

FIELDS: dict[str, Any] = {"dataset": "digits", "noise_rate": 0.4, "trials": 3, "training": {"epochs": 1}}


@pytest.fixture(autouse=True)
def _no_server_of_mine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("EMPHASIS_SERVER", "EMPHASIS_TOKEN", "EMPHASIS_TOKEN_FILE"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def running(store: Store, tmp_path: Path) -> Iterator[Served]:
    with served(store, tmp_path, required=False) as service:
        yield service


@pytest.fixture
def client(running: Served) -> Iterator[Client]:
    with Client(running.url) as asking:
        yield asking


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


class TestAddress:
    def test_without_an_address_it_says_how_to_give_one(self) -> None:
        with pytest.raises(InvalidInput, match="EMPHASIS_SERVER"):
            Client()

    @pytest.mark.parametrize("url", ["127.0.0.1:8080", "ftp://here", "http://", "http://here:port", "nonsense"])
    def test_what_is_no_address_is_refused(self, url: str) -> None:
        with pytest.raises(InvalidInput) as refused:
            Client(url)
        assert [error.field for error in refused.value.errors] == ["server"]

    @pytest.mark.parametrize(
        "url",
        ["http://ada:secret@here:8080", "ftp://ada:secret@here", "http://ada:secret@here:port", "ada:secret@here"],
    )
    def test_a_password_in_an_address_is_refused_and_not_shown(self, url: str) -> None:
        with pytest.raises(InvalidInput) as refused:
            Client(url)
        assert "secret" not in str(refused.value)

    def test_the_environment_gives_address_and_token(
        self, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with served(store, tmp_path) as running:
            monkeypatch.setenv("EMPHASIS_SERVER", f"{running.url}/")
            monkeypatch.setenv("EMPHASIS_TOKEN", running.token("ada"))
            with Client() as client:
                assert client.submit(FIELDS).submitter == "ada"

    def test_a_token_may_lie_in_a_file(self, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        with served(store, tmp_path) as running:
            (tmp_path / "token").write_text(f"{running.token('ada')}\n")
            monkeypatch.setenv("EMPHASIS_TOKEN_FILE", str(tmp_path / "token"))
            with Client(running.url) as client:
                assert client.sweeps().items == []

    def test_a_token_file_that_is_not_there_is_named(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("EMPHASIS_TOKEN_FILE", "/nowhere/token")
        with pytest.raises(InvalidInput, match="EMPHASIS_TOKEN_FILE = '/nowhere/token': cannot be read"):
            Client("http://127.0.0.1:9")

    def test_a_token_with_a_line_break_is_refused_and_not_shown(self) -> None:
        with pytest.raises(InvalidInput) as refused:
            Client("http://127.0.0.1:9", "secret\r\nX-Forged: 1")
        assert "secret" not in str(refused.value)

    def test_nothing_heavy_is_imported(self) -> None:
        heavy = ["torch", "ray", "mlflow", "optuna", "sqlalchemy", "fastapi"]
        code = f"from search import Client; import sys; print([name for name in {heavy} if name in sys.modules])"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert done.stdout.strip() == "[]"


class TestRefused:
    def test_without_a_token_one_is_asked_for(self, store: Store, tmp_path: Path) -> None:
        asks = pytest.raises(NotAllowed, match="EMPHASIS_TOKEN")
        with served(store, tmp_path) as running, Client(running.url) as client, asks:
            client.sweeps()

    def test_that_a_token_is_sent_unencrypted_is_said(self, recwarn: pytest.WarningsRecorder) -> None:
        with pytest.warns(UnencryptedToken, match=r"http://emphasis\.example unencrypted.*https://"):
            Client("http://emphasis.example", "secret").close()
        recwarn.clear()
        for harmless in ("https://emphasis.example", "http://127.0.0.1:8080", "http://localhost", "http://[::1]:8080"):
            Client(harmless, "secret").close()
        Client("http://emphasis.example").close()
        assert not recwarn.list

    def test_a_revoked_token_is_refused_and_not_shown(self, store: Store, tmp_path: Path) -> None:
        with served(store, tmp_path) as running:
            token = running.token("ada")
            store.tokens.revoke("ada")
            with Client(running.url, token) as client, pytest.raises(NotAllowed) as refused:
                client.sweeps()
        assert token not in str(refused.value)
        assert token not in repr(client)

    def test_a_reader_reads_and_submits_nothing(self, store: Store, tmp_path: Path, record_sweep: RecordSweep) -> None:
        record_sweep("mine")
        with served(store, tmp_path) as running, Client(running.url, running.token("eve", Role.READER)) as client:
            assert client.sweep("mine").id == "mine"
            for change in (lambda: client.submit(FIELDS), lambda: client.ask("mine", Verb.CANCEL)):
                with pytest.raises(NotAllowed):
                    change()
        assert [(sweep.id, sweep.state) for sweep in store.sweeps()] == [("mine", SweepState.QUEUED)]

    def test_sweeps_bear_the_names_of_the_tokens_they_came_with(self, store: Store, tmp_path: Path) -> None:
        with served(store, tmp_path) as running:
            for name in ("ada", "bob"):
                with Client(running.url, running.token(name)) as client:
                    client.submit(FIELDS, request_key="same for both")
        assert sorted(sweep.submitter for sweep in store.sweeps()) == ["ada", "bob"]

    @pytest.mark.parametrize("dataset", ["half \ud800 a pair", "\x00"])
    def test_text_that_no_database_holds_is_refused(self, client: Client, dataset: str) -> None:
        with pytest.raises(InvalidInput, match="NUL or half of a surrogate"):
            client.submit({**FIELDS, "dataset": dataset})

    @pytest.mark.parametrize(
        "answer",
        [
            Answer(200, "<html>a router</html>"),
            Answer(200, json.dumps({"items": 3})),
            Answer(404, "not here"),
            Answer(301, headers={"Location": "https://elsewhere/api/v1/sweeps"}),
        ],
    )
    def test_another_server_is_told_from_the_service(self, answer: Answer) -> None:
        says = pytest.raises(UnexpectedAnswer, match=r"http://.*: .*`emphasis serve`")
        with answering(answer) as (url, asked), Client(url) as client, says:
            client.sweeps()
        assert len(asked) == 1

    @pytest.mark.parametrize(
        "error",
        [
            ServerUnavailable("http://here", "cannot be reached", "Start it."),
            UnexpectedAnswer("http://here", "answered 404"),
            NotAllowed("no"),
            WaitTimeout("mine", "running", 3.0),
        ],
    )
    def test_errors_travel_between_processes(self, error: Exception) -> None:
        again = pickle.loads(pickle.dumps(error))
        assert (type(again), str(again)) == (type(error), str(error))


class TestAway:
    def test_a_server_that_is_not_there_is_said_with_the_remedy(self) -> None:
        url = f"http://127.0.0.1:{free_port()}"
        with Client(url, patience_seconds=0) as client, pytest.raises(ServerUnavailable) as refused:
            client.sweeps()
        assert str(refused.value).startswith(f"{url}: cannot be reached")
        assert "emphasis serve" in str(refused.value)

    def test_a_server_that_comes_back_is_waited_for(self, store: Store, tmp_path: Path) -> None:
        port = free_port()
        with Client(f"http://127.0.0.1:{port}", patience_seconds=60) as client:
            ids: list[str] = []
            asking = threading.Thread(target=lambda: ids.append(client.submit(FIELDS).id))
            asking.start()
            with served(store, tmp_path, required=False, port=port):
                asking.join()
        assert ids == [sweep.id for sweep in store.sweeps()]

    def test_a_submission_whose_answer_was_lost_is_not_queued_twice(self, running: Served) -> None:
        with losing_answers(running.url, ["POST"]) as url, Client(url) as client:
            sweep = client.submit(FIELDS)
        assert [each.id for each in running.store.sweeps()] == [sweep.id]

    def test_where_no_answer_comes_the_key_to_submit_again_with_is_named(self, running: Served) -> None:
        with losing_answers(running.url, ["POST"]) as url:
            client = Client(url, patience_seconds=0)
            with pytest.raises(AnswerLost, match="It may have been queued") as refused:
                client.submit(FIELDS)
            key = str(refused.value).split("request key ")[1].split(",")[0]
            assert client.submit(FIELDS, request_key=key).id
        assert len(running.store.sweeps()) == 1

    def test_what_is_deleted_while_the_answer_was_lost_is_deleted(
        self, running: Served, record_sweep: RecordSweep
    ) -> None:
        record_sweep("mine")
        with losing_answers(running.url, ["DELETE"]) as url, Client(url) as client:
            client.delete("mine")
        assert running.store.sweeps() == []

    def test_a_server_that_is_busy_is_asked_again_when_it_says(self) -> None:
        later = Answer(503, json.dumps({"detail": "The store does not answer."}), {"Retry-After": "0"})
        page = Answer(200, json.dumps({"items": [], "next": None}))
        with answering(later, Answer(429, headers={"Retry-After": "0"}), page) as (url, asked), Client(url) as client:
            assert client.sweeps().items == []
        assert len(asked) == 3

    def test_a_server_that_asks_for_more_patience_than_there_is_is_not_waited_for(self) -> None:
        later = Answer(503, json.dumps({"detail": "The store does not answer."}), {"Retry-After": "3600"})
        says = pytest.raises(ServerUnavailable, match="answered 503: The store does not answer")
        with answering(later) as (url, asked), Client(url) as client, says:
            client.sweeps()
        assert len(asked) == 1

    def test_a_mistake_of_the_server_is_not_asked_for_again(self) -> None:
        mistake = Answer(500, json.dumps({"detail": "Its log says more."}))
        says = pytest.raises(ServerUnavailable, match="answered 500")
        with answering(mistake) as (url, asked), Client(url) as client, says:
            client.sweeps()
        assert len(asked) == 1

    def test_a_limit_of_requests_slows_down_and_refuses_nothing(self, store: Store, tmp_path: Path) -> None:
        limited = served(store, tmp_path, required=False, limit=RateLimit(rate=5, burst=2))
        with limited as running, Client(running.url, patience_seconds=60) as client:
            assert [client.sweeps().items for _ in range(5)] == [[]] * 5


class TestFollowing:
    def test_a_restarted_server_leaves_no_gap_and_repeats_nothing(
        self, store: Store, tmp_path: Path, record_sweep: RecordSweep
    ) -> None:
        sweep, port = record_sweep("mine"), free_port()
        with Client(f"http://127.0.0.1:{port}") as client:
            with served(store, tmp_path, required=False, port=port):
                events = client.events("mine", follow=True)
                heard = [next(events)]
                store.add_event("mine", "before")
                heard.append(next(events))
            store.add_event("mine", "while it was away")
            with served(store, tmp_path, required=False, port=port):
                heard.append(next(events))
                store.add_event("mine", "after")
                heard.append(next(events))
                sweep.done()
                heard += events
        assert [event.message for event in heard[1:]] == ["before", "while it was away", "after", "done"]
        assert [event.number for event in heard] == [1, 2, 3, 4, 5]

    def test_a_proxy_may_cut_a_quiet_stream_as_often_as_it_likes(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("search.service.client._AWAY_SECONDS", 0.05)
        monkeypatch.setattr("search.service.transport._FIRST_PAUSE", 0.01)
        cut = Answer(200, ": still here\n\n", {"Content-Type": "text/event-stream"})
        end = Answer(200, "event: end\ndata: {}\n\n", {"Content-Type": "text/event-stream"})
        with answering(*[cut] * 12, end) as (url, asked), Client(url) as client:
            assert list(client._events("mine", 0, follow=True)) == []  # who follows has looked for the sweep already
            assert len(asked) == 13

    def test_a_sweep_that_is_deleted_while_it_is_followed_is_said(
        self, client: Client, store: Store, record_sweep: RecordSweep
    ) -> None:
        record_sweep("mine")
        events = client.events("mine", follow=True)
        next(events)
        store.delete_sweep("mine")
        with pytest.raises(InvalidInput, match="no such sweep"):
            list(events)

    def test_a_sweep_that_is_resumed_is_followed_on(
        self, client: Client, store: Store, record_sweep: RecordSweep
    ) -> None:
        sweep = record_sweep("mine")
        store.ask("mine", Verb.PAUSE)
        paused = list(client.events("mine", follow=True))
        assert [event.kind for event in paused] == ["submitted", "state"]
        store.ask("mine", Verb.RESUME)
        sweep.done()
        later = client.events("mine", after=paused[-1].number, follow=True)
        assert [event.data.get("state") for event in later] == ["queued", "done"]


class TestSubmittedSweep:
    def test_a_spec_is_submitted_as_its_fields_are(self, client: Client) -> None:
        spec = SweepSpec.model_validate(FIELDS)
        assert client.submit(spec).spec == client.submit(FIELDS).spec

    def test_it_is_waited_for_and_tells_what_it_recommends(
        self, client: Client, running: Served, record_sweep: RecordSweep
    ) -> None:
        recorded = record_sweep("mine")
        shown: list[SubmittedSweep] = []

        def work() -> None:
            recorded.searched((12, 0.5), 0.9)
            recorded.searched((16, 1), 0.8)
            recorded.confirmed((12, 0.5), 0.9, 0.92)
            recorded.done()

        sweep = client.sweep("mine")
        worker = threading.Thread(target=work)
        done = sweep.wait(on_progress=lambda now: (shown.append(now), worker.start() if len(shown) == 1 else None))
        worker.join()
        assert (sweep.state, done.state) == (SweepState.QUEUED, SweepState.DONE)
        assert (shown[0].progress.done, shown[-1].progress.done) == (0, 4)
        assert done.recommendation is not None
        assert done.recommendation.recommended.beta == 12
        assert done.recommendation.provenance.confirmed

    def test_without_a_finished_trial_it_recommends_nothing(self, client: Client, record_sweep: RecordSweep) -> None:
        record_sweep("mine")
        assert client.sweep("mine").recommendation is None

    def test_what_it_recommends_is_what_its_server_says_and_an_export_of_it_too(
        self, client: Client, confirmed_sweep: RecordedSweep, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        told = {**client.recommendation("digits-done"), "backbone": "of another release"}
        monkeypatch.setattr(LocalService, "recommendation", lambda service, sweep_id: told)
        found = client.sweep("digits-done").recommendation
        assert found is not None
        assert found.as_dict() == told
        exported = CliRunner().invoke(app, ["--server", client.location, "export", "--sweep", "digits-done"])
        assert json.loads(exported.stdout) == [told]

    def test_of_a_sweep_that_is_gone_nothing_is_told(self, client: Client, record_sweep: RecordSweep) -> None:
        record_sweep("mine")
        sweep = client.sweep("mine")
        client.delete("mine")
        with pytest.raises(InvalidInput, match="no such sweep"):
            _ = sweep.recommendation

    @pytest.mark.parametrize(
        ("state", "error", "said"),
        [
            (SweepState.FAILED, SweepFailed, "too many trials failed"),
            (SweepState.CANCELLED, SweepCancelled, "was cancelled"),
            (SweepState.PAUSED, SweepInterrupted, "asked to pause by local"),
        ],
    )
    def test_a_sweep_that_ends_without_a_result_says_why(
        self,
        client: Client,
        store: Store,
        record_sweep: RecordSweep,
        state: SweepState,
        error: type[Exception],
        said: str,
    ) -> None:
        record_sweep("mine")
        if state is SweepState.FAILED:
            store.finish_sweep("mine", SweepState.FAILED, said)
        else:
            store.ask("mine", Verb.CANCEL if state is SweepState.CANCELLED else Verb.PAUSE)
        with pytest.raises(error, match=said):
            client.sweep("mine").wait()

    def test_it_is_waited_for_no_longer_than_asked(self, client: Client, record_sweep: RecordSweep) -> None:
        record_sweep("mine")
        with pytest.raises(WaitTimeout, match="still queued after 0 s"):
            client.sweep("mine").wait(timeout=0)
        with pytest.raises(TimeoutError):
            client.sweep("mine").wait(timeout=0.3)

    def test_it_is_waited_for_while_the_server_is_restarted(
        self, store: Store, tmp_path: Path, record_sweep: RecordSweep
    ) -> None:
        recorded, port = record_sweep("mine"), free_port()
        seen = threading.Event()
        ended: list[SweepState] = []
        with Client(f"http://127.0.0.1:{port}", patience_seconds=0) as client:
            with served(store, tmp_path, required=False, port=port):
                sweep = client.sweep("mine")
                waiting = threading.Thread(
                    target=lambda: ended.append(sweep.wait(on_progress=lambda now: seen.set()).state)
                )
                waiting.start()
                assert seen.wait(60)
            recorded.done()
            with served(store, tmp_path, required=False, port=port):
                waiting.join()
        assert ended == [SweepState.DONE]

    def test_it_is_steered(self, client: Client, record_sweep: RecordSweep) -> None:
        record_sweep("mine")
        sweep = client.sweep("mine")
        assert sweep.pause().state is SweepState.PAUSED
        assert sweep.resume().state is SweepState.QUEUED
        assert sweep.cancel().state is SweepState.CANCELLED
        assert sweep.view().state is SweepState.CANCELLED
        assert [event.data["state"] for event in sweep.events() if "state" in event.data] == [
            "paused",
            "queued",
            "cancelled",
        ]
