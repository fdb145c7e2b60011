"""A rank of a recipe dies: the next attempt goes on from the last committed checkpoint."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from lepton_fixtures.processes import wait_until
from lepton_fixtures.stack import Stack
from lepton_proto.v1 import runs_pb2


def test_a_killed_rank_resumes_without_a_point_twice(start_stack: Callable[..., Stack], tmp_path: Path) -> None:
    stack = start_stack()
    stack.push_digits(tmp_path)
    run_id = stack.submit_digits(epochs=6)
    wait_until(lambda: stack.checkpoints(run_id), 90, "a first checkpoint")
    stack.kill_one("program")
    run = stack.wait(run_id, 110)
    assert run.state == runs_pb2.RUN_STATE_SUCCEEDED, run.reason
    attempts = stack.attempts(run_id)
    assert attempts[0].state == runs_pb2.ATTEMPT_STATE_FAILED
    assert attempts[-1].resumed_from
    points = [(point.key, point.step, point.rank) for point in stack.metrics(run_id)]
    assert len(points) == len(set(points))
