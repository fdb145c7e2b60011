"""Script jobs from submission to end, with real processes and servers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lepton_core.ids import digest_of
from lepton_fixtures.attempt_trees import gone
from lepton_fixtures.job_scripts import COUNTING_RANKS, STUBBORN
from lepton_fixtures.processes import wait_until
from lepton_fixtures.stack import Stack
from lepton_proto.v1 import runs_pb2

SUCCEEDED, FAILED, CANCELLED = runs_pb2.RUN_STATE_SUCCEEDED, runs_pb2.RUN_STATE_FAILED, runs_pb2.RUN_STATE_CANCELLED


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> object:
    stack = Stack(tmp_path_factory.mktemp("stack"), {"LEPTON_TRAINER_HEARTBEAT_SECONDS": "0.5"}).start()
    yield stack
    stack.stop()


def test_a_script_runs_with_metrics_logs_and_checkpoints(stack: Stack, tmp_path: Path) -> None:
    run_id = stack.script(tmp_path / "code", COUNTING_RANKS, args=["12", "0.02"], resources={"ranks": 2})
    run = stack.wait(run_id)
    assert run.state == SUCCEEDED, run.reason
    assert [point.step for point in stack.metrics(run_id)] == list(range(1, 13))
    assert stack.checkpoints(run_id)[-1].step == 10
    assert stack.logs(run_id, "rank-1") == "rank 1 begins at 0\nrank 1 is done\n"
    assert run.progress == 1.0


def test_the_lepton_package_is_there_and_the_folder_is_importable(stack: Stack, tmp_path: Path) -> None:
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "mine.py").write_text("WORD = 'from my own module'")
    run_id = stack.script(tmp_path / "code", "import lepton, mine; print(mine.WORD)")
    assert stack.wait(run_id).state == SUCCEEDED
    assert stack.logs(run_id) == "from my own module\n"


REGISTERS = """
import lepton, torch
lepton.log(loss=0.5, step=1)
lepton.checkpoint({"step": 1}, step=1)
lepton.log_model(torch.nn.Linear(4, 2), example=torch.zeros(1, 4), metrics={"accuracy": 0.75})
"""


def test_a_script_registers_its_model_through_the_lepton_package(stack: Stack, tmp_path: Path) -> None:
    run_id = stack.script(tmp_path / "code", REGISTERS, register={"model": "linear", "alias": "champion"})
    run = stack.wait(run_id)
    assert run.state == SUCCEEDED, run.reason
    assert stack.model_version("linear@champion").run_id == run_id
    assert json.loads(run.metrics_json) == {"accuracy": 0.75}
    assert [checkpoint.step for checkpoint in stack.checkpoints(run_id)] == [1]
    assert [(point.key, point.value) for point in stack.metrics(run_id)] == [("loss", 0.5)]


def test_a_script_that_logs_no_model_fails_with_the_missing_call_and_keeps_what_it_wrote(
    stack: Stack, tmp_path: Path
) -> None:
    code = (
        "import lepton; lepton.checkpoint({'step': 4}, step=4); open('model.pt', 'w').write('mine'); print('trained')"
    )
    run_id = stack.script(tmp_path / "code", code, register={"model": "forgotten"}, retries=1)
    run = stack.wait(run_id)
    assert run.state == FAILED
    assert "ended without a call of lepton.log_model(...), so there is no model 'forgotten'" in run.reason
    assert run.cause.code == "model_not_logged"
    assert f"1 kept (`lepton run files {run_id} --to FOLDER` fetches them)" in run.reason
    parameters = {"model": "forgotten", "files": 1, "files_left_out": 0}
    assert json.loads(run.cause.parameters_json) == parameters
    [attempt] = stack.attempts(run_id)
    assert stack.folder(attempt.files_digest) == {"code/model.pt": digest_of(b"mine")}
    assert [checkpoint.step for checkpoint in stack.checkpoints(run_id)] == [4]
    notice, *rest = stack.logs(run_id).splitlines()
    assert "'forgotten'" in notice
    assert "lepton.log_model(...)" in notice
    assert rest == ["trained"]


MANY_METRICS = """
import lepton, os
rank = os.environ["RANK"]
names = [f"rank-{rank}-{number}" for number in range(6_000)]
for start in range(0, 6_000, 1_000):
    lepton.log({name: 1.0 for name in names[start : start + 1_000]}, step=start)
"""


def test_the_ranks_of_a_run_together_have_a_bounded_number_of_metrics(stack: Stack, tmp_path: Path) -> None:
    run_id = stack.script(tmp_path / "code", MANY_METRICS, resources={"ranks": 2})
    run = stack.wait(run_id)
    assert run.state == SUCCEEDED, run.reason
    assert len({point.key for point in stack.metrics(run_id)}) == 10_000
    assert "metrics are not recorded, since a run has at most 10000: rank-" in stack.log("trainer")


SCORES = """
import lepton
for step, score in enumerate([0.1, 0.9, 0.9, 0.3, 0.2, 0.4], 1):
    lepton.checkpoint({"step": step}, step=step, score=score)
