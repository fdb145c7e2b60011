"""The `lepton` command against a whole platform, as scripts and people use it."""

from __future__ import annotations

import json
import signal
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from lepton import Client, Run
from lepton.cli.app import run_command
from lepton_fixtures.platform import RunningPlatform
from lepton_fixtures.processes import wait_until

from .conftest import CSV, JOB, NAME

READING = [
    "data ls",
    f"data show {NAME}",
    f"data show {NAME}@1 --files",
    "job schema",
    "run ls",
    "run ls --state succeeded --limit 100",
    "run show RUN",
    "run watch RUN",
    "run metrics RUN",
    "run metrics RUN loss",
    "model ls",
    f"model show {NAME}",
    f"model show {NAME}@champion",
    f"model compare {NAME}@champion {NAME}@1",
    "deploy ls",
    f"deploy show {NAME}",
    f"lineage {NAME}@champion",
    f"lineage {NAME}@champion --both",
    "keys ls",
    "recipe ls",
    "recipe show tabular",
    "worker ls",
]


def in_json(platform: RunningPlatform, *arguments: str) -> Any:
    return json.loads(platform.cli(*arguments, "--json").stdout)


@pytest.mark.parametrize("line", READING)
def test_every_reading_command_speaks_to_people_and_to_programs(
    platform: RunningPlatform,
    trained: Run,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    line: str,
) -> None:
    # In this process: starting Python fifty times would test nothing more.
    monkeypatch.setenv("LEPTON_HOME", str(platform.home))
    arguments = line.replace("RUN", trained.id).split()
    assert run_command(arguments) == 0, capsys.readouterr().err
    assert capsys.readouterr().out.strip()
    assert run_command([*arguments, "--json"]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out) is not None
    assert err == ""


def test_a_model_s_card_is_shown_to_be_read(platform: RunningPlatform, trained: Run) -> None:
    told = platform.cli("model", "show", f"{NAME}@1").stdout
    assert "name: tabular" in told
    assert "epochs: 3" in told
    assert "{" not in told


def test_doctor_finds_the_platform_in_order(platform: RunningPlatform, trained: Run) -> None:
    """Deployments of other tests may have failed on purpose, which it rightly tells; all else is as it should be."""
    done = platform.cli("doctor", "--json", check=False)
    findings = json.loads(done.stdout)["findings"]
    wrong = {each["subject"] for each in findings if not each["ok"]}
    assert wrong <= {"deployments"}
    assert done.returncode == (1 if wrong else 0)
    assert {"gateway", "workers", "recipes", "inference"} <= {each["subject"] for each in findings}


def test_data_travels(platform: RunningPlatform, tmp_path: Path) -> None:
    folder = tmp_path / "numbers"
    folder.mkdir()
    (folder / "a.csv").write_text(CSV)
    first = in_json(platform, "data", "push", "numbers", str(folder), "-m", "from the shell")
    assert (first["version"], first["created"], first["message"]) == (1, True, "from the shell")
    assert in_json(platform, "data", "push", "numbers", str(folder))["sent_bytes"] == 0
    assert "all files were there already" in platform.cli("data", "push", "numbers", str(folder)).stdout
    platform.cli("data", "pull", "numbers@1", str(tmp_path / "back"))
    assert (tmp_path / "back" / "a.csv").read_text() == CSV


def test_a_watched_job_ends_with_its_document_and_a_code(
    platform: RunningPlatform, table: Path, tmp_path: Path
) -> None:
    good, bad = tmp_path / "good.json", tmp_path / "bad.json"
    good.write_text(json.dumps(JOB))
    wrong_column = {**JOB, "train": {"target": "colour"}, "retries": 0}
    bad.write_text(json.dumps(wrong_column))
    first = in_json(platform, "job", "submit", str(good), "--key", "from-a-script", "--watch")
    assert first["state"] == "succeeded"
    assert in_json(platform, "job", "submit", str(good), "--key", "from-a-script")["id"] == first["id"]
    failed = platform.cli("job", "submit", str(bad), "--watch", "--json", check=False)
    assert failed.returncode == 1
    assert json.loads(failed.stdout)["state"] == "failed"
    assert "colour" in json.loads(failed.stderr)["detail"]


