"""Which files of a script are kept if its result cannot be used. Whatever it leaves, this decides, and never fails."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lepton_core.api import FileEntry
from lepton_core.ids import digest_of
from lepton_trainer.files.left_files import LeftFiles, find_left_files
from lepton_trainer.files.untrusted_files import LocalRankFiles

PROGRAM = b"print('trained')"
SUBMITTED = {"train.py": FileEntry(path="train.py", digest=digest_of(PROGRAM), bytes=len(PROGRAM))}
ROOM = 1000


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The workspace of an attempt whose script has changed nothing."""
    (tmp_path / "operator.key").write_text("lpk_secret")
    workspace = tmp_path / "attempt"
    (workspace / "code").mkdir(parents=True)
    (workspace / "code" / "train.py").write_bytes(PROGRAM)
    return workspace


def write(root: Path, path: str, data: bytes = b"x", modified: int | None = None) -> Path:
    file = root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(data)
    if modified is not None:
        os.utime(file, (modified, modified))
    return file


def left(root: Path, max_bytes: int = ROOM, max_files: int = 10, owner: int | None = None) -> LeftFiles:
    return find_left_files(LocalRankFiles(root, owner), SUBMITTED, max_bytes, max_files)


def test_the_submitted_code_is_not_kept(root: Path) -> None:
    os.utime(root / "code" / "train.py", (1, 1))
    assert left(root) == LeftFiles([], 0)


def test_new_files_and_the_package_are_kept_and_caches_are_not(root: Path) -> None:
    for path in ("code/model.pt", "code/out/curve.png", "package/model.onnx"):
        write(root, path)
    for path in ("code/__pycache__/mine.pyc", "code/.git/HEAD", "code/out/__pycache__/a.pyc", "tmp/x", "home/y"):
        write(root, path)
    assert left(root) == LeftFiles(["code/model.pt", "code/out/curve.png", "package/model.onnx"], 0)


@pytest.mark.parametrize("other", [b"print('trainee')", b"print('trained'); more"])
def test_a_submitted_file_with_other_bytes_is_kept_also_if_its_time_and_size_are_the_same(
    root: Path, other: bytes
) -> None:
    before = (root / "code" / "train.py").stat()
    write(root, "code/train.py", other)
    os.utime(root / "code" / "train.py", ns=(before.st_atime_ns, before.st_mtime_ns))
    assert left(root) == LeftFiles(["code/train.py"], 0)


def test_a_file_of_the_package_with_the_name_of_a_submitted_one_is_not_mistaken_for_it(root: Path) -> None:
    write(root, "package/train.py", PROGRAM)
    assert left(root) == LeftFiles(["package/train.py"], 0)


def test_the_newest_files_are_kept_and_the_number_of_others_is_known(root: Path) -> None:
    for number in range(5):
        write(root, f"code/sample-{number}", modified=100 + number)
    write(root, "code/model.pt", modified=200)
    assert left(root, max_files=3) == LeftFiles(["code/model.pt", "code/sample-3", "code/sample-4"], 3)


def test_a_file_that_is_too_large_makes_room_for_older_ones(root: Path) -> None:
    write(root, "code/huge", b"x" * (ROOM + 1), modified=300)
    write(root, "code/model.pt", b"x" * ROOM, modified=200)
    write(root, "code/log", modified=100)
    assert left(root) == LeftFiles(["code/model.pt"], 2)


def hostile(root: Path) -> int:
    """Puts entries of every odd sort beside the model; their number."""
    secret = root.parent / "operator.key"
    (root / "code" / "link").symlink_to(secret)
    (root / "code" / "folder").symlink_to(root.parent, target_is_directory=True)
    (root / "code" / "dangling").symlink_to("nowhere")
    os.mkfifo(root / "code" / "pipe")
    os.link(secret, root / "code" / "hard")
    Path(os.fsdecode(bytes(root / "code") + b"/\xff")).write_bytes(b"x")
    for name in ("a\nb", "back\\slash"):
        write(root, f"code/{name}", modified=1)
    write(root, "code/" + "/".join("abcdefghijklmnopqrstuvwxyz") + "/deep")
    # Only one of them can be in a manifest.
    write(root, "code/Notes", modified=2)
    write(root, "code/notes", modified=1)
    return 10


def test_what_is_no_plain_file_of_the_script_is_left_out(root: Path) -> None:
    write(root, "code/model.pt")
    number = hostile(root)
    assert left(root) == LeftFiles(["code/Notes", "code/model.pt"], number)


def test_a_folder_that_became_a_link_is_left_out(root: Path) -> None:
    write(root, "code/model.pt")
    (root / "package").symlink_to(root.parent, target_is_directory=True)
    assert left(root) == LeftFiles(["code/model.pt"], 1)


def test_files_of_other_users_are_left_out(root: Path) -> None:
    write(root, "code/model.pt")
    assert left(root, owner=os.getuid() + 1) == LeftFiles([], 2)


def test_a_workspace_without_the_folders_leaves_nothing(tmp_path: Path) -> None:
    assert left(tmp_path) == LeftFiles([], 0)
