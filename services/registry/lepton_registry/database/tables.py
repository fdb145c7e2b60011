"""SQL tables of the ground floor: locks, and the leader."""

from typing import ClassVar

import sqlalchemy as sa
from sqlmodel import Field, SQLModel


class LockRow(SQLModel, table=True):
    """A row to hold while deciding something that two transactions must not decide at once."""

    __tablename__: ClassVar[str] = "locks"

    name: str = Field(primary_key=True)


class LeaderRow(SQLModel, table=True):
    """One row for each lock. The term grows with each holder and is checked in every transaction of the leader."""

    __tablename__: ClassVar[str] = "leaders"

    name: str = Field(primary_key=True)
    holder: str
    term: int = Field(sa_type=sa.BigInteger)
    # Counted up by the holder; a rival takes over when it has stood still for long enough on the rival's own clock.
    beat: int = Field(sa_type=sa.BigInteger)
