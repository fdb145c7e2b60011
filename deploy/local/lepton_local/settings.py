"""Settings of the local platform, `LEPTON_LOCAL_…`: mostly servers to use instead of the bundled ones."""

import re
from typing import Self

from pydantic import Field, field_validator, model_validator

from lepton_core.settings import Settings

SETTINGS_PREFIX = "LEPTON_LOCAL"
_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?")


class ObjectStore(Settings):
    """An S3 server and a bucket. `public_url`: its URL for clients, if that differs from `endpoint`."""

    endpoint: str = Field(default="", description="URL of your own S3 server; empty: the bundled one.")
    access_key: str = Field(default="", description="Its access key.")
    secret_key: str = Field(default="", description="Its secret key.")
    bucket: str = Field(
        default="lepton", description="Bucket, used only by this platform's database; it is made if it does not exist."
    )
    region: str = Field(default="us-east-1", description="Its region.")
    public_url: str = Field(
        default="", description="URL of the S3 server for clients, if that differs from the endpoint."
    )

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if self.endpoint and not (self.access_key and self.secret_key):
            raise ValueError("your own object store needs endpoint, access_key and secret_key")
        return self


class LocalSettings(Settings):
    """An empty URL means the bundled server.

    All components use the user of `broker_url`, since the platform makes no users on your own server.
    `free_ports`: use any free ports at the first start instead of the default ones.
    """

    database_url: str = Field(
        default="", description="URL of your own PostgreSQL (`postgresql+psycopg://…`); empty: SQLite in the home."
    )
    broker_url: str = Field(
        default="",
        description="URL of your own Redis or Valkey (`redis://…/0`), with a database that only this platform uses: "
        "the gateway of another platform would read its submissions. Empty: the bundled server.",
    )
    object_store: ObjectStore = Field(default=ObjectStore(), description="Your own S3 server.")
    public_host: str = Field(
        default="",
        description="Name or IPv4 address by which other machines reach this one; gateway, inference and the bundled "
        "S3 server then listen on all addresses. Empty: only this machine can reach them.",
    )
    free_ports: bool = Field(
        default=False, description="Use any free ports at the first start instead of the default ones."
    )
    queue_max_bytes: int = Field(
        default=1024**3,
        ge=64 * 1024**2,
        description="Memory of the bundled queue server; when it is full, it refuses new messages.",
    )
    start_seconds: float = Field(default=60.0, description="How long the start may take.")

    @field_validator("public_host")
    @classmethod
    def _check_host(cls, value: str) -> str:
        if value and not _HOST.fullmatch(value):
            raise ValueError("must be a host name or IPv4 address without scheme and port, such as gpu1.example.org")
        return value
