"""Accuracies of an epoch's own training batches.

Revision: 0004.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("epochs", sa.Column("running_corrupted_train_accuracy", sa.Double(), nullable=True))
    op.add_column("epochs", sa.Column("running_intact_train_accuracy", sa.Double(), nullable=True))
