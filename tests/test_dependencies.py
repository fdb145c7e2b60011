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


def _pins(file: str) -> dict[str, str]:
    text = (ROOT / file).read_text(encoding="utf-8")
    return {_normalised(name): version for name, version in re.findall(r"^([\w.-]+)==(\S+)", text, re.MULTILINE)}


@pytest.mark.parametrize(
    ("pins", "hashes"),
    [
        ("constraints.txt", "environment.txt"),
        ("proto/generator.txt", "generator.txt"),
        ("supply/tools.txt", "tools.txt"),
    ],
)
def test_each_pin_has_its_hashes(pins: str, hashes: str) -> None:
    """The Makefile installs from the lists with hashes; a pin that changed alone would never be installed."""
    expected = _pins(pins)
    expected.pop("torch", None)  # each machine chooses its build: docs/decisions/0019-what-setup-installs-is-checked.md
    assert _pins(f"supply/hashes/{hashes}") == expected, "run make hashes"
    blocks = re.split(r"^(?=\S)", (ROOT / "supply" / "hashes" / hashes).read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert [block for block in blocks if block and not re.search(r"--hash=sha256:[0-9a-f]{64}\b", block)] == []
