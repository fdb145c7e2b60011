"""Uploads and downloads files by digest. The caller brings the transport: HTTP to the gateway or gRPC to the registry.

Up: ask what is missing, send small files in batches and large ones by presigned part URLs. Down: fetch ranges (many
small files lie in one object, a pack), verify each file's SHA-256, and let it appear under its name only then.
"""

import hashlib
import os
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from lepton_core.api import FileEntry, Location, Upload, UploadedPart, UploadPart, UploadState
from lepton_core.errors import ErrorCode, FieldError, LeptonError
from lepton_core.objects.folder import Advance, LocalFile, changed, unseen
from lepton_core.objects.inline_batch import MAX_BATCH_BYTES, MAX_FILE_BYTES
from lepton_core.paths import check_path

DIGESTS_A_CALL = 5000
FILES_A_BATCH = 2000
# Half the limit: leaves room for framing, and progress is shown twice as often.
BATCH_BYTES = MAX_BATCH_BYTES // 2
# Reading the bytes of a short gap is cheaper than another request.
GAP_BYTES = 256 * 1024
RANGE_BYTES = 32 * 1024 * 1024
WORKERS = 8
POLL_SECONDS = 0.1
UPLOAD_TRIES = 3
VERIFY_SECONDS = 600.0


class Sender(Protocol):
    """Calls for an upload. `put_part` returns the part's ETag; NOT_FOUND if the store does not know the upload."""

    def find_missing(self, digests: Sequence[str]) -> Sequence[str]: ...
    def put_inline(self, files: Sequence[tuple[str, bytes]]) -> None: ...
    def create_upload(self, digest: str, size: int) -> Upload: ...
    def put_part(self, url: str, data: bytes) -> str: ...
    def complete_upload(self, id: str, parts: Sequence[UploadedPart]) -> Upload: ...
    def get_upload(self, id: str) -> Upload: ...


class Receiver(Protocol):
    """Calls for a download. `read` yields the bytes of a range, and raises if the answer is not that range."""

    def locate(self, digests: Sequence[str]) -> Sequence[Location]: ...
    def read(self, url: str, offset: int, length: int) -> Iterator[bytes]: ...


def send(files: Iterable[LocalFile], sender: Sender, *, advance: Advance = unseen) -> int:
    """Uploads the files that the platform lacks; returns their bytes. Raises CONFLICT if a file has changed."""
    distinct = {file.digest: file for file in files}
    missing: list[LocalFile] = []
    digests = list(distinct)
    for start in range(0, len(digests), DIGESTS_A_CALL):
        missing += [distinct[digest] for digest in sender.find_missing(digests[start : start + DIGESTS_A_CALL])]
    advance(sum(file.bytes for file in distinct.values()) - sum(file.bytes for file in missing))
    small = [file for file in missing if file.bytes <= MAX_FILE_BYTES]
    for batch in _batches(small):
        sender.put_inline([(file.digest, _read_whole(file)) for file in batch])
        advance(sum(file.bytes for file in batch))
    for file in missing:
        if file.bytes > MAX_FILE_BYTES:
            _send_large(file, sender, advance)
    return sum(file.bytes for file in missing)


def fetch(files: Iterable[FileEntry], folder: Path, receiver: Receiver, *, advance: Advance = unseen) -> None:
    """Writes `files` below `folder`. Raises CORRUPT naming the file whose bytes do not match its digest."""
    wanted: dict[str, list[FileEntry]] = {}
    for file in files:
        check_path(file.path, "path")
        wanted.setdefault(file.digest, []).append(file)
    folder.mkdir(parents=True, exist_ok=True)
    digests = list(wanted)
    with ThreadPoolExecutor(WORKERS) as pool:
        for start in range(0, len(digests), DIGESTS_A_CALL):
            # Located page by page: URLs are short-lived, and a large dataset takes longer than they live.
            located = receiver.locate(digests[start : start + DIGESTS_A_CALL])
            spans = list(_spans(located))
            for _ in pool.map(lambda span: _fetch_span(span, wanted, folder, receiver, advance), spans):
                pass


def _batches(files: Sequence[LocalFile]) -> Iterator[list[LocalFile]]:
    batch: list[LocalFile] = []
    size = 0
    for file in files:
        if batch and (size + file.bytes > BATCH_BYTES or len(batch) >= FILES_A_BATCH):
            yield batch
            batch, size = [], 0
        batch.append(file)
        size += file.bytes
    if batch:
        yield batch


def _read_whole(file: LocalFile) -> bytes:
    data = file.source.read_bytes()
    if f"sha256:{hashlib.sha256(data).hexdigest()}" != file.digest:
        raise changed(file.source)
    return data


