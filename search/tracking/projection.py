"""Bringing MLflow up to the store, one sweep at a time.

The store is the authority and the outbox at once: whatever MLflow lacks is read from the store, so nothing is
queued on disk and nothing is lost when a tracking server is down. What MLflow has already is read from MLflow
when a sweep is first touched and after every failure, because a call whose answer was lost may or may not
have been obeyed. The cursor in the store only spares work.
"""

from __future__ import annotations

import hashlib
import math
import threading
from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import field
from dataclasses import replace
from datetime import UTC
from datetime import datetime
from pathlib import Path

from search.store import Store
from search.store.records import SweepRecord
from search.store.records import SweepState
from search.store.records import TrackingRecord
from search.store.records import TrialRecord
from search.store.records import TrialState
from search.tracking import run_content as content
from search.tracking.run_content import ParentSummary
from search.tracking.runs import MlflowRuns
from search.tracking.runs import RecordedRun
from trainers.errors import InvalidInput

Summarise = Callable[[str], ParentSummary | None]


@dataclass(slots=True)
class _Ledger:
    """What MLflow is known to have of one sweep."""

    experiment_id: str
    parent: RecordedRun | None = None
    children: dict[str, RecordedRun] = field(default_factory=dict)
    cursors: dict[str, TrackingRecord] = field(default_factory=dict)


