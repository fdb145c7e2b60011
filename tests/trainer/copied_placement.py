"""A placement whose ranks work in a copy of the workspace, as on another machine: only two pipes connect both sides.

`test_added_placement.py` installs it. The module is the supervisor's side and, run as a program, the host's side.
A message is a line of JSON; `bytes` in it is the length of the data after the line.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

from lepton_core.errors import ErrorCode, LeptonError
from lepton_core.workspace_files import ATTEMPT_FILE_VARIABLE, LAUNCHER_LOG, rank_log
from lepton_trainer.assignment import AttemptConfig
from lepton_trainer.files.untrusted_files import LocalRankFiles
from lepton_trainer.placement.environment import describe_environment
from lepton_trainer.placement.local import rank_environment, rendezvous_environment
from lepton_trainer.placement.port import Program
from lepton_trainer.processes.clock import boottime
from lepton_trainer.processes.environment import attempt_environment

RETURNED = "returned"
ROUND_SECONDS = 0.1
NOT_RETURNED = {"inputs", "resume", "home", "tmp", "attempt.json"}
Message = dict[str, Any]


class Pipe:
    """Messages over a pair of files; several threads may send."""

    def __init__(self, reads: IO[bytes], writes: IO[bytes]) -> None:
        self._reads, self._writes = reads, writes
        self._lock = threading.Lock()

    def send(self, data: bytes = b"", **message: Any) -> None:
        with self._lock, contextlib.suppress(OSError, ValueError):
            self._writes.write(json.dumps(message | {"bytes": len(data)}).encode() + b"\n" + data)
            self._writes.flush()

    def messages(self) -> Iterator[tuple[Message, bytes]]:
        while line := self._reads.readline():
            message = json.loads(line)
            yield message, self._reads.read(message["bytes"])

    def close(self) -> None:
        with self._lock, contextlib.suppress(OSError):
            self._writes.close()


@dataclass
class State:
    exit_code: int | None = None
    ended_at: float | None = None
    problem: str = ""


class CopiedPlacement:
    """The supervisor's side. What the host sends back is written below `returned/`, and read from there."""

    def __init__(self, config: AttemptConfig, changed: Callable[[], None]) -> None:
        self.workspace = config.workspace
        self._root = config.workspace / RETURNED
        self.files = LocalRankFiles(self._root)
        self._states = {rank: State() for rank in range(config.ranks)}
        self._changed = changed
        self._fence = 0.0
        self._used = 0
        self._code: int | None = None
        self._environment: dict[str, Any] = {}
        self.started = False

    @property
    def ranks(self) -> Mapping[int, State]:
        return self._states

    @property
    def first_failed(self) -> int | None:
        failed = [(each.ended_at, rank) for rank, each in self._states.items() if each.ended_at and each.exit_code != 0]
        return min(failed)[1] if failed else None

    def launch(self) -> None:
        (self._root / "logs").mkdir(parents=True)
        with (self._root / LAUNCHER_LOG).open("ab") as log:
            self._host = subprocess.Popen(
                [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, cwd="/"
            )
        assert self._host.stdin is not None
        assert self._host.stdout is not None
        self._pipe = Pipe(self._host.stdout, self._host.stdin)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def set_fence(self, deadline: float) -> None:
        self._fence = deadline

    def go(self, program: Program) -> None:
        self.started = True
        for path in sorted(self.workspace.rglob("*")):
            relative = path.relative_to(self.workspace)
            if path.is_file() and relative.parts[0] != RETURNED:
                self._pipe.send(path.read_bytes(), file=str(relative))
        self._pipe.send(go=asdict(program), ranks=len(self._states))

    def terminate(self) -> None:
        self._pipe.send(terminate=True)

    def poll(self) -> int | None:
        return self._code

    def check_disk(self, max_bytes: int) -> float:
        if self._used > max_bytes:
            raise LeptonError(ErrorCode.TOO_LARGE, f"the run used {self._used} bytes on its host")
        return 0.5

    def environment(self) -> dict[str, Any]:
        return self._environment

    def end(self) -> None:
        self._pipe.close()
        self._reader.join(20)
        self._host.kill()
        self._host.wait()

    def _read(self) -> None:
        for message, data in self._pipe.messages():
            self._take(message, data)
            self._changed()
        self._code = 1 if self._code is None else self._code
        for state in self._states.values():
            state.ended_at = state.ended_at or boottime()
        self._changed()

    def _take(self, message: Message, data: bytes) -> None:
        if "asks" in message:
            # The clocks of two machines differ: seconds from the moment of the question, by the host's own clock.
            self._pipe.send(fence=message["asks"] + self._fence - boottime())
        if "file" in message:
            path = self._root / message["file"]
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("r+b" if path.exists() else "xb") as file:
                file.truncate(message["offset"])
                file.seek(message["offset"])
                file.write(data)
        if "gone" in message:
            (self._root / message["gone"]).unlink(missing_ok=True)
        if "rank" in message:
            state = self._states[message["rank"]]
            state.exit_code, state.ended_at = message["exit_code"], boottime()
        self._environment = message.get("environment", self._environment)
        self._used = message.get("used", self._used)
        self._code = message.get("over", self._code)


class Host:
    """The other machine's side: starts the ranks in its copy, and sends back what they write, in the order in which
    they wrote it: journals and the outcome name files, so these go first."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._pipe = Pipe(sys.stdin.buffer, sys.stdout.buffer)
        self._ranks: list[subprocess.Popen[bytes]] = []
        self._sent: dict[str, tuple[int, int]] = {}
        self._reported: set[int] = set()
        self._deadline: float | None = None
        self._returning = threading.RLock()

    def run(self) -> None:
        threading.Thread(target=self._obey, daemon=True).start()
        self._pipe.send(environment=describe_environment() | {"host": "another machine"})
        while self._deadline is None or boottime() < self._deadline:
            self._pipe.send(asks=boottime())
            over = bool(self._ranks) and all(rank.poll() is not None for rank in self._ranks)
            self._return_files()
            self._report_ends()
            if over:
                self._pipe.send(over=next((rank.returncode for rank in self._ranks if rank.returncode), 0))
                threading.Event().wait()  # until the supervisor closes the pipe
            threading.Event().wait(ROUND_SECONDS)
        self._leave()

    def _obey(self) -> None:
        for message, data in self._pipe.messages():
            if "file" in message:
                path = self._root / message["file"]
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(data)
            if "fence" in message:
                self._deadline = message["fence"]
            if "go" in message:
                self._start(Program(**message["go"]), message["ranks"])
            if "terminate" in message:
                for rank in self._ranks:
                    rank.terminate()
        self._leave()

    def _start(self, program: Program, count: int) -> None:
        for name in ("logs", "journal", "home", "tmp"):
            (self._root / name).mkdir(exist_ok=True)
        environment = attempt_environment(os.environ, self._root) | rendezvous_environment()
        environment[ATTEMPT_FILE_VARIABLE] = str(self._root / "attempt.json")
        folders = [str(self._root / folder) for folder in program.python_path]
        environment["PYTHONPATH"] = os.pathsep.join([*folders, os.environ.get("PYTHONPATH", "")])
        start = ["-P", "-m", program.module] if program.module else [str(self._root / program.script)]
        for rank in range(count):
            with (self._root / rank_log(rank)).open("ab") as log:
                process = subprocess.Popen(
                    [sys.executable, *start, *program.arguments],
                    cwd=self._root / program.folder,
                    env=environment | rank_environment(rank, count, "copied"),
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
            self._ranks.append(process)

    def _report_ends(self) -> None:
        for number, rank in enumerate(self._ranks):
            if rank.poll() is not None and number not in self._reported:
                self._reported.add(number)
                self._pipe.send(rank=number, exit_code=rank.returncode)

    def _return_files(self) -> None:
        with self._returning:
            self._return_new()

    def _return_new(self) -> None:
        ended = (self._root / "outcome.json").exists()
        last = {path: path.stat().st_size for path in sorted(self._root.glob("journal/*.jsonl"))}
        found = [path for path in sorted(self._root.rglob("*")) if self._is_returned(path)]
        for path in found:
            if path.name != "outcome.json" and path not in last and path.parent.name != "journal":
                self._return(path)
        for path, size in last.items():
            self._return(path, size)
        if ended:
            self._return(self._root / "outcome.json")
        for name in self._sent.keys() - {str(path.relative_to(self._root)) for path in found}:
            del self._sent[name]
            self._pipe.send(gone=name)
        self._pipe.send(used=sum(size for size, _ in self._sent.values()))

    def _is_returned(self, path: Path) -> bool:
        parts = path.relative_to(self._root).parts
        unfinished = any(part.startswith(".") for part in parts)
        return parts[0] not in NOT_RETURNED and not unfinished and path.is_file()

    def _return(self, path: Path, size: int | None = None) -> None:
        """What was appended to a journal or a log; all of another file that is new."""
        name = str(path.relative_to(self._root))
        with contextlib.suppress(FileNotFoundError), path.open("rb") as file:
            status = os.fstat(file.fileno())
            known = (status.st_size if size is None else size, 0 if size is not None else status.st_mtime_ns)
            before = self._sent.get(name)
            if before != known:
                grows = name.startswith(("journal/", "logs/")) and before is not None and before[0] <= known[0]
                offset = before[0] if grows and before else 0
                file.seek(offset)
                self._pipe.send(file.read(known[0] - offset), file=name, offset=offset)
                self._sent[name] = known

    def _leave(self) -> None:
        for rank in self._ranks:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(rank.pid, signal.SIGKILL)
            rank.wait()
        with self._returning:  # no other thread may report the copy's files as gone
            self._return_files()
            shutil.rmtree(self._root)
            os._exit(0)


if __name__ == "__main__":
    Host(Path(tempfile.mkdtemp(prefix="another-machine-"))).run()
