"""The store: every read and write of sweeps, trials, attempts, epochs and MLflow's cursor."""

from __future__ import annotations

import difflib
import functools
import json
import math
import sqlite3
import time
from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from contextlib import contextmanager
from dataclasses import asdict
from dataclasses import fields
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any
from typing import Self

from sqlalchemy import URL
from sqlalchemy import Connection
from sqlalchemy import Engine
from sqlalchemy import Select
from sqlalchemy import create_engine
from sqlalchemy import event
from sqlalchemy import func
from sqlalchemy import inspect
from sqlalchemy import make_url
from sqlalchemy import select
from sqlalchemy import text
from sqlalchemy import update
from sqlalchemy.dialects import postgresql
from sqlalchemy.dialects import sqlite
from sqlalchemy.exc import ArgumentError
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from search.errors import StoreUnavailable
from search.errors import SweepBusy
from search.errors import TrialFinished
from search.store import migrations
from search.store.models import Attempt
from search.store.models import Base
from search.store.models import Epoch
from search.store.models import Sweep
from search.store.models import Tracking
from search.store.models import Trial
from search.store.records import Accuracies
from search.store.records import AttemptRecord
from search.store.records import AttemptState
from search.store.records import EpochRecord
from search.store.records import Phase
from search.store.records import Progress
from search.store.records import SweepRecord
from search.store.records import SweepState
from search.store.records import TrackingRecord
from search.store.records import TrialRecord
from search.store.records import TrialState
from search.store.records import utc_now
from trainers.errors import FieldError
from trainers.errors import InvalidInput

#: How long a writer waits for another one before it gives up.
BUSY_SECONDS = 30.0

#: Name of the PostgreSQL advisory lock under which a database is migrated: "EMPHASIS" in ASCII.
_MIGRATION_LOCK = int.from_bytes(b"EMPHASIS", "big")

#: Seeds and counters are signed 64-bit integers on both backends.
_LARGEST_INTEGER = 2**63 - 1

#: A noise rate asked for matches a recorded one when it was meant to be the same decimal.
_NOISE_RATE_TOLERANCE = 1e-9

#: SQLite takes at most 32,766 values in one statement, PostgreSQL 65,535.
_IDS_PER_QUERY = 10_000

IsAlive = Callable[[str, datetime], bool]