def _send_large(file: LocalFile, sender: Sender, advance: Advance) -> None:
    """Uploads in parts. Starts again if the store no longer knows the upload, as may happen after it was restarted."""
    reason = ""
    for _ in range(UPLOAD_TRIES):
        sent: list[int] = []
        try:
            upload = _send_once(file, sender, sent, advance)
        except LeptonError as error:
            if error.code is not ErrorCode.NOT_FOUND:
                raise
            reason = error.detail
        else:
            if upload.state is UploadState.COMMITTED:
                return
            reason = upload.error
        advance(-sum(sent))
    raise LeptonError(ErrorCode.CORRUPT, f"{file.path}: the upload was refused: {reason}")


def _send_once(file: LocalFile, sender: Sender, sent: list[int], advance: Advance) -> Upload:
    """Returns the upload, verified or refused. Adds the sizes of the parts that were sent to `sent`."""
    upload = sender.create_upload(file.digest, file.bytes)
    if upload.state is UploadState.OPEN:

        def put(part: UploadPart) -> UploadedPart:
            with file.source.open("rb") as stream:
                stream.seek(part.offset)
                data = stream.read(part.bytes)
            if len(data) != part.bytes:
                raise changed(file.source)
            etag = sender.put_part(part.url, data)
            sent.append(part.bytes)
            advance(part.bytes)
            return UploadedPart(number=part.number, etag=etag)

        with ThreadPoolExecutor(min(4, WORKERS)) as pool:
            parts = list(pool.map(put, upload.parts))
        upload = sender.complete_upload(upload.id, parts)
    deadline = time.monotonic() + VERIFY_SECONDS
    while upload.state is UploadState.VERIFYING:
        if time.monotonic() > deadline:
            raise LeptonError(ErrorCode.TIMEOUT, f"{file.path}: the platform has not verified the upload in time")
        time.sleep(POLL_SECONDS)
        upload = sender.get_upload(upload.id)
    return upload


@dataclass(frozen=True, slots=True)
class _Span:
    """A range of one object, and the files in it by offset."""

    url: str
    offset: int
    end: int
    parts: tuple[Location, ...]


def _spans(located: Iterable[Location]) -> Iterator[_Span]:
    parts: list[Location] = []
    end = 0
    for place in sorted(located, key=lambda each: (each.url, each.offset)):
        fits = parts and place.url == parts[0].url and place.offset - end <= GAP_BYTES
        if parts and not (fits and place.offset + place.bytes - parts[0].offset <= RANGE_BYTES):
            yield _Span(parts[0].url, parts[0].offset, end, tuple(parts))
            parts, end = [], 0
        parts.append(place)
        end = max(end, place.offset + place.bytes)
    if parts:
        yield _Span(parts[0].url, parts[0].offset, end, tuple(parts))


def _fetch_span(
    span: _Span, wanted: dict[str, list[FileEntry]], folder: Path, receiver: Receiver, advance: Advance
) -> None:
    length = span.end - span.offset
    pieces = receiver.read(span.url, span.offset, length) if length else iter(())
    if len(span.parts) == 1:
        _write(wanted[span.parts[0].digest], span.parts[0], pieces, folder, advance)
        return
    data = b"".join(pieces)
    for place in span.parts:
        start = place.offset - span.offset
        _write(wanted[place.digest], place, [data[start : start + place.bytes]], folder, advance)


def _write(
    entries: Sequence[FileEntry], place: Location, pieces: Iterable[bytes], folder: Path, advance: Advance
) -> None:
    """Writes to a temporary name first, so that a file under its final name is complete and verified."""
    first = folder / entries[0].path
    first.parent.mkdir(parents=True, exist_ok=True)
    part = first.with_name(f".{os.urandom(8).hex()}.part")
    digest = hashlib.sha256()
    try:
        with part.open("xb") as stream:
            for piece in pieces:
                digest.update(piece)
                stream.write(piece)
        if f"sha256:{digest.hexdigest()}" != place.digest:
            detail = f"{entries[0].path}: the stored bytes are not those of {place.digest}"
            field = FieldError("digest", "other bytes in the store", place.digest)
            raise LeptonError(ErrorCode.CORRUPT, detail, [field])
        part.replace(first)
    finally:
        part.unlink(missing_ok=True)
    advance(place.bytes)
    for other in entries[1:]:
        target = folder / other.path
        target.parent.mkdir(parents=True, exist_ok=True)
        copy = target.with_name(f".{os.urandom(8).hex()}.part")
        copy.write_bytes(first.read_bytes())
        copy.replace(target)
