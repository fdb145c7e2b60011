"""The operating-system user as which scripts run, so that they cannot read the worker's files.

It is checked and tried when the worker starts, so that a wrong configuration stops the worker with a reason. The worker
must run as root. Another user with the capability to change users would have to pass it to the guards, and so to the
scripts: the kernel removes capabilities only from processes that change from root to another user.
"""

import fcntl
import importlib.util
import os
import pwd
import secrets
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from lepton_core.errors import LeptonError, invalid
from lepton_trainer.assignment import ScriptUser
from lepton_trainer.files.private_dir import remove_folder
from lepton_trainer.processes.environment import attempt_environment
from lepton_trainer.processes.isolation import PROGRAM_UMASK, hand_over, make_folders, user_environment
from lepton_trainer.processes.user_processes import processes_of

FIELD = "LEPTON_TRAINER_RUN_AS"
ALLOWED = "an operating-system user that is only for scripts: without login and files, with its own group"
# Numbers of the capabilities that the worker needs: in a container, root may not have them.
_NEEDED = {"CHOWN": 0, "DAC_OVERRIDE": 1, "FOWNER": 3, "KILL": 5, "SETGID": 6, "SETUID": 7}
TRIAL_SECONDS = 60.0
# Only root can write there, and it is empty after a restart of the machine.
LOCKS = Path("/run")

# Runs as the user in a workspace: does what every script needs, and checks what no script may do.
_TRIAL = """
import importlib.util, os, sys
from pathlib import Path
import lepton, lepton_core.workspace_files
assert importlib.util.find_spec("torch"), "torch cannot be found"
for place in (os.environ["HOME"], os.environ["TMPDIR"], "journal", "code", "."):
    probe = Path(place, "probe"); probe.write_text("x"); probe.unlink()
status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
powers = [name for name in ("CapPrm", "CapEff", "CapAmb") if int(status[name], 16)]
assert not powers, f"the user would keep powers of root: {powers}"
assert not os.getgroups() or os.getgroups() == [os.getgid()], f"the user would keep groups: {os.getgroups()}"
readable = [path for path in sys.argv[1:] if os.access(path, os.R_OK)]
assert not readable, f"the user can read {readable[0]}; take that right away (chmod 600)"
"""


def find_script_user(name: str) -> ScriptUser | None:
    """The user of that name; None for an empty name. Raises INVALID for a user as which scripts cannot or must not
    run."""
    if not name:
        return None
    try:
        found = pwd.getpwnam(name)
    except KeyError:
        raise _refused(name, "there is no such user on this machine") from None
    if found.pw_uid == 0:
        raise _refused(name, "a script that runs as root is not isolated")
    if found.pw_uid in (os.getuid(), os.geteuid()):
        raise _refused(name, "this is the worker's own user")
    if found.pw_gid in (0, os.getgid(), os.getegid()):
        raise _refused(name, f"its group ({found.pw_gid}) is the worker's own or root's")
    if sys.platform != "linux":
        raise _refused(name, "running scripts as another user needs Linux")
    if os.geteuid() != 0:
        raise _refused(name, "only a worker that runs as root can start programs as another user")
    missing = [power for power, number in _NEEDED.items() if not _powers() >> number & 1]
    if missing:
        lacking = ", ".join(f"CAP_{power}" for power in missing)
        raise _refused(name, f"this worker runs as root, but without the needed capabilities: {lacking}")
    return ScriptUser(found.pw_name, found.pw_uid, found.pw_gid)


def try_out(user: ScriptUser, attempts: Path, secret_files: list[Path]) -> None:
    """Runs a program in a workspace as the user. Raises INVALID with the reason if that fails."""
    workspace = attempts / f"trial-{secrets.token_hex(4)}"
    for place in (attempts, *_needed_places()):
        closed = first_closed(place, user)
        if closed is not None:
            why = f"the user cannot access {place}, since {closed} is closed to it: use chmod o+x or another path"
            raise _refused(user.name, why)
    workspace.mkdir(mode=0o700)
    try:
        make_folders(workspace)
        (workspace / "code").mkdir()
        hand_over(workspace, user)
        done = subprocess.run(
            [sys.executable, "-P", "-c", _TRIAL, *map(str, secret_files)],
            cwd=workspace,
            env=attempt_environment(os.environ, workspace) | user_environment(user),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=TRIAL_SECONDS,
            user=user.uid,
            group=user.gid,
            extra_groups=[],
            umask=PROGRAM_UMASK,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise _refused(user.name, f"a trial program could not run as this user: {error}") from error
    finally:
        remove_folder(workspace)
    if done.returncode:
        lines = done.stdout.strip().splitlines()
        raise _refused(user.name, f"a trial program failed as this user: {lines[-1] if lines else done.returncode}")


def require_unused(user: ScriptUser, seconds: float = 5.0) -> None:
    """Raises INVALID if other processes of the user still run after `seconds`.

    Such processes and scripts could control each other. Called before the worker uses the user for the first time: the
    processes may belong to anybody, so they are not killed. After that, every process of the user is a script's.
    """
    until = time.monotonic() + seconds
    while found := processes_of(user.uid):
        if time.monotonic() > until:
            shown = ", ".join(map(str, found[:5]))
            raise _refused(
                user.name, f"other processes run as this user (process {shown}); only this worker may use it"
            )
        time.sleep(0.05)


def reserve(user: ScriptUser, folder: Path = LOCKS) -> BinaryIO:
    """Reserves the user for this worker until it is closed or the process ends.

    Raises INVALID if another worker uses it: the scripts of both could read each other's workspaces. By a file that
    only root can reach: a name that every process may take, such as an abstract socket's, would be taken by a script
    that outlives a killed worker, and no worker could start any more.
    """
    path = folder / f"lepton-script-user-{user.uid}.lock"
    try:
        held = open(os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600), "r+b")  # noqa: PTH123, SIM115 - takes the flags, and stays open
    except OSError as error:
        raise _refused(user.name, f"the user cannot be reserved by {path}: {error.strerror}") from None
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        held.close()
        raise _refused(user.name, "another worker on this machine runs its scripts as this user") from None
    return held


def first_closed(place: Path, user: ScriptUser) -> Path | None:
    """The first folder of the path, or the file itself, for which the user has no execute permission."""
    for path in [*reversed(place.parents), place]:
        status = path.stat()
        if status.st_uid == user.uid:
            mode = status.st_mode >> 6
        elif status.st_gid == user.gid:
            mode = status.st_mode >> 3
        else:
            mode = status.st_mode
        if not mode & 1:
            return path
    return None


def _needed_places() -> Iterator[Path]:
    """The paths of Python and of the packages that scripts import."""
    yield Path(sys.executable)
    yield Path(os.path.realpath(sys.executable))
    for package in ("lepton", "lepton_core", "torch"):
        spec = importlib.util.find_spec(package)
        for folder in (spec.submodule_search_locations or ()) if spec else ():
            yield Path(folder)


def _powers() -> int:
    """The effective capabilities of this process, one bit for each."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("CapEff:"):
            return int(line.split()[1], 16)
    return 0


def _refused(name: str, why: str) -> LeptonError:
    return invalid(FIELD, why, name, ALLOWED)
