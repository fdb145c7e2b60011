"""SQL tables of artifacts, uploads and manifests."""

from typing import ClassVar

import sqlalchemy as sa
from sqlmodel import Field, SQLModel

CODE_POINT_TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


class ArtifactRow(SQLModel, table=True):
    """A file of a project, identified by its digest: a range of an object. Several rows may share an object (a pack).

    `state`: present; damaged (a mismatch was confirmed); dead (to be collected). Only present ones can be used.
    """

    __tablename__: ClassVar[str] = "artifacts"
    __table_args__ = (
        sa.Index("ix_artifacts_object", "object_key"),
        sa.Index("ix_artifacts_state_used", "state", "used_at_us"),
    )

    project: str = Field(primary_key=True)
    digest: str = Field(primary_key=True)
    bytes: int = Field(sa_type=sa.BigInteger)
    object_key: str
    object_offset: int = Field(sa_type=sa.BigInteger)
    state: str
    created_at_us: int = Field(sa_type=sa.BigInteger)
    # Updated by every use: artifacts that were used recently are not collected.
    used_at_us: int = Field(sa_type=sa.BigInteger)
    # Time at which it became damaged or dead; 0 while present.
    ended_at_us: int = Field(sa_type=sa.BigInteger)


class UploadRow(SQLModel, table=True):
    """A multipart upload to a new key. `state`: open, verifying, committed, failed."""

    __tablename__: ClassVar[str] = "uploads"
    __table_args__ = (sa.Index("ix_uploads_state_expires", "state", "expires_at_us"),)

    id: str = Field(primary_key=True)
    project: str
    digest: str
    bytes: int = Field(sa_type=sa.BigInteger)
    part_bytes: int = Field(sa_type=sa.BigInteger)
    object_key: str
    # The store's id of the multipart upload; empty if the artifact existed already.
    multipart_id: str
    # JSON list of [number, etag], so that a restarted registry can continue.
    parts_json: str = Field(sa_type=sa.Text)
    state: str
    error: str
    created_at_us: int = Field(sa_type=sa.BigInteger)
    expires_at_us: int = Field(sa_type=sa.BigInteger)
    # The attempt that sends it; empty for other callers.
    attempt_id: str = Field(default="", sa_column_kwargs={"server_default": ""})


class AttemptFileRow(SQLModel, table=True):
    """A file that a running attempt has sent."""

    __tablename__: ClassVar[str] = "attempt_files"

    attempt_id: str = Field(primary_key=True)
    digest: str = Field(primary_key=True)


class ManifestRow(SQLModel, table=True):
    """A committed folder."""

    __tablename__: ClassVar[str] = "manifests"
    __table_args__ = (
        sa.UniqueConstraint("project", "digest"),
        sa.Index("ix_manifests_used", "used_at_us"),
    )

    id: str = Field(primary_key=True)
    project: str
    digest: str
    files: int = Field(sa_type=sa.BigInteger)
    bytes: int = Field(sa_type=sa.BigInteger)
    created_at_us: int = Field(sa_type=sa.BigInteger)
    used_at_us: int = Field(sa_type=sa.BigInteger)


class ManifestFileRow(SQLModel, table=True):
    """One file of a manifest."""

    __tablename__: ClassVar[str] = "manifest_files"
    __table_args__ = (sa.Index("ix_manifest_files_digest", "digest"),)

    manifest_id: str = Field(primary_key=True)
    # In code point order, as manifests are sorted; PostgreSQL's default is its locale.
    path: str = Field(primary_key=True, sa_type=CODE_POINT_TEXT)
    digest: str
    bytes: int = Field(sa_type=sa.BigInteger)
