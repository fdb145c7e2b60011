"""How the ranks of an attempt come to life: the port. `torchrun` here, Ray for several machines later."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True)
class LaunchPlan:
    """`guard_socket` is relative to `workspace`, which is the working directory of all that is started."""

    workspace: Path
    ranks: int
    guard_socket: str
    environment: Mapping[str, str]
    log: Path


class Launched(Protocol):
    """A launcher at work. It ends by itself when all guards have, or the first of them failed."""

    def exit_code(self) -> int | None:
        """None while it runs; negative for a signal."""

    @property
    def pids(self) -> frozenset[int]:
        """Processes on this machine that it waits for itself: nobody else may reap them."""


class Launcher(Protocol):
    """Starts one guard for each rank and returns at once."""

    def start(self, plan: LaunchPlan) -> Launched: ...
