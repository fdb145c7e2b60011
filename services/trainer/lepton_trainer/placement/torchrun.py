"""All ranks on this machine, by PyTorch Elastic."""

import subprocess
import sys
from pathlib import Path

from lepton_trainer.placement import LaunchPlan
from lepton_trainer.processes import rank_guard
from lepton_trainer.processes.environment import thread_environment


class TorchrunProcess:
    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process
        self.pids = frozenset({process.pid})

    def exit_code(self) -> int | None:
        return self._process.poll()


class TorchrunLauncher:
    def start(self, plan: LaunchPlan) -> TorchrunProcess:
        # -P: a file in the working directory must not stand in for a module of the same name.
        command = [sys.executable, "-P", "-m", "torch.distributed.run", "--standalone"]
        command += ["--nproc-per-node", str(plan.ranks)]
        # A restart is a new attempt, and the registry gives it out.
        command += ["--max-restarts", "0"]
        command += ["--no-python", sys.executable, "-I", str(Path(rank_guard.__file__)), plan.guard_socket]
        with plan.log.open("ab") as log:
            process = subprocess.Popen(
                command,
                cwd=plan.workspace,
                # Set here, since torchrun would set one thread a rank, with a banner about it in the log.
                env={**thread_environment(plan.ranks), **plan.environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                process_group=0,
            )
        return TorchrunProcess(process)
