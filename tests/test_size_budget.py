"""Files and functions stay small, names say a role, exceptions of checkers have reasons. Not for generated code."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from statistics import median

import pytest

ROOT = Path(__file__).resolve().parent.parent
PARTS = ("proto", "core", "sdk", "services", "deploy", "benchmarks", "tests")

MEDIAN_FILE_LINES = 150
LONGEST_FILE_LINES = 600
FUNCTION_LINES = 50
SHARE_OF_SHORT_FUNCTIONS = 0.95
# An exception for ruff or mypy with nothing but other exceptions behind it.
WITHOUT_REASON = re.compile(r"# (?:noqa: [A-Z0-9, ]+|noqa|type: ignore(?:\[[a-z, -]+\])?)\s*$", re.MULTILINE)


def _sources() -> dict[Path, str]:
    files = (path for part in PARTS for path in (ROOT / part).rglob("*.py"))
    return {path.relative_to(ROOT): path.read_text(encoding="utf-8") for path in files if "_pb2" not in path.name}


@pytest.fixture(scope="module")
def sources() -> dict[Path, str]:
    return _sources()


def _functions(path: Path, text: str) -> list[tuple[int, str]]:
    """(lines, where) of every function, methods and nested ones included."""
    found = (node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))
    return [((node.end_lineno or node.lineno) - node.lineno + 1, f"{path}:{node.lineno} {node.name}") for node in found]


def test_the_median_file_is_short(sources: dict[Path, str]) -> None:
    # Empty `__init__.py` files would make any median look good.
    lengths = [len(text.splitlines()) for path, text in sources.items() if path.name != "__init__.py"]
    assert median(lengths) <= MEDIAN_FILE_LINES


def test_no_file_is_long(sources: dict[Path, str]) -> None:
    long = {str(path): n for path, text in sources.items() if (n := len(text.splitlines())) > LONGEST_FILE_LINES}
    assert not long


def test_functions_are_short(sources: dict[Path, str]) -> None:
    functions = [row for path, text in sources.items() for row in _functions(path, text)]
    long = sorted((row for row in functions if row[0] > FUNCTION_LINES), reverse=True)
    assert len(long) <= (1 - SHARE_OF_SHORT_FUNCTIONS) * len(functions), long


def test_no_name_hides_a_role(sources: dict[Path, str]) -> None:
    vague = {"util.py", "utils.py", "helper.py", "helpers.py", "common.py", "misc.py", "manager.py"}
    assert not [str(path) for path in sources if path.name in vague or path.parent.name == "common"]


def test_each_exception_of_a_checker_has_its_reason(sources: dict[Path, str]) -> None:
    """In what users run; of tests and benchmarks, the settings of the checkers have most."""
    shipped = {path: text for path, text in sources.items() if not {"tests", "benchmarks"} & set(path.parts)}
    assert not [f"{path}: {found}" for path, text in shipped.items() for found in WITHOUT_REASON.findall(text)]
