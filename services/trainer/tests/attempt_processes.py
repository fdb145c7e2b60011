"""Real process trees of an attempt for tests. The supervisor's part runs in a process of its own."""

from __future__ import annotations

import contextlib
import json
import secrets
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil

from lepton_fixtures.processes import wait_until
from lepton_trainer.processes.process_tree import find_marked

# A supervisor's part of an attempt. It obeys lines on stdin: "fence <seconds>", "terminate", "kill", "leave". What it
# knows goes to stdout, one JSON object a line.
STAGE = """
import json, os, signal, sys, threading
from dataclasses import asdict
from pathlib import Path
from lepton_trainer.placement.local import LocalPlacement
from lepton_trainer.placement.port import Program
from lepton_trainer.processes.clock import boottime

plan = json.loads(sys.argv[1])
changed = threading.Event()
placement = LocalPlacement(Path(plan["workspace"]), plan["ranks"], changed.set, marker=plan["marker"])
os.environ.update(plan["environment"])
placement.set_fence(boottime() + plan["fence_seconds"])
placement.launch()
if plan["held"] is not None:
    # Stopped before it can connect.
    placement._processes[plan["held"]].send_signal(signal.SIGSTOP)
placement.go(Program(plan["log_bytes"], script="program.py"))

def report(**news):
    # One write: two threads report.
    os.write(1, json.dumps(news).encode() + b"\\n")

if plan["held"] is not None:
    report(held=placement._processes[plan["held"]].pid)

def obey():
    for line in sys.stdin:
        word, _, rest = line.strip().partition(" ")
        if word == "fence":
            placement.set_fence(boottime() + float(rest))
            report(fence=rest)
        elif word == "terminate":
            placement.terminate()
            report(terminated=True)
        elif word == "kill":
            placement.end()
            report(killed=True)
        elif word == "leave":
            os._exit(0)

threading.Thread(target=obey, daemon=True).start()
code = None
while code is None:
    changed.wait(0.02)
    changed.clear()
    code = placement.poll()
    known = {rank: asdict(each) for rank, each in placement.ranks.items()}
    report(ranks=known, first_failed=placement.first_failed)
report(launcher=code)
sys.stdin.read()
"""


class Stage:
    """A tree at work. `reported()` is the last news of each kind. `held`: the rank whose guard is stopped at its start,
    before it connects."""

    def __init__(
        self,
        workspace: Path,
        program: str,
        *,
        ranks: int = 1,
        fence_seconds: float = 60.0,
        environment: dict[str, str] | None = None,
        log_bytes: int = 1 << 20,
        held: int | None = None,
    ) -> None:
        self.workspace = workspace
        # Of this tree alone: `close` kills all that carry it, and other tests run at the same time.
        self.marker = f"wrk_test/{secrets.token_hex(8)}"
        (workspace / "program.py").write_text(program)
        plan = {
            "workspace": str(workspace),
            "ranks": ranks,
            "fence_seconds": fence_seconds,
            "marker": self.marker,
            "environment": environment or {},
            "log_bytes": log_bytes,
            "held": held,
        }
        self._news = workspace / "news.jsonl"
        with self._news.open("ab") as news:
            self.process = subprocess.Popen(
                [sys.executable, "-c", STAGE, json.dumps(plan)], stdin=subprocess.PIPE, stdout=news
            )

    def say(self, line: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{line}\n".encode())
        self.process.stdin.flush()

    def reported(self) -> dict[str, Any]:
        news: dict[str, Any] = {}
        for line in self._news.read_bytes().splitlines(keepends=True):
            if line.endswith(b"\n"):
                news |= json.loads(line)
        return news

    def rank(self, rank: int) -> dict[str, Any]:
        known: dict[str, Any] = self.reported().get("ranks", {}).get(str(rank), {})
        return known

    def log(self, rank: int = 0) -> str:
        file = self.workspace / f"logs/rank-{rank}.log"
        return file.read_text(errors="replace") if file.exists() else ""

    def wait_for_file(self, name: str, seconds: float = 30.0) -> str:
        file = self.workspace / name
        wait_until(lambda: file.exists() and file.read_text(), seconds, f"the program to write {name}")
        return file.read_text()

    def wait_launcher(self, seconds: float = 30.0) -> int:
        wait_until(lambda: "launcher" in self.reported(), seconds, "the launcher to end")
        code: int = self.reported()["launcher"]
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
