"""What docs/adding-a-placement.md says: a placement of another package is found, and attempts train with it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from lepton_fixtures.attempt_trees import gone
from lepton_fixtures.job_scripts import STUBBORN
from lepton_fixtures.processes import wait_until
from lepton_fixtures.stack import Stack
from lepton_proto.v1 import lineage_pb2, runs_pb2
from lepton_proto.v1.lineage_pb2_grpc import LineageServiceStub
from tests.trainer import copied_placement

ELSEWHERE = """
import os, lepton
print(os.getcwd(), flush=True)
for step in range(1, 6):
    lepton.log(loss=1 / step, step=step)
lepton.checkpoint({"step": 5}, step=5)
"""


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The worker finds the placement as an installed package: a module, and an entry point in its metadata."""
    site = tmp_path_factory.mktemp("site")
    shutil.copy(copied_placement.__file__, site / "copied_placement.py")
    metadata = site / "copied_placement-1.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: copied-placement\nVersion: 1\n")
    (metadata / "entry_points.txt").write_text("[lepton.placements]\ncopied = copied_placement:CopiedPlacement\n")
    settings = {"LEPTON_TRAINER_PLACEMENT": "copied", "PYTHONPATH": str(site), "LEPTON_TRAINER_HEARTBEAT_SECONDS": "1"}
    stack = Stack(tmp_path_factory.mktemp("stack"), settings).start()
    yield stack
    stack.stop()


def test_two_ranks_train_in_a_copy_of_the_workspace(stack: Stack, tmp_path: Path) -> None:
    stack.push_digits(tmp_path)
    run_id = stack.submit_digits()
    run = stack.wait(run_id, 110)
    assert run.state == runs_pb2.RUN_STATE_SUCCEEDED, run.reason
    assert json.loads(run.metrics_json)["accuracy"] > 0.9
    assert stack.model_version("digits@1").run_id == run_id
    assert stack.checkpoints(run_id)
    assert "epoch 3/3" in stack.logs(run_id)


def test_what_a_script_writes_elsewhere_comes_back(stack: Stack, tmp_path: Path) -> None:
    run_id = stack.script(tmp_path / "code", ELSEWHERE)
    run = stack.wait(run_id)
    assert run.state == runs_pb2.RUN_STATE_SUCCEEDED, run.reason
    folder = stack.logs(run_id).strip()
    assert "another-machine-" in folder
    assert not Path(folder).exists()
    assert [point.step for point in stack.metrics(run_id)] == [1, 2, 3, 4, 5]
    assert [checkpoint.step for checkpoint in stack.checkpoints(run_id)] == [5]
    lineage = LineageServiceStub(stack.channel()).GetLineage(lineage_pb2.GetLineageRequest(id=run_id))
    [environment] = [json.loads(node.facts_json) for node in lineage.nodes if node.kind == "environment"]
    assert environment["host"] == "another machine"


def test_a_cancel_ends_ranks_elsewhere(stack: Stack, tmp_path: Path) -> None:
    run_id = stack.script(tmp_path / "code", STUBBORN)
    wait_until(lambda: stack.logs(run_id), 30, "the script to print")
    processes = [process for group in stack.processes().values() for process in group]
    stack.cancel(run_id)
    assert stack.wait(run_id).state == runs_pb2.RUN_STATE_CANCELLED
    assert gone(processes)
