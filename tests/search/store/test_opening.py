"""Opening a store: creating, migrating, refusing, and saying why without giving a password away."""

from __future__ import annotations

import math
import pickle
import sqlite3
import traceback
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerContext
from multiprocessing.synchronize import Barrier
from pathlib import Path

import pytest
import sqlalchemy
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import create_engine
from sqlalchemy import inspect
from sqlalchemy import text

from search.errors import StoreUnavailable
from search.errors import SweepBusy
from search.errors import SweepFailed
from search.errors import SweepInterrupted
from search.errors import TrialFinished
from search.store import Store
from search.store import SweepState
from search.store import database
from search.store import migrations
from search.store.models import Base
from trainers.errors import EmphasisError
from trainers.errors import InvalidInput


def sqlalchemy_url(url: str) -> str:
    return url.replace("postgresql://", "postgresql+psycopg://")


def run_sql(url: str, statement: str) -> None:
    engine = create_engine(sqlalchemy_url(url))
    with engine.begin() as connection:
        connection.execute(text(statement))
    engine.dispose()


def test_the_migrations_lead_to_exactly_the_tables_of_the_models(store: Store) -> None:
    with store._database.engine.connect() as connection:
        options = {"version_table": migrations.VERSION_TABLE, "compare_server_default": True}
        context = MigrationContext.configure(connection, opts=options)
        assert compare_metadata(context, Base.metadata) == []
        names = set(inspect(connection).get_table_names())
    assert names == {*Base.metadata.tables, migrations.VERSION_TABLE}


def test_the_comparison_with_the_models_can_fail(store: Store) -> None:
    with store._database.engine.begin() as connection:
        connection.execute(text("ALTER TABLE sweeps ADD COLUMN forgotten INTEGER"))
        connection.execute(text("DROP INDEX ix_trials_standing"))
    with store._database.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"version_table": migrations.VERSION_TABLE})
        differences = [difference[0] for difference in compare_metadata(context, Base.metadata)]
    assert sorted(differences) == ["add_index", "remove_column"]


def open_when_all_are_ready(url: str, ready: Barrier, answer: Connection) -> None:
    ready.wait()
    with Store.open(url) as store:
        answer.send(store.sweeps())


