"""Submits jobs from a file, a mapping, or a JobSpec."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from lepton.resources.runs import Run, Runs
from lepton.transport.http import Transport, new_key
from lepton.transport.transfer import is_left_out, push_folder
from lepton_core.api import Run as RunResource
from lepton_core.errors import ErrorCode, LeptonError, invalid
from lepton_core.jobs.spec import JobSpec, parse_job
from lepton_core.validation import near_matches

MAX_FILE_BYTES = 1024 * 1024
Job = str | Path | Mapping[str, Any] | JobSpec


class Jobs:
    def __init__(self, transport: Transport, runs: Runs) -> None:
        self._runs = runs
        self._transport = transport

    def submit(self, job: Job, *, idempotency_key: str | None = None, progress: bool = True) -> Run:
        """Submits `job`: the path of a YAML, TOML or JSON file, a mapping, or a JobSpec.

        A script's code folder is uploaded first. Returns when the platform has accepted the job; raises INVALID that
        names each wrong field. A second call with the same `idempotency_key` returns the run of the first one.
        """
        body, base = read_job(job)
        parse_job(body)
        body = self._with_code(body, base, progress)
        key = idempotency_key or new_key()
        resource = self._transport.send("POST", "/v1/jobs", RunResource, body, headers={"idempotency-key": key})
        return Run(self._runs, resource)

    def _with_code(self, body: dict[str, Any], base: Path, progress: bool) -> dict[str, Any]:
        script = body.get("script")
        if not isinstance(script, dict) or "folder" not in script:
            return body
        folder = (base / script["folder"]).resolve()
        if not folder.is_dir():
            raise invalid(
                ("script", "folder"), "no such folder", str(folder), "a path that starts at the job file's folder"
            )
        for name in ("entry", "requirements"):
            _check_inside(f"script.{name}", folder, script.get(name))
        pushed = push_folder(self._transport, folder, title="code", progress=progress)
        rest = {name: value for name, value in script.items() if name != "folder"}
        return {**body, "script": {**rest, "code": pushed.manifest_digest}}


def _check_inside(field: str, folder: Path, path: str | None) -> None:
    """Raises INVALID unless `path` is a file in the uploaded code folder."""
    if not path:
        return
    if not (folder / path).is_file():
        names = sorted(each.name for each in folder.iterdir() if each.is_file() and not is_left_out(each.name))
        near = near_matches(path, names)
        hint = f", did you mean {' or '.join(map(repr, near))}?" if near else ""
        raise invalid(field, f"no such file in {folder}{hint}", path, "a path within `script.folder`")
    if any(is_left_out(part) for part in PurePosixPath(path).parts):
        raise invalid(field, "hidden files are not uploaded", path, "a path without names that begin with a dot")


def read_job(job: Job) -> tuple[dict[str, Any], Path]:
    """The fields that the client set, and the folder that relative paths in them start from."""
    if isinstance(job, JobSpec):
        return job.model_dump(mode="json", exclude_unset=True), Path.cwd()
    if isinstance(job, Mapping):
        return dict(job), Path.cwd()
    file = Path(job)
    try:
        if file.stat().st_size > MAX_FILE_BYTES:
            raise LeptonError(ErrorCode.TOO_LARGE, f"{file}: a job file has at most {MAX_FILE_BYTES} bytes")
        text = file.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise LeptonError(ErrorCode.NOT_FOUND, f"{file}: no such job file") from None
    except IsADirectoryError:
        raise LeptonError(ErrorCode.INVALID, f"{file} is a folder; a job file is expected") from None
    except UnicodeDecodeError as error:
        raise LeptonError(ErrorCode.INVALID, f"{file}: not UTF-8 text (byte {error.start})") from None
    return _parse(file, text), file.resolve().parent


def _parse(file: Path, text: str) -> dict[str, Any]:
    # ruamel reads YAML 1.2, where 2e-3 is a number.
    read = {".toml": tomllib.loads, ".json": json.loads}.get(file.suffix.lower(), YAML(typ="safe", pure=True).load)
    try:
        found = read(text)
    except MarkedYAMLError as error:
        raise LeptonError(ErrorCode.INVALID, _yaml_fault(file, text, error)) from None
    except json.JSONDecodeError as error:
        detail = f"{file}, line {error.lineno}, column {error.colno}: {error.msg}"
        raise LeptonError(ErrorCode.INVALID, detail) from None
    except (tomllib.TOMLDecodeError, YAMLError) as error:
        raise LeptonError(ErrorCode.INVALID, f"{file}: {error}") from None
    except RecursionError:
        raise LeptonError(ErrorCode.INVALID, f"{file}: nested too deeply") from None
    if not isinstance(found, dict):
        kind = "nothing" if found is None else "a list" if isinstance(found, list) else "a single value"
        detail = f"{file}: it holds {kind}; a job file holds named fields, such as `name: digits`"
        raise LeptonError(ErrorCode.INVALID, detail)
    return found


def _yaml_fault(file: Path, text: str, error: MarkedYAMLError) -> str:
    """Place and problem, with the line itself; the parser's own text begins with what it was parsing."""
    mark = error.problem_mark or error.context_mark
    what = error.problem or error.context or "not YAML"
    if mark is None:
        return f"{file}: {what}"
    lines = text.splitlines()
    shown = f"\n  {lines[mark.line]}\n  {' ' * mark.column}^" if mark.line < len(lines) else ""
    return f"{file}, line {mark.line + 1}, column {mark.column + 1}: {what}{shown}"