class Store:
    """The sole authority on sweeps and what became of their trials.

    Every write is one transaction that is committed before the method returns. One Store may be used from
    several threads at once, and several processes may open the same database. Do not carry it over a fork.

    Example:
        >>> with Store.open("sqlite:////tmp/emphasis.db") as store:  # doctest: +SKIP
        ...     for sweep in store.sweeps(dataset="digits"):
        ...         print(sweep.id, store.progress(sweep.id))
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        # The same pool of connections; on SQLite their transactions begin with the write lock.
        self._writing_engine = engine.execution_options(emphasis_writes=True)

    @classmethod
    def open(cls, url: str) -> Store:
        """Open the database, creating or migrating it where needed; safe from several processes at once.

        Args:
            url: A SQLAlchemy URL: ``sqlite:////absolute/path.db`` or ``postgresql://user:password@host/name``.

        Raises:
            InvalidInput: The URL cannot be used.
            StoreUnavailable: The database does not answer, belongs to something else, or was written by a
                newer version of Emphasis; it was not touched.
        """
        parsed = _checked_url(url)
        store = cls(_engine(parsed))
        try:
            with store._explained(opening=True):
                _bring_up_to_date(store._engine, store._writing_engine)
        except BaseException:
            store.close()
            raise
        return store

    def close(self) -> None:
        """Close every connection. The records that were read stay valid."""
        self._engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Store({self.location!r})"

    @property
    def location(self) -> str:
        """The database's URL with its password hidden, fit for messages."""
        return _shown(self._engine.url)

    # Sweeps

    def create_sweep(
        self,
        *,
        id: str,
        spec: Mapping[str, Any],
        dataset: str,
        noise_rate: float,
        backbone: str,
        supervision: str,
        data_hash: str,
        versions: Mapping[str, Any],
        facts: Mapping[str, Any] | None = None,
    ) -> SweepRecord:
        """Record a new sweep as queued.

        Raises:
            InvalidInput: A sweep with that id exists, or spec or versions are not plain JSON.
        """
        with self._writing() as session:
            if session.get(Sweep, id) is not None:
                raise InvalidInput(
                    FieldError(
                        "id", id, "a sweep with this id exists", "Resume that sweep or use another id."
                    )
                )
            row = Sweep(
                id=id,
                spec=_plain_json("spec", spec),
                dataset=dataset,
                noise_rate=noise_rate,
                backbone=backbone,
                supervision=supervision,
                state=SweepState.QUEUED,
                data_hash=data_hash,
                versions=_plain_json("versions", versions),
                facts=_plain_json("facts", facts or {}),
                created_at=utc_now(),
            )
            session.add(row)
            session.flush()
            return _sweep_record(row)

    def sweep(self, id_or_unique_prefix: str) -> SweepRecord:
        """One sweep by its id, or by the first characters of its id where only one sweep begins with them.

        Raises:
            InvalidInput: No sweep or several sweeps match; the message names those that there are.
        """
        wanted = id_or_unique_prefix
        with self._reading() as session:
            row = session.get(Sweep, wanted)
            if row is not None:
                return _sweep_record(row)
            newest_first = select(Sweep).order_by(Sweep.created_at.desc(), Sweep.id.desc())
            matching = session.scalars(
                newest_first.where(Sweep.id.startswith(wanted, autoescape=True)).limit(1000)
            ).all()
            # SQLite's LIKE ignores case, PostgreSQL's does not; an id is exact on both.
            matching = [row for row in matching if wanted and row.id.startswith(wanted)]
            if len(matching) == 1:
                return _sweep_record(matching[0])
            if matching:
                ids = [row.id for row in matching]
                problem = f"{len(ids)} sweeps begin with it"
            else:
                ids = list(session.scalars(newest_first.with_only_columns(Sweep.id).limit(1000)))
                problem = "there is no such sweep"
                near = difflib.get_close_matches(wanted, ids, n=5, cutoff=0.5)
                ids = near or ids
        if ids:
            remedy = f"Use one of: {', '.join(ids[:5])}" + (", ..." if len(ids) > 5 else "") + "."
        else:
            remedy = "No sweep is recorded here yet: start one with `emphasis run`, or check --home."
        raise InvalidInput(FieldError("sweep", wanted, problem, remedy))

    def sweeps(
        self,
        dataset: str | None = None,
        noise_rate: float | None = None,
        state: SweepState | None = None,
    ) -> list[SweepRecord]:
        """Sweeps, newest first, of that dataset, noise rate and state where given."""
        query = select(Sweep).order_by(Sweep.created_at.desc(), Sweep.id.desc())
        if dataset is not None:
            query = query.where(Sweep.dataset == dataset)
        if noise_rate is not None:
            query = query.where(
                Sweep.noise_rate.between(
                    noise_rate - _NOISE_RATE_TOLERANCE, noise_rate + _NOISE_RATE_TOLERANCE
                )
            )
        if state is not None:
            query = query.where(Sweep.state == state)
        with self._reading() as session:
            return [_sweep_record(row) for row in session.scalars(query)]

    def set_sweep_state(
        self, sweep_id: str, state: SweepState, message: str | None = None, *, owner: str | None = None
    ) -> SweepRecord:
        """Move a sweep to a state; every state but running also releases its owner.

        Args:
            sweep_id: Full id of the sweep.
            state: The new state.
            message: Why, where there is something to say; replaces the earlier message.
            owner: When given, the move is refused unless this owner still holds the sweep.

        Raises:
            SweepBusy: ``owner`` was given and another owner holds the sweep.
        """
        with self._writing() as session:
            row = _locked_sweep(session, sweep_id)
            if owner is not None and row.owner != owner:
                raise SweepBusy(sweep_id, row.owner or "nobody (it was released)")
            ended_before = row.finished_at if row.state is state else None
            row.state = state
            row.message = _storable_text(message)
            if state is SweepState.RUNNING:
                row.started_at = row.started_at or utc_now()
            else:
                row.owner = None
                row.heartbeat_at = None
            ended = state in (SweepState.DONE, SweepState.FAILED)
            row.finished_at = (ended_before or utc_now()) if ended else None
            session.flush()
            return _sweep_record(row)

    def add_versions(self, sweep_id: str, versions: Mapping[str, Any]) -> None:
        """Note what runs the rest of a sweep, where that is not what began it.

        What began it stays; what differs from it is added to the list ``resumed_with``, once in a row.

        Args:
            sweep_id: Full id of the sweep.
            versions: As `create_sweep` takes them.
        """
        with self._writing() as session:
            row = _locked_sweep(session, sweep_id)
            changed = {name: value for name, value in versions.items() if row.versions.get(name) != value}
            before = row.versions.get("resumed_with", [])
            if changed and before[-1:] != [changed]:
                row.versions = {**row.versions, "resumed_with": [*before, _plain_json("versions", changed)]}

    def claim_sweep(self, sweep_id: str, owner: str, *, is_alive: IsAlive) -> SweepRecord:
        """Make ``owner`` the one who runs the sweep and set it running, in one step.

        Args:
            sweep_id: Full id of the sweep.
            owner: Who claims it, ``host:pid:createtime``.
            is_alive: Called with another recorded owner and its last heartbeat; whether that owner lives. It
                runs while the sweep is locked, so it must be quick and must not use the store.

        Raises:
            SweepBusy: Another living owner has the sweep.
        """
        with self._writing() as session:
            row = _locked_sweep(session, sweep_id)
            now = utc_now()
            if row.owner is not None and row.owner != owner and is_alive(row.owner, row.heartbeat_at or now):
                raise SweepBusy(sweep_id, row.owner)
            row.owner = owner
            row.heartbeat_at = now
            row.state = SweepState.RUNNING
            row.message = None
            row.started_at = row.started_at or now
            row.finished_at = None
            session.flush()
            return _sweep_record(row)

    def heartbeat(self, sweep_id: str, owner: str) -> bool:
        """Say that ``owner`` lives.

        Returns:
            False where the sweep is no longer held by ``owner``: it must stop writing.
        """
        with self._writing() as session:
            beat = (
                update(Sweep)
                .where(Sweep.id == sweep_id, Sweep.owner == owner)
                .values(heartbeat_at=utc_now())
                .returning(Sweep.id)
            )
            return session.execute(beat).first() is not None

    # Trials

    def add_trial(
        self,
        sweep_id: str,
        *,
        phase: Phase,
        configuration: int,
        repeat: int,
        supervision: str,
        hyperparameters: Mapping[str, Any],
        params: Mapping[str, Any],
        noise_rate: float,
        seed: int,
        noise_seed: int,
    ) -> TrialRecord:
        """Record a new waiting trial under the sweep's next number.

        Adding the same trial again returns the recorded one, so a driver may repeat itself after a crash.

        Raises:
            InvalidInput: The sweep does not exist, another trial has this (phase, configuration, repeat), a
                value is not plain JSON, or a seed does not fit into 63 bits.
        """
        for name, value in (("seed", seed), ("noise_seed", noise_seed)):
            if not 0 <= value <= _LARGEST_INTEGER:
                raise InvalidInput(
                    FieldError(name, value, "is no integer in [0, 2**63)", "Use a seed in that range.")
                )
        given: dict[str, Any] = {
            "supervision": supervision,
            "hyperparameters": _plain_json("hyperparameters", hyperparameters),
            "params": _plain_json("params", params),
            "noise_rate": noise_rate,
            "seed": seed,
            "noise_seed": noise_seed,
        }
        with self._writing() as session:
            _locked_sweep(session, sweep_id)
            existing = session.scalars(
                select(Trial).where(
                    Trial.sweep_id == sweep_id,
                    Trial.phase == phase,
                    Trial.configuration == configuration,
                    Trial.repeat == repeat,
                )
            ).one_or_none()
            if existing is not None:
                different = {name: value for name, value in given.items() if getattr(existing, name) != value}
                if different:
                    raise InvalidInput(
                        *(
                            FieldError(
                                name,
                                value,
                                f"trial {existing.id} of this phase, configuration and repeat has "
                                f"{getattr(existing, name)!r}",
                                "Use another configuration or repeat number.",
                            )
                            for name, value in different.items()
                        )
                    )
                return _trial_record(existing, _attempt_count(session, existing.id))
            last = session.scalar(select(func.max(Trial.number)).where(Trial.sweep_id == sweep_id))
            number = 0 if last is None else last + 1
            row = Trial(
                id=f"{sweep_id}-{number:04d}",
                sweep_id=sweep_id,
                number=number,
                phase=phase,
                configuration=configuration,
                repeat=repeat,
                state=TrialState.WAITING,
                **given,
            )
            session.add(row)
            session.flush()
            return _trial_record(row, 0)

    def start_attempt(self, trial_id: str, host: str, pid: int) -> AttemptRecord:
        """Record that a process begins to train the trial, which becomes running.

        An earlier attempt that was still running is marked lost: a trial has one running attempt at most.

        Raises:
            TrialFinished: The trial has its result already.
        """
        with self._writing() as session:
            row = _locked_trial(session, trial_id)
            if row.state.finished:
                raise TrialFinished(trial_id, f"it cannot be started again, it is {row.state}")
            now = utc_now()
            number = _attempt_count(session, trial_id) + 1
            _end_running_attempts(
                session, [trial_id], AttemptState.LOST, f"attempt {number} took its place", now
            )
            row.state = TrialState.RUNNING
            row.started_at = row.started_at or now
            attempt = Attempt(
                trial_id=trial_id,
                number=number,
                host=host,
                pid=pid,
                state=AttemptState.RUNNING,
                started_at=now,
            )
            session.add(attempt)
            session.flush()
            return _attempt_record(attempt)

    def record_epochs(self, trial_id: str, epochs: Sequence[EpochRecord]) -> None:
        """Record epochs of a trial; an epoch that is recorded already is replaced.

        Raises:
            TrialFinished: The trial has its result already.
            InvalidInput: An epoch belongs to another trial.
        """
        for epoch in epochs:
            if epoch.trial_id != trial_id:
                raise InvalidInput(
                    FieldError(
                        "trial_id",
                        epoch.trial_id,
                        f"this epoch was given for trial {trial_id}",
                        "Record it for its own trial.",
                    )
                )
        # The last report of an epoch wins, also inside one call: SQL refuses to replace a row twice at once.
        rows = {
            epoch.epoch: {
                **asdict(epoch),
                "train_loss": _finite(epoch.train_loss),
                "learning_rate": _finite(epoch.learning_rate),
                "seconds": _finite(epoch.seconds),
                "test_accuracy": _finite(epoch.test_accuracy),
                "corrupted_train_accuracy": _finite(epoch.corrupted_train_accuracy),
                "intact_train_accuracy": _finite(epoch.intact_train_accuracy),
                "validation_accuracy": _finite(epoch.validation_accuracy),
            }
            for epoch in epochs
        }
        with self._writing() as session:
            row = _locked_trial(session, trial_id)
            if row.state.finished:
                raise TrialFinished(trial_id, f"no epochs can be added, it is {row.state}")
            _insert_or_replace(session, Epoch, list(rows.values()))

    def finish_trial(
        self,
        trial_id: str,
        state: TrialState,
        *,
        objective: float | None = None,
        final: Accuracies | None = None,
        best: Accuracies | None = None,
        reason: str | None = None,
        train_seconds: float | None = None,
        noise_hash: str | None = None,
        realised_noise_rate: float | None = None,
    ) -> TrialRecord:
        """Record the result of a trial, for ever. The same result again is accepted, any other is refused.

        Args:
            trial_id: The trial.
            state: done, pruned or failed.
            objective: Final intact training accuracy in [0, 1]; a value that is not finite is kept as None.
            final: The last evaluation.
            best: The evaluation with the highest test accuracy.
            reason: Why it failed or was pruned.
            train_seconds: Time spent training.
            noise_hash: Fingerprint of the corrupted labels.
            realised_noise_rate: Fraction of labels that were really changed.

        Raises:
            TrialFinished: The trial has another result already.
            InvalidInput: ``state`` is not a final one.
        """
        if not state.finished:
            raise InvalidInput(
                FieldError("state", str(state), "is not final", "Finish a trial as done, pruned or failed.")
            )
        result: dict[str, Any] = {
            "state": state,
            "objective": _finite(objective),
            "reason": _storable_text(reason),
            "train_seconds": _finite(train_seconds),
            "noise_hash": noise_hash,
            "realised_noise_rate": _finite(realised_noise_rate),
            **_accuracy_columns("final", final),
            **_accuracy_columns("best", best),
        }
        with self._writing() as session:
            row = _locked_trial(session, trial_id)
            if row.state.finished:
                for name, value in result.items():
                    if getattr(row, name) != value:
                        raise TrialFinished(
                            trial_id, f"{name} is {getattr(row, name)!r} and cannot become {value!r}"
                        )
            else:
                now = utc_now()
                for name, value in result.items():
                    setattr(row, name, value)
                row.finished_at = now
                outcome = AttemptState.FAILED if state is TrialState.FAILED else AttemptState.DONE
                _end_running_attempts(session, [trial_id], outcome, row.reason, now)
                session.flush()
            return _trial_record(row, _attempt_count(session, trial_id))

    def release_trial(self, trial_id: str, reason: str) -> TrialRecord:
        """The trial's process is gone without a result: its attempt is lost and the trial waits again.

        A trial that is waiting or finished stays as it is.
        """
        with self._writing() as session:
            row = _locked_trial(session, trial_id)
            if row.state is TrialState.RUNNING:
                _end_running_attempts(
                    session, [trial_id], AttemptState.LOST, _storable_text(reason), utc_now()
                )
                row.state = TrialState.WAITING
                session.flush()
            return _trial_record(row, _attempt_count(session, trial_id))

    def release_running(self, sweep_id: str, reason: str) -> list[TrialRecord]:
        """Every running trial of a sweep waits again, its attempt lost; for a sweep whose driver is gone.

        Returns:
            The trials that were released, by number.
        """
        with self._writing() as session:
            _locked_sweep(session, sweep_id)
            rows = session.scalars(
                select(Trial)
                .where(Trial.sweep_id == sweep_id, Trial.state == TrialState.RUNNING)
                .order_by(Trial.number)
                .with_for_update(key_share=True)
            ).all()
            _end_running_attempts(
                session, [row.id for row in rows], AttemptState.LOST, _storable_text(reason), utc_now()
            )
            for row in rows:
                row.state = TrialState.WAITING
            session.flush()
            return [_trial_record(row, _attempt_count(session, row.id)) for row in rows]

    def trial(self, trial_id: str) -> TrialRecord:
        """One trial by its id.

        Raises:
            InvalidInput: There is no such trial.
        """
        with self._reading() as session:
            found = session.execute(_trials_with_attempts().where(Trial.id == trial_id)).one_or_none()
            if found is None:
                raise _no_trial(trial_id)
            return _trial_record(*found)

    def trials(
        self, sweep_id: str, *, phase: Phase | None = None, state: TrialState | None = None
    ) -> list[TrialRecord]:
        """Trials of a sweep by number, of that phase and state where given.

        Raises:
            InvalidInput: There is no such sweep.
        """
        query = _trials_with_attempts().where(Trial.sweep_id == sweep_id).order_by(Trial.number)
        if phase is not None:
            query = query.where(Trial.phase == phase)
        if state is not None:
            query = query.where(Trial.state == state)
        with self._reading() as session:
            found = [_trial_record(row, attempts) for row, attempts in session.execute(query)]
            if not found and session.get(Sweep, sweep_id) is None:
                raise _no_sweep(sweep_id)
            return found

    def best_so_far(self, sweep_id: str) -> TrialRecord | None:
        """The done search trial of the searched supervision with the highest objective, the earliest of equals."""
        query = (
            _trials_with_attempts()
            .where(
                Trial.sweep_id == sweep_id,
                Trial.state == TrialState.DONE,
                Trial.phase == Phase.SEARCH,
                # A grid may hold cells of other supervisions, CCE for one: beside the search, not of it.
                Trial.supervision == select(Sweep.supervision).where(Sweep.id == sweep_id).scalar_subquery(),
                Trial.objective.is_not(None),
            )
            .order_by(Trial.objective.desc(), Trial.number)
            .limit(1)
        )
        with self._reading() as session:
            found = session.execute(query).one_or_none()
            return None if found is None else _trial_record(*found)

    def epochs(self, trial_id: str) -> list[EpochRecord]:
        """What a trial reported so far, by epoch."""
        query = select(Epoch).where(Epoch.trial_id == trial_id).order_by(Epoch.epoch)
        with self._reading() as session:
            return [_epoch_record(row) for row in session.scalars(query)]

    def attempts(self, trial_id: str) -> list[AttemptRecord]:
        """How often and how a trial was executed, by number."""
        query = select(Attempt).where(Attempt.trial_id == trial_id).order_by(Attempt.number)
        with self._reading() as session:
            return [_attempt_record(row) for row in session.scalars(query)]

    def progress(self, sweep_id: str) -> Progress:
        """How many of the sweep's trials are in each state."""
        return self.progress_of([sweep_id])[sweep_id]

    def progress_of(self, sweep_ids: Iterable[str]) -> dict[str, Progress]:
        """Progress of many sweeps in one query, for lists; a sweep without trials has all zeros."""
        wanted = list(dict.fromkeys(sweep_ids))
        counts: dict[str, dict[str, int]] = {sweep_id: {} for sweep_id in wanted}
        with self._reading() as session:
            for start in range(0, len(wanted), _IDS_PER_QUERY):
                query = (
                    select(Trial.sweep_id, Trial.state, func.count())
                    .where(Trial.sweep_id.in_(wanted[start : start + _IDS_PER_QUERY]))
                    .group_by(Trial.sweep_id, Trial.state)
                )
                for sweep_id, state, count in session.execute(query):
                    counts[sweep_id][state.value] = count
        return {sweep_id: Progress(**by_state) for sweep_id, by_state in counts.items()}

    # MLflow's cursor

    def tracking(self, subject_id: str) -> TrackingRecord | None:
        """How far MLflow's projection of a sweep or trial has come; None before it began."""
        with self._reading() as session:
            row = session.get(Tracking, subject_id)
            if row is None:
                return None
            return TrackingRecord(row.subject_id, row.run_id, row.epochs_recorded, row.closed)

    def save_tracking(self, record: TrackingRecord) -> None:
        """Remember how far MLflow's projection of a sweep or trial has come."""
        with self._writing() as session:
            _insert_or_replace(session, Tracking, [asdict(record)])

    # Transactions

    @contextmanager
    def _reading(self) -> Iterator[Session]:
        with self._explained(), Session(self._engine) as session, session.begin():
            yield session

    @contextmanager
    def _writing(self) -> Iterator[Session]:
        with self._explained(), Session(self._writing_engine) as session, session.begin():
            yield session

    @contextmanager
    def _explained(self, opening: bool = False) -> Iterator[None]:
        try:
            yield
        except DBAPIError as error:
            # Once open, a violated constraint or a wrong value is a mistake in the code: shown as it is.
            if not (opening or isinstance(error, OperationalError) or error.connection_invalidated):
                raise
            said = str(error.orig).strip()
            for secret in _secrets(self._engine.url):
                said = said.replace(secret, "***")
            if self._engine.dialect.name == "sqlite":
                remedy = (
                    "Check that the path can be written and is a local disk with space left, "
                    "and that no other program holds the file."
                )
            else:
                remedy = "Check that the server runs and that host, database, user and password are right."
            # Without the original, whose text may carry the connection string.
            raise StoreUnavailable(f"The store {self.location} did not answer: {said}. {remedy}") from None


