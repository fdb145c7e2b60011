"""Packs of small files: one object for a batch, in which each file is a range."""

import asyncio
from collections.abc import Sequence

from lepton_core.errors import ErrorCode, LeptonError, invalid
from lepton_core.ids import check_digest, digest_of
from lepton_core.objects.inline_batch import MAX_BATCH_BYTES, MAX_BATCH_FILES, MAX_FILE_BYTES
from lepton_core.objects.store import ObjectStore
from lepton_registry.artifacts import blobs
from lepton_registry.artifacts.blobs import Stored
from lepton_registry.artifacts.keys import fresh_key
from lepton_registry.database.engine import Database


async def put_inline(
    database: Database, objects: ObjectStore, project: str, files: Sequence[tuple[str, bytes]]
) -> list[Stored]:
    """Stores the files (digest, bytes) that are missing; returns the places of all, in the order given.

    Raises INVALID for the first file that is too big or does not match its digest; then nothing is stored.
    """
    _check_sizes(files)
    await asyncio.to_thread(_check_digests, files)
    digests = [digest for digest, _ in files]
    missing = set(await database.read(lambda conn: blobs.find_missing(conn, project, digests)))
    if missing:
        key, stored, data = _pack({digest: data for digest, data in files if digest in missing})
        # Rows are written after the object: without rows it is invisible, and a crash in between leaves only an orphan.
        await asyncio.to_thread(objects.put, key, data)
        await database.write(lambda conn: blobs.add(conn, project, stored))
    return await database.read(lambda conn: blobs.locate(conn, project, digests))


def _pack(files: dict[str, bytes]) -> tuple[str, list[Stored], bytes]:
    key, offset, stored = fresh_key(), 0, []
    for digest, data in files.items():
        stored.append(Stored(digest, len(data), key, offset))
        offset += len(data)
    return key, stored, b"".join(files.values())


def _check_sizes(files: Sequence[tuple[str, bytes]]) -> None:
    if len(files) > MAX_BATCH_FILES:
        raise LeptonError(ErrorCode.TOO_LARGE, f"files: {len(files)} in one batch; allowed: at most {MAX_BATCH_FILES}")
    total = sum(len(data) for _, data in files)
    if total > MAX_BATCH_BYTES:
        raise LeptonError(ErrorCode.TOO_LARGE, f"files: {total} bytes in one batch; allowed: at most {MAX_BATCH_BYTES}")
    for index, (digest, data) in enumerate(files):
        check_digest(digest, f"files[{index}].digest")
        if len(data) > MAX_FILE_BYTES:
            detail = f"files[{index}]: {len(data)} bytes are too many for an inline file; allowed: {MAX_FILE_BYTES}"
            raise LeptonError(ErrorCode.TOO_LARGE, detail)


def _check_digests(files: Sequence[tuple[str, bytes]]) -> None:
    for index, (digest, data) in enumerate(files):
        if digest_of(data) != digest:
            raise invalid(("files", index, "digest"), "is not the digest of the bytes", digest, digest_of(data))
