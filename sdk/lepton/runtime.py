"""For programs in a job: `lepton.log`, `lepton.progress`, `lepton.checkpoint`, `lepton.log_model` and the job's data.

Everything is written into the attempt's workspace, and the worker sends it. Nothing here needs the network, a login or
torch. Outside of a job the calls do nothing, so that a script also runs by itself.
"""

import json
import math
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from types import TracebackType
from typing import Any

from lepton.metric_log import MetricLog, Notes, whole_number
from lepton_core.causes import EndCause
from lepton_core.errors import ErrorCode, LeptonError, invalid
from lepton_core.journal import append_records, encode_record, whole_bytes
from lepton_core.model_format.signature import Signature
from lepton_core.plain_text import plain
from lepton_core.workspace_files import (
    ATTEMPT_FILE_VARIABLE,
    MAX_CHECKPOINT_FILES,
    AttemptFile,
    CheckpointRecord,
    Outcome,
    ProgressRecord,
    Workspace,
    sync_folder,
    write_file,
)

__all__ = ["checkpoint", "data_dir", "log", "log_model", "progress", "resume_dir", "resume_step"]

_notes = Notes()


class ModelRefusedError(LeptonError, ValueError):
    """A model that `log_model` refused. The text gives the reason, and where its files are."""


def log(metrics: Mapping[str, Any] | None = None, *, step: int | None = None, **values: Any) -> None:
    """Records metric values: `lepton.log(loss=0.3, accuracy=0.9, step=100)`.

    Values are anything that float() accepts, also tensors of one element. The default `step` is the last one plus 1.
    Any thread and process of the job may call it. It never raises: a value that cannot be recorded is reported once on
    standard error.
    """
    try:
        job = _job()
        if job is not None:
            job.metric_log.log({**(metrics or {}), **values}, step)
    except Exception as error:  # noqa: BLE001 - a metric must not end a training
        _notes("call", f"a call is not recorded: {type(error).__name__}: {ascii(str(error))[:300]}")


def progress(done: int, total: int) -> None:
    """Reports progress, for the bar of `lepton run watch`: `lepton.progress(step, steps)`.

    Only rank 0 reports; calls of other ranks do nothing.
    """
    job = _job()
    if job and job.rank == 0:
        record = ProgressRecord(epoch=0, epochs=0, step=int(done), steps=int(total))
        append_records(job.control_journal, [encode_record(record.model_dump())])


def checkpoint(
    state: Any,
    *,
    step: int,
    epoch: int = 0,
    metrics: Mapping[str, float] | None = None,
    score: float | None = None,
) -> Path | None:
    """Saves a state to resume from: a file, a folder, a torch module or state dict, or a JSON object.

    Only rank 0 writes; calls of other ranks do nothing. After a failure, the next attempt finds the last committed
    checkpoint in `resume_dir()`: a copy of the file or folder, `weights.safetensors`, `state.pt` or `state.json`. With
    `score` (higher is better), the best checkpoint of the run is kept, too. Returns the folder in the workspace.

    Raises INVALID for what could not be stored: a negative `step`, an empty folder, more than 200 files, and numbers
    that are none. NaN cannot be compared, so it is not a score; it and metrics that are not finite are left out.
    """
    job = _job()
    if job is None or job.rank != 0:
        return None
    step, epoch = _count("step", step), _count("epoch", epoch)
    found = {name: _number(f"metrics.{name}", value) for name, value in (metrics or {}).items()}
    scored = None if score is None else _number("score", score)
    folder = job.workspace.checkpoint(step)
    temporary = folder.with_name(f".{folder.name}.writing")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    _write_state(state, temporary)
    _check_file_count(temporary)
    for path in [temporary, *temporary.rglob("*")]:
        sync_folder(path) if path.is_dir() else _sync_file(path)
    shutil.rmtree(folder, ignore_errors=True)
    temporary.rename(folder)
    sync_folder(folder.parent)
    for journal in job.workspace.journal.glob("metrics-rank*.jsonl"):
        _sync_file(journal)
    record = CheckpointRecord(
        step=step,
        epoch=epoch,
        dir=folder.relative_to(job.workspace.root).as_posix(),
        metrics={name: value for name, value in found.items() if math.isfinite(value)},
        score=scored if scored is not None and math.isfinite(scored) else None,
        offsets={path.name: whole_bytes(path) for path in sorted(job.workspace.journal.glob("metrics-rank*.jsonl"))},
    )
    append_records(job.control_journal, [encode_record(record.model_dump())], sync=True)
    return folder


