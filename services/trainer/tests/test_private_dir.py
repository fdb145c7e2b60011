"""A worker's own folder: one worker at a time, an identity that lasts, nothing of earlier attempts, a bounded cache."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from pwd import struct_passwd

import psutil
import pytest

from lepton_core.errors import LeptonError
from lepton_core.ids import digest_of
from lepton_fixtures.processes import wait_until
from lepton_trainer.files.cache import InputCache
from lepton_trainer.files.disk import folder_bytes
from lepton_trainer.files.private_dir import WorkerFolder, remove_folder
from lepton_trainer.processes.process_tree import MARKER, find_marked, kill_marked

HOLD = "import sys; from pathlib import Path; from lepton_trainer.files.private_dir import WorkerFolder\n"


@pytest.fixture
def other_worker(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    code = HOLD + "WorkerFolder(Path(sys.argv[1])); print('held', flush=True); sys.stdin.read()"
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        yield process
        process.kill()


def test_two_workers_cannot_share_a_folder(tmp_path: Path, other_worker: subprocess.Popen[bytes]) -> None:
    with pytest.raises(LeptonError, match="another worker runs"):
        WorkerFolder(tmp_path)
    other_worker.kill()
    other_worker.wait()
    WorkerFolder(tmp_path)


def test_identity_lasts_and_incarnations_rise(tmp_path: Path) -> None:
    first = WorkerFolder(tmp_path)
    incarnation = first.next_incarnation()
    # As after a clock that was set back.
    (tmp_path / "incarnation").write_text(str(incarnation + 10**12))
    assert first.next_incarnation() == incarnation + 10**12 + 1
    known = first.worker_id
    first.release()
    assert WorkerFolder(tmp_path).worker_id == known


def test_workspaces_are_cleared_whatever_they_hold(tmp_path: Path) -> None:
    folder = WorkerFolder(tmp_path / "home")
    (tmp_path / "precious").write_text("kept")
    workspace = folder.new_workspace("att_1")
    (workspace / "locked" / "deep").mkdir(parents=True)
    (workspace / "locked" / "deep" / "file").write_text("x")
    (workspace / "link").symlink_to(tmp_path)
    (workspace / "locked" / "deep").chmod(0o000)
    (workspace / "locked").chmod(0o000)
    (folder.attempts / "stray").write_text("x")
    (folder.attempts / "stray-link").symlink_to(tmp_path)
    folder.clear()
    assert list(folder.attempts.iterdir()) == []
    assert (tmp_path / "precious").read_text() == "kept"


def test_what_its_owner_made_unreadable_is_removed_without_roots_rights(
    tmp_path: Path, other_user: struct_passwd
) -> None:
    code = (
        "import os, sys; from pathlib import Path; from lepton_trainer.files.private_dir import remove_folder\n"
        "os.setuid(int(sys.argv[2])); root = Path(sys.argv[1]); (root / 'a' / 'b').mkdir(parents=True)\n"
        "(root / 'a' / 'b' / 'file').write_text('x'); (root / 'a' / 'b').chmod(0); (root / 'a').chmod(0)\n"
        "remove_folder(root / 'a'); sys.exit((root / 'a').exists())"
    )
    place = tmp_path / "place"
    place.mkdir(mode=0o777)
    place.chmod(0o777)
    for parent in [place, *place.parents]:
        if parent.owner() == "root" and parent != Path("/"):
            parent.chmod(parent.stat().st_mode | 0o011)
    subprocess.run([sys.executable, "-c", code, str(place), str(other_user.pw_uid)], check=True)


def test_only_processes_with_the_marker_are_killed() -> None:
    sleep = [sys.executable, "-c", "import time; time.sleep(600)"]
    marked = subprocess.Popen(sleep, env=os.environ | {MARKER: "wrk_x/att_1"}, start_new_session=True)
    other = subprocess.Popen(sleep, env=os.environ | {MARKER: "wrk_xy/att_1"})
    try:
        wait_until(lambda: find_marked("wrk_x") and find_marked("wrk_xy"), 5, "both to carry their marker")
        assert kill_marked("wrk_x", 10)
        assert marked.wait(5) == -9
        assert psutil.Process(other.pid).is_running()
        assert kill_marked("wrk_xy/att_1", 10)
    finally:
        for process in (marked, other):
            process.kill()
            process.wait()


def put(cache: InputCache, data: bytes) -> str:
    digest = digest_of(data)
    path = cache.folder / cache.name(digest)
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(data)
    return digest


def test_a_damaged_cache_file_is_dropped_and_not_given_out(tmp_path: Path) -> None:
    cache = InputCache(tmp_path)
    digest = put(cache, b"data")
    assert cache.place(digest, tmp_path / "good")
    (cache.folder / cache.name(digest)).write_bytes(b"evil")
    assert not cache.place(digest, tmp_path / "bad")
    assert not (tmp_path / "bad").exists()
    assert not cache.has(digest)


def test_a_placed_file_is_a_copy(tmp_path: Path) -> None:
    cache = InputCache(tmp_path)
    digest = put(cache, b"data")
    cache.place(digest, tmp_path / "mine")
    (tmp_path / "mine").write_bytes(b"changed by the attempt")
    assert cache.place(digest, tmp_path / "again")


def test_the_cache_drops_what_was_not_used_for_longest(tmp_path: Path) -> None:
    cache = InputCache(tmp_path)
    digests = [put(cache, bytes([number]) * 100) for number in range(3)]
    for age, digest in zip((30, 10, 20), digests, strict=True):
        os.utime(cache.folder / cache.name(digest), (1_000_000 - age, 1_000_000 - age))
    cache.shrink(200)
    assert [cache.has(digest) for digest in digests] == [False, True, True]


def test_folders_nested_without_end_are_told_and_removed(tmp_path: Path) -> None:
    """A script that leaves them must not stop the worker, nor hide from its disk budget what it wrote there."""
    nested = tmp_path / "nested"
    code = "import os, sys\nfor name in [sys.argv[1], *['ddd'] * 3000]:\n    os.mkdir(name)\n    os.chdir(name)"
    subprocess.run([sys.executable, "-c", code, str(nested)], check=True)
    with pytest.raises(LeptonError, match="so deeply"):
        folder_bytes(tmp_path)
    remove_folder(nested)
    assert not nested.exists()


def test_removing_a_folder_that_is_a_link_removes_the_link(tmp_path: Path) -> None:
    (tmp_path / "target").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "target")
    remove_folder(tmp_path / "link")
    assert (tmp_path / "target").exists()
    assert not (tmp_path / "link").is_symlink()
