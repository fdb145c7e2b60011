"""Input files by digest, kept between attempts. They are verified at each use, since programs could change them."""

import contextlib
import hashlib
import os
from pathlib import Path

from lepton_core.ids import check_digest

_COPY_BYTES = 1 << 20


class InputCache:
    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def name(self, digest: str) -> str:
        """The path of a file, relative to the cache's folder."""
        text = check_digest(digest, "digest").removeprefix("sha256:")
        return f"{text[:2]}/{text}"

    def has(self, digest: str) -> bool:
        return (self.folder / self.name(digest)).is_file()

    def place(self, digest: str, destination: Path) -> bool:
        """Copies the file to `destination`; not by a link, since the attempt may write to it.

        Returns False if the cached bytes are damaged; they are deleted.
        """
        path = self.folder / self.name(digest)
        found = hashlib.sha256()
        with path.open("rb") as source, destination.open("xb") as copy:
            while chunk := source.read(_COPY_BYTES):
                found.update(chunk)
                copy.write(chunk)
        if f"sha256:{found.hexdigest()}" == digest:
            # The modification time is the time of the last use.
            with contextlib.suppress(OSError):
                os.utime(path)
            return True
        destination.unlink()
        path.unlink(missing_ok=True)
        return False

    def shrink(self, max_bytes: int) -> None:
        """Deletes the least recently used files until the others fit."""
        files = []
        for path in self.folder.glob("*/*"):
            with contextlib.suppress(FileNotFoundError):
                status = path.stat()
                files.append((status.st_mtime, status.st_size, path))
        total = sum(size for _, size, _ in files)
        for _, size, path in sorted(files):
            if total <= max_bytes:
                return
            path.unlink(missing_ok=True)
            total -= size
