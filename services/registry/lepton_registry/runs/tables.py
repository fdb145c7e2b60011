"""SQL tables of runs, attempts and checkpoints, and of the lease clock."""

from typing import ClassVar

import sqlalchemy as sa
from sqlmodel import Field, SQLModel

# A partial index is used only by statements that contain the same condition.
QUEUED = sa.text("state = 'queued'")
_RUNNING = sa.text("state = 'running'")


class RunRow(SQLModel, table=True):
    """The execution of a job."""

    __tablename__: ClassVar[str] = "runs"
    __table_args__ = (
        sa.UniqueConstraint("project", "key_namespace", "idempotency_key"),
        sa.Index("ix_runs_project", "project", "id"),
        # Claims read the oldest run of each line: see scheduling/queue_query.py.
        sa.Index(
            "ix_runs_queued",
            *("recipe", "recipe_version", "isolated", "ranks", "created_at_us", "id"),
            sqlite_where=QUEUED,
            postgresql_where=QUEUED,
        ),
    )

    id: str = Field(primary_key=True)
    project: str
    name: str
    state: str
    spec_json: str = Field(sa_type=sa.Text)
    key_namespace: str
    idempotency_key: str
    request_digest: str
    recipe: str
    recipe_version: str
    ranks: int
    dataset_version_id: str
    dataset: str
    dataset_version: int = Field(sa_type=sa.BigInteger)
    data_digest: str
    code_digest: str
    cancel_requested: bool
    reason: str = Field(sa_type=sa.Text)
    attempts: int
    current_attempt_id: str
    progress: float
    metrics_json: str = Field(sa_type=sa.Text)
    model_version_id: str
    model: str
    model_version: int = Field(sa_type=sa.BigInteger)
    created_by: str
    created_at_us: int = Field(sa_type=sa.BigInteger)
    started_at_us: int = Field(sa_type=sa.BigInteger)
    finished_at_us: int = Field(sa_type=sa.BigInteger)
    retries: int
    retries_spent: int
    # Number of lost attempts since the last checkpoint.
    lost_in_a_row: int
    retry_of: str
    # A script that must not run as the worker's own user.
    isolated: bool = Field(sa_column_kwargs={"server_default": sa.false()})
    # How its last attempt ended: as in attempts.
    cause_json: str = Field(sa_type=sa.Text, sa_column_kwargs={"server_default": ""})


class AttemptRow(SQLModel, table=True):
    """One try of a run. Its random id is the fence; the number is for people."""

    __tablename__: ClassVar[str] = "attempts"
    __table_args__ = (
        sa.UniqueConstraint("worker_id", "claim_id"),
        sa.Index("ix_attempts_run", "run_id", "number"),
        sa.Index("ix_attempts_running", "lease_ends_us", sqlite_where=_RUNNING, postgresql_where=_RUNNING),
    )

    id: str = Field(primary_key=True)
    run_id: str
    project: str
    number: int
    state: str
    worker_id: str
    incarnation: int = Field(sa_type=sa.BigInteger)
    claim_id: str
    # Time on the lease clock (LeaseClock), not UTC.
    lease_ends_us: int = Field(sa_type=sa.BigInteger)
    reason: str = Field(sa_type=sa.Text)
    # Digest of the request that ended it: a repetition of that request succeeds.
    finish_digest: str
    created_at_us: int = Field(sa_type=sa.BigInteger)
    finished_at_us: int = Field(sa_type=sa.BigInteger)
    resumed_from: str
    # How it ended, as JSON text of a Cause: see stored_causes.py. Empty for none.
    cause_json: str = Field(sa_type=sa.Text, sa_column_kwargs={"server_default": ""})
    # Manifest of the files that its programs left and that are kept; empty for none.
    files_digest: str = Field(sa_column_kwargs={"server_default": ""})


class CheckpointRow(SQLModel, table=True):
    """A committed checkpoint. A checkpoint exists if it has a row here."""

    __tablename__: ClassVar[str] = "checkpoints"
    __table_args__ = (
        sa.UniqueConstraint("attempt_id", "step"),
        sa.Index("ix_checkpoints_run", "run_id", "id"),
    )

    id: str = Field(primary_key=True)
    project: str
    run_id: str
    attempt_id: str
    step: int = Field(sa_type=sa.BigInteger)
    epoch: int = Field(sa_type=sa.BigInteger)
    manifest_digest: str
    metrics_json: str = Field(sa_type=sa.Text)
    # File name → offset of each journal at the checkpoint. Later points do not count once an attempt has resumed here.
    offsets_json: str = Field(sa_type=sa.Text)
    created_at_us: int = Field(sa_type=sa.BigInteger)
    # Higher is better; None if it was not measured.
    score: float | None = None


class RunResultRow(SQLModel, table=True):
    """Results of the attempt that succeeded, besides the model version."""

    __tablename__: ClassVar[str] = "run_results"

    run_id: str = Field(primary_key=True)
    project: str
    evaluation_json: str = Field(sa_type=sa.Text)
    statistics_json: str = Field(sa_type=sa.Text)
    environment_json: str = Field(sa_type=sa.Text)
    code_digest: str


class _SearchRow(SQLModel):
    """The common columns of the tables for searching runs: a row for each name in a run."""

    run_id: str = Field(primary_key=True)
    name: str = Field(primary_key=True)
    project: str


class RunLabelRow(_SearchRow, table=True):
    """A label of a run, for searching."""

    __tablename__: ClassVar[str] = "run_labels"
    __table_args__ = (sa.Index("ix_run_labels_value", "project", "name", "value", "run_id"),)

    value: str


class RunParameterRow(_SearchRow, table=True):
    """A setting of a run's job, for searching. `number` is set if the value is a number."""

    __tablename__: ClassVar[str] = "run_parameters"
    __table_args__ = (
        sa.Index("ix_run_parameters_text", "project", "name", "text", "run_id"),
        sa.Index("ix_run_parameters_number", "project", "name", "number", "run_id"),
    )

    text: str
    number: float | None = None


class RunMetricRow(_SearchRow, table=True):
    """A final metric of a run that succeeded, for searching."""

    __tablename__: ClassVar[str] = "run_metrics"
    __table_args__ = (sa.Index("ix_run_metrics_value", "project", "name", "value", "run_id"),)

    value: float


class LeaseClockRow(SQLModel, table=True):
    """The lease clock. Only the leader advances it, so it stands still while the registry or the database is down."""

    __tablename__: ClassVar[str] = "lease_clock"

    name: str = Field(primary_key=True)
    elapsed_us: int = Field(sa_type=sa.BigInteger)


class JournalOffsetRow(SQLModel, table=True):
    """The committed offset of a journal of an attempt."""

    __tablename__: ClassVar[str] = "journal_offsets"

    attempt_id: str = Field(primary_key=True)
    file: str = Field(primary_key=True)
    offset: int = Field(sa_type=sa.BigInteger)
