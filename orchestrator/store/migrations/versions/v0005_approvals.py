"""Access to secrets that runs have asked for, and which request of the vault's it is."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "approvals",
        sa.Column("url", sa.Text, primary_key=True),
        sa.Column("user", sa.Text, primary_key=True),
        sa.Column("secret_id", sa.BigInteger, primary_key=True),
        sa.Column("run", sa.Text, primary_key=True),
        sa.Column("vault", sa.Text, nullable=False),
        sa.Column("secret", sa.Text, nullable=False),
        sa.Column("at", sa.Double, nullable=False),
        sa.Column("after", sa.BigInteger, nullable=False),
        sa.Column("request", sa.BigInteger, nullable=False),
        sa.Column("ours", sa.Boolean, nullable=False),
        sqlite_with_rowid=False,
    )
