"""SQL tables of models."""

from typing import ClassVar

import sqlalchemy as sa
from sqlmodel import Field, SQLModel


class ModelRow(SQLModel, table=True):
    """The parent of versions; `latest_version` is their counter."""

    __tablename__: ClassVar[str] = "models"
    __table_args__ = (sa.UniqueConstraint("project", "name"),)

    id: str = Field(primary_key=True)
    project: str
    name: str
    description: str
    latest_version: int = Field(sa_type=sa.BigInteger)
    created_at_us: int = Field(sa_type=sa.BigInteger)


class ModelVersionRow(SQLModel, table=True):
    """Never changed after its insert. A run makes at most one version of a model; imports have no run."""

    __tablename__: ClassVar[str] = "model_versions"
    __table_args__ = (
        sa.UniqueConstraint("model_id", "version"),
        sa.UniqueConstraint("run_id", "model_id"),
        sa.Index("ix_model_versions_digest", "project", "digest"),
    )

    id: str = Field(primary_key=True)
    project: str
    model_id: str
    model: str
    version: int = Field(sa_type=sa.BigInteger)
    digest: str
    bytes: int = Field(sa_type=sa.BigInteger)
    signature_json: str = Field(sa_type=sa.Text)
    card_json: str = Field(sa_type=sa.Text)
    metrics_json: str = Field(sa_type=sa.Text)
    evaluation_json: str = Field(sa_type=sa.Text)
    run_id: str | None
    created_by: str
    created_at_us: int = Field(sa_type=sa.BigInteger)


class AliasRow(SQLModel, table=True):
    """A name for a version, which can be moved to another version."""

    __tablename__: ClassVar[str] = "model_aliases"

    model_id: str = Field(primary_key=True)
    name: str = Field(primary_key=True)
    project: str
    version: int = Field(sa_type=sa.BigInteger)
    updated_at_us: int = Field(sa_type=sa.BigInteger)
    updated_by: str
