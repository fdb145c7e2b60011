"""Settings of the local platform itself, `LEPTON_LOCAL_…`: mostly servers to use instead of the bundled ones."""

import re
from typing import Self

from pydantic import Field, field_validator, model_validator

from lepton_core.settings import Settings

SETTINGS_PREFIX = "LEPTON_LOCAL"
_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?")


class ObjectStore(Settings):
    """An S3 server and a bucket in it. `public_url`: how clients reach it, where that differs from `endpoint`."""

    endpoint: str = Field(default="", description="URL of an S3 server of your own; empty: the bundled one.")
    access_key: str = Field(default="", description="Its access key.")
    secret_key: str = Field(default="", description="Its secret key.")
    bucket: str = Field(
        default="lepton", description="Bucket for this platform's database alone; made if it is missing."
    )
    region: str = Field(default="us-east-1", description="Its region.")
    public_url: str = Field(default="", description="How clients reach it, where that differs from the endpoint.")

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if self.endpoint and not (self.access_key and self.secret_key):
            raise ValueError("an object store of your own needs endpoint, access_key and secret_key")
        return self


class LocalSettings(Settings):
    """An empty URL means the bundled server.

    `broker_url` is one user for all parts, since that server is not ours to give users.
    `free_ports`: take any free ports at the first start instead of the default ones.
    """

    database_url: str = Field(
        default="", description="A PostgreSQL of your own (`postgresql+psycopg://…`); empty: SQLite in the home."
    )
    broker_url: str = Field(
        default="",
        description="A Redis or Valkey of your own (`redis://…/0`), in it a database for this platform alone: "
        "another's gateway would take its submissions. Empty: the bundled server.",
    )
    object_store: ObjectStore = Field(default=ObjectStore(), description="An S3 server of your own.")
    public_host: str = Field(
        default="",
        description="Name or IPv4 address at which other machines reach this one; gateway, inference and the bundled "
        "S3 server then listen on all its addresses. Empty: this machine alone.",
    )
    free_ports: bool = Field(
        default=False, description="Take any free ports at the first start instead of the default ones."
    )
    queue_max_bytes: int = Field(
        default=1024**3,
        ge=64 * 1024**2,
        description="Memory of the bundled queue server; when it is full, it refuses messages and forgets none.",
    )
    start_seconds: float = Field(default=60.0, description="How long the start may take.")

    @field_validator("public_host")
    @classmethod
    def _host_alone(cls, value: str) -> str:
        if value and not _HOST.fullmatch(value):
            raise ValueError("not a host name or IPv4 address alone (no scheme, no port), e.g. gpu1.example.org")
        return value
