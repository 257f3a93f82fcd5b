"""What holds a run, its priority, targets that end together without being written out, and fires of schedules.

A run's state needs no rewriting: what older releases have written is read under its new name (`store/runs.py`), since
one of them may still be at work on the store.
"""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None
compatible_from = "0010"


def upgrade() -> None:
    op.add_column("runs", sa.Column("held", sa.JSON, nullable=True))
    op.add_column("runs", sa.Column("priority", sa.Integer, nullable=True))
    op.create_table(
        "remainders",
        sa.Column("run", sa.Text, primary_key=True),
        sa.Column("cursor", sa.Text, primary_key=True),
        sa.Column("first", sa.BigInteger, nullable=False),
        sa.Column("behind", sa.BigInteger, nullable=False),
        sa.Column("technology", sa.Text, nullable=False),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("finished_at", sa.Double, nullable=False),
        sa.Column("evidence", sa.Text, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "schedules",
        sa.Column("campaign", sa.Text, primary_key=True),
        sa.Column("fired_at", sa.Double, nullable=False),
        sqlite_with_rowid=False,
    )
