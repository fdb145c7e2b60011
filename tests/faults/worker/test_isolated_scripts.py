"""Script jobs as another operating-system user: what works there, and what the script cannot do. Needs root."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from pathlib import Path
from pwd import struct_passwd
from typing import Any

import psutil
import pytest

from lepton_fixtures.attempt_trees import gone
from lepton_fixtures.other_user import folder_for_others, python_for_others
from lepton_fixtures.processes import stays, wait_until
from lepton_fixtures.stack import Stack
from lepton_proto.v1 import runs_pb2
from lepton_trainer.processes.user_processes import processes_of

SUCCEEDED, FAILED = runs_pb2.RUN_STATE_SUCCEEDED, runs_pb2.RUN_STATE_FAILED


@pytest.fixture(scope="module")
def uid(other_user: struct_passwd) -> int:
    return other_user.pw_uid


@pytest.fixture(scope="module")
def stack(other_user: struct_passwd) -> Iterator[Stack]:
    settings = {"LEPTON_TRAINER_RUN_AS": other_user.pw_name, "LEPTON_TRAINER_HEARTBEAT_SECONDS": "0.5"}
    with folder_for_others(other_user) as folder:
        (folder / "python").mkdir()
        stack = Stack(folder, settings, python_for_others(other_user, folder / "python"))
        try:
            yield stack.start()
        finally:
            stack.stop()


def told(stack: Stack, run_id: str) -> dict[str, Any]:
    run = stack.wait(run_id)
    assert run.state == SUCCEEDED, run.reason
    answer: dict[str, Any] = json.loads(stack.logs(run_id).splitlines()[-1])
    return answer


LOOKS_AROUND = """
import json, os, sys
from pathlib import Path
workspace = Path(os.environ["LEPTON_ATTEMPT_FILE"]).parent
home = workspace.parents[2]

def can(act, *arguments):
    try:
        act(*arguments)
    except OSError:
        return False
    return True

status = dict(line.split(":", 1) for line in open("/proc/self/status"))
secrets = ["keys/operator.key", "keys/trainer.token", "keys/objects.secret-key", "registry/registry.db", "worker/lock"]
print(json.dumps({
    "uids": os.getresuid(), "gids": os.getresgid(), "groups": os.getgroups(), "user": os.environ["USER"],
    "powers": int(status["CapPrm"], 16) | int(status["CapEff"], 16), "no_new_privileges": int(status["NoNewPrivs"]),
    "opened": [name for name in secrets if can(open, home / name)],
    "listed": [str(path) for path in (home, home / "worker", home / "worker/attempts", home / "worker/cache",
                                      home / "keys", home / "objects") if can(os.listdir, path)],
    "guard_environment": can(open, f"/proc/{os.getppid()}/environ"),
    "guard_killed": can(os.kill, os.getppid(), 9),
    "root_again": can(os.setuid, 0),
    "writes_here": can(Path("made").write_text, "x"),
    "files": sorted(os.environ["HOME"] == str(workspace / "home") and os.listdir(workspace)),
}))
"""


def test_the_script_is_another_user_with_nothing_of_the_worker(
    stack: Stack, other_user: struct_passwd, tmp_path: Path
) -> None:
    assert stack.workers()[0].isolates_scripts
    seen = told(stack, stack.script(tmp_path / "code", LOOKS_AROUND, isolated=True))
    assert seen["uids"] == [other_user.pw_uid] * 3
    assert len(set(seen["gids"])) == 1
    assert seen["gids"][0] != 0
    assert seen["groups"] == []
    assert seen["user"] == other_user.pw_name
    assert (seen["powers"], seen["no_new_privileges"]) == (0, 1)
    assert seen["opened"] == []
    assert seen["listed"] == []
    assert not seen["guard_environment"]
    assert not seen["guard_killed"]
    assert not seen["root_again"]
    assert seen["writes_here"]
    assert {"attempt.json", "code", "home", "journal", "logs", "tmp"} <= set(seen["files"])


ATTACKS = """
import json, os, shutil, socket
from pathlib import Path
import lepton
os.chdir(Path(os.environ["LEPTON_ATTEMPT_FILE"]).parent)

def connect():
    with socket.socket(socket.AF_UNIX) as client:
        client.connect("guards.sock")

