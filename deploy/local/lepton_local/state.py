"""What runs in a home: `platform.json` for `lepton doctor`, and the lock that says whether a runner lives."""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TextIO

import psutil
from pydantic import BaseModel, ValidationError

from lepton_core.errors import ErrorCode, LeptonError
from lepton_local.home import Home, write_private


class PartStatus(BaseModel):
    name: str
    state: str
    pid: int | None
    ports: dict[str, int]
    restarts: int
    last_exit: str
    log: str


class PlatformStatus(BaseModel):
    """`ready`: all parts served once. URLs are those that clients use; the queue's is without its password.

    `moved`: a sentence for each port that was in use, so that another one was taken.
    """

    home: str
    pid: int
    ready: bool
    urls: dict[str, str]
    moved: list[str] = []
    parts: list[PartStatus]


@dataclass(frozen=True)
class Runner:
    """A living runner. The start time guards against a process id that was given out again."""

    pid: int
    created: float

    def process(self) -> psutil.Process | None:
        with contextlib.suppress(psutil.NoSuchProcess):
            process = psutil.Process(self.pid)
            if abs(process.create_time() - self.created) < 1:
                return process
        return None


def write_status(home: Home, status: PlatformStatus) -> None:
    write_private(home.state, status.model_dump_json(indent=2) + "\n")


def read_status(home: Home) -> PlatformStatus | None:
    try:
        return PlatformStatus.model_validate_json(home.state.read_text())
    except (FileNotFoundError, ValidationError):
        return None


@contextlib.contextmanager
def runner_lock(home: Home) -> Iterator[None]:
    """One runner per home. The kernel frees the lock when the runner dies, however it dies.

    Raises ALREADY_EXISTS, saying where the other one is.
    """
    with home.lock.open("a+") as file:
        if not _try_lock(file):
            raise LeptonError(ErrorCode.ALREADY_EXISTS, _already_running(home))
        me = psutil.Process()
        file.seek(0)
        file.truncate()
        file.write(f"{me.pid} {me.create_time()}\n")
        file.flush()
        try:
            yield
        finally:
            file.truncate(0)


def find_runner(home: Home) -> Runner | None:
    """None if nobody holds the lock."""
    try:
        with home.lock.open("r+") as file:
            if _try_lock(file):
                return None
            words = file.read().split()
    except FileNotFoundError:
        return None
    return Runner(int(words[0]), float(words[1])) if len(words) == 2 else Runner(0, 0.0)


def _try_lock(file: TextIO) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _already_running(home: Home) -> str:
    runner, status = find_runner(home), read_status(home)
    where = f" at {status.urls['gateway']}" if status and "gateway" in status.urls else ""
    pid = f" (process {runner.pid})" if runner and runner.pid else ""
    hint = f"LEPTON_HOME={home.folder} lepton down" if os.environ.get("LEPTON_HOME") else "lepton down"
    return f"A platform is already running from {home.folder}{pid}{where}. Stop it with: {hint}"
