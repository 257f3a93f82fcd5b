"""The zone that an attempt was sent to, and what is drained.

An older release leaves the one empty and does not know of the other; nothing it reads is different.
"""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None
compatible_from = "0010"

_KEY = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    op.add_column("attempts", sa.Column("zone", sa.Text, nullable=True))
    op.create_table(
        "drains",
        sa.Column("zone", _KEY, primary_key=True),
        sa.Column("appliance", _KEY, primary_key=True),
        sa.Column("since", sa.Double, nullable=False),
        sa.Column("by", sa.Text, nullable=False),
        sa.Column("why", sa.Text, nullable=False),
        sqlite_with_rowid=False,
    )
