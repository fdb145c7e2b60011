"""Models, versions, aliases."""

from collections.abc import Set as AbstractSet
from typing import ClassVar

from pydantic import Field

from lepton_core.api.artifacts import FileEntry
from lepton_core.api.base import Answer, JsonObject, Request, Resource, VersionedResource
from lepton_core.api.limits import MAX_PACKAGE_FILES


class Alias(Resource):
    name: str = ""
    version: int = 0
    updated_at_us: int = 0
    updated_by: str = ""


class Model(VersionedResource):
    """A named model with numbered versions."""

    aliases: list[Alias] = Field(default_factory=list)


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
    run_id: str = Field("", description="The run that made it; empty if it was imported.")
    aliases: list[str] = Field(default_factory=list)
    created_by: str = ""
    created_at_us: int = 0
    files: list[FileEntry] = Field(default_factory=list)


class ListModelsResponse(Answer):
    models: list[Model]
    next_page_token: str


class ListModelVersionsResponse(Answer):
    versions: list[ModelVersion]
    next_page_token: str


class ImportModelVersionRequest(Request):
    in_path: ClassVar[AbstractSet[str]] = frozenset({"name"})

    files: list[FileEntry] = Field(max_length=MAX_PACKAGE_FILES)


class ImportModelVersionResponse(Answer):
    version: ModelVersion
    created: bool


class SetAliasRequest(Request):
    in_path: ClassVar[AbstractSet[str]] = frozenset({"model", "alias"})

    version: int = Field(ge=1, lt=2**63)
    expected_version: int = Field(
        0, ge=0, lt=2**63, description="Refused (409) unless the alias is at this version now; 0: no check."
    )


class SetAliasResponse(Answer):
    alias: Alias
