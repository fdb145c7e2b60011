"""SQL tables of logs: the index of the chunks in the object store."""

from typing import ClassVar

import sqlalchemy as sa
from sqlmodel import Field, SQLModel


class LogChunkRow(SQLModel, table=True):
    """`offset` and `bytes` give the chunk's place in its attempt's stream; `position` counts within the run."""

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
    """The last position of a run's chunks, and their total size, for the limit. Appends lock this row."""

    __tablename__: ClassVar[str] = "log_heads"

    run_id: str = Field(primary_key=True)
    position: int = Field(sa_type=sa.BigInteger)
    bytes: int = Field(sa_type=sa.BigInteger)
    full: bool


class LogOffsetRow(SQLModel, table=True):
    """The number of committed bytes of a stream of an attempt."""

    __tablename__: ClassVar[str] = "log_offsets"

    attempt_id: str = Field(primary_key=True)
    stream: str = Field(primary_key=True)
    offset: int = Field(sa_type=sa.BigInteger)