def test_processes_that_open_a_fresh_database_at_once_all_get_it(
    store_url: str, processes: ForkServerContext
) -> None:
    ready = processes.Barrier(4)
    heard, answer = processes.Pipe(duplex=False)
    openers = [
        processes.Process(target=open_when_all_are_ready, args=(store_url, ready, answer)) for _ in range(4)
    ]
    for opener in openers:
        opener.start()
    for opener in openers:
        opener.join(timeout=120)
    assert [opener.exitcode for opener in openers] == [0] * 4
    assert [heard.recv() for _ in openers] == [[]] * 4


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_store_that_another_process_creates_between_two_looks_is_opened(
    postgresql_url: str, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    read = migrations.current_revision

    def read_while_another_creates(connection: sqlalchemy.Connection) -> str | None:
        monkeypatch.setattr(migrations, "current_revision", read)
        seen = read(connection) if moment == "after" else None
        Store.open(postgresql_url).close()
        return seen if moment == "after" else read(connection)

    monkeypatch.setattr(migrations, "current_revision", read_while_another_creates)
    with Store.open(postgresql_url) as store:
        assert store.sweeps() == []


@pytest.mark.parametrize("schema", ["0001", "0002", "0003"])
def test_a_store_of_an_earlier_schema_is_brought_up_to_date_with_all_it_holds(store_url: str, schema: str) -> None:
    engine = create_engine(sqlalchemy_url(store_url))
    if engine.url.drivername == "sqlite":
        Path(engine.url.database or "").parent.mkdir(parents=True, exist_ok=True)
    with engine.begin() as connection:
        config = migrations._config()
        config.attributes["connection"] = connection
        command.upgrade(config, schema)
        moment = "2026-01-01 12:00:00+00:00" if "postgresql" in store_url else "2026-01-01 12:00:00.000000"
        sweep = f"'old', '{{}}', 'digits', 0.4, 'mlp', 'gr', 'done', 'hash', '{{}}', '{moment}'"
        columns = "id, spec, dataset, noise_rate, backbone, supervision, state, data_hash, versions, created_at"
        connection.exec_driver_sql(f"INSERT INTO sweeps ({columns}) VALUES ({sweep})")
        stopped = sweep.replace("'old'", "'stopped'")
        if schema < "0003":
            stopped = stopped.replace("'done'", "'interrupted'")
            connection.exec_driver_sql(f"INSERT INTO sweeps ({columns}) VALUES ({stopped})")
        else:
            stopped = stopped.replace("'done'", "'paused'")
            connection.exec_driver_sql(f"INSERT INTO sweeps ({columns}, attended) VALUES ({stopped}, true)")
        columns = (
            "id, sweep_id, number, phase, configuration, repeat, supervision, hyperparameters, params, noise_rate, "
            "seed, noise_seed, state, objective, final_epoch, final_intact_train"
        )
        trial = "'old/0', 'old', 0, 'search', 0, 0, 'gr', '{}', '{}', 0.4, 1, 2, 'done', 0.9, 60, 0.9"
        connection.exec_driver_sql(f"INSERT INTO trials ({columns}) VALUES ({trial})")
        columns = "trial_id, epoch, iteration, train_loss, intact_train_accuracy, recorded_at"
        connection.exec_driver_sql(f"INSERT INTO epochs ({columns}) VALUES ('old/0', 1, 12, 1.5, 0.7, '{moment}')")
    engine.dispose()
    with Store.open(store_url) as store:
        assert store.sweep("old").facts == {}
        (trial_record,) = store.trials("old")
        (epoch,) = store.epochs("old/0")
        assert (epoch.train_loss, epoch.intact_train_accuracy, epoch.running_intact_train_accuracy) == (1.5, 0.7, None)
        # What a person ran is theirs to resume, and an interrupted sweep is a paused one by now.
        stopped_record = store.sweep("stopped")
        assert (stopped_record.state, stopped_record.attended) == (SweepState.PAUSED, True)
        assert store.queue.next() is None
        assert store.claim_sweep("stopped", "here:1:1", is_alive=lambda owner, beat: True).fence == 1
    final = trial_record.final
    assert final is not None
    assert (trial_record.objective, final.epoch, final.intact_train) == (0.9, 60, 0.9)
    assert math.isnan(final.validation)


def test_a_store_of_a_newer_version_is_refused_and_not_touched(store_url: str, tmp_path: Path) -> None:
    Store.open(store_url).close()
    run_sql(store_url, f"UPDATE {migrations.VERSION_TABLE} SET version_num = '9999'")
    run_sql(store_url, "DROP TABLE tracking")
    run_sql(store_url, "CREATE TABLE from_the_future (id INTEGER)")
    if store_url.startswith("sqlite"):
        # Leave write-ahead logging as well, so that switching it on would show.
        with sqlite3.connect(tmp_path / "home" / "emphasis.db", isolation_level=None) as connection:
            connection.execute("PRAGMA journal_mode = DELETE")
        connection.close()
        before = (tmp_path / "home" / "emphasis.db").read_bytes()

    with pytest.raises(StoreUnavailable, match=r"newer Emphasis \(schema 9999.*pip install --upgrade"):
        Store.open(store_url)

    engine = create_engine(sqlalchemy_url(store_url))
    names = set(inspect(engine).get_table_names())
    engine.dispose()
    assert "from_the_future" in names
    assert "tracking" not in names
    if store_url.startswith("sqlite"):
        assert (tmp_path / "home" / "emphasis.db").read_bytes() == before


def test_a_database_with_tables_of_another_program_is_refused_and_not_touched(
    store_url: str, tmp_path: Path
) -> None:
    if store_url.startswith("sqlite"):
        (tmp_path / "home").mkdir()
    run_sql(store_url, "CREATE TABLE trials (trial_id INTEGER)")
    with pytest.raises(StoreUnavailable, match=r"another program \(trials\)"):
        Store.open(store_url)
    engine = create_engine(sqlalchemy_url(store_url))
    assert inspect(engine).get_table_names() == ["trials"]
    engine.dispose()


def test_a_store_beside_another_programs_tables_and_alembic_version_works(store_url: str) -> None:
    Store.open(store_url).close()
    run_sql(store_url, "CREATE TABLE alembic_version (version_num VARCHAR(32))")
    run_sql(store_url, "INSERT INTO alembic_version VALUES ('mlflow')")
    with Store.open(store_url) as store:
        assert store.sweeps() == []


def test_a_migration_that_fails_leaves_the_database_as_it_was(
    store_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Killed at the end of the migration, before its commit: nothing of it may remain.
    finished = migrations.upgrade

    def interrupted(connection: object) -> None:
        finished(connection)  # type: ignore[arg-type]
        raise KeyboardInterrupt

    monkeypatch.setattr(migrations, "upgrade", interrupted)
    with pytest.raises(KeyboardInterrupt):
        Store.open(store_url)
    engine = create_engine(sqlalchemy_url(store_url))
    assert inspect(engine).get_table_names() == []
    engine.dispose()
    monkeypatch.undo()
    with Store.open(store_url) as store:
        assert store.sweeps() == []


def test_sqlite_is_opened_with_what_durability_and_concurrency_need(sqlite_url: str) -> None:
    with Store.open(sqlite_url) as store, store._database.engine.connect() as connection:
        settings = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar_one()
            for name in ("journal_mode", "foreign_keys", "busy_timeout", "synchronous")
        }
    assert settings == {"journal_mode": "wal", "foreign_keys": 1, "busy_timeout": 30_000, "synchronous": 2}


def test_a_store_outlives_a_restart_of_its_postgresql_connections(postgresql_url: str) -> None:
    with Store.open(postgresql_url) as store:
        assert store.sweeps() == []
        run_sql(
            postgresql_url,
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()",
        )
        assert store.sweeps() == []


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://user:s3cret@127.0.0.1:1/emphasis",
        "postgresql://user@127.0.0.1:1/emphasis?password=s3cret",
        "postgresql://user:s3cret@127.0.0.1:1/emphasis?no_such_option=1",
        "postgresql://user:12/s3cret@127.0.0.1/emphasis",
        "postgresql://user:s3cret/x@127.0.0.1/emphasis",
        "mysql://user:s3cret@127.0.0.1/emphasis",
        "user:s3cret@127.0.0.1/emphasis",
    ],
)
def test_a_password_is_in_no_error(url: str) -> None:
    with pytest.raises(EmphasisError) as caught:
        Store.open(url)
    told = "".join(traceback.format_exception(caught.value))
    assert "s3cret" not in str(caught.value)
    # The lines of this file that a traceback quotes do not hold the URL.
    assert "s3cret" not in told


