"""Files by digest, and how they move."""

from enum import StrEnum

from pydantic import Field

from lepton_core.api.base import Int32, Int64, Resource


class Artifact(Resource):
    """Bytes that the store holds, known by their SHA-256 within one project."""

    digest: str = Field("", description='"sha256:<64 hex>"')
    bytes: int = 0
    created_at_us: int = 0


class FileEntry(Resource):
    """One file of a folder: a path relative to its root, POSIX separators."""

    path: str = ""
    digest: str = ""
    bytes: Int64 = 0


class UploadState(StrEnum):
    # Parts may be sent.
    OPEN = "open"
    # Completed; the registry is hashing what arrived.
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
    """Where bytes lie: a short-lived URL, and the range within that object."""

    digest: str = ""
    url: str = ""
    offset: int = 0
    bytes: int = 0