def log_model(
    model: Any,
    *,
    example: Any = None,
    signature: Signature | Mapping[str, Any] | None = None,
    labels: Sequence[str] = (),
    logits: bool = True,
    metrics: Mapping[str, float] | None = None,
    limits: Sequence[str] = (),
) -> Path | None:
    """Saves the model that the job registers. Only rank 0 does; calls of other ranks do nothing.

    `model` is the path of an ONNX file, with a `signature`, or a torch module, with an `example` input (a tensor or a
    tuple of them, batch dimension first), which is exported to ONNX. With `labels`, the model is a classifier; the
    export adds a softmax unless `logits` is False. Returns the package's folder in the workspace.

    If onnxruntime is installed, the model is loaded and run on the example, or on ones. Raises a LeptonError, which is
    also a ValueError, if the model cannot be served; its files are then kept as a checkpoint of the run. If it is not
    caught, the run ends without another attempt.
    """
    job = _job()
    if job is None or job.rank != 0:
        return None
    from lepton.model_package import unfinished, write_package

    card = {
        "format": 1,
        "model": job.attempt.model,
        "run_id": job.attempt.run_id,
        "metrics": {name: float(value) for name, value in (metrics or {}).items()},
        "limits": list(limits),
    }
    folder = job.workspace.package
    try:
        write_package(folder, model, example=example, signature=signature, labels=labels, logits=logits, card=card)
    except Exception as error:
        # Any error: the export runs the user's module.
        kept = _keep_refused(job, model, unfinished(folder))
        text = f"lepton.log_model: {error}; nothing is registered; {kept}"
        raise _final(job, EndCause.MODEL_REFUSED, ModelRefusedError(ErrorCode.INVALID, text)) from error
    write_file(job.workspace.evaluation, json.dumps({"metrics": card["metrics"]}).encode())
    return job.workspace.package


def _keep_refused(job: "_Job", model: Any, written: Path) -> str:
    """Keeps the files of a refused model as a checkpoint, which a failed run keeps; returns text for the error."""
    steps = [int(path.name.rpartition("-")[2]) for path in job.workspace.checkpoints.glob("step-*")]
    step = 1 + max([job.metric_log.last_step, *steps])
    is_file = isinstance(model, str | os.PathLike)
    try:
        written.mkdir(parents=True, exist_ok=True)
        # Files that were written after these are incomplete or missing.
        if not (written / ("model.onnx" if is_file else "weights.safetensors")).exists():
            _write_state(model, written)
        checkpoint(written, step=step)
        shutil.rmtree(written)
    except Exception as error:  # noqa: BLE001 - must not hide the reason for the refusal
        return f"its files could not be kept: {type(error).__name__}: {str(error)[:200]}"
    command = f"lepton run checkpoints {job.attempt.run_id} --get {step}"
    return f"its files are kept as the checkpoint of step {step}: {command}"


def data_dir() -> Path:
    """The folder with the job's data. Outside of a job: LEPTON_DATA_DIR, or the current folder.

    Raises FAILED_PRECONDITION in a job without `data`. If that is not caught, the run ends without another attempt.
    """
    job = _job()
    if job is None:
        return Path(os.environ.get("LEPTON_DATA_DIR", "."))
    folder = job.workspace.folder(job.attempt.data_dir)
    if not folder.is_dir():
        text = "lepton.data_dir(): the job has no data; add `data: NAME`, with the name of a dataset, to the job file"
        raise _final(job, EndCause.INPUTS_REFUSED, LeptonError(ErrorCode.FAILED_PRECONDITION, text))
    return folder


