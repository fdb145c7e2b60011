"""Compares a script's requirements file with the worker's installed packages. Nothing is installed."""

import re
from importlib import metadata
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement

from lepton_core.causes import EndCause
from lepton_core.errors import Cause, ErrorCode, FieldError, LeptonError, field_error

# Of the requirements that are missing, as parameters of the cause.
MAX_NAMED = 20
_COMMENT = re.compile(r"(^|\s)#.*$")


def check_requirements(file: Path, shown: str) -> None:
    """Raises FAILED_PRECONDITION with a line for each requirement that is not met.

    Options of pip (`-r`, `--index-url`, …) and links are refused by name.
    """
    problems = []
    try:
        text = file.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise _failed([field_error(("script", "requirements"), f"{shown} is not in the code folder")]) from None
    except UnicodeDecodeError:
        raise _failed([field_error(("script", "requirements"), f"{shown} is not UTF-8 text")]) from None
    for line in _logical_lines(text):
        problem = _problem(line)
        if problem:
            problems.append(FieldError(f"{shown}: {line}", problem))
    if problems:
        raise _failed(problems)


def _logical_lines(text: str) -> list[str]:
    joined = text.replace("\\\n", " ")
    lines = [_COMMENT.sub("", line).strip() for line in joined.splitlines()]
    return [line for line in lines if line]


def _problem(line: str) -> str:
    if line.startswith("-"):
        return "options are not supported: list the packages themselves"
    # Options of a requirement, such as hashes, are ignored: they are about the download, and nothing is downloaded.
    text = line.split(" --", 1)[0].strip()
    try:
        wanted = Requirement(text)
    except InvalidRequirement as error:
        return f"not a requirement: {str(error).splitlines()[0]}"
    if wanted.marker is not None and not wanted.marker.evaluate({"extra": ""}):
        return ""
    try:
        installed = metadata.version(wanted.name)
    except metadata.PackageNotFoundError:
        return "not installed on this worker"
    if wanted.url:
        return ""
    if not wanted.specifier.contains(installed, prereleases=True):
        return f"this worker has {installed}"
    return ""


def _failed(problems: list[FieldError]) -> LeptonError:
    """The error: several problems are a list, a single one is part of the detail."""
    detail = "the worker does not have packages that the script requires (and installs none)"
    if len(problems) == 1:
        [problem] = problems
        detail += f": {problem.field}: {problem.message}"
    named = [{"requirement": each.field, "problem": each.message} for each in problems[:MAX_NAMED]]
    cause = Cause(EndCause.REQUIREMENTS_MISSING, {"requirements": named})
    return LeptonError(ErrorCode.FAILED_PRECONDITION, detail, problems, cause=cause)
