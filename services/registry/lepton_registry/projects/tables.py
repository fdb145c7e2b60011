"""SQL tables of projects and API keys."""

from typing import ClassVar

import sqlalchemy as sa
from sqlmodel import Field, SQLModel


class ProjectRow(SQLModel, table=True):
    __tablename__: ClassVar[str] = "projects"

    id: str = Field(primary_key=True)
    name: str = Field(unique=True)
    created_at_us: int = Field(sa_type=sa.BigInteger)


class ApiKeyRow(SQLModel, table=True):
    """Only the token's SHA-256 is stored. It needs no salt: the secret has 256 random bits, and cannot be guessed."""

    __tablename__: ClassVar[str] = "api_keys"
    __table_args__ = (sa.Index("ix_api_keys_project", "project"),)

    id: str = Field(primary_key=True)
    project: str
    name: str
    role: str
    token_sha256: str
    created_at_us: int = Field(sa_type=sa.BigInteger)
    revoked_at_us: int = Field(sa_type=sa.BigInteger)
    expires_at_us: int = Field(sa_type=sa.BigInteger)
