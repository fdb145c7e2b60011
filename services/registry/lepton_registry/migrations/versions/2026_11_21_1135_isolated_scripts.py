"""Scripts that must not run as the worker's own user, and the workers that can run them.

Runs from before may run as they could. The waiting lines get a new index, since each now is of one kind of script.
"""

import sqlalchemy as sa
from alembic import op

revision = "2026_11_21_1135"
down_revision = "2026_11_21_1125"

LINE = ["recipe", "recipe_version", "isolated", "ranks", "created_at_us", "id"]
QUEUED = sa.text("state = 'queued'")


def upgrade() -> None:
    for table, name in (("runs", "isolated"), ("workers", "isolates_scripts")):
        op.add_column(table, sa.Column(name, sa.Boolean(), server_default=sa.false(), nullable=False))
    op.drop_index("ix_runs_queued", "runs")
    op.create_index("ix_runs_queued", "runs", LINE, sqlite_where=QUEUED, postgresql_where=QUEUED)
