"""Accuracy on a validation set, and the facts of a sweep's data.

Revision: 0002.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("sweeps", sa.Column("facts", sa.JSON(), nullable=True))
    op.add_column("trials", sa.Column("final_validation", sa.Double(), nullable=True))
    op.add_column("trials", sa.Column("best_validation", sa.Double(), nullable=True))
    op.add_column("epochs", sa.Column("validation_accuracy", sa.Double(), nullable=True))