def test_a_wrong_password_is_refused_without_repeating_it(postgresql_url: str) -> None:
    user_url = postgresql_url.replace("postgres:@", "nobody:s3cret@")
    with pytest.raises(StoreUnavailable, match="nobody") as caught:
        Store.open(user_url)
    assert "s3cret" not in str(caught.value)


def test_a_pool_that_is_used_up_is_a_store_that_does_not_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "_POOL", {"pool_size": 1, "max_overflow": 0, "pool_timeout": 0.1})
    with Store.open(f"sqlite:///{tmp_path / 'emphasis.db'}") as store, store._reading() as session:
        session.connection()
        with pytest.raises(StoreUnavailable, match="had no free connection"):
            store.sweeps()


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:", "sqlite:///file:x?mode=memory&uri=true"])
def test_a_store_in_memory_is_refused(url: str) -> None:
    with pytest.raises(InvalidInput, match="in memory"):
        Store.open(url)


def test_a_file_that_is_no_database_is_refused_and_kept(tmp_path: Path) -> None:
    file = tmp_path / "notes.txt"
    file.write_text("not a database, but somebody's notes\n" * 40)
    with pytest.raises(StoreUnavailable, match=r"notes\.txt.*not a database.*another file, or damaged.*restore"):
        Store.open(f"sqlite:///{file}")
    assert file.read_text().startswith("not a database")


def test_a_folder_that_cannot_be_made_is_explained(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreUnavailable, match="folder"):
        Store.open(f"sqlite:///{tmp_path}/file/emphasis.db")


@pytest.mark.parametrize(
    "error",
    [
        SweepBusy("a", "here:1:2"),
        SweepFailed("a", "9 of 10 trials failed"),
        SweepInterrupted("a", "Ctrl-C"),
        TrialFinished("a-0000", "objective is 1"),
        StoreUnavailable("gone"),
    ],
)
def test_errors_survive_the_way_between_processes(error: EmphasisError) -> None:
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is type(error)
    assert str(copy) == str(error)
