"""The settings of the trainer: `LEPTON_TRAINER_<FIELD>`."""

import os
from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, SecretStr, model_validator

from lepton_core.settings import MetricsListen, Settings
from lepton_trainer.assignment import Policy

_GIB = 1 << 30


class TrainerSettings(Settings):
    home: Annotated[
        Path, Field(description="Folder of this worker: its id, workspaces and cache. Each worker needs its own.")
    ]
    registry_address: Annotated[str, Field(min_length=3, description="host:port of the registry.")]
    pool_token_file: Annotated[Path, Field(description="File with the pool's service token.")]
    broker_url: Annotated[
        SecretStr, Field(description="URL of the queue with wake-up calls; empty: the worker only polls.")
    ] = SecretStr("")
    ready_file: Annotated[Path | None, Field(description="File that is written when the worker has registered.")] = None
    accepts_scripts: Annotated[bool, Field(description="Whether script jobs may run.")] = True
    run_as: Annotated[
        str, Field(description="Operating-system user as which scripts run; empty: the worker's own user.")
    ] = ""
    placement: Annotated[
        str, Field(description="Where ranks run: local (on the worker's machine), or an installed placement's name.")
    ] = "local"
    max_ranks: Annotated[
        int,
        Field(
            ge=0,
            le=1024,
            description="Most ranks of a job; 0: one for each GPU, or without GPUs 8 or one for each core.",
        ),
    ] = 0
    poll_seconds: Annotated[float, Field(gt=0, le=300, description="How often the worker polls for work.")] = 3.0
    heartbeat_seconds: Annotated[float, Field(gt=0, le=30, description="How often a lease is renewed.")] = 2.0
    self_fence_seconds: Annotated[
        float, Field(gt=0, description="An attempt without a renewed lease for this long kills its own processes.")
    ] = 20.0
    drain_seconds: Annotated[
        float, Field(gt=0, description="How long a drain may take: the last checkpoint and its commit.")
    ] = 25.0
    cancel_grace_seconds: Annotated[
        float, Field(ge=0, le=5, description="Time between SIGTERM and SIGKILL when a run is cancelled.")
    ] = 2.0
    max_disk_bytes: Annotated[int, Field(gt=0, description="Disk limit of an attempt, if the job has none.")] = (
        50 * _GIB
    )
    disk_reserve_bytes: Annotated[int, Field(ge=0, description="Free disk space that attempts must leave.")] = _GIB // 2
    timeout_seconds: Annotated[int, Field(gt=0, description="Time limit of an attempt, if the job has none.")] = (
        7 * 86400
    )
    rank_log_bytes: Annotated[int, Field(gt=0, description="Largest log of a rank; the rest is dropped.")] = 64 << 20
    max_package_bytes: Annotated[
        int,
        Field(gt=0, description="Largest model package or checkpoint; also limits the files kept of a failed script."),
    ] = 20 * _GIB
    cache_bytes: Annotated[int, Field(ge=0, description="Size of the cache of input files.")] = 20 * _GIB

    metrics_listen: MetricsListen = ""

    @model_validator(mode="after")
    def _check_fence(self) -> Self:
        if self.heartbeat_seconds * 2 > self.self_fence_seconds:
            raise ValueError("self_fence_seconds must be at least twice heartbeat_seconds")
        return self

    def policy(self) -> Policy:
        return Policy(
            heartbeat_seconds=self.heartbeat_seconds,
            self_fence_seconds=self.self_fence_seconds,
            cancel_grace_seconds=self.cancel_grace_seconds,
            max_disk_bytes=self.max_disk_bytes,
            disk_reserve_bytes=self.disk_reserve_bytes,
            timeout_seconds=self.timeout_seconds,
            rank_log_bytes=self.rank_log_bytes,
            max_package_bytes=self.max_package_bytes,
        )

    def ranks_at_most(self, gpus: int) -> int:
        # Without GPUs, more ranks than cores are allowed, to try out a larger job slowly.
        return self.max_ranks or gpus or max(8, os.cpu_count() or 1)
