"""A script's requirements file, compared with what this worker has. Nothing is ever installed."""

import re
from importlib import metadata
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement

from lepton_core.errors import ErrorCode, FieldError, LeptonError

_COMMENT = re.compile(r"(^|\s)#.*$")


def check_requirements(file: Path, shown: str) -> None:
    """Raises FAILED_PRECONDITION with a line for each requirement that this environment does not meet.

    Options of pip (`-r`, `--index-url`, …) and links are told apart from requirements and refused by name.
    """
    problems = []
    try:
        text = file.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise _failed([FieldError("script.requirements", f"{shown} is not in the code folder")]) from None
    except UnicodeDecodeError:
        raise _failed([FieldError("script.requirements", f"{shown} is not UTF-8 text")]) from None
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
    # pip allows per-requirement options, such as hashes; they say how to fetch, and nothing is fetched.
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
    """The error's own text lists several problems; a single one stands in its detail."""
    detail = "the worker lacks what the script requires (nothing is installed on its behalf)"
    if len(problems) == 1:
        [problem] = problems
        detail += f": {problem.field}: {problem.message}"
    return LeptonError(ErrorCode.FAILED_PRECONDITION, detail, problems)
