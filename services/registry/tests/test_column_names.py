"""Columns in statements exist. mypy sees a table's columns as Any; so this looks them up, also in code no test runs."""

import ast
import importlib
import pkgutil
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
import sqlalchemy as sa

import lepton_registry
from lepton_registry.runs import store

MODULES = [
    name
    for _, name, _ in pkgutil.walk_packages(lepton_registry.__path__, "lepton_registry.")
    if not name.startswith(("lepton_registry.migrations.", "lepton_registry.__main__"))
]


def source_of(module: ModuleType) -> str:
    return Path(str(module.__file__)).read_text()


def columns_of_tables(source: str, module: ModuleType) -> Iterator[tuple[sa.Table, str]]:
    """`TABLE.c.name` and `TABLE.c["name"]` in `source`, for the tables among the module's names."""
    for node in ast.walk(ast.parse(source)):
        match node:
            case (
                ast.Attribute(value=ast.Attribute(value=ast.Name(id=name), attr="c"), attr=column)
                | ast.Subscript(
                    value=ast.Attribute(value=ast.Name(id=name), attr="c"), slice=ast.Constant(value=str(column))
                )
            ) if isinstance(table := getattr(module, name, None), sa.Table):
                yield table, column


def unknown_columns(source: str, module: ModuleType) -> list[str]:
    columns_methods = dir(sa.ColumnCollection)
    return [
        f"{table.name}.{column}"
        for table, column in columns_of_tables(source, module)
        if column not in table.c and column not in columns_methods
    ]


@pytest.mark.parametrize("name", MODULES)
def test_every_column_in_a_statement_exists(name: str) -> None:
    module = importlib.import_module(name)
    assert unknown_columns(source_of(module), module) == []


def test_a_mistyped_column_is_found() -> None:
    source = 'sa.select(RUNS.c.id).where(RUNS.c.stat == "queued", RUNS.c["projekt"] == "p")'
    assert sorted(unknown_columns(source, store)) == ["runs.projekt", "runs.stat"]
    assert len(list(columns_of_tables(source_of(store), store))) > 10
