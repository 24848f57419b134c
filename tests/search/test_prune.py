"""Pruning: what nobody needs is found and said, and nothing of a sweep that may go on is ever among it."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from mlflow_tables import give_tables
from recorded_sweeps import RecordSweep
from typer.testing import CliRunner
from typer.testing import Result

from search import prune as prune_module
from search.cli import app
from search.home import Home
from search.owner import is_alive
from search.owner import this_process
from search.parent_summary import summarise
from search.prune import parse_age
from search.prune import prunable
from search.prune import remove
from search.settled_rate import SettledRate
from search.store import SweepState
from search.store import utc_now
from search.submission import new_id
from search.tracking import Projection
from trainers.errors import InvalidInput

GONE = "digits-r40-260101-120000-ab12"
ENDED = (SweepState.DONE, SweepState.FAILED, SweepState.CANCELLED)
NOT_ENDED = [state for state in SweepState if state not in ENDED]


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """The home folder of the `store` fixture."""
    return Home.resolve(tmp_path)


@pytest.fixture
def emphasis(home: Home, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    monkeypatch.setenv("EMPHASIS_HOME", str(home.path))

    def call(*arguments: object) -> Result:
        return CliRunner().invoke(app, [str(argument) for argument in arguments], catch_exceptions=False)

    return call


def fill(folder: Path, *names: str, days_old: float = 0.0) -> Path:
    """Put a file of 1000 bytes into a folder under each name."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in names or ("file",):
        (folder / name).write_bytes(bytes(1000))
    moment = time.time() - days_old * 86400
    for path in (*folder.iterdir(), folder):
        os.utime(path, (moment, moment))
    return folder


def left_by(home: Home, sweep_id: str, days_old: float = 0.0) -> list[Path]:
    """What a sweep has in the home folder; the figures last."""
    return [
        fill(home.checkpoints(sweep_id), f"{sweep_id}-0001.pt", days_old=days_old),
        fill(home.ray / f"{sweep_id}-a1b2c3", "searcher-state.json", days_old=days_old),
        fill(home.figures(sweep_id), "leaderboard.png", days_old=days_old),
    ]


def stands(home: Home, sweep_id: str, state: SweepState, days_ago: float = 0.0) -> None:
    """Have a sweep in a state since so many days, however it came there."""
    moment = utc_now().replace(tzinfo=None) - timedelta(days=days_ago)
    with closing(sqlite3.connect(home.path / "emphasis.db")) as connection, connection:
        values = (state.value, str(moment) if state.ended else None, sweep_id)
        connection.execute("UPDATE sweeps SET state = ?, finished_at = ? WHERE id = ?", values)


def paths(home: Home, older_than: timedelta | None = None) -> set[Path]:
    return {each.path for each in prunable(home, older_than)}


@pytest.mark.parametrize("state", ENDED)
def test_checkpoints_and_notes_of_a_sweep_that_has_ended_can_go_but_not_its_figures(
    record_sweep: RecordSweep, home: Home, state: SweepState
) -> None:
    sweep = record_sweep()
    checkpoints, notes, _ = left_by(home, sweep.id)
    stands(home, sweep.id, state)
    found = prunable(home)
    assert {each.path: each.bytes for each in found} == {checkpoints: 1000, notes: 1000}
    assert all(state.value in each.why for each in found)


@pytest.mark.parametrize("state", NOT_ENDED)
def test_nothing_of_a_sweep_that_may_go_on_can_go(
    record_sweep: RecordSweep, home: Home, state: SweepState
) -> None:
    sweep = record_sweep(GONE)
    left_by(home, sweep.id, days_old=400)
    stands(home, sweep.id, state)
    assert prunable(home, timedelta(0)) == []


def test_everything_of_a_sweep_that_the_store_does_not_have_can_go(
    record_sweep: RecordSweep, home: Home
) -> None:
    record_sweep()
    assert paths(home) == set()
    assert set(left_by(home, GONE, days_old=2)) == paths(home)


def test_sweep_of_another_store_that_was_written_lately_is_taken_for_running(
    record_sweep: RecordSweep, home: Home
) -> None:
    record_sweep()
    checkpoints, notes, figures = left_by(home, GONE, days_old=2)
    fill(checkpoints / "deeper", days_old=0.5)
    assert paths(home) == {notes, figures}


def test_folders_that_are_no_sweeps_are_left_alone(record_sweep: RecordSweep, home: Home) -> None:
    record_sweep()
    for name in ("compare-digits-symmetric-r0.4-mlp-intact", "noise-cifar10n-worst", "my-own"):
        for root in (home.figures_root, home.checkpoints_root, home.ray):
            fill(root / name, days_old=400)
    precious = fill(home.path / "precious", days_old=400)
    (home.checkpoints_root / GONE).symlink_to(precious)
    assert prunable(home, timedelta(0)) == []


