"""What dies or hangs beside a run, and what becomes of the run. Real processes, each crash made to happen."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from lepton_fixtures.attempt_trees import gone
from lepton_fixtures.job_scripts import COUNTING_RANKS, SAVES_WHEN_ASKED
from lepton_fixtures.processes import wait_until
from lepton_fixtures.stack import Stack
from lepton_proto.v1 import runs_pb2

StartStack = Callable[..., Stack]
SUCCEEDED = runs_pb2.RUN_STATE_SUCCEEDED
LOST, RELEASED, ENDED_WELL = (
    runs_pb2.ATTEMPT_STATE_LOST,
    runs_pb2.ATTEMPT_STATE_RELEASED,
    runs_pb2.ATTEMPT_STATE_SUCCEEDED,
)
# Short leases, so that what has to expire does so within a test; long enough for a busy machine.
QUICK = {
    "LEPTON_REGISTRY_LEASE_SECONDS": "15",
    "LEPTON_TRAINER_HEARTBEAT_SECONDS": "0.5",
    "LEPTON_TRAINER_SELF_FENCE_SECONDS": "8",
    "LEPTON_TRAINER_POLL_SECONDS": "0.5",
}


@pytest.fixture
def stack(start_stack: StartStack) -> Stack:
    return start_stack(QUICK)


def count(stack: Stack, folder: Path, steps: int = 60, pause: float = 0.1, ranks: int = 1, **spec: object) -> str:
    run_id = stack.script(folder, COUNTING_RANKS, args=[str(steps), str(pause)], resources={"ranks": ranks}, **spec)
    wait_until(lambda: stack.checkpoints(run_id), 60, "a first checkpoint")
    return run_id


def assert_whole(stack: Stack, run_id: str, steps: int = 60) -> list[runs_pb2.Attempt]:
    """One succeeded attempt, every point exactly once, and the last attempt went on from a checkpoint."""
    run = stack.wait(run_id, 90)
    assert run.state == SUCCEEDED, f"{run.reason}\n{stack.log('trainer')[-3000:]}"
    attempts = stack.attempts(run_id)
    assert [attempt.state for attempt in attempts].count(ENDED_WELL) == 1
    assert [point.step for point in stack.metrics(run_id)] == list(range(1, steps + 1))
    if len(attempts) > 1:
        assert attempts[-1].resumed_from
    return attempts


@pytest.mark.parametrize("role", ["program", "guard"])
def test_a_killed_process_of_the_tree_costs_a_retry_and_the_run_goes_on(
    stack: Stack, tmp_path: Path, role: str
) -> None:
    run_id = count(stack, tmp_path / "code", ranks=2)
    stack.kill_one(role)
    attempts = assert_whole(stack, run_id)
    assert len(attempts) == 2
    assert attempts[0].cause.code == {"program": "rank_killed", "guard": "guard_lost"}[role]
    assert stack.run(run_id).retries_spent == 1


def test_a_killed_supervisor_frees_its_run_at_once(stack: Stack, tmp_path: Path) -> None:
    run_id = count(stack, tmp_path / "code", ranks=2)
    programs = stack.processes()["program"]
    stack.kill_one("supervisor")
    wait_until(lambda: gone(programs), 10, "the ranks to be gone")
    attempts = assert_whole(stack, run_id)
    assert attempts[0].state == LOST
    assert stack.run(run_id).retries_spent == 0


def test_a_stopped_supervisor_is_fenced_by_guards_and_ended_by_the_worker(stack: Stack, tmp_path: Path) -> None:
    run_id = count(stack, tmp_path / "code")
    programs = stack.processes()["program"]
    stopped = stack.kill_one("supervisor", signal.SIGSTOP)
    wait_until(lambda: gone(programs), 15, "the guards to fence")
    attempts = assert_whole(stack, run_id)
    assert attempts[0].state == LOST
    assert not psutil.pid_exists(stopped)


def test_a_killed_worker_takes_its_tree_along_and_a_new_one_goes_on(stack: Stack, tmp_path: Path) -> None:
    run_id = count(stack, tmp_path / "code", ranks=2)
    everybody = [process for group in stack.processes().values() for process in group]
    stack.servers["trainer"].kill()
    wait_until(lambda: gone(everybody), 10, "the whole tree to be gone")
    stack.start("trainer")
    attempts = assert_whole(stack, run_id)
    assert attempts[0].state == LOST


def test_worker_and_supervisor_killed_together_leave_nothing(stack: Stack, tmp_path: Path) -> None:
    run_id = count(stack, tmp_path / "code", ranks=2)
    everybody = [process for group in stack.processes().values() for process in group]
    stack.servers["trainer"].kill()
    for process in stack.processes().get("supervisor", []):
        process.kill()
    stack.start("trainer")
    # By the time the new worker has registered, nothing of the old one is left.
    assert gone(everybody)
    assert_whole(stack, run_id)


def test_a_draining_worker_saves_releases_and_its_successor_resumes(stack: Stack, tmp_path: Path) -> None:
    run_id = stack.script(tmp_path / "code", SAVES_WHEN_ASKED)
    wait_until(lambda: "ready" in stack.logs(run_id), 60, "the program to be ready")
    stack.servers["trainer"].stop()
    assert not stack.processes()
    assert stack.attempts(run_id)[0].state == RELEASED
    assert [checkpoint.step for checkpoint in stack.checkpoints(run_id)] == [7]
    stack.start("trainer")
    assert stack.wait(run_id).state == SUCCEEDED
    assert "resumed what was saved" in stack.logs(run_id)
    assert stack.run(run_id).retries_spent == 0


def test_a_restarted_registry_does_not_touch_the_training(stack: Stack, tmp_path: Path) -> None:
    run_id = count(stack, tmp_path / "code")
    stack.servers["registry"].kill()
    stack.servers["registry"].start()
    assert len(assert_whole(stack, run_id)) == 1


def test_an_outage_longer_than_the_fence_stops_the_run_and_costs_nothing(stack: Stack, tmp_path: Path) -> None:
    run_id = count(stack, tmp_path / "code", steps=120)
    programs = stack.processes()["program"]
    stack.servers["registry"].kill()
    wait_until(lambda: gone(programs), 15, "the fence to close")
    stack.servers["registry"].start()
    attempts = assert_whole(stack, run_id, 120)
    assert len(attempts) == 2
    assert stack.run(run_id).retries_spent == 0


def test_an_outcome_reached_during_an_outage_is_kept_until_it_is_accepted(stack: Stack, tmp_path: Path) -> None:
    run_id = count(stack, tmp_path / "code", steps=25)
    stack.servers["registry"].kill()
    wait_until(lambda: not stack.processes().get("guard"), 10, "the program to end")
    # Longer than the fence: there is nothing left to fence.
    assert not psutil.wait_procs(stack.processes()["supervisor"], timeout=10)[0]
    stack.servers["registry"].start()
    assert len(assert_whole(stack, run_id, 25)) == 1


def test_a_stale_attempt_cannot_finish_or_log(stack: Stack, tmp_path: Path) -> None:
    """Registry and supervisor lose sight of each other; when they meet again, somebody else owns the run."""
    run_id = count(stack, tmp_path / "code", steps=60)
    first = stack.run(run_id).current_attempt_id
    trainer = psutil.Process(stack.servers["trainer"].process.pid)  # type: ignore[union-attr]
    supervisor = stack.processes()["supervisor"][0]
    trainer.suspend()
    supervisor.suspend()
    wait_until(lambda: stack.attempts(run_id)[0].state == LOST, 30, "the lease to run out")
    supervisor.resume()
    trainer.resume()
    attempts = assert_whole(stack, run_id)
    assert attempts[0].id == first
    assert attempts[0].state == LOST


def test_while_the_object_store_is_away_the_job_waits(stack: Stack, tmp_path: Path) -> None:
    stack.servers["trainer"].stop()
    run_id = stack.script(tmp_path / "code", COUNTING_RANKS, args=["20", "0.05"])
    stack.servers["objects"].kill()
    stack.start("trainer")
    # Far longer than a try, and than the fence: the lease is renewed all the while.
    wait_until(lambda: "trying again" in stack.log("trainer"), 30, "the store to be missed")
    supervisors = stack.processes()["supervisor"]
    assert not psutil.wait_procs(supervisors, timeout=10)[0]
    stack.servers["objects"].start()
    assert len(assert_whole(stack, run_id, 20)) == 1


def test_a_full_disk_fails_the_run_with_words_and_the_worker_lives(start_stack: StartStack, tmp_path: Path) -> None:
    stack = start_stack(QUICK | {"LEPTON_TRAINER_DISK_RESERVE_BYTES": str(1 << 60)})
    run = stack.wait(stack.script(tmp_path / "code", "print('ran')", retries=0))
    assert run.state == runs_pb2.RUN_STATE_FAILED
    assert (run.cause.code, "disk full" in run.reason) == ("disk_full", True)
    assert stack.workers()[0].alive
