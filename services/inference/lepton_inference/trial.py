"""The first load and warm-up of a package, in a child process that is killed if it takes too much time or memory.

The child reads the package from standard input, as a line of JSON and then the bytes of the files. It writes a line
when it has read all of it, and a line of JSON with the answer.
"""

import asyncio
import contextlib
import json
import logging
import os
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Mapping
from dataclasses import asdict, dataclass

from lepton_core.errors import ErrorCode, LeptonError
from lepton_inference.trial_child import RECEIVED
from lepton_inference.warm_up import Plan, WarmUpLimits

log = logging.getLogger(__name__)

# Loading needs several copies of the weights: the file's bytes, the parsed graph and the optimised graph.
_COPIES = 4
# Children that may end from outside before a trial is given up.
CHILDREN = 3


class HarmfulModelError(LeptonError):
    """The trial exceeded the time or memory limit, or crashed: the model is not tried again automatically."""


@dataclass(frozen=True, slots=True)
class TrialLimits:
    seconds: float
    # In addition to `_COPIES` times the size of the package's files.
    memory_bytes: int


class Trials:
    """After the first trial, the next child is started in advance, so that a swap does not wait for its imports."""

    def __init__(self, limits: TrialLimits, warm_up: WarmUpLimits) -> None:
        self._limits = limits
        self._warm_up = warm_up
        self._spare: asyncio.Task[Process] | None = None
        self._closed = False

    async def run(self, files: Mapping[str, bytes]) -> Plan:
        """Raises INVALID if the package cannot be served, HarmfulModelError if it exceeded a limit."""
        memory = self._limits.memory_bytes + _COPIES * sum(map(len, files.values()))
        head = {
            "files": {name: len(data) for name, data in files.items()},
            "limits": asdict(self._warm_up),
            "memory_bytes": memory,
        }
        body = b"".join((json.dumps(head).encode(), b"\n", *files.values()))
        for _ in range(CHILDREN):
            child = await self._take()
            output = await self._ask(child, body)
            if output.startswith(RECEIVED):
                return _plan(output.removeprefix(RECEIVED), child.returncode, memory)
            # Ended from outside (the memory of the machine is full, say) before it had read the package.
            log.warning("a process that tries models ended before a trial (status %s)", child.returncode)
        raise LeptonError(ErrorCode.UNAVAILABLE, "the processes that try models end before they have read the package")

    async def _ask(self, child: Process, body: bytes) -> bytes:
        """Everything that the child writes. It has ended then."""
        try:
            async with asyncio.timeout(self._limits.seconds):
                output, _ = await child.communicate(body)
                return output
        except TimeoutError:
            reason = f"loading and warm-up took longer than {self._limits.seconds:g} s, the limit"
            raise HarmfulModelError(ErrorCode.INVALID, reason) from None
        except RuntimeError:
            # uvloop's error if the pipe to the child is closed before the first byte.
            return b""
        finally:
            await _end(child)

    async def close(self) -> None:
        self._closed = True
        if self._spare:
            with contextlib.suppress(OSError):
                await _end(await self._spare)

    async def _take(self) -> Process:
        # Exchanged in one step: of two trials at a time, the second would overwrite the spare of the first.
        spare, self._spare = self._spare, None if self._closed else asyncio.create_task(_start())
        child = await spare if spare else None
        if child is None or child.returncode is not None:
            child = await _start()
        return child


async def _start() -> Process:
    # Without the service's settings, which the child does not need.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("LEPTON_")}
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-P",
        "-m",
        "lepton_inference.trial_child",
        stdin=PIPE,
        stdout=PIPE,
        stderr=DEVNULL,
        env=environment,
        start_new_session=True,
    )


async def _end(child: Process) -> None:
    if child.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            child.kill()
        await child.wait()


def _plan(answer: bytes, status: int | None, memory: int) -> Plan:
    try:
        found = json.loads(answer)
    except ValueError:
        found = {}
    if "plan" in found:
        return Plan(**found["plan"])
    if "error" in found:
        raise LeptonError(ErrorCode(found["code"]), found["error"])
    if "memory" in found:
        raise HarmfulModelError(ErrorCode.INVALID, f"loading and warm-up need more than {memory} bytes of memory")
    raise HarmfulModelError(
        ErrorCode.INVALID, f"loading and warm-up crashed the process that tried it (status {status})"
    )
