"""Which files a running attempt has sent. Attempts that run now send again what they name."""

import sqlalchemy as sa
from alembic import op

revision = "2026_11_28_1150"
down_revision = "2026_11_28_1140"


def upgrade() -> None:
    names = [sa.Column(name, sa.String(), nullable=False) for name in ("attempt_id", "digest")]
    op.create_table("attempt_files", *names, sa.PrimaryKeyConstraint("attempt_id", "digest"))
    op.add_column("uploads", sa.Column("attempt_id", sa.String(), server_default="", nullable=False))
