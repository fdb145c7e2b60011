"""The child process of `trial.py`: reads one package, loads it and warms it up within limits. It writes two lines: one
when it has read the package, and the answer."""

import json
import os
import resource
import sys
import threading
import time
from typing import Any

from lepton_core.errors import ErrorCode, LeptonError
from lepton_inference.runtimes.discovery import installed_runtimes
from lepton_inference.warm_up import WarmUpLimits, warm_up

PARENT_CHECK_SECONDS = 1.0
# The first line of the output.
RECEIVED = b"received\n"


def main() -> int:
    threading.Thread(target=_leave_with_parent, args=(os.getppid(),), daemon=True).start()
    installed_runtimes()
    line = sys.stdin.buffer.readline()
    if not line:
        return 0
    # Output of libraries must not be mixed with the answer.
    answer = os.dup(1)
    os.dup2(2, 1)
    os.write(answer, json.dumps(_answer(json.loads(line), answer)).encode())
    # Does not wait for threads of the runtime.
    os._exit(0)


def _answer(head: dict[str, Any], output: int) -> dict[str, Any]:
    try:
        # RLIMIT_DATA limits private writable memory; RLIMIT_AS would also count address space that is only reserved.
        resource.setrlimit(resource.RLIMIT_DATA, (head["memory_bytes"], head["memory_bytes"]))
        files = {name: sys.stdin.buffer.read(size) for name, size in head["files"].items()}
        # From here on, an end of this process is caused by the package.
        os.write(output, RECEIVED)
        plan = warm_up(files, WarmUpLimits(**head["limits"]))
    except LeptonError as error:
        return {"code": error.code.value, "error": error.detail}
    except MemoryError:
        return {"memory": True}
    except Exception as error:  # noqa: BLE001 - any error is caused by the package, and reported by the parent
        reason = f"it could not be loaded: {type(error).__name__}: {str(error)[:300]}"
        return {"code": ErrorCode.INVALID.value, "error": reason}
    return {"plan": {"threads": plan.threads, "inline_bytes": plan.inline_bytes}}


def _leave_with_parent(parent: int) -> None:
    """Ends this process when the service dies, since a killed service cannot end its children."""
    while os.getppid() == parent:
        time.sleep(PARENT_CHECK_SECONDS)
    os._exit(1)


if __name__ == "__main__":
    sys.exit(main())