# Opening


def _secrets(url: URL) -> list[str]:
    # libpq takes passwords among the options as well, where SQLAlchemy does not hide them.
    options = [str(value) for name, value in url.query.items() if "password" in name]
    return [secret for secret in (str(url.password or ""), *options) if secret]


def _shown(url: URL) -> str:
    hidden = url.set(
        query={name: "***" if "password" in name else value for name, value in url.query.items()}
    )
    return hidden.render_as_string(hide_password=True)


def _checked_url(url: str) -> URL:
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        # The text that could not be read may hold a password, so it is not repeated.
        raise InvalidInput(
            FieldError(
                "store",
                "...",
                "is no database URL",
                "Use sqlite:////absolute/path.db or postgresql://user:password@host/name.",
            )
        ) from None
    shown = _shown(parsed)
    if parsed.get_backend_name() in ("postgresql", "postgres"):
        try:
            import psycopg  # noqa: F401 - asked for here so that its absence is explained
        except ImportError:
            raise InvalidInput(
                FieldError(
                    "store",
                    shown,
                    "needs the PostgreSQL driver",
                    "Install it with `pip install 'emphasis[postgresql]'`.",
                )
            ) from None
        return parsed.set(drivername="postgresql+psycopg")
    if parsed.get_backend_name() != "sqlite":
        raise InvalidInput(
            FieldError(
                "store",
                shown,
                "is neither SQLite nor PostgreSQL",
                "Use sqlite:////path.db or postgresql://...",
            )
        )
    if parsed.database in (None, "", ":memory:") or parsed.query:
        raise InvalidInput(
            FieldError(
                "store",
                shown,
                "a store must be a plain file: one in memory is lost with the process and cannot be shared",
                "Name a file and no options: sqlite:////absolute/path.db.",
            )
        )
    return parsed


