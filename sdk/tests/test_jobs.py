"""Job files in three formats, and files that are none."""

from __future__ import annotations

from pathlib import Path

import pytest

from lepton.jobs import read_job
from lepton_core.errors import ErrorCode, LeptonError
from lepton_core.jobs import JobSpec, parse_job

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
    [("name: [", "while parsing"), ("- a\n- b\n", "named fields"), ("[" * 1200, "nested"), ("", "named fields")],
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
