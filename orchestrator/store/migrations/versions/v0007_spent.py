"""What a run has cost, where it went from its beginning to its end in one piece."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("runs", sa.Column("spent", sa.JSON, nullable=True))
