"""End every process of an operating-system user: no other way reaches a program that forks without pause."""

import contextlib
import subprocess
import sys
import time
from pathlib import Path

from lepton_core.processes import LOOK_AGAIN_SECONDS, pid_is_alive, pids

# As that user, `kill(-1)` reaches all its processes in one step of the kernel: none can fork in between, and none of
# anybody else's is reached. Only without CAP_KILL, which would reach the whole machine; so that is checked first.
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
# It takes milliseconds; longer only if a process of the user has stopped it.
_KILL_SECONDS = 5.0


def processes_of(uid: int) -> list[int]:
    """Ids of living processes that have the user's id in any way: real, effective, saved or of the file system."""
    return [pid for pid in pids() if uid in _uids(pid) and pid_is_alive(pid)]


def kill_user(uid: int, seconds: float) -> bool:
    """SIGKILL to every process of the user, as root; True once none is left, False if some still are after `seconds`.

    Linux only. A process that the kernel does not let go (it waits for a disk, say) is one that is left.
    """
    deadline = time.monotonic() + seconds
    # Not proven by a look alone: a program that forks and ends while we look may be missed.
    killed = False
    while not killed or processes_of(uid):
        if time.monotonic() > deadline:
            return False
        # The user's processes may kill or stop this one too, in the instant before it acts: then it is tried again.
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
