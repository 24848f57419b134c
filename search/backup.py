"""Back up an embedded installation into one file while sweeps run, and restore it in another place."""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import sqlite3
import tarfile
import zlib
from collections.abc import Iterator
from collections.abc import Mapping
from contextlib import closing
from contextlib import contextmanager
from datetime import datetime
from importlib import metadata
from pathlib import Path
from pathlib import PurePosixPath
from tempfile import TemporaryDirectory
from typing import Literal

from pydantic import BaseModel
from pydantic import ConfigDict
from pydantic import ValidationError

from search.errors import StoreUnavailable
from search.folder_contents import contents
from search.home import Home
from search.store import Store
from search.store import migrations
from search.store import utc_now
from search.tracking.interface import without_password
from trainers.errors import FieldError
from trainers.errors import InvalidInput
from trainers.user_path import user_path

_STORE = "emphasis.db"
_TRACKING = "mlflow.db"
_FIGURES = "figures"
_ARTIFACTS = "artifacts"
_MANIFEST = "manifest.json"

#: How long a copy waits for a process that writes to the same database.
_BUSY_SECONDS = 60.0

#: Where MLflow's database names places of artifacts; not every version has all of them.
_ARTIFACT_URIS = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "source"),
    ("model_versions", "storage_location"),
    ("trace_tags", "value"),
)


class Manifest(BaseModel):
    """What a backup says of itself, in its last member ``manifest.json``.

    Attributes:
        format: Of the backup.
        emphasis: Version of Emphasis that made it.
        schema_revision: Of its store.
        created: When it was begun (UTC).
        artifact_root: URI of the folder that MLflow's artifacts were in.
        sha256: Of every other member, by its name in the archive.
    """

    model_config = ConfigDict(frozen=True)

    format: Literal[1] = 1
    emphasis: str
    schema_revision: str
    created: datetime
    artifact_root: str
    sha256: Mapping[str, str]


def backup(home: Home, file: Path, *, force: bool = False) -> Manifest:
    """Copy the store, the MLflow record, the figures and the artifacts of a home into one ``.tar.gz``.

    Sweeps may run meanwhile: the databases are copied each as it is at one moment, and MLflow's never has what the
    store's lacks. Checkpoints are left out: a sweep that runs is in the backup as if its process had just stopped, and
    the trials that it was training start over. The file appears whole or not at all, and only its owner may read it,
    since the hashes of tokens are in it.

    Args:
        home: What to back up; its store and MLflow record are files of its folder.
        file: Where to.
        force: Replace a file that is there.

    Raises:
        InvalidInput: The home's store or record is elsewhere, it has none, or the file cannot be written.
        StoreUnavailable: A database is damaged.
    """
    parts = _parts(home)
    if not parts[_STORE].exists():
        raise InvalidInput(
            FieldError("home", str(home.path), "has no store, so there is nothing to back up", "Check --home.")
        )
    file = _target(file, force)
    created = utc_now()
    with _explaining(file, "written"), TemporaryDirectory(dir=file.parent, prefix=f".{file.name}.") as name:
        workplace = Path(name)
        _copy_databases(parts, workplace)
        databases = {part: workplace / part for part in (_STORE, _TRACKING) if (workplace / part).exists()}
        whole = workplace / "whole"
        whole.touch(mode=0o600)
        with whole.open("wb") as output:
            with tarfile.open(fileobj=output, mode="w:gz", compresslevel=6) as archive:
                hashes = {part: _add(archive, part, path) for part, path in databases.items()}
                for part in (_FIGURES, _ARTIFACTS):
                    hashes |= _add_folder(archive, part, parts[part], workplace / "member")
                manifest = Manifest(
                    emphasis=metadata.version("emphasis"),
                    schema_revision=migrations.head(),
                    created=created,
                    artifact_root=parts[_ARTIFACTS].resolve().as_uri(),
                    sha256=hashes,
                )
                _add_text(archive, _MANIFEST, manifest.model_dump_json(indent=2))
            output.flush()
            os.fsync(output.fileno())
        whole.replace(file)
    return manifest


def restore(file: Path, home: Home) -> Manifest:
    """Put a backup in place as a home's store, MLflow record, figures and artifacts.

    Everything is unpacked beside its place and verified before any of it is put there, the store last. MLflow names
    artifacts by absolute URIs: they are rewritten to where the artifacts are now.

    Args:
        file: As `backup` wrote it.
        home: Where to; it has none of these yet.

    Raises:
        InvalidInput: The home has something recorded already or its store is elsewhere, or the file is damaged, is no
            backup or was made by a newer Emphasis. Nothing was changed.
    """
    parts = _parts(home)
    if not file.is_file():
        raise InvalidInput(FieldError("file", str(file), "there is no such file", "Give one of `emphasis backup`."))
    _refuse_taken(home, parts)
    with _explaining(file, "restored"), TemporaryDirectory(dir=home.path, prefix=".restore-") as name:
        unpacked = Path(name)
        _unpack(file, unpacked)
        manifest = _verified(file, unpacked)
        if (unpacked / _TRACKING).exists():
            new_root = parts[_ARTIFACTS].resolve().as_uri()
            _move_artifact_uris(unpacked / _TRACKING, manifest.artifact_root, new_root)
        _refuse_taken(home, parts)  # unpacking took its time
        _put_in_place(unpacked, parts)
    return manifest


