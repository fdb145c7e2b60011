"""What a test of scripts that run as another user needs: such a user, and a Python and folders that are open to it."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pwd
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import psutil
import pytest

# Of these the first that exists and runs nothing: a worker refuses a user that other programs run as.
NAMES = ("nobody", "games", "daemon")


@pytest.fixture(scope="module")
def other_user() -> Iterator[pwd.struct_passwd]:
    """Nobody else's on this machine while the module runs. Skips where no program could run as another user."""
    if sys.platform != "linux":
        pytest.skip("running scripts as another user needs Linux")
    if os.geteuid() != 0:
        pytest.skip("running scripts as another user needs root; these tests do not run as root")
    for name in NAMES:
        with (Path(tempfile.gettempdir()) / f"lepton-tests-{name}.lock").open("w") as lock:
            if _is_free(name, lock):
                yield pwd.getpwnam(name)
                return
    pytest.skip(f"of the users {', '.join(NAMES)} none is there and unused")


def _is_free(name: str, lock: IO[str]) -> bool:
    """Free of other tests, as long as the lock is open, and of any other program."""
    try:
        uid = pwd.getpwnam(name).pw_uid
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (KeyError, BlockingIOError):
        return False
    owners = {process.info["uids"].real for process in psutil.process_iter(["uids"]) if process.info["uids"]}
    return uid not in owners


@contextlib.contextmanager
def folder_for_others(user: pwd.struct_passwd) -> Iterator[Path]:
    """A folder that other users get to. Not one of pytest's: each of its sessions shuts the folder above them all."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        if subprocess.run(["ls", name], user=user.pw_uid, capture_output=True, check=False).returncode:
            pytest.skip(f"{folder.parent}, the folder for temporary files, is closed to other users")
        yield folder


def python_for_others(user: pwd.struct_passwd, folder: Path) -> Path:
    """A Python with the packages of this one that any user can run: this one, or the system's if it is of the same
    version."""
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    system = shutil.which(f"python{version}", path="/usr/local/bin:/usr/bin")
    if _runs(Path(sys.executable), user):
        return Path(sys.executable)
    if system is None:
        pytest.skip(f"{sys.executable} is closed to other users, and the system has no Python {version}")
    (folder / "bin").mkdir()
    (folder / "pyvenv.cfg").write_text(f"home = {Path(system).parent}\ninclude-system-site-packages = false\n")
    (folder / "bin" / "python").symlink_to(system)
    packages = folder / "lib" / f"python{version}" / "site-packages"
    packages.parent.mkdir(parents=True)
    packages.symlink_to(sysconfig.get_path("purelib"))
    python = folder / "bin" / "python"
    if not _runs(python, user):
        pytest.skip(f"neither {sys.executable} nor {system} lets other users run Python with these packages")
    return python


def _runs(python: Path, user: pwd.struct_passwd) -> bool:
    command = [str(python), "-P", "-c", "import lepton, importlib.util as u; assert u.find_spec('torch')"]
    try:
        done = subprocess.run(
            command, cwd="/", user=user.pw_uid, group=user.pw_gid, extra_groups=[], check=False, capture_output=True
        )
    except OSError:
        return False
    return done.returncode == 0
