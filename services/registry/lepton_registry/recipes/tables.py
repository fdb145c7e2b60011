"""SQL table of the recipe catalogue."""

from typing import ClassVar

import sqlalchemy as sa
from sqlmodel import Field, SQLModel


class RecipeRow(SQLModel, table=True):
    """What some worker announced. Never changed, and kept when no worker is up."""

    __tablename__: ClassVar[str] = "recipes"

    name: str = Field(primary_key=True)
    version: str = Field(primary_key=True)
    title: str
    schema_json: str = Field(sa_type=sa.Text)
    schema_digest: str
    created_at_us: int = Field(sa_type=sa.BigInteger)
