"""SQL tables of lineage."""

from typing import ClassVar

import sqlalchemy as sa
from sqlmodel import Field, SQLModel


class LineageEdgeRow(SQLModel, table=True):
    """`from_id` depends on `to_id`, which is older."""

    __tablename__: ClassVar[str] = "lineage_edges"
    __table_args__ = (sa.Index("ix_lineage_edges_to", "project", "to_id", "from_id"),)

    project: str = Field(primary_key=True)
    from_id: str = Field(primary_key=True)
    to_id: str = Field(primary_key=True)
    relation: str = Field(primary_key=True)
    created_at_us: int = Field(sa_type=sa.BigInteger)


class LineageNodeRow(SQLModel, table=True):
    """The shown fields of a node, written together with its edges, so that queries need no other resource's tables."""

    __tablename__: ClassVar[str] = "lineage_nodes"

    project: str = Field(primary_key=True)
    id: str = Field(primary_key=True)
    kind: str
    name: str
    facts_json: str = Field(sa_type=sa.Text)
