"""The worker's own folder: lock, identity, workspaces of attempts, and cache of inputs."""

import contextlib
import fcntl
import logging
import os
import shutil
import stat
import subprocess
import time
from pathlib import Path

from lepton_core.errors import ErrorCode, LeptonError
from lepton_core.ids import is_id, new_id
from lepton_core.workspace_files import write_file

_log = logging.getLogger(__name__)


class WorkerFolder:
    """Raises FAILED_PRECONDITION if another worker uses the folder. The lock lasts as long as the process."""

    def __init__(self, home: Path, *, passable: bool = False) -> None:
        """`passable`: other users may pass through to workspaces that they may use; they cannot list or read the
        folder."""
        self.home = home.absolute()
        self.attempts = self.home / "attempts"
        self.cache = self.home / "cache"
        for folder in (self.home, self.attempts, self.cache):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if passable:
            for folder in (self.home, self.attempts):
                folder.chmod(stat.S_IMODE(folder.stat().st_mode) | 0o011)
        self._lock = _locked(self.home / "lock")
        self.worker_id = self._identity()

    def release(self) -> None:
        """Releases the lock before the process ends."""
        os.close(self._lock)

    def _identity(self) -> str:
        """A random id, made once. Processes of earlier starts have it in their environment, and the registry uses
        it."""
        file = self.home / "worker-id"
        with contextlib.suppress(FileNotFoundError):
            known = file.read_text().strip()
            if is_id(known, "wrk"):
                return known
        worker_id = new_id("wrk")
        write_file(file, f"{worker_id}\n".encode())
        return worker_id

    def next_incarnation(self) -> int:
        """The current time in microseconds, but always more than the last one, even if the clock is set back."""
        file = self.home / "incarnation"
        last = 0
        with contextlib.suppress(FileNotFoundError, ValueError):
            last = int(file.read_text())
        incarnation = max(time.time_ns() // 1000, last + 1)
        write_file(file, f"{incarnation}\n".encode())
        return incarnation

    @property
    def script_user(self) -> int | None:
        """Id of the user as which scripts of this worker ran, since this start or before."""
        with contextlib.suppress(FileNotFoundError, ValueError):
            return int((self.home / "script-user").read_text())
        return None

    def note_script_user(self, uid: int) -> None:
        write_file(self.home / "script-user", f"{uid}\n".encode())

    def new_workspace(self, attempt_id: str) -> Path:
        workspace = self.attempts / attempt_id
        remove_folder(workspace)
        workspace.mkdir(mode=0o700)
        return workspace

    def clear(self) -> None:
        """Removes what a killed worker has left: workspaces, and incomplete files of the cache."""
        for workspace in self.attempts.iterdir():
            remove_folder(workspace)
        for part in self.cache.glob("*/.*"):
            part.unlink(missing_ok=True)


def remove_folder(folder: Path) -> None:
    """Removes a folder, also one that is unreadable or very deeply nested. Links are removed, not followed."""
    if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
        folder.unlink()
        return
    with contextlib.suppress(FileNotFoundError):
        try:
            shutil.rmtree(folder)
        except FileNotFoundError:
            raise
        except PermissionError:
            _open_up(folder)
            shutil.rmtree(folder)
        except (RecursionError, OSError):
            _remove_deep(folder)


def _remove_deep(folder: Path) -> None:
    """Without recursion: Python's own function needs a stack frame and an open file for each level, so a program could
    make a folder on which the worker fails, again at each start."""
    done = subprocess.run(["rm", "-rf", "--", str(folder)], check=False, capture_output=True, text=True)
    if done.returncode:
        _log.warning("%s is not removed: %s", folder, done.stderr.strip()[-500:])


def _open_up(folder: Path) -> None:
    folder.chmod(0o700)
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                _open_up(Path(entry.path))


def _locked(file: Path) -> int:
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        detail = f"another worker runs in {file.parent}; each worker needs its own folder (LEPTON_TRAINER_HOME)"
        raise LeptonError(ErrorCode.FAILED_PRECONDITION, detail) from None
    return descriptor
