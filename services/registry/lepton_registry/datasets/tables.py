"""SQL tables of datasets."""

from typing import ClassVar

import sqlalchemy as sa
from sqlmodel import Field, SQLModel


class DatasetRow(SQLModel, table=True):
    """The parent of versions; `latest_version` is their counter."""

    __tablename__: ClassVar[str] = "datasets"
    __table_args__ = (sa.UniqueConstraint("project", "name"),)

    id: str = Field(primary_key=True)
    project: str
    name: str
    description: str
    latest_version: int = Field(sa_type=sa.BigInteger)
    created_at_us: int = Field(sa_type=sa.BigInteger)


class DatasetVersionRow(SQLModel, table=True):
    """Never changed after its insert."""

    __tablename__: ClassVar[str] = "dataset_versions"
    __table_args__ = (
        sa.UniqueConstraint("dataset_id", "version"),
        sa.Index("ix_dataset_versions_digest", "project", "digest"),
    )

    id: str = Field(primary_key=True)
    project: str
    dataset_id: str
    dataset: str
    version: int = Field(sa_type=sa.BigInteger)
    digest: str
    files: int = Field(sa_type=sa.BigInteger)
    bytes: int = Field(sa_type=sa.BigInteger)
    message: str
    created_by: str
    created_at_us: int = Field(sa_type=sa.BigInteger)
