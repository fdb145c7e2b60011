"""What a dist declares is pinned, and its reason is written down."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PROJECTS = sorted(ROOT.glob("*/pyproject.toml")) + sorted(ROOT.glob("*/*/pyproject.toml"))


def _normalised(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _name(requirement: str) -> str:
    found = re.match(r"[A-Za-z0-9._-]+", requirement)
    assert found, requirement
    return _normalised(found.group())


def _declared(project: Path) -> set[str]:
    table = tomllib.loads(project.read_text(encoding="utf-8"))["project"]
    groups = [table["dependencies"], *table.get("optional-dependencies", {}).values()]
    return {name for group in groups for line in group if not (name := _name(line)).startswith("lepton-")}


@pytest.mark.parametrize("project", PROJECTS, ids=lambda path: str(path.parent.relative_to(ROOT)))
def test_each_is_pinned_and_has_a_reason(project: Path) -> None:
    pins = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pinned = {_normalised(line.split("==")[0]) for line in pins if "==" in line}
    reasons = _normalised((ROOT / "docs" / "dependencies.md").read_text(encoding="utf-8"))
    assert _declared(project) <= pinned
    assert not [name for name in _declared(project) if name not in reasons]
