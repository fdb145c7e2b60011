"""A cache of package files on local disk, by digest. A file is used only after it was hashed again."""

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Collection
from pathlib import Path

from lepton_core.errors import ErrorCode, LeptonError
from lepton_core.ids import check_digest, digest_of
from lepton_inference.revisions import PackageFile

# Writes the bytes of (project, file) to a path; raises CORRUPT if they do not match the digest.
Fetch = Callable[[str, PackageFile, Path], Awaitable[None]]


class FileCache:
    def __init__(self, folder: Path, fetch: Fetch) -> None:
        self._folder = folder / "files"
        self._fetch = fetch
        self._folder.mkdir(parents=True, exist_ok=True)
        for left in self._folder.glob(".*"):
            # Left by a process that was killed during a download.
            left.unlink(missing_ok=True)

    async def read(self, project: str, file: PackageFile) -> bytes:
        """Verified bytes. A damaged local copy is fetched again; raises CORRUPT if the stored file is damaged, too."""
        path = self._path(file.digest)
        data = await asyncio.to_thread(_verified, path, file)
        if data is None:
            await self._replace(project, file, path)
            data = await asyncio.to_thread(_verified, path, file)
        if data is None:
            raise LeptonError(ErrorCode.CORRUPT, f"{file.path}: the downloaded bytes do not match {file.digest}")
        return data

    def keep(self, digests: Collection[str]) -> None:
        """Deletes files that no revision uses any more."""
        kept = {self._path(digest).name for digest in digests}
        for path in self._folder.iterdir():
            if path.name not in kept and not path.name.startswith("."):
                path.unlink(missing_ok=True)

    async def _replace(self, project: str, file: PackageFile, path: Path) -> None:
        # A unique name: two revisions with the same file may be loaded at the same time.
        fresh = path.with_name(f".{secrets.token_hex(8)}")
        try:
            await self._fetch(project, file, fresh)
            fresh.replace(path)
        finally:
            fresh.unlink(missing_ok=True)

    def _path(self, digest: str) -> Path:
        # Checked although it comes from the registry, since it becomes a file name.
        return self._folder / check_digest(digest, "digest").removeprefix("sha256:")


def _verified(path: Path, file: PackageFile) -> bytes | None:
    try:
        if path.stat().st_size != file.bytes:
            return None
        data = path.read_bytes()
    except FileNotFoundError:
        return None
    return data if digest_of(data) == file.digest else None
