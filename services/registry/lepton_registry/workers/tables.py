"""SQL tables of workers and their announcements."""

from typing import ClassVar

import sqlalchemy as sa
from sqlmodel import Field, SQLModel


class WorkerRow(SQLModel, table=True):
    """A worker. Its id is stored in its folder; each start of its process is a new, greater incarnation."""

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
    """A version of a recipe that the worker's current incarnation can run."""

    __tablename__: ClassVar[str] = "worker_recipes"

    worker_id: str = Field(primary_key=True)
    recipe: str = Field(primary_key=True)
    version: str = Field(primary_key=True)
