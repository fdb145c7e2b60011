"""The functions of artifacts for other resources, in their transactions: files (`require`) and manifests."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

import sqlalchemy as sa

from lepton_core.api.limits import MAX_MANIFEST_PAGE
from lepton_core.errors import ErrorCode, FieldError, LeptonError, invalid
from lepton_core.ids import check_digest, new_id
from lepton_registry.artifacts.blobs import PRESENT, chunks, refuse, require
from lepton_registry.artifacts.manifest import File, FileLike, Manifest, build_manifest
from lepton_registry.artifacts.tables import ManifestFileRow, ManifestRow
from lepton_registry.database.engine import insert_new, now_us, table

__all__ = [
    "Committed",
    "File",
    "commit_built",
    "commit_manifest",
    "manifest_files",
    "page",
    "require",
    "require_file",
    "require_manifest",
    "require_within",
    "within",
]

MANIFESTS = table(ManifestRow)
MANIFEST_FILES = table(ManifestFileRow)
SHOWN_FILES = 10


@dataclass(frozen=True, slots=True)
class Committed:
    """A committed manifest."""

    id: str
    digest: str
    bytes: int
    files: int


def commit_manifest(conn: sa.Connection, project: str, entries: Iterable[FileLike], field: str = "files") -> Committed:
    """Commits a folder whose files are all present. The same files give the same digest, and no second row.

    Raises INVALID for a bad path or a size that is not the artifact's, FAILED_PRECONDITION for missing files, CORRUPT
    for damaged ones.
    """
    return commit_built(conn, project, build_manifest(entries, field), field)


def commit_built(conn: sa.Connection, project: str, manifest: Manifest, field: str = "files") -> Committed:
    """The same as commit_manifest, for a manifest that is already checked (big ones are checked on a thread)."""
    sizes = require(conn, project, (file.digest for file in manifest.files))
    for file in manifest.files:
        if file.bytes != sizes[file.digest]:
            message = f"{file.path!r} has another size than its digest"
            raise invalid(field, message, file.bytes, f"{sizes[file.digest]} bytes for {file.digest}")
    known = _use(conn, project, manifest.digest)
    if known is not None:
        return known
    now = now_us()
    made = Committed(new_id("mf"), manifest.digest, manifest.bytes, len(manifest.files))
    row = {
        "id": made.id,
        "project": project,
        "digest": made.digest,
        "files": made.files,
        "bytes": made.bytes,
        "created_at_us": now,
        "used_at_us": now,
    }
    if not insert_new(conn, MANIFESTS, row):
        # Another transaction has committed the same folder since the query above.
        return require_manifest(conn, project, manifest.digest)
    conn.execute(
        sa.insert(MANIFEST_FILES),
        [{"manifest_id": made.id, "path": f.path, "digest": f.digest, "bytes": f.bytes} for f in manifest.files],
    )
    return made


def require_manifest(
    conn: sa.Connection,
    project: str,
    digest: str,
    *,
    field: str = "manifest_digest",
    missing: ErrorCode = ErrorCode.NOT_FOUND,
) -> Committed:
    """A manifest of the project, which is protected from collection by this use. `missing`: code if there is none."""
    found = _use(conn, project, check_digest(digest, field))
    if found is None:
        message = "no such manifest in this project"
        fields = [FieldError(field, message, digest, "the digest of a committed manifest")]
        raise LeptonError(missing, f"{field}: {message}: {digest}", fields)
    return found


def require_file(conn: sa.Connection, folder: Committed, path: str, field: str) -> None:
    """Raises INVALID unless the folder has a file of this path."""
    normal = PurePosixPath(path).as_posix()
    mine = MANIFEST_FILES.c.manifest_id == folder.id
    if conn.scalar(sa.select(MANIFEST_FILES.c.path).where(mine, MANIFEST_FILES.c.path == normal)) is None:
        shown = list(conn.scalars(sa.select(MANIFEST_FILES.c.path).where(mine).order_by("path").limit(SHOWN_FILES + 1)))
        names = ", ".join(shown[:SHOWN_FILES]) + (", …" if len(shown) > SHOWN_FILES else "")
        raise invalid(field, "not in the code folder", path, f"a file of it: {names}")


def require_within(conn: sa.Connection, project: str, folders: Collection[str], digests: Sequence[str]) -> None:
    """Raises NOT_FOUND for files that are in none of the folders (given by digest)."""
    refuse(digests, dict.fromkeys(within(conn, project, folders, digests), PRESENT), ErrorCode.NOT_FOUND)


def within(conn: sa.Connection, project: str, folders: Collection[str], digests: Sequence[str]) -> set[str]:
    """The digests, of those given, that are in one of the folders."""
    mine = sa.and_(MANIFESTS.c.id == MANIFEST_FILES.c.manifest_id, MANIFESTS.c.project == project)
    listed = sa.select(MANIFEST_FILES.c.digest).join(MANIFESTS, mine).where(MANIFESTS.c.digest.in_(folders)).distinct()
    found: set[str] = set()
    for chunk in chunks(digests):
        found |= set(conn.scalars(listed.where(MANIFEST_FILES.c.digest.in_(chunk))))
    return found


def manifest_files(
    conn: sa.Connection, project: str, digest: str, *, after: str = "", limit: int | None = None
) -> list[File]:
    """Files ordered by path, after the path `after`. Raises NOT_FOUND if the project has no such manifest."""
    manifest_id = conn.scalar(
        sa.select(MANIFESTS.c.id).where(MANIFESTS.c.project == project, MANIFESTS.c.digest == digest)
    )
    if manifest_id is None:
        raise LeptonError(
            ErrorCode.NOT_FOUND, f"no such manifest in this project: {check_digest(digest, 'manifest_digest')}"
        )
    statement = (
        sa.select(MANIFEST_FILES.c.path, MANIFEST_FILES.c.digest, MANIFEST_FILES.c.bytes)
        .where(MANIFEST_FILES.c.manifest_id == manifest_id, MANIFEST_FILES.c.path > after)
        .order_by(MANIFEST_FILES.c.path)
        .limit(limit)
    )
    return [File(row.path, row.digest, row.bytes) for row in conn.execute(statement)]


def page(conn: sa.Connection, project: str, digest: str, after: str, limit: int) -> tuple[Sequence[File], str]:
    """One page, and the path after which the next one begins; empty on the last page."""
    size = min(limit, MAX_MANIFEST_PAGE) if limit > 0 else MAX_MANIFEST_PAGE
    files = manifest_files(conn, project, digest, after=after, limit=size + 1)
    return files[:size], files[size - 1].path if len(files) > size else ""


def _use(conn: sa.Connection, project: str, digest: str) -> Committed | None:
    statement = (
        sa.update(MANIFESTS)
        .where(MANIFESTS.c.project == project, MANIFESTS.c.digest == digest)
        .values(used_at_us=now_us())
        .returning(MANIFESTS.c.id, MANIFESTS.c.digest, MANIFESTS.c.bytes, MANIFESTS.c.files)
    )
    row = conn.execute(statement).first()
    return None if row is None else Committed(row.id, row.digest, row.bytes, row.files)
