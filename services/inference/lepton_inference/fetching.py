"""Downloads package files from the object store by URLs of the registry, and verifies them."""

import asyncio
from collections.abc import Iterator, Sequence
from pathlib import Path

import httpx

from lepton_core.api import FileEntry, Location
from lepton_core.errors import ErrorCode, LeptonError
from lepton_core.objects.ranges import is_range, range_header
from lepton_core.objects.transfer import fetch
from lepton_inference.registry import RegistryClient
from lepton_inference.revisions import PackageFile

TIMEOUT_SECONDS = 60.0


class PackageFetcher:
    """Downloads run in threads; `locate` runs on the event loop, to which the registry's channel belongs."""

    def __init__(self, registry: RegistryClient) -> None:
        self._registry = registry
        # Presigned URLs give access to files, so they are sent only to their own host: no redirects, no proxies.
        self._store = httpx.Client(timeout=TIMEOUT_SECONDS, trust_env=False)

    async def __call__(self, project: str, file: PackageFile, target: Path) -> None:
        """Raises CORRUPT, after reporting it to the registry, or UNAVAILABLE if the registry or the store is."""
        receiver = _Receiver(self._registry, self._store, project, asyncio.get_running_loop())
        entry = FileEntry(path=target.name, digest=file.digest, bytes=file.bytes)
        try:
            await asyncio.to_thread(fetch, [entry], target.parent, receiver)
        except LeptonError as error:
            if error.code is ErrorCode.CORRUPT:
                await self._registry.report_damage(project, file.digest)
                raise LeptonError(
                    ErrorCode.CORRUPT, f"{file.path}: the stored bytes do not match {file.digest}"
                ) from None
            raise

    def close(self) -> None:
        self._store.close()


class _Receiver:
    def __init__(
        self, registry: RegistryClient, store: httpx.Client, project: str, loop: asyncio.AbstractEventLoop
    ) -> None:
        self._registry = registry
        self._store = store
        self._project = project
        self._loop = loop

    def locate(self, digests: Sequence[str]) -> Sequence[Location]:
        return asyncio.run_coroutine_threadsafe(self._registry.locate(self._project, digests), self._loop).result()

    def read(self, url: str, offset: int, length: int) -> Iterator[bytes]:
        wanted = {"range": range_header(offset, length), "accept-encoding": "identity"}
        received = 0
        try:
            with self._store.stream("GET", url, headers=wanted) as answer:
                if not is_range(answer.status_code, answer.headers, offset, length):
                    detail = f"the object store answered {answer.status_code}"
                    raise LeptonError(ErrorCode.UNAVAILABLE, detail)
                for piece in answer.iter_raw(1024 * 1024):
                    # Stops reading an object that is longer than its row says.
                    received += len(piece)
                    yield piece[: len(piece) - max(0, received - length)]
                    if received >= length:
                        return
        except httpx.HTTPError as error:
            detail = f"the object store cannot be reached: {type(error).__name__}"
            raise LeptonError(ErrorCode.UNAVAILABLE, detail) from None
        raise LeptonError(ErrorCode.UNAVAILABLE, f"the object store sent {received} of {length} bytes")
