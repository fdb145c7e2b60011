"""Exit codes and streams of the command, as a script sees them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lepton.cli.app import run_command
from lepton.cli.exit_codes import EXITS, Exit
from lepton.transport.login import Login, save_login
from lepton_core.errors import ErrorCode

Captured = pytest.CaptureFixture[str]


def test_every_error_has_an_exit_code_of_its_own_kind() -> None:
    assert set(EXITS) == set(ErrorCode)
    assert Exit.OK not in EXITS.values()


def test_without_a_login(home: Path, capsys: Captured) -> None:
    assert run_command(["run", "ls"]) == Exit.DENIED
    out, err = capsys.readouterr()
    assert out == ""
    assert "lepton login" in err


def test_errors_in_json_are_one_document_on_stderr(home: Path, capsys: Captured) -> None:
    assert run_command(["run", "ls", "--json"]) == Exit.DENIED
    out, err = capsys.readouterr()
    told = json.loads(err)
    assert (out, told["code"], told["exit_code"]) == ("", "unauthenticated", 4)


@pytest.mark.parametrize("command", [["frobnicate"], ["run", "frobnicate"], ["run", "show"], ["run", "ls", "-n", "x"]])
def test_a_wrong_command_line(home: Path, capsys: Captured, command: list[str]) -> None:
    assert run_command(command) == Exit.INVALID
    assert "Usage" in capsys.readouterr().err
    assert run_command([*command, "--json"]) == Exit.INVALID
    assert json.loads(capsys.readouterr().err)["code"] == "invalid"


def test_a_deployment_of_no_version_is_told_apart_from_a_command(home: Path, capsys: Captured) -> None:
    assert run_command(["deploy", "digits", "digits"]) == Exit.INVALID
    assert "name its version or alias" in capsys.readouterr().err


def test_nobody_at_the_address(home: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured) -> None:
    monkeypatch.setattr("lepton.cli.session.RETRY_SECONDS", 0.0)
    save_login(Login("http://127.0.0.1:9", "lpk_x"))
    assert run_command(["model", "ls"]) == Exit.UNAVAILABLE
    assert "lepton doctor" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "expected", "told"),
    [
        ("name: a\nrecip: tabular\ndata: d\n", Exit.INVALID, "did you mean 'recipe'"),
        ("name: a\n", Exit.INVALID, "exactly one of recipe and script"),
        ("name: '../a'\nrecipe: tabular\ndata: d\n", Exit.INVALID, "name"),
        ("name: a\nscript: {folder: gone, entry: a.py}\n", Exit.INVALID, "script.folder: no such folder"),
        (None, Exit.NOT_FOUND, "no such job file"),
    ],
)
def test_a_wrong_job_file_is_told_before_anything_is_sent(
    home: Path, tmp_path: Path, capsys: Captured, text: str | None, expected: Exit, told: str
) -> None:
    save_login(Login("http://127.0.0.1:9", "lpk_x"))
    file = tmp_path / "job.yaml"
    if text is not None:
        file.write_text(text)
    assert run_command(["job", "submit", str(file)]) == expected
    assert told in capsys.readouterr().err


def test_the_schema_needs_no_platform(home: Path, capsys: Captured) -> None:
    assert run_command(["job", "schema"]) == Exit.OK
    assert "recipe" in json.loads(capsys.readouterr().out)["properties"]


def test_doctor_without_anything_says_what_to_do(home: Path, capsys: Captured) -> None:
    assert run_command(["doctor", "--json"]) == Exit.FAILED
    told = json.loads(capsys.readouterr().out)
    login = next(finding for finding in told["findings"] if finding["subject"] == "login")
    assert (told["ok"], login["ok"]) == (False, False)
    assert "lepton up" in login["hint"]


def test_doctor_finds_a_key_that_others_can_read(home: Path, capsys: Captured) -> None:
    save_login(Login("http://127.0.0.1:9", "lpk_x")).chmod(0o644)
    assert run_command(["doctor", "--json"]) == Exit.FAILED
    findings = {finding["subject"]: finding for finding in json.loads(capsys.readouterr().out)["findings"]}
    assert "chmod 600" in findings["login"]["hint"]
    assert "lepton up" in findings["gateway"]["hint"]
    assert "doctor" not in findings["gateway"]["text"]


def test_the_key_is_no_argument_and_is_not_saved_before_it_was_tried(home: Path, tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text("lpk_secret\n")
    assert run_command(["login", "http://127.0.0.1:9", "lpk_secret"]) == Exit.INVALID
    assert run_command(["login", "http://127.0.0.1:9", "--key-file", str(file)]) == Exit.UNAVAILABLE
    assert not (home / "login.json").exists()


def test_a_mistyped_command_deploys_nothing(home: Path, capsys: Captured) -> None:
    assert run_command(["deploy", "rolback", "digits"]) == Exit.INVALID
    assert "rollback" in capsys.readouterr().err
    # With a reference to a model it is a deployment, which needs a login.
    assert run_command(["deploy", "digits", "digits@champion"]) == Exit.DENIED
