"""Transfers an attempt's inputs, through the cache, and its outputs, which are checked as untrusted files."""

import contextlib
import math
from collections.abc import Collection
from functools import partial
from pathlib import Path

from lepton_core.api import FileEntry
from lepton_core.errors import ErrorCode, LeptonError
from lepton_core.objects.folder import LocalFile, hashed
from lepton_core.objects.transfer import fetch, send
from lepton_core.paths import check_path
from lepton_trainer.files.artifacts import ArtifactWire
from lepton_trainer.files.cache import InputCache
from lepton_trainer.files.rank_files import RankFiles, descriptor_path
from lepton_trainer.processes.control_channel import Control
from lepton_trainer.retrying import AbandonedError, retry


class Transfers:
    """Retries while something is unavailable; raises AbandonedError when the attempt is lost."""

    def __init__(self, wire: ArtifactWire, control: Control) -> None:
        self._wire = wire
        self._control = control

    def manifest(self, digest: str, *, seconds: float = math.inf) -> list[FileEntry]:
        """The files of a manifest, not checked. `seconds`: how long an outage may last."""
        return retry(partial(self._wire.manifest, digest), self._control, "reading a manifest", seconds=seconds)

    def fetch_folder(self, manifest_digest: str, folder: Path, cache: InputCache) -> None:
        """Writes the files of a manifest below `folder`. Raises CORRUPT if stored bytes do not match their digest."""
        files = self.manifest(manifest_digest)
        for file in files:
            # Checked again, although the registry did, since it becomes a path on this machine.
            check_path(file.path, "path")
        pending = files
        while pending:
            digests = {file.digest: file.bytes for file in pending}
            retry(partial(self._fill, digests, cache), self._control, "fetching inputs")
            # Files that were damaged in the cache have been deleted from it, and are fetched again.
            pending = [file for file in pending if not self._place(file, folder, cache)]

    def _fill(self, digests: dict[str, int], cache: InputCache) -> None:
        missing = [FileEntry(path=cache.name(digest), digest=digest, bytes=digests[digest]) for digest in digests]
        missing = [entry for entry in missing if not cache.has(entry.digest)]
        try:
            fetch(missing, cache.folder, self._wire)
        except LeptonError as error:
            if error.code is ErrorCode.CORRUPT and error.fields and not self._wire.report_damage(error.fields[0].value):
                # The stored bytes are right, so the damage happened during the transfer: fetch again.
                raise LeptonError(ErrorCode.UNAVAILABLE, error.detail) from error
            raise

    def _place(self, file: FileEntry, folder: Path, cache: InputCache) -> bool:
        if self._control.abandoned.is_set():
            raise AbandonedError
        destination = folder / file.path
        destination.parent.mkdir(parents=True, exist_ok=True)
        return cache.place(file.digest, destination)

    def upload(
        self, written: RankFiles, folder: str, paths: Collection[str], *, seconds: float = math.inf
    ) -> list[FileEntry]:
        """Sends the files that the ranks left below `folder`, if the platform does not have them. Returns entries.

        Each file is opened once, without following links, so the bytes that are hashed and sent are of the same file.
        `seconds`: how long an outage may last.
        """
        with contextlib.ExitStack() as opened:
            files: list[LocalFile] = []
            for path in paths:
                descriptor = opened.enter_context(written.open(f"{folder}/{path}"))
                files.append(hashed(descriptor_path(descriptor), path))
            retry(partial(send, files, self._wire), self._control, f"uploading {folder}", seconds=seconds)
        return [FileEntry(path=file.path, digest=file.digest, bytes=file.bytes) for file in files]
