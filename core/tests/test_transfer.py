"""Files by digest, up and down, over a real S3 server: sent once, verified on arrival, whole or not there."""

import secrets
from collections.abc import Iterator, Sequence
from pathlib import Path

import httpx
import pytest

from lepton_core.api import FileEntry, Location, Upload, UploadedPart, UploadPart, UploadState
from lepton_core.errors import ErrorCode, LeptonError
from lepton_core.ids import digest_of, new_id
from lepton_core.objects.folder import scan
from lepton_core.objects.ranges import is_range, range_header
from lepton_core.objects.store import ObjectStore
from lepton_core.objects.transfer import fetch, send
from lepton_fixtures.servers import S3Bucket

PART_BYTES = 5 * 1024 * 1024


class Wires:
    """The store with the least that a registry does: packs of small files, multipart for large ones."""

    def __init__(self, store: ObjectStore) -> None:
        self.store = store
        self.places: dict[str, tuple[str, int, int]] = {}
        self.uploads: dict[str, tuple[str, str, str, int]] = {}
        self.sent = 0
        self.reads: list[tuple[int, int]] = []

    def find_missing(self, digests: Sequence[str]) -> list[str]:
        return [digest for digest in digests if digest not in self.places]

    def put_inline(self, files: Sequence[tuple[str, bytes]]) -> None:
        key, offset = f"packs/{new_id('art')}", 0
        for digest, data in files:
            self.places[digest] = (key, offset, len(data))
            offset += len(data)
        self.store.put(key, b"".join(data for _, data in files))
        self.sent += offset

    def create_upload(self, digest: str, size: int) -> Upload:
        key, upload_id = f"large/{new_id('art')}", new_id("upl")
        multipart = self.store.create_multipart(key)
        self.uploads[upload_id] = (key, multipart, digest, size)
        parts = [
            UploadPart(
                number=number,
                url=self.store.part_url(key, multipart, number, 60),
                offset=offset,
                bytes=min(PART_BYTES, size - offset),
            )
            for number, offset in enumerate(range(0, size, PART_BYTES), 1)
        ]
        return Upload(id=upload_id, digest=digest, bytes=size, state=UploadState.OPEN, parts=parts)

    def put_part(self, url: str, data: bytes) -> str:
        answer = httpx.put(url, content=data, trust_env=False)
        if answer.status_code == 404:
            raise LeptonError(ErrorCode.NOT_FOUND, "no such upload")
        answer.raise_for_status()
        self.sent += len(data)
        return str(answer.headers["etag"])

    def complete_upload(self, id: str, parts: Sequence[UploadedPart]) -> Upload:
        key, multipart, _, _ = self.uploads[id]
        self.store.complete_multipart(key, multipart, [(part.number, part.etag) for part in parts])
        return Upload(id=id, state=UploadState.VERIFYING)

    def get_upload(self, id: str) -> Upload:
        key, _, digest, size = self.uploads[id]
        if self.store.digest(key) != (digest, size):
            return Upload(id=id, state=UploadState.FAILED, error="other bytes arrived")
        self.places[digest] = (key, 0, size)
        return Upload(id=id, state=UploadState.COMMITTED)

    def locate(self, digests: Sequence[str]) -> list[Location]:
        urls = {self.places[digest][0]: "" for digest in digests}
        urls = {key: self.store.read_url(key, 60) for key in urls}
        return [
            Location(digest=digest, url=urls[key], offset=offset, bytes=size)
            for digest in digests
            for key, offset, size in [self.places[digest]]
        ]

    def read(self, url: str, offset: int, length: int) -> Iterator[bytes]:
        self.reads.append((offset, length))
        answer = httpx.get(url, headers={"range": range_header(offset, length)}, trust_env=False)
        assert is_range(answer.status_code, answer.headers, offset, length)
        yield answer.content


@pytest.fixture
def wires(s3: S3Bucket) -> Wires:
    store = ObjectStore(s3.endpoint, s3.access_key, s3.secret_key, bucket=s3.bucket)
    store.ensure_bucket()
    return Wires(store)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "data"
    for number in range(300):
        file = root / f"class-{number % 3}" / f"{number}.bin"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(secrets.token_bytes(100 + number))
    (root / "empty").write_bytes(b"")
    (root / "twin").write_bytes((root / "class-0" / "0.bin").read_bytes())
    (root / "large.bin").write_bytes(secrets.token_bytes(PART_BYTES + 77))
    return root


