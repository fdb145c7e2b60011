"""Fill an attempt's workspace: inputs by digest, code, checkpoint to resume from, attempt.json; then let it start."""

import os
import sys
from pathlib import Path

from lepton_core.errors import LeptonError
from lepton_core.jobs.spec import JobSpec, ScriptSpec
from lepton_core.workspace_files import (
    ATTEMPT_FILE_VARIABLE,
    AttemptFile,
    Limits,
    RecipeRef,
    ResumePoint,
    ScriptRef,
    Workspace,
    write_file,
)
from lepton_trainer.assignment import Order
from lepton_trainer.files.artifacts import ArtifactWire
from lepton_trainer.files.cache import InputCache
from lepton_trainer.files.transfers import Transfers
from lepton_trainer.files.untrusted_files import refused
from lepton_trainer.processes.control_channel import Control, Stop
from lepton_trainer.processes.guard_clients import Guards, Program
from lepton_trainer.processes.isolation import PROGRAM_UMASK, hand_over, user_environment
from lepton_trainer.reporting.registry import AttemptRegistry
from lepton_trainer.retrying import AbandonedError


class Preparation:
    """Runs beside the launcher's start, in a thread. Its faults end the attempt with their words as the reason."""

    def __init__(
        self, order: Order, spec: JobSpec, registry: AttemptRegistry, guards: Guards, control: Control
    ) -> None:
        self._order = order
        self._spec = spec
        self._guards = guards
        self._control = control
        self._transfers = Transfers(ArtifactWire(registry.channel), control)
        self._cache = InputCache(order.cache)
        self._workspace = Workspace(order.workspace)

    def start(self) -> None:
        self._control.start_thread("preparation", self._run)

    def _run(self) -> None:
        try:
            self._prepare()
        except AbandonedError:
            return
        except LeptonError as error:
            self._control.request(Stop.FAULT, str(error), final=not error.retryable)
        except OSError as error:
            self._control.request(Stop.FAULT, f"the workspace cannot be prepared: {error.strerror} ({error.filename})")

    def _prepare(self) -> None:
        assignment = self._order.assignment
        if assignment.data_digest:
            self._transfers.fetch_folder(assignment.data_digest, self._workspace.inputs / "data", self._cache)
        script = self._spec.script
        if script is not None:
            self._transfers.fetch_folder(assignment.code_digest or script.code, self._workspace.code, self._cache)
            if script.requirements:
                from lepton_trainer.attempt.requirements import check_requirements

                check_requirements(self._workspace.code / script.requirements, script.requirements)
        if assignment.resume is not None:
            self._transfers.fetch_folder(assignment.resume.manifest_digest, self._workspace.resume, self._cache)
        write_file(self._workspace.attempt_file, self._attempt_file().model_dump_json(indent=1).encode())
        arguments, folder, environment = self._script(script) if script else self._recipe()
        if self._order.user is not None:
            environment = {**environment, **user_environment(self._order.user)}
            hand_over(self._workspace.root, self._order.user)
        program = Program(
            command=[sys.executable, *arguments],
            folder=str(folder),
            environment={ATTEMPT_FILE_VARIABLE: str(self._workspace.attempt_file), **environment},
            log_bytes=self._order.policy.rank_log_bytes,
            user=self._program_user(),
        )
        logs = {rank: str(self._workspace.rank_log(rank)) for rank in range(self._order.ranks)}
        self._guards.go(program, logs)

    def _program_user(self) -> dict[str, int] | None:
        user = self._order.user
        return {"uid": user.uid, "gid": user.gid, "umask": PROGRAM_UMASK} if user else None

    def _attempt_file(self) -> AttemptFile:
        order, assignment, spec = self._order, self._order.assignment, self._spec
        recipe = script = resume = None
        if spec.script is not None:
            script = ScriptRef(entry_point=spec.script.entry, arguments=tuple(spec.script.args))
        else:
            recipe = RecipeRef(name=assignment.recipe, version=assignment.recipe_version, entry=order.recipe_entry)
        if assignment.resume is not None:
            point = assignment.resume
            resume = ResumePoint(dir="resume", step=point.step, epoch=point.epoch, checkpoint_id=point.checkpoint_id)
        return AttemptFile(
            run_id=assignment.run_id,
            attempt_id=assignment.attempt_id,
            project=assignment.project,
            ranks=order.ranks,
            recipe=recipe,
            script=script,
            settings=spec.train,
            resume=resume,
            model=spec.register.model if spec.register else "",
            limits=Limits(disk_bytes=spec.limits.max_disk_bytes or order.policy.max_disk_bytes),
        )

    def _recipe(self) -> tuple[list[str], Path, dict[str, str]]:
        """Arguments for Python, working directory and variables of a rank."""
        return ["-P", "-m", "lepton_trainer.rank"], self._workspace.root, {}

    def _script(self, script: ScriptSpec) -> tuple[list[str], Path, dict[str, str]]:
        entry = self._workspace.code / script.entry
        if not entry.is_file():
            raise refused(f"script.entry {script.entry!r}", "not in the code folder")
        # As if started there by hand: the program's folder and the code folder are on the path.
        inherited = os.environ.get("PYTHONPATH")
        path = os.pathsep.join([str(self._workspace.code), *([inherited] if inherited else [])])
        return [str(entry), *script.args], self._workspace.code, {"PYTHONPATH": path}
