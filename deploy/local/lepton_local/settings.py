"""Settings of the local platform itself, `LEPTON_LOCAL_…`: mostly servers to use instead of the bundled ones."""

from typing import Self

from pydantic import model_validator

from lepton_core.settings import Settings


class ObjectStore(Settings):
    """An S3 server and a bucket in it. `public_url`: how clients reach it, where that differs from `endpoint`."""

    endpoint: str = ""
    access_key: str = ""
    secret_key: str = ""
    bucket: str = "lepton"
    region: str = "us-east-1"
    public_url: str = ""

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

    database_url: str = ""
    broker_url: str = ""
    object_store: ObjectStore = ObjectStore()
    free_ports: bool = False
    start_seconds: float = 60.0
