"""SQL table of the recipe catalogue."""

from typing import ClassVar

import sqlalchemy as sa
from sqlmodel import Field, SQLModel


class RecipeRow(SQLModel, table=True):
    """A recipe that a worker announced. Never changed, and kept when no worker is up."""

    __tablename__: ClassVar[str] = "recipes"

    name: str = Field(primary_key=True)
    version: str = Field(primary_key=True)
    title: str
    # The attribute cannot have the column's name: SQLModel has a method of that name.
    schema_text: str = Field(sa_column=sa.Column("schema_json", sa.Text, nullable=False))
    schema_digest: str
    created_at_us: int = Field(sa_type=sa.BigInteger)
