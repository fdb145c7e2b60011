"""Hostile archives are refused, and nothing is written outside; ordinary ones of all three formats unpack."""

import io
import os
import stat
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import pytest

from lepton_core.archives import ArchiveLimits, unpack
from lepton_core.errors import ErrorCode, LeptonError

FILES = {"a.txt": b"alpha", "folder/b.bin": bytes(range(256)) * 40, "folder/empty": b"", "ümlaut/c": b"x"}


def zip_of(entries: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in entries.items():
            archive.writestr(zipfile.ZipInfo(name), data, zipfile.ZIP_DEFLATED)
    return buffer.getvalue()


def tar_of(entries: dict[str, bytes], mode: Literal["w", "w:gz"] = "w", form: int = tarfile.PAX_FORMAT) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode, format=form) as archive:
        for name, data in entries.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def tar_entry(name: str, kind: bytes, target: str = "") -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        info = tarfile.TarInfo(name)
        info.type = kind
        info.linkname = target
        archive.addfile(info)
    return buffer.getvalue()


def zip_link(name: str, target: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        info = zipfile.ZipInfo(name)
        info.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(info, target)
    return buffer.getvalue()


def read_tree(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    "data",
    [
        zip_of(FILES),
        tar_of(FILES),
        tar_of(FILES, "w:gz"),
        tar_of(FILES, form=tarfile.GNU_FORMAT),
        tar_of({f"./{name}": data for name, data in FILES.items()}, "w:gz"),
    ],
    ids=["zip", "tar", "tar.gz", "gnu", "dot"],
)
def test_ordinary_archives_unpack(data: bytes, tmp_path: Path) -> None:
    unpacked = unpack(io.BytesIO(data), tmp_path / "out")
    assert read_tree(tmp_path / "out") == FILES
    assert unpacked.files == len(FILES)
    assert unpacked.bytes == sum(map(len, FILES.values()))


@pytest.mark.parametrize("form", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
def test_long_names_unpack(form: int, tmp_path: Path) -> None:
    name = "/".join(["folder-with-a-long-name" * 4] * 4) + "/file"
    (tmp_path / "long.tar").write_bytes(tar_of({name: b"1"}, form=form))
    unpack(tmp_path / "long.tar", tmp_path / "out")
    assert read_tree(tmp_path / "out") == {name: b"1"}


HOSTILE_NAMES = ["../evil", "a/../../evil", "/evil", "//evil", "a\\..\\evil", "C:/evil", "C:evil", "bell\x07"]
HOSTILE_NAMES += ["x" * 2000, "d/" * 40 + "x"]


@pytest.mark.parametrize("make", [zip_of, tar_of, lambda entries: tar_of(entries, "w:gz")], ids=["zip", "tar", "gz"])
@pytest.mark.parametrize("name", HOSTILE_NAMES)
def test_names_that_lead_elsewhere_are_refused(
    name: str, make: Callable[[dict[str, bytes]], bytes], tmp_path: Path
) -> None:
    refused(make({"fine": b"1", name: b"evil"}), tmp_path)


@pytest.mark.parametrize(
    "data",
    [
        tar_entry("link", tarfile.SYMTYPE, "/etc/passwd"),
        tar_entry("link", tarfile.LNKTYPE, "/etc/passwd"),
        tar_entry("pipe", tarfile.FIFOTYPE),
        tar_entry("device", tarfile.CHRTYPE),
        tar_entry("block", tarfile.BLKTYPE),
        tar_entry("sparse", tarfile.GNUTYPE_SPARSE),
        zip_link("link", "/etc/passwd"),
    ],
    ids=["symlink", "hardlink", "fifo", "char", "block", "sparse", "zip-symlink"],
)
def test_links_and_devices_are_refused(data: bytes, tmp_path: Path) -> None:
    refused(data, tmp_path)


@pytest.mark.parametrize("make", [zip_of, tar_of], ids=["zip", "tar"])
@pytest.mark.parametrize("name", ["", ".", "/"])
def test_a_file_without_a_name_is_refused(name: str, make: Callable[[dict[str, bytes]], bytes], tmp_path: Path) -> None:
    refused(make({name: b"1"}), tmp_path)


def test_a_link_and_a_file_below_it_write_nothing_outside(tmp_path: Path) -> None:
    """The shape of CVE-2025-4517: a link first, then a file through it."""
    outside = tmp_path / "outside"
    outside.mkdir()
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        link = tarfile.TarInfo("door")
        link.type, link.linkname = tarfile.SYMTYPE, str(outside)
        archive.addfile(link)
        file = tarfile.TarInfo("door/evil")
        file.size = 4
        archive.addfile(file, io.BytesIO(b"evil"))
    refused(buffer.getvalue(), tmp_path)
    assert list(outside.iterdir()) == []


@pytest.mark.parametrize("names", [["a", "A"], ["a", "a/b"], ["a/b", "a"], ["é", "e\u0301"], ["x", "./x"]])
def test_names_that_collide_are_refused(names: list[str], tmp_path: Path) -> None:
    refused(tar_of(dict.fromkeys(names, b"1")), tmp_path)


@pytest.mark.parametrize("make", [zip_of, lambda entries: tar_of(entries, "w:gz")], ids=["zip", "gz"])
def test_bombs_are_refused_while_they_unpack(make: Callable[[dict[str, bytes]], bytes], tmp_path: Path) -> None:
    data = make({"zeros": bytes(80 * 1024 * 1024)})
    assert len(data) < 200_000
    refused(data, tmp_path)
    refused(make({"zeros": bytes(4096)}), tmp_path, ArchiveLimits(max_file_bytes=4095))
    refused(make({"a": bytes(4096), "b": bytes(4096)}), tmp_path, ArchiveLimits(max_bytes=8000))
    refused(make({str(number): b"" for number in range(20)}), tmp_path, ArchiveLimits(max_files=19))


def test_a_zip_that_lies_about_a_size_is_refused(tmp_path: Path) -> None:
    data = zip_of({"file": b"0123456789" * 100})
    size = (1000).to_bytes(4, "little")
    refused(data.replace(size, (10).to_bytes(4, "little")), tmp_path)


def test_a_zip_with_a_name_that_is_no_text_is_refused(tmp_path: Path) -> None:
    refused(zip_of({"é": b"x"}).replace("é".encode(), b"\xff\xfe"), tmp_path)


@pytest.mark.parametrize("cut", [10, 100, 600, 2000, 9000])
@pytest.mark.parametrize("make", [zip_of, tar_of, lambda entries: tar_of(entries, "w:gz")], ids=["zip", "tar", "gz"])
def test_cut_archives_are_refused(make: Callable[[dict[str, bytes]], bytes], cut: int, tmp_path: Path) -> None:
    data = make({"noise": os.urandom(4000), "more": os.urandom(9000)})
    refused(data[:cut], tmp_path)


def test_a_gzip_whose_checksum_is_wrong_is_refused(tmp_path: Path) -> None:
    data = bytearray(tar_of({"noise": os.urandom(4000)}, "w:gz"))
    refused(bytes(data[:-20]), tmp_path)
    data[-5] ^= 1
    refused(bytes(data), tmp_path)


def test_other_files_are_refused(tmp_path: Path) -> None:
    for data in (b"", b"hello", os.urandom(2000), b"PK\x03\x04" + os.urandom(500), b"\x1f\x8b" + os.urandom(500)):
        refused(data, tmp_path)


def refused(data: bytes, tmp_path: Path, limits: ArchiveLimits | None = None) -> None:
    before = {path for path in tmp_path.rglob("*") if (tmp_path / "out") not in (path, *path.parents)}
    with pytest.raises(LeptonError) as caught:
        unpack(io.BytesIO(data), tmp_path / "out", limits)
    assert caught.value.code is ErrorCode.INVALID
    assert caught.value.fields[0].field == "archive"
    assert list((tmp_path / "out").iterdir()) == []
    assert {path for path in tmp_path.rglob("*") if (tmp_path / "out") not in (path, *path.parents)} == before
