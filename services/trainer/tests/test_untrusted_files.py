"""What a hostile program may leave in its workspace, and what is made of it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from lepton_core.errors import ErrorCode, LeptonError
from lepton_trainer.files.rank_files import MAX_JSON_BYTES, FolderLimits, read_json_object, read_tail
from lepton_trainer.files.untrusted_files import LocalRankFiles, list_files, open_file

LIMITS = FolderLimits(files=10, bytes=1000)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "operator.key").write_text("lpk_secret")
    workspace = tmp_path / "attempt"
    (workspace / "package").mkdir(parents=True)
    return workspace


def test_files_of_a_folder_are_listed_in_order(root: Path) -> None:
    (root / "package" / "b").write_bytes(b"22")
    (root / "package" / "sub").mkdir()
    (root / "package" / "sub" / "a").write_bytes(b"1")
    assert list_files(root, "package", LIMITS) == {"b": 2, "sub/a": 1}


def test_a_missing_folder_is_an_empty_one(root: Path) -> None:
    assert list_files(root, "nothing/here", LIMITS) == {}


def link_to_key(root: Path) -> None:
    (root / "package" / "model.onnx").symlink_to(root.parent / "operator.key")


def folder_link(root: Path) -> None:
    (root / "package").rmdir()
    (root / "package").symlink_to(root.parent)


def inner_folder_link(root: Path) -> None:
    (root / "package" / "more").symlink_to(root.parent, target_is_directory=True)


def fifo(root: Path) -> None:
    os.mkfifo(root / "package" / "model.onnx")


def too_many(root: Path) -> None:
    for number in range(11):
        (root / "package" / str(number)).write_bytes(b"")


def too_large(root: Path) -> None:
    (root / "package" / "model.onnx").write_bytes(b"x" * 1001)


def too_deep(root: Path) -> None:
    (root / "package" / "/".join("abcdefghij")).mkdir(parents=True)
    (root / "package" / "/".join("abcdefghij") / "file").write_bytes(b"")


def control_character(root: Path) -> None:
    (root / "package" / "a\nb").write_bytes(b"")


def not_utf8(root: Path) -> None:
    Path(os.fsdecode(bytes(root / "package") + b"/\xff")).write_bytes(b"")


@pytest.mark.parametrize(
    "leave",
    [
        link_to_key,
        folder_link,
        inner_folder_link,
        fifo,
        too_many,
        too_large,
        too_deep,
        control_character,
        not_utf8,
    ],
)
def test_a_folder_with_anything_odd_is_refused(root: Path, leave: Callable[[Path], None]) -> None:
    leave(root)
    with pytest.raises(LeptonError) as refused:
        list_files(root, "package", LIMITS)
    assert refused.value.code is ErrorCode.INVALID


def test_a_hard_link_is_not_read(root: Path) -> None:
    os.link(root.parent / "operator.key", root / "package" / "model.onnx")
    with pytest.raises(LeptonError, match="hard link"), open_file(root, "package/model.onnx"):
        pass


@pytest.mark.parametrize("path", ["package/../../operator.key", "../operator.key"])
def test_paths_do_not_lead_out(root: Path, path: str) -> None:
    with pytest.raises(LeptonError), open_file(root, path):
        pass


@pytest.mark.parametrize("make", [link_to_key, fifo])
def test_neither_links_nor_pipes_are_opened(root: Path, make: Callable[[Path], None]) -> None:
    make(root)
    with pytest.raises(LeptonError), open_file(root, "package/model.onnx"):
        pass
    assert read_tail(LocalRankFiles(root), "package/model.onnx", 100) == b""


@pytest.mark.parametrize(
    "text", ["[1]", "{", '{"a": NaN}', '{"a": Infinity}', "[" * 100_000, " " * (MAX_JSON_BYTES + 1)]
)
def test_what_is_not_one_plain_json_object_is_refused(root: Path, text: str) -> None:
    (root / "evaluation.json").write_text(text)
    with pytest.raises(LeptonError, match=r"evaluation\.json"):
        read_json_object(LocalRankFiles(root), "evaluation.json")


def test_a_json_object_is_read_and_a_missing_one_is_none(root: Path) -> None:
    (root / "evaluation.json").write_text('{"accuracy": 0.5}')
    assert read_json_object(LocalRankFiles(root), "evaluation.json") == {"accuracy": 0.5}
    assert read_json_object(LocalRankFiles(root), "statistics.json") is None


def test_the_end_of_a_log_is_read(root: Path) -> None:
    (root / "log").write_bytes(b"a" * 50 + b"b" * 50)
    assert read_tail(LocalRankFiles(root), "log", 60) == b"a" * 10 + b"b" * 50


@pytest.mark.parametrize(
    "text",
    [
        b'{"a": "\\ud800"}',
        b'{"\\ud800": 1}',
        b'{"a": 1e999}',
        b'{"a": 1%s}' % (b"0" * 400),
        b'{"a": 1, "a": 2}',
        b"[" * 900,
    ],
)
def test_a_document_that_could_not_be_stored_is_refused(root: Path, text: bytes) -> None:
    (root / "evaluation.json").write_bytes(text)
    with pytest.raises(LeptonError, match=r"^evaluation\.json: ") as caught:
        read_json_object(LocalRankFiles(root), "evaluation.json")
    assert caught.value.code is ErrorCode.INVALID


@pytest.mark.parametrize("name", ["a\0b", "\ud800"])
def test_a_name_that_no_file_can_have_is_refused(root: Path, name: str) -> None:
    with pytest.raises(LeptonError, match="not the name of a file"):
        list_files(root, name, LIMITS)
