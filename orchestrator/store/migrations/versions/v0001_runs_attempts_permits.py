"""The first schema: runs and their cursors, jobs, attempts, outcomes, permits, host keys."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "runs",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("campaign", sa.Text, nullable=False),
        sa.Column("created_at", sa.Double, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("seed", sa.BigInteger, nullable=False),
        sa.Column("snapshot", sa.JSON, nullable=False),
        sa.Column("planned", sa.BigInteger, nullable=False),
        sa.Column("parent", sa.Text),
        sa.Column("finished_at", sa.Double),
    )
    op.create_table(
        "cursors",
        sa.Column("run", sa.Text, primary_key=True),
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("position", sa.BigInteger, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "jobs",
        sa.Column("run", sa.Text, primary_key=True),
        sa.Column("job", sa.Text, primary_key=True),
        sa.Column("technology", sa.Text, nullable=False),
        sa.Column("address", sa.Text, nullable=False),
        sa.Column("host", sa.Text, nullable=False),
        sa.Column("fqdn", sa.Text, nullable=False),
        sa.Column("domain", sa.Text, nullable=False),
        sa.Column("sort_key", sa.Text, nullable=False),
        sa.Column("records", sa.JSON, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_index("jobs_in_order", "jobs", ["run", "sort_key", "job"])
    op.create_table(
        "attempts",
        sa.Column("run", sa.Text, primary_key=True),
        sa.Column("job", sa.Text, primary_key=True),
        sa.Column("attempt", sa.Integer, primary_key=True),
        sa.Column("lease", sa.Text, nullable=False),
        sa.Column("dispatched_at", sa.Double, nullable=False),
        sa.Column("tried", sa.JSON, nullable=False),
        sa.Column("epoch", sa.Text),
        sa.Column("seq", sa.BigInteger),
        sa.Column("ended_at", sa.Double),
        sa.Column("appliance", sa.Text),
        sa.Column("reason", sa.Text),
        sa.Column("status", sa.Text),
        sa.Column("evidence", sa.Text),
    )
    still_open = sa.text("ended_at IS NULL")
    op.create_index("attempts_open", "attempts", ["run"], sqlite_where=still_open, postgresql_where=still_open)
    op.create_table(
        "outcomes",
        sa.Column("run", sa.Text, primary_key=True),
        sa.Column("job", sa.Text, primary_key=True),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("technology", sa.Text, nullable=False),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("finished_at", sa.Double, nullable=False),
        sa.Column("evidence", sa.Text),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "permits",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=True),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("authority", sa.Text, nullable=False),
        sa.Column("user", sa.Text, nullable=False),
        sa.Column("run", sa.Text, nullable=False),
        sa.Column("job", sa.Text, nullable=False),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("at", sa.Double, nullable=False),
        sa.Column("expires_at", sa.Double, nullable=False),
        sa.Column("cause", sa.Text, nullable=False),
    )
    op.create_index("ix_permits_at", "permits", ["at"])
    op.create_table(
        "host_keys",
        sa.Column("address", sa.Text, primary_key=True),
        sa.Column("port", sa.Integer, primary_key=True),
        sa.Column("algorithm", sa.Text, primary_key=True),
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("run", sa.Text, nullable=False),
        sqlite_with_rowid=False,
    )