def test_new_sweeps_have_ids_that_are_known_as_such() -> None:
    for name, rate in (("digits", 0.4), ("my data", 0.0), ("torchvision:FashionMNIST", 1.0)):
        assert prune_module._SWEEP_ID.fullmatch(new_id(name, SettledRate(rate)))
    assert prune_module._SWEEP_ID.fullmatch(new_id("digits", None))


def test_old_figures_of_a_done_sweep_can_go_but_not_what_resume_would_not_write_again(
    record_sweep: RecordSweep, home: Home
) -> None:
    old, recent, failed = (record_sweep(name) for name in ("old", "recent", "failed"))
    stands(home, old.id, SweepState.DONE, days_ago=40)
    stands(home, recent.id, SweepState.DONE, days_ago=20)
    stands(home, failed.id, SweepState.FAILED, days_ago=40)
    for sweep in (old, recent, failed):
        fill(home.figures(sweep.id), "leaderboard.png", "recommendation.json", "label_noise.png", "label_noise.csv")
    assert paths(home) == set()
    (found,) = prunable(home, timedelta(days=30))
    assert (found.path, found.bytes) == (home.figures("old"), 2000)
    remove(home, [found], timedelta(days=30))
    assert {path.name for path in home.figures("old").iterdir()} == {"label_noise.png", "label_noise.csv"}
    assert len(list(home.figures("recent").iterdir())) == 4
    assert paths(home, timedelta(days=30)) == set()


class TestDeletedInMlflow:
    @pytest.fixture
    def client(self, home: Home) -> Any:
        from mlflow.tracking import MlflowClient

        give_tables(home.path / "mlflow.db")
        return MlflowClient(tracking_uri=home.tracking_uri)

    @pytest.fixture
    def recorded(self, record_sweep: RecordSweep, home: Home, client: Any) -> Callable[[str], tuple[Any, Path]]:
        """Record a finished sweep of that id in MLflow, with a figure; its run and the folder of its artifacts."""

        def record(sweep_id: str) -> tuple[Any, Path]:
            sweep = record_sweep(sweep_id)
            sweep.searched((8, 0.5), 0.8)
            sweep.done()
            fill(home.figures(sweep_id), "leaderboard.png")
            summary = partial(summarise, sweep.store, home)
            Projection(sweep.store, home.tracking_uri, home.artifact_root, summary).sync_sweep(sweep_id)
            experiment = client.get_experiment_by_name("emphasis/digits").experiment_id
            wanted = f"tags.`emphasis.sweep_id` = '{sweep_id}' and tags.`emphasis.kind` = 'sweep'"
            (run,) = client.search_runs([experiment], wanted)
            return run, Path(run.info.artifact_uri.removeprefix("file://"))

        return record

    def test_only_artifacts_of_deleted_runs_of_sweeps_can_go_and_no_record_does(
        self, recorded: Callable[[str], tuple[Any, Path]], home: Home, client: Any
    ) -> None:
        _, kept = recorded("kept")
        run, folder = recorded("thrown-away")
        client.delete_run(run.info.run_id)
        # A user's own run in the same MLflow is no business of ours.
        own = client.create_run(run.info.experiment_id)
        client.log_text(own.info.run_id, "precious", "precious.txt")
        client.delete_run(own.info.run_id)

        found = prunable(home)
        assert [(each.path, each.bytes) for each in found] == [(folder, 1000)]
        assert "deleted in MLflow" in found[0].why
        pruned = remove(home, found)
        assert pruned.problems == ()
        assert not folder.exists()
        assert (kept / "leaderboard.png").exists()
        assert client.get_run(run.info.run_id).info.lifecycle_stage == "deleted"
        assert client.list_artifacts(own.info.run_id)
        assert prunable(home) == []

    def test_those_of_a_sweep_that_goes_on_stay(
        self, recorded: Callable[[str], tuple[Any, Path]], home: Home, client: Any
    ) -> None:
        run, _ = recorded("sweep")
        client.delete_run(run.info.run_id)
        stands(home, "sweep", SweepState.PAUSED)
        assert prunable(home) == []

    def test_artifacts_outside_the_home_folder_stay(
        self, recorded: Callable[[str], tuple[Any, Path]], home: Home, client: Any, tmp_path_factory: Any
    ) -> None:
        recorded("sweep")
        outside = tmp_path_factory.mktemp("outside")
        location = f"{home.artifact_root.as_uri()}/../../{outside.name}"  # it only looks as if it were inside
        experiment = client.create_experiment("mine", artifact_location=location)
        own = client.create_run(experiment, tags={"emphasis.sweep_id": "sweep"})
        client.log_text(own.info.run_id, "precious", "precious.txt")
        client.delete_run(own.info.run_id)
        assert prunable(home) == []

    def test_an_unreadable_record_is_told(
        self, record_sweep: RecordSweep, home: Home, emphasis: Callable[..., Result]
    ) -> None:
        record_sweep()
        (home.path / "mlflow.db").write_bytes(b"no database at all" * 1000)
        told = emphasis("prune")
        assert told.exit_code == 1
        assert "mlflow.db cannot be read" in told.stderr


