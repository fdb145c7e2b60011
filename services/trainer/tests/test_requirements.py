"""A script's requirements: compared, reported line by line, never installed."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path

import pytest

from lepton_core.errors import LeptonError
from lepton_trainer.attempt.requirements import check_requirements


def check(tmp_path: Path, text: str) -> None:
    (tmp_path / "requirements.txt").write_text(text)
    check_requirements(tmp_path / "requirements.txt", "requirements.txt")


def test_met_requirements_pass(tmp_path: Path) -> None:
    check(tmp_path, "# ours\npydantic>=2\n\npsutil >= 5 # any\nnothing-here; python_version < '3'\n")


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("no-such-package-at-all>=1", "not installed on this worker"),
        ("pydantic<1", "this worker has 2."),
        ("-r more.txt", "options are not supported"),
        ("???", "not a requirement"),
    ],
)
def test_each_unmet_line_is_named(tmp_path: Path, line: str, told: str) -> None:
    with pytest.raises(LeptonError) as found:
        check(tmp_path, f"pydantic>=2\n{line}\n")
    assert told in str(found.value)
    assert line in str(found.value)
    assert len(found.value.fields) == 1


def test_several_are_each_told_once(tmp_path: Path) -> None:
    with pytest.raises(LeptonError) as found:
        check(tmp_path, "no-such-package\npydantic<1\n")
    assert str(found.value).splitlines()[1:] == [
        "  requirements.txt: no-such-package: not installed on this worker",
        f"  requirements.txt: pydantic<1: this worker has {metadata.version('pydantic')}",
    ]


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(LeptonError, match="does not have packages that the script requires") as found:
        check_requirements(tmp_path / "none.txt", "none.txt")
    assert "none.txt is not in the code folder" in str(found.value)
