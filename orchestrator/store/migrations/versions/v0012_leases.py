"""Who has what in hand among several orchestrators; and, of a permit, in which share of the accounts it is and who has
asked for it.

An older release writes neither of a permit's two columns, and holds no lease.
"""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None
compatible_from = "0010"

_KEY = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    op.create_table(
        "leases",
        sa.Column("name", _KEY, primary_key=True),
        sa.Column("owner", sa.Text, nullable=False),
        sa.Column("token", sa.Text, nullable=False),
        sa.Column("beat", sa.BigInteger, nullable=False),
        sqlite_with_rowid=False,
    )
    op.add_column("permits", sa.Column("shard", sa.Integer, nullable=True))
    op.add_column("permits", sa.Column("holder", sa.Text, nullable=True))
