"""Bytes between this machine and the object store, by presigned URLs. Every digest is checked on arrival."""

import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path

import httpx

from lepton_core.errors import ErrorCode, LeptonError
from lepton_core.inline_batch import MAX_BATCH_BYTES, MAX_FILE_BYTES
from lepton_trainer.worker.artifacts import ArtifactRegistry, Part, Place
from lepton_trainer.worker.cache import InputCache
from lepton_trainer.worker.control import Control
from lepton_trainer.worker.registry import File
from lepton_trainer.worker.retrying import AbandonedError, retry
from lepton_trainer.worker.untrusted_files import open_file

_CHUNK_BYTES = 1 << 20
_LOCATE_DIGESTS = 1000
# Small files lie in packs: one request fetches neighbours, and what little lies between them.
_MAX_GAP_BYTES = 64 * 1024
_MAX_RANGE_BYTES = 16 << 20
_COMMIT_POLL_SECONDS = 0.05
_COMMIT_POLL_LONGEST_SECONDS = 1.0


class Transfers:
    """Waits out whatever is unavailable; raises AbandonedError once the attempt is lost."""

    def __init__(self, registry: ArtifactRegistry, control: Control) -> None:
        self._registry = registry
        self._control = control
        self._http = httpx.Client(timeout=httpx.Timeout(30.0, connect=5.0), trust_env=False)

    def fetch(self, digests: Iterable[str], cache: InputCache) -> None:
        """Bring all of them into the cache. Raises CORRUPT when the store holds other bytes."""
        wanted = sorted(set(digests))
        for start in range(0, len(wanted), _LOCATE_DIGESTS):
            batch = wanted[start : start + _LOCATE_DIGESTS]
            retry(partial(self._fetch_batch, batch, cache), self._control, "fetching inputs")

    def _fetch_batch(self, digests: list[str], cache: InputCache) -> None:
        missing = cache.missing(digests)
        if not missing:
            return
        for group in _neighbours(self._registry.locate(missing)):
            self._check_abandoned()
            self._fetch_group(group, cache)

    def _fetch_group(self, group: list[Place], cache: InputCache) -> None:
        first, last = group[0], group[-1]
        if len(group) == 1:
            self._keep(first, self._read(first.url, first.offset, first.bytes), cache)
            return
        data = b"".join(self._read(first.url, first.offset, last.offset + last.bytes - first.offset))
        for place in group:
            begin = place.offset - first.offset
            self._keep(place, [data[begin : begin + place.bytes]], cache)

    def _keep(self, place: Place, chunks: Iterable[bytes], cache: InputCache) -> None:
        if not cache.add(place.digest, chunks):
            confirmed = self._registry.report_damage(place.digest)
            if confirmed:
                raise LeptonError(ErrorCode.CORRUPT, f"the stored bytes of {place.digest} are damaged; send it again")
            # The registry sees the right bytes: ours were damaged on the way.
            raise LeptonError(ErrorCode.UNAVAILABLE, f"{place.digest} arrived damaged")

    def _read(self, url: str, offset: int, size: int) -> Iterator[bytes]:
        if size == 0:
            return
        headers = {"Range": f"bytes={offset}-{offset + size - 1}"}
        received = 0
        try:
            with self._http.stream("GET", url, headers=headers) as response:
                _check(response.status_code, (200, 206))
                if response.status_code == 200 and offset:
                    raise LeptonError(ErrorCode.UNAVAILABLE, "the object store ignores ranges")
                for chunk in response.iter_bytes(_CHUNK_BYTES):
                    self._check_abandoned()
                    yield chunk[: size - received]
                    received += len(chunk)
        except httpx.TransportError as error:
            raise _unreachable(error) from error
        if received < size:
            raise LeptonError(ErrorCode.UNAVAILABLE, f"the object store sent {received} bytes of {size}")

    def upload(self, root: Path, folder: str, files: Mapping[str, int]) -> list[File]:
        """Send the files (relative to `folder`, below `root`) that the registry lacks; their entries."""
        entries = []
        for path in files:
            digest, size = self._hash(root, f"{folder}/{path}")
            entries.append(File(path, digest, size))
        by_digest = {entry.digest: entry for entry in entries}
        missing: list[str] = []
        digests = sorted(by_digest)
        for start in range(0, len(digests), _LOCATE_DIGESTS):
            batch = digests[start : start + _LOCATE_DIGESTS]
            missing += retry(partial(self._registry.find_missing, batch), self._control, "uploading")
        wanted = [by_digest[digest] for digest in missing]
        self._send_small([entry for entry in wanted if entry.bytes <= MAX_FILE_BYTES], root, folder)
        for entry in wanted:
            if entry.bytes > MAX_FILE_BYTES:
                send = partial(self._send_large, entry, root, f"{folder}/{entry.path}")
                retry(send, self._control, "uploading")
        return entries

    def _hash(self, root: Path, path: str) -> tuple[str, int]:
        found = hashlib.sha256()
        size = 0
        with open_file(root, path) as descriptor:
            while chunk := os.pread(descriptor, _CHUNK_BYTES, size):
                self._check_abandoned()
                found.update(chunk)
                size += len(chunk)
        return f"sha256:{found.hexdigest()}", size

    def _send_small(self, entries: list[File], root: Path, folder: str) -> None:
        batch: list[tuple[str, bytes]] = []
        size = 0
        for entry in entries:
            with open_file(root, f"{folder}/{entry.path}") as descriptor:
                data = os.pread(descriptor, MAX_FILE_BYTES, 0)
            if batch and size + len(data) > MAX_BATCH_BYTES:
                self._put(batch)
                batch, size = [], 0
            batch.append((entry.digest, data))
            size += len(data)
        if batch:
            self._put(batch)

    def _put(self, batch: list[tuple[str, bytes]]) -> None:
        retry(lambda: self._registry.put_inline(batch), self._control, "uploading")

    def _send_large(self, entry: File, root: Path, path: str) -> None:
        ticket = self._registry.create_upload(entry.digest, entry.bytes)
        if not ticket.parts:
            return
        with open_file(root, path) as descriptor:
            etags = [(part.number, self._send_part(part, descriptor)) for part in ticket.parts]
        committed = self._registry.complete_upload(ticket.id, etags)
        delay = _COMMIT_POLL_SECONDS
        while not committed:
            if self._control.abandoned.wait(delay):
                raise AbandonedError
            delay = min(2 * delay, _COMMIT_POLL_LONGEST_SECONDS)
            committed = self._registry.is_committed(ticket.id)

    def _send_part(self, part: Part, descriptor: int) -> str:
        try:
            response = self._http.put(
                part.url,
                content=self._part_chunks(part, descriptor),
                headers={"Content-Length": str(part.bytes), "Content-Type": "application/octet-stream"},
            )
        except httpx.TransportError as error:
            raise _unreachable(error) from error
        _check(response.status_code, (200,))
        return str(response.headers.get("etag", "")).strip('"')

    def _part_chunks(self, part: Part, descriptor: int) -> Iterator[bytes]:
        sent = 0
        while sent < part.bytes:
            self._check_abandoned()
            chunk = os.pread(descriptor, min(_CHUNK_BYTES, part.bytes - sent), part.offset + sent)
            if not chunk:
                raise LeptonError(ErrorCode.INVALID, "a file became shorter while it was sent")
            sent += len(chunk)
            yield chunk

    def _check_abandoned(self) -> None:
        if self._control.abandoned.is_set():
            raise AbandonedError


def _neighbours(places: Iterable[Place]) -> Iterator[list[Place]]:
    """Groups that one ranged request fetches: in the same object, close together, not too long."""
    group: list[Place] = []
    for place in sorted(places, key=lambda place: (place.url.partition("?")[0], place.offset)):
        if group and not _fits(group, place):
            yield group
            group = []
        group.append(place)
    if group:
        yield group


def _fits(group: list[Place], place: Place) -> bool:
    first, last = group[0], group[-1]
    return (
        place.url.partition("?")[0] == first.url.partition("?")[0]
        and place.offset - (last.offset + last.bytes) <= _MAX_GAP_BYTES
        and place.offset + place.bytes - first.offset <= _MAX_RANGE_BYTES
    )


def _check(status: int, good: tuple[int, ...]) -> None:
    if status not in good:
        # Also for 4xx: a URL that has expired is replaced by asking the registry again.
        raise LeptonError(ErrorCode.UNAVAILABLE, f"the object store answered {status}")


def _unreachable(error: httpx.TransportError) -> LeptonError:
    return LeptonError(ErrorCode.UNAVAILABLE, f"the object store cannot be reached: {type(error).__name__}")
