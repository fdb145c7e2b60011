"""Models, their versions and aliases."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lepton.transport.http import Transport, part
from lepton.transport.transfer import pull_files, push_folder, read_manifest
from lepton_core.api import (
    Alias,
    ImportModelVersionRequest,
    ImportModelVersionResponse,
    ListModelsResponse,
    ListModelVersionsResponse,
    Model,
    ModelVersion,
    SetAliasRequest,
    SetAliasResponse,
)
from lepton_core.errors import invalid
from lepton_core.ids import check_label
from lepton_core.validation import parse


class Models:
    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def get(self, name: str) -> Model:
        """The model of that name, with its aliases. Raises NOT_FOUND."""
        return self._transport.get(f"/v1/models/{part(name, 'name')}", Model)

    def list(self) -> list[Model]:
        """All models of the project, by name."""
        return [each for page in self._transport.pages("/v1/models", ListModelsResponse) for each in page.models]

    def version(self, reference: str) -> ModelVersion:
        """`digits@champion`, `digits@2`, `digits@latest`, or a version's id."""
        return self._transport.get(f"/v1/model-versions/{part(reference, 'reference')}", ModelVersion)

    def versions(self, name: str) -> Sequence[ModelVersion]:
        """Newest first."""
        pages = self._transport.pages(f"/v1/models/{part(name, 'name')}/versions", ListModelVersionsResponse)
        return [each for page in pages for each in page.versions]

    def promote(
        self, version: ModelVersion | str | None, alias: str = "champion", *, expected_version: int = 0
    ) -> Alias:
        """Moves `alias` to `version`; deployments that follow it get a new revision at once.

        `version` is a reference with a version, such as `digits@2`: a default could be promoted by mistake. With
        `expected_version`, raises CONFLICT if the alias is not at that version.
        """
        if version is None:
            raise invalid("version", "the run registered no model", None, "a model version; set `register` in the job")
        found = self.exact_version(version) if isinstance(version, str) else version
        body = parse(SetAliasRequest, {"version": found.version, "expected_version": expected_version})
        path = f"/v1/models/{part(found.model, 'model')}/aliases/{part(alias, 'alias')}"
        return self._transport.send("PUT", path, SetAliasResponse, body).alias

    def exact_version(self, reference: str) -> ModelVersion:
        """The same as `version`, but raises INVALID for the name of a model alone."""
        if "@" not in reference and not reference.startswith("mv_"):
            latest = f"{reference}@{self.get(reference).latest_version}"
            raise invalid(
                "version", "a model without a version", reference, f"{latest} (the latest), or another version"
            )
        return self.version(reference)

    def download(self, reference: str, folder: str | Path, *, progress: bool = True) -> ModelVersion:
        """Writes the package's files into `folder`, each verified by its SHA-256."""
        version = self.version(reference)
        files = version.files or read_manifest(self._transport, version.digest)
        pull_files(self._transport, files, Path(folder), title=f"{version.model}@{version.version}", progress=progress)
        return version

    def push(self, name: str, folder: str | Path, *, progress: bool = True) -> ModelVersion:
        """Imports a package made elsewhere: a folder with `model.onnx`, `signature.json` and optional files."""
        check_label(name, "name")
        pushed = push_folder(self._transport, Path(folder), title=name, progress=progress)
        body = parse(ImportModelVersionRequest, {"files": pushed.files})
        return self._transport.send("POST", f"/v1/models/{name}/versions", ImportModelVersionResponse, body).version

    def compare(self, *references: str) -> dict[str, dict[str, Any]]:
        """Metrics side by side: metric → reference → value (None if a version does not have the metric)."""
        found = {reference: self.version(reference).metrics for reference in references}
        names = sorted({name for metrics in found.values() for name in metrics})
        return {name: {reference: metrics.get(name) for reference, metrics in found.items()} for name in names}