def _engine(url: URL) -> Engine:
    # NaN is no JSON: PostgreSQL refuses it, SQLite would keep something that others cannot read.
    dumps = functools.partial(json.dumps, allow_nan=False)
    if url.get_backend_name() == "postgresql":
        # A connection that a restarted server has forgotten is replaced instead of failing a trial.
        return create_engine(url, json_serializer=dumps, pool_pre_ping=True)
    path = Path(str(url.database))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreUnavailable(
            f"The folder of the store cannot be made: {error}. Use a folder that can be written."
        ) from None
    engine = create_engine(url, json_serializer=dumps, connect_args={"timeout": BUSY_SECONDS})

    @event.listens_for(engine, "connect")
    def configure(connection: sqlite3.Connection, _record: object) -> None:
        # The driver must not begin transactions on its own: it would begin them without the write lock.
        connection.isolation_level = None
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA synchronous = FULL")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        # A reader that turns writer fails at once when another wrote meanwhile, whatever the timeout;
        # a writer therefore takes the lock first.
        writes = connection.get_execution_options().get("emphasis_writes", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


def _bring_up_to_date(engine: Engine, writing_engine: Engine) -> None:
    with engine.begin() as connection:
        # Looked at without a lock: a store in use opens at once, and one that is not ours is not touched.
        up_to_date = _is_up_to_date(connection)
    if engine.dialect.name == "sqlite":
        _write_ahead(engine)
    if up_to_date:
        return
    with writing_engine.begin() as connection:
        if engine.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _MIGRATION_LOCK})
        # Another process may have migrated while this one waited for the lock.
        if not _is_up_to_date(connection):
            migrations.upgrade(connection)