def entries(root: Path) -> list[FileEntry]:
    return [FileEntry(path=file.path, digest=file.digest, bytes=file.bytes) for file in scan(root)]


def contents(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def test_a_folder_goes_up_once_and_comes_down_the_same(wires: Wires, folder: Path, tmp_path: Path) -> None:
    moved: list[int] = []
    files = scan(folder)
    first = send(files, wires, advance=moved.append)
    assert first == wires.sent
    assert sum(moved) == sum({file.digest: file.bytes for file in files}.values())
    assert send(files, wires) == 0
    (folder / "class-0" / "0.bin").rename(folder / "renamed.bin")
    assert send(scan(folder), wires) == 0, "renaming uploads nothing"
    fetch(entries(folder), tmp_path / "back", wires)
    assert contents(tmp_path / "back") == contents(folder)


def test_many_small_files_are_few_reads(wires: Wires, folder: Path, tmp_path: Path) -> None:
    send(scan(folder), wires)
    fetch(entries(folder), tmp_path / "back", wires)
    assert len(wires.reads) < 10


def test_a_flipped_byte_is_found_and_its_file_does_not_appear(wires: Wires, folder: Path, tmp_path: Path) -> None:
    send(scan(folder), wires)
    victim = next(file for file in scan(folder) if file.path == "class-1/1.bin")
    key, offset, _ = wires.places[victim.digest]
    data = bytearray(wires.store.read(key))
    data[offset] ^= 1
    wires.store.put(key, bytes(data))
    with pytest.raises(LeptonError) as caught:
        fetch(entries(folder), tmp_path / "back", wires)
    assert caught.value.code is ErrorCode.CORRUPT
    assert "class-1/1.bin" in caught.value.detail
    assert not (tmp_path / "back" / "class-1" / "1.bin").exists()
    assert not list((tmp_path / "back").rglob("*.part"))


def test_a_file_that_changes_while_it_is_sent_is_not_sent_as_what_it_was(wires: Wires, tmp_path: Path) -> None:
    root = tmp_path / "data"
    root.mkdir()
    for name, size in (("small", 10), ("large", PART_BYTES)):
        (root / name).write_bytes(b"a" * size)
        files = scan(root)
        (root / name).write_bytes(b"b" * size)
        with pytest.raises(LeptonError) as caught:
            send(files, wires)
        assert caught.value.code in (ErrorCode.CONFLICT, ErrorCode.CORRUPT)
        assert digest_of(b"a" * size) not in wires.places
        (root / name).unlink()


class Forgetful(Wires):
    """The store forgets an upload, as when it is started anew, the first time that `step` is reached."""

    def __init__(self, store: ObjectStore, step: str) -> None:
        super().__init__(store)
        self.step = step

    def forget(self, step: str) -> None:
        if step == self.step:
            self.step = ""
            key, multipart, _, _ = next(iter(self.uploads.values()))
            self.store.abort_multipart(key, multipart)

    def put_part(self, url: str, data: bytes) -> str:
        self.forget("put_part")
        return super().put_part(url, data)

    def complete_upload(self, id: str, parts: Sequence[UploadedPart]) -> Upload:
        self.forget("complete_upload")
        try:
            return super().complete_upload(id, parts)
        except LeptonError as error:
            return Upload(id=id, state=UploadState.FAILED, error=error.detail)


@pytest.mark.parametrize("step", ["put_part", "complete_upload"])
def test_an_upload_that_the_store_has_forgotten_begins_again(wires: Wires, tmp_path: Path, step: str) -> None:
    (tmp_path / "large.bin").write_bytes(secrets.token_bytes(PART_BYTES + 77))
    moved: list[int] = []
    forgetful = Forgetful(wires.store, step)
    send(scan(tmp_path), forgetful, advance=moved.append)
    assert sum(moved) == PART_BYTES + 77
    assert len(forgetful.uploads) == 2
    fetch(entries(tmp_path), tmp_path / "back", forgetful)
    assert contents(tmp_path / "back") == {"large.bin": (tmp_path / "large.bin").read_bytes()}


@pytest.mark.parametrize("path", ["../out", "/etc/out", "a/../../out", "a\\b", "", "."])
def test_a_manifest_cannot_write_outside_its_folder(wires: Wires, tmp_path: Path, path: str) -> None:
    wires.put_inline([(digest_of(b"x"), b"x")])
    with pytest.raises(LeptonError):
        fetch([FileEntry(path=path, digest=digest_of(b"x"), bytes=1)], tmp_path / "in", wires)
    assert not list(tmp_path.rglob("out"))
