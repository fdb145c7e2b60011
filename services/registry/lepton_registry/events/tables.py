"""SQL tables of events and of the cursors of their readers."""

from typing import ClassVar

import sqlalchemy as sa
from sqlmodel import Field, SQLModel

_NUMBERED = sa.text("position IS NOT NULL")
_UNNUMBERED = sa.text("position IS NULL")


class EventRow(SQLModel, table=True):
    """Written without a position, in the transaction of the change; the leader numbers it after the commit.

    `sequence` cannot be a cursor: a transaction with a higher one may commit first. It only keeps the events of one
    entity in order when they are numbered together; transactions of one entity wait for each other.
    """

    __tablename__: ClassVar[str] = "events"
    __table_args__ = (
        # Partial indexes: an event is added when it is numbered.
        sa.Index("uq_events_position", "position", unique=True, sqlite_where=_NUMBERED, postgresql_where=_NUMBERED),
        sa.Index("ix_events_project", "project", "position", sqlite_where=_NUMBERED, postgresql_where=_NUMBERED),
        sa.Index("ix_events_subject", "subject", "position", sqlite_where=_NUMBERED, postgresql_where=_NUMBERED),
        sa.Index("ix_events_unnumbered", "sequence", sqlite_where=_UNNUMBERED, postgresql_where=_UNNUMBERED),
    )

    sequence: int = Field(primary_key=True, sa_type=sa.BigInteger().with_variant(sa.Integer, "sqlite"))
    id: str
    position: int | None = Field(default=None, sa_type=sa.BigInteger)
    project: str
    type: str
    subject: str
    at_us: int = Field(sa_type=sa.BigInteger)
    data_json: str = Field(sa_type=sa.Text)


class CursorRow(SQLModel, table=True):
    """The position up to which a sink has delivered. The row "numbered" holds the last position that was given."""

    __tablename__: ClassVar[str] = "event_cursors"

    name: str = Field(primary_key=True)
    position: int = Field(sa_type=sa.BigInteger)
