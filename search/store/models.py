"""The tables, as SQLAlchemy maps them; migrations/ holds how a database got there."""

from __future__ import annotations

from datetime import UTC
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import JSON
from sqlalchemy import BigInteger
from sqlalchemy import DateTime
from sqlalchemy import Dialect
from sqlalchemy import Double
from sqlalchemy import Enum
from sqlalchemy import ForeignKey
from sqlalchemy import Index
from sqlalchemy import MetaData
from sqlalchemy import String
from sqlalchemy import Text
from sqlalchemy import TypeDecorator
from sqlalchemy import UniqueConstraint
from sqlalchemy import false
from sqlalchemy import true
from sqlalchemy.orm import DeclarativeBase
from sqlalchemy.orm import Mapped
from sqlalchemy.orm import mapped_column

from search.store.records import AttemptState
from search.store.records import Phase
from search.store.records import ProcessKind
from search.store.records import Role
from search.store.records import SweepState
from search.store.records import TrialState


class UTCDateTime(TypeDecorator[datetime]):
    """An aware datetime, always UTC when read.

    SQLite has no time zones and PostgreSQL answers in the session's: both are brought back to UTC.
    """

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Convert to UTC; a naive datetime is refused because its zone would be a guess."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"datetime = {value!r}: has no time zone. Use datetime.now(UTC).")
        value = value.astimezone(UTC)
        return value.replace(tzinfo=None) if dialect.name == "sqlite" else value

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Read back as aware UTC."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def _state(kind: type[StrEnum]) -> Enum:
    # Kept as plain text: a later version can add a state without rewriting a table or a PostgreSQL type.
    return Enum(
        kind,
        native_enum=False,
        create_constraint=False,
        length=16,
        values_callable=lambda members: [str(member.value) for member in members],
    )


