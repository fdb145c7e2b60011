"""Uploads and downloads folders by HTTP to gateway and store; the procedure itself is core's `objects.transfer`."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import Any, Self

import httpx

from lepton.transport.http import BACKOFF, RETRIED_STATUSES, Transport, is_local, part
from lepton.transport.progress import transferring
from lepton_core.api import (
    CommitManifestRequest,
    CommitManifestResponse,
    CompleteUploadRequest,
    CreateUploadRequest,
    FileEntry,
    FindMissingRequest,
    FindMissingResponse,
    GetManifestResponse,
    LocateRequest,
    LocateResponse,
    Location,
    Upload,
    UploadedPart,
)
from lepton_core.api.limits import MAX_MANIFEST_PAGE
from lepton_core.backoff import Retrying
from lepton_core.errors import ErrorCode, LeptonError, invalid
from lepton_core.objects import transfer
from lepton_core.objects.folder import hashed, scan
from lepton_core.objects.inline_batch import MEDIA_TYPE, write_batch
from lepton_core.objects.ranges import is_range, range_header
from lepton_core.paths import check_path
from lepton_core.validation import parse

STORE_TIMEOUT_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Pushed:
    """An uploaded folder; `sent_bytes` is the size of the files that the platform did not have."""

    manifest_digest: str
    files: tuple[FileEntry, ...]
    bytes: int
    sent_bytes: int


def push_folder(transport: Transport, path: Path, *, title: str, progress: bool = True) -> Pushed:
    """Uploads the files of `path` (a folder or one file) that the platform does not have, and commits the manifest.

    Files and folders whose name begins with a dot, and `__pycache__`, are left out. Links to files within the folder
    are followed; a link to a folder or out of `path` is INVALID. CONFLICT if a file changes during the upload.
    """
    with transferring(f"{title}: reading", None, wanted=progress) as advance:
        local = scan(path, skip=is_left_out, advance=advance)
    size = sum(file.bytes for file in {file.digest: file for file in local}.values())
    with Wires(transport) as wires, transferring(f"{title}: sending", size, wanted=progress) as advance:
        sent = transfer.send(local, wires, advance=advance)
    entries = tuple(FileEntry(path=file.path, digest=file.digest, bytes=file.bytes) for file in local)
    body = parse(CommitManifestRequest, {"files": entries})
    committed = transport.send("POST", "/v1/manifests", CommitManifestResponse, body)
    return Pushed(committed.manifest_digest, entries, committed.bytes, sent)


def is_left_out(path: str) -> bool:
    """Whether a push leaves out this relative path: hidden (`.git`, `.DS_Store`, `.venv`) or compiled Python."""
    name = PurePosixPath(path).name
    return name.startswith(".") or name == "__pycache__"


def empty_folders(path: Path) -> list[str]:
    """Relative paths of folders below `path` without any file that a push includes; only the outermost ones.

    Versions hold only files, so a class folder without images would silently be left out.
    """
    found: list[str] = []

    def has_files(folder: Path) -> bool:
        inner = [
            entry for entry in sorted(os.scandir(folder), key=lambda each: each.name) if not is_left_out(entry.name)
        ]
        folders = [Path(entry.path) for entry in inner if entry.is_dir(follow_symlinks=False)]
        at = len(found)
        filled = [has_files(each) for each in folders]
        if any(filled) or len(folders) < len(inner):
            return True
        del found[at:]
        if folder != path:
            found.append(folder.relative_to(path).as_posix())
        return False

    if path.is_dir():
        has_files(path)
    return found


def read_manifest(transport: Transport, digest: str, limit: int | None = None) -> list[FileEntry]:
    """The files of a manifest, ordered by path; all, or at most `limit`."""
    found: list[FileEntry] = []
    path, after = f"/v1/manifests/{part(digest, 'manifest_digest')}", ""
    while limit is None or len(found) < limit:
        wanted = MAX_MANIFEST_PAGE if limit is None else min(MAX_MANIFEST_PAGE, limit - len(found))
        page = transport.get(path, GetManifestResponse, {"after": after, "limit": wanted})
        found += page.files
        after = page.next_after
        if not after:
            break
    return found


def pull_files(
    transport: Transport, files: Sequence[FileEntry], folder: Path, *, title: str, progress: bool = True
) -> int:
    """Writes `files` below `folder`, each verified; returns the bytes received. Files already there are kept."""
    missing = [file for file in files if not _is_there(file, _inside(folder, file.path))]
    size = sum(file.bytes for file in {file.digest: file for file in missing}.values())
    with Wires(transport) as wires, transferring(title, size, wanted=progress) as advance:
        transfer.fetch(missing, folder, wires, advance=advance)
    return size


def _inside(folder: Path, path: str) -> Path:
    """Checks names, which come from a server: none may lead out of `folder`, not even by a link that exists there."""
    target = folder / check_path(path, "path")
    if not target.parent.resolve().is_relative_to(folder.resolve()):
        raise invalid("path", "leads out of the folder through a link", path, f"paths within {folder}")
    return target


def _is_there(file: FileEntry, target: Path) -> bool:
    if target.is_symlink() or not target.is_file() or target.stat().st_size != file.bytes:
        return False
    return hashed(target, file.path).digest == file.digest


class Wires:
    """Calls the gateway, and the object store for the bytes of large files."""

    def __init__(self, transport: Transport) -> None:
        self._gateway = transport
        self._store: httpx.Client | None = None
        self._lock = threading.Lock()  # parts and ranges are moved by several threads

    def find_missing(self, digests: Sequence[str]) -> Sequence[str]:
        body = parse(FindMissingRequest, {"digests": list(digests)})
        return self._gateway.send("POST", "/v1/artifacts:missing", FindMissingResponse, body).digests

    def put_inline(self, files: Sequence[tuple[str, bytes]]) -> None:
        body, headers = write_batch(files), {"content-type": MEDIA_TYPE}
        self._gateway.request("POST", "/v1/artifacts:inline", content=body, headers=headers)

    def create_upload(self, digest: str, size: int) -> Upload:
        body = parse(CreateUploadRequest, {"digest": digest, "bytes": size})
        return self._gateway.send("POST", "/v1/uploads", Upload, body)

    def complete_upload(self, id: str, parts: Sequence[UploadedPart]) -> Upload:
        body = parse(CompleteUploadRequest, {"parts": parts})
        return self._gateway.send("POST", f"/v1/uploads/{part(id, 'id')}:complete", Upload, body)

    def get_upload(self, id: str) -> Upload:
        return self._gateway.get(f"/v1/uploads/{part(id, 'id')}", Upload)

    def put_part(self, url: str, data: bytes) -> str:
        retrying: Retrying | None = None
        while True:
            try:
                answer = self._client(url).put(url, content=data)
                _check(answer, 200, 201)
                etag: str = answer.headers.get("etag", "")
                if not etag:
                    raise LeptonError(ErrorCode.INTERNAL, "the object store gave no ETag for a part")
                return etag
            except (httpx.HTTPError, LeptonError) as error:
                retrying = self._wait_after(error, retrying)

    def locate(self, digests: Sequence[str]) -> Sequence[Location]:
        body = parse(LocateRequest, {"digests": list(digests)})
        return self._gateway.send("POST", "/v1/artifacts:locate", LocateResponse, body).locations

    def read(self, url: str, offset: int, length: int) -> Iterator[bytes]:
        """Yields exactly `length` bytes; after a broken connection it continues at the next byte."""
        done = 0
        retrying: Retrying | None = None
        while done < length:
            try:
                for piece in self._range(url, offset + done, length - done):
                    done += len(piece)
                    retrying = None
                    yield piece
                if done < length:
                    raise httpx.ReadError(f"the store sent {done} of {length} bytes")
            except (httpx.HTTPError, LeptonError) as error:
                retrying = self._wait_after(error, retrying)

    def _wait_after(self, error: httpx.HTTPError | LeptonError, retrying: Retrying | None) -> Retrying:
        """Waits before the next try. Raises the error if there is none.

        The time counts from the first error, not from the start: a slow transfer may run longer before it breaks.
        """
        retrying = retrying or Retrying(BACKOFF, seconds=self._gateway.retry_seconds)
        try:
            pause = retrying.pause_after(_as_lepton_error(error))
        except LeptonError as failure:
            # Without httpx's error, which would be shown above it.
            raise failure from None
        time.sleep(pause)
        return retrying

    def _range(self, url: str, offset: int, length: int) -> Iterator[bytes]:
        # identity: a compressed answer would have other bytes than the range.
        headers = {"range": range_header(offset, length), "accept-encoding": "identity"}
        with self._client(url).stream("GET", url, headers=headers) as answer:
            _check(answer, 200, 206)
            if not is_range(answer.status_code, answer.headers, offset, length):
                raise LeptonError(ErrorCode.INTERNAL, "the object store sent another range than was asked for")
            left = length
            for piece in answer.iter_raw():
                left -= len(piece)
                # Checked for each piece: a wrong server must not fill the disk.
                if left < 0:
                    raise LeptonError(ErrorCode.INTERNAL, "the object store sent more than was asked for")
                yield piece

    def _client(self, url: str) -> httpx.Client:
        """A request without the API key: the URLs are signed, and the store is another server."""
        with self._lock:
            if self._store is None:
                self._store = httpx.Client(timeout=STORE_TIMEOUT_SECONDS, trust_env=not is_local(url))
            return self._store

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._store is not None:
            self._store.close()


def _check(answer: httpx.Response, *expected: int) -> None:
    if answer.status_code not in expected:
        code = ErrorCode.UNAVAILABLE if answer.status_code in (*RETRIED_STATUSES, 500) else ErrorCode.INTERNAL
        if answer.status_code == 404:
            code = ErrorCode.NOT_FOUND
        # Without the URL and the body: a signed URL gives access until it expires.
        detail = f"the object store at {answer.request.url.host} answered {answer.status_code} {answer.reason_phrase}"
        raise LeptonError(code, detail)


def _as_lepton_error(error: Any) -> LeptonError:
    if isinstance(error, LeptonError):
        return error
    return LeptonError(ErrorCode.UNAVAILABLE, f"the object store cannot be reached ({type(error).__name__})")
