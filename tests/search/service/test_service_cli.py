"""The verbs of the service on the command line: on the home folder and on a server alike."""

from __future__ import annotations

import json
import os
import pty
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from driver_process import DriverProcess
from driver_process import eventually
from recorded_sweeps import RecordedSweep
from recorded_sweeps import RecordSweep
from served_api import Served
from served_api import served
from typer.testing import CliRunner
from typer.testing import Result

from search.cli import app
from search.owner import this_process
from search.spec import SweepSpec
from search.store import ProcessKind
from search.store import Store
from search.store import SweepState
from spaces import Configuration

SMALL = ("--dataset", "digits", "--trials", "3", "--epochs", "1")

Emphasis = Callable[..., Result]


def emphasis(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments], catch_exceptions=False)


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("EMPHASIS_SERVER", "EMPHASIS_TOKEN", "EMPHASIS_TOKEN_FILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("EMPHASIS_HOME", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "200")


@pytest.fixture
def running(store: Store, tmp_path: Path) -> Iterator[Served]:
    with served(store, tmp_path, required=False) as service:
        yield service


@pytest.fixture(params=["home", "server"])
def ask(request: pytest.FixtureRequest) -> Emphasis:
    """Call a command on the home folder, or on a server of the same store."""
    if request.param == "home":
        return emphasis
    url = request.getfixturevalue("running").url
    return lambda *arguments: emphasis("--server", url, *arguments)


def claimed(store: Store, sweep: RecordedSweep) -> None:
    store.claim_sweep(sweep.id, this_process(), is_alive=lambda owner, heartbeat: True, lease_seconds=60)


class TestSubmit:
    def test_it_queues_the_sweep_and_prints_its_id_first(self, ask: Emphasis, store: Store) -> None:
        done = ask("submit", *SMALL, "--noise-rate", "0.4", "--priority", "3")
        assert done.exit_code == 0, done.stderr
        (sweep,) = store.sweeps()
        assert done.stdout.splitlines()[0] == sweep.id
        assert (sweep.state, sweep.priority, sweep.attended) == (SweepState.QUEUED, 3, False)
        assert "No worker is running: start one with `emphasis worker`." in done.stderr

    def test_each_noise_rate_is_a_sweep_of_its_own(self, ask: Emphasis, store: Store) -> None:
        done = ask("submit", *SMALL, "--noise-rate", "0.2", "--noise-rate", "0.6")
        told = [line for line in done.stdout.splitlines() if not line.startswith("MLflow")]
        assert [store.sweep(id).noise_rate for id in told] == [0.2, 0.6]

    def test_a_file_is_submitted_and_options_override_it(self, ask: Emphasis, store: Store, tmp_path: Path) -> None:
        file = tmp_path / "sweep.yaml"
        file.write_text("dataset: digits\nnoise_rate: 0.4\ntrials: 7\n")
        assert ask("submit", file, "--trials", "5").exit_code == 0
        assert [sweep.spec["trials"] for sweep in store.sweeps()] == [5]

    def test_a_request_key_given_again_prints_the_same_sweep(self, ask: Emphasis, store: Store) -> None:
        given = ("submit", *SMALL, "--noise-rate", "0.4", "--request-key", "nightly")
        assert ask(*given).stdout == ask(*given).stdout
        assert len(store.sweeps()) == 1
        refused = ask(*given, "--seed", "1")
        assert refused.exit_code == 1
        assert "request_key = 'nightly'" in refused.stderr

    def test_everything_wrong_is_said_field_by_field_and_nothing_is_queued(self, ask: Emphasis, store: Store) -> None:
        wrong = ("--noise-rate", "0.2", "--noise-rate", "1.4", "--trials", "-1")
        done = ask("submit", "--dataset", "digit", *wrong)
        assert done.exit_code == 2
        assert done.stdout == ""
        said = {line.split(" = ")[0] for line in done.stderr.splitlines()}
        assert said == {"dataset", "noise_rate[1]", "trials"}
        assert store.sweeps() == []

    def test_paths_are_made_absolute(
        self, ask: Emphasis, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        done = ask("submit", "--dataset", "mine.npz", "--noise-rate", "0.4")
        assert done.exit_code == 2
        assert done.stderr.startswith(f"dataset = '{tmp_path / 'mine.npz'}'")

    def test_waiting_shows_how_it_goes_and_what_it_found(self, ask: Emphasis, store: Store) -> None:
        def work() -> None:
            (sweep,) = eventually(store.sweeps)
            recorded = RecordedSweep(store, sweep.id)
            recorded.searched((12, 0.5), 0.9)
            recorded.baseline(0.6)
            recorded.confirmed((12, 0.5), 0.91, 0.92)
            recorded.done()

        worker = threading.Thread(target=work)
        worker.start()
        done = ask("submit", *SMALL, "--noise-rate", "0.4", "--wait")
        worker.join()
        assert done.exit_code == 0, done.stderr
        assert re.search(r"^done \| 4/4 trials \| best β=12 λ=0.5 intact accuracy 0.915", done.stdout, re.MULTILINE)
        assert "★ 1" in done.stdout
        assert "Recommended: beta = 12, lambda = 0.5 for digits at noise rate 0.4" in done.stdout
        (sweep,) = store.sweeps()
        assert done.stdout.splitlines()[-1].endswith(f" export --sweep {sweep.id}")

    def test_waiting_for_a_sweep_that_fails_says_why_and_goes_on_with_the_next(
        self, ask: Emphasis, store: Store
    ) -> None:
        def work() -> None:
            second, first = eventually(lambda: found if len(found := store.sweeps()) == 2 else None)
            store.finish_sweep(first.id, SweepState.FAILED, "too many trials failed")
            RecordedSweep(store, second.id).done()

        worker = threading.Thread(target=work)
        worker.start()
        done = ask("submit", *SMALL, "--noise-rate", "0.2", "--noise-rate", "0.6", "--wait")
        worker.join()
        assert done.exit_code == 1
        assert "too many trials failed" in done.stderr
        assert "No recommendation" in done.stdout

    def test_whoever_stops_waiting_stops_no_sweep(self, store: Store, tmp_path: Path) -> None:
        with DriverProcess(tmp_path, "submit", *SMALL, "--noise-rate", "0.4", "--wait") as waiting:
            waiting.wait_for("queued | 0/15 trials")
            waiting.interrupt()
            assert waiting.wait() == 1
            assert "Nothing was stopped: see `emphasis status`" in waiting.output
            assert "Traceback" not in waiting.output
        assert [sweep.state for sweep in store.sweeps()] == [SweepState.QUEUED]

    def test_where_mlflow_shows_it(self, running: Served, store: Store) -> None:
        given = ("submit", *SMALL, "--noise-rate", "0.4")
        assert emphasis(*given).stdout.splitlines()[1] == "MLflow   emphasis ui"
        store.processes.say("here:1:2", ProcessKind.SERVER, {"url": "http://here:8080"})
        for place, address in (((), "http://here:8080"), (("--server", running.url), running.url)):
            id, link = emphasis(*place, *given).stdout.splitlines()
            assert link == f"MLflow   {address}/api/v1/sweeps/{id}/mlflow"


class TestWatch:
    def test_status_is_one_screen(self, ask: Emphasis, store: Store, record_sweep: RecordSweep) -> None:
        record_sweep("next", submitter="ada", priority=2)
        working = record_sweep("now")
        working.searched((12, 0.5), 0.9)
        claimed(store, working)
        store.processes.say(
            "here:1:2", ProcessKind.WORKER, {"resources": {"nodes": [{"cpus": 2.0}], "may_have": []}}
        )
        done = ask("status")
        assert done.exit_code == 0
        lines = [line for line in done.stdout.splitlines() if not line.startswith("where")]
        assert lines[0].startswith("server   none: `emphasis serve`")
        assert lines[1].startswith("worker   here:1:2")
        assert lines[2:] == [
            "sweeps   1 queued, 1 running",
            "running  now  running | 1/1 trials | best β=12 λ=0.5 intact accuracy 0.900",
            "queue    next  by ada, priority 2",
        ]
        assert json.loads(ask("status", "--json").stdout)["waiting"] == 1

    def test_status_of_nothing_says_what_to_start(self, ask: Emphasis) -> None:
        assert "worker   none: `emphasis worker` starts one" in ask("status").stdout

    def test_logs_name_sweep_and_trial_on_every_line(self, ask: Emphasis, confirmed_sweep: RecordedSweep) -> None:
        lines = ask("logs", "digits-d").stdout.splitlines()
        assert lines[0].endswith("digits-done  submitted by local")
        assert all(re.search(r"  (info|warning) +digits-done(-\d{4})?  ", line) for line in lines)
        assert any(line.endswith("digits-done-0000  started  beta=12 lambda=0.5") for line in lines)
        assert any("digits-done-0012  failed: the loss is not finite" in line for line in lines)

    def test_logs_as_json_are_an_object_a_line(self, ask: Emphasis, confirmed_sweep: RecordedSweep) -> None:
        events = [json.loads(line) for line in ask("logs", "digits-done", "--json").stdout.splitlines()]
        assert [event["number"] for event in events] == list(range(1, len(events) + 1))
        assert {event["sweep_id"] for event in events} == {"digits-done"}

    def test_logs_are_followed_to_the_end_of_the_sweep(
        self, ask: Emphasis, store: Store, record_sweep: RecordSweep
    ) -> None:
        sweep = record_sweep("mine")
        threading.Thread(target=lambda: (store.add_event("mine", "hello"), sweep.done())).start()
        assert ask("logs", "mine", "-f").stdout.splitlines()[-1].endswith("mine  done")

    def test_the_list_says_who_submitted_where_not_all_is_ones_own(
        self, ask: Emphasis, record_sweep: RecordSweep
    ) -> None:
        record_sweep("mine")
        assert "submitter" not in ask("list").stdout
        record_sweep("hers", submitter="ada")
        header, hers, mine = ask("list").stdout.splitlines()
        column = header.split().index("submitter")
        assert (hers.split()[column], mine.split()[column]) == ("ada", "local")
        assert [line.split()[0] for line in ask("list", "--submitter", "ada").stdout.splitlines()[1:]] == ["hers"]

    def test_the_list_may_be_of_some_states(self, ask: Emphasis, store: Store, record_sweep: RecordSweep) -> None:
        record_sweep("waits")
        claimed(store, record_sweep("runs"))
        shown = {state: ask("list", "--state", state).stdout for state in ("queued", "running", "failed")}
        assert [("waits" in text, "runs" in text) for text in shown.values()] == [
            (True, False),
            (False, True),
            (False, False),
        ]
        refused = ask("list", "--state", "asleep")
        assert refused.exit_code == 2
        assert refused.stderr.startswith("state = 'asleep': is no state of a sweep. Use queued, running")

    def test_a_list_that_is_cut_off_says_so(self, ask: Emphasis, record_sweep: RecordSweep) -> None:
        for number in range(4):
            record_sweep(f"sweep-{number}")
        shown = ask("list", "--limit", "3").stdout.splitlines()
        assert [line.split()[0] for line in shown[1:4]] == ["sweep-3", "sweep-2", "sweep-1"]
        assert "list --limit 30`" in shown[4]
        assert len(ask("list", "--limit", "4").stdout.splitlines()) == 5

    @pytest.mark.parametrize(
        "command",
        [
            "list",
            "show digits-done",
            "show digits-done --json",
            "show other",
            "export",
            "export --format yaml",
            "export --format csv",
            "export --format md",
            "export --dataset nothing",
            "show nothing",
            "logs digits-done",
        ],
    )
    def test_a_server_is_shown_as_the_home_folder_is(
        self, running: Served, confirmed_sweep: RecordedSweep, record_sweep: RecordSweep, command: str
    ) -> None:
        other = record_sweep("other", supervision="gce", submitter="ada")
        other.searched(Configuration.of("gce", q=0.5), 0.9)
        here, there = emphasis(*command.split()), emphasis("--server", running.url, *command.split())
        # Commands in messages lead to where they came from.
        stderr = there.stderr.replace(f"emphasis --server {running.url}", "emphasis")
        assert (there.exit_code, there.stdout, stderr) == (here.exit_code, here.stdout, here.stderr)


class TestSteer:
    def test_several_sweeps_are_paused_resumed_and_cancelled(
        self, ask: Emphasis, store: Store, record_sweep: RecordSweep
    ) -> None:
        ids = [record_sweep(f"sweep-{number}").id for number in range(2)]
        for verb, state in (("pause", "paused"), ("resume", "queued"), ("cancel", "cancelled")):
            done = ask(verb, *ids)
            assert done.stdout.splitlines() == [f"{id}  {state}" for id in ids]
            assert {store.sweep(id).state.value for id in ids} == {state}

    def test_what_runs_is_asked_to_stop(self, ask: Emphasis, store: Store, record_sweep: RecordSweep) -> None:
        claimed(store, record_sweep("mine"))
        assert ask("cancel", "mine").stdout == "mine  cancelling\n"

    def test_one_that_cannot_does_not_keep_the_others(
        self, ask: Emphasis, store: Store, record_sweep: RecordSweep
    ) -> None:
        record_sweep("over").done()
        record_sweep("mine")
        done = ask("cancel", "over", "mine")
        assert done.exit_code == 1
        assert done.stdout == "mine  cancelled\n"
        assert "Sweep over is done: it cannot be asked to cancel." in done.stderr
        assert ask("cancel", "nothing", "mine").exit_code == 2

    def test_a_submitted_sweep_is_put_back_to_the_queue(self, ask: Emphasis, record_sweep: RecordSweep) -> None:
        record_sweep("mine")
        ask("pause", "mine")
        done = ask("resume", "mine")
        assert done.stdout == "mine  queued\n"
        assert "emphasis worker" in done.stderr

    def test_here_a_submitted_sweep_is_run_by_this_process(self, record_sweep: RecordSweep, tmp_path: Path) -> None:
        # That its data has changed is only seen by who would run it.
        record_sweep("mine", spec=SweepSpec(dataset="digits", noise_rate=0.4).to_json_dict())
        with DriverProcess(tmp_path, "resume", "mine", "--here") as driver:
            assert driver.wait() == 2
            assert "is not the one that the finished trials of mine were trained on" in driver.output

    def test_a_servers_sweep_is_not_run_here(self, running: Served, record_sweep: RecordSweep) -> None:
        record_sweep("mine")
        for option in (("--here",), ("--max-failure-rate", "1")):
            done = emphasis("--server", running.url, "resume", "mine", *option)
            assert done.exit_code == 2
            assert "a server's sweeps run there" in done.stderr

    def test_a_ray_that_a_queued_sweep_would_not_run_on_is_refused(
        self, ask: Emphasis, record_sweep: RecordSweep, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        record_sweep("mine")
        ask("pause", "mine")
        for option, value in (("--ray-address", "10.9.9.9:6379"), ("--may-grow-to", "CPU=4")):
            done = ask("resume", "mine", option, value)
            assert done.exit_code == 2
            assert "mine is queued, and runs on the Ray of the worker that takes it" in done.stderr
        monkeypatch.setenv("RAY_ADDRESS", "10.9.9.9:6379")  # meant for other commands
        assert ask("resume", "mine").stdout == "mine  queued\n"

    def test_deleting_is_asked_for_twice(self, ask: Emphasis, store: Store, record_sweep: RecordSweep) -> None:
        record_sweep("mine")
        record_sweep("also")
        refused = ask("delete", "mine")
        assert refused.exit_code == 2
        assert "--yes" in refused.stderr
        assert len(store.sweeps()) == 2
        assert ask("delete", "mine", "also", "--yes").stdout.splitlines() == ["mine  deleted", "also  deleted"]
        assert store.sweeps() == []

    def test_where_one_is_unknown_none_is_deleted(
        self, ask: Emphasis, store: Store, record_sweep: RecordSweep
    ) -> None:
        record_sweep("mine")
        assert ask("delete", "mine", "nothing", "--yes").exit_code == 2
        assert len(store.sweeps()) == 1

    @pytest.mark.parametrize(("answer", "left"), [("y", 0), ("n", 1)])
    def test_at_a_terminal_one_is_asked(
        self, store: Store, record_sweep: RecordSweep, answer: str, left: int
    ) -> None:
        record_sweep("mine")
        ours, theirs = pty.openpty()
        code = "from search.cli import main; main()"
        with subprocess.Popen(
            [sys.executable, "-c", code, "delete", "mine"], stdin=theirs, stdout=theirs, stderr=theirs
        ) as process:
            os.close(theirs)
            said = b""
            while b"[y/N]" not in said:
                said += os.read(ours, 1024)
            os.write(ours, f"{answer}\n".encode())
        os.close(ours)
        assert b"mine (queued, 0 trials done)" in said
        assert process.returncode == (0 if answer == "y" else 1)
        assert len(store.sweeps()) == left


class TestWhere:
    def test_the_server_is_taken_before_and_after_the_command_and_from_the_environment(
        self, running: Served, record_sweep: RecordSweep, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        record_sweep("mine")
        monkeypatch.setenv("EMPHASIS_HOME", str(tmp_path / "elsewhere"))
        assert "mine" in emphasis("--server", running.url, "list").stdout
        assert "mine" in emphasis("list", "--server", running.url).stdout
        assert "mine" not in emphasis("list").stdout
        monkeypatch.setenv("EMPHASIS_SERVER", running.url)
        assert "mine" in emphasis("list").stdout

    def test_a_folder_that_is_asked_for_goes_before_the_environment(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("EMPHASIS_SERVER", "http://127.0.0.1:9")
        assert emphasis("list", "--home", tmp_path).exit_code == 0

    def test_what_ran_here_is_shown_here_whatever_the_environment_says(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("EMPHASIS_SERVER", "http://127.0.0.1:9")
        assert "`emphasis datasets`" not in (said := emphasis("run").stderr)
        assert f"`emphasis --home {tmp_path} datasets`" in said

    @pytest.mark.parametrize("kind", ["supervisions", "spaces", "datasets", "noise-models", "backbones"])
    def test_what_there_is_is_told_by_a_server_as_it_is_here(self, running: Served, kind: str) -> None:
        here = emphasis(kind).stdout
        assert emphasis("--server", running.url, kind).stdout == emphasis(kind, "--server", running.url).stdout == here

    def test_what_there_is_is_asked_where_sweeps_would_run(self, monkeypatch: pytest.MonkeyPatch) -> None:
        assert emphasis("datasets", "--server", "http://127.0.0.1:9").exit_code == 1
        monkeypatch.setenv("EMPHASIS_SERVER", "http://127.0.0.1:9")
        away = emphasis("datasets")
        assert (away.exit_code, away.stdout) == (1, "")
        assert away.stderr.startswith("http://127.0.0.1:9: cannot be reached")

    def test_what_is_done_on_this_machine_refuses_a_server(self, tmp_path: Path) -> None:
        options = ("--dataset", "digits", "--noise-rate", "0.4", "-o", tmp_path / "labels.csv")
        done = emphasis("--server", "http://127.0.0.1:9", "labels", *options)
        assert done.exit_code == 2
        assert "`labels` works on this machine, not on a server. Leave --server out." in done.stderr
        assert not (tmp_path / "labels.csv").exists()

    def test_both_a_folder_and_a_server_are_refused(self, tmp_path: Path) -> None:
        done = emphasis("--home", tmp_path, "--server", "http://127.0.0.1:9", "list")
        assert done.exit_code == 2
        assert done.stderr.startswith("server = 'http://127.0.0.1:9': --home")

    def test_commands_in_messages_lead_to_the_server_if_they_can(self, running: Served) -> None:
        text = emphasis("--server", running.url, "list").stdout
        assert f"`emphasis --server {running.url} submit --dataset" in text
        noted = emphasis("--server", running.url, "submit", *SMALL, "--noise-rate", "0.4").stderr
        assert "`emphasis worker`" in noted

    @pytest.mark.parametrize("command", ["run", "compare", "ui"])
    def test_what_works_on_this_machine_is_not_asked_of_a_server(self, command: str) -> None:
        options: dict[str, Any] = {"run": SMALL, "compare": (*SMALL[:4], "--supervision", "all"), "ui": ()}
        done = emphasis("--server", "http://127.0.0.1:9", command, *options[command])
        assert done.exit_code == 2
        assert f"`{command}` works on this machine, not on a server" in done.stderr
        assert ("`emphasis --server http://127.0.0.1:9 submit`" in done.stderr) == (command == "run")

    def test_a_server_that_is_not_there_is_a_failure_with_a_remedy(self) -> None:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            url = f"http://127.0.0.1:{taken.getsockname()[1]}"
            done = emphasis("--server", url, "list")
        assert done.exit_code == 1
        assert done.stderr.startswith(f"{url}: cannot be reached")

    def test_a_token_is_given_by_the_environment_alone(
        self, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with served(store, tmp_path) as guarded:
            monkeypatch.setenv("EMPHASIS_SERVER", guarded.url)
            refused = emphasis("list")
            assert refused.exit_code == 1
            assert "EMPHASIS_TOKEN" in refused.stderr
            (tmp_path / "token").write_text(guarded.token("ada"))
            monkeypatch.setenv("EMPHASIS_TOKEN_FILE", str(tmp_path / "token"))
            assert emphasis("list").exit_code == 0
