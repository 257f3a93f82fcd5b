"""A store may be a PostgreSQL server's; which releases may use it, it says itself; what nobody reads is taken away.

On a server, texts compare byte by byte, as SQLite has it: pages are read in the order of keys, and addresses sort as
numbers do only that way.
"""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None
compatible_from = "0008"

_COMPARED = {
    "runs": ("id",),
    "cursors": ("run", "name"),
    "jobs": ("run", "job", "sort_key"),
    "attempts": ("run", "job"),
    "outcomes": ("run", "job", "technology", "status", "reason"),
    "permits": ("authority", "run", "job"),
    "host_keys": ("address", "algorithm"),
    "check_outs": ("url", "user", "run"),
    "approvals": ("url", "user", "run"),
    "stops": ("kind", "name", "vault"),
    "unlisted": ("run",),
}


def upgrade() -> None:
    op.create_table("compatibility", sa.Column("compatible_from", sa.Text, primary_key=True))
    op.create_table(
        "unlisted",
        sa.Column("run", sa.Text, primary_key=True),
        sa.Column("token", sa.Text, nullable=False),
        sa.Column("at", sa.Double, nullable=False),
        sqlite_with_rowid=False,
    )
    op.drop_index("attempts_open", "attempts")
    op.drop_column("attempts", "epoch")
    op.drop_column("attempts", "seq")
    if op.get_bind().dialect.name == "postgresql":
        for table, names in _COMPARED.items():
            for name in names:
                op.alter_column(table, name, type_=sa.Text(collation="C"), existing_type=sa.Text())
