"""The names of the metrics of each run, so that their number is bounded. Filled from the points that are stored."""

import sqlalchemy as sa
from alembic import op

revision = "2026_11_28_1400"
down_revision = "2026_11_28_1200"

POINTS = sa.table("metric_points", sa.column("run_id"), sa.column("key"))


def upgrade() -> None:
    columns = [sa.Column(column, sa.String(), nullable=False) for column in ("run_id", "name")]
    names = op.create_table("metric_names", *columns, sa.PrimaryKeyConstraint("run_id", "name"))
    stored = sa.select(POINTS.c.run_id, POINTS.c.key).distinct()
    op.get_bind().execute(sa.insert(names).from_select(["run_id", "name"], stored))
