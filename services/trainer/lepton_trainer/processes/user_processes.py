"""Ends every process of an operating-system user: only this can end a program that forks continuously."""

import contextlib
import subprocess
import sys
import time
from pathlib import Path

from lepton_core.processes import LOOK_AGAIN_SECONDS, pid_is_alive, pids

# As that user, `kill(-1)` signals all its processes, and no others, in one step of the kernel, so none can fork in
# between. With CAP_KILL it would signal all processes of the machine, so the capabilities are checked first.
_KILL_ALL = """
import os, sys
uid = int(sys.argv[1])
assert uid > 0
os.setresuid(uid, uid, uid)
with open("/proc/self/status") as status:
    powers = [line.split()[1] for line in status if line.startswith("CapEff:")]
if os.getresuid() != (uid, uid, uid) or int(powers[0], 16):
    sys.exit(3)
os.kill(-1, 9)
"""
# It takes milliseconds, unless a process of the user has stopped it.
_KILL_SECONDS = 5.0


def processes_of(uid: int) -> list[int]:
    """Ids of running processes whose real, effective, saved or file-system user id is the user's."""
    return [pid for pid in pids() if uid in _uids(pid) and pid_is_alive(pid)]


def kill_user(uid: int, seconds: float) -> bool:
    """Sends SIGKILL to every process of the user, as root. Returns False if some still run after `seconds`.

    Linux only. A process that the kernel does not end, for example since it waits for a disk, still runs.
    """
    deadline = time.monotonic() + seconds
    # A search alone is not enough: it may miss a program that forks and ends at the same time.
    killed = False
    while not killed or processes_of(uid):
        if time.monotonic() > deadline:
            return False
        # The user's processes may kill or stop the helper before it acts; then it is tried again.
        killed = _kill_all(uid)
        time.sleep(LOOK_AGAIN_SECONDS)
    return True


def _kill_all(uid: int) -> bool:
    command = [sys.executable, "-I", "-S", "-c", _KILL_ALL, str(uid)]
    with contextlib.suppress(OSError, subprocess.TimeoutExpired):
        return subprocess.run(command, cwd="/", env={}, timeout=_KILL_SECONDS, check=False).returncode == 0
    return False


def _uids(pid: int) -> set[int]:
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text(errors="replace").splitlines():
            if line.startswith("Uid:"):
                return {int(word) for word in line.split()[1:]}
    return set()
