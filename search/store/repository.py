"""The store: every read and write of sweeps, trials, attempts, epochs and events."""

from __future__ import annotations

import math
from collections.abc import Callable
from collections.abc import Collection
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from contextlib import contextmanager
from datetime import datetime
from types import TracebackType
from typing import Any
from typing import Self

from sqlalchemy import and_
from sqlalchemy import delete
from sqlalchemy import func
from sqlalchemy import or_
from sqlalchemy import select
from sqlalchemy.orm import Session

from search.errors import IllegalMove
from search.errors import TrialFinished
from search.store import event_log
from search.store import request_keys
from search.store import sweep_moves
from search.store import trial_moves
from search.store.database import Database
from search.store.models import Attempt
from search.store.models import Epoch
from search.store.models import Event
from search.store.models import Sweep
from search.store.models import Trial
from search.store.processes import Processes
from search.store.queue import Queue
from search.store.records import Accuracies
from search.store.records import AttemptRecord
from search.store.records import EpochRecord
from search.store.records import EventRecord
from search.store.records import Lease
from search.store.records import Phase
from search.store.records import Progress
from search.store.records import SweepRecord
from search.store.records import SweepState
from search.store.records import TrialRecord
from search.store.records import TrialState
from search.store.records import utc_now
from search.store.rows import UNKNOWN_NOISE_RATE
from search.store.rows import accuracy_columns
from search.store.rows import attempt_record
from search.store.rows import epoch_record
from search.store.rows import epoch_rows
from search.store.rows import event_record
from search.store.rows import finite
from search.store.rows import plain_json
from search.store.rows import storable_text
from search.store.rows import sweep_record
from search.store.rows import trial_record
from search.store.states import Verb
from search.store.states import after
from search.store.sweep_lock import leased_writing
from search.store.sweep_lock import locked_sweep
from search.store.sweep_lock import locking
from search.store.sweep_lock import no_sweep
from search.store.sweep_lookup import sweep_named
from search.store.sweep_moves import IsAlive
from search.store.tokens import Tokens
from search.store.tracking import TrackingCursors
from search.store.tracking import mark_deleted
from search.store.trial_queries import BEST_TRIAL
from search.store.trial_queries import attempt_count
from search.store.trial_queries import baseline_means
from search.store.trial_queries import existing_trial
from search.store.trial_queries import locked_trial
from search.store.trial_queries import next_number
from search.store.trial_queries import no_trial
from search.store.trial_queries import progress_by_sweep
from search.store.trial_queries import trials_with_attempts
from search.store.upsert import insert_or_replace
from trainers.errors import FieldError
from trainers.errors import InvalidInput

#: Seeds and counters are signed 64-bit integers on both backends.
_LARGEST_INTEGER = 2**63 - 1

#: A noise rate asked for matches a recorded one when it was meant to be the same decimal.
NOISE_RATE_TOLERANCE = 1e-9