class TestCommand:
    @pytest.fixture
    def leftover(self, record_sweep: RecordSweep, home: Home) -> Path:
        sweep = record_sweep()
        stands(home, sweep.id, SweepState.FAILED)
        return fill(home.checkpoints(sweep.id), "a.pt", "b.pt")

    def test_says_what_would_go_with_sizes_and_removes_nothing_unasked(
        self, leftover: Path, emphasis: Callable[..., Result]
    ) -> None:
        told = emphasis("prune", "--older-than", "30d")
        assert told.exit_code == 0
        assert "checkpoints/sweep  2.0 kB" in told.stdout
        assert "1 folder, 2.0 kB" in told.stdout
        assert "prune --older-than 30d --yes" in told.stdout
        assert leftover.exists()

    def test_removes_with_yes_and_then_finds_nothing(
        self, leftover: Path, emphasis: Callable[..., Result]
    ) -> None:
        told = emphasis("prune", "--yes")
        assert told.exit_code == 0
        assert "Removed 1 folder, 2.0 kB" in told.stdout
        assert not leftover.exists()
        assert "can go" in emphasis("prune", "--yes").stdout

    def test_what_is_taken_up_again_while_the_question_stands_is_kept(
        self, leftover: Path, record_sweep: RecordSweep, home: Home
    ) -> None:
        agreed = prunable(home)
        record_sweep("other").store.claim_sweep("sweep", this_process(), is_alive=is_alive)
        assert remove(home, agreed).removed == ()
        assert leftover.exists()

    def test_what_was_not_shown_is_not_removed(
        self, leftover: Path, record_sweep: RecordSweep, home: Home
    ) -> None:
        agreed = prunable(home)
        other = record_sweep("other")
        stands(home, other.id, SweepState.DONE)
        unseen = fill(home.checkpoints("other"))
        assert [each.path for each in remove(home, agreed).removed] == [leftover]
        assert unseen.exists()

    def test_what_cannot_be_removed_is_said_and_the_rest_goes(
        self,
        leftover: Path,
        record_sweep: RecordSweep,
        home: Home,
        emphasis: Callable[..., Result],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        other = record_sweep("other")
        stands(home, other.id, SweepState.DONE)
        stuck = fill(home.checkpoints("other"))
        rmtree = prune_module.shutil.rmtree

        def refuse(path: Path) -> None:
            if path == stuck:
                raise PermissionError(13, "Permission denied", str(path))
            rmtree(path)

        monkeypatch.setattr(prune_module.shutil, "rmtree", refuse)
        told = emphasis("prune", "--yes")
        assert told.exit_code == 1
        assert f"{stuck} could not be removed: Permission denied" in told.stderr
        assert "Removed 1 folder" in told.stdout
        assert not leftover.exists()

    def test_home_without_a_store_is_refused_and_gets_none(
        self, home: Home, emphasis: Callable[..., Result]
    ) -> None:
        checkpoints = left_by(home, GONE, days_old=400)[0]
        told = emphasis("prune", "--yes")
        assert told.exit_code == 2
        assert "EMPHASIS_STORE_URL" in told.stderr
        assert checkpoints.exists()
        assert not (home.path / "emphasis.db").exists()

    def test_store_elsewhere_says_what_is_needed(
        self, home: Home, emphasis: Callable[..., Result], postgresql_url: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("EMPHASIS_STORE_URL", postgresql_url)
        left = left_by(home, GONE, days_old=2)
        told = emphasis("prune", "--yes")
        assert told.exit_code == 0, told.stderr
        assert not any(path.exists() for path in left)

    @pytest.mark.parametrize("wrong", ["30", "d", "-3d", "3 months", "1.5d", ""])
    def test_an_age_that_is_none_is_bad_input(self, emphasis: Callable[..., Result], wrong: str) -> None:
        told = emphasis("prune", f"--older-than={wrong}")
        assert told.exit_code == 2
        assert "12h, 30d or 4w" in told.stderr


def test_ages_are_hours_days_or_weeks() -> None:
    assert [parse_age(text) for text in ("12h", "30d", "2w", "0d")] == [
        timedelta(hours=12),
        timedelta(days=30),
        timedelta(days=14),
        timedelta(0),
    ]
    with pytest.raises(InvalidInput, match="older_than = '3y'"):
        parse_age("3y")
