"""Datasets and their versions."""

from pydantic import Field

from lepton_core.api.base import Resource


class Dataset(Resource):
    id: str = ""
    project: str = ""
    name: str = ""
    description: str = ""
    latest_version: int = 0
    created_at_us: int = 0


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
