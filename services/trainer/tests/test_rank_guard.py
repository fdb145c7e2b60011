"""The placement on this machine: guards and process tree, with real processes. Each test makes its crash happen."""

from __future__ import annotations

import os
import signal
import socket
import sys
from pathlib import Path

import psutil
import pytest

from lepton_fixtures.processes import wait_until
from lepton_trainer.processes.clock import boottime
from lepton_trainer.processes.rank_guard import Log

sys.path.insert(0, str(Path(__file__).parent))
from attempt_processes import staged

# Ignores SIGTERM, and has a child that does too, in a session of its own.
STUBBORN = """
import os, signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
sleep = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"
child = subprocess.Popen([sys.executable, "-c", sleep], start_new_session=True)
open(f"ready-{os.environ['RANK']}", "w").write(f"{os.getpid()} {child.pid}")
time.sleep(600)
"""


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    folder = tmp_path / "attempt"
    folder.mkdir()
    return folder


def pids(text: str) -> list[int]:
    return [int(word) for word in text.split()]


def test_output_and_exit_codes_of_ranks_are_reported(workspace: Path) -> None:
    program = "import os; print('hello from', os.environ['RANK'], os.environ['WORLD_SIZE'])"
    with staged(workspace, program, ranks=2) as stage:
        assert stage.wait_launcher() == 0
        assert [stage.rank(rank)["exit_code"] for rank in (0, 1)] == [0, 0]
        assert stage.log(0) == "hello from 0 2\n"
        assert stage.log(1) == "hello from 1 2\n"


def test_a_rank_killed_by_a_signal_is_named(workspace: Path) -> None:
    program = "import os, signal\nif os.environ['RANK'] == '1': os.kill(os.getpid(), signal.SIGKILL)"
    with staged(workspace, program, ranks=2) as stage:
        assert stage.wait_launcher() != 0
        assert stage.reported()["first_failed"] == 1
        assert stage.rank(1)["exit_code"] == -signal.SIGKILL


def test_the_rank_that_ended_first_is_the_one_that_failed(workspace: Path) -> None:
    """Its report comes late: the guard waits for what the program left behind, which holds its output open."""
    program = (
        "import os, subprocess, sys, time\n"
        "if os.environ['RANK'] == '1':\n"
        "    subprocess.Popen(['sleep', '60'], start_new_session=True)\n"
        "    open('first', 'w').close()\n"
        "    sys.exit(7)\n"
        "while not os.path.exists('first'): time.sleep(0.001)\n"
        "time.sleep(0.2)\n"
        "sys.exit(8)\n"
    )
    with staged(workspace, program, ranks=2) as stage:
        stage.wait_launcher()
        assert stage.reported()["first_failed"] == 1
        assert [stage.rank(rank)["exit_code"] for rank in (0, 1)] == [8, 7]
        assert stage.rank(1)["ended_at"] < stage.rank(0)["ended_at"]


