"""The registry's settings: `LEPTON_REGISTRY_<FIELD>`, units in the names."""

from pathlib import Path

from pydantic import Field, SecretStr

from lepton_core.settings import Settings


class ObjectStoreSettings(Settings):
    """An S3 store. `public_url` is its address as clients know it: the host is part of a URL's signature."""

    endpoint: str
    access_key: SecretStr
    secret_key: SecretStr
    bucket: str = Field(pattern=r"^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$")
    region: str = "us-east-1"
    public_url: str = ""


class RegistrySettings(Settings):
    listen: str = "127.0.0.1:7462"
    # sqlite:///path or postgresql+psycopg://…
    database_url: str
    # Empty: no hints and no event stream; workers then only ask by themselves.
    broker_url: str = ""
    object_store: ObjectStoreSettings
    # JSON: name of each service → SHA-256 of its token.
    service_tokens_file: Path
    attempt_token_secret_file: Path
    # The operator's API key, made known at the start; none if empty.
    operator_key_file: Path | None = None
    lease_seconds: int = Field(default=30, ge=3, le=3600)
    sweep_seconds: float = Field(default=1.0, gt=0, le=2.0)
    leader_takeover_seconds: float = Field(default=5.0, ge=2.0)
    max_log_bytes_per_run: int = Field(default=64 * 1024 * 1024, ge=1024)
    max_message_bytes: int = Field(default=32 * 1024 * 1024, ge=1024 * 1024)
    drain_seconds: float = Field(default=5.0, ge=0)
    log_level: str = Field(default="INFO", pattern="^(DEBUG|INFO|WARNING|ERROR)$")
