"""Models, versions, aliases."""

from pydantic import Field

from lepton_core.api.artifacts import FileEntry
from lepton_core.api.base import JsonObject, Resource


class Alias(Resource):
    name: str = ""
    version: int = 0
    updated_at_us: int = 0
    updated_by: str = ""


class Model(Resource):
    id: str = ""
    project: str = ""
    name: str = ""
    description: str = ""
    latest_version: int = 0
    aliases: list[Alias] = Field(default_factory=list)
    created_at_us: int = 0


class ModelVersion(Resource):
    id: str = ""
    project: str = ""
    model: str = ""
    version: int = 0
    digest: str = Field("", description="Digest of the package's manifest.")
    bytes: int = 0
    signature: JsonObject = Field(default_factory=dict)
    card: JsonObject = Field(default_factory=dict)
    metrics: JsonObject = Field(default_factory=dict)
    evaluation: JsonObject = Field(default_factory=dict)
    run_id: str = Field("", description="Empty when imported.")
    aliases: list[str] = Field(default_factory=list)
    created_by: str = ""
    created_at_us: int = 0
    files: list[FileEntry] = Field(default_factory=list)
