"""Settings of the gateway: `LEPTON_GATEWAY_<NAME>`."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, Field

from lepton_core.api.limits import DEFAULT_MESSAGE_BYTES
from lepton_core.binding import is_loopback
from lepton_core.queue import DEAD_LETTER_STREAM, SUBMISSION_QUEUE, SUBMISSION_STREAM
from lepton_core.settings import MetricsListen, Settings


class Binding(BaseModel):
    """The queues of one producer. Whoever can write to them acts as `principal` in `project`. Empty name: no queue."""

    model_config = {"frozen": True, "extra": "forbid"}

    principal: str = "intake"
    project: str = "default"  # by name
    stream: str = SUBMISSION_STREAM
    celery_queue: str = SUBMISSION_QUEUE
    dead_letters: str = DEAD_LETTER_STREAM


class GatewaySettings(Settings):
    http_listen: str = Field(
        "127.0.0.1:8080",
        description="host:port of the HTTP API. Beyond loopback, scripts need a worker with `LEPTON_TRAINER_RUN_AS`.",
    )
    grpc_listen: str = Field("127.0.0.1:8081", description="host:port of the gRPC API; see `http_listen`.")
    registry_address: str = Field(description="host:port of the registry.")
    service_token_file: Path = Field(description="File with the gateway's service token.")
    broker_url: str = Field("", description="URL of Redis or Valkey; empty: no queue intake.")
    inference_url: str = Field("http://127.0.0.1:8082", description="URL of the inference service, for `:predict`.")
    max_body_bytes: int = Field(
        DEFAULT_MESSAGE_BYTES, ge=1024, description="Largest body; a larger one is answered 413."
    )
    max_archive_bytes: int = Field(
        1024 * 1024 * 1024, ge=1024, description="Total size of an archive's files, unpacked."
    )
    key_cache_seconds: float = Field(
        30.0, gt=0, le=3600, description="How long the check of a key is cached; a revoked key may work for this long."
    )
    intake: list[Binding] = Field(
        default=[Binding()], description="Queues of producers, each bound to one principal and project. A JSON list."
    )
    drain_seconds: float = Field(5.0, ge=0, description="How long requests in progress may take at a stop.")
    metrics_listen: MetricsListen = ""
    log_level: str = Field("INFO", description="DEBUG, INFO, WARNING or ERROR.")

    @property
    def beyond_loopback(self) -> bool:
        """Whether other machines can reach the HTTP or the gRPC API."""
        return not (is_loopback(self.http_listen) and is_loopback(self.grpc_listen))
