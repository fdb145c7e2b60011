"""What can be set: `LEPTON_INFERENCE_<FIELD>`."""

from pathlib import Path
from typing import Annotated

from pydantic import Field

from lepton_core.settings import Settings

MIB = 1024 * 1024
Positive = Annotated[int, Field(gt=0)]
Seconds = Annotated[float, Field(gt=0)]


class InferenceSettings(Settings):
    http_listen: str = "127.0.0.1:8082"
    grpc_listen: str = "127.0.0.1:8083"
    registry_address: str
    service_token_file: Path
    cache_dir: Path

    max_body_bytes: Positive = 32 * MIB
    queue_capacity: Positive = 256
    queue_bytes: Positive = 256 * MIB
    max_batch_rows: Positive = 64
    # Models that answer faster than this run on the event loop itself: a thread's hand-over would cost more.
    inline_milliseconds: Annotated[float, Field(ge=0, le=20)] = 1.0
    model_threads: Annotated[int, Field(ge=0, le=256)] = 0
    max_model_bytes: Positive = 2000 * MIB

    key_cache_seconds: Seconds = 30.0
    drain_seconds: Seconds = 15.0
    prediction_sample: Annotated[float, Field(ge=0, le=1)] = 0.01
    prediction_log_bytes: Positive = 16 * MIB
    log_level: str = "INFO"
