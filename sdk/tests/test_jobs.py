"""Job files in three formats, and files that are none."""

from __future__ import annotations

from pathlib import Path

import pytest

from lepton import Client
from lepton.resources.jobs import read_job
from lepton_core.errors import ErrorCode, LeptonError
from lepton_core.jobs.spec import JobSpec, parse_job

YAML = """
name: digits
recipe: vision.classifier
data: digits
train: {learning_rate: 2e-3}
resources: {ranks: 2}
"""
TOML = """
name = "digits"
recipe = "vision.classifier"
data = "digits"
train.learning_rate = 2e-3
resources.ranks = 2
"""
JSON = """
{"name": "digits", "recipe": "vision.classifier", "data": "digits", "train": {"learning_rate": 2e-3},
 "resources": {"ranks": 2}}
"""


@pytest.mark.parametrize(("name", "text"), [("job.yaml", YAML), ("job.toml", TOML), ("job.json", JSON)])
def test_the_formats_say_the_same(tmp_path: Path, name: str, text: str) -> None:
    file = tmp_path / name
    file.write_text(text)
    body, base = read_job(file)
    assert body["train"] == {"learning_rate": 0.002}
    assert parse_job(body) == parse_job(read_job(parse_job(body))[0])
    assert base == tmp_path.resolve()


def test_only_what_was_set_is_sent() -> None:
    spec = JobSpec.model_validate({"name": "a", "recipe": "tabular", "data": "d"})
    assert read_job(spec)[0] == {"name": "a", "recipe": "tabular", "data": "d"}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("name: [", "line 1, column 8"),
        ("a: b\na: c", "line 2, column 1: found duplicate key"),
        ("- a\n- b\n", "a list; a job file holds named fields"),
        ("a,b\n1,2\n", "a single value; a job file"),
        ("[" * 1200, "nested"),
        ("", "nothing; a job file holds named fields"),
    ],
)
def test_what_is_no_job_file_is_invalid_and_named(tmp_path: Path, text: str, told: str) -> None:
    file = tmp_path / "bad.yaml"
    file.write_text(text)
    with pytest.raises(LeptonError, match=told) as raised:
        read_job(file)
    assert raised.value.code is ErrorCode.INVALID
    assert "bad.yaml" in str(raised.value)


def test_bytes_folders_and_missing_files(tmp_path: Path) -> None:
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00")
    for name, code in (("binary.yaml", ErrorCode.INVALID), (".", ErrorCode.INVALID), ("none", ErrorCode.NOT_FOUND)):
        with pytest.raises(LeptonError) as raised:
            read_job(tmp_path / name)
        assert raised.value.code is code


def test_json_is_read_as_json(tmp_path: Path) -> None:
    file = tmp_path / "job.json"
    file.write_text('{\n\t"name": }')
    with pytest.raises(LeptonError, match=r"job.json, line 2, column 10: Expecting value"):
        read_job(file)


@pytest.mark.parametrize(
    ("script", "told"),
    [
        ({"entry": "trian.py"}, "script.entry: no such file in .*, did you mean 'train.py'"),
        ({"entry": "train.py", "requirements": "requirement.txt"}, "script.requirements: no such file"),
        ({"entry": "train.py", "requirements": ".hidden/r.txt"}, "script.requirements: hidden files are not uploaded"),
    ],
)
def test_files_of_a_script_are_looked_for_before_anything_is_sent(
    tmp_path: Path, script: dict[str, str], told: str
) -> None:
    for name in ("train.py", "requirements.txt", ".hidden/r.txt"):
        (tmp_path / "code" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "code" / name).touch()
    job = {"name": "a", "script": {"folder": str(tmp_path / "code"), **script}}
    # Nobody listens there.
    client = Client("http://127.0.0.1:9", "lpk_1_a", retry_seconds=0)
    with client, pytest.raises(LeptonError, match=told) as raised:
        client.jobs.submit(job)
    assert raised.value.code is ErrorCode.INVALID
