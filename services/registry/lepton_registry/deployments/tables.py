"""SQL tables of deployments."""

from typing import ClassVar

import sqlalchemy as sa
from sqlmodel import Field, SQLModel


class DeploymentRow(SQLModel, table=True):
    """A name under which a model is served. Rows of deleted ones are kept: old predictions refer to their revisions."""

    __tablename__: ClassVar[str] = "deployments"
    __table_args__ = (
        sa.Index(
            "uq_deployments_live_name",
            "project",
            "name",
            unique=True,
            sqlite_where=sa.text("deleted_at_us = 0"),
            postgresql_where=sa.text("deleted_at_us = 0"),
        ),
        sa.Index("ix_deployments_following", "model_id", "alias"),
    )

    id: str = Field(primary_key=True)
    project: str
    name: str
    model_id: str
    model: str
    # The alias that it follows; empty if it is pinned.
    alias: str
    # Number of revisions made so far.
    revisions: int = Field(sa_type=sa.BigInteger)
    desired_id: str
    # Empty until a revision was ready.
    last_good_id: str
    created_at_us: int = Field(sa_type=sa.BigInteger)
    updated_at_us: int = Field(sa_type=sa.BigInteger)
    deleted_at_us: int = Field(sa_type=sa.BigInteger)


class RevisionRow(SQLModel, table=True):
    """A deployment pinned to one model version. `state`: pending, ready, failed, retired."""

    __tablename__: ClassVar[str] = "revisions"
    __table_args__ = (sa.UniqueConstraint("deployment_id", "number"),)

    id: str = Field(primary_key=True)
    project: str
    deployment_id: str
    number: int = Field(sa_type=sa.BigInteger)
    model_version_id: str
    model: str
    model_version: int = Field(sa_type=sa.BigInteger)
    model_digest: str
    state: str
    reason: str
    created_by: str
    created_at_us: int = Field(sa_type=sa.BigInteger)


class ServingStateRow(SQLModel, table=True):
    """One row: a counter of all changes that concern inference, so that watchers can check for changes cheaply."""

    __tablename__: ClassVar[str] = "serving_state"

    name: str = Field(primary_key=True)
    generation: int = Field(sa_type=sa.BigInteger)