def _is_up_to_date(connection: Connection) -> bool:
    shown = _shown(connection.engine.url)
    # In this order: a migration that another process commits between the two looks brings the tables and the
    # revision at once, and the other way round its tables would be seen without their revision.
    tables = set(inspect(connection).get_table_names())
    revision = migrations.current_revision(connection)
    if revision is None:
        foreign = sorted(tables & set(Base.metadata.tables))
        if foreign:
            raise StoreUnavailable(
                f"The database {shown} has tables of another program ({', '.join(foreign)}). "
                "Nothing was changed. Give Emphasis a database of its own."
            )
        return False
    if revision not in migrations.known_revisions():
        raise StoreUnavailable(
            f"The store {shown} was written by a newer Emphasis (schema {revision}; this version knows "
            f"up to {migrations.head()}). Nothing was changed. "
            "Upgrade with `pip install --upgrade emphasis`, or use another --home."
        )
    return revision == migrations.head()


def _write_ahead(engine: Engine) -> None:
    deadline = time.monotonic() + BUSY_SECONDS
    pause = 0.005
    while True:
        connection = engine.raw_connection()
        try:
            connection.cursor().execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            # Two processes that switch a new file at once are told "locked" without waiting for the timeout.
            if "locked" not in str(error) or time.monotonic() > deadline:
                raise StoreUnavailable(
                    f"The store {_shown(engine.url)} could not be switched to "
                    f"write-ahead logging: {error}. Close what holds the file, and keep it on a local disk."
                ) from None
        finally:
            connection.close()
        time.sleep(pause)
        pause = min(2 * pause, 0.2)


