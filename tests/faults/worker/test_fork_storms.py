"""Programs that fork as fast as they can, so that a list of processes is out of date before anybody can use it."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from pwd import struct_passwd

import psutil
import pytest

from lepton_core.processes import is_alive, pid_is_alive
from lepton_fixtures.processes import wait_until
from lepton_trainer.processes.process_tree import MARKER, kill_marked
from lepton_trainer.processes.user_processes import kill_user, processes_of

# Chains in which each process lives for about a millisecond: it forks the next one and ends. Each step leaves a sign in
# the file, so that a test can see whether they still go on; they end by themselves after a while.
STORM = """
import os, sys, time
sign, sessions = sys.argv[1], sys.argv[2] == "sessions"
until = time.monotonic() + 40
for _ in range(3):
    if os.fork() == 0:
        break
else:
    time.sleep(600)
while time.monotonic() < until:
    if sessions:
        os.setsid()
    with open(sign, "a") as file:
        file.write(".")
    if os.fork():
        os._exit(0)
    time.sleep(0.001)
os._exit(0)
"""

# A stand-in for a supervisor: the subreaper of the storm, which it ends when it is asked to.
SUBREAPER = """
import subprocess, sys
from lepton_trainer.processes.process_tree import kill_descendants
from lepton_trainer.processes.subreaper import become_subreaper
become_subreaper()
subprocess.Popen([sys.executable, "-c", *sys.argv[1:]], process_group=0)
sys.stdin.readline()
print(kill_descendants(20), flush=True)
"""


@pytest.fixture
def sign(tmp_path: Path) -> Path:
    file = tmp_path / "sign"
    file.touch()
    return file


def goes_on(sign: Path) -> bool:
    before = sign.stat().st_size
    time.sleep(0.3)
    return sign.stat().st_size > before


def wait_for_storm(sign: Path) -> None:
    wait_until(lambda: sign.stat().st_size > 200, 20, "the storm to rage")


@pytest.mark.parametrize("shape", ["one-session", "sessions"])
def test_a_storm_ends_with_the_tree_that_it_is_part_of(sign: Path, shape: str) -> None:
    command = [sys.executable, "-c", SUBREAPER, STORM, str(sign), shape]
    environment = os.environ | {MARKER: f"wrk_storm/{os.getpid()}"}
    supervisor = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment, start_new_session=True
    )
    try:
        wait_for_storm(sign)
        answer, _ = supervisor.communicate("\n", timeout=60)
        assert answer == "True\n"
        assert not goes_on(sign)
    finally:
        supervisor.kill()
        kill_marked(f"wrk_storm/{os.getpid()}", 20)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a list of processes takes longer than a fork")
@pytest.mark.parametrize("shape", ["one-session", "sessions"])
def test_a_storm_without_a_supervisor_is_found_by_its_marker(sign: Path, shape: str) -> None:
    marker = f"wrk_storm_{os.getpid()}/att_{shape}"
    storm = subprocess.Popen(
        [sys.executable, "-c", STORM, str(sign), shape], env=os.environ | {MARKER: marker}, start_new_session=True
    )
    try:
        wait_for_storm(sign)
        assert kill_marked(marker, 20)
        assert not goes_on(sign)
    finally:
        storm.kill()
        storm.wait()


@pytest.fixture
def user_storm(other_user: struct_passwd, sign: Path) -> Iterator[int]:
    sign.chmod(0o666)
    for parent in list(sign.parents)[:-1]:
        if parent.owner() == "root":
            parent.chmod(parent.stat().st_mode | 0o011)
    # No marker, no parent, every one a session of its own.
    storm = subprocess.Popen(
        ["python3", "-c", STORM, str(sign), "sessions"],
        cwd="/",
        env={"PATH": "/usr/local/bin:/usr/bin:/bin"},
        user=other_user.pw_uid,
        group=other_user.pw_gid,
        extra_groups=[],
        start_new_session=True,
    )
    try:
        wait_for_storm(sign)
        yield other_user.pw_uid
    finally:
        storm.kill()
        storm.wait()
        assert kill_user(other_user.pw_uid, 20)


def test_nothing_of_the_scripts_user_outlives_a_storm(user_storm: int, sign: Path) -> None:
    bystander = subprocess.Popen(["sleep", "600"])
    try:
        assert kill_user(user_storm, 20)
        assert not goes_on(sign)
        assert processes_of(user_storm) == []
        assert bystander.poll() is None
    finally:
        bystander.kill()
        bystander.wait()


FIRST_THREAD_ENDS = """
import ctypes, sys, threading, time
threading.Thread(target=time.sleep, args=(600,)).start()
print("ready", flush=True)
ctypes.CDLL(None).syscall(60 if sys.argv[1] == "x86_64" else 93, 0)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only there can the first thread end alone")
def test_a_process_whose_first_thread_has_ended_is_alive_and_found() -> None:
    """The system shows it as a zombie, with an empty environment."""
    marker = f"wrk_zombie_{os.getpid()}/att_1"
    command = [sys.executable, "-c", FIRST_THREAD_ENDS, os.uname().machine]
    program = subprocess.Popen(command, stdout=subprocess.PIPE, env=os.environ | {MARKER: marker})
    assert program.stdout is not None
    try:
        program.stdout.readline()
        process = psutil.Process(program.pid)
        wait_until(lambda: process.status() == psutil.STATUS_ZOMBIE, 10, "its first thread to end")
        assert is_alive(process)
        assert kill_marked(marker, 10)
        wait_until(lambda: not pid_is_alive(program.pid), 10, "it to end")
    finally:
        program.kill()
        program.wait()
        program.stdout.close()
