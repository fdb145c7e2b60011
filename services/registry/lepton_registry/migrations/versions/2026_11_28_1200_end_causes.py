"""How attempts ended, for programs. Those that ended before this have only words."""

import sqlalchemy as sa
from alembic import op

revision = "2026_11_28_1200"
down_revision = "2026_11_28_1150"


def upgrade() -> None:
    for table in ("attempts", "runs"):
        op.add_column(table, sa.Column("cause_json", sa.Text(), server_default="", nullable=False))