"""


def test_the_best_checkpoint_stays_although_newer_ones_overtook_it(stack: Stack, tmp_path: Path) -> None:
    """They are written faster than they can be sent."""
    run_id = stack.script(tmp_path / "code", SCORES)
    assert stack.wait(run_id).state == SUCCEEDED
    kept = {checkpoint.step: checkpoint.score for checkpoint in stack.checkpoints(run_id)}
    assert (kept[2], kept[6]) == (0.9, 0.4)
    assert len(kept) <= 3


def test_a_failing_script_is_tried_again_and_says_why(stack: Stack, tmp_path: Path) -> None:
    run_id = stack.script(tmp_path / "code", "print('I give up'); raise SystemExit(3)", retries=1)
    run = stack.wait(run_id)
    assert run.state == FAILED
    assert run.reason == run.cause.message == "rank 0 ended with exit code 3"
    parameters = {"rank": 0, "exit_code": 3, "log_tail": ["I give up"]}
    assert (run.cause.code, json.loads(run.cause.parameters_json)) == ("rank_exited", parameters)
    assert len(stack.attempts(run_id)) == 2


ENDS_FOR_GOOD = """
import os
from pathlib import Path
from lepton_core.workspace_files import Outcome, Workspace
workspace = Workspace(Path(os.environ["LEPTON_ATTEMPT_FILE"]).parent)
workspace.write_outcome(Outcome(status="failed", reason="the loss is NaN at step 7", final=True))
raise SystemExit(1)
"""


def test_a_final_failure_is_not_tried_again_and_keeps_its_reason(stack: Stack, tmp_path: Path) -> None:
    run_id = stack.script(tmp_path / "code", ENDS_FOR_GOOD)
    run = stack.wait(run_id)
    assert (run.state, run.reason) == (FAILED, "the loss is NaN at step 7")
    assert len(stack.attempts(run_id)) == 1


@pytest.mark.parametrize("ranks", [1, 2])
def test_a_script_that_wants_data_in_a_job_without_any_fails_once(stack: Stack, tmp_path: Path, ranks: int) -> None:
    run_id = stack.script(tmp_path / "code", "import lepton; lepton.data_dir()", resources={"ranks": ranks})
    run = stack.wait(run_id)
    assert run.state == FAILED
    assert "the job has no data" in run.reason
    assert run.cause.code == "inputs_refused"
    assert len(stack.attempts(run_id)) == 1


def test_missing_requirements_are_named_and_nothing_runs(stack: Stack, tmp_path: Path) -> None:
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "requirements.txt").write_text("pydantic>=2\nno-such-thing==1.0\n")
    run_id = stack.script(tmp_path / "code", "print('ran')", requirements="requirements.txt")
    run = stack.wait(run_id)
    assert run.state == FAILED
    assert "no-such-thing==1.0: not installed" in run.reason
    [missing] = json.loads(run.cause.parameters_json)["requirements"]
    assert (run.cause.code, missing["problem"]) == ("requirements_missing", "not installed on this worker")
    assert stack.logs(run_id) == ""
    assert len(stack.attempts(run_id)) == 1


def test_cancel_ends_every_descendant_within_ten_seconds(stack: Stack, tmp_path: Path) -> None:
    run_id = stack.script(tmp_path / "code", STUBBORN, resources={"ranks": 2})
    wait_until(lambda: len(stack.processes().get("program", [])) >= 4, 30, "ranks and their children")
    everybody = [process for group in stack.processes().values() for process in group]
    stack.cancel(run_id)
    wait_until(lambda: gone(everybody), 10, "all processes to be gone")
    assert stack.wait(run_id).state == CANCELLED
    assert not stack.processes()


def test_a_run_out_of_time_says_so(stack: Stack, tmp_path: Path) -> None:
    run_id = stack.script(tmp_path / "code", STUBBORN, limits={"timeout_seconds": 3})
    run = stack.wait(run_id)
    assert run.state == FAILED
    assert "out of time" in run.reason
    assert (run.cause.code, json.loads(run.cause.parameters_json)) == ("timeout", {"seconds": 3})
    assert len(stack.attempts(run_id)) == 1


def test_a_run_that_fills_its_disk_budget_says_so(stack: Stack, tmp_path: Path) -> None:
    program = "import time; open('big', 'wb').write(b'x' * 30_000_000); time.sleep(600)"
    run_id = stack.script(tmp_path / "code", program, limits={"max_disk_bytes": 20_000_000})
    run = stack.wait(run_id)
    assert run.state == FAILED
    assert "limits.max_disk_bytes" in run.reason
    assert run.cause.code == "disk_budget"


def test_a_program_that_meets_a_full_disk_says_so(stack: Stack, tmp_path: Path) -> None:
    program = "with open('/dev/full', 'w') as full: full.write('x')"
    run = stack.wait(stack.script(tmp_path / "code", program, retries=0))
    assert run.state == FAILED
    assert "No space left on device" in json.loads(run.cause.parameters_json)["log_tail"][-1]


LEAVES_A_LINK = """
import os, pathlib
package = pathlib.Path("..", "package"); package.mkdir()
key = pathlib.Path(os.environ["LEPTON_ATTEMPT_FILE"]).parents[3] / "keys" / "operator.key"
assert key.exists()
(package / "model.onnx").symlink_to(key)
"""


def test_a_package_with_a_link_to_a_secret_is_refused(stack: Stack, tmp_path: Path) -> None:
    run_id = stack.script(tmp_path / "code", LEAVES_A_LINK, register={"model": "stolen"})
    run = stack.wait(run_id)
    assert run.state == FAILED
    assert "model.onnx" in run.reason
    assert "regular file" in run.reason
    assert run.cause.code == "result_invalid"
    assert len(stack.attempts(run_id)) == 1


def test_a_pipe_for_a_journal_does_not_hang_the_run(stack: Stack, tmp_path: Path) -> None:
    program = "import os, time; os.mkfifo('../journal/metrics-rank0.jsonl'); time.sleep(600)"
    run = stack.wait(stack.script(tmp_path / "code", program, retries=0))
    assert run.state == FAILED
    assert "metrics-rank0.jsonl" in run.reason
    assert run.cause.code == "result_invalid"