# Rows


def _no_sweep(sweep_id: str) -> InvalidInput:
    return InvalidInput(
        FieldError("sweep", sweep_id, "there is no such sweep", "See them with `emphasis list`.")
    )


def _no_trial(trial_id: str) -> InvalidInput:
    return InvalidInput(
        FieldError("trial", trial_id, "there is no such trial", "See a sweep's trials with `emphasis show`.")
    )


def _locked_sweep(session: Session, sweep_id: str) -> Sweep:
    # Epochs and attempts refer to keys only, so they need not wait for this lock.
    row = session.scalars(
        select(Sweep).where(Sweep.id == sweep_id).with_for_update(key_share=True)
    ).one_or_none()
    if row is None:
        raise _no_sweep(sweep_id)
    return row


def _locked_trial(session: Session, trial_id: str) -> Trial:
    row = session.scalars(
        select(Trial).where(Trial.id == trial_id).with_for_update(key_share=True)
    ).one_or_none()
    if row is None:
        raise _no_trial(trial_id)
    return row


def _end_running_attempts(
    session: Session, trial_ids: Sequence[str], state: AttemptState, reason: str | None, moment: datetime
) -> None:
    for start in range(0, len(trial_ids), _IDS_PER_QUERY):
        session.execute(
            update(Attempt)
            .where(
                Attempt.trial_id.in_(trial_ids[start : start + _IDS_PER_QUERY]),
                Attempt.state == AttemptState.RUNNING,
            )
            .values(state=state, reason=reason, finished_at=moment)
        )


