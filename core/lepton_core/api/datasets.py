"""Datasets and their versions."""

from collections.abc import Set as AbstractSet
from typing import ClassVar

from pydantic import Field

from lepton_core.api.base import Answer, Request, Resource, VersionedResource


class Dataset(VersionedResource):
    """A named dataset with numbered versions."""


class DatasetVersion(Resource):
    """Immutable and content-addressed: the same files give the same version."""

    id: str = ""
    project: str = ""
    dataset: str = ""
    version: int = 0
    digest: str = Field("", description="Digest of the manifest.")
    files: int = 0
    bytes: int = 0
    message: str = ""
    created_by: str = ""
    created_at_us: int = 0


class ListDatasetsResponse(Answer):
    datasets: list[Dataset]
    next_page_token: str


class ListDatasetVersionsResponse(Answer):
    versions: list[DatasetVersion]
    next_page_token: str


class CreateDatasetVersionRequest(Request):
    in_path: ClassVar[AbstractSet[str]] = frozenset({"name"})

    manifest_digest: str
    message: str = ""


class CreateDatasetVersionResponse(Answer):
    version: DatasetVersion
    created: bool = Field(description="False if the latest version already has exactly these files.")
