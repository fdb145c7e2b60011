"""The files that the programs of an attempt left. Those of attempts that ended before this are gone."""

import sqlalchemy as sa
from alembic import op

revision = "2026_11_28_1500"
down_revision = "2026_11_28_1400"


def upgrade() -> None:
    op.add_column("attempts", sa.Column("files_digest", sa.String(), server_default="", nullable=False))
