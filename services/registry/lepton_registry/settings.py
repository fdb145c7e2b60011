"""The registry's settings: `LEPTON_REGISTRY_<FIELD>`, units in the names."""

from pathlib import Path
from typing import Self

from pydantic import Field, SecretStr, model_validator

from lepton_core.api.limits import DEFAULT_MESSAGE_BYTES
from lepton_core.settings import MetricsListen, Settings


class ObjectStoreSettings(Settings):
    """An S3 store. `public_url` is its address as clients know it: the host is part of a URL's signature."""

    endpoint: str = Field(description="URL of the S3 server, as the registry reaches it.")
    access_key: SecretStr = Field(description="Its access key.")
    secret_key: SecretStr = Field(description="Its secret key.")
    bucket: str = Field(pattern=r"^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$", description="Bucket; made if it is missing.")
    region: str = Field(default="us-east-1", description="Its region.")
    public_url: str = Field(default="", description="Its address as clients know it: the host is part of a signed URL.")


class RetentionSettings(Settings):
    """How long what is kept, in one place. What something refers to is kept for ever."""

    read_url_seconds: int = Field(
        default=900, ge=60, le=7 * 24 * 3600, description="Life of a signed URL to read a file."
    )
    part_url_seconds: int = Field(
        default=3600, ge=60, le=7 * 24 * 3600, description="Life of a signed URL to send a part of a file."
    )
    upload_seconds: int = Field(
        default=24 * 3600, ge=60, description="How long a file's parts may take to arrive; then they are thrown away."
    )
    upload_ticket_seconds: int = Field(
        default=7 * 24 * 3600, ge=60, description="How long one can still ask how an upload ended."
    )
    unused_file_seconds: int = Field(
        default=24 * 3600, ge=60, description="Files and folders that nothing refers to, since their last use."
    )
    deletion_wait_seconds: int = Field(
        default=2 * 3600, ge=60, description="From the mark as unused to the deletion of the bytes."
    )
    orphan_object_seconds: int = Field(
        default=24 * 3600, ge=600, description="Objects in the store that no row names, as a crash may leave them."
    )
    last_checkpoints: int = Field(
        default=2, ge=1, description="Newest checkpoints of a run; its best and those referred to stay as well."
    )
    log_days: int = Field(default=90, ge=1, description="Logs of a run, since its end.")
    event_days: int = Field(default=90, ge=1, description="How long events can be read again.")
    event_cut_off_days: int = Field(
        default=180, ge=1, description="How long events are kept for a reader that has not had them yet."
    )

    @model_validator(mode="after")
    def _nothing_in_use_is_deleted(self) -> Self:
        if self.deletion_wait_seconds <= self.read_url_seconds:
            raise ValueError("deletion_wait_seconds must be more than read_url_seconds: a reader may still hold a URL")
        if self.unused_file_seconds < self.upload_seconds:
            raise ValueError("unused_file_seconds must be at least upload_seconds: a folder waits for its last file")
        if self.event_cut_off_days < self.event_days:
            raise ValueError("event_cut_off_days must be at least event_days: what can be read again is kept for all")
        return self


DEFAULT_RETENTION = RetentionSettings()


class RegistrySettings(Settings):
    listen: str = Field(default="127.0.0.1:7462", description="host:port.")
    database_url: str = Field(
        pattern=r"^(sqlite:///|postgresql\+psycopg://)", description="`sqlite:///path` or `postgresql+psycopg://…`."
    )
    broker_url: str = Field(
        default="", description="Redis or Valkey; empty: no hints and no event stream, workers only ask by themselves."
    )
    object_store: ObjectStoreSettings
    service_tokens_file: Path = Field(description="JSON: name of each service → SHA-256 of its token.")
    attempt_token_secret_file: Path = Field(description="Secret from which the tokens of attempts are derived.")
    operator_key_file: Path | None = Field(
        default=None, description="The operator's API key, made known at the start; none if empty."
    )
    lease_seconds: int = Field(default=30, ge=3, le=3600, description="How long an attempt lives without a renewal.")
    sweep_seconds: float = Field(
        default=1.0, gt=0, le=2.0, description="How often the leader looks for what has expired."
    )
    leader_takeover_seconds: float = Field(default=5.0, ge=2.0, description="How long a silent leader is waited for.")
    max_log_bytes_per_run: int = Field(default=64 * 1024 * 1024, ge=1024, description="Log kept of one run.")
    retention: RetentionSettings = DEFAULT_RETENTION
    max_message_bytes: int = Field(default=DEFAULT_MESSAGE_BYTES, ge=1024 * 1024, description="Largest gRPC message.")
    drain_seconds: float = Field(
        default=5.0, ge=0, description="How long calls in hand may take when it is told to stop."
    )
    metrics_listen: MetricsListen = ""
    log_level: str = Field(
        default="INFO", pattern="^(DEBUG|INFO|WARNING|ERROR)$", description="DEBUG, INFO, WARNING or ERROR."
    )
