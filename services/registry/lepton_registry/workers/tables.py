"""SQL tables of workers and what they announce."""

from typing import ClassVar

import sqlalchemy as sa
from sqlmodel import Field, SQLModel


class WorkerRow(SQLModel, table=True):
    """A worker's folder has the id; each start of its process is an incarnation, greater than the ones before."""

    __tablename__: ClassVar[str] = "workers"

    id: str = Field(primary_key=True)
    hostname: str
    incarnation: int = Field(sa_type=sa.BigInteger)
    accepts_scripts: bool
    max_ranks: int
    gpus: int
    registered_at_us: int = Field(sa_type=sa.BigInteger)
    seen_at_us: int = Field(sa_type=sa.BigInteger)
    draining: bool
    isolates_scripts: bool = Field(sa_column_kwargs={"server_default": sa.false()})


class WorkerRecipeRow(SQLModel, table=True):
    """Which versions of which recipes the worker's present incarnation can run."""

    __tablename__: ClassVar[str] = "worker_recipes"

    worker_id: str = Field(primary_key=True)
    recipe: str = Field(primary_key=True)
    version: str = Field(primary_key=True)
