"""Appliances that have enrolled, the invitations by which they do, and the vault logins that they are sent."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "invitations",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("zone", sa.Text, nullable=False),
        sa.Column("enrolments", sa.Integer, nullable=False),
        sa.Column("used", sa.Integer, nullable=False),
        sa.Column("expires_at", sa.Double, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "appliances",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("public", sa.Text, primary_key=True),
        sa.Column("sealing", sa.Text, nullable=False),
        sa.Column("zone", sa.Text, nullable=False),
        sa.Column("release", sa.Text, nullable=False),
        sa.Column("invitation", sa.Text, nullable=False),
        sa.Column("enrolled_at", sa.Double, nullable=False),
        sa.Column("revoked_at", sa.Double, nullable=True),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "vault_logins",
        sa.Column("title", sa.Text, primary_key=True),
        sa.Column("encrypted", sa.Text, nullable=False),
        sa.Column("changed_at", sa.Double, nullable=False),
        sqlite_with_rowid=False,
    )
