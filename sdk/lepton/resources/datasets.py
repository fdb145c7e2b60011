"""Datasets: folders in immutable versions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lepton.transport.http import Transport, part
from lepton.transport.transfer import empty_folders, pull_files, push_folder, read_manifest
from lepton_core.api import (
    CreateDatasetVersionRequest,
    CreateDatasetVersionResponse,
    Dataset,
    DatasetVersion,
    FileEntry,
    ListDatasetsResponse,
    ListDatasetVersionsResponse,
)
from lepton_core.data_layout.checks import check_data
from lepton_core.ids import check_label
from lepton_core.validation import parse


@dataclass(frozen=True, slots=True)
class DatasetPush:
    """`created` is False if the latest version has exactly these files. `sent_bytes`: size of the files that were sent.

    `empty_folders` are not in the version, which holds only files. `checked`: result of the check, if there was one.
    """

    version: DatasetVersion
    created: bool
    sent_bytes: int
    empty_folders: tuple[str, ...] = ()
    checked: str = ""


class Datasets:
    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def push(
        self, name: str, path: str | Path, *, message: str = "", check: str = "", progress: bool = True
    ) -> DatasetVersion:
        """Makes a version of `name` from a folder (or one file).

        Only files that the platform does not have are sent. The same files give the same version. Files and folders
        whose name begins with a dot, and `__pycache__`, are left out. `check` is the name of a recipe: data whose
        names, layout or rows it would refuse raises INVALID before anything is sent.
        """
        return self.push_reported(name, path, message=message, check=check, progress=progress).version

    def push_reported(
        self, name: str, path: str | Path, *, message: str = "", check: str = "", progress: bool = True
    ) -> DatasetPush:
        """The same as `push`, with a report of what was new."""
        check_label(name, "name")
        checked = check_data(check, Path(path)) if check else ""
        pushed = push_folder(self._transport, Path(path), title=name, progress=progress)
        body = parse(CreateDatasetVersionRequest, {"manifest_digest": pushed.manifest_digest, "message": message})
        made = self._transport.send("POST", f"/v1/datasets/{name}/versions", CreateDatasetVersionResponse, body)
        return DatasetPush(made.version, made.created, pushed.sent_bytes, tuple(empty_folders(Path(path))), checked)

    def pull(self, reference: str, folder: str | Path, *, progress: bool = True) -> DatasetVersion:
        """Writes the files of `name`, `name@3` … into `folder`, each verified by its SHA-256."""
        version = self.version(reference)
        files = read_manifest(self._transport, version.digest)
        pull_files(self._transport, files, Path(folder), title=reference, progress=progress)
        return version

    def get(self, name: str) -> Dataset:
        """The dataset of that name. Raises NOT_FOUND."""
        return self._transport.get(f"/v1/datasets/{part(name, 'name')}", Dataset)

    def list(self) -> list[Dataset]:
        """All datasets of the project, by name."""
        return [each for page in self._transport.pages("/v1/datasets", ListDatasetsResponse) for each in page.datasets]

    def version(self, reference: str) -> DatasetVersion:
        """`digits`, `digits@latest`, `digits@3`, `digits@sha256:…`, or a version's id."""
        return self._transport.get(f"/v1/dataset-versions/{part(reference, 'reference')}", DatasetVersion)

    def versions(self, name: str) -> Sequence[DatasetVersion]:
        """Newest first."""
        pages = self._transport.pages(f"/v1/datasets/{part(name, 'name')}/versions", ListDatasetVersionsResponse)
        return [each for page in pages for each in page.versions]

    def files(self, version: DatasetVersion, *, limit: int | None = None) -> Sequence[FileEntry]:
        """The files of a version, ordered by path; all, or at most `limit`."""
        return read_manifest(self._transport, version.digest, limit)