class Projection:
    """MLflow's picture of the sweeps in a store.

    Args:
        store: Where sweeps and trials are recorded.
        tracking_uri: SQLAlchemy URL of MLflow's database, or ``http(s)://`` of an MLflow server.
        artifact_root: Folder for figures and files where the database is our own; not used with a server.
        summarise: Gives what a stopped sweep found, from its id; asked again when a record has to be rebuilt.
    """

    def __init__(
        self,
        store: Store,
        tracking_uri: str,
        artifact_root: Path | None = None,
        summarise: Summarise | None = None,
    ) -> None:
        self._store = store
        self._tracking_uri = tracking_uri
        self._artifact_root = artifact_root
        self._summarise = summarise or (lambda sweep_id: None)
        self._runs: MlflowRuns | None = None
        self._ledgers: dict[str, _Ledger] = {}
        self._one_at_a_time = threading.RLock()

    @property
    def runs(self) -> MlflowRuns:
        """The connection to MLflow, made when it is first needed."""
        if self._runs is None:
            self._runs = MlflowRuns(self._tracking_uri, self._artifact_root)
        return self._runs

    def sync_sweep(self, sweep_id: str) -> None:
        """Bring MLflow up to the store for one sweep; a second call changes nothing.

        Args:
            sweep_id: The sweep's id.

        Raises:
            Exception: Whatever MLflow or the store raised. The call can be repeated at any time.
        """
        with self._one_at_a_time:
            try:
                self._sync(sweep_id)
            except BaseException:
                self._ledgers.pop(sweep_id, None)
                raise

    def _sync(self, sweep_id: str) -> None:
        # Read from the outside in: what is read later is newer, so a trial seen as done has all its epochs.
        cursor = self._store.tracking.cursor(sweep_id)
        if cursor is not None and cursor.deleted:
            self._delete(cursor)
            return
        try:
            sweep = self._store.sweep(sweep_id)
        except InvalidInput:
            return  # deleted before MLflow had anything of it
        if math.isnan(sweep.noise_rate):
            return  # nothing that is said of it now could be corrected in MLflow later
        trials = self._store.trials(sweep_id)
        stopped = content.sweep_status(sweep) != content.RUNNING
        # Read anew for the last time: runs that were made twice are seen, whoever made them.
        ledger = None if stopped else self._ledgers.get(sweep_id)
        if ledger is None:
            ledger = self._ledgers[sweep_id] = self._open_ledger(sweep)
        parent = self._sync_parent_start(sweep, ledger)
        for trial in trials:
            self._sync_trial(trial, sweep, ledger, parent)
        if not parent.deleted:
            self._sync_parent_end(sweep, parent)
        elif stopped:
            # Deleted in MLflow: there is nothing more to say of it.
            self._store.tracking.save(sweep.id, TrackingRecord(sweep.id, parent.run_id, 0, closed=True))
        if stopped:
            del self._ledgers[sweep_id]
            self._check_still_stopped(sweep)

    def _check_still_stopped(self, sweep: SweepRecord) -> None:
        """Bring a sweep up to the store once more that was taken up while another process ran: ours came last."""
        now = self._store.sweep(sweep.id)
        if (now.state, now.message, now.fence) == (sweep.state, sweep.message, sweep.fence):
            return
        cursor = self._store.tracking.cursor(sweep.id)
        if cursor is not None:
            self._store.tracking.save(sweep.id, replace(cursor, closed=False))
        self._sync(sweep.id)

    def _delete(self, cursor: TrackingRecord) -> None:
        self._ledgers.pop(cursor.subject_id, None)
        self.runs.delete_sweep(cursor.run_id, cursor.subject_id)
        self._store.tracking.forget(cursor.subject_id)

    def _open_ledger(self, sweep: SweepRecord) -> _Ledger:
        ledger = _Ledger(self.runs.experiment(f"emphasis/{sweep.dataset}"))
        for run in self.runs.of_sweep(ledger.experiment_id, sweep.id):
            trial_id = run.tags.get(content.TRIAL_TAG)
            known = ledger.children.get(trial_id) if trial_id else ledger.parent
            if known is not None:
                run = self._only_one(trial_id or sweep.id, known, run)
            if trial_id:
                ledger.children[trial_id] = run
            else:
                ledger.parent = run
        return ledger

    def _only_one(self, subject_id: str, first: RecordedRun, second: RecordedRun) -> RecordedRun:
        """Of two runs for one subject keep the one that was written to; delete the other."""
        if first.deleted or second.deleted:
            return second if first.deleted else first
        # MLflow obeyed a "create run" late that we had taken for lost and repeated.
        cursor = self._store.tracking.cursor(subject_id)
        kept, extra = (first, second) if cursor is None or cursor.run_id != second.run_id else (second, first)
        self.runs.delete(extra)
        return kept

    def _sync_parent_start(self, sweep: SweepRecord, ledger: _Ledger) -> RecordedRun:
        if ledger.parent is None:
            started = sweep.started_at or sweep.created_at
            ledger.parent = self._create(
                ledger, sweep.id, sweep.id, content.sweep_run_name(sweep), started, content.sweep_tags(sweep)
            )
        run = ledger.parent
        if not run.deleted:
            tags = _without_old_reason(run, content.sweep_tags(sweep))
            self.runs.log(run, params=content.sweep_params(sweep), tags=tags)
            if content.sweep_status(sweep) == content.RUNNING:
                self.runs.set_status(run, content.RUNNING, 0)
        return run

    def _create(
        self, ledger: _Ledger, sweep_id: str, subject_id: str, name: str, started: datetime, tags: Mapping[str, str]
    ) -> RecordedRun:
        """Make a subject's run, unless another process has made one since MLflow was looked at."""
        run = self.runs.create(ledger.experiment_id, name, content.milliseconds(started), tags)
        held = self._store.tracking.adopt_run(sweep_id, subject_id, run.run_id)
        if held == run.run_id:
            return run
        other = self.runs.find(held) if held is not None else None
        if held is not None and other is None:
            # MLflow has lost what it had; its record is made anew.
            self._store.tracking.save(sweep_id, TrackingRecord(subject_id, run.run_id))
            return run
        self.runs.delete(run)
        if other is None:
            self._store.sweep(sweep_id)  # raises: it was deleted meanwhile
        return other or run

    def _sync_trial(
        self, trial: TrialRecord, sweep: SweepRecord, ledger: _Ledger, parent: RecordedRun
    ) -> None:
        run = ledger.children.get(trial.id)
        if run is None:
            if trial.state is TrialState.WAITING and trial.started_at is None:
                return
            started = trial.started_at or trial.finished_at or sweep.started_at or sweep.created_at
            tags = {**content.trial_tags(trial, sweep), content.PARENT_TAG: parent.run_id}
            name = content.trial_run_name(trial)
            run = ledger.children[trial.id] = self._create(ledger, sweep.id, trial.id, name, started, tags)
        if run.deleted:
            return
        ended = trial.state.finished
        cursor = ledger.cursors.get(trial.id) or self._store.tracking.cursor(trial.id)
        if cursor is not None and cursor.closed and cursor.run_id == run.run_id and ended:
            ledger.cursors[trial.id] = cursor
            return
        if run.last_epoch is None:
            run.last_epoch = self.runs.epochs_recorded(run)
        epochs = self._store.epochs(trial.id, after=run.last_epoch)
        points = [content.epoch_points(epoch) for epoch in content.shown_epochs(epochs, sweep)]
        tags = {**content.trial_tags(trial, sweep), content.PARENT_TAG: parent.run_id}
        self.runs.log(
            run,
            epochs=[*points, content.trial_points(trial)] if ended else points,
            params=content.trial_params(trial, sweep),
            tags=_without_old_reason(run, tags),
        )
        run.last_epoch = max((epoch.epoch for epoch in epochs), default=run.last_epoch)
        status = content.trial_status(trial, sweep)
        if status is not None:
            end = trial.finished_at or _end(sweep)
            self.runs.set_status(run, status, content.milliseconds(end))
        self._save_cursor(sweep.id, ledger, TrackingRecord(trial.id, run.run_id, run.last_epoch, ended))

    def _sync_parent_end(self, sweep: SweepRecord, run: RecordedRun) -> None:
        status = content.sweep_status(sweep)
        stopped = status != content.RUNNING
        self.runs.set_status(run, status, content.milliseconds(_end(sweep)))
        summary = self._summarise(sweep.id) if stopped else None
        tags = content.best_tags(self._store.best_trial(sweep.id), summary, sweep)
        # Of a configuration that has been given up since.
        tags = {**dict.fromkeys((name for name in run.tags if name.startswith("best.")), ""), **tags}
        if not stopped:
            # In place of what it had found when it last stopped.
            tags[content.NOTE_TAG] = content.RUNNING_NOTE
        elif summary is not None:
            tags[content.NOTE_TAG] = content.shortened(summary.note_markdown, content.LONGEST_TAG)
        elif sweep.state.stopped:
            tags[content.NOTE_TAG] = content.nothing_found_note(sweep)
        if summary is not None and sweep.state is SweepState.DONE:
            # Parameters can never change again, so only a final recommendation becomes one.
            self.runs.log(
                run,
                epochs=[content.best_points(summary, _end(sweep))],
                params=content.best_params(summary),
                tags=tags,
            )
            self.runs.rename(run, content.found_run_name(sweep, summary))
        else:
            self.runs.log(run, tags=tags)
        folder = summary.artifacts if summary is not None else None
        if folder is not None and folder.is_dir():
            self._upload(run, folder)
        # Not by the cached cursor: whenever the sweep moves, the store takes back that its record is closed.
        self._store.tracking.save(sweep.id, TrackingRecord(sweep.id, run.run_id, 0, stopped))

    def _upload(self, run: RecordedRun, folder: Path) -> None:
        # The tag is written after the files: a folder cut off half way is sent again, a whole one is not.
        tag = f"{content.ARTIFACTS_TAG}.{folder.name}"
        files = _whole_files(folder)
        fingerprint = _fingerprint(folder, files)
        if run.tags.get(tag) != fingerprint:
            self.runs.upload(run, folder, files)
            self.runs.log(run, tags={tag: fingerprint})

    def _save_cursor(self, sweep_id: str, ledger: _Ledger, cursor: TrackingRecord) -> None:
        if ledger.cursors.get(cursor.subject_id) != cursor:
            self._store.tracking.save(sweep_id, cursor)
            ledger.cursors[cursor.subject_id] = cursor


def _end(sweep: SweepRecord) -> datetime:
    return sweep.finished_at or sweep.heartbeat_at or datetime.now(UTC)


def _without_old_reason(run: RecordedRun, tags: dict[str, str]) -> dict[str, str]:
    """Blank the reason of an earlier failure or interruption that no longer holds."""
    return {content.REASON_TAG: "", **tags} if content.REASON_TAG in run.tags else tags


def _whole_files(folder: Path) -> list[Path]:
    """The files in a folder, less those that are being written (`trainers.whole_files`)."""
    return sorted(path for path in folder.rglob("*") if path.is_file() and path.suffix != ".part")


def _fingerprint(folder: Path, files: Iterable[Path]) -> str:
    digest = hashlib.sha256()
    for path in files:
        digest.update(str(path.relative_to(folder)).encode() + b"\0")
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()
