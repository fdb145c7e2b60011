"""The workspace's files: the first outcome stands, and files are replaced in one step."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from lepton_core.workspace_files import (
    AttemptFile,
    CheckpointRecord,
    Outcome,
    ProgressRecord,
    Workspace,
    parse_control,
    write_file,
)
from lepton_fixtures.workspaces import read_outcome


def test_the_first_outcome_stands(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    assert read_outcome(workspace) is None
    assert workspace.write_outcome(Outcome(status="failed", reason="first", final=True))
    assert not workspace.write_outcome(Outcome(status="succeeded"))
    outcome = read_outcome(workspace)
    assert outcome is not None
    assert (outcome.status, outcome.reason, outcome.final) == ("failed", "first", True)
    assert [path.name for path in tmp_path.iterdir()] == ["outcome.json"]


def test_a_lost_peer_gives_way_to_what_says_more(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    lost = Outcome(status="failed", reason="closed", code="peer_lost", rank=1)
    assert workspace.write_outcome(lost)
    assert not workspace.write_outcome(lost.model_copy(update={"rank": 2}))
    assert read_outcome(workspace) == lost
    knows = Outcome(status="failed", reason="no memory", code="out_of_memory", rank=0)
    assert workspace.write_outcome(knows)
    assert not workspace.write_outcome(lost)
    assert read_outcome(workspace) == knows
    assert [path.name for path in tmp_path.iterdir()] == ["outcome.json"]


def test_an_outcome_that_cannot_be_read_stands(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    workspace.outcome.write_text("{")
    assert not workspace.write_outcome(Outcome(status="succeeded"))


def test_an_attempt_file_is_read_as_it_was_written(tmp_path: Path) -> None:
    attempt = AttemptFile(run_id="run_1", attempt_id="att_1", ranks=2, settings={"epochs": 12, "learning_rate": 2e-3})
    workspace = Workspace(tmp_path)
    write_file(workspace.attempt_file, attempt.model_dump_json().encode())
    assert workspace.read_attempt() == attempt
    assert workspace.folder(attempt.data_dir) == tmp_path / "inputs" / "data"
    assert workspace.folder("/data") == Path("/data")


def test_control_records_are_distinguished_by_kind() -> None:
    for record in (
        CheckpointRecord(step=4, epoch=1, dir="checkpoints/step-00000004", offsets={"metrics-rank0.jsonl": 17}),
        ProgressRecord(epoch=1, epochs=3, step=4, steps=12),
    ):
        assert parse_control(record.model_dump()) == record
    with pytest.raises(ValidationError):
        parse_control({"kind": "other"})


def test_metrics_of_an_outcome_are_numbers() -> None:
    with pytest.raises(ValidationError):
        Outcome(status="succeeded", metrics={"loss": float("nan")})


CHECKPOINT = {"kind": "checkpoint", "step": 1, "epoch": 0, "dir": "checkpoints/one"}


@pytest.mark.parametrize(
    "wrong",
    [
        {"step": 2**63},
        {"step": -1},
        {"epoch": 10**300},
        {"dir": "a\0b"},
        {"dir": "\ud800"},
        {"metrics": {"\ud800": 1.0}},
        {"metrics": {"a\0": 1.0}},
        {"metrics": {"a": 10**399}},
        {"offsets": {"metrics-rank0.jsonl": 2**63}},
        {"offsets": {"\ud800": 1}},
    ],
)
def test_a_record_that_cannot_be_passed_on_is_refused(wrong: dict[str, object]) -> None:
    parse_control(CHECKPOINT)
    with pytest.raises(ValidationError):
        parse_control(CHECKPOINT | wrong)


def test_numbers_of_progress_are_bounded() -> None:
    with pytest.raises(ValidationError):
        parse_control({"kind": "progress", "epoch": 0, "epochs": 0, "step": 10**399, "steps": 3})


def test_a_reason_is_changed_until_it_can_be_shown() -> None:
    assert Outcome(status="failed", reason="a\0b \ud800").reason == "a\ufffdb ?"