def test_a_refused_job_names_the_field_and_what_is_allowed(
    platform: RunningPlatform, table: Path, tmp_path: Path
) -> None:
    file = tmp_path / "job.json"
    file.write_text(json.dumps({**JOB, "train": {"target": "kind", "learning_rate": -1}}))
    done = platform.cli("job", "submit", str(file), check=False)
    assert done.returncode == 2
    assert "train.learning_rate" in done.stderr
    assert "> 0" in done.stderr
    file.write_text(json.dumps({**JOB, "data": "not-there"}))
    assert platform.cli("job", "submit", str(file), check=False).returncode in (2, 3)


def test_predictions_of_a_row_and_of_a_file(platform: RunningPlatform, trained: Run, tmp_path: Path) -> None:
    one = in_json(platform, "predict", NAME, "--row", '{"width": 6, "height": 1}')
    assert one["model_version"] == 1
    assert one["prediction_id"] in platform.cli("lineage", one["prediction_id"]).stdout
    rows = tmp_path / "rows.csv"
    rows.write_text("width,height\n6,1\n0,1\n")
    lines = platform.cli("predict", NAME, "--rows", str(rows), "--json").stdout.splitlines()
    assert json.loads(lines[0])["label"] == one["label"]
    assert len(lines) == 2
    assert len(platform.cli("predict", NAME, "--rows", str(rows)).stdout.splitlines()) == 2
    wrong = platform.cli("predict", NAME, "--row", '{"widht": 6}', check=False)
    assert (wrong.returncode, "width" in wrong.stderr) == (2, True)
    assert "\n  widht: the model has no such column" in wrong.stderr
    rows.write_text("width;height\n" + "6;1\n" * 203 + "6;tall\n")
    wrong = platform.cli("predict", NAME, "--rows", str(rows), check=False)
    assert (wrong.returncode, len(wrong.stdout.splitlines())) == (2, 200)
    assert "row 204: height: " in wrong.stderr


def test_serving_is_begun_and_ended_from_the_shell(platform: RunningPlatform, trained: Run) -> None:
    made = in_json(platform, "deploy", "shell", f"{NAME}@1")
    assert made["last_good"]["model_version"] == 1
    moved = in_json(platform, "model", "promote", f"{NAME}@1", "--alias", "stable")
    assert (moved["name"], moved["version"]) == ("stable", 1)
    assert platform.cli("model", "promote", f"{NAME}@1", "-a", "stable", "--expect", "7", check=False).returncode == 1
    for missing in ("nope@1", f"{NAME}@77", f"{NAME}@nobody"):
        assert platform.cli("deploy", "shell", missing, check=False).returncode == 3
    assert platform.cli("deploy", "shell", f"{NAME}@@", check=False).returncode == 2
    said = platform.cli("model", "promote", f"{NAME}@1", "-a", "stable").stdout
    assert "deployment shell is pinned to a version and does not change: lepton deploy follow shell stable" in said
    assert f"it follows {NAME}@stable" in platform.cli("deploy", "follow", "shell", "stable").stdout
    assert "deployment shell follows it" in platform.cli("model", "promote", f"{NAME}@1", "-a", "stable").stdout
    unversioned = platform.cli("model", "promote", NAME, check=False)
    assert (unversioned.returncode, f"{NAME}@" in unversioned.stderr) == (2, True)
    platform.cli("deploy", "delete", "shell")
    assert platform.cli("deploy", "show", "shell", check=False).returncode == 3


def test_a_new_key_is_written_for_its_owner_only_and_logs_in(platform: RunningPlatform, tmp_path: Path) -> None:
    file = tmp_path / "ci.key"
    made = platform.cli("keys", "create", "ci", "--role", "viewer", "--expires", "1h", "--out", str(file))
    secret = file.read_text().strip()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert secret not in made.stdout + made.stderr
    assert platform.cli("keys", "create", "ci", "--out", str(file), check=False).returncode == 1
    other = {**platform.environ, "LEPTON_HOME": str(tmp_path / "other")}
    mine, platform.environ = platform.environ, other
    try:
        told = in_json(platform, "login", platform_url(mine), "--key-file", str(file))
        assert told["role"] == "viewer"
        assert platform.cli("run", "ls").returncode == 0
        assert platform.cli("keys", "ls", check=False).returncode == 4
    finally:
        platform.environ = mine
    platform.cli("keys", "revoke", next(key["id"] for key in in_json(platform, "keys", "ls") if key["name"] == "ci"))


