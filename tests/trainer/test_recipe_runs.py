"""A recipe from submission to a registered model, with two ranks, real processes and servers."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from lepton_fixtures.attempt_trees import gone
from lepton_fixtures.stack import Stack
from lepton_proto.v1 import runs_pb2


def test_digits_are_trained_by_two_ranks_and_registered(start_stack: Callable[..., Stack], tmp_path: Path) -> None:
    stack = start_stack()
    stack.push_digits(tmp_path)
    run_id = stack.submit_digits()
    run = stack.wait(run_id, 110)
    assert run.state == runs_pb2.RUN_STATE_SUCCEEDED, run.reason
    version = stack.model_version("digits@1")
    assert version.run_id == run_id
    assert {file.path for file in version.files} >= {"model.onnx", "signature.json", "card.json"}
    assert json.loads(run.metrics_json)["accuracy"] > 0.9
    assert len(stack.attempts(run_id)) == 1
    assert stack.checkpoints(run_id)
    assert gone(process for group in stack.processes().values() for process in group)