def _attempt_count(session: Session, trial_id: str) -> int:
    return session.scalar(select(func.count()).select_from(Attempt).where(Attempt.trial_id == trial_id)) or 0


def _trials_with_attempts() -> Select[Trial, int]:
    attempts = select(func.count()).select_from(Attempt).where(Attempt.trial_id == Trial.id).scalar_subquery()
    return select(Trial, attempts)


def _insert_or_replace(session: Session, model: type[Epoch | Tracking], rows: list[dict[str, Any]]) -> None:
    if not rows:
        return
    keys = [column.name for column in model.__table__.primary_key]
    # The two dialects spell it alike but have a class each.
    insert: Any = postgresql.insert if session.get_bind().dialect.name == "postgresql" else sqlite.insert
    statement = insert(model)
    values = {
        column.name: statement.excluded[column.name]
        for column in model.__table__.columns
        if column.name not in keys
    }
    session.execute(statement.on_conflict_do_update(index_elements=keys, set_=values), rows)


# Values


def _finite(value: float | None) -> float | None:
    # SQLite turns NaN into NULL and PostgreSQL keeps it; None is what both can say.
    return float(value) if value is not None and math.isfinite(value) else None


def _or_nan(value: float | None) -> float:
    return math.nan if value is None else value


def _storable_text(value: str | None) -> str | None:
    # A reason quotes whatever a crashed process said; PostgreSQL takes neither NUL nor lone surrogates.
    if value is None:
        return None
    return value.encode("utf-8", "backslashreplace").decode("utf-8").replace("\x00", "\\x00")