data = next(path for path in lepton.data_dir().rglob("*") if path.is_file())
Path("mine").symlink_to("/etc/passwd")
attacks = {
    "rename logs": lambda: os.rename("logs", "gone"),
    "rename attempt.json": lambda: os.rename("attempt.json", "gone"),
    "replace attempt.json": lambda: os.replace("mine", "attempt.json"),
    "remove attempt.json": lambda: os.unlink("attempt.json"),
    "write attempt.json": lambda: open("attempt.json", "a"),
    "remove the socket": lambda: os.unlink("guards.sock"),
    "speak as a guard": connect,
    "read the log": lambda: os.listdir("logs"),
    "link in place of the log": lambda: os.symlink("/etc/passwd", "logs/rank-1.log"),
    "write inputs": lambda: open(data, "a"),
    "add to inputs": lambda: open(data.with_name("more"), "w"),
    "rename inputs": lambda: os.rename("inputs", "gone"),
    "open the root": lambda: os.chmod(".", 0o777),
    "leave the workspace": lambda: open("../probe", "w"),
}
done = []
for name, attack in attacks.items():
    try:
        attack()
    except OSError:
        continue
    done.append(name)
print(json.dumps(done))
"""


def test_attacks_on_the_workspace_fail(stack: Stack, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "rows.csv").write_text("a\n1\n")
    stack.dataset("rows", tmp_path / "data")
    run_id = stack.script(tmp_path / "code", ATTACKS, isolated=True, data="rows@latest")
    assert told(stack, run_id) == []


WORKS = """
import lepton, torch
torch.distributed.init_process_group("gloo")
rank = torch.distributed.get_rank()
total = torch.tensor([rank + 1.0])
torch.distributed.all_reduce(total)
print("all have", total.item(), "of", torch.distributed.get_world_size(), flush=True)
lepton.log(loss=0.5, step=1)
lepton.checkpoint({"step": 1}, step=1)
lepton.log_model(torch.nn.Linear(4, 2), example=torch.zeros(1, 4), metrics={"accuracy": 0.75})
torch.distributed.barrier()
"""


def test_metrics_checkpoints_models_and_several_ranks_work(stack: Stack, tmp_path: Path) -> None:
    register = {"model": "linear", "alias": "champion"}
    run_id = stack.script(tmp_path / "code", WORKS, isolated=True, register=register, resources={"ranks": 2})
    run = stack.wait(run_id, 120)
    assert run.state == SUCCEEDED, run.reason
    assert "all have 3.0 of 2" in stack.logs(run_id, "rank-1")
    assert stack.model_version("linear@champion").run_id == run_id
    assert json.loads(run.metrics_json) == {"accuracy": 0.75}
    assert [checkpoint.step for checkpoint in stack.checkpoints(run_id)] == [1]
    assert {(point.key, point.value) for point in stack.metrics(run_id)} == {("loss", 0.5)}
    # The worker's own folder is clean again, whoever made what lay there.
    wait_until(lambda: not list((stack.home.worker / "attempts").iterdir()), 10, "the workspace to be removed")


RESUMES = """
import json, lepton
step = lepton.resume_step()
if not step:
    lepton.checkpoint({"step": 3}, step=3)
    raise SystemExit(1)
print(json.dumps(json.loads((lepton.resume_dir() / "state.json").read_text())))
"""


def test_a_later_attempt_resumes_from_a_checkpoint(stack: Stack, tmp_path: Path) -> None:
    assert told(stack, stack.script(tmp_path / "code", RESUMES, isolated=True, retries=1)) == {"step": 3}


def test_what_an_operator_trusts_runs_as_that_user_too(stack: Stack, uid: int, tmp_path: Path) -> None:
    program = "import json, os; print(json.dumps({'uid': os.getuid()}))"
    assert told(stack, stack.script(tmp_path / "code", program)) == {"uid": uid}


def test_a_package_with_a_link_to_a_secret_is_refused(stack: Stack, tmp_path: Path) -> None:
    program = f"""
import os
os.mkdir("../package")
os.symlink({str(stack.home.keys / "operator.key")!r}, "../package/model.onnx")
"""
    run = stack.wait(stack.script(tmp_path / "code", program, isolated=True, register={"model": "stolen"}))
    assert run.state == FAILED
    assert "model.onnx" in run.reason


def test_the_workers_own_files_are_no_checkpoint(stack: Stack, tmp_path: Path) -> None:
    """What the script may only read, or not even that, it cannot have collected as its own."""
    program = """
import os
from pathlib import Path
from lepton_core.journal import JournalWriter
from lepton_core.workspace_files import CheckpointRecord
journal = Path(os.environ["LEPTON_ATTEMPT_FILE"]).parent / "journal" / "control-rank0.jsonl"
with JournalWriter(journal) as control:
    control.append(CheckpointRecord(step=1, epoch=0, dir="logs").model_dump())
