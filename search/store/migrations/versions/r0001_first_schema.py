"""Sweeps, trials, attempts, epochs and MLflow's cursor.

Revision: 0001, the first.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    moment = sa.DateTime(timezone=True)
    op.create_table(
        "sweeps",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("spec", sa.JSON(), nullable=False),
        sa.Column("dataset", sa.String(), nullable=False),
        sa.Column("noise_rate", sa.Double(), nullable=False),
        sa.Column("backbone", sa.String(), nullable=False),
        sa.Column("supervision", sa.String(), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("message", sa.Text(), nullable=True),
        sa.Column("data_hash", sa.String(), nullable=False),
        sa.Column("versions", sa.JSON(), nullable=False),
        sa.Column("created_at", moment, nullable=False),
        sa.Column("started_at", moment, nullable=True),
        sa.Column("finished_at", moment, nullable=True),
        sa.Column("owner", sa.String(), nullable=True),
        sa.Column("heartbeat_at", moment, nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_sweeps"),
    )
    op.create_index("ix_sweeps_created_at", "sweeps", ["created_at"])
    op.create_table(
        "trials",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("sweep_id", sa.String(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("phase", sa.String(16), nullable=False),
        sa.Column("configuration", sa.Integer(), nullable=False),
        sa.Column("repeat", sa.Integer(), nullable=False),
        sa.Column("supervision", sa.String(), nullable=False),
        sa.Column("hyperparameters", sa.JSON(), nullable=False),
        sa.Column("params", sa.JSON(), nullable=False),
        sa.Column("noise_rate", sa.Double(), nullable=False),
        sa.Column("seed", sa.BigInteger(), nullable=False),
        sa.Column("noise_seed", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("objective", sa.Double(), nullable=True),
        sa.Column("final_epoch", sa.Integer(), nullable=True),
        sa.Column("final_test", sa.Double(), nullable=True),
        sa.Column("final_corrupted_train", sa.Double(), nullable=True),
        sa.Column("final_intact_train", sa.Double(), nullable=True),
        sa.Column("best_epoch", sa.Integer(), nullable=True),
        sa.Column("best_test", sa.Double(), nullable=True),
        sa.Column("best_corrupted_train", sa.Double(), nullable=True),
        sa.Column("best_intact_train", sa.Double(), nullable=True),
        sa.Column("noise_hash", sa.String(), nullable=True),
        sa.Column("realised_noise_rate", sa.Double(), nullable=True),
        sa.Column("train_seconds", sa.Double(), nullable=True),
        sa.Column("started_at", moment, nullable=True),
        sa.Column("finished_at", moment, nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_trials"),
        sa.ForeignKeyConstraint(
            ["sweep_id"], ["sweeps.id"], name="fk_trials_sweep_id_sweeps", ondelete="CASCADE"
        ),
        sa.UniqueConstraint("sweep_id", "number", name="uq_trials_sweep_id_number"),
        sa.UniqueConstraint(
            "sweep_id",
            "phase",
            "configuration",
            "repeat",
            name="uq_trials_sweep_id_phase_configuration_repeat",
        ),
    )
    op.create_index("ix_trials_standing", "trials", ["sweep_id", "state", "phase", "objective"])
    op.create_table(
        "attempts",
        sa.Column("trial_id", sa.String(), nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("host", sa.String(), nullable=False),
        sa.Column("pid", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("started_at", moment, nullable=False),
        sa.Column("finished_at", moment, nullable=True),
        sa.PrimaryKeyConstraint("trial_id", "number", name="pk_attempts"),
        sa.ForeignKeyConstraint(
            ["trial_id"], ["trials.id"], name="fk_attempts_trial_id_trials", ondelete="CASCADE"
        ),
    )
    op.create_table(
        "epochs",
        sa.Column("trial_id", sa.String(), nullable=False),
        sa.Column("epoch", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("iteration", sa.BigInteger(), nullable=False),
        sa.Column("train_loss", sa.Double(), nullable=True),
        sa.Column("learning_rate", sa.Double(), nullable=True),
        sa.Column("test_accuracy", sa.Double(), nullable=True),
        sa.Column("corrupted_train_accuracy", sa.Double(), nullable=True),
        sa.Column("intact_train_accuracy", sa.Double(), nullable=True),
        sa.Column("seconds", sa.Double(), nullable=True),
        sa.Column("recorded_at", moment, nullable=False),
        sa.PrimaryKeyConstraint("trial_id", "epoch", name="pk_epochs"),
        sa.ForeignKeyConstraint(
            ["trial_id"], ["trials.id"], name="fk_epochs_trial_id_trials", ondelete="CASCADE"
        ),
    )
    op.create_table(
        "tracking",
        sa.Column("subject_id", sa.String(), nullable=False),
        sa.Column("run_id", sa.String(), nullable=False),
        sa.Column("epochs_recorded", sa.Integer(), nullable=False),
        sa.Column("closed", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("subject_id", name="pk_tracking"),
    )
