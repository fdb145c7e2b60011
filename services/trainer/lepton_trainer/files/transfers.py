"""An attempt's inputs and outputs on their way: through the cache in, through the eyes of a sceptic out."""

import contextlib
import sys
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
from lepton_trainer.files.untrusted_files import descriptor_path, open_file
from lepton_trainer.processes.control_channel import Control
from lepton_trainer.retrying import AbandonedError, retry


class Transfers:
    """Waits out whatever is unavailable; raises AbandonedError once the attempt is lost."""

    def __init__(self, wire: ArtifactWire, control: Control) -> None:
        self._wire = wire
        self._control = control

    def fetch_folder(self, manifest_digest: str, folder: Path, cache: InputCache) -> None:
        """The files of a manifest, below `folder`. Raises CORRUPT when the store holds other bytes."""
        files = retry(partial(self._wire.manifest, manifest_digest), self._control, "reading a manifest")
        for file in files:
            # The registry checked it; here it becomes a path on this machine.
            check_path(file.path, "path")
        pending = files
        while pending:
            digests = {file.digest: file.bytes for file in pending}
            retry(partial(self._fill, digests, cache), self._control, "fetching inputs")
            # What turns out to be damaged in the cache was dropped from it, and is fetched again.
            pending = [file for file in pending if not self._place(file, folder, cache)]

    def _fill(self, digests: dict[str, int], cache: InputCache) -> None:
        missing = [FileEntry(path=cache.name(digest), digest=digest, bytes=digests[digest]) for digest in digests]
        missing = [entry for entry in missing if not cache.has(entry.digest)]
        try:
            fetch(missing, cache.folder, self._wire)
        except LeptonError as error:
            if error.code is ErrorCode.CORRUPT and error.fields and not self._wire.report_damage(error.fields[0].value):
                # The registry reads the right bytes: ours were damaged on the way.
                raise LeptonError(ErrorCode.UNAVAILABLE, error.detail) from error
            raise

    def _place(self, file: FileEntry, folder: Path, cache: InputCache) -> bool:
        if self._control.abandoned.is_set():
            raise AbandonedError
        destination = folder / file.path
        destination.parent.mkdir(parents=True, exist_ok=True)
        return cache.place(file.digest, destination)

    def upload(self, root: Path, folder: str, paths: Collection[str], owner: int | None = None) -> list[FileEntry]:
        """Send files that an attempt left below `root/folder`, where the platform lacks them; their entries.

        Each is opened once, without following links, and what is sent is what was opened: its digest says so.
        """
        with contextlib.ExitStack() as opened:
            files: list[LocalFile] = []
            for path in paths:
                descriptor = opened.enter_context(open_file(root, f"{folder}/{path}", owner))
                # Elsewhere than on Linux a descriptor's path shares its position, which parts sent side by side need.
                source = descriptor_path(descriptor) if sys.platform == "linux" else root / folder / path
                files.append(hashed(source, path))
            retry(partial(send, files, self._wire), self._control, f"uploading {folder}")
        return [FileEntry(path=file.path, digest=file.digest, bytes=file.bytes) for file in files]
