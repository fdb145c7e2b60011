"""Fills an attempt's workspace with inputs, code, resume checkpoint and attempt.json, and then starts the programs."""

import errno

from lepton_core.causes import EndCause
from lepton_core.errors import Cause, LeptonError
from lepton_core.jobs.spec import JobSpec, ScriptSpec
from lepton_core.workspace_files import (
    AttemptFile,
    Limits,
    RecipeRef,
    ResumePoint,
    ScriptRef,
    Workspace,
    write_file,
)
from lepton_trainer.assignment import AttemptConfig
from lepton_trainer.end_causes import end_cause
from lepton_trainer.files.artifacts import ArtifactWire
from lepton_trainer.files.cache import InputCache
from lepton_trainer.files.rank_files import refused
from lepton_trainer.files.transfers import Transfers
from lepton_trainer.placement.port import Placement, Program
from lepton_trainer.processes.control_channel import Control, Stop
from lepton_trainer.reporting.registry import AttemptRegistry
from lepton_trainer.retrying import AbandonedError


def register_notice(model: str) -> str:
    """The first line in the log of a script that has to save a model."""
    return (
        f"lepton: this job registers the model {model!r} (`register` in the job file): "
        "rank 0 of the script must call lepton.log_model(...) before it ends, or the run fails\n"
    )


class Preparation:
    """Runs in a thread while the placement starts. An error ends the attempt, with its text as the reason."""

    def __init__(
        self, config: AttemptConfig, spec: JobSpec, registry: AttemptRegistry, placement: Placement, control: Control
    ) -> None:
        self._config = config
        self._spec = spec
        self._placement = placement
        self._control = control
        self._transfers = Transfers(ArtifactWire(registry.channel), control)
        self._cache = InputCache(config.cache)
        self._workspace = Workspace(placement.workspace)

    def start(self) -> None:
        self._control.start_thread("preparation", self._run)

    def _run(self) -> None:
        try:
            self._prepare()
        except AbandonedError:
            return
        except LeptonError as error:
            otherwise = EndCause.INPUTS_UNAVAILABLE if error.retryable else EndCause.INPUTS_REFUSED
            self._control.request(Stop.FAULT, end_cause(error, otherwise), final=not error.retryable)
        except OSError as error:
            text = f"the workspace cannot be prepared: {error.strerror} ({error.filename})"
            code = EndCause.DISK_FULL if error.errno == errno.ENOSPC else EndCause.WORKER_FAULT
            self._control.request(Stop.FAULT, Cause(code, {"part": "preparation"}, text))

    def _prepare(self) -> None:
        assignment = self._config.assignment
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
        if script is not None and self._spec.register is not None:
            # The program's output is appended to it.
            write_file(self._workspace.rank_log(0), register_notice(self._spec.register.model).encode())
        self._placement.go(self._script(script) if script else self._recipe())

    def _attempt_file(self) -> AttemptFile:
        config, assignment, spec = self._config, self._config.assignment, self._spec
        recipe = script = resume = None
        if spec.script is not None:
            script = ScriptRef(entry_point=spec.script.entry, arguments=tuple(spec.script.args))
        else:
            recipe = RecipeRef(name=assignment.recipe, version=assignment.recipe_version, entry=config.recipe_entry)
        if assignment.resume is not None:
            point = assignment.resume
            resume = ResumePoint(dir="resume", step=point.step, epoch=point.epoch, checkpoint_id=point.checkpoint_id)
        return AttemptFile(
            run_id=assignment.run_id,
            attempt_id=assignment.attempt_id,
            project=assignment.project,
            ranks=config.ranks,
            recipe=recipe,
            script=script,
            settings=spec.train,
            resume=resume,
            model=spec.register.model if spec.register else "",
            limits=Limits(disk_bytes=spec.limits.max_disk_bytes or config.policy.max_disk_bytes),
        )

    def _recipe(self) -> Program:
        return Program(self._config.policy.rank_log_bytes, module="lepton_trainer.rank")

    def _script(self, script: ScriptSpec) -> Program:
        if not (self._workspace.code / script.entry).is_file():
            raise refused(f"script.entry {script.entry!r}", "not in the code folder")
        # The same as for a start by hand: the program's folder and the code folder are on the path.
        return Program(
            self._config.policy.rank_log_bytes,
            script=f"code/{script.entry}",
            arguments=tuple(script.args),
            folder="code",
            python_path=("code",),
        )