def _plain_json(field: str, value: Mapping[str, Any]) -> dict[str, Any]:
    try:
        plain: dict[str, Any] = json.loads(json.dumps(dict(value), allow_nan=False))
    except (TypeError, ValueError) as error:
        raise InvalidInput(
            FieldError(
                field, value, f"is not plain JSON ({error})", "Use finite numbers, texts, lists and dicts."
            )
        ) from None
    return plain


def _accuracy_columns(prefix: str, accuracies: Accuracies | None) -> dict[str, int | float | None]:
    if accuracies is None:
        return {f"{prefix}_{field.name}": None for field in fields(Accuracies)}
    return {
        f"{prefix}_epoch": accuracies.epoch,
        f"{prefix}_test": _finite(accuracies.test),
        f"{prefix}_corrupted_train": _finite(accuracies.corrupted_train),
        f"{prefix}_intact_train": _finite(accuracies.intact_train),
        f"{prefix}_validation": _finite(accuracies.validation),
    }


def _accuracies(row: Trial, prefix: str) -> Accuracies | None:
    values = {field.name: getattr(row, f"{prefix}_{field.name}") for field in fields(Accuracies)}
    epoch = values.pop("epoch")
    return None if epoch is None else Accuracies(epoch, **{name: _or_nan(value) for name, value in values.items()})


# Records


def _sweep_record(row: Sweep) -> SweepRecord:
    values = {field.name: getattr(row, field.name) for field in fields(SweepRecord)}
    return SweepRecord(**{**values, "facts": row.facts or {}})


def _trial_record(row: Trial, attempts: int) -> TrialRecord:
    return TrialRecord(
        id=row.id,
        sweep_id=row.sweep_id,
        number=row.number,
        phase=row.phase,
        configuration=row.configuration,
        repeat=row.repeat,
        supervision=row.supervision,
        hyperparameters=row.hyperparameters,
        params=row.params,
        noise_rate=row.noise_rate,
        seed=row.seed,
        noise_seed=row.noise_seed,
        state=row.state,
        reason=row.reason,
        objective=row.objective,
        final=_accuracies(row, "final"),
        best=_accuracies(row, "best"),
        noise_hash=row.noise_hash,
        realised_noise_rate=row.realised_noise_rate,
        train_seconds=row.train_seconds,
        started_at=row.started_at,
        finished_at=row.finished_at,
        attempts=attempts,
    )


def _epoch_record(row: Epoch) -> EpochRecord:
    return EpochRecord(
        trial_id=row.trial_id,
        epoch=row.epoch,
        iteration=row.iteration,
        train_loss=row.train_loss,
        learning_rate=_or_nan(row.learning_rate),
        test_accuracy=row.test_accuracy,
        corrupted_train_accuracy=row.corrupted_train_accuracy,
        intact_train_accuracy=row.intact_train_accuracy,
        seconds=_or_nan(row.seconds),
        recorded_at=row.recorded_at,
        validation_accuracy=row.validation_accuracy,
    )


def _attempt_record(row: Attempt) -> AttemptRecord:
    return AttemptRecord(**{field.name: getattr(row, field.name) for field in fields(AttemptRecord)})
