"""What the command says without a platform."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lepton.cli.app import run_command
from lepton.transport.login import Login, save_login


def test_the_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["--version"]) == 0
    assert capsys.readouterr().out.startswith("lepton ")


def test_a_login_is_exported_for_a_shell(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save_login(Login("http://127.0.0.1:8710", "lpk_1_a'b"))
    assert run_command(["login", "--export"]) == 0
    out, err = capsys.readouterr()
    assert out.splitlines() == [
        "export LEPTON_URL=http://127.0.0.1:8710",
        "export LEPTON_API_KEY='lpk_1_a'\"'\"'b'",
    ]
    assert err == ""
    assert run_command(["login", "--export", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["LEPTON_API_KEY"] == "lpk_1_a'b"


def test_an_export_without_a_login_sets_nothing(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["login", "--export"]) == 4
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("keys create ci --role nope", "'nope' is not one of 'viewer', 'editor', 'admin', 'operator'"),
        ("deploy digits", "NAME MODEL@latest"),
        ("deploy lss", "Did you mean 'ls'?"),
        ("submitt job.yaml", "Did you mean 'lepton job submit'?"),
        ("promote digits@2", "Did you mean 'lepton model promote'?"),
        ("jobb", "Did you mean 'job'?"),
        ("login --key-file x", "lepton login URL --key-file FILE"),
    ],
)
def test_a_wrong_line_is_told_in_plain_words(
    home: Path, capsys: pytest.CaptureFixture[str], line: str, told: str
) -> None:
    assert run_command(line.split()) == 2
    err = capsys.readouterr().err
    assert told in err
    assert "Value error" not in err


@pytest.mark.parametrize("line", ["--help", "job submit --help", "deploy create --help"])
def test_a_flag_is_shown_without_a_value(capsys: pytest.CaptureFixture[str], line: str) -> None:
    assert run_command(line.split()) == 0
    out = capsys.readouterr().out
    assert "--help" in out
    assert "<bool>" not in out
