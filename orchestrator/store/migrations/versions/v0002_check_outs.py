"""Secrets that runs have checked out of a vault, and have not given back yet."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "check_outs",
        sa.Column("url", sa.Text, primary_key=True),
        sa.Column("user", sa.Text, primary_key=True),
        sa.Column("secret_id", sa.BigInteger, primary_key=True),
        sa.Column("run", sa.Text, primary_key=True),
        sa.Column("vault", sa.Text, nullable=False),
        sa.Column("zone", sa.Text, nullable=False),
        sa.Column("secret", sa.Text, nullable=False),
        sa.Column("ours", sa.Boolean, nullable=False),
        sqlite_with_rowid=False,
    )
