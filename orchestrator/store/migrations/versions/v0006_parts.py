"""Of an attempt that logs in more than once, which of its logins a permit was for."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("permits", sa.Column("part", sa.Text, nullable=False, server_default=""))
