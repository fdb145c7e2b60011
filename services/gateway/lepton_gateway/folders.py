"""Stores an unpacked archive: the gateway itself uploads the files of the folder."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from pathlib import Path
from typing import Any, TypeVar

import httpx

from lepton_core.api import FileEntry, Upload, UploadedPart
from lepton_core.errors import ErrorCode, LeptonError
from lepton_core.objects.folder import LocalFile, scan
from lepton_core.objects.transfer import send
from lepton_gateway.registry import Registry

Answer = TypeVar("Answer")


class FolderUpload:
    """Hashing and reading files blocks, so it runs in a thread, which makes its calls on the gateway's event loop."""

    def __init__(self, registry: Registry, store: httpx.AsyncClient) -> None:
        self._registry = registry
        self._store = store

    async def send(self, folder: Path) -> str:
        """Stores every file of `folder`; returns the manifest's digest."""
        bridge = _Bridge(self._registry, self._store, asyncio.get_running_loop())
        files = await asyncio.to_thread(_scan_and_send, folder, bridge)
        entries = [FileEntry(path=file.path, digest=file.digest, bytes=file.bytes) for file in files]
        digest, _, _ = await self._registry.commit_manifest(entries)
        return digest


def _scan_and_send(folder: Path, bridge: _Bridge) -> list[LocalFile]:
    files = scan(folder)
    send(files, bridge)
    return files


class _Bridge:
    """`Sender` for a thread: each call runs on the loop, in the context of the request (its principal)."""

    def __init__(self, registry: Registry, store: httpx.AsyncClient, loop: asyncio.AbstractEventLoop) -> None:
        self._registry = registry
        self._store = store
        self._loop = loop

    def find_missing(self, digests: Sequence[str]) -> Sequence[str]:
        return self._wait(self._registry.find_missing(digests))

    def put_inline(self, files: Sequence[tuple[str, bytes]]) -> None:
        self._wait(self._registry.put_inline(files))

    def create_upload(self, digest: str, size: int) -> Upload:
        return self._wait(self._registry.create_upload(digest, size))

    def put_part(self, url: str, data: bytes) -> str:
        return self._wait(self._put(url, data))

    def complete_upload(self, id: str, parts: Sequence[UploadedPart]) -> Upload:
        return self._wait(self._registry.complete_upload(id, parts))

    def get_upload(self, id: str) -> Upload:
        return self._wait(self._registry.get_upload(id))

    async def _put(self, url: str, data: bytes) -> str:
        try:
            answer = await self._store.put(url, content=data)
        except httpx.HTTPError:
            raise LeptonError(ErrorCode.UNAVAILABLE, "The object store cannot be reached.") from None
        if answer.status_code != 200 or "etag" not in answer.headers:
            raise LeptonError(ErrorCode.UNAVAILABLE, f"The object store answered {answer.status_code}.")
        return answer.headers["etag"]

    def _wait(self, call: Coroutine[Any, Any, Answer]) -> Answer:
        # The thread got a copy of the request's context, so the call made from here carries its principal.
        return asyncio.run_coroutine_threadsafe(call, self._loop).result()