class Store:
    """The sole authority on sweeps and what became of their trials.

    Every write is one transaction that is committed before the method returns. One Store may be used from
    several threads at once, and several processes may open the same database. Do not carry it over a fork.

    Attributes:
        tokens: Of the service.
        processes: Workers and servers.
        queue: The sweeps that wait for a worker.
        tracking: How far MLflow's record of each sweep has come.

    Example:
        >>> with Store.open("sqlite:////tmp/emphasis.db") as store:  # doctest: +SKIP
        ...     for sweep in store.sweeps(dataset="digits"):
        ...         print(sweep.id, store.progress(sweep.id))
    """

    def __init__(self, database: Database, lease: Lease | None = None) -> None:
        self._database = database
        self._lease = lease
        self.tokens = Tokens(database)
        self.processes = Processes(database)
        self.queue = Queue(database)
        self.tracking = TrackingCursors(database, lease)

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
        return cls(Database.open(url))

    def close(self) -> None:
        """Close every connection. The records that were read stay valid."""
        self._database.close()

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
        return self._database.location

    def fenced(self, lease: Lease) -> Store:
        """The same store for who runs a sweep: every write raises LeaseLost once the lease is lost or has run out.

        The lease is looked at in the transaction that writes, with the sweep locked, so that a process that comes
        back from a long pause cannot add a word to what its successor writes.
        """
        return Store(self._database, lease)

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
        priority: int = 0,
        submitter: str = "local",
        request_key: str | None = None,
        request: Mapping[str, Any] | None = None,
        attended: bool = False,
    ) -> SweepRecord:
        """Record a new sweep as queued.

        Args:
            id: Unique name.
            spec: The resolved SweepSpec as JSON.
            dataset: Name of the dataset.
            noise_rate: Nominal noise rate, in [0, 1); NaN where the sweep is to estimate it first.
            backbone: Name of the network.
            supervision: What is searched.
            data_hash: Fingerprint of the dataset's arrays.
            versions: Of what submits it.
            facts: What is known of its data.
            priority: Higher is run first.
            submitter: Name of the token it was submitted with.
            request_key: With the same key of the same submitter the sweep that exists is returned.
            request: What was asked for under the key, as it was given; by default the spec.
            attended: Whether a person runs it in their own process; workers then leave it alone.

        Raises:
            InvalidInput: A sweep with that id exists, or spec or versions are not plain JSON.
            RequestKeyUsed: Another spec was submitted under the key.
        """
        plain = plain_json("spec", spec)
        request_hash = request_keys.hash_of(plain if request is None else request, priority)
        with self._writing() as session:
            if request_key is not None:
                # Of several that submit under one key at once, the first is waited for.
                if not self._database.is_sqlite:
                    request_keys.lock(session, submitter, request_key)
                existing = request_keys.find(session, submitter, request_key, request_hash)
                if existing is not None:
                    return sweep_record(existing)
            if session.get(Sweep, id) is not None:
                raise InvalidInput(
                    FieldError("id", id, "a sweep with this id exists", "Resume that sweep or use another id.")
                )
            row = Sweep(
                id=id,
                spec=plain,
                dataset=dataset,
                noise_rate=UNKNOWN_NOISE_RATE if math.isnan(noise_rate) else noise_rate,
                backbone=backbone,
                supervision=supervision,
                state=SweepState.QUEUED,
                data_hash=data_hash,
                versions=plain_json("versions", versions),
                facts=plain_json("facts", facts or {}),
                created_at=utc_now(),
                priority=priority,
                submitter=submitter,
                request_key=request_key,
                request_hash=request_hash,
                attended=attended,
                fence=0,
                deaths=0,
            )
            session.add(row)
            session.flush()
            event_log.add(session, id, "submitted", f"submitted by {submitter}")
            return sweep_record(row)

    def requested(
        self, submitter: str, request_key: str, request: Mapping[str, Any], priority: int = 0
    ) -> SweepRecord | None:
        """The sweep that was asked for under a key, if one was; see `create_sweep`.

        Raises:
            RequestKeyUsed: Something else was submitted under the key.
        """
        with self._reading() as session:
            found = request_keys.find(session, submitter, request_key, request_keys.hash_of(request, priority))
            return None if found is None else sweep_record(found)

    def settle(
        self, sweep_id: str, *, spec: Mapping[str, Any], noise_rate: float, facts: Mapping[str, Any]
    ) -> SweepRecord:
        """Record what a sweep's unknown noise rate was found to come to; once, before its first trial.

        Args:
            sweep_id: Full id of the sweep.
            spec: The spec with the noise rate in it.
            noise_rate: What it comes to, in [0, 1).
            facts: How it was found; added to the sweep's.
        """
        with self._writing() as session:
            row = locked_sweep(session, sweep_id)
            if row.noise_rate == UNKNOWN_NOISE_RATE:
                row.spec = plain_json("spec", spec)
                row.noise_rate = noise_rate
                row.facts = {**(row.facts or {}), **plain_json("facts", facts)}
                event_log.add(session, sweep_id, "log", f"noise rate settled at {noise_rate:g}")
            session.flush()
            return sweep_record(row)

    def sweep(self, id_or_unique_prefix: str) -> SweepRecord:
        """One sweep by its id, or by the first characters of its id where only one sweep begins with them.

        Raises:
            InvalidInput: No sweep or several sweeps match; the message names those that there are.
        """
        with self._reading() as session:
            return sweep_record(sweep_named(session, id_or_unique_prefix))

    def sweeps(
        self,
        dataset: str | None = None,
        noise_rate: float | None = None,
        state: SweepState | Collection[SweepState] | None = None,
        submitter: str | None = None,
        limit: int | None = None,
        before: tuple[datetime, str] | None = None,
        source: str | None = None,
    ) -> list[SweepRecord]:
        """Sweeps, newest first.

        Args:
            dataset: Only of the dataset of this name.
            noise_rate: Only of this noise rate.
            state: Only in this state, or one of these.
            submitter: Only of this submitter.
            limit: At most so many.
            before: Creation and id of a sweep: only those that come after it in the list, the next page.
            source: Only of the dataset that specs name so: a file's absolute path, say.
        """
        query = select(Sweep).order_by(Sweep.created_at.desc(), Sweep.id.desc()).limit(limit)
        if dataset is not None:
            query = query.where(Sweep.dataset == dataset)
        if source is not None:
            query = query.where(Sweep.spec["dataset"].as_string() == source)
        if noise_rate is not None:
            query = query.where(
                Sweep.noise_rate.between(
                    noise_rate - NOISE_RATE_TOLERANCE, noise_rate + NOISE_RATE_TOLERANCE
                )
            )
        if state is not None:
            query = query.where(Sweep.state.in_([state] if isinstance(state, SweepState) else list(state)))
        if submitter is not None:
            query = query.where(Sweep.submitter == submitter)
        if before is not None:
            created_at, sweep_id = before
            query = query.where(
                or_(Sweep.created_at < created_at, and_(Sweep.created_at == created_at, Sweep.id < sweep_id))
            )
        with self._reading() as session:
            return [sweep_record(row) for row in session.scalars(query)]

    def sweep_counts(self) -> dict[SweepState, int]:
        """How many sweeps are in each state."""
        with self._reading() as session:
            found = session.execute(select(Sweep.state, func.count()).group_by(Sweep.state)).all()
        return {state: 0 for state in SweepState} | {state: count for state, count in found}

    def trial_counts(self) -> dict[TrialState, int]:
        """How many trials of all sweeps are in each state."""
        with self._reading() as session:
            found = session.execute(select(Trial.state, func.count()).group_by(Trial.state)).all()
        return {state: 0 for state in TrialState} | {state: count for state, count in found}

    # A sweep's states

    def ask(self, sweep_id: str, verb: Verb, by: str = "local") -> SweepRecord:
        """Ask a sweep to pause, to be cancelled or to be resumed; to ask again changes nothing.

        What nobody runs is paused and cancelled at once, what runs stops soon. Resumed, it waits for a worker.

        Args:
            sweep_id: Full id of the sweep.
            verb: What is asked.
            by: Who asks, for the sweep's log.

        Raises:
            IllegalMove: That cannot be asked of it in its state.
        """
        with self._writing() as session:
            row = locked_sweep(session, sweep_id)
            state = after(sweep_id, row.state, verb, owned=row.owner is not None)
            if state is not row.state:
                if verb is Verb.RESUME:
                    row.attended, row.deaths = False, 0
                sweep_moves.move(session, row, state, f"asked to {verb} by {by}")
                session.flush()
            return sweep_record(row)

    def claim_sweep(
        self, sweep_id: str, owner: str, *, is_alive: IsAlive, lease_seconds: float | None = None
    ) -> SweepRecord:
        """Make ``owner`` the one who runs the sweep and set it running, in one step.

        Args:
            sweep_id: Full id of the sweep.
            owner: Who claims it, ``host:pid:createtime:machine``.
            is_alive: Called with another recorded owner and its last heartbeat; whether that owner lives. It
                runs while the sweep is locked, so it must be quick and must not use the store.
            lease_seconds: How long a worker's lease lasts without being renewed; a worker may only claim what is
                queued. None: a person's own process, which has the sweep as long as it lives.

        Returns:
            The sweep, with its ``lease``.

        Raises:
            SweepBusy: Another living owner has the sweep.
            IllegalMove: It is not in a state to be run.
        """
        with self._writing() as session:
            row = locked_sweep(session, sweep_id)
            now = self._database.moment(session)
            sweep_moves.claim(session, row, owner, now, is_alive=is_alive, lease_seconds=lease_seconds)
            session.flush()
            return sweep_record(row)

    def renew(self, lease: Lease, lease_seconds: float | None = None) -> SweepState:
        """Say that the owner lives, and hear what state the sweep is in: another than running, and it is to stop.

        Args:
            lease: As `claim_sweep` gave it.
            lease_seconds: How long it lasts from now; None as for `claim_sweep`.

        Raises:
            LeaseLost: The sweep is another's, or the lease had run out.
        """
        with self.fenced(lease)._writing() as session:
            row = locked_sweep(session, lease.sweep_id)
            sweep_moves.renew(row, self._database.moment(session), lease_seconds)
            return row.state

    def finish_sweep(
        self, sweep_id: str, state: SweepState, message: str | None = None, finished_at: datetime | None = None
    ) -> SweepRecord:
        """End a sweep as done or failed, whatever was asked of it meanwhile, and release its owner.

        Args:
            sweep_id: Full id of the sweep.
            state: done or failed.
            message: Why, where there is something to say.
            finished_at: When it ended; by default now. One that has ended so already keeps its moment.

        Raises:
            InvalidInput: ``state`` is neither.
        """
        if state not in (SweepState.DONE, SweepState.FAILED):
            raise InvalidInput(FieldError("state", str(state), "is not the end of a sweep", "Give done or failed."))
        with self._writing() as session:
            row = locked_sweep(session, sweep_id)
            sweep_moves.disown(row)
            sweep_moves.move(session, row, state, message, ended_at=finished_at)
            session.flush()
            return sweep_record(row)

    def release_sweep(self, sweep_id: str, reason: str, *, died: bool = False) -> SweepRecord:
        """Record that the process that ran a sweep has stopped: running trials wait again, nobody owns it.

        What becomes of it: `search.store.states.once_stopped`.

        Args:
            sweep_id: Full id of the sweep.
            reason: Why it stopped.
            died: Whether the process died; a sweep whose process dies `MOST_DEATHS` times in a row without finishing
                a trial has failed.
        """
        with self._writing() as session:
            row = locked_sweep(session, sweep_id)
            sweep_moves.release(session, row, reason, died)
            session.flush()
            return sweep_record(row)

    def release_lost(
        self, is_alive: IsAlive, *, may_sleep: Callable[[str], bool] | None = None, sweep_id: str | None = None
    ) -> list[SweepRecord]:
        """Release every sweep whose owner has died or let its lease run out.

        Args:
            is_alive: As for `claim_sweep`.
            may_sleep: Called with the owner of a sweep that a person runs; whether it keeps the sweep however long it
                is silent, until the sweep is asked to stop.
            sweep_id: Full id of the only sweep to look at.

        Returns:
            The sweeps that were released, as they are now.
        """
        owned = select(Sweep.id).where(Sweep.owner.is_not(None))
        owned = owned if sweep_id is None else owned.where(Sweep.id == sweep_id)
        with self._reading() as session:
            ids = list(session.scalars(owned))
        released = []
        for each in ids:
            with self._writing() as session:
                row, now = session.scalars(locking(each)).one_or_none(), self._database.moment(session)
                if row is not None and sweep_moves.release_if_lost(session, row, now, is_alive, may_sleep):
                    session.flush()
                    released.append(sweep_record(row))
        return released

    def delete_sweep(self, sweep_id: str) -> None:
        """Delete a sweep with all its trials and log; its MLflow runs are marked to be deleted too.

        Raises:
            IllegalMove: It runs, or is still stopping.
        """
        with self._writing() as session:
            row = locked_sweep(session, sweep_id)
            if row.owner is not None or not (row.state.stopped or row.state is SweepState.QUEUED):
                raise IllegalMove(sweep_id, "be deleted", row.state, f"Cancel it first: `emphasis cancel {sweep_id}`.")
            mark_deleted(session, sweep_id)
            session.execute(delete(Sweep).where(Sweep.id == sweep_id))

    def add_versions(self, sweep_id: str, versions: Mapping[str, Any]) -> None:
        """Note what runs the rest of a sweep, where that is not what began it.

        What began it stays; what differs from it is added to the list ``resumed_with``, once in a row.

        Args:
            sweep_id: Full id of the sweep.
            versions: As `create_sweep` takes them.
        """
        with self._writing() as session:
            row = locked_sweep(session, sweep_id)
            changed = {name: value for name, value in versions.items() if row.versions.get(name) != value}
            before = row.versions.get("resumed_with", [])
            if changed and before[-1:] != [changed]:
                row.versions = {**row.versions, "resumed_with": [*before, plain_json("versions", changed)]}

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
            "hyperparameters": plain_json("hyperparameters", hyperparameters),
            "params": plain_json("params", params),
            "noise_rate": noise_rate,
            "seed": seed,
            "noise_seed": noise_seed,
        }
        with self._writing() as session:
            locked_sweep(session, sweep_id)
            existing = existing_trial(session, sweep_id, phase, configuration, repeat, given)
            if existing is not None:
                return trial_record(existing, attempt_count(session, existing.id))
            number = next_number(session, sweep_id)
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
            return trial_record(row, 0)

    def start_attempt(self, trial_id: str, host: str, pid: int) -> AttemptRecord:
        """Record that a process begins to train the trial, which becomes running.

        An earlier attempt that was still running is marked lost: a trial has one running attempt at most.

        Raises:
            TrialFinished: The trial has its result already.
        """
        with self._writing() as session:
            row = locked_trial(session, trial_id)
            return attempt_record(trial_moves.start(session, row, host, pid))

    def record_epochs(self, trial_id: str, epochs: Sequence[EpochRecord]) -> None:
        """Record epochs of a trial; an epoch that is recorded already is replaced.

        Raises:
            TrialFinished: The trial has its result already.
            InvalidInput: An epoch belongs to another trial.
        """
        rows = epoch_rows(trial_id, epochs)
        with self._writing() as session:
            row = locked_trial(session, trial_id)
            if row.state.finished:
                raise TrialFinished(trial_id, f"no epochs can be added, it is {row.state}")
            insert_or_replace(session, Epoch, rows)

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
        computed_by: Mapping[str, str] | None = None,
    ) -> TrialRecord:
        """Record the result of a trial, for ever. The same result again is accepted, any other is refused.

        Args:
            trial_id: The trial.
            state: done, pruned or failed.
            objective: What its sweep maximises (`search.objective`), at the end; a value that is not finite is kept
                as None.
            final: The last evaluation.
            best: The evaluation with the highest test accuracy.
            reason: Why it failed or was pruned.
            train_seconds: Time spent training.
            noise_hash: Fingerprint of the corrupted labels.
            realised_noise_rate: Fraction of labels that were really changed.
            computed_by: As `TrialRecord.computed_by`.

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
            "objective": finite(objective),
            "reason": storable_text(reason),
            "train_seconds": finite(train_seconds),
            "noise_hash": noise_hash,
            "realised_noise_rate": finite(realised_noise_rate),
            "computed_by": None if computed_by is None else dict(computed_by),
            **accuracy_columns("final", final),
            **accuracy_columns("best", best),
        }
        with self._writing() as session:
            row = locked_trial(session, trial_id)
            trial_moves.finish(session, row, result)
            return trial_record(row, attempt_count(session, trial_id))

    def release_trial(self, trial_id: str, reason: str) -> TrialRecord:
        """The trial's process is gone without a result: its attempt is lost and the trial waits again.

        A trial that is waiting or finished stays as it is.
        """
        with self._writing() as session:
            row = locked_trial(session, trial_id)
            if row.state is TrialState.RUNNING:
                trial_moves.release(session, row, reason)
            return trial_record(row, attempt_count(session, trial_id))

    def release_running(self, sweep_id: str, reason: str) -> list[TrialRecord]:
        """Every running trial of a sweep waits again, its attempt lost; for a sweep whose driver is gone.

        Returns:
            The trials that were released, by number.
        """
        with self._writing() as session:
            locked_sweep(session, sweep_id)
            rows = trial_moves.release_running(session, sweep_id, reason)
            return [trial_record(row, attempt_count(session, row.id)) for row in rows]

    def trial(self, trial_id: str) -> TrialRecord:
        """One trial by its id.

        Raises:
            InvalidInput: There is no such trial.
        """
        with self._reading() as session:
            found = session.execute(trials_with_attempts().where(Trial.id == trial_id)).one_or_none()
            if found is None:
                raise no_trial(trial_id)
            return trial_record(*found)

    def trials(
        self,
        sweep_id: str,
        *,
        state: TrialState | None = None,
        after: int = -1,
        limit: int | None = None,
    ) -> list[TrialRecord]:
        """Trials of a sweep by number.

        Args:
            sweep_id: Full id of the sweep.
            state: Only in this state.
            after: Only those with a higher number: the next page.
            limit: At most so many.

        Raises:
            InvalidInput: There is no such sweep.
        """
        query = trials_with_attempts().where(Trial.sweep_id == sweep_id, Trial.number > after)
        query = query.order_by(Trial.number).limit(limit)
        if state is not None:
            query = query.where(Trial.state == state)
        with self._reading() as session:
            found = [trial_record(row, attempts) for row, attempts in session.execute(query)]
            if not found and session.get(Sweep, sweep_id) is None:
                raise no_sweep(sweep_id)
            return found

    def best_trial(self, sweep_id: str) -> TrialRecord | None:
        """The done search trial of the searched supervision with the highest objective, the earliest of equals.

        None of a configuration that was given up: it can never be recommended.
        """
        return self.best_trial_of([sweep_id]).get(sweep_id)

    def best_trial_of(self, sweep_ids: Iterable[str]) -> dict[str, TrialRecord]:
        """`best_trial` of many sweeps, for lists; those without one are left out."""
        best = {}
        with self._reading() as session:
            # One look into the index each costs less than ranking all trials of all these sweeps.
            for sweep_id in dict.fromkeys(sweep_ids):
                found = session.execute(BEST_TRIAL, {"sweep_id": sweep_id}).one_or_none()
                if found is not None:
                    best[sweep_id] = trial_record(*found)
        return best

    def baselines_of(self, sweep_ids: Iterable[str]) -> dict[str, float]:
        """Mean objective that CCE has reached beside each of many sweeps so far; those without one are left out."""
        with self._reading() as session:
            return baseline_means(session, list(dict.fromkeys(sweep_ids)))

    def epochs(self, trial_id: str, after: int = 0) -> list[EpochRecord]:
        """What a trial reported so far, by epoch: of those after ``after``."""
        query = select(Epoch).where(Epoch.trial_id == trial_id, Epoch.epoch > after).order_by(Epoch.epoch)
        with self._reading() as session:
            return [epoch_record(row) for row in session.scalars(query)]

    def attempts(self, trial_id: str) -> list[AttemptRecord]:
        """How often and how a trial was executed, by number."""
        query = select(Attempt).where(Attempt.trial_id == trial_id).order_by(Attempt.number)
        with self._reading() as session:
            return [attempt_record(row) for row in session.scalars(query)]

    def progress(self, sweep_id: str) -> Progress:
        """How many of the sweep's trials are in each state."""
        return self.progress_of([sweep_id])[sweep_id]

    def progress_of(self, sweep_ids: Iterable[str]) -> dict[str, Progress]:
        """Progress of many sweeps in one query, for lists; a sweep without trials has all zeros."""
        with self._reading() as session:
            return progress_by_sweep(session, list(dict.fromkeys(sweep_ids)))

    # Events

    def add_event(
        self,
        sweep_id: str,
        message: str,
        *,
        level: str = "info",
        trial_id: str | None = None,
        data: Mapping[str, Any] | None = None,
    ) -> EventRecord:
        """Add a line to a sweep's log.

        Args:
            sweep_id: Full id of the sweep.
            message: In words.
            level: info, warning or error.
            trial_id: The trial it is about.
            data: Its numbers.
        """
        with self._writing() as session:
            locked_sweep(session, sweep_id)
            return event_record(event_log.add(session, sweep_id, "log", message, trial_id, level, data))

    def events(self, sweep_id: str, *, after: int = 0, limit: int | None = None) -> list[EventRecord]:
        """A sweep's log, oldest first.

        Args:
            sweep_id: Full id of the sweep.
            after: Only what came after the event of this number.
            limit: At most so many.

        Raises:
            InvalidInput: There is no such sweep.
        """
        query = select(Event).where(Event.sweep_id == sweep_id, Event.number > after)
        query = query.order_by(Event.number).limit(limit)
        with self._reading() as session:
            found = [event_record(row) for row in session.scalars(query)]
            if not found and session.get(Sweep, sweep_id) is None:
                raise no_sweep(sweep_id)
            return found

    def last_event_number(self, sweep_id: str) -> int:
        """The number of the newest event in a sweep's log; 0 without one."""
        with self._reading() as session:
            return session.scalar(event_log.last_number(sweep_id)) or 0

    # Transactions

    @contextmanager
    def _reading(self) -> Iterator[Session]:
        with self._database.reading() as session:
            yield session

    @contextmanager
    def _writing(self) -> Iterator[Session]:
        with leased_writing(self._database, self._lease) as session:
            yield session
