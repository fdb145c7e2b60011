"""SQL tables of logs: the index of chunks that lie in the object store."""

from typing import ClassVar

import sqlalchemy as sa
from sqlmodel import Field, SQLModel


class LogChunkRow(SQLModel, table=True):
    """`offset` and `bytes` place the chunk in its attempt's stream; `position` counts within the run."""

    __tablename__: ClassVar[str] = "log_chunks"

    run_id: str = Field(primary_key=True)
    position: int = Field(primary_key=True, sa_type=sa.BigInteger)
    attempt_id: str
    stream: str
    offset: int = Field(sa_type=sa.BigInteger)
    bytes: int = Field(sa_type=sa.BigInteger)
    object_key: str
    at_us: int = Field(sa_type=sa.BigInteger)


class LogHeadRow(SQLModel, table=True):
    """The last position of a run's chunks and all their bytes, for the cap. Appends lock this row."""

    __tablename__: ClassVar[str] = "log_heads"

    run_id: str = Field(primary_key=True)
    position: int = Field(sa_type=sa.BigInteger)
    bytes: int = Field(sa_type=sa.BigInteger)
    full: bool


class LogOffsetRow(SQLModel, table=True):
    """How much of one stream of an attempt is committed."""

    __tablename__: ClassVar[str] = "log_offsets"

    attempt_id: str = Field(primary_key=True)
    stream: str = Field(primary_key=True)
    offset: int = Field(sa_type=sa.BigInteger)