def test_programs_see_no_secret_of_the_worker(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEPTON_TRAINER_BROKER_URL", "redis://:hunter2@host")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hunter2")
    program = "import json, os; open('seen', 'w').write(json.dumps(dict(os.environ)))"
    with staged(workspace, program) as stage:
        seen = stage.wait_for_file("seen")
        assert "hunter2" not in seen
        assert str(workspace / "home") in seen


def test_killing_the_tree_leaves_nothing_that_ignores_sigterm(workspace: Path) -> None:
    with staged(workspace, STUBBORN, ranks=2) as stage:
        everybody = [pid for rank in (0, 1) for pid in pids(stage.wait_for_file(f"ready-{rank}"))]
        stage.say("terminate")
        stage.say("kill")
        wait_until(lambda: stage.reported().get("killed"), 10, "the tree to be killed")
        wait_until(lambda: not any(psutil.pid_exists(pid) for pid in everybody), 2, "all to be gone")
        assert not stage.tree()


def test_guards_kill_their_ranks_when_the_supervisor_is_killed(workspace: Path) -> None:
    with staged(workspace, STUBBORN, ranks=2) as stage:
        everybody = [pid for rank in (0, 1) for pid in pids(stage.wait_for_file(f"ready-{rank}"))]
        stage.process.send_signal(signal.SIGKILL)
        wait_until(lambda: not any(psutil.pid_exists(pid) for pid in everybody), 10, "the ranks to be gone")
        wait_until(lambda: not stage.tree(), 10, "the guards to leave")


def test_guards_fence_when_the_supervisor_is_stopped(workspace: Path) -> None:
    with staged(workspace, STUBBORN, ranks=1) as stage:
        everybody = pids(stage.wait_for_file("ready-0"))
        stage.say("fence 2")
        stage.say("fence 1.5")
        wait_until(lambda: stage.reported().get("fence") == "1.5", 10, "the fence to be sent")
        stage.process.send_signal(signal.SIGSTOP)
        try:
            wait_until(lambda: not any(_alive(pid) for pid in everybody), 10, "the guard to fence")
        finally:
            stage.process.send_signal(signal.SIGCONT)


def test_renewed_fence_lets_the_program_live(workspace: Path) -> None:
    program = "import time; open('ready', 'w').write('x'); time.sleep(2.5); open('done', 'w').write('x')"
    with staged(workspace, program) as stage:
        stage.wait_for_file("ready")
        stage.say("fence 1")
        stage.say("fence 30")
        stage.wait_for_file("done")
        assert stage.wait_launcher() == 0


def test_a_guard_that_was_stopped_finds_the_renewal_that_came_meanwhile(workspace: Path) -> None:
    program = "import os, time\nopen('ready', 'w').write('x')\nwhile not os.path.exists('end'): time.sleep(0.01)"
    with staged(workspace, program) as stage:
        stage.wait_for_file("ready")
        stage.say("fence 2")
        wait_until(lambda: stage.reported().get("fence") == "2", 10, "the fence to be sent")
        over = boottime() + 2
        guard = psutil.Process(stage.rank(0)["guard_pid"])
        guard.suspend()
        stage.say("fence 60")
        wait_until(lambda: boottime() > over, 10, "the first deadline")
        guard.resume()
        (workspace / "end").touch()
        assert stage.wait_launcher() == 0
        assert stage.rank(0)["exit_code"] == 0


def test_a_killed_guard_counts_as_a_failed_rank_and_its_program_goes(workspace: Path) -> None:
    with staged(workspace, STUBBORN) as stage:
        everybody = pids(stage.wait_for_file("ready-0"))
        os.kill(stage.rank(0)["guard_pid"], signal.SIGKILL)
        wait_until(lambda: stage.reported().get("first_failed") == 0, 10, "the loss to be noticed")
        assert stage.rank(0)["exit_code"] is None
        stage.say("kill")
        wait_until(lambda: not any(psutil.pid_exists(pid) for pid in everybody), 10, "the orphans to be gone")


def test_a_guard_that_is_killed_before_it_connects_is_the_one_that_failed(workspace: Path) -> None:
    """The others end because of it, by the SIGTERM that they get then."""
    with staged(workspace, "import time; time.sleep(600)", ranks=2, held=1) as stage:
        wait_until(lambda: stage.rank(0).get("program_pid"), 30, "the other rank to run")
        os.kill(stage.reported()["held"], signal.SIGKILL)
        assert stage.wait_launcher() == -signal.SIGKILL
        assert stage.reported()["first_failed"] == 1
        assert stage.rank(1)["exit_code"] is None


def test_a_guard_that_connects_after_the_request_to_leave_gets_it_too(workspace: Path) -> None:
    program = "import os, time; open(f'ready-{os.environ[\"RANK\"]}', 'w').write('x'); time.sleep(600)"
    with staged(workspace, program, ranks=2, held=1) as stage:
        stage.wait_for_file("ready-0")
        stage.say("terminate")
        wait_until(lambda: stage.reported().get("terminated"), 10, "the request")
        os.kill(stage.reported()["held"], signal.SIGCONT)
        assert stage.wait_launcher() == 0
        assert stage.rank(1)["exit_code"] == -signal.SIGTERM


@pytest.mark.parametrize("line", [b'{"rank": Infinity, "pid": 1}', b"[" * 8000])
def test_a_stranger_at_the_guards_socket_ends_nothing(workspace: Path, line: bytes) -> None:
    program = "import os, time\nopen('ready', 'w').write('x')\nwhile not os.path.exists('end'): time.sleep(0.01)"
    with staged(workspace, program) as stage:
        stage.wait_for_file("ready")
        with socket.socket(socket.AF_UNIX) as stranger:
            stranger.connect(f"/proc/{stage.process.pid}/cwd/guards.sock")
            stranger.sendall(line + b"\n")
            assert stranger.recv(1) == b""
        (workspace / "end").touch()
        assert stage.wait_launcher() == 0
        assert stage.rank(0)["exit_code"] == 0


def test_orphans_of_a_program_go_with_it(workspace: Path) -> None:
    program = (
        "import os, time\n"
        "if os.fork() == 0:\n"
        "    os.setsid()\n"
        "    if os.fork() == 0:\n"
        "        open('orphan', 'w').write(str(os.getpid()))\n"
        "        time.sleep(600)\n"
        "    os._exit(0)\n"
        "while not os.path.exists('orphan'): time.sleep(0.01)\n"
    )
    with staged(workspace, program) as stage:
        orphan = int(stage.wait_for_file("orphan"))
        assert stage.wait_launcher() == 0
        wait_until(lambda: not psutil.pid_exists(orphan), 5, "the orphan to be gone")


def test_a_log_stops_at_its_cap_and_the_program_runs_on(workspace: Path) -> None:
    program = "for _ in range(2000): print('x' * 99)"
    with staged(workspace, program, log_bytes=5000) as stage:
        assert stage.wait_launcher() == 0
        assert stage.log().startswith("x" * 99)
        assert "limit of 5000 bytes" in stage.log()
        assert len(stage.log()) < 5200


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_log_on_a_full_disk_remembers_why_and_drops_the_rest() -> None:
    log = Log("/dev/full", 100)
    log.write(b"x")
    log.write(b"y")
    assert log.problem == "No space left on device"


def test_a_log_that_is_a_link_is_refused(workspace: Path) -> None:
    (workspace / "logs").mkdir()
    (workspace / "logs" / "rank-0.log").symlink_to("/dev/full")
    with staged(workspace, "print('never')") as stage:
        assert stage.wait_launcher() != 0
        assert stage.rank(0)["exit_code"] == 127
        assert "rank-0.log" in stage.rank(0)["problem"]


def test_draining_asks_the_program_and_waits_for_it(workspace: Path) -> None:
    program = (
        "import os, signal, sys, time\n"
        "rank = os.environ['RANK']\n"
        "def leave(*_):\n"
        "    open(f'left-{rank}', 'w').write('x')\n"
        "    sys.exit(3)\n"
        "signal.signal(signal.SIGTERM, leave)\n"
        "open(f'ready-{rank}', 'w').write('x')\n"
        "time.sleep(600)\n"
    )
    with staged(workspace, program, ranks=2) as stage:
        for rank in (0, 1):
            stage.wait_for_file(f"ready-{rank}")
        stage.say("terminate")
        # Guards end with 0 while draining, so that nobody hurries the ranks that still save.
        assert stage.wait_launcher() == 0
        for rank in (0, 1):
            stage.wait_for_file(f"left-{rank}")
            assert stage.rank(rank)["exit_code"] == 3


def _alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
