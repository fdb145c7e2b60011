"""Runs all ranks on this machine: the supervisor starts a guard process for each, and controls it by a Unix socket.

torchrun is not used: its agents use a TCP server that listens on all addresses without authentication, and stores
pickles that the agents load. Anybody who can reach it could run code as the worker. On one machine no such server is
needed (docs/decisions/0020).
"""

import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from lepton_trainer.assignment import AttemptConfig, ScriptUser
from lepton_trainer.files.disk import DiskBudget
from lepton_trainer.files.untrusted_files import LocalRankFiles
from lepton_trainer.placement.port import Program
from lepton_trainer.processes import rank_guard
from lepton_trainer.processes.environment import attempt_environment, thread_environment
from lepton_trainer.processes.guard_clients import GuardedProgram, Guards, Rank
from lepton_trainer.processes.isolation import PROGRAM_UMASK, WORKER_UMASK, hand_over, make_folders, user_environment
from lepton_trainer.processes.process_tree import MARKER, kill_descendants, reap_orphans
from lepton_trainer.processes.subreaper import become_subreaper
from lepton_trainer.processes.user_processes import kill_user

GUARD_SOCKET = "guards.sock"
# How long the processes may take to end before all processes of the scripts' user are killed, and how long that may
# take.
END_TREE_SECONDS = 0.5
END_SCRIPTS_SECONDS = 10.0


def make_placement(config: AttemptConfig, changed: Callable[[], None]) -> "LocalPlacement":
    return LocalPlacement(
        config.workspace,
        config.ranks,
        changed,
        marker=config.marker,
        user=config.user,
        disk_reserve_bytes=config.policy.disk_reserve_bytes,
    )


