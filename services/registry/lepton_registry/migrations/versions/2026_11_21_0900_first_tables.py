"""The first tables.

Written out, without the tables' classes: a revision has to run when these have changed.
"""

from collections.abc import Callable
from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.types import TypeEngine

revision = "2026_11_21_0900"
down_revision = None

Columns = list[sa.Column[Any]]


def columns(*kinds: tuple[Callable[[], TypeEngine[Any]], str], nullable: bool = False) -> Columns:
    """Columns of each kind, their names in one text."""
    return [sa.Column(name, kind(), nullable=nullable) for kind, names in kinds for name in names.split()]


NAME, TEXT, NUMBER, COUNT, FLAG, REAL = sa.String, sa.Text, sa.BigInteger, sa.Integer, sa.Boolean, sa.Float


def _artifacts() -> None:
    op.create_table(
        "artifacts",
        *columns(
            (NAME, "project digest object_key state"),
            (NUMBER, "bytes object_offset created_at_us used_at_us ended_at_us"),
        ),
        sa.PrimaryKeyConstraint("project", "digest"),
    )
    op.create_index("ix_artifacts_object", "artifacts", ["object_key"])
    op.create_index("ix_artifacts_state_used", "artifacts", ["state", "used_at_us"])
    op.create_table(
        "manifest_files",
        *columns((NAME, "manifest_id digest"), (TEXT, "path"), (NUMBER, "bytes")),
        sa.PrimaryKeyConstraint("manifest_id", "path"),
    )
    op.create_index("ix_manifest_files_digest", "manifest_files", ["digest"])
    op.create_table(
        "manifests",
        *columns((NAME, "id project digest"), (NUMBER, "files bytes created_at_us used_at_us")),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("project", "digest"),
    )
    op.create_index("ix_manifests_used", "manifests", ["used_at_us"])
    op.create_table(
        "uploads",
        *columns(
            (NAME, "id project digest object_key multipart_id state error"),
            (NUMBER, "bytes part_bytes created_at_us expires_at_us"),
            (TEXT, "parts_json"),
        ),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_uploads_state_expires", "uploads", ["state", "expires_at_us"])


def _database() -> None:
    op.create_table(
        "locks",
        *columns((NAME, "name")),
        sa.PrimaryKeyConstraint("name"),
    )


def _datasets() -> None:
    op.create_table(
        "dataset_versions",
        *columns(
            (NAME, "id project dataset_id dataset digest message created_by"),
            (NUMBER, "version files bytes created_at_us"),
        ),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("dataset_id", "version"),
    )
    op.create_index("ix_dataset_versions_digest", "dataset_versions", ["project", "digest"])
    op.create_table(
        "datasets",
        *columns((NAME, "id project name description"), (NUMBER, "latest_version created_at_us")),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("project", "name"),
    )


def _deployments() -> None:
    op.create_table(
        "deployments",
        *columns(
            (NAME, "id project name model_id model alias desired_id last_good_id"),
            (NUMBER, "revisions created_at_us updated_at_us deleted_at_us"),
        ),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_deployments_following", "deployments", ["model_id", "alias"])
    op.create_index(
        "uq_deployments_live_name",
        "deployments",
        ["project", "name"],
        unique=True,
        sqlite_where=sa.text("deleted_at_us = 0"),
        postgresql_where=sa.text("deleted_at_us = 0"),
    )
    op.create_table(
        "revisions",
        *columns(
            (NAME, "id project deployment_id model_version_id model model_digest state reason created_by"),
            (NUMBER, "number model_version created_at_us"),
        ),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("deployment_id", "number"),
    )
    op.create_table(
        "serving_state",
        *columns((NAME, "name"), (NUMBER, "generation")),
        sa.PrimaryKeyConstraint("name"),
    )


def _events() -> None:
    op.create_table(
        "event_cursors",
        *columns((NAME, "name"), (NUMBER, "position")),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_table(
        "events",
        sa.Column("sequence", sa.BigInteger().with_variant(sa.Integer, "sqlite"), nullable=False),
        *columns((NAME, "id project type subject"), (NUMBER, "at_us"), (TEXT, "data_json")),
        *columns((NUMBER, "position"), nullable=True),
        sa.PrimaryKeyConstraint("sequence"),
    )
    op.create_index(
        "ix_events_project",
        "events",
        ["project", "position"],
        sqlite_where=sa.text("position IS NOT NULL"),
        postgresql_where=sa.text("position IS NOT NULL"),
    )
    op.create_index(
        "ix_events_subject",
        "events",
        ["subject", "position"],
        sqlite_where=sa.text("position IS NOT NULL"),
        postgresql_where=sa.text("position IS NOT NULL"),
    )
    op.create_index(
        "ix_events_unnumbered",
        "events",
        ["sequence"],
        sqlite_where=sa.text("position IS NULL"),
        postgresql_where=sa.text("position IS NULL"),
    )
    op.create_index(
        "uq_events_position",
        "events",
        ["position"],
        unique=True,
        sqlite_where=sa.text("position IS NOT NULL"),
        postgresql_where=sa.text("position IS NOT NULL"),
    )
    op.create_table(
        "leaders",
        *columns((NAME, "name holder"), (NUMBER, "term beat")),
        sa.PrimaryKeyConstraint("name"),
    )


def _lineage() -> None:
    op.create_table(
        "lineage_edges",
        *columns((NAME, "project from_id to_id relation"), (NUMBER, "created_at_us")),
        sa.PrimaryKeyConstraint("project", "from_id", "to_id", "relation"),
    )
    op.create_index("ix_lineage_edges_to", "lineage_edges", ["project", "to_id", "from_id"])
    op.create_table(
        "lineage_nodes",
        *columns((NAME, "project id kind name"), (TEXT, "facts_json")),
        sa.PrimaryKeyConstraint("project", "id"),
    )


def _logs() -> None:
    op.create_table(
        "log_chunks",
        *columns((NAME, "run_id attempt_id stream object_key"), (NUMBER, "position offset bytes at_us")),
        sa.PrimaryKeyConstraint("run_id", "position"),
    )
    op.create_table(
        "log_heads",
        *columns((NAME, "run_id"), (NUMBER, "position bytes"), (FLAG, "full")),
        sa.PrimaryKeyConstraint("run_id"),
    )
    op.create_table(
        "log_offsets",
        *columns((NAME, "attempt_id stream"), (NUMBER, "offset")),
        sa.PrimaryKeyConstraint("attempt_id", "stream"),
    )


def _metrics() -> None:
    op.create_table(
        "journal_offsets",
        *columns((NAME, "attempt_id file"), (NUMBER, "offset")),
        sa.PrimaryKeyConstraint("attempt_id", "file"),
    )
    op.create_table(
        "metric_heads",
        *columns((NAME, "run_id"), (NUMBER, "position")),
        sa.PrimaryKeyConstraint("run_id"),
    )
    op.create_table(
        "metric_points",
        *columns(
            (NAME, "run_id key"),
            (NUMBER, "position file_offset step at_us"),
            (COUNT, "attempt_number rank"),
            (REAL, "value"),
        ),
        sa.PrimaryKeyConstraint("run_id", "position"),
    )


def _models() -> None:
    op.create_table(
        "model_aliases",
        *columns((NAME, "model_id name project updated_by"), (NUMBER, "version updated_at_us")),
        sa.PrimaryKeyConstraint("model_id", "name"),
    )
    op.create_table(
        "model_versions",
        *columns(
            (NAME, "id project model_id model digest created_by"),
            (NUMBER, "version bytes created_at_us"),
            (TEXT, "signature_json card_json metrics_json evaluation_json"),
        ),
        *columns((NAME, "run_id"), nullable=True),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("model_id", "version"),
        sa.UniqueConstraint("run_id", "model_id"),
    )
    op.create_index("ix_model_versions_digest", "model_versions", ["project", "digest"])
    op.create_table(
        "models",
        *columns((NAME, "id project name description"), (NUMBER, "latest_version created_at_us")),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("project", "name"),
    )


def _projects() -> None:
    op.create_table(
        "api_keys",
        *columns((NAME, "id project name role token_sha256"), (NUMBER, "created_at_us revoked_at_us expires_at_us")),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_api_keys_project", "api_keys", ["project"])
    op.create_table(
        "projects",
        *columns((NAME, "id name"), (NUMBER, "created_at_us")),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("name"),
    )


def _recipes() -> None:
    op.create_table(
        "recipes",
        *columns((NAME, "name version title schema_digest"), (TEXT, "schema_json"), (NUMBER, "created_at_us")),
        sa.PrimaryKeyConstraint("name", "version"),
    )


def _runs() -> None:
    op.create_table(
        "attempts",
        *columns(
            (NAME, "id run_id project state worker_id claim_id finish_digest resumed_from"),
            (COUNT, "number"),
            (NUMBER, "incarnation lease_ends_us created_at_us finished_at_us"),
            (TEXT, "reason"),
        ),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("worker_id", "claim_id"),
    )
    op.create_index("ix_attempts_run", "attempts", ["run_id", "number"])
    op.create_index(
        "ix_attempts_running",
        "attempts",
        ["lease_ends_us"],
        sqlite_where=sa.text("state = 'running'"),
        postgresql_where=sa.text("state = 'running'"),
    )
    op.create_table(
        "checkpoints",
        *columns(
            (NAME, "id project run_id attempt_id manifest_digest"),
            (NUMBER, "step epoch created_at_us"),
            (TEXT, "metrics_json offsets_json"),
        ),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("attempt_id", "step"),
    )
    op.create_index("ix_checkpoints_run", "checkpoints", ["run_id", "id"])
    op.create_table(
        "lease_clock",
        *columns((NAME, "name"), (NUMBER, "elapsed_us")),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_table(
        "run_results",
        *columns((NAME, "run_id project code_digest"), (TEXT, "evaluation_json statistics_json environment_json")),
        sa.PrimaryKeyConstraint("run_id"),
    )
    op.create_table(
        "runs",
        *columns(
            (NAME, "id project name state key_namespace idempotency_key request_digest recipe recipe_version"),
            (
                NAME,
                "dataset_version_id dataset data_digest code_digest current_attempt_id model_version_id model",
            ),
            (NAME, "created_by retry_of"),
            (TEXT, "spec_json reason metrics_json"),
            (COUNT, "ranks attempts retries retries_spent lost_in_a_row"),
            (NUMBER, "dataset_version model_version created_at_us started_at_us finished_at_us"),
            (FLAG, "cancel_requested"),
            (REAL, "progress"),
        ),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("project", "key_namespace", "idempotency_key"),
    )
    op.create_index("ix_runs_project", "runs", ["project", "id"])
    op.create_index(
        "ix_runs_queued",
        "runs",
        ["recipe", "recipe_version", "ranks", "created_at_us", "id"],
        sqlite_where=sa.text("state = 'queued'"),
        postgresql_where=sa.text("state = 'queued'"),
    )


def _workers() -> None:
    op.create_table(
        "worker_recipes",
        *columns((NAME, "worker_id recipe version")),
        sa.PrimaryKeyConstraint("worker_id", "recipe", "version"),
    )
    op.create_table(
        "workers",
        *columns(
            (NAME, "id hostname"),
            (NUMBER, "incarnation registered_at_us seen_at_us"),
            (FLAG, "accepts_scripts draining"),
            (COUNT, "max_ranks gpus"),
        ),
        sa.PrimaryKeyConstraint("id"),
    )


def upgrade() -> None:
    for make in (
        _artifacts,
        _database,
        _datasets,
        _deployments,
        _events,
        _lineage,
        _logs,
        _metrics,
        _models,
        _projects,
        _recipes,
        _runs,
        _workers,
    ):
        make()
