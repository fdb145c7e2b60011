"""Recipes from submission to a registered model, with two ranks, real processes and servers."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from lepton_fixtures.processes import wait_until
from lepton_local.example import Kind, write_example
from lepton_proto.v1 import models_pb2, runs_pb2
from lepton_proto.v1.models_pb2_grpc import ModelServiceStub
from trainer.stack import Stack, gone

SUCCEEDED, FAILED = runs_pb2.RUN_STATE_SUCCEEDED, runs_pb2.RUN_STATE_FAILED


def digits(**train: object) -> dict[str, object]:
    return {
        "name": "digits",
        "recipe": "vision.classifier",
        "data": "digits@latest",
        "train": {"epochs": 3, "batch_size": 32, "learning_rate": 2e-3, "seed": 7, **train},
        "resources": {"ranks": 2},
        "register": {"model": "digits"},
    }


@pytest.fixture
def stack(start_stack: Callable[..., Stack], tmp_path: Path) -> Stack:
    stack = start_stack()
    write_example(Kind.DIGITS, tmp_path)
    stack.dataset("digits", tmp_path / "digits")
    return stack


def test_digits_are_trained_by_two_ranks_and_registered(stack: Stack) -> None:
    run_id = stack.submit(digits())
    run = stack.wait(run_id, 110)
    assert run.state == SUCCEEDED, run.reason
    version = (
        ModelServiceStub(stack.channel())
        .GetModelVersion(models_pb2.GetModelVersionRequest(reference="digits@1"))
        .version
    )
    assert version.run_id == run_id
    assert {file.path for file in version.files} >= {"model.onnx", "signature.json", "card.json"}
    assert json.loads(run.metrics_json)["accuracy"] > 0.9
    assert len(stack.attempts(run_id)) == 1
    assert stack.checkpoints(run_id)
    assert gone(process for group in stack.processes().values() for process in group)


def test_a_killed_rank_resumes_without_a_point_twice(stack: Stack) -> None:
    run_id = stack.submit(digits(epochs=6))
    wait_until(lambda: stack.checkpoints(run_id), 90, "a first checkpoint")
    stack.kill_one("program")
    run = stack.wait(run_id, 110)
    assert run.state == SUCCEEDED, run.reason
    attempts = stack.attempts(run_id)
    assert [attempt.state for attempt in attempts][-1] == runs_pb2.ATTEMPT_STATE_SUCCEEDED
    assert attempts[-1].resumed_from
    points = [(point.key, point.step, point.rank) for point in stack.metrics(run_id)]
    assert len(points) == len(set(points))
