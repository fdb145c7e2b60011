"""Checkpoints have a score, and runs that no worker has begun have their lineage."""

import sqlalchemy as sa
from alembic import op

revision = "2026_11_21_1125"
down_revision = "2026_11_21_0900"

# What a run uses was once recorded with its first attempt: those that wait, or ended before it, have nothing yet.
_NODES = """
INSERT INTO lineage_nodes (project, id, kind, name, facts_json)
SELECT project, id, 'run', name, '{}' FROM runs WHERE attempts = 0
ON CONFLICT DO NOTHING
"""
_DATA = """
INSERT INTO lineage_edges (project, from_id, to_id, relation, created_at_us)
SELECT project, id, dataset_version_id, 'used', created_at_us FROM runs WHERE attempts = 0 AND dataset_version_id <> ''
ON CONFLICT DO NOTHING
"""
_CODE = """
INSERT INTO lineage_edges (project, from_id, to_id, relation, created_at_us)
SELECT project, id, 'code:' || code_digest, 'executed', created_at_us FROM runs WHERE attempts = 0 AND code_digest <> ''
ON CONFLICT DO NOTHING
"""


def upgrade() -> None:
    op.add_column("checkpoints", sa.Column("score", sa.Float(), nullable=True))
    for statement in (_NODES, _DATA, _CODE):
        op.execute(sa.text(statement))