class Base(DeclarativeBase):
    """Base of the tables; constraint names are fixed so that migrations can name them on every backend."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {  # noqa: RUF012 - SQLAlchemy reads it as a plain class attribute
        str: String(),
        float: Double(),
        datetime: UTCDateTime(),
        dict[str, Any]: JSON(),
        SweepState: _state(SweepState),
        TrialState: _state(TrialState),
        AttemptState: _state(AttemptState),
        Phase: _state(Phase),
        Role: _state(Role),
        ProcessKind: _state(ProcessKind),
    }


class Sweep(Base):
    """One row a sweep; see SweepRecord."""

    __tablename__ = "sweeps"
    __table_args__ = (
        Index("ix_sweeps_created_at", "created_at"),
        Index("ix_sweeps_queue", "state", "priority", "created_at"),
        Index("uq_sweeps_submitter_request_key", "submitter", "request_key", unique=True),
    )

    id: Mapped[str] = mapped_column(primary_key=True)
    spec: Mapped[dict[str, Any]]
    dataset: Mapped[str]
    noise_rate: Mapped[float]
    backbone: Mapped[str]
    supervision: Mapped[str]
    state: Mapped[SweepState]
    message: Mapped[str | None] = mapped_column(Text)
    data_hash: Mapped[str]
    versions: Mapped[dict[str, Any]]
    facts: Mapped[dict[str, Any] | None]
    created_at: Mapped[datetime]
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
    owner: Mapped[str | None]
    heartbeat_at: Mapped[datetime | None]
    priority: Mapped[int] = mapped_column(server_default="0")
    submitter: Mapped[str] = mapped_column(server_default="local")
    request_key: Mapped[str | None]
    request_hash: Mapped[str | None]
    attended: Mapped[bool] = mapped_column(server_default=true())
    lease_expires_at: Mapped[datetime | None]
    fence: Mapped[int] = mapped_column(BigInteger, server_default="0")
    deaths: Mapped[int] = mapped_column(server_default="0")


class Trial(Base):
    """One row a trial; see TrialRecord."""

    __tablename__ = "trials"
    __table_args__ = (
        UniqueConstraint("sweep_id", "number"),
        UniqueConstraint("sweep_id", "phase", "configuration", "repeat"),
        # Its prefix (sweep_id, state) answers progress; the whole of it gives the best trial without a scan.
        Index("ix_trials_standing", "sweep_id", "state", "phase", "objective"),
    )

    id: Mapped[str] = mapped_column(primary_key=True)
    sweep_id: Mapped[str] = mapped_column(ForeignKey("sweeps.id", ondelete="CASCADE"))
    number: Mapped[int]
    phase: Mapped[Phase]
    configuration: Mapped[int]
    repeat: Mapped[int]
    supervision: Mapped[str]
    hyperparameters: Mapped[dict[str, Any]]
    params: Mapped[dict[str, Any]]
    noise_rate: Mapped[float]
    seed: Mapped[int] = mapped_column(BigInteger)
    noise_seed: Mapped[int] = mapped_column(BigInteger)
    state: Mapped[TrialState]
    reason: Mapped[str | None] = mapped_column(Text)
    objective: Mapped[float | None]
    final_epoch: Mapped[int | None]
    final_test: Mapped[float | None]
    final_corrupted_train: Mapped[float | None]
    final_intact_train: Mapped[float | None]
    final_validation: Mapped[float | None]
    best_epoch: Mapped[int | None]
    best_test: Mapped[float | None]
    best_corrupted_train: Mapped[float | None]
    best_intact_train: Mapped[float | None]
    best_validation: Mapped[float | None]
    noise_hash: Mapped[str | None]
    realised_noise_rate: Mapped[float | None]
    computed_by: Mapped[dict[str, Any] | None]
    train_seconds: Mapped[float | None]
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]


class Attempt(Base):
    """One row an execution of a trial; see AttemptRecord."""

    __tablename__ = "attempts"

    trial_id: Mapped[str] = mapped_column(ForeignKey("trials.id", ondelete="CASCADE"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    host: Mapped[str]
    pid: Mapped[int] = mapped_column(BigInteger)
    state: Mapped[AttemptState]
    reason: Mapped[str | None] = mapped_column(Text)
    started_at: Mapped[datetime]
    finished_at: Mapped[datetime | None]


class Epoch(Base):
    """One row an epoch of a trial; see EpochRecord."""

    __tablename__ = "epochs"

    trial_id: Mapped[str] = mapped_column(ForeignKey("trials.id", ondelete="CASCADE"), primary_key=True)
    epoch: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    iteration: Mapped[int] = mapped_column(BigInteger)
    train_loss: Mapped[float | None]
    learning_rate: Mapped[float | None]
    test_accuracy: Mapped[float | None]
    corrupted_train_accuracy: Mapped[float | None]
    intact_train_accuracy: Mapped[float | None]
    validation_accuracy: Mapped[float | None]
    running_corrupted_train_accuracy: Mapped[float | None]
    running_intact_train_accuracy: Mapped[float | None]
    seconds: Mapped[float | None]
    recorded_at: Mapped[datetime]


class Tracking(Base):
    """One row a sweep or trial that MLflow knows; see TrackingRecord."""

    __tablename__ = "tracking"

    subject_id: Mapped[str] = mapped_column(primary_key=True)
    run_id: Mapped[str]
    epochs_recorded: Mapped[int]
    closed: Mapped[bool]
    deleted: Mapped[bool] = mapped_column(server_default=false())


class Event(Base):
    """One row a thing that happened to a sweep; see EventRecord."""

    __tablename__ = "events"

    sweep_id: Mapped[str] = mapped_column(ForeignKey("sweeps.id", ondelete="CASCADE"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    at: Mapped[datetime]
    level: Mapped[str] = mapped_column(String(16))
    kind: Mapped[str]
    message: Mapped[str] = mapped_column(Text)
    trial_id: Mapped[str | None]
    data: Mapped[dict[str, Any] | None]


class Token(Base):
    """One row a token; see TokenRecord. The token itself is nowhere."""

    __tablename__ = "tokens"
    __table_args__ = (UniqueConstraint("hash"),)

    name: Mapped[str] = mapped_column(primary_key=True)
    role: Mapped[Role]
    hash: Mapped[str]
    created_at: Mapped[datetime]
    revoked_at: Mapped[datetime | None]


class Process(Base):
    """One row a worker or server that has said it lives; see ProcessRecord."""

    __tablename__ = "processes"

    name: Mapped[str] = mapped_column(primary_key=True)
    kind: Mapped[ProcessKind]
    facts: Mapped[dict[str, Any]]
    started_at: Mapped[datetime]
    heartbeat_at: Mapped[datetime]
