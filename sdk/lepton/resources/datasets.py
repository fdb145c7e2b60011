"""Datasets: folders, in immutable versions."""

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
    """`created` is False when the latest version has exactly these files; `sent_bytes` were new to the platform.

    `empty_folders` were left out, since a version holds files. `checked`: what a check found, if one was asked for.
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

        Only files that the platform does not have are sent; the same files again give the same version. Left out are
        files and folders whose name begins with a dot, and `__pycache__`. `check` names a recipe: what it would refuse
        in names, layout and rows is INVALID before anything is sent.
        """
        return self.push_reported(name, path, message=message, check=check, progress=progress).version

    def push_reported(
        self, name: str, path: str | Path, *, message: str = "", check: str = "", progress: bool = True
    ) -> DatasetPush:
        """As `push`, and reports what was new."""
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
        """What the version holds, by path; at most `limit` of them."""
        return read_manifest(self._transport, version.digest, limit)
