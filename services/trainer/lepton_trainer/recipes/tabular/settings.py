"""What a job may set for `tabular`. Imported by workers that announce it: no torch, nothing heavy."""

from typing import Annotated, Literal

from pydantic import Field

from lepton_trainer.recipes.settings import TrainSettings

NAME = "tabular"
VERSION = "2"
TITLE = "Tables: classification or regression from the rows of CSV or Parquet files"
RECIPE = "lepton_trainer.recipes.tabular.recipe:Tabular"

ColumnName = Annotated[str, Field(min_length=1, max_length=256)]


class Settings(TrainSettings):
    target: Annotated[ColumnName, Field(description="The column to predict from the others.")]
    task: Annotated[
        Literal["auto", "classification", "regression"],
        Field(description="auto: regression for a target of numbers with decimals or more than 20 different values."),
    ] = "auto"
    numeric: Annotated[
        tuple[ColumnName, ...],
        Field(max_length=10_000, description="Columns to read as numbers, where guessing goes wrong."),
    ] = ()
    categorical: Annotated[
        tuple[ColumnName, ...],
        Field(max_length=10_000, description="Columns to read as categories, where guessing goes wrong."),
    ] = ()
    ignore: Annotated[
        tuple[ColumnName, ...],
        Field(max_length=10_000, description="Columns to leave out: ids, or what is known only after the target."),
    ] = ()
    max_categories: Annotated[
        int, Field(ge=1, le=100_000, description="Most frequent values kept of a column; the others count as unknown.")
    ] = 1_000
    hidden: Annotated[
        tuple[Annotated[int, Field(ge=1, le=8_192)], ...],
        Field(min_length=1, max_length=16, description="Sizes of the hidden layers."),
    ] = (64,)
    embedding: Annotated[int, Field(ge=1, le=512, description="Numbers that stand for one category.")] = 8
    dropout: Annotated[float, Field(ge=0, lt=1, description="Share of features left out in each training step.")] = 0.2
