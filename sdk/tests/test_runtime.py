"""What a script inside a job leaves in its workspace; outside a job the same script runs by itself."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from lepton_core.journal import read_records
from lepton_core.model_format.package_check import check_package
from lepton_core.workspace_files import ATTEMPT_FILE_VARIABLE, AttemptFile, ResumePoint, Workspace, write_file
from lepton_fixtures.workspaces import read_outcome

SCRIPT_SECONDS = 100


def workspace_at(folder: Path, resume: ResumePoint | None = None) -> Workspace:
    workspace = Workspace(folder)
    attempt = AttemptFile(run_id="run_1", attempt_id="att_1", ranks=2, resume=resume, model="mine")
    write_file(workspace.attempt_file, attempt.model_dump_json().encode())
    return workspace


def run(code: str, workspace: Workspace | None, rank: int = 0, exit_code: int = 0) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "RANK": str(rank)}
    environment.pop(ATTEMPT_FILE_VARIABLE, None)
    if workspace:
        environment[ATTEMPT_FILE_VARIABLE] = str(workspace.attempt_file)
    done = subprocess.run(
        [sys.executable, "-W", "error::ImportWarning", "-c", code],
        env=environment, capture_output=True, text=True, timeout=SCRIPT_SECONDS, check=False,
    )  # fmt: skip
    assert done.returncode == exit_code, done.stderr
    return done


def test_metrics_of_every_rank_are_recorded(tmp_path: Path) -> None:
    workspace = workspace_at(tmp_path)
    code = (
        "from lepton import inside\n"
        "for step in range(3): inside.log({'loss': 1 / (step + 1)}, accuracy=step)\n"
        "inside.log(loss=float('nan'), good=1, step=10)\n"
        "inside.progress(3, 4)\n"
        "import sys; assert not {'torch', 'numpy'} & set(sys.modules)\n"
    )
    assert "loss is nan at step 10" in run(code, workspace).stderr
    run(code, workspace, rank=1)
    for rank in (0, 1):
        records, _ = read_records(workspace.metrics_journal(rank))
        assert [record["s"] for record in records] == [1, 2, 3, 10]
        assert records[0]["k"] == {"loss": 1, "accuracy": 0}
        assert records[3]["k"] == {"good": 1}
    assert read_records(workspace.control_journal(0))[0][-1]["step"] == 3
    assert read_records(workspace.control_journal(1))[0] == []


def test_checkpoints_of_plain_state_and_of_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    workspace = workspace_at(tmp_path / "first")
    code = (
        "from lepton import inside\n"
        "import pathlib; pathlib.Path('own').mkdir(); pathlib.Path('own/weights.bin').write_bytes(b'123')\n"
        "inside.log(loss=1, step=4)\n"
        "inside.checkpoint({'round': 7}, step=4, epoch=1, metrics={'loss': 1}, score=0.5)\n"
        "inside.log(loss=0.5, step=5)\n"
        "inside.checkpoint('own', step=5, score=float('nan'))\n"
    )
    monkeypatch.chdir(tmp_path)
    run(code, workspace)
    first, second = read_records(workspace.control_journal(0))[0]
    assert json.loads((workspace.root / first["dir"] / "state.json").read_text()) == {"round": 7}
    assert (workspace.root / second["dir"] / "weights.bin").read_bytes() == b"123"
    assert (first["score"], second["score"]) == (0.5, None)
    journal = workspace.metrics_journal(0)
    assert second["offsets"] == {"metrics-rank0.jsonl": journal.stat().st_size}
    assert 0 < first["offsets"]["metrics-rank0.jsonl"] < journal.stat().st_size

    resumed = workspace_at(tmp_path / "second", ResumePoint(dir=str(workspace.root / first["dir"]), step=4, epoch=1))
    code = (
        "import json; from lepton import inside\n"
        "print(json.loads((inside.resume_dir() / 'state.json').read_text()), inside.resume_step())\n"
        "inside.log(loss=0.25)\n"
    )
    assert run(code, resumed).stdout == "{'round': 7} 4\n"
    assert read_records(resumed.metrics_journal(0))[0][0]["s"] == 5


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("{}, step=-1", ("step", "-1", "a whole number from 0 on")),
        ("{}, step=1.5", ("step", "1.5")),
        ("{}, step='3'", ("step", "'3'")),
        ("{}, step=10**30", ("step", "from 0 on")),
        ("{}, step=1, epoch=-1", ("epoch", "-1")),
        ("{}, step=1, score='high'", ("score", "'high'", "a number")),
        ("{}, step=1, metrics={'loss': 'low'}", ("metrics.loss", "'low'", "a number")),
        ("'empty', step=1", ("state", "got 0", "1 to 200 files")),
        ("'many', step=1", ("state", "got 201", "1 to 200 files")),
    ],
)
def test_a_checkpoint_that_could_not_be_stored_is_refused_at_the_call(
    arguments: str, words: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "many").mkdir()
    for number in range(201):
        (tmp_path / "many" / str(number)).touch()
    workspace = workspace_at(tmp_path / "workspace")
    monkeypatch.chdir(tmp_path)
    code = (
        "import lepton\n"
        f"try: lepton.checkpoint({arguments})\n"
        "except lepton.LeptonError as error: print(error)\n"
        "lepton.checkpoint({}, step=2.0, metrics={'loss': float('nan'), 'accuracy': 1}, score=float('inf'))\n"
    )
    text = run(code, workspace).stdout
    assert text.startswith("lepton.checkpoint: ")
    assert all(word in text for word in words)
    (record,) = read_records(workspace.control_journal(0))[0]
    assert (record["step"], record["score"], record["metrics"]) == (2, None, {"accuracy": 1})


def test_other_ranks_write_no_checkpoint_and_no_model(tmp_path: Path) -> None:
    workspace = workspace_at(tmp_path)
    code = "from lepton import inside; print(inside.checkpoint({}, step=1), inside.log_model('x.onnx', signature={}))"
    assert run(code, workspace, rank=1).stdout == "None None\n"
    assert not workspace.checkpoints.exists()
    assert not workspace.package.exists()


@pytest.mark.timeout(200)
def test_a_torch_module_becomes_a_package_and_a_checkpoint(tmp_path: Path) -> None:
    workspace = workspace_at(tmp_path)
    code = (
        "import torch; from lepton import inside\n"
        "model = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.ReLU(), torch.nn.Linear(3, 2))\n"
        "inside.checkpoint(model, step=3)\n"
        "inside.checkpoint({'optimizer': torch.optim.Adam(model.parameters()).state_dict(), 'step': 4}, step=4)\n"
        "inside.log_model(model, example=torch.zeros(1, 4), labels=['no', 'yes'], metrics={'accuracy': 0.9})\n"
    )
    done = run(code, workspace)
    # Nothing of the exporter's own in the log of the program.
    assert done.stdout + done.stderr == ""
    signature = check_package(workspace.package)
    assert signature.labels == ("no", "yes")
    assert signature.inputs[0].shape == (-1, 4)
    assert signature.outputs[0].name == "probabilities"
    assert (workspace.package / "weights.safetensors").exists()
    assert json.loads(workspace.evaluation.read_text())["metrics"] == {"accuracy": 0.9}
    assert json.loads((workspace.package / "card.json").read_text())["run_id"] == "run_1"
    check = (
        "import onnxruntime, numpy; "
        f"s = onnxruntime.InferenceSession({str(workspace.package / 'model.onnx')!r}); "
        "(y,) = s.run(None, {'input': numpy.ones((5, 4), 'float32')}); print(y.shape, numpy.allclose(y.sum(1), 1))"
        f"\nimport torch; torch.load({str(workspace.checkpoint(3) / 'state.pt')!r}, weights_only=True)"
        f"\nassert torch.load({str(workspace.checkpoint(4) / 'state.pt')!r}, weights_only=True)['step'] == 4"
    )
    assert run(check, None).stdout == "(5, 2) True\n"


@pytest.mark.timeout(200)
def test_tied_weights_and_outputs_of_bools_or_in_a_dict_are_kept_and_what_cannot_serve_is_not(tmp_path: Path) -> None:
    workspace = workspace_at(tmp_path)
    code = (
        "import torch; from torch import nn; from lepton import inside\n"
        "class Model(nn.Module):\n"
        "    def __init__(self):\n"
        "        super().__init__()\n"
        "        self.first, self.second = nn.Linear(4, 4, bias=False), nn.Linear(4, 4, bias=False)\n"
        "        self.second.weight = self.first.weight\n"
        "    def forward(self, x):\n"
        "        z = self.second(self.first(x)); return {'scores': z, 'positive': z > 0}\n"
        "inside.log_model(Model(), example=torch.ones(2, 4))\n"
        "for labels, value in ((['a', 'b', 'c'], 1.0), (['a', 'a'], 1.0), (['a', 'b'], float('nan'))):\n"
        "    layer = nn.Linear(4, 2); nn.init.constant_(layer.weight, value)\n"
        "    try: inside.log_model(layer, example=torch.ones(2, 4), labels=labels)\n"
        "    except ValueError as error: print(error)\n"
    )
    lines = run(code, workspace).stdout.splitlines()
    signature = check_package(workspace.package)
    assert [(each.name, each.datatype) for each in signature.outputs] == [("scores", "FP32"), ("positive", "BOOL")]
    assert (workspace.package / "weights.safetensors").exists()
    assert ["exactly 2" in lines[0], "more than once" in lines[1], "NaN" in lines[2]] == [True, True, True]
    kept = [workspace.root / record["dir"] for record in read_records(workspace.control_journal(0))[0]]
    assert [(folder / "state.pt").exists() for folder in kept] == [True, True, True]


CASES = {
    "tied weights": (
        (
            "class Model(nn.Module):\n"
            "    def __init__(self):\n"
            "        super().__init__()\n"
            "        self.words, self.head = nn.Embedding(50, 16), nn.Linear(16, 50, bias=False)\n"
            "        self.head.weight = self.words.weight\n"
            "    def forward(self, x): return self.head(self.words(x).mean(1))\n"
            "inside.log_model(Model(), example=torch.randint(0, 50, (2, 6)))\n"
        ),
        [("output", "FP32")],
    ),
    "a bool output": (
        (
            "class Model(nn.Module):\n"
            "    def __init__(self): super().__init__(); self.layer = nn.Linear(4, 1)\n"
            "    def forward(self, x): z = self.layer(x); return z, z > 0\n"
            "inside.log_model(Model(), example=torch.randn(4, 4))\n"
        ),
        [("output_0", "FP32"), ("output_1", "BOOL")],
    ),
    "a dict output": (
        (
            "class Model(nn.Module):\n"
            "    def __init__(self): super().__init__(); self.layer = nn.Linear(4, 3)\n"
            "    def forward(self, x): return {'logits': self.layer(x), 'hidden': x * 2}\n"
            "inside.log_model(Model(), example=torch.randn(2, 4))\n"
        ),
        [("logits", "FP32"), ("hidden", "FP32")],
    ),
}


@pytest.mark.timeout(200)
@pytest.mark.parametrize("case", CASES)
def test_a_model_logged_at_the_end_of_a_training_is_a_package(tmp_path: Path, case: str) -> None:
    code, outputs = CASES[case]
    workspace = workspace_at(tmp_path)
    run(f"import torch; from torch import nn; from lepton import inside\n{code}", workspace)
    signature = check_package(workspace.package)
    assert [(each.name, each.datatype) for each in signature.outputs] == outputs
    assert (workspace.package / "weights.safetensors").exists()


def linear(ir_version: int = 10, weight: float = 1.0) -> bytes:
    """y = weight * x for x of (batch, 2)."""
    onnx = pytest.importorskip("onnx")
    value, float32 = onnx.helper.make_tensor_value_info, onnx.TensorProto.FLOAT
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("Mul", ["x", "w"], ["y"])],
        "graph",
        [value("x", float32, ["n", 2])],
        [value("y", float32, ["n", 2])],
        [onnx.helper.make_tensor("w", float32, [], [weight])],
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=ir_version)
    content: bytes = model.SerializeToString()
    return content


def tensors(output: str = "y") -> dict[str, object]:
    x = {"name": "x", "datatype": "FP32", "shape": [-1, 2]}
    return {"inputs": [x], "model_inputs": [x], "outputs": [{**x, "name": output}]}


@pytest.mark.parametrize(
    ("content", "signature", "more", "words"),
    [
        ({"ir_version": 99}, tensors(), "", "cannot load it: .*99"),
        ({}, tensors("z"), "", "names the output 'z', which its graph has not; it has: 'y'"),
        ({"weight": float("nan")}, tensors(), "", "answers y with NaN or infinity on an example of ones"),
        ({}, tensors(), ", example={'x': [[float('inf'), 1]]}", "answers y with NaN or infinity on the example"),
        ({}, tensors(), ", example=[[[1, 2, 3]]]", "does not answer the example"),
        ({}, tensors(), ", example={'w': 1}", "example: got w; allowed: x"),
    ],
)
def test_an_onnx_file_that_cannot_be_served_is_refused_and_its_files_stay_with_the_run(
    tmp_path: Path, content: dict[str, float], signature: dict[str, object], more: str, words: str
) -> None:
    workspace = workspace_at(tmp_path)
    (tmp_path / "mine.onnx").write_bytes(linear(**content))  # type: ignore[arg-type]
    code = (
        "from lepton import inside\n"
        "inside.log(loss=1, step=7)\n"
        f"inside.log_model({str(tmp_path / 'mine.onnx')!r}, signature={signature!r}{more})\n"
    )
    shown = run(code, workspace, exit_code=1).stderr
    assert re.search(words, shown), shown
    assert "kept as the checkpoint of step 8: lepton run checkpoints run_1" in shown
    assert not workspace.package.exists()
    record = read_records(workspace.control_journal(0))[0][-1]
    kept = workspace.root / record["dir"]
    assert (kept / "model.onnx").read_bytes() == linear(**content)  # type: ignore[arg-type]
    assert (kept / "signature.json").exists()
    outcome = read_outcome(workspace)
    assert outcome is not None
    assert (outcome.status, outcome.final, outcome.rank, outcome.code) == ("failed", True, 0, "model_refused")


def test_an_onnx_file_that_answers_is_taken(tmp_path: Path) -> None:
    workspace = workspace_at(tmp_path)
    (tmp_path / "mine.onnx").write_bytes(linear())
    for more in ("", ", example=[[1.0, 2.0]]", ", example={'x': [[1, 2]]}"):
        code = f"from lepton import inside; inside.log_model('mine.onnx', signature={tensors()!r}{more})"
        run(f"import os; os.chdir({str(tmp_path)!r})\n{code}", workspace)
        assert check_package(workspace.package).outputs[0].name == "y"


def test_a_file_that_is_no_model_is_refused(tmp_path: Path) -> None:
    workspace = workspace_at(tmp_path)
    (tmp_path / "model.onnx").write_bytes(b"\x80\x04}.")
    tensor = {"name": "x", "datatype": "FP32", "shape": [-1]}
    signature = {"inputs": [tensor], "model_inputs": [tensor], "outputs": [tensor]}
    code = (
        "from lepton import inside, LeptonError\n"
        f"try: inside.log_model({str(tmp_path / 'model.onnx')!r}, signature={signature!r})\n"
        "except LeptonError as error: print(error)\n"
    )
    assert "not an ONNX model" in run(code, workspace).stdout
    assert not workspace.package.exists()


def test_data_of_a_job_that_names_none_ends_the_run_for_good_unless_caught(tmp_path: Path) -> None:
    workspace = workspace_at(tmp_path)
    caught = (
        "from lepton import inside, LeptonError\ntry: inside.data_dir()\nexcept LeptonError as error: print(error)\n"
    )
    assert "the job has no data" in run(caught, workspace).stdout
    assert read_outcome(workspace) is None
    run(f"{caught}raise ValueError('of its own')", workspace, exit_code=1)
    assert read_outcome(workspace) is None
    told = run("from lepton import inside; inside.data_dir()", workspace, exit_code=1).stderr
    outcome = read_outcome(workspace)
    assert outcome is not None
    assert (outcome.status, outcome.final, outcome.rank, outcome.code) == ("failed", True, 0, "inputs_refused")
    assert outcome.reason in told
    assert "add `data: NAME`" in outcome.reason
    (tmp_path / "inputs" / "data").mkdir(parents=True)
    assert run("from lepton import inside; print(inside.data_dir())", workspace).stdout == f"{tmp_path}/inputs/data\n"


def test_outside_a_job_nothing_is_recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    code = (
        "from lepton import inside\n"
        "for step in range(3): inside.log(loss=step)\n"
        "print(inside.checkpoint({}, step=1), inside.resume_dir(), inside.resume_step(), inside.data_dir())"
    )
    done = run(code, None)
    assert done.stdout == "None None 0 .\n"
    assert done.stderr.count("not in a job") == 1
    assert list(tmp_path.iterdir()) == []
