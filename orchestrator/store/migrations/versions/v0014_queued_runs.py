"""That a schedule's run is due outlives the process that found it so.

An older release writes nothing there, and begins none of another's; beside a newer one it may begin a run that this one
has queued too.
"""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None
compatible_from = "0010"


def upgrade() -> None:
    op.add_column("schedules", sa.Column("queued", sa.Boolean, nullable=True))
