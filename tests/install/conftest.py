"""Clean virtual environments: nothing of the development environment is visible in them."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
LIST = "import importlib.metadata as m, json; print(json.dumps({d.name: d.version for d in m.distributions()}))"


@dataclass(frozen=True, slots=True)
class CleanEnvironment:
    """A virtual environment without pip: the development environment's pip installs into it from outside."""

    folder: Path

    def run(self, program: str, *arguments: str, timeout_seconds: float = 120) -> subprocess.CompletedProcess[str]:
        """Run a program of this environment in its own empty folder, so that the tree is not importable by accident."""
        return subprocess.run(
            [self.folder / "bin" / program, *arguments],
            cwd=self.folder,
            env={"PATH": os.environ["PATH"], "HOME": str(self.folder)},
            capture_output=True,
            text=True,
            timeout=timeout_seconds,
            check=False,
        )

    def python(self, code: str) -> str:
        """Standard output of `code`; fails the test with its traceback when it raises."""
        done = self.run("python", "-c", code)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def packages(self) -> dict[str, str]:
        """Installed versions by normalised name (PEP 503)."""
        installed: dict[str, str] = json.loads(self.python(LIST))
        return {re.sub(r"[-_.]+", "-", name).lower(): version for name, version in installed.items()}

    def install(self, *requirements: str, pinned: bool = True) -> None:
        """`pip install`, from the tree's root; `pinned` holds third-party versions at constraints.txt."""
        constraints = ["-c", "constraints.txt"] if pinned else []
        pip = [sys.executable, "-m", "pip", "--python", str(self.folder), "--disable-pip-version-check"]
        done = subprocess.run(
            [*pip, "install", "-q", *constraints, *requirements], cwd=ROOT, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr[-4000:]
        checked = subprocess.run([*pip, "check"], cwd=ROOT, capture_output=True, text=True, check=False)
        assert checked.returncode == 0, checked.stdout


@pytest.fixture(scope="session")
def new_environment(tmp_path_factory: pytest.TempPathFactory) -> Callable[[], CleanEnvironment]:
    def create() -> CleanEnvironment:
        folder = tmp_path_factory.mktemp("environment")
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
        return CleanEnvironment(folder)

    return create
