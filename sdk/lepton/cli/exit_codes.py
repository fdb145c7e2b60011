"""Exit codes for scripts, and how errors are printed to stderr: as text, or with `--json` as problem details."""

from __future__ import annotations

import json
import sys
from enum import IntEnum

from rich.console import Console
from rich.text import Text

from lepton_core.errors import ErrorCode, LeptonError
from lepton_core.http.problems import problem_of
from lepton_core.plain_text import plain, plain_json


class Exit(IntEnum):
    OK = 0
    # A run failed or was cancelled, a state or version was not the expected one, or `doctor` found a problem.
    FAILED = 1
    # A wrong command line, job file or value.
    INVALID = 2
    NOT_FOUND = 3
    DENIED = 4
    # The platform cannot be reached, is busy, or took too long: the same command may succeed later.
    UNAVAILABLE = 5
    # Damaged data, a bug or a full disk.
    BROKEN = 6
    INTERRUPTED = 130


EXITS: dict[ErrorCode, Exit] = {
    ErrorCode.INVALID: Exit.INVALID,
    ErrorCode.TOO_LARGE: Exit.INVALID,
    ErrorCode.UNSUPPORTED_MEDIA: Exit.INVALID,
    ErrorCode.NOT_FOUND: Exit.NOT_FOUND,
    ErrorCode.UNAUTHENTICATED: Exit.DENIED,
    ErrorCode.PERMISSION_DENIED: Exit.DENIED,
    ErrorCode.RATE_LIMITED: Exit.UNAVAILABLE,
    ErrorCode.OVER_QUOTA: Exit.UNAVAILABLE,
    ErrorCode.UNAVAILABLE: Exit.UNAVAILABLE,
    ErrorCode.TIMEOUT: Exit.UNAVAILABLE,
    ErrorCode.CONFLICT: Exit.FAILED,
    ErrorCode.ALREADY_EXISTS: Exit.FAILED,
    ErrorCode.STALE_ATTEMPT: Exit.FAILED,
    ErrorCode.FAILED_PRECONDITION: Exit.FAILED,
    ErrorCode.CANCELLED: Exit.FAILED,
    ErrorCode.CORRUPT: Exit.BROKEN,
    ErrorCode.UNIMPLEMENTED: Exit.BROKEN,
    ErrorCode.INTERNAL: Exit.BROKEN,
}

EXIT_HELP = (
    "Exit codes: 0 done, 1 the run failed or a condition was not met, 2 wrong command or input, 3 not found, "
    "4 no valid key or not permitted, 5 not available now, 6 damaged data or a bug, 130 interrupted."
)


def report(error: LeptonError, *, as_json: bool) -> Exit:
    """Prints the error to stderr; returns the exit code."""
    code = EXITS[error.code]
    if as_json:
        body = {**problem_of(error, error.request_id), "exit_code": int(code)}
        sys.stderr.write(plain_json(json.dumps(body, ensure_ascii=False)) + "\n")
        return code
    console = Console(stderr=True, highlight=False)
    console.print(Text("error: ", style="bold red").append(str(error), style="default"), soft_wrap=True)
    if error.request_id and code is Exit.BROKEN:
        console.print(Text(f"request: {plain(error.request_id)}", style="dim"), soft_wrap=True)
    return code