class LocalPlacement:
    """`changed` is called from another thread when the state of a rank has changed. `marker` is set in the environment
    of all started processes (`process_tree.MARKER`). `user`: as which the programs run; None: as this process.

    The workspace becomes the working directory of this process, since paths of sockets have at most about 100
    characters.
    """

    def __init__(
        self,
        workspace: Path,
        ranks: int,
        changed: Callable[[], None],
        *,
        marker: str,
        user: ScriptUser | None = None,
        disk_reserve_bytes: int = 0,
    ) -> None:
        self.workspace = workspace
        self.files = LocalRankFiles(workspace, user.uid if user else None)
        self._marker = marker
        self._user = user
        self._disk_reserve_bytes = disk_reserve_bytes
        self._guards = Guards(ranks, changed)
        self._processes: list[subprocess.Popen[bytes]] = []
        self._pids: frozenset[int] = frozenset()
        self._hurried = False

    @property
    def ranks(self) -> Mapping[int, Rank]:
        return self._guards.ranks

    @property
    def first_failed(self) -> int | None:
        return self._guards.first_failed

    @property
    def started(self) -> bool:
        return self._guards.started

    def launch(self) -> None:
        become_subreaper()
        os.chdir(self.workspace)
        if self._user is not None:
            os.umask(WORKER_UMASK)
        make_folders(self.workspace)
        self._guards.listen(GUARD_SOCKET)
        command = [sys.executable, "-I", str(Path(rank_guard.__file__)), GUARD_SOCKET]
        environment = attempt_environment(os.environ, self.workspace) | {MARKER: self._marker}
        ranks = len(self._guards.ranks)
        with (self.workspace / "logs" / "launcher.log").open("ab") as log:
            for rank in range(ranks):
                process = subprocess.Popen(
                    command,
                    cwd=self.workspace,
                    env=rank_environment(rank, ranks, self.workspace.name) | environment,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
                self._processes.append(process)
        self._pids = frozenset(each.pid for each in self._processes)

    def set_fence(self, deadline: float) -> None:
        self._guards.set_fence(deadline)

    def go(self, program: Program) -> None:
        from lepton_core.workspace_files import ATTEMPT_FILE_VARIABLE, Workspace

        workspace = Workspace(self.workspace)
        # The port is chosen now: while inputs are fetched, another program could take it.
        environment = {ATTEMPT_FILE_VARIABLE: str(workspace.attempt_file), **rendezvous_environment()}
        if program.python_path:
            inherited = os.environ.get("PYTHONPATH")
            folders = [str(self.workspace / folder) for folder in program.python_path]
            environment["PYTHONPATH"] = os.pathsep.join([*folders, *([inherited] if inherited else [])])
        user = None
        if self._user is not None:
            environment |= user_environment(self._user)
            user = {"uid": self._user.uid, "gid": self._user.gid, "umask": PROGRAM_UMASK}
            hand_over(self.workspace, self._user)
        # -P: a file in the working directory must not replace a module of the same name.
        start = ["-P", "-m", program.module] if program.module else [str(self.workspace / program.script)]
        guarded = GuardedProgram(
            command=[sys.executable, *start, *program.arguments],
            folder=str(self.workspace / program.folder),
            environment=environment,
            log_bytes=program.log_bytes,
            user=user,
        )
        self._guards.go(guarded, {rank: str(workspace.rank_log(rank)) for rank in self.ranks})

    def terminate(self) -> None:
        self._guards.terminate()

    def poll(self) -> int | None:
        """After a rank has failed, the others get SIGTERM: they would wait for it in a collective call."""
        reap_orphans(self._pids)
        codes = [each.poll() for each in self._processes]
        for rank, code in enumerate(codes):
            if code is not None:
                self._guards.note_end(rank)
        first = self.first_failed
        failed = (codes[first] if first is not None else 0) or next((code for code in codes if code), 0)
        if failed and not self._hurried:
            self._hurried = True
            for each, code in zip(self._processes, codes, strict=True):
                if code is None:
                    with contextlib.suppress(ProcessLookupError):
                        each.send_signal(signal.SIGTERM)
        # When a guard has ended, its last report may still be unread.
        unread = any(rank.connected for rank in self.ranks.values())
        return None if unread or None in codes else failed

    def environment(self) -> dict[str, Any]:
        from lepton_trainer.placement.environment import describe_environment

        return describe_environment()

    def check_disk(self, max_bytes: int) -> float:
        return DiskBudget(self.workspace, max_bytes, self._disk_reserve_bytes).check()

    def end(self) -> None:
        if self._user is not None:
            # Guards first, since they would report the death of their programs as a failure. With a time limit, which
            # a program that forks continuously could otherwise extend for ever.
            kill_descendants(END_TREE_SECONDS)
            kill_user(self._user.uid, END_SCRIPTS_SECONDS)
        kill_descendants()
        reap_orphans(self._pids)


def rank_environment(rank: int, ranks: int, run_id: str) -> dict[str, str]:
    """The variables that torchrun sets for each rank (its "Environment Variables"), without the rendezvous."""
    place = {name: str(rank) for name in ("RANK", "LOCAL_RANK", "ROLE_RANK")}
    sizes = {name: str(ranks) for name in ("WORLD_SIZE", "LOCAL_WORLD_SIZE", "ROLE_WORLD_SIZE")}
    group = {"GROUP_RANK": "0", "GROUP_WORLD_SIZE": "1", "ROLE_NAME": "default", "TORCH_NCCL_ASYNC_ERROR_HANDLING": "1"}
    tries = {"TORCHELASTIC_RESTART_COUNT": "0", "TORCHELASTIC_MAX_RESTARTS": "0", "TORCHELASTIC_RUN_ID": run_id}
    return place | sizes | group | tries | thread_environment(ranks)


def rendezvous_environment() -> dict[str, str]:
    """Where the ranks of one machine connect: to rank 0, not to an agent. The same for all ranks.

    If another program takes the port before rank 0 does, the attempt fails, and is tried again.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    return {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "TORCHELASTIC_USE_AGENT_STORE": "False"}