def _parts(home: Home) -> dict[str, Path]:
    """Where the parts of a backup are in a home, by their names in the archive; the store last."""
    store, tracking, artifacts = home.store_file, home.tracking_file, home.artifact_root
    if store is None or tracking is None or artifacts is None:
        given = (
            ("EMPHASIS_STORE_URL", home.store_url, store, "sweeps are recorded"),
            ("MLFLOW_TRACKING_URI", home.tracking_uri, tracking, "the MLflow record is"),
        )
        raise InvalidInput(
            *(
                FieldError(
                    name,
                    without_password(uri.partition("?")[0]),
                    f"{what} there and not in the home folder, which is all that backup and restore know",
                    "Use that database's own tools, e.g. pg_dump and pg_restore; or unset the variable to work with "
                    "the home folder's own.",
                )
                for name, uri, embedded, what in given
                if embedded is None
            )
        )
    return {_FIGURES: home.figures_root, _ARTIFACTS: artifacts, _TRACKING: tracking, _STORE: store}


@contextmanager
def _explaining(file: Path, what: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        where = f" ({error.filename})" if error.filename else ""
        raise InvalidInput(
            FieldError(
                "file",
                str(file),
                f"cannot be {what}: {error.strerror or error}{where}",
                "See that the file's folder and the home folder can be written to and have room.",
            )
        ) from error


# Backing up


def _target(file: Path, force: bool) -> Path:
    file = user_path(file, "file").resolve()  # what a link points to is replaced, not the link
    if file.exists() and not file.is_file():
        raise InvalidInput(FieldError("file", str(file), "is no file", "Name a file, e.g. emphasis.tar.gz."))
    if file.exists() and not force:
        raise InvalidInput(
            FieldError("file", str(file), "exists already", "Give another name, or replace it with --force.")
        )
    return file


def _copy_databases(parts: Mapping[str, Path], folder: Path) -> None:
    """Copy MLflow's database and then the store, which thereby knows all that the former shows."""
    closed_before = _closed_in_mlflow(parts[_STORE])
    if parts[_TRACKING].exists():
        _copy_database(parts[_TRACKING], folder / _TRACKING)
    copy = folder / _STORE
    _copy_database(parts[_STORE], copy)
    # Opening it brings it up to date, and refuses one that is not ours or newer.
    with Store.open(f"sqlite:///{copy}") as store:
        for sweep in store.sweeps():
            # Whoever runs a sweep does not run its copy, even where both are on one machine.
            if sweep.owner is not None:
                store.release_sweep(sweep.id, "it was running when this backup was made")
    with _opened(copy) as connection, connection:
        # What was noted as recorded in between is not in the copy of MLflow's database, and would never be.
        connection.executemany(
            "UPDATE tracking SET closed = 0 WHERE subject_id = ?",
            [(subject,) for subject, run in _closed_in_mlflow(copy) - closed_before],
        )


def _closed_in_mlflow(store: Path) -> set[tuple[str, str]]:
    with _opened(store) as connection:
        known = connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'tracking'").fetchone()
        return set(connection.execute("SELECT subject_id, run_id FROM tracking WHERE closed") if known else ())


def _copy_database(source: Path, target: Path) -> None:
    with _opened(source) as live, closing(sqlite3.connect(target)) as copy:
        # All pages in one step, so in one transaction: in smaller steps every write would begin it anew.
        live.backup(copy)
        # Pages are copied as they are; that they are damaged is to be heard of now, not when they are needed.
        (said,) = copy.execute("PRAGMA quick_check(1)").fetchone()
        if said != "ok":
            raise sqlite3.DatabaseError(said)


@contextmanager
def _opened(database: Path) -> Iterator[sqlite3.Connection]:
    try:
        uri = f"{database.absolute().as_uri()}?mode=rw"  # never made where it is missing
        with closing(sqlite3.connect(uri, uri=True, timeout=_BUSY_SECONDS)) as connection:
            yield connection
    except sqlite3.Error as error:
        raise StoreUnavailable(
            f"The database {database} cannot be copied: {error}. Nothing was written. "
            "Check the disk; a damaged database can be brought back from an earlier backup with `emphasis restore`."
        ) from error


def _add_folder(archive: tarfile.TarFile, part: str, folder: Path, passing: Path) -> dict[str, str]:
    """Add the files of a folder, each by way of ``passing``; their hashes by name."""
    hashes = {}
    for path in sorted(contents(folder)):
        if path.is_symlink() or not path.is_file():
            continue
        try:
            # A sweep may replace it at any moment, and an archive wants to know its size beforehand.
            shutil.copyfile(path, passing)
        except FileNotFoundError:
            continue  # a temporary name whose file has its real one by now
        name = f"{part}/{path.relative_to(folder).as_posix()}"
        hashes[name] = _add(archive, name, passing)
    return hashes


def _add(archive: tarfile.TarFile, name: str, path: Path) -> str:
    archive.add(path, name)
    return _sha256(path)


def _add_text(archive: tarfile.TarFile, name: str, text: str) -> None:
    content = text.encode()
    member = tarfile.TarInfo(name)
    member.size, member.mtime = len(content), int(utc_now().timestamp())
    archive.addfile(member, io.BytesIO(content))


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


# Restoring


def _refuse_taken(home: Home, parts: Mapping[str, Path]) -> None:
    # A write-ahead log that lies about would be played into the database that is put beside it.
    names = [path.with_name(path.name + end) for path in parts.values() for end in ("", "-wal", "-journal")]
    if taken := [path.name for path in names if os.path.lexists(path)]:
        raise InvalidInput(
            FieldError(
                "home",
                str(home.path),
                f"holds {', '.join(taken)} already, and nothing that is recorded is ever replaced",
                "Restore into another folder with --home, or move what is there away.",
            )
        )


def _unpack(file: Path, folder: Path) -> None:
    def plain(member: tarfile.TarInfo, destination: str) -> tarfile.TarInfo:
        name = PurePosixPath(member.name)
        if not member.isreg() or name.is_absolute() or ".." in name.parts:
            raise _refusal(
                file, f"holds {member.name!r}, which is no plain file of a backup", "Somebody else has made it."
            )
        return tarfile.data_filter(member, destination)

    try:
        with tarfile.open(file, "r|gz") as archive:
            archive.extractall(folder, filter=plain)
    except (tarfile.TarError, EOFError, zlib.error) as error:
        raise _refusal(file, f"is damaged, or no backup at all ({error})") from error


def _verified(file: Path, unpacked: Path) -> Manifest:
    """The manifest of an unpacked backup, whose members are exactly what it says."""
    try:
        manifest = Manifest.model_validate_json((unpacked / _MANIFEST).read_bytes())
    except FileNotFoundError:
        raise _refusal(file, f"has no {_MANIFEST}: it is cut off, or no backup at all") from None
    except ValidationError as error:
        (problem, *_) = error.errors()
        where = ".".join(map(str, problem["loc"]))
        raise _refusal(file, f"has a {_MANIFEST} that this version cannot read ({where}: {problem['msg']})") from None
    if manifest.schema_revision not in migrations.known_revisions():
        raise _refusal(
            file,
            f"was made by a newer Emphasis ({manifest.emphasis}, schema {manifest.schema_revision}; this version knows "
            f"up to {migrations.head()})",
            "Upgrade with `pip install --upgrade emphasis`.",
        )
    found = {
        path.relative_to(unpacked).as_posix(): _sha256(path)
        for path in unpacked.rglob("*")
        if path.is_file() and path != unpacked / _MANIFEST
    }
    differing = sorted(
        name for name in {*found, *manifest.sha256} if found.get(name) != manifest.sha256.get(name)
    )
    if differing or _STORE not in found:
        raise _refusal(file, f"is not as it was written: {', '.join(differing[:5]) or _STORE} differs or is missing")
    return manifest


def _refusal(file: Path, problem: str, remedy: str = "Use another backup.") -> InvalidInput:
    return InvalidInput(FieldError("file", str(file), problem, f"Nothing was restored. {remedy}"))


def _move_artifact_uris(database: Path, old: str, new: str) -> None:
    with closing(sqlite3.connect(database)) as connection, connection:
        columns = connection.execute(
            "SELECT tables.name, columns.name FROM sqlite_master AS tables "
            "JOIN pragma_table_info(tables.name) AS columns WHERE tables.type = 'table'"
        ).fetchall()
        for table, column in set(columns) & set(_ARTIFACT_URIS):
            connection.execute(
                f"UPDATE {table} SET {column} = :new || substr({column}, length(:old) + 1) "
                f"WHERE {column} = :old OR substr({column}, 1, length(:old) + 1) = :old || '/'",
                {"old": old, "new": new},
            )


def _put_in_place(unpacked: Path, parts: Mapping[str, Path]) -> None:
    placed: list[str] = []
    try:
        for part, path in parts.items():
            if (unpacked / part).exists():
                (unpacked / part).rename(path)
                placed.append(part)
    except BaseException:
        for part in placed:
            parts[part].rename(unpacked / part)
        raise
