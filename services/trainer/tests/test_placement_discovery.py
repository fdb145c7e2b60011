"""The placement that a worker's settings name is found at its start, or the worker says which ones there are."""

from __future__ import annotations

from pathlib import Path

import pytest

from lepton_core.errors import ErrorCode, LeptonError
from lepton_trainer.placement.discovery import find_placement, load_placement
from lepton_trainer.placement.local import make_placement


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An installed package with the placements `ray` and `broken`."""
    metadata = tmp_path / "placements-1.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: placements\nVersion: 1\n")
    entries = "[lepton.placements]\nray = ray_placement:Gang\nbroken = ray_placement:Missing\n"
    (metadata / "entry_points.txt").write_text(entries)
    (tmp_path / "ray_placement.py").write_text("class Gang: ...\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


def test_a_placement_is_found_by_its_name() -> None:
    assert load_placement(find_placement("local")) is make_placement


@pytest.mark.usefixtures("site")
def test_a_placement_of_another_package_is_found() -> None:
    assert load_placement(find_placement("ray")).__name__ == "Gang"


@pytest.mark.usefixtures("site")
@pytest.mark.parametrize(
    ("name", "expected"), [("rey", "broken or local or ray"), ("broken", "ray_placement:Missing cannot be imported")]
)
def test_a_placement_that_cannot_be_used_is_refused(name: str, expected: str) -> None:
    with pytest.raises(LeptonError) as caught:
        find_placement(name)
    assert caught.value.code is ErrorCode.INVALID
    [field] = caught.value.fields
    assert expected in f"{field.message} {field.allowed}"
