"""Events, the leader that numbers them, and how far each reader has come."""

import sqlalchemy as sa
from sqlmodel import Field, SQLModel


class EventRow(SQLModel, table=True):
    """Written without a position, in the transaction of what it tells; the leader numbers what is committed."""

    __tablename__ = "events"
    __table_args__ = (
        sa.Index("ix_events_project_position", "project", "position"),
        sa.Index("ix_events_subject", "subject", "position"),
        # Small: holds only what is not numbered yet.
        sa.Index(
            "ix_events_unnumbered",
            "id",
            sqlite_where=sa.text("position IS NULL"),
            postgresql_where=sa.text("position IS NULL"),
        ),
    )

    id: str = Field(primary_key=True)
    position: int | None = Field(default=None, sa_type=sa.BigInteger, unique=True)
    project: str
    type: str
    subject: str
    at_us: int = Field(sa_type=sa.BigInteger)
    data_json: str = Field(sa_type=sa.Text)


class LeaderRow(SQLModel, table=True):
    """One row per office. The term grows with each holder and is checked in every transaction of the leader."""

    __tablename__ = "leaders"

    name: str = Field(primary_key=True)
    holder: str
    term: int = Field(sa_type=sa.BigInteger)
    # Counted up by the holder at every beat; a rival takes over when it has stood still for long enough.
    beat: int = Field(sa_type=sa.BigInteger)


class CursorRow(SQLModel, table=True):
    """The position up to which one reader (hints, stream, …) has delivered. Row "numbered": the last one given out."""

    __tablename__ = "event_cursors"

    name: str = Field(primary_key=True)
    position: int = Field(sa_type=sa.BigInteger)
