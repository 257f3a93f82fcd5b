"""A run's permits are kept with it, and found by it.

An older release forgets those of the days before when it begins.
"""

from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None
compatible_from = "0010"


def upgrade() -> None:
    op.create_index("permits_of_run", "permits", ["run"])
