"""Settings of the gateway: `LEPTON_GATEWAY_<NAME>`."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, Field

from lepton_core.identity import Role
from lepton_core.queue import DEAD_LETTER_STREAM, SUBMISSION_QUEUE, SUBMISSION_STREAM
from lepton_core.settings import Settings


class Binding(BaseModel):
    """One producer's way in: who may write there speaks as `principal` in `project`. An empty name: no such queue."""

    model_config = {"frozen": True, "extra": "forbid"}

    principal: str = "intake"
    project: str = "default"  # by name
    stream: str = SUBMISSION_STREAM
    celery_queue: str = SUBMISSION_QUEUE
    dead_letters: str = DEAD_LETTER_STREAM


class GatewaySettings(Settings):
    http_listen: str = "127.0.0.1:8080"
    grpc_listen: str = "127.0.0.1:8081"
    registry_address: str
    service_token_file: Path
    broker_url: str = Field("", description="Redis or Valkey; empty: the queue door stays shut.")
    inference_url: str = "http://127.0.0.1:8082"
    max_body_bytes: int = Field(32 * 1024 * 1024, ge=1024)
    max_archive_bytes: int = Field(1024 * 1024 * 1024, ge=1024, description="Of an archive's files, unpacked.")
    key_cache_seconds: float = Field(30.0, gt=0, le=3600)
    intake: list[Binding] = Field(default=[Binding()])
    scripts_need: Role = Field(
        Role.OPERATOR, description="Who may submit scripts. Lower it only where trainers run them as another user."
    )
    drain_seconds: float = Field(5.0, ge=0)
    log_level: str = "INFO"
