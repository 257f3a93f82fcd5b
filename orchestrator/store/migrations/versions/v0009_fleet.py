"""Appliances that have enrolled, the invitations by which they do, and the vault logins that they are sent."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None
compatible_from = "0008"

_KEY = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    op.create_table(
        "invitations",
        sa.Column("id", _KEY, primary_key=True),
        sa.Column("zone", sa.Text, nullable=False),
        sa.Column("enrolments", sa.Integer, nullable=False),
        sa.Column("used", sa.Integer, nullable=False),
        sa.Column("expires_at", sa.Double, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "appliances",
        sa.Column("name", _KEY, primary_key=True),
        sa.Column("public", _KEY, primary_key=True),
        sa.Column("sealing", sa.Text, nullable=False),
        sa.Column("zone", sa.Text, nullable=False),
        sa.Column("release", sa.Text, nullable=False),
        sa.Column("invitation", sa.Text, nullable=False),
        sa.Column("enrolled_at", sa.Double, nullable=False),
        sa.Column("revoked_at", sa.Double, nullable=True),
        sqlite_with_rowid=False,
    )
    alive = sa.text("revoked_at IS NULL")
    op.create_index(
        "appliances_by_name", "appliances", ["name"], unique=True, sqlite_where=alive, postgresql_where=alive
    )
    op.create_table(
        "vault_logins",
        sa.Column("title", _KEY, primary_key=True),
        sa.Column("encrypted", sa.Text, nullable=False),
        sa.Column("changed_at", sa.Double, nullable=False),
        sqlite_with_rowid=False,
    )