def resume_dir() -> Path | None:
    """The folder of the checkpoint to resume from; None if the run starts from the beginning."""
    job = _job()
    return job.workspace.folder(job.attempt.resume.dir) if job and job.attempt.resume else None


def resume_step() -> int:
    """The step of the checkpoint to resume from; 0 if the run starts from the beginning."""
    job = _job()
    return job.attempt.resume.step if job and job.attempt.resume else 0


class _Job:
    def __init__(self, attempt_file: Path, rank: int) -> None:
        self.workspace = Workspace(attempt_file.absolute().parent)
        self.attempt: AttemptFile = self.workspace.read_attempt()
        self.rank = rank
        self.control_journal = self.workspace.control_journal(rank)
        first_step = self.attempt.resume.step if self.attempt.resume else 0
        self.metric_log = MetricLog(self.workspace, rank, first_step, _notes)


def _job() -> _Job | None:
    attempt_file = os.environ.get(ATTEMPT_FILE_VARIABLE)
    if not attempt_file:
        _note("lepton: not in a job, so nothing is recorded")
        return None
    return _open_job(Path(attempt_file), int(os.environ.get("RANK", "0")))


def _final(job: _Job, code: EndCause, error: LeptonError) -> LeptonError:
    """The error, prepared so that the worker does not try again if the program ends with it."""
    previous = sys.excepthook

    def report(kind: type[BaseException], value: BaseException, trace: TracebackType | None) -> None:
        previous(kind, value, trace)
        if value is error:
            job.workspace.write_outcome(
                Outcome(status="failed", reason=str(error), final=True, rank=job.rank, code=code)
            )

    sys.excepthook = report
    return error


@lru_cache(maxsize=1)
def _open_job(attempt_file: Path, rank: int) -> _Job:
    return _Job(attempt_file, rank)


@lru_cache(maxsize=256)
def _note(text: str) -> None:
    """Prints each text once: a training loop would repeat it thousands of times."""
    sys.stderr.write(f"{plain(text)}\n")


def _count(field: str, value: Any) -> int:
    number = whole_number(value)
    if number is None or not 0 <= number < 2**63:
        raise invalid(f"lepton.checkpoint: {field}", "not stored", repr(value)[:80], "a whole number from 0 on")
    return number


def _number(field: str, value: Any) -> float:
    try:
        return float(value)
    except Exception as error:
        # __float__ of any type may raise anything.
        raise invalid(f"lepton.checkpoint: {field}", "not a number", repr(value)[:80], "a number") from error


def _check_file_count(folder: Path) -> None:
    count = sum(1 for path in folder.rglob("*") if path.is_file())
    if not 1 <= count <= MAX_CHECKPOINT_FILES:
        allowed = f"1 to {MAX_CHECKPOINT_FILES} files: put more of them into one archive"
        raise invalid("lepton.checkpoint: state", "a folder with another number of files", count, allowed)


def _write_state(state: Any, folder: Path) -> None:
    if isinstance(state, str | os.PathLike):
        source = Path(state)
        if source.is_dir():
            shutil.copytree(source, folder, dirs_exist_ok=True)
        else:
            shutil.copy2(source, folder / source.name)
        return
    # A program that passes a torch object has imported torch.
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(state, torch.nn.Module):
        torch.save(state.state_dict(), folder / "state.pt")
        return
    text = _as_json(state)
    if text is not None:
        (folder / "state.json").write_text(text, encoding="utf-8")
    elif torch is not None:
        torch.save(state, folder / "state.pt")
    else:
        raise TypeError("lepton.checkpoint takes a path, a torch module or state dict, or a JSON value")


def _as_json(state: Any) -> str | None:
    """The state as JSON; None if JSON would change it, as it does tensors, tuples and keys that are numbers."""
    try:
        text = json.dumps(state, allow_nan=False)
        return text if json.loads(text) == state else None
    except (TypeError, ValueError, RuntimeError):
        return None


def _sync_file(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())
