"""Links and file names in the documentation lead somewhere."""

import re
from pathlib import Path

import pytest

from lepton_core.causes import EndCause, WaitingCause

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
LINK = re.compile(r"\[[^\]]+\]\(([^)#\s]+)?(#[^)]+)?\)")
FILE = re.compile(r"`([\w./<>-]+\.(?:py|yaml|json|toml))`")
# Files that users have or a job makes, not files of the tree.
THEIRS = {
    "digits.yaml", "tabular.yaml", "script.yaml", "job.yaml", "schema.json", "settings.py", "data.py", "model.py",
    "recipe.py", "train.py", "pyproject.toml", "signature.json", "state.json", "card.json", "main.py", "utils.py",
    "helpers.py", "sbom.cdx.json", "passed-trials.json", "attempt.json", "outcome.json",
}  # fmt: skip


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_to_files_and_headings(page: Path) -> None:
    for target, heading in LINK.findall(page.read_text(encoding="utf-8")):
        if target.startswith(("http://", "https://")):
            continue
        file = (page.parent / target) if target else page
        assert file.exists(), f"{page.name}: {target} does not exist"
        if heading:
            titles = re.findall(r"^#+ (.+)$", file.read_text(encoding="utf-8"), re.MULTILINE)
            anchors = {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}
            assert heading[1:] in anchors, f"{page.name}: {target}{heading} does not exist"


TOP = [f"/{path.name}" for path in ROOT.glob("*.*")]
FOLDERS = ("benchmarks", "core", "deploy", "docs", "proto", "sdk", "services", "tests")
TREE = TOP + [f"/{path.relative_to(ROOT).as_posix()}" for folder in FOLDERS for path in (ROOT / folder).rglob("*.*")]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_files_that_are_named_exist(page: Path) -> None:
    for name in FILE.findall(page.read_text(encoding="utf-8")):
        if Path(name).name not in THEIRS and "<" not in name:
            assert any(path.endswith(f"/{name}") for path in TREE), f"{page.name}: there is no {name}"


def test_every_cause_is_explained_where_people_look_for_it() -> None:
    page = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
    assert [code for code in (*WaitingCause, *EndCause) if f"| `{code}` |" not in page] == []
