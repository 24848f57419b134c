"""Backup and restore: whole and consistent while sweeps are written, and nothing recorded is ever replaced."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import sqlite3
import tarfile
import threading
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from brake import BRAKED
from brake import Brake
from driver_process import DriverProcess
from driver_process import RayProcess
from driver_process import joining
from mlflow_tables import give_tables
from recorded_sweeps import EPOCHS
from recorded_sweeps import RecordedSweep
from recorded_sweeps import RecordSweep
from sweep_record import SMALL
from sweep_record import TRIALS
from sweep_record import Record
from sweep_record import assert_complete
from sweep_record import assert_kept
from typer.testing import CliRunner
from typer.testing import Result

from search import backup as backup_module
from search.backup import backup
from search.backup import restore
from search.cli import app
from search.export import export
from search.home import Home
from search.newest_recommendations import recommendations
from search.owner import is_alive
from search.owner import state_now
from search.owner import this_process
from search.parent_summary import summarise
from search.reports.figures import write_figures
from search.store import Store
from search.store import SweepState
from search.store import TrialState
from search.tracking import Projection
from trainers.errors import InvalidInput


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """The home folder of the `store` fixture."""
    return Home.resolve(tmp_path)


@pytest.fixture
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """Another home folder, with nothing in it; its name is one that URIs and URLs must escape."""
    return Home.resolve(tmp_path_factory.mktemp("another home 50%"))


@pytest.fixture
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("backups") / "emphasis.tar.gz"


@pytest.fixture
def backed_up(confirmed_sweep: RecordedSweep, home: Home, file: Path) -> Path:
    """A backup of a home with one finished sweep and two files of figures."""
    figures = home.figures(confirmed_sweep.id)
    figures.mkdir(parents=True)
    (figures / "leaderboard.md").write_text("| β | λ |")
    (figures / "leaderboard.png").write_bytes(bytes(range(256)) * 200)
    backup(home, file)
    return file


@pytest.fixture(scope="module")
def _one_backup(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("one")
    home = Home(folder / "home")
    with Store.open(home.store_url) as store:
        sweep = store.create_sweep(
            id="sweep", spec={}, dataset="digits", noise_rate=0.4, backbone="mlp", supervision="gr", data_hash="data",
            versions={},
        )  # fmt: skip
        RecordedSweep(store, sweep.id).searched((8, 0.5), 0.8)
    figures = home.figures(sweep.id)
    figures.mkdir(parents=True)
    (figures / "leaderboard.md").write_text("| β | λ |")
    (figures / "leaderboard.png").write_bytes(bytes(range(256)) * 200)
    backup(home, folder / "emphasis.tar.gz")
    return folder / "emphasis.tar.gz"


@pytest.fixture
def sound(_one_backup: Path, file: Path) -> Path:
    """A backup that a test may spoil."""
    shutil.copyfile(_one_backup, file)
    return file


def sync(home: Home, sweep_id: str) -> None:
    """Bring MLflow up to the store, as the recorder of a sweep does."""
    give_tables(home.path / "mlflow.db")
    with Store.open(home.store_url) as store:
        summary = partial(summarise, store, home)
        Projection(store, home.tracking_uri, home.artifact_root, summary).sync_sweep(sweep_id)


def mlflow_runs(home: Home) -> list[Any]:
    from mlflow.tracking import MlflowClient

    client: Any = MlflowClient(tracking_uri=home.tracking_uri)
    experiment = client.get_experiment_by_name("emphasis/digits")
    return list(client.search_runs([experiment.experiment_id], max_results=1000))


def figures_in_mlflow(home: Home) -> dict[str, bytes]:
    """The artifacts of the sweep's run, fetched as any MLflow user fetches them."""
    from mlflow.tracking import MlflowClient

    client: Any = MlflowClient(tracking_uri=home.tracking_uri)
    (parent,) = (run for run in mlflow_runs(home) if "emphasis.trial_id" not in run.data.tags)
    paths = [found.path for found in client.list_artifacts(parent.info.run_id)]
    return {path: Path(client.download_artifacts(parent.info.run_id, path)).read_bytes() for path in paths}


