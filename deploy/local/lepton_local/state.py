"""The state of a home: `platform.json`, and the lock of its runner."""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TextIO

import psutil
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from lepton_core.errors import ErrorCode, LeptonError
from lepton_local.home import Home, write_private


class ComponentStatus(BaseModel):
    name: str
    state: str
    pid: int | None
    ports: dict[str, int]
    restarts: int
    last_exit: str
    log: str


class PlatformStatus(BaseModel):
    """`ready`: all components have started. URLs are those for clients; the queue's is without the password.

    `moved`: a sentence for each port that was in use, for which another one was chosen.
    """

    model_config = ConfigDict(populate_by_name=True)

    home: str
    pid: int
    ready: bool
    urls: dict[str, str]
    moved: list[str] = []
    # "parts" is the name in platform.json.
    components: list[ComponentStatus] = Field(validation_alias="parts", serialization_alias="parts")


@dataclass(frozen=True)
class Runner:
    """A running runner. The start time detects a process id that was reused for another process."""

    pid: int
    created: float

    def process(self) -> psutil.Process | None:
        with contextlib.suppress(psutil.NoSuchProcess):
            process = psutil.Process(self.pid)
            if abs(process.create_time() - self.created) < 1:
                return process
        return None


def write_status(home: Home, status: PlatformStatus) -> None:
    write_private(home.state, status.model_dump_json(indent=2, by_alias=True) + "\n")


def read_status(home: Home) -> PlatformStatus | None:
    try:
        return PlatformStatus.model_validate_json(home.state.read_text())
    except (FileNotFoundError, ValidationError):
        return None


@contextlib.contextmanager
def runner_lock(home: Home) -> Iterator[None]:
    """Allows one runner for each home. The kernel releases the lock when the runner ends in any way.

    Raises ALREADY_EXISTS, naming the other one.
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
