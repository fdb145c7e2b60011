"""SQL tables of locks and of the leader."""

from typing import ClassVar

import sqlalchemy as sa
from sqlmodel import Field, SQLModel


class LockRow(SQLModel, table=True):
    """A row that a transaction locks for a decision that two transactions must not make at the same time."""

    __tablename__: ClassVar[str] = "locks"

    name: str = Field(primary_key=True)


class LeaderRow(SQLModel, table=True):
    """One row for each lock. The term grows with each holder and is checked in every transaction of the leader."""

    __tablename__: ClassVar[str] = "leaders"

    name: str = Field(primary_key=True)
    holder: str
    term: int = Field(sa_type=sa.BigInteger)
    # Counted up by the holder. Another process takes over when it has not changed for long enough on its own clock.
    beat: int = Field(sa_type=sa.BigInteger)