def recommended(home: Home) -> str:
    with Store.open(home.store_url) as store:
        return export(recommendations(store), "json")


def everything_in(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


class TestBackup:
    def test_copy_taken_while_a_sweep_is_written_opens_and_has_only_whole_trials(
        self, record_sweep: RecordSweep, home: Home, file: Path, elsewhere: Home
    ) -> None:
        sweep = record_sweep()
        some, over = threading.Event(), threading.Event()
        errors: list[Exception] = []

        def write() -> None:
            try:
                for number in range(2000):
                    sweep.searched((4.0 + number, 0.5), 0.6)
                    if number == 20:
                        some.set()
                    if over.is_set():
                        return
            except Exception as error:
                errors.append(error)
                some.set()

        writer = threading.Thread(target=write)
        writer.start()
        some.wait()
        after = sweep.store.progress(sweep.id)
        before = after.done
        while writer.is_alive() and after.done == before:  # on a busy machine the writer may not have its turn at once
            backup(home, file, force=True)
            before, after = after.done, sweep.store.progress(sweep.id)
        over.set()
        writer.join()
        assert not errors
        assert after.done > before, "nothing was written meanwhile, so nothing was shown"

        restore(file, elsewhere)
        with closing(sqlite3.connect(elsewhere.path / "emphasis.db")) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
            assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
        with Store.open(elsewhere.store_url) as copy:
            trials = copy.trials(sweep.id)
            assert before <= len(trials) <= after.total + 1
            assert [trial.number for trial in trials] == list(range(len(trials)))
            # A trial's epochs are committed before its result is.
            done = [trial for trial in trials if trial.state is TrialState.DONE]
            assert len(done) >= before
            assert all(len(copy.epochs(trial.id)) == EPOCHS for trial in done)
            # And the copy can be written to, as a resumed sweep does.
            RecordedSweep(copy, sweep.id).searched((4000, 0.5), 0.7)

    def test_nothing_but_the_file_is_left_and_only_its_owner_may_read_it(self, backed_up: Path) -> None:
        assert [path.name for path in backed_up.parent.iterdir()] == [backed_up.name]
        assert backed_up.stat().st_mode & 0o777 == 0o600

    def test_manifest_has_the_hash_of_every_member(self, backed_up: Path) -> None:
        with tarfile.open(backed_up) as archive:
            contents = {member.name: archive.extractfile(member).read() for member in archive}  # type: ignore[union-attr]
        manifest = json.loads(contents.pop("manifest.json"))
        assert manifest["sha256"] == {
            name: hashlib.sha256(content).hexdigest() for name, content in contents.items()
        }
        assert {"emphasis.db", "figures/digits-done/leaderboard.png"} <= set(contents)
        assert manifest["schema_revision"]
        assert manifest["emphasis"]

    def test_checkpoints_and_links_are_left_out(
        self, confirmed_sweep: RecordedSweep, home: Home, file: Path
    ) -> None:
        for folder in (home.checkpoints(confirmed_sweep.id), home.ray, home.figures("compare-digits")):
            folder.mkdir(parents=True)
            (folder / "file").write_text("content")
        (home.figures("compare-digits") / "link").symlink_to("/etc/hostname")
        assert set(backup(home, file).sha256) == {"emphasis.db", "figures/compare-digits/file"}

    def test_existing_file_is_replaced_only_by_force(self, backed_up: Path, home: Home) -> None:
        backed_up.write_text("an earlier backup")
        with pytest.raises(InvalidInput, match=r"exists already.*--force"):
            backup(home, backed_up)
        assert backed_up.read_text() == "an earlier backup"
        backup(home, backed_up, force=True)
        assert tarfile.is_tarfile(backed_up)

    def test_a_damaged_database_is_told_and_leaves_the_earlier_backup(
        self, confirmed_sweep: RecordedSweep, backed_up: Path, home: Home
    ) -> None:
        (home.path / "mlflow.db").write_bytes(b"no database at all" * 1000)
        before = backed_up.read_bytes()
        told = emphasis("backup", "--home", home.path, "--force", backed_up)
        assert told.exit_code == 1
        assert "mlflow.db cannot be copied" in told.stderr
        assert backed_up.read_bytes() == before
        assert [path.name for path in backed_up.parent.iterdir()] == [backed_up.name]

    @pytest.mark.parametrize("name", [".", "missing/backup.tar.gz"])
    def test_a_file_that_cannot_be_written_is_bad_input(
        self, confirmed_sweep: RecordedSweep, home: Home, tmp_path: Path, name: str
    ) -> None:
        told = emphasis("backup", "--home", home.path, "--force", tmp_path / name)
        assert told.exit_code == 2
        assert told.stderr.startswith("file = ")

    def test_home_without_a_store_is_bad_input_and_gets_none(self, elsewhere: Home, file: Path) -> None:
        with pytest.raises(InvalidInput, match="has no store"):
            backup(elsewhere, file)
        assert everything_in(elsewhere.path) == []


class TestRestore:
    def test_restored_home_exports_the_same_and_its_figures_are_found_in_mlflow(
        self, confirmed_sweep: RecordedSweep, home: Home, file: Path, elsewhere: Home
    ) -> None:
        write_figures(confirmed_sweep.store, confirmed_sweep.id, home.figures(confirmed_sweep.id))
        sync(home, confirmed_sweep.id)
        figures, recommendation, runs = figures_in_mlflow(home), recommended(home), mlflow_runs(home)
        assert "objective_map.png" in figures
        confirmed_sweep.store.close()
        assert emphasis("backup", "--home", home.path, file).exit_code == 0
        for path in home.path.iterdir():  # so that whatever still leads there leads nowhere
            shutil.rmtree(path) if path.is_dir() else path.unlink()

        told = emphasis("restore", "--home", elsewhere.path, file)
        assert told.exit_code == 0, told.stderr
        assert recommended(elsewhere) == recommendation
        assert figures_in_mlflow(elsewhere) == figures
        assert (elsewhere.figures(confirmed_sweep.id) / "leaderboard.md").is_file()
        # Later runs of the same experiment find their place too, and a record that is whole is left as it is.
        sync(elsewhere, confirmed_sweep.id)
        restored = mlflow_runs(elsewhere)
        assert [run.info.run_id for run in restored] == [run.info.run_id for run in runs]
        assert everything_in(home.path) == []
        assert elsewhere.artifact_root is not None
        assert {run.info.artifact_uri.startswith(elsewhere.artifact_root.as_uri()) for run in restored} == {True}

    def test_what_was_recorded_in_mlflow_after_its_copy_was_taken_is_recorded_again(
        self,
        record_sweep: RecordSweep,
        home: Home,
        file: Path,
        elsewhere: Home,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        sweep = record_sweep()
        sweep.searched((8, 0.5), 0.8)
        sweep.store.claim_sweep(sweep.id, this_process(), is_alive=is_alive)
        sweep.searched((12, 0.5), None, state=TrialState.RUNNING)
        sync(home, sweep.id)
        copy_database = backup_module._copy_database

        def copy_then_go_on(source: Path, target: Path) -> None:
            copy_database(source, target)
            if source.name == "mlflow.db":
                sweep._finish(sweep.trials[1].id, 0.9, TrialState.DONE, 0.9)
                sweep.done()
                sync(home, sweep.id)

        monkeypatch.setattr(backup_module, "_copy_database", copy_then_go_on)
        backup(home, file)
        restore(file, elsewhere)
        assert "RUNNING" in {run.info.status for run in mlflow_runs(elsewhere)}
        sync(elsewhere, sweep.id)
        runs = mlflow_runs(elsewhere)
        assert {run.info.status for run in runs} == {"FINISHED"}
        assert len(runs) == 3
        assert {run.data.metrics["learning_rate"] for run in runs if "emphasis.trial_id" in run.data.tags} == {0.1}

    @pytest.mark.long
    def test_sweep_backed_up_while_it_runs_ends_here_and_is_completed_there(
        self, home: Home, file: Path, elsewhere: Home, cluster: RayProcess, brake: Brake
    ) -> None:
        brake.let(2)
        arguments = (*SMALL, *BRAKED, "--epochs", "2")
        with DriverProcess(home.path, "run", *arguments, environment=joining(cluster)) as driver:
            driver.wait_for(f"| 2/{TRIALS} trials")
            backup(home, file)
            brake.open()
            assert driver.wait() == 0, driver.output
        assert_complete(Record(home))

        restore(file, elsewhere)
        restored = Record(elsewhere)
        assert 2 <= len(restored.finished) < TRIALS
        with DriverProcess(elsewhere.path, "resume", restored.sweep.id, environment=joining(cluster)) as driver:
            assert driver.wait() == 0, driver.output
        resumed = Record(elsewhere)
        assert_kept(restored.finished, resumed)
        assert_complete(resumed)
        assert len(resumed.trials) == TRIALS

    @pytest.mark.parametrize(
        ("lease_seconds", "state"), [(None, SweepState.PAUSED), (3600.0, SweepState.QUEUED)], ids=["person", "worker"]
    )
    def test_sweep_that_was_running_is_as_if_its_process_had_stopped(
        self,
        record_sweep: RecordSweep,
        home: Home,
        file: Path,
        elsewhere: Home,
        lease_seconds: float | None,
        state: SweepState,
    ) -> None:
        sweep = record_sweep(attended=lease_seconds is None)
        # By this process, which lives on and writes to the original.
        sweep.store.claim_sweep(sweep.id, this_process(), is_alive=is_alive, lease_seconds=lease_seconds)
        sweep.searched((8, 0.5), None, state=TrialState.RUNNING)
        backup(home, file)
        restore(file, elsewhere)
        assert state_now(sweep.record) is SweepState.RUNNING
        with Store.open(elsewhere.store_url) as store:
            assert store.sweep(sweep.id).state is state
            assert [trial.state for trial in store.trials(sweep.id)] == [TrialState.WAITING]
            store.claim_sweep(sweep.id, "elsewhere:1:0.00", is_alive=is_alive, lease_seconds=lease_seconds)

    @pytest.mark.parametrize("name", ["emphasis.db", "mlflow.db", "figures", "artifacts", "emphasis.db-wal"])
    def test_home_that_holds_anything_recorded_is_refused_and_left_alone(
        self, sound: Path, elsewhere: Home, name: str
    ) -> None:
        (elsewhere.path / name).write_text("recorded")
        told = emphasis("restore", "--home", elsewhere.path, sound)
        assert told.exit_code == 2
        assert f"holds {name} already" in told.stderr
        assert "--home" in told.stderr
        assert everything_in(elsewhere.path) == [name]
        assert (elsewhere.path / name).read_text() == "recorded"

    def test_what_cannot_be_put_in_place_leaves_nothing_in_place(
        self, backed_up: Path, elsewhere: Home, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        rename = Path.rename

        def fail_at_the_store(path: Path, target: Path) -> Path:
            if target == elsewhere.store_file:
                raise OSError(28, "No space left on device")
            return rename(path, target)

        monkeypatch.setattr(Path, "rename", fail_at_the_store)
        with pytest.raises(InvalidInput, match="No space left on device"):
            restore(backed_up, elsewhere)
        assert everything_in(elsewhere.path) == []


Change = Callable[[dict[str, bytes]], None]


def rewrite(file: Path, change: Change, *extra: tarfile.TarInfo) -> None:
    """Make the archive anew with other contents, and its manifest unchanged unless that is among them."""
    with tarfile.open(file) as archive:
        contents = {member.name: archive.extractfile(member).read() for member in archive}  # type: ignore[union-attr]
    change(contents)
    with tarfile.open(file, "w:gz") as archive:
        for member in extra:
            archive.addfile(member, io.BytesIO(b"evil"))
        for name, content in contents.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))


def changed(name: str) -> Change:
    def change(contents: dict[str, bytes]) -> None:
        contents[name] = contents[name][:-1] + bytes([contents[name][-1] ^ 1])

    return change


def manifest_with(**values: Any) -> Change:
    def change(contents: dict[str, bytes]) -> None:
        contents["manifest.json"] = json.dumps({**json.loads(contents["manifest.json"]), **values}).encode()

    return change


DAMAGES = {
    "a byte of the store": changed("emphasis.db"),
    "a byte of a figure": changed("figures/sweep/leaderboard.md"),
    "a missing figure": lambda contents: contents.pop("figures/sweep/leaderboard.md"),
    "an added figure": lambda contents: contents.update({"figures/sweep/more.png": b"?"}),
    "no manifest": lambda contents: contents.pop("manifest.json"),
    "a manifest that is none": lambda contents: contents.update({"manifest.json": b"[]"}),
    "a later format": manifest_with(format=2),
}


class TestUnsoundBackups:
    @pytest.fixture(autouse=True)
    def _nothing_is_left(self, elsewhere: Home, file: Path) -> Any:
        yield
        assert everything_in(elsewhere.path) == []
        assert not (elsewhere.path.parent / "evil").exists()

    @pytest.mark.parametrize("damage", DAMAGES)
    def test_changed_contents_are_refused(self, sound: Path, elsewhere: Home, damage: str) -> None:
        rewrite(sound, DAMAGES[damage])
        with pytest.raises(InvalidInput, match="Nothing was restored"):
            restore(sound, elsewhere)

    def test_unchanged_contents_packed_anew_are_not(
        self, sound: Path, tmp_path_factory: pytest.TempPathFactory
    ) -> None:
        rewrite(sound, lambda contents: None)
        restore(sound, Home.resolve(tmp_path_factory.mktemp("sound")))

    def test_schema_of_a_newer_emphasis_is_refused_and_says_to_upgrade(
        self, sound: Path, elsewhere: Home
    ) -> None:
        rewrite(sound, manifest_with(schema_revision="9999", emphasis="9.0"))
        with pytest.raises(InvalidInput, match=r"newer Emphasis \(9.0, schema 9999.*pip install --upgrade"):
            restore(sound, elsewhere)

    @pytest.mark.parametrize("share", [0.0, 0.3, 0.97])
    def test_archive_that_is_cut_off_is_refused(self, sound: Path, elsewhere: Home, share: float) -> None:
        whole = sound.read_bytes()
        sound.write_bytes(whole[: int(share * len(whole))])
        with pytest.raises(InvalidInput, match="Nothing was restored"):
            restore(sound, elsewhere)

    def test_file_that_is_no_archive_or_missing_is_refused(self, elsewhere: Home, file: Path) -> None:
        with pytest.raises(InvalidInput, match="there is no such file"):
            restore(file, elsewhere)
        file.write_text("not an archive")
        with pytest.raises(InvalidInput, match="no backup at all"):
            restore(file, elsewhere)

    @pytest.mark.parametrize(
        ("name", "kind"),
        [
            *((name, tarfile.REGTYPE) for name in ("../evil", "/evil", "figures/../../evil")),
            *(("figures/evil", kind) for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE)),
            ("../evil", tarfile.SYMTYPE),
        ],
    )
    def test_members_that_lead_out_of_the_folder_or_are_no_files_are_refused(
        self, sound: Path, elsewhere: Home, name: str, kind: bytes
    ) -> None:
        member = tarfile.TarInfo(name)
        member.type = kind
        if kind == tarfile.REGTYPE:
            member.size = 4
        else:
            member.linkname = "../emphasis.db"
        rewrite(sound, lambda contents: None, member)
        with pytest.raises(InvalidInput, match=r"evil', which is no plain file"):
            restore(sound, elsewhere)


@pytest.mark.parametrize("verb", ["backup", "restore"])
@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("EMPHASIS_STORE_URL", "postgresql://me:secret@host/emphasis?password=secret"),
        ("MLFLOW_TRACKING_URI", "postgresql://me:secret@host/mlflow"),
    ],
)
def test_installation_that_is_not_embedded_is_refused_with_the_remedy(
    verb: str,
    variable: str,
    value: str,
    backed_up: Path,
    home: Home,
    elsewhere: Home,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(variable, value)
    before = backed_up.read_bytes()
    folder = home if verb == "backup" else elsewhere
    told = emphasis(verb, "--home", folder.path, *(["--force"] if verb == "backup" else []), backed_up)
    assert told.exit_code == 2
    assert told.stderr.startswith(f"{variable} = ")
    assert "pg_dump" in told.stderr
    assert "secret" not in told.stderr
    assert backed_up.read_bytes() == before
    assert everything_in(elsewhere.path) == []


def emphasis(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments], catch_exceptions=False)
