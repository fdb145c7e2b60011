"""The interface of a placement, which runs the ranks of an attempt and reports their state.

Its callers do not depend on processes, sockets or folders of a rank, so ranks on other machines need only one more
class: docs/adding-a-placement.md.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from lepton_trainer.files.rank_files import RankFiles


@dataclass(frozen=True)
class Program:
    """The program of each rank: Python with either a module or a script. Paths are relative to the workspace.

    `python_path`: folders before those of PYTHONPATH. `log_bytes`: size limit of a rank's log.
    """

    log_bytes: int
    module: str = ""
    script: str = ""
    arguments: tuple[str, ...] = ()
    folder: str = ""
    python_path: tuple[str, ...] = ()


class RankState(Protocol):
    """The state of a rank."""

    @property
    def exit_code(self) -> int | None:
        """Negative for a signal, as in subprocess; None while it runs, and if it was lost without a report."""

    @property
    def ended_at(self) -> float | None:
        """Time of its end or loss, in seconds of this machine's boot-time clock; None while it runs."""

    @property
    def problem(self) -> str:
        """A problem besides the program itself, for people: it cannot be started, or its log cannot be written."""


class Placement(Protocol):
    """The ranks of an attempt. Used only by the supervisor of that attempt.

    A placement must end its ranks without the supervisor's help when the fence's deadline has passed or the supervisor
    has died, in any case: another attempt of the run may start after that.
    """

    @property
    def workspace(self) -> Path:
        """The folder on this machine that the supervisor fills before `go`."""

    @property
    def files(self) -> RankFiles:
        """The folder with the files and logs of the ranks, and logs/launcher.log of the placement itself."""

    @property
    def ranks(self) -> Mapping[int, RankState]: ...

    @property
    def first_failed(self) -> int | None:
        """The first rank that failed or was lost."""

    @property
    def started(self) -> bool:
        """Whether programs may have started, so that there may be results to save."""

    def launch(self) -> None:
        """Prepares the start of the ranks. Returns at once; called before all other methods."""

    def set_fence(self, deadline: float) -> None:
        """Sets until when the ranks may run, in seconds of this machine's boot-time clock. Called after each
        renewal."""

    def go(self, program: Program) -> None:
        """Starts the program on each rank, in a workspace with the current files of this one."""

    def terminate(self) -> None:
        """Sends SIGTERM to each program, which may write a checkpoint and end by itself."""

    def poll(self) -> int | None:
        """Updates the state. Returns None while a rank runs, or wrote what is not yet visible in `files`; then 0, or
        the exit code of the rank that failed."""

    def environment(self) -> dict[str, Any]:
        """Python, platform and packages where the ranks run, for the lineage; called after `end`, too."""

    def check_disk(self, max_bytes: int) -> float:
        """Checks the disk usage; returns the seconds until the next check. Raises TOO_LARGE if the ranks' files exceed
        the budget, UNAVAILABLE if the shared disk is nearly full."""

    def end(self) -> None:
        """Kills all remaining processes. When it returns, no process of the attempt runs or writes."""
