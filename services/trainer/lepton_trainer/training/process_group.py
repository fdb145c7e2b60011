"""A rank's number and device, the process group, and the collective calls of the engine."""

import contextlib
import os
import socket
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

# How long a rank waits for another one that reads data or writes a checkpoint.
COLLECTIVE_TIMEOUT = timedelta(minutes=10)

# The destructor of a gloo group joins its threads while it holds the interpreter's lock, and a thread that still has a
# finished collective to free waits for that lock (seen with torch 2.13 on busy cores: a rank that never ends, after all
# its work). So groups are shut down but never destroyed; the process leaves by os._exit.
_KEPT_ALIVE: list[object] = []


class PeerLost(Exception):
    """An exchange with the other ranks failed, as it does when one of them has ended: that one knows why."""

    def __init__(self, error: RuntimeError, *, in_backward: bool = False) -> None:
        where = "" if in_backward else "the exchange with the other ranks failed: "
        super().__init__(f"{where}{type(error).__name__}: {error}")
        self.error = error
        self.in_backward = in_backward


@dataclass(frozen=True)
class ProcessGroup:
    rank: int
    world_size: int
    local_rank: int
    device: torch.device
    # "nccl", "gloo", or "" for a single rank
    backend: str
    threads: int

    @property
    def first(self) -> bool:
        return self.rank == 0

    def sum(self, tensor: Tensor) -> Tensor:
        """Sums `tensor` over the ranks, in place."""
        if self.world_size > 1:
            with self.exchange():
                dist.all_reduce(tensor)
        return tensor

    def gather(self, tensor: Tensor) -> list[Tensor]:
        """The tensors of all ranks (of equal shape), on the CPU, in the order of the ranks."""
        if self.world_size == 1:
            return [tensor.cpu()]
        local = tensor.to(self.device)
        parts = [torch.empty_like(local) for _ in range(self.world_size)]
        with self.exchange():
            dist.all_gather(parts, local)
        return [part.cpu() for part in parts]

    @contextlib.contextmanager
    def exchange(self, *, in_backward: bool = False) -> Iterator[None]:
        """For what exchanges tensors with the other ranks: its errors are raised as PeerLost."""
        try:
            yield
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:
            # gloo raises no more than a RuntimeError when the process at the other end has gone.
            if self.world_size == 1:
                raise
            raise PeerLost(error, in_backward=in_backward) from error

    def describe(self) -> dict[str, Any]:
        """The devices of this run, for environment.json."""
        on_cuda = self.device.type == "cuda"
        return {
            "device": torch.cuda.get_device_name(self.device) if on_cuda else "cpu",
            "backend": self.backend,
            "ranks": self.world_size,
            "threads_per_rank": self.threads,
            "torch": torch.__version__,
            "cuda": torch.version.cuda or "",
        }

    def leave(self) -> None:
        if dist.is_initialized():
            dist.destroy_process_group()


def join(threads_per_rank: int | None = None) -> ProcessGroup:
    """Joins the process group by the variables of torchrun: a CUDA device for each rank if there are enough, else the
    CPU with gloo."""
    rank, world_size = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
    local_rank, local_size = int(os.environ.get("LOCAL_RANK", "0")), int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    # cuBLAS is deterministic only with a fixed workspace; it reads this variable at its start.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    if world_size == local_size:
        # All ranks are on one machine, so gloo uses loopback.
        loopback = "lo0" if sys.platform == "darwin" else "lo"
        os.environ.setdefault("GLOO_SOCKET_IFNAME", loopback)
        os.environ.setdefault("NCCL_SOCKET_IFNAME", loopback)
    configured = os.environ.get("OMP_NUM_THREADS", "")
    threads = threads_per_rank or (
        int(configured) if configured.isdecimal() else max(1, (os.cpu_count() or 1) // local_size)
    )
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(True)
    # Off: it fills new memory to detect reads of uninitialised values, which costs 2 % of a small network's step.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]  # torch has no types here
    torch.backends.cudnn.benchmark = False
    on_cuda = torch.cuda.is_available() and torch.cuda.device_count() >= local_size
    device = torch.device("cuda", local_rank) if on_cuda else torch.device("cpu")
    if on_cuda:
        torch.cuda.set_device(device)
    backend = ""
    if world_size > 1:
        backend = "nccl" if on_cuda else "gloo"
        dist.init_process_group(
            backend,
            timeout=COLLECTIVE_TIMEOUT,
            device_id=device if on_cuda else None,
            store=_loopback_store(rank, world_size) if world_size == local_size else None,
            rank=rank,
            world_size=world_size,
        )
        _KEPT_ALIVE.append(dist.group.WORLD)
    return ProcessGroup(rank, world_size, local_rank, device, backend, threads)


def _loopback_store(rank: int, world_size: int) -> Any:
    """Where the ranks of one machine meet: at rank 0, MASTER_PORT. None under torchrun, whose agent has a store.

    By itself torch's store listens on all addresses of the machine, and asks nobody who connects.
    """
    if os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True":
        return None
    address, port = "127.0.0.1", int(os.environ["MASTER_PORT"])
    listener = None
    if rank == 0:
        with socket.create_server((address, port)) as bound:
            listener = bound.detach()
    return dist.TCPStore(  # type: ignore[attr-defined]  # mypy sees no binary module's names
        address, port, world_size, is_master=rank == 0, timeout=COLLECTIVE_TIMEOUT, master_listen_fd=listener
    )
