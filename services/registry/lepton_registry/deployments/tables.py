"""SQL tables of deployments."""

from typing import ClassVar

import sqlalchemy as sa
from sqlmodel import Field, SQLModel


class DeploymentRow(SQLModel, table=True):
    """A name under which a model is served. A deleted one stays, since old predictions point to its revisions."""

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
    # The alias it follows; empty when pinned.
    alias: str
    # Counter of revisions.
    revisions: int = Field(sa_type=sa.BigInteger)
    desired_id: str
    # Empty before the first revision was warm anywhere.
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
    """One row: counted up by every change that inference must hear of, so that watchers can ask cheaply."""

    __tablename__: ClassVar[str] = "serving_state"

    name: str = Field(primary_key=True)
    generation: int = Field(sa_type=sa.BigInteger)
