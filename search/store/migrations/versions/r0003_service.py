"""The service: a queue with leases, events, tokens, and the processes that serve.

Revision: 0003.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    moment = sa.DateTime(timezone=True)
    for column in (
        sa.Column("priority", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("submitter", sa.String(), nullable=False, server_default="local"),
        sa.Column("request_key", sa.String(), nullable=True),
        sa.Column("request_hash", sa.String(), nullable=True),
        # Until now every sweep was run by who started it.
        sa.Column("attended", sa.Boolean(), nullable=False, server_default=sa.true()),
        sa.Column("lease_expires_at", moment, nullable=True),
        sa.Column("fence", sa.BigInteger(), nullable=False, server_default="0"),
        sa.Column("deaths", sa.Integer(), nullable=False, server_default="0"),
    ):
        op.add_column("sweeps", column)
    op.create_index("ix_sweeps_queue", "sweeps", ["state", "priority", "created_at"])
    op.create_index("uq_sweeps_submitter_request_key", "sweeps", ["submitter", "request_key"], unique=True)
    op.execute("UPDATE sweeps SET state = 'paused' WHERE state = 'interrupted'")
    op.add_column("tracking", sa.Column("deleted", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.create_table(
        "events",
        sa.Column("sweep_id", sa.String(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("at", moment, nullable=False),
        sa.Column("level", sa.String(16), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("trial_id", sa.String(), nullable=True),
        sa.Column("data", sa.JSON(), nullable=True),
        sa.PrimaryKeyConstraint("sweep_id", "number", name="pk_events"),
        sa.ForeignKeyConstraint(["sweep_id"], ["sweeps.id"], name="fk_events_sweep_id_sweeps", ondelete="CASCADE"),
    )
    op.create_table(
        "tokens",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("role", sa.String(16), nullable=False),
        sa.Column("hash", sa.String(), nullable=False),
        sa.Column("created_at", moment, nullable=False),
        sa.Column("revoked_at", moment, nullable=True),
        sa.PrimaryKeyConstraint("name", name="pk_tokens"),
        sa.UniqueConstraint("hash", name="uq_tokens_hash"),
    )
    op.create_table(
        "processes",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("facts", sa.JSON(), nullable=False),
        sa.Column("started_at", moment, nullable=False),
        sa.Column("heartbeat_at", moment, nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_processes"),
    )
