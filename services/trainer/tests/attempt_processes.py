"""Real trees of an attempt for tests: a supervisor's part of them, played in a process of its own."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil

from lepton_fixtures.processes import wait_until
from lepton_trainer.processes.process_tree import find_marked

# Does what a supervisor does with its launcher and guards, and obeys lines on stdin: "fence <seconds>", "terminate",
# "kill", "leave". What it knows goes to stdout, one JSON object a line.
STAGE = """
import json, os, sys, threading
from dataclasses import asdict
from pathlib import Path
from lepton_trainer.processes.clock import boottime
from lepton_trainer.processes.environment import attempt_environment
from lepton_trainer.processes.guard_clients import Guards, Program
from lepton_trainer.placement import LaunchPlan
from lepton_trainer.placement.torchrun import TorchrunLauncher
from lepton_trainer.processes.process_tree import kill_descendants, reap_orphans
from lepton_trainer.processes.subreaper import become_subreaper

told = json.loads(sys.argv[1])
workspace = Path(told["workspace"])
os.chdir(workspace)
become_subreaper()
changed = threading.Event()
guards = Guards(told["ranks"], changed.set)
guards.listen("guards.sock")
guards.set_fence(boottime() + told["fence_seconds"])
environment = attempt_environment(os.environ, workspace) | {"LEPTON_TREE": told["marker"]}
plan = LaunchPlan(workspace, told["ranks"], "guards.sock", environment, workspace / "launcher.log")
launched = TorchrunLauncher().start(plan)
program = Program(told["command"], str(workspace), told["environment"], told["log_bytes"])
guards.go(program, {rank: str(workspace / f"rank-{rank}.log") for rank in range(told["ranks"])})

def tell(**news):
    # One write: two threads tell.
    os.write(1, json.dumps(news).encode() + b"\\n")

def obey():
    for line in sys.stdin:
        word, _, rest = line.strip().partition(" ")
        if word == "fence":
            guards.set_fence(boottime() + float(rest))
            tell(fence=rest)
        elif word == "terminate":
            guards.terminate()
        elif word == "kill":
            tell(killed=kill_descendants(10))
        elif word == "leave":
            os._exit(0)

threading.Thread(target=obey, daemon=True).start()
while launched.exit_code() is None:
    changed.wait(0.02)
    changed.clear()
    reap_orphans(launched.pids)
    known = {rank: asdict(each) for rank, each in guards.ranks.items()}
    tell(ranks=known, first_failed=guards.first_failed)
tell(launcher=launched.exit_code())
sys.stdin.read()
"""


class Stage:
    """A tree at work. `told()` is the last news of each kind."""

    def __init__(
        self,
        workspace: Path,
        program: str,
        *,
        ranks: int = 1,
        fence_seconds: float = 60.0,
        environment: dict[str, str] | None = None,
        log_bytes: int = 1 << 20,
    ) -> None:
        self.workspace = workspace
        self.marker = f"wrk_test/{workspace.name}"
        (workspace / "program.py").write_text(program)
        for name in ("home", "tmp"):
            (workspace / name).mkdir()
        order = {
            "workspace": str(workspace),
            "ranks": ranks,
            "fence_seconds": fence_seconds,
            "marker": self.marker,
            "command": [sys.executable, str(workspace / "program.py")],
            "environment": environment or {},
            "log_bytes": log_bytes,
        }
        self._news = workspace / "news.jsonl"
        with self._news.open("ab") as news:
            self.process = subprocess.Popen(
                [sys.executable, "-c", STAGE, json.dumps(order)], stdin=subprocess.PIPE, stdout=news
            )

    def say(self, line: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{line}\n".encode())
        self.process.stdin.flush()

    def told(self) -> dict[str, Any]:
        news: dict[str, Any] = {}
        for line in self._news.read_bytes().splitlines(keepends=True):
            if line.endswith(b"\n"):
                news |= json.loads(line)
        return news

    def rank(self, rank: int) -> dict[str, Any]:
        known: dict[str, Any] = self.told().get("ranks", {}).get(str(rank), {})
        return known

    def log(self, rank: int = 0) -> str:
        file = self.workspace / f"rank-{rank}.log"
        return file.read_text(errors="replace") if file.exists() else ""

    def wait_for_file(self, name: str, seconds: float = 30.0) -> str:
        file = self.workspace / name
        wait_until(lambda: file.exists() and file.read_text(), seconds, f"the program to write {name}")
        return file.read_text()

    def wait_launcher(self, seconds: float = 30.0) -> int:
        wait_until(lambda: "launcher" in self.told(), seconds, "the launcher to end")
        code: int = self.told()["launcher"]
        return code

    def tree(self) -> list[psutil.Process]:
        """Everything of the attempt that is alive, whoever its parent is."""
        return find_marked(self.marker)

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        for process in self.tree():
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        if self.process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                self.process.stdin.close()


@contextlib.contextmanager
def staged(workspace: Path, program: str, **options: Any) -> Iterator[Stage]:
    stage = Stage(workspace, program, **options)
    try:
        yield stage
    finally:
        stage.close()
