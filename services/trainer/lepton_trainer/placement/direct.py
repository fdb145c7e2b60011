"""All ranks on this machine, a guard each, without torchrun: for scripts that run as another user.

torchrun's agents agree on their ranks through a server on loopback, in which they keep pickles. Whoever can connect to
it can run code in the agent: with the worker's rights, which the script must not get. Here nothing of the worker's
listens, and the ranks of a script meet at an address of their own.
"""

import contextlib
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from lepton_trainer.placement import LaunchPlan
from lepton_trainer.processes import rank_guard
from lepton_trainer.processes.environment import thread_environment


class DirectProcesses:
    def __init__(self, guards: Sequence[subprocess.Popen[bytes]]) -> None:
        self._guards = guards
        self._hurried = False
        self.pids = frozenset(each.pid for each in guards)

    def exit_code(self) -> int | None:
        """As torchrun: once a rank has failed the others are asked to leave, and the end is a failure."""
        codes = [each.poll() for each in self._guards]
        failed = next((code for code in codes if code), 0)
        if failed and not self._hurried:
            self._hurried = True
            for each, code in zip(self._guards, codes, strict=True):
                if code is None:
                    with contextlib.suppress(ProcessLookupError):
                        each.send_signal(signal.SIGTERM)
        return None if None in codes else failed


class DirectLauncher:
    def start(self, plan: LaunchPlan) -> DirectProcesses:
        command = [sys.executable, "-I", str(Path(rank_guard.__file__)), plan.guard_socket]
        port = _free_port()
        guards = []
        with plan.log.open("ab") as log:
            for rank in range(plan.ranks):
                process = subprocess.Popen(
                    command,
                    cwd=plan.workspace,
                    env={**_rank_variables(rank, plan, port), **plan.environment},
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
                guards.append(process)
        return DirectProcesses(guards)


def _rank_variables(rank: int, plan: LaunchPlan, port: int) -> Mapping[str, str]:
    """What torchrun tells each rank (its "Environment Variables"), for one machine."""
    place = {name: str(rank) for name in ("RANK", "LOCAL_RANK", "ROLE_RANK")}
    sizes = {name: str(plan.ranks) for name in ("WORLD_SIZE", "LOCAL_WORLD_SIZE", "ROLE_WORLD_SIZE")}
    meeting = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "TORCHELASTIC_USE_AGENT_STORE": "False"}
    told = {"GROUP_RANK": "0", "GROUP_WORLD_SIZE": "1", "ROLE_NAME": "default", "TORCH_NCCL_ASYNC_ERROR_HANDLING": "1"}
    tries = {"TORCHELASTIC_RESTART_COUNT": "0", "TORCHELASTIC_MAX_RESTARTS": "0"}
    run = {"TORCHELASTIC_RUN_ID": plan.workspace.name}
    return place | sizes | meeting | told | tries | run | thread_environment(plan.ranks)


def _free_port() -> int:
    """Rank 0 will listen there; that somebody takes it first is a failed attempt, and retried."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
