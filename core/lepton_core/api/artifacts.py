"""Files by digest: uploads, locations and manifests."""

from collections.abc import Set as AbstractSet
from enum import StrEnum
from typing import Annotated, ClassVar

from pydantic import FailFast, Field

from lepton_core.api.base import Answer, Int32, Int64, Request, Resource
from lepton_core.api.limits import MAX_DIGESTS, MAX_MANIFEST_FILES, MAX_UPLOAD_PARTS


class Artifact(Resource):
    """A stored file, identified within a project by the SHA-256 of its bytes."""

    digest: str = Field("", description='"sha256:<64 hex>"')
    bytes: int = 0
    created_at_us: int = 0


class FileEntry(Resource):
    """One file of a folder; `path` is relative to the folder, with `/` between parts."""

    path: str = ""
    digest: str = ""
    bytes: Int64 = 0


class UploadState(StrEnum):
    # Parts may be sent.
    OPEN = "open"
    # Completed; the registry hashes the bytes.
    VERIFYING = "verifying"
    COMMITTED = "committed"
    FAILED = "failed"


class UploadPart(Resource):
    number: int = 0
    url: str = ""
    offset: int = 0
    bytes: int = 0


class Upload(Resource):
    id: str = ""
    digest: str = ""
    bytes: int = 0
    state: UploadState
    parts: list[UploadPart] = Field(default_factory=list)
    expires_at_us: int = 0
    error: str = ""


class UploadedPart(Resource):
    number: Int32 = 0
    etag: str = ""


class Location(Resource):
    """Where a file is stored: a short-lived URL of an object, and the range of the file within it."""

    digest: str = ""
    url: str = Field(
        "", description="URL of the object, which may contain many small files: send the Range header, too."
    )
    offset: int = Field(0, description="Offset of the file's first byte within the object.")
    bytes: int = 0
    range: str = Field("", description="The Range header to send, such as `bytes=0-99`; empty for an empty file.")


class FindMissingRequest(Request):
    digests: Annotated[list[str], FailFast()] = Field(max_length=MAX_DIGESTS)


class FindMissingResponse(Answer):
    digests: list[str]


class PutInlineResponse(Answer):
    artifacts: list[Artifact]


class CreateUploadRequest(Request):
    digest: str
    bytes: int = Field(ge=0, lt=2**63)


class CompleteUploadRequest(Request):
    in_path: ClassVar[AbstractSet[str]] = frozenset({"id"})

    parts: Annotated[list[UploadedPart], FailFast()] = Field(max_length=MAX_UPLOAD_PARTS)


class LocateRequest(Request):
    digests: Annotated[list[str], FailFast()] = Field(max_length=MAX_DIGESTS)


class LocateResponse(Answer):
    locations: list[Location]


class CommitManifestRequest(Request):
    # At the first wrong entry: errors of a million entries would take gigabytes.
    files: Annotated[list[FileEntry], FailFast()] = Field(max_length=MAX_MANIFEST_FILES)


class CommitManifestResponse(Answer):
    manifest_digest: str
    bytes: int
    files: int


class GetManifestResponse(Answer):
    files: list[FileEntry]
    next_after: str


class CodeFolder(Answer):
    """A stored code folder."""

    code: str = Field(description="Digest of its manifest.")