def platform_url(environ: dict[str, str]) -> str:
    return str(json.loads((Path(environ["LEPTON_HOME"]) / "login.json").read_text())["url"])


def test_runs_are_cancelled_and_repeated(platform: RunningPlatform, client: Client, table: Path) -> None:
    run = client.jobs.submit({**JOB, "train": {"target": "kind", "epochs": 5000}})
    watching = [str(Path(sys.executable).with_name("lepton")), "run", "watch", run.id]
    # A shell that starts the tests in the background has them ignore SIGINT, which a child would inherit.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    with subprocess.Popen(watching, env=platform.environ, stderr=subprocess.PIPE, text=True) as watch:
        signal.signal(signal.SIGINT, before)
        assert watch.stderr is not None
        watch.stderr.readline()
        watch.send_signal(signal.SIGINT)
        assert f"the run goes on: lepton run logs {run.id} -f" in watch.stderr.read()
    assert watch.returncode == 130
    platform.cli("run", "cancel", run.id)
    assert platform.cli("run", "watch", run.id, check=False).returncode == 1
    again = in_json(platform, "run", "retry", run.id)
    assert again["retry_of"] == run.id
    platform.cli("run", "cancel", again["id"])


def test_logs_are_text_or_a_line_of_json_for_each_piece(platform: RunningPlatform, trained: Run) -> None:
    assert json.loads(platform.cli("run", "show", trained.id[:-1], "--json").stdout)["id"] == trained.id
    pieces = platform.cli("run", "logs", trained.id, "--json").stdout.splitlines()
    text = platform.cli("run", "logs", "-f", trained.id).stdout
    assert "".join(json.loads(piece)["text"] for piece in pieces) == text


def test_the_log_is_what_the_programs_said_and_unknown_names_are_told(platform: RunningPlatform, trained: Run) -> None:
    said = platform.cli("run", "logs", trained.id).stdout
    assert said.startswith("data: ")
    assert "torch/distributed" not in said
    wrong = platform.cli("run", "logs", trained.id, "--stream", "rank-7", check=False)
    assert (wrong.returncode, wrong.stdout) == (3, "")
    assert "rank-0, launcher, all" in wrong.stderr
    wrong = platform.cli("run", "metrics", trained.id, "los", check=False)
    assert (wrong.returncode, wrong.stdout) == (3, "")
    assert "did you mean 'loss'?" in wrong.stderr


def test_a_drained_worker_lets_go_at_a_checkpoint_and_takes_no_more(
    platform: RunningPlatform, client: Client, table: Path
) -> None:
    long = {**JOB, "name": "long", "train": {"target": "kind", "epochs": 9000}, "register": None}
    run = client.jobs.submit(long, progress=False)
    wait_until(lambda: run.refresh().progress > 0, 60, "the run trains")
    [worker] = [each for each in client.workers.list() if each.alive]
    assert worker.current_attempt_id == run.refresh().resource.current_attempt_id
    drained = in_json(platform, "worker", "drain", worker.id, "--wait")
    assert (drained["draining"], drained["current_attempt_id"]) == (True, "")
    try:
        [attempt] = run.attempts()
        assert attempt.state == "released"
        step = max(each.step for each in run.checkpoints())
        findings = json.loads(platform.cli("doctor", "--json", check=False).stdout)["findings"]
        assert any(each["subject"] == "workers" and not each["ok"] for each in findings)
        assert run.refresh().state == "queued"
        [vain] = [each for each in findings if each["subject"] == "runs"]
        assert (vain["ok"], run.id in vain["text"], "draining" in vain["text"]) == (False, True, True)
        assert "the workers that could run it are draining" in platform.cli("run", "show", run.id).stdout
    finally:
        platform.kill("trainer", signal.SIGTERM)
    wait_until(lambda: run.refresh().attempt == 2, 60, "the worker that was started anew takes the run")
    assert run.resumed_step() == step
    wait_until(lambda: run.refresh().progress > 0, 60, "the run trains again")
    platform.cli("run", "cancel", run.id)
    wait_until(lambda: run.refresh().ended, 60, "the run is cancelled")
    assert "\n--- attempt 2\n" in platform.cli("run", "logs", run.id).stdout
    ended = platform.cli("run", "watch", run.id, check=False)
    assert (ended.returncode, "run logs" in ended.stderr, "no reason" in ended.stderr) == (1, False, False)
