"""What can be set: `LEPTON_INFERENCE_<FIELD>`."""

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
        default=DEFAULT_MESSAGE_BYTES, description="Largest request; more is answered 413."
    )
    queue_capacity: Positive = Field(
        default=256, description="Requests that may wait for one model; more are answered 429."
    )
    queue_bytes: Positive = Field(default=256 * MIB, description="Bytes of inputs that may wait for one model.")
    max_batch_rows: Positive = Field(default=64, description="Rows that run together at most.")
    # Handing over to a thread would cost such a model more than it takes to answer.
    inline_milliseconds: Annotated[
        float, Field(ge=0, le=20, description="A model that answers faster runs on the event loop itself.")
    ] = 1.0
    model_threads: Annotated[int, Field(ge=0, le=256)] = Field(
        default=0, description="Threads of one model; 0: one for a quick model, else one a core."
    )
    load_seconds: Seconds = Field(
        default=60.0, description="How long a model may take to load and warm up, in a process of its own."
    )
    load_memory_bytes: Positive = Field(
        default=2048 * MIB, description="Memory for loading and warm-up, beyond four times the model's files."
    )
    loads_at_once: Positive = Field(default=4, description="Models that load at the same time.")
    loads_per_project: Positive = Field(
        default=2,
        description="Models of one project that load at the same time, so that others need not wait.",
    )
    loop_stuck_seconds: Annotated[float, Field(ge=1)] = Field(
        default=30.0,
        description="The process ends when its event loop stands still for so long: a model ran on it without end.",
    )
    max_model_bytes: Positive = Field(default=2000 * MIB, description="Largest model file.")

    key_cache_seconds: Seconds = Field(
        default=30.0, description="How long a checked key is believed: bounds how long a revoked one lives."
    )
    key_outage_grace_seconds: Annotated[float, Field(ge=0)] = Field(
        default=0.0,
        description="How much longer a checked key is believed while the registry is away; so does a revoked one.",
    )
    drain_seconds: Seconds = Field(
        default=15.0, description="How long requests in hand may take when it is told to stop."
    )
    prediction_sample: Annotated[float, Field(ge=0, le=1)] = Field(
        default=0.01, description="Share of predictions that are logged."
    )
    prediction_log_bytes: Positive = Field(default=16 * MIB, description="Size at which the log is rotated.")
    metrics_listen: MetricsListen = ""
    log_level: str = Field(default="INFO", description="DEBUG, INFO, WARNING or ERROR.")
