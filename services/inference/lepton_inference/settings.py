"""The settings of inference: `LEPTON_INFERENCE_<FIELD>`."""

from pathlib import Path
from typing import Annotated

from pydantic import Field

from lepton_core.api.limits import DEFAULT_MESSAGE_BYTES
from lepton_core.settings import MetricsListen, Settings

MIB = 1024 * 1024
Positive = Annotated[int, Field(gt=0)]
Seconds = Annotated[float, Field(gt=0)]


class InferenceSettings(Settings):
    http_listen: str = Field(default="127.0.0.1:8082", description="host:port of the HTTP server.")
    grpc_listen: str = Field(default="127.0.0.1:8083", description="host:port of the gRPC server.")
    registry_address: str = Field(description="host:port of the registry.")
    service_token_file: Path = Field(description="File with the service token.")
    cache_dir: Path = Field(description="Folder for verified model files.")

    max_body_bytes: Positive = Field(
        default=DEFAULT_MESSAGE_BYTES, description="Largest request; a larger one is answered 413."
    )
    queue_capacity: Positive = Field(
        default=256, description="Number of requests that may wait for one model; more are answered 429."
    )
    queue_bytes: Positive = Field(default=256 * MIB, description="Size of the inputs that may wait for one model.")
    max_batch_rows: Positive = Field(default=64, description="Maximum number of rows in a batch.")
    # For such a model, a thread would cost more time than the model itself.
    inline_milliseconds: Annotated[
        float, Field(ge=0, le=20, description="A model that answers faster than this runs on the event loop.")
    ] = 1.0
    model_threads: Annotated[int, Field(ge=0, le=256)] = Field(
        default=0, description="Threads of one model; 0: one for a fast model, else one for each core."
    )
    load_seconds: Seconds = Field(
        default=60.0, description="How long a model may take to load and warm up, in its own process."
    )
    load_memory_bytes: Positive = Field(
        default=2048 * MIB,
        description="Memory for loading and warm-up, in addition to four times the size of the model's files.",
    )
    loads_at_once: Positive = Field(default=4, description="Number of models that load at the same time.")
    loads_per_project: Positive = Field(
        default=2,
        description="Number of models of one project that load at the same time.",
    )
    loop_stuck_seconds: Annotated[float, Field(ge=1)] = Field(
        default=30.0,
        description="The process ends if its event loop is blocked for this long, by a model that does not end.",
    )
    max_model_bytes: Positive = Field(default=2000 * MIB, description="Largest model file.")

    key_cache_seconds: Seconds = Field(
        default=30.0, description="How long the check of a key is cached; a revoked key may work for this long."
    )
    key_outage_grace_seconds: Annotated[float, Field(ge=0)] = Field(
        default=0.0,
        description="How much longer the check of a key is cached while the registry is unavailable.",
    )
    drain_seconds: Seconds = Field(default=15.0, description="How long requests in progress may take at a stop.")
    prediction_sample: Annotated[float, Field(ge=0, le=1)] = Field(
        default=0.01, description="Share of predictions that are logged."
    )
    prediction_log_bytes: Positive = Field(default=16 * MIB, description="Size at which the log is rotated.")
    metrics_listen: MetricsListen = ""
    log_level: str = Field(default="INFO", description="DEBUG, INFO, WARNING or ERROR.")