"""
    run_id = stack.script(tmp_path / "code", program, isolated=True)
    assert stack.wait(run_id).state == SUCCEEDED
    assert stack.checkpoints(run_id) == []
    assert "another user's file" in stack.log("trainer")


# Its grandchild has no marker, no parent and a session of its own.
SLIPS_AWAY = """
import os, sys, time
word, stay = sys.argv[1:]
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.execve(sys.executable, [sys.executable, "-c", "import time; time.sleep(600)", word], {})
    os._exit(0)
print("away", flush=True)
time.sleep(float(stay))
"""


def running(word: str, uid: int) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        try:
            if word in process.cmdline() and process.uids().real == uid:
                found.append(process)
        except psutil.Error:
            continue
    return found


def test_what_slips_away_from_a_program_ends_with_it(stack: Stack, uid: int, tmp_path: Path) -> None:
    run_id = stack.script(tmp_path / "code", SLIPS_AWAY, isolated=True, args=["slipped-1", "0.5"])
    wait_until(lambda: running("slipped-1", uid), 30, "it to run")
    assert stack.wait(run_id).state == SUCCEEDED
    assert not running("slipped-1", uid)


def test_it_ends_too_when_guard_and_supervisor_cannot_see_to_it(stack: Stack, uid: int, tmp_path: Path) -> None:
    run_id = stack.script(tmp_path / "code", SLIPS_AWAY, isolated=True, args=["slipped-2", "600"], retries=0)
    wait_until(lambda: [each for each in running("slipped-2", uid) if "-c" in each.cmdline()], 30, "it to run")
    first = running("slipped-2", uid)
    stack.kill_one("guard", signal.SIGSTOP)
    stack.kill_one("supervisor")
    wait_until(lambda: gone(first), 20, "all of the first attempt to be gone")
    stack.cancel(run_id)
    stack.wait(run_id)
    wait_until(lambda: not running("slipped-2", uid), 20, "all to be gone")


def test_a_worker_that_was_killed_finds_what_slipped_away(stack: Stack, uid: int, tmp_path: Path) -> None:
    run_id = stack.script(tmp_path / "code", SLIPS_AWAY, isolated=True, args=["slipped-3", "600"])
    wait_until(lambda: [each for each in running("slipped-3", uid) if "-c" in each.cmdline()], 30, "it to run")
    first = running("slipped-3", uid)
    stack.kill_one("guard", signal.SIGSTOP)
    stack.servers["trainer"].kill()
    stack.start("trainer")
    assert gone(first)
    stack.cancel(run_id)
    stack.wait(run_id)


# Each process lives for a millisecond, in a session of its own, without the marker: no list of processes finds it.
STORMS = """
import os, sys, time
until = time.monotonic() + 60
if os.fork() == 0:
    os.execve(sys.executable, [sys.executable, "-c", sys.argv[1], str(until)], {})
time.sleep(float(sys.argv[2]))
"""
CHAIN = """
import os, sys, time
while time.monotonic() < float(sys.argv[1]):
    if os.getsid(0) != os.getpid():
        os.setsid()
    if os.fork():
        os._exit(0)
    time.sleep(0.001)
"""


def storm(stack: Stack, tmp_path: Path, seconds: float) -> str:
    return stack.script(tmp_path / "code", STORMS, isolated=True, args=[CHAIN, str(seconds)], retries=0)


def test_a_storm_of_forks_ends_with_its_attempt(stack: Stack, uid: int, tmp_path: Path) -> None:
    assert stack.wait(storm(stack, tmp_path, 1)).state == SUCCEEDED
    # The next attempt is not given out before nothing of the user is left, so what runs now can only be its own.
    program = "import json, os; print(json.dumps({'uid': os.getuid()}))"
    assert told(stack, stack.script(tmp_path / "code", program, isolated=True)) == {"uid": uid}
    wait_until(lambda: not processes_of(uid), 20, "the program to be gone")
    stays(lambda: not processes_of(uid), 1, "none of the storm")


def test_a_worker_that_was_killed_ends_a_storm_before_it_takes_work(stack: Stack, uid: int, tmp_path: Path) -> None:
    run_id = storm(stack, tmp_path, 600)
    wait_until(lambda: processes_of(uid), 30, "the storm")
    stack.kill_one("supervisor", signal.SIGSTOP)
    stack.servers["trainer"].kill()
    stack.start("trainer")
    stack.cancel(run_id)
    stack.wait(run_id)
    wait_until(lambda: not processes_of(uid), 20, "all to be gone")
    stays(lambda: not processes_of(uid), 1, "none of the storm")
