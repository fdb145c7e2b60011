"""Input files by digest, kept between attempts. Checked at each use: an attempt's programs could reach them."""

import contextlib
import hashlib
import os
import secrets
from collections.abc import Iterable
from pathlib import Path

from lepton_core.ids import check_digest

_COPY_BYTES = 1 << 20


class InputCache:
    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def path(self, digest: str) -> Path:
        name = check_digest(digest, "digest").removeprefix("sha256:")
        return self._folder / name[:2] / name

    def missing(self, digests: Iterable[str]) -> list[str]:
        return [digest for digest in digests if not self.path(digest).is_file()]

    def add(self, digest: str, chunks: Iterable[bytes]) -> bool:
        """Keep the bytes if they are what the digest says; whether they were."""
        path = self.path(digest)
        path.parent.mkdir(mode=0o700, exist_ok=True)
        temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
        try:
            found = hashlib.sha256()
            with temporary.open("xb") as file:
                for chunk in chunks:
                    found.update(chunk)
                    file.write(chunk)
            if f"sha256:{found.hexdigest()}" != digest:
                return False
            # No fsync: what a crash tears is found out when it is used.
            temporary.replace(path)
            return True
        finally:
            temporary.unlink(missing_ok=True)

    def place(self, digest: str, destination: Path) -> bool:
        """A copy (never a link: the attempt may write to it) at `destination`; False if the kept bytes are damaged."""
        path = self.path(digest)
        found = hashlib.sha256()
        with path.open("rb") as source, destination.open("xb") as copy:
            while chunk := source.read(_COPY_BYTES):
                found.update(chunk)
                copy.write(chunk)
        if f"sha256:{found.hexdigest()}" == digest:
            # The time of last use: what was not used for longest is dropped first.
            with contextlib.suppress(OSError):
                os.utime(path)
            return True
        destination.unlink()
        path.unlink(missing_ok=True)
        return False

    def shrink(self, max_bytes: int) -> None:
        """Drop what was not used for longest until the rest fits."""
        files = []
        for path in self._folder.glob("*/*"):
            with contextlib.suppress(FileNotFoundError):
                status = path.stat()
                files.append((status.st_mtime, status.st_size, path))
        total = sum(size for _, size, _ in files)
        for _, size, path in sorted(files):
            if total <= max_bytes:
                return
            path.unlink(missing_ok=True)
            total -= size
