"""Folders up and down, through a real gateway, registry and object store."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lepton import Client, ErrorCode, LeptonError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Small files (one of them twice), an empty one, one above the inline limit, and things that stay behind."""
    folder = tmp_path / "data"
    (folder / "a" / "b").mkdir(parents=True)
    for number in range(30):
        (folder / "a" / f"{number}.txt").write_text(f"file {number} of {tmp_path}")
    (folder / "a" / "b" / "twin.txt").write_text((folder / "a" / "0.txt").read_text())
    (folder / "empty").write_bytes(b"")
    (folder / "large.bin").write_bytes(os.urandom(3 * 1024 * 1024))
    (folder / "link.txt").symlink_to("a/1.txt")
    (folder / ".git").mkdir()
    (folder / ".git" / "config").write_text("not data")
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    """Of what is pushed."""
    files = (file for file in folder.rglob("*") if file.is_file() and ".git" not in file.parts)
    return {file.relative_to(folder).as_posix(): file.read_bytes() for file in files}


def test_the_second_push_sends_nothing_and_makes_no_version(client: Client, folder: Path) -> None:
    size = sum(map(len, set(contents(folder).values())))
    first = client.datasets.push_reported("twice", folder, message="first", progress=False)
    assert (first.version.version, first.created, first.sent_bytes) == (1, True, size)
    again = client.datasets.push_reported("twice", folder, progress=False)
    assert (again.version, again.created, again.sent_bytes) == (first.version, False, 0)


def test_only_what_is_new_travels_and_a_renamed_folder_is_not(client: Client, folder: Path) -> None:
    client.datasets.push("grows", folder, progress=False)
    (folder / "a").rename(folder / "z")
    (folder / "link.txt").unlink()
    moved = client.datasets.push_reported("grows", folder, progress=False)
    assert (moved.version.version, moved.created, moved.sent_bytes) == (2, True, 0)
    (folder / "new.txt").write_text("new")
    assert client.datasets.push_reported("grows", folder, progress=False).sent_bytes == 3
    assert [version.version for version in client.datasets.versions("grows")] == [3, 2, 1]


def test_what_comes_down_is_what_went_up(client: Client, folder: Path, tmp_path: Path) -> None:
    version = client.datasets.push("back", folder, progress=False)
    pulled = tmp_path / "pulled"
    assert client.datasets.pull("back@latest", pulled, progress=False) == version
    assert contents(pulled) == contents(folder)
    assert not (pulled / ".git").exists()
    assert {file.path for file in client.datasets.files(version)} == set(contents(folder))
    assert len(client.datasets.files(version, limit=5)) == 5


def test_a_pull_mends_what_is_wrong_and_leaves_the_rest(client: Client, folder: Path, tmp_path: Path) -> None:
    client.datasets.push("mended", folder, progress=False)
    pulled = tmp_path / "pulled"
    client.datasets.pull("mended", pulled, progress=False)
    (pulled / "large.bin").write_bytes(b"torn")
    (pulled / "a" / "0.txt").unlink()
    (pulled / "mine.txt").write_text("mine")
    kept = (pulled / "a" / "1.txt").stat().st_mtime_ns
    client.datasets.pull("mended", pulled, progress=False)
    assert contents(pulled) == contents(folder) | {"mine.txt": b"mine"}
    assert (pulled / "a" / "1.txt").stat().st_mtime_ns == kept


def test_names_and_references_that_are_wrong(client: Client, folder: Path, tmp_path: Path) -> None:
    for act, code in (
        (lambda: client.datasets.push("../etc", folder, progress=False), ErrorCode.INVALID),
        (lambda: client.datasets.push("none", tmp_path / "nowhere", progress=False), ErrorCode.NOT_FOUND),
        (lambda: client.datasets.pull("never-pushed", tmp_path / "x", progress=False), ErrorCode.NOT_FOUND),
    ):
        with pytest.raises(LeptonError) as raised:
            act()
        assert raised.value.code is code
