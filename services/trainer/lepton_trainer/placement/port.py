"""What an attempt asks of the place where its ranks run, and what that place reports: the port.

Nothing above it knows of processes, sockets or folders of a rank, so that ranks on other machines are one more class.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from lepton_trainer.files.rank_files import RankFiles


@dataclass(frozen=True)
class Program:
    """What each rank runs: Python with a module or with a script, one of the two. Paths are relative to the workspace.

    `python_path`: folders that come before those of PYTHONPATH. `log_bytes`: how much of a rank's output is kept.
    """

    log_bytes: int
    module: str = ""
    script: str = ""
    arguments: tuple[str, ...] = ()
    folder: str = ""
    python_path: tuple[str, ...] = ()


class RankState(Protocol):
    """What is known of one rank."""

    @property
    def exit_code(self) -> int | None:
        """Negative for a signal, as in subprocess; None while it runs, and when it was lost without a report."""

    @property
    def ended_at(self) -> float | None:
        """Seconds of this machine's boot-time clock at which it ended or was lost; None while it runs."""

    @property
    def problem(self) -> str:
        """What went wrong around the program, for people: it cannot be started, its log cannot be written."""


class Placement(Protocol):
    """The ranks of one attempt. Made for one attempt, and used by its supervisor alone.

    A placement ends its ranks by itself when the fence's deadline passes or the supervisor is gone, whatever else
    fails: another attempt of the run may start after that.
    """

    @property
    def workspace(self) -> Path:
        """The folder on this machine that the supervisor fills before `go`."""

    @property
    def files(self) -> RankFiles:
        """What the ranks write; their logs too, and logs/launcher.log, which is the placement's own."""

    @property
    def ranks(self) -> Mapping[int, RankState]: ...

    @property
    def first_failed(self) -> int | None:
        """The rank that was the first to fail or to be lost."""

    @property
    def started(self) -> bool:
        """Whether programs may have begun: there may be something to save."""

    def launch(self) -> None:
        """Have everything ready that the ranks need to start. Returns at once; called before anything else."""

    def set_fence(self, deadline: float) -> None:
        """The ranks may run until then: seconds of this machine's boot-time clock. Called at each renewed lease."""

    def go(self, program: Program) -> None:
        """Start the program on each rank, in a workspace that holds what this one holds now."""

    def terminate(self) -> None:
        """Ask each program to leave (SIGTERM): it may checkpoint, and end in its own time."""

    def poll(self) -> int | None:
        """Look after what was started. None while anything runs; then 0, or the code of the rank that failed."""

    def check_disk(self, max_bytes: int) -> float:
        """Seconds until it should be asked again. Raises TOO_LARGE when the ranks' files exceed the budget,
        UNAVAILABLE when the disk that they share with others is nearly full."""

    def end(self) -> None:
        """Kill what is left. Nothing of the attempt runs or writes when this returns."""
