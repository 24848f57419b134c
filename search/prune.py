"""Files that nobody needs any more: finding them, and removing those that somebody has agreed to lose."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Collection
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC
from datetime import datetime
from datetime import timedelta
from pathlib import Path
from stat import S_ISREG
from urllib.parse import urlsplit
from urllib.request import url2pathname

from search.folder_contents import contents
from search.home import Home
from search.store import Store
from search.store import SweepRecord
from search.store import SweepState
from search.store import utc_now
from search.tracking.runs import MlflowRuns
from search.tracking.runs import TrackingError
from trainers.errors import FieldError
from trainers.errors import InvalidInput

# Sweeps' ids, as this and earlier releases make them: a folder that is named otherwise is not theirs.
_SWEEP_ID = re.compile(r".+-r(\d{2,3}|unknown)-\d{6}-\d{6}-([0-9a-f]{4}|[0-9a-f]{6})")
# Where the store does not know a sweep, another one may that shares the home folder, and the sweep may run.
_QUIET = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Prunable:
    """A folder that can go.

    Args:
        path: The folder.
        bytes: How much of the disk it frees.
        why: Why nobody needs it.
        kept: Names of files in it that stay.
    """

    path: Path
    bytes: int
    why: str
    kept: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Pruned:
    """What a removal came to.

    Args:
        removed: What is gone.
        problems: Why something is not, a line each.
    """

    removed: tuple[Prunable, ...]
    problems: tuple[str, ...]


def prunable(home: Home, older_than: timedelta | None = None) -> list[Prunable]:
    """Find what can go, without touching anything.

    These are the checkpoints and Ray's notes of sweeps that have ended or are gone, the figures of sweeps that are
    gone, and the artifacts of runs that were deleted in MLflow, where MLflow's record is the home's own. Nothing of
    a sweep that may still run is among them. A sweep is gone if the store does not have it and its files have not
    changed for a day.

    Args:
        home: Where to look.
        older_than: Figures of sweeps that were done longer ago than this can go too: `emphasis resume` writes them
            again.

    Raises:
        InvalidInput: There is no store that could say what is needed.
    """
    if home.store_file is not None and not home.store_file.exists():
        raise InvalidInput(
            FieldError(
                "home",
                str(home.path),
                "has no store, so nobody can say what is needed",
                "Check --home; where sweeps are recorded elsewhere, set EMPHASIS_STORE_URL.",
            )
        )
    # Listed before the store is read: it knows every sweep that has a folder by then.
    checkpoints, notes, figures = map(_folders, (home.checkpoints_root, home.ray, home.figures_root))
    with Store.open(home.store_url) as store:
        sweeps = {sweep.id: sweep for sweep in store.sweeps()}
    return [
        *_useless([(path, path.name) for path in checkpoints], "checkpoints", sweeps),
        *_useless([(path, path.name.rpartition("-")[0]) for path in notes], "Ray's notes", sweeps),
        *_useless_figures(figures, sweeps, older_than),
        *_deleted_in_mlflow(home, sweeps),
    ]


def remove(home: Home, agreed: Collection[Prunable], older_than: timedelta | None = None) -> Pruned:
    """Remove what somebody has agreed to, but for what has come to be needed since.

    Args:
        home: Where it was found.
        agreed: Of what `prunable` found.
        older_than: As it was found with.
    """
    paths = {each.path for each in agreed}
    removed, problems = [], []
    for each in prunable(home, older_than):
        if each.path not in paths:
            continue
        try:
            _remove(each)
            removed.append(each)
        except OSError as error:
            problems.append(f"{error.filename or each.path} could not be removed: {error.strerror}")
    return Pruned(tuple(removed), tuple(problems))


def parse_age(text: str) -> timedelta:
    """Read an age such as ``30d``, ``12h`` or ``4w``.

    Raises:
        InvalidInput: It is none.
    """
    read = re.fullmatch(r"(\d{1,6})([hdw])", text.strip())
    if read is None:
        raise InvalidInput(
            FieldError("older_than", text, "is no age", "Give hours, days or weeks, e.g. 12h, 30d or 4w.")
        )
    unit = {"h": timedelta(hours=1), "d": timedelta(days=1), "w": timedelta(weeks=1)}[read[2]]
    return int(read[1]) * unit


def _folders(root: Path) -> list[Path]:
    if not root.is_dir():
        return []
    return [path for path in sorted(root.iterdir()) if path.is_dir() and not path.is_symlink()]


def _useless(
    folders: Sequence[tuple[Path, str]], what: str, sweeps: Mapping[str, SweepRecord]
) -> Iterator[Prunable]:
    """Of folders and the sweeps they are of, those that serve only to go on with a sweep that does not go on."""
    for folder, sweep_id in folders:
        sweep = sweeps.get(sweep_id)
        if sweep is None and _is_gone(sweep_id, folder):
            yield Prunable(folder, _size(folder), f"{what} of a sweep that the store does not have")
        elif sweep is not None and sweep.state.ended:
            yield Prunable(folder, _size(folder), f"{what} of a sweep that is {sweep.state}")


def _useless_figures(
    folders: Sequence[Path], sweeps: Mapping[str, SweepRecord], older_than: timedelta | None
) -> Iterator[Prunable]:
    for folder in folders:
        sweep = sweeps.get(folder.name)
        if sweep is None:
            if _is_gone(folder.name, folder):
                yield Prunable(folder, _size(folder), "figures of a sweep that the store does not have")
        elif older_than is not None and sweep.state is SweepState.DONE and sweep.finished_at is not None:
            since = utc_now() - sweep.finished_at
            kept = _not_written_again()
            if since > older_than and (size := _size(folder, kept)):
                why = f"figures of a sweep that was done {since.days} days ago; `emphasis resume` writes them again"
                yield Prunable(folder, size, why, kept)


def _not_written_again() -> frozenset[str]:
    """Figures that want the data set, which `emphasis resume` does not load for a sweep that is done."""
    # Imported here since it brings matplotlib, which takes a second.
    from search.reports import label_noise

    return frozenset({label_noise.FIGURE, label_noise.NUMBERS})


def _deleted_in_mlflow(home: Home, sweeps: Mapping[str, SweepRecord]) -> Iterator[Prunable]:
    root, database = home.artifact_root, home.tracking_file
    if root is None or database is None or not database.exists():
        return
    try:
        deleted = list(MlflowRuns(home.tracking_uri, root).deleted())
    except Exception as error:  # MLflow's own, which nobody imports for their names alone
        raise TrackingError(f"The MLflow record {database} cannot be read: {error}") from error
    for sweep_id, uri in deleted:
        sweep = sweeps.get(sweep_id)
        folder = Path(url2pathname(urlsplit(uri).path)).resolve()
        ours = root.resolve() in folder.parents and folder.is_dir()
        if ours and (sweep is None or sweep.state.ended):
            yield Prunable(folder, _size(folder), "artifacts of a run that was deleted in MLflow")


def _is_gone(sweep_id: str, folder: Path) -> bool:
    """Whether a folder is of a sweep that nobody runs, although the store does not know it."""
    if _SWEEP_ID.fullmatch(sweep_id) is None:
        return False
    changed = max((status.st_mtime for _, status in _contents(folder)), default=0.0)
    return utc_now() - datetime.fromtimestamp(changed, UTC) > _QUIET


def _size(folder: Path, kept: frozenset[str] = frozenset()) -> int:
    return sum(
        status.st_size for path, status in _contents(folder) if S_ISREG(status.st_mode) and path.name not in kept
    )


def _contents(folder: Path) -> Iterator[tuple[Path, os.stat_result]]:
    """A folder and everything in it, but for what vanishes while it is looked at."""
    for path in (folder, *contents(folder)):
        with suppress(FileNotFoundError):
            yield path, path.lstat()


def _remove(prunable: Prunable) -> None:
    if not prunable.kept.intersection(path.name for path in prunable.path.iterdir()):
        shutil.rmtree(prunable.path)
        return
    for path in prunable.path.iterdir():
        if path.name not in prunable.kept:
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
