"""`make lint` compares the contracts with the released ones: what a client of that release would misread is refused."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
RELEASED = ROOT / "proto/baseline/contracts.binpb.gz"


def breaking(tree: Path) -> subprocess.CompletedProcess[str]:
    command = [Path(sys.executable).with_name("buf"), "breaking", "--against", RELEASED]
    return subprocess.run(command, cwd=tree, capture_output=True, text=True, check=False)


@pytest.fixture
def tree(tmp_path):
    shutil.copy(ROOT / "buf.yaml", tmp_path)
    shutil.copytree(ROOT / "proto/lepton_proto", tmp_path / "proto/lepton_proto")
    return tmp_path


def change(tree: Path, old: str, new: str) -> None:
    file = tree / "proto/lepton_proto/v1/runs.proto"
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new, 1))


def test_a_new_field_is_compatible(tree):
    change(tree, "message Run {", "message Run {\n  string added = 1000;")
    found = breaking(tree)
    assert (found.returncode, found.stdout) == (0, "")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("string project = 2;", "string project = 1000;"),
        ("string project = 2;", "int64 project = 2;"),
        ("string project = 2;", "string tenant = 2;"),
        ("string project = 2;", ""),
    ],
)
def test_a_field_that_is_renumbered_retyped_renamed_or_dropped_is_refused(tree, old, new):
    change(tree, old, new)
    found = breaking(tree)
    assert found.returncode != 0
    assert '"project"' in found.stdout
