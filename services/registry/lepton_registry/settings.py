"""The registry's settings: `LEPTON_REGISTRY_<FIELD>`, units in the names."""

from pathlib import Path
from typing import Self

from pydantic import Field, SecretStr, model_validator

from lepton_core.api.limits import DEFAULT_MESSAGE_BYTES
from lepton_core.settings import MetricsListen, Settings


class ObjectStoreSettings(Settings):
    """An S3 store. `public_url` is its address for clients, since the host is part of a URL's signature."""

    endpoint: str = Field(description="URL of the S3 server, for the registry.")
    access_key: SecretStr = Field(description="Its access key.")
    secret_key: SecretStr = Field(description="Its secret key.")
    bucket: str = Field(
        pattern=r"^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$", description="Bucket; it is made if it does not exist."
    )
    region: str = Field(default="us-east-1", description="Its region.")
    public_url: str = Field(
        default="", description="URL of the S3 server, for clients: the host is part of a signed URL."
    )


class RetentionSettings(Settings):
    """How long resources are kept. Those that something refers to are kept for ever."""

    read_url_seconds: int = Field(
        default=900, ge=60, le=7 * 24 * 3600, description="How long a signed URL to read a file is valid."
    )
    part_url_seconds: int = Field(
        default=3600, ge=60, le=7 * 24 * 3600, description="How long a signed URL to send a part of a file is valid."
    )
    upload_seconds: int = Field(
        default=24 * 3600, ge=60, description="How long an upload may take; after that its parts are deleted."
    )
    upload_ticket_seconds: int = Field(
        default=7 * 24 * 3600, ge=60, description="How long the result of an upload can be read."
    )
    unused_file_seconds: int = Field(
        default=24 * 3600,
        ge=60,
        description="How long files and folders that nothing refers to are kept after their last use.",
    )
    deletion_wait_seconds: int = Field(
        default=2 * 3600, ge=60, description="Time between marking a file as unused and deleting its bytes."
    )
    orphan_object_seconds: int = Field(
        default=24 * 3600,
        ge=600,
        description="How long objects without a row in the database, as a crash may leave them, are kept.",
    )
    last_checkpoints: int = Field(
        default=2,
        ge=1,
        description="Number of newest checkpoints kept for a run, besides its best and those that are referred to.",
    )
    log_days: int = Field(default=90, ge=1, description="How long the logs of a run are kept after its end.")
    event_days: int = Field(default=90, ge=1, description="How long events are kept.")
    event_cut_off_days: int = Field(
        default=180, ge=1, description="How long events are kept that a reader has not received yet."
    )

    @model_validator(mode="after")
    def _check_retention(self) -> Self:
        if self.deletion_wait_seconds <= self.read_url_seconds:
            raise ValueError("deletion_wait_seconds must be more than read_url_seconds: a reader may still use a URL")
        if self.unused_file_seconds < self.upload_seconds:
            raise ValueError(
                "unused_file_seconds must be at least upload_seconds: files are unused until their folder is complete"
            )
        if self.event_cut_off_days < self.event_days:
            raise ValueError("event_cut_off_days must be at least event_days")
        return self


DEFAULT_RETENTION = RetentionSettings()


class RegistrySettings(Settings):
    listen: str = Field(default="127.0.0.1:7462", description="host:port.")
    database_url: str = Field(
        pattern=r"^(sqlite:///|postgresql\+psycopg://)", description="`sqlite:///path` or `postgresql+psycopg://…`."
    )
    broker_url: str = Field(
        default="",
        description="Redis or Valkey; empty: no event stream, and no wake-ups, so workers find work only by polling.",
    )
    object_store: ObjectStoreSettings
    service_tokens_file: Path = Field(description="JSON file: name of each service → SHA-256 of its token.")
    attempt_token_secret_file: Path = Field(
        description="File with the secret from which the tokens of attempts are derived."
    )
    operator_key_file: Path | None = Field(
        default=None, description="File with the operator's API key, which is added at the start; empty: none."
    )
    lease_seconds: int = Field(
        default=30, ge=3, le=3600, description="How long an attempt stays valid without a heartbeat."
    )
    sweep_seconds: float = Field(default=1.0, gt=0, le=2.0, description="How often the leader ends expired attempts.")
    leader_takeover_seconds: float = Field(
        default=5.0, ge=2.0, description="How long another process waits for a leader that does not answer."
    )
    max_log_bytes_per_run: int = Field(default=64 * 1024 * 1024, ge=1024, description="Log kept of one run.")
    retention: RetentionSettings = DEFAULT_RETENTION
    max_message_bytes: int = Field(default=DEFAULT_MESSAGE_BYTES, ge=1024 * 1024, description="Largest gRPC message.")
    drain_seconds: float = Field(default=5.0, ge=0, description="How long current calls may take at a stop.")
    metrics_listen: MetricsListen = ""
    log_level: str = Field(
        default="INFO", pattern="^(DEBUG|INFO|WARNING|ERROR)$", description="DEBUG, INFO, WARNING or ERROR."
    )
