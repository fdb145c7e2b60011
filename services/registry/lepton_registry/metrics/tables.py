"""SQL tables of metric series."""

from typing import ClassVar

import sqlalchemy as sa
from sqlmodel import Field, SQLModel


class MetricPointRow(SQLModel, table=True):
    """One value. `position` counts within the run, in commit order. `file_offset` is the end of the point's record in
    the journal of its rank; it is compared with the offsets of checkpoints."""

    __tablename__: ClassVar[str] = "metric_points"

    run_id: str = Field(primary_key=True)
    position: int = Field(primary_key=True, sa_type=sa.BigInteger)
    attempt_number: int
    rank: int
    file_offset: int = Field(sa_type=sa.BigInteger)
    key: str
    step: int = Field(sa_type=sa.BigInteger)
    value: float
    at_us: int = Field(sa_type=sa.BigInteger)


class MetricHeadRow(SQLModel, table=True):
    """The last position of a run. Appends lock this row, so positions are in commit order."""

    __tablename__: ClassVar[str] = "metric_heads"

    run_id: str = Field(primary_key=True)
    position: int = Field(sa_type=sa.BigInteger)


class MetricNameRow(SQLModel, table=True):
    """The metrics of a run. A run has at most MAX_METRIC_NAMES of them."""

    __tablename__: ClassVar[str] = "metric_names"

    run_id: str = Field(primary_key=True)
    name: str = Field(primary_key=True)
