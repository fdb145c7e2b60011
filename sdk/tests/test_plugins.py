"""Commands of other packages, also of a broken one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    """Where an installed package offers a command that works and one whose module is not there."""
    info = tmp_path / "some_plugin-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: some-plugin\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[lepton.commands]\ngreet = some_plugin:greet\nbroken = not_there:command\n")
    (tmp_path / "some_plugin.py").write_text(
        'def greet(name: str) -> None:\n    """Say hello."""\n    print("hello", name)\n'
    )
    return {**os.environ, "PYTHONPATH": str(tmp_path), "LEPTON_HOME": str(tmp_path / "home")}


def lepton(environ: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "lepton.cli.app", *arguments]
    return subprocess.run(command, env=environ, capture_output=True, text=True, check=False)


def test_a_plugin_works_beside_a_broken_one(environ: dict[str, str]) -> None:
    done = lepton(environ, "greet", "you")
    assert (done.returncode, done.stdout) == (0, "hello you\n"), done.stderr
    listed = lepton(environ, "--help")
    assert listed.returncode == 0
    assert all(word in listed.stdout for word in ("Say hello.", "broken", "cannot be loaded"))


def test_a_broken_one_says_why(environ: dict[str, str]) -> None:
    done = lepton(environ, "broken")
    assert done.returncode == 1
    assert "some-plugin" in done.stderr
    assert "not_there" in done.stderr
